// The job that finds payouts that wait too long, and opens cases.
#include "jobs/deadlines.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "books/books.h"
#include "cases/cases.h"
#include "domain/machine.h"
#include "jobs/deadlines_internal.h"
#include "jobs/jobs_sql.h"

enum {
    OVERDUE_MAX = 500,     // new cases per (book, connection, step) and run
    COUNTED_MAX = 1000000, // counted payouts per book and connection
    US_PER_S = 1000000,
};

const int16_t DEADLINES_STEP[DEADLINES_STEPS] = {STEP_GATE,    STEP_RESERVE, STEP_EXECUTE,
                                                 STEP_RESOLVE, STEP_AWAIT,   STEP_CONFIRM,
                                                 STEP_VOID,    STEP_RETURN,  STEP_CANCEL};

static int64_t allowed_s(const deadlines *d, const connection_info *k, int step) {
    const deadlines_settings *s = &d->settings;
    switch (step) {
    case STEP_GATE:
    case STEP_RESERVE: return s->reserve_s;
    case STEP_EXECUTE: return s->execute_s;
    case STEP_RESOLVE: return s->resolve_s;
    case STEP_AWAIT: return k->in_files ? s->await_files_s : s->await_s;
    default: return s->confirm_s; // CONFIRM, VOID, RETURN and CANCEL: the ledger only
    }
}

// --- Payouts -------------------------------------------------------------------------------------------------------------

// A connection whose bank does not answer gets one case; its payouts get none for this.
static bool is_down(const connection_info *k) {
    return k->down_since_us != NULL && k->down_since_us(k->arg, k->id) != 0;
}

static bool find_overdue(const deadlines *d, db_conn *c, const int64_t *books, size_t n_books,
                         int64_t now_us, arena *a, db_rows **rows, err *e) {
    int16_t rails[CONNECTIONS_MAX * DEADLINES_STEPS], steps[CONNECTIONS_MAX * DEADLINES_STEPS];
    int64_t before[CONNECTIONS_MAX * DEADLINES_STEPS];
    size_t n = 0, n_known = 0;
    const connection_info *known = connections_all(d->connections, &n_known);
    for (size_t i = 0; i < n_known; i++) {
        const bool down = is_down(&known[i]);
        for (size_t k = 0; known[i].on && k < DEADLINES_STEPS; k++) {
            if (down && (DEADLINES_STEP[k] == STEP_EXECUTE || DEADLINES_STEP[k] == STEP_RESOLVE)) {
                continue;
            }
            rails[n] = (int16_t)known[i].id;
            steps[n] = DEADLINES_STEP[k];
            before[n] = now_us - allowed_s(d, &known[i], steps[n]) * US_PER_S;
            n++;
        }
    }
    db_params *p = db_params_create(a);
    db_i64_array(p, books, n_books);
    db_i16_array(p, rails, n);
    db_i16_array(p, steps, n);
    db_time_array(p, before, n);
    db_i64(p, OVERDUE_MAX);
    return db_exec(c, jobs_sql(JOBS_SQL_OVERDUE), p, a, rows, NULL, e);
}

static void set_currency(case_new *out, str currency) {
    memcpy(out->currency, currency.ptr,
           currency.len < sizeof out->currency ? currency.len : sizeof out->currency - 1);
}

static bool tell_overdue(const deadlines *d, const db_rows *rows, size_t i, arena *a,
                         case_new *out) {
    char since[32];
    const int rail = db_get_i16(rows, i, 2), step = db_get_i16(rows, i, 3);
    time_format_rfc3339(db_get_time(rows, i, 4), since, sizeof since);
    const str reason = db_get_str(rows, i, 6);
    const char *text =
        arena_printf(a, "at %s of %s since %s, tried %d times%s%.*s", saga_step_name(step),
                     deadlines_connection_name(d, rail, a), since, (int)db_get_i32(rows, i, 5),
                     reason.len > 0 ? "; last reason: " : "", (int)reason.len, reason.ptr);
    *out = (case_new){
        .kind = "PAYOUT_OVERDUE",
        .subject_type = "payout",
        .subject_id = str_of(uuid_text(a, db_get_uuid(rows, i, 1))),
        .merchant_id = db_get_str(rows, i, 7),
        .code = str_of(saga_step_name(step)),
        .text = str_of(text),
        .amount = db_get_i64(rows, i, 8),
    };
    set_currency(out, db_get_str(rows, i, 9));
    return text != NULL;
}

static bool open_overdue(const deadlines *d, db_conn *c, const db_rows *rows, int64_t now_us,
                         arena *a, err *e) {
    const size_t n = db_count(rows);
    case_new *cases = ARENA_ARRAY(a, case_new, n + 1);
    if (cases == NULL) {
        return deadlines_no_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        if (!tell_overdue(d, rows, i, a, &cases[i])) {
            return deadlines_no_memory(e);
        }
    }
    return deadlines_open(c, rows, cases, now_us, a, e);
}

// Held payouts without a case: of an older version, or after an order that could not be carried out.
static bool see_held(db_conn *c, const int64_t *books, size_t n_books, int64_t now_us, arena *a,
                     err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64_array(p, books, n_books);
    db_i64(p, OVERDUE_MAX);
    if (!db_exec(c, jobs_sql(JOBS_SQL_HELD_UNSEEN), p, a, &rows, NULL, e)) {
        return false;
    }
    const size_t n = db_count(rows);
    case_new *cases = ARENA_ARRAY(a, case_new, n + 1);
    if (cases == NULL) {
        return deadlines_no_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        const str text = db_get_str(rows, i, 6), reason = db_get_str(rows, i, 7),
                  detail = db_get_str(rows, i, 8);
        cases[i] = (case_new){
            .kind = "PAYOUT_HELD",
            .subject_type = "payout",
            .subject_id = str_of(uuid_text(a, db_get_uuid(rows, i, 1))),
            .merchant_id = db_get_str(rows, i, 2),
            .code = db_get_str(rows, i, 5),
            .text =
                str_of(arena_printf(a, "%.*s; the last step: %.*s %.*s", (int)text.len, text.ptr,
                                    (int)reason.len, reason.ptr, (int)detail.len, detail.ptr)),
            .amount = db_get_i64(rows, i, 3),
        };
        set_currency(&cases[i], db_get_str(rows, i, 4));
    }
    return deadlines_open(c, rows, cases, now_us, a, e);
}

static bool close_moved_on(db_conn *c, int64_t now_us, arena *a, err *e) {
    static const char *const HELD[] = {"PAYOUT_HELD", "PAYOUT_CONTRADICTION", "PAYOUT_UNREADABLE",
                                       "PAYOUT_LEDGER", NULL};
    static const char *const OVERDUE[] = {"PAYOUT_OVERDUE", NULL};
    static const deadlines_closing FREED = {JOBS_SQL_FREED, HELD, "payout",
                                            "the payout is not held any more"};
    static const deadlines_closing MOVED = {
        JOBS_SQL_MOVED_ON, OVERDUE, "payout",
        "the payout moved on, or is held and has a case of its own"};
    return deadlines_close(c, &FREED, now_us, a, e) && deadlines_close(c, &MOVED, now_us, a, e);
}

// --- Connections that are switched off --------------------------------------------------------------------------------------

// One case per missing connection that payouts wait for; closed when none waits any more.
static bool see_switched_off(const deadlines *d, db_conn *c, const int64_t *books, size_t n_books,
                             int64_t now_us, arena *a, err *e) {
    int16_t off[CONNECTIONS_MAX];
    bool is_on[CONNECTIONS_MAX + 1] = {false};
    size_t n_off = 0, n_known = 0;
    const connection_info *known = connections_all(d->connections, &n_known);
    for (size_t i = 0; i < n_known; i++) {
        is_on[known[i].id] = known[i].on;
    }
    for (int id = 1; id <= CONNECTIONS_MAX; id++) {
        if (!is_on[id]) {
            off[n_off++] = (int16_t)id;
        }
    }
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64_array(p, books, n_books);
    db_i16_array(p, off, n_off);
    db_i64(p, COUNTED_MAX);
    if (!db_exec(c, jobs_sql(JOBS_SQL_WAITING), p, a, &rows, NULL, e)) {
        return false;
    }
    bool waits[CONNECTIONS_MAX + 1] = {false};
    case_new cases[CONNECTIONS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < db_count(rows); i++) {
        const int id = db_get_i16(rows, i, 0);
        const int64_t since_us = db_get_time(rows, i, 2);
        waits[id] = true;
        if (since_us > now_us - d->settings.switched_off_s * US_PER_S) {
            continue;
        }
        char since[32];
        time_format_rfc3339(since_us, since, sizeof since);
        cases[n++] = (case_new){
            .kind = "CONNECTION_OFF",
            .subject_type = "connection",
            .subject_id = str_of(deadlines_connection_name(d, id, a)),
            .code = STR("SWITCHED_OFF"),
            .text = str_of(arena_printf(a, "%" PRId64 " payouts wait for it, the oldest since %s",
                                        db_get_i64(rows, i, 1), since)),
        };
    }
    str gone[CONNECTIONS_MAX];
    size_t n_gone = 0;
    for (int id = 1; id <= CONNECTIONS_MAX; id++) {
        if (!waits[id]) {
            gone[n_gone++] = str_of(deadlines_connection_name(d, id, a));
        }
    }
    return cases_keep(c, 0, cases, n, now_us, a, e) &&
           cases_close(c, 0, "CONNECTION_OFF", "connection", gone, n_gone,
                       STR("no payout waits for it any more, or it is switched on"), now_us, a,
                       NULL, e);
}

// One case per connection whose bank has not answered for long; closed when it answers.
static bool see_down(const deadlines *d, db_conn *c, int64_t now_us, arena *a, err *e) {
    case_new cases[CONNECTIONS_MAX];
    str back[CONNECTIONS_MAX];
    size_t n = 0, n_back = 0, n_known = 0;
    const connection_info *known = connections_all(d->connections, &n_known);
    for (size_t i = 0; i < n_known; i++) {
        const connection_info *k = &known[i];
        const int64_t since_us = is_down(k) ? k->down_since_us(k->arg, k->id) : 0;
        if (since_us == 0) {
            back[n_back++] = str_of(k->name);
        } else if (since_us <= now_us - d->settings.switched_off_s * US_PER_S) {
            char since[32];
            time_format_rfc3339(since_us, since, sizeof since);
            cases[n++] = (case_new){
                .kind = "CONNECTION_DOWN",
                .subject_type = "connection",
                .subject_id = str_of(k->name),
                .code = STR("NO_ANSWER"),
                .text = str_of(arena_printf(a, "the bank has not answered since %s", since)),
            };
        }
    }
    return cases_keep(c, 0, cases, n, now_us, a, e) &&
           cases_close(c, 0, "CONNECTION_DOWN", "connection", back, n_back,
                       STR("the bank answers again"), now_us, a, NULL, e);
}

static bool run(db_conn *c, int64_t now_us, arena *a, void *arg, err *e) {
    const deadlines *d = arg;
    int64_t *books = NULL;
    size_t n_books = 0;
    db_rows *rows = NULL;
    return books_list(c, BOOKS_OF_MERCHANTS, &books, &n_books, a, e) &&
           find_overdue(d, c, books, n_books, now_us, a, &rows, e) &&
           open_overdue(d, c, rows, now_us, a, e) && see_held(c, books, n_books, now_us, a, e) &&
           close_moved_on(c, now_us, a, e) &&
           see_switched_off(d, c, books, n_books, now_us, a, e) && see_down(d, c, now_us, a, e) &&
           deadlines_inbox(d, c, now_us, a, e) && deadlines_unheard(d, c, now_us, a, e) &&
           deadlines_deposits(d, c, now_us, a, e);
}

deadlines *deadlines_create(const deadlines_settings *settings, connections *known) {
    deadlines *d = calloc(1, sizeof *d);
    ASSERT(d != NULL);
    d->settings = *settings;
    d->connections = known;
    d->gauges = gauges_create();
    return d;
}

void deadlines_destroy(deadlines *d) {
    if (d != NULL) {
        gauges_destroy(d->gauges);
        free(d);
    }
}

size_t deadlines_jobs(deadlines *d, job out[DEADLINES_JOBS]) {
    out[0] = (job){.name = "deadlines", .every_ms = d->settings.every_ms, .run = run, .arg = d};
    out[1] = (job){.name = "gauges",
                   .every_ms = d->settings.every_ms,
                   .each_instance = true,
                   .run = gauges_read,
                   .arg = d};
    return DEADLINES_JOBS;
}
