// Takes ended leases over: oldest first, each in its own transaction. A payout whose intent is missing in its log is held for a person,
// with a case. A lease whose take-over the database refuses is remembered and tried ever more rarely, so that it delays no other.
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/metrics.h"
#include "cases/cases.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

enum {
    EXPIRED_MAX = 100, // leases per call; the next look finds the rest
    ONE_LEASE_MS = 2000,
    STUCK_BACKOFF_BASE_MS = 1000,
    STUCK_BACKOFF_CAP_MS = 300000,
    NAMED_MAX = 20 // payouts of one lease named in the log
};

// --- Failed take-overs -----------------------------------------------------------------------------------------------

static saga_stuck_lease *find_stuck(saga_stuck *s, uuid lease_id) {
    for (size_t i = 0; i < s->n; i++) {
        if (uuid_eq(s->leases[i].lease_id, lease_id)) {
            return &s->leases[i];
        }
    }
    return NULL;
}

static void forget_stuck(saga_stuck *s, uuid lease_id) {
    saga_stuck_lease *l = find_stuck(s, lease_id);
    if (l != NULL) {
        *l = s->leases[--s->n];
    }
}

static void remember_stuck(saga_stuck *s, uuid lease_id, int64_t now_ms) {
    saga_stuck_lease *l = find_stuck(s, lease_id);
    if (l == NULL) {
        if (s->n == SAGA_STUCK_MAX) { // the next one is retried a little too soon
            size_t soonest = 0;
            for (size_t i = 1; i < s->n; i++) {
                soonest =
                    s->leases[i].not_before_ms < s->leases[soonest].not_before_ms ? i : soonest;
            }
            s->leases[soonest] = s->leases[--s->n];
        }
        l = &s->leases[s->n++];
        *l = (saga_stuck_lease){.lease_id = lease_id};
    }
    l->not_before_ms =
        now_ms + STUCK_BACKOFF_BASE_MS +
        clock_backoff_ms(clock_system(), STUCK_BACKOFF_BASE_MS, STUCK_BACKOFF_CAP_MS, l->failures);
    l->failures += l->failures < 30 ? 1 : 0;
}

// --- Ended leases ------------------------------------------------------------------------------------------------------

typedef struct expired {
    const int64_t *books;
    size_t n_books;
    const saga_stuck *stuck;
    int64_t now_ms;
    db_rows *leases;
} expired;

static bool find_expired(db_conn *c, arena *a, void *arg, err *e) {
    expired *x = arg;
    uuid not_now[SAGA_STUCK_MAX];
    size_t n = 0;
    for (size_t i = 0; i < x->stuck->n; i++) {
        if (x->stuck->leases[i].not_before_ms > x->now_ms) {
            not_now[n++] = x->stuck->leases[i].lease_id;
        }
    }
    db_params *p = db_params_create(a);
    db_i64_array(p, x->books, x->n_books);
    db_uuid_array(p, not_now, n);
    db_i64(p, EXPIRED_MAX);
    return db_exec(c, saga_sql(SAGA_SQL_EXPIRED), p, a, &x->leases, NULL, e);
}

// --- One lease -------------------------------------------------------------------------------------------------------

typedef struct takeover {
    int64_t book_id;
    uuid lease_id;
    int32_t n; // sagas brought up to their logs; 0: it was renewed, given back, or taken by another
} takeover;

// A policy for a claim that only finds out the step.
static const saga_policy TAKEN_OVER = {
    .attempts_max = 1, .backoff_base_ms = 1, .backoff_cap_ms = 1, .resolve_after_ms = 1};

// From the row and the intent the machine rebuilds the claim's saga. False: a required intent is missing.
static bool bring_up(const db_rows *rows, size_t row, saga_item *item) {
    const size_t k = SAGA_N_COLUMNS; // the first column of the intent
    saga_row_read(rows, row, item);
    item->now.amount = db_is_null(rows, row, k + 8) ? 0 : db_get_i64(rows, row, k + 8);
    item->uncounted = db_get_i32(rows, row, k + 9);
    if (db_is_null(rows, row, k)) {
        item->epoch++;
        saga_take_over(&item->now, NULL, &TAKEN_OVER, clock_system());
        return !saga_try_is_logged(&item->was) && saga_is_repeat(&item->was, item->now.step);
    }
    const saga_intent intent = {.step = (saga_step)db_get_i16(rows, row, k),
                                .attempt = db_get_i32(rows, row, k + 1),
                                .outlook = (saga_state)db_get_i16(rows, row, k + 2),
                                .moving = db_get_i64(rows, row, k + 3),
                                .code = db_get_str(rows, row, k + 4),
                                .text = db_get_str(rows, row, k + 5)};
    item->log_seq++;
    item->reference = db_get_str(rows, row, k + 6);
    item->epoch = db_get_i64(rows, row, k + 7);
    saga_take_over(&item->now, &intent, &TAKEN_OVER, clock_system());
    return true;
}

// The action under way is unknown. If it may have been sent, the bank is first asked when the saga goes on.
static void hold_orphan(saga_item *item) {
    const int64_t amount = item->now.amount;
    saga *s = &item->now;
    *s = item->was;
    s->amount = amount;
    if (s->step == STEP_EXECUTE) {
        s->attempt += s->phase == PHASE_READY && s->tries == 0 ? 1 : 0;
        s->step = STEP_RESOLVE;
        s->tries = 0;
        s->doubt = DOUBT_UNKNOWN;
    }
    s->phase = PHASE_READY;
    saga_hold(s, STR("LEASE_WITHOUT_INTENT"),
              STR("its worker is gone, and what it was about to do is not in the step log"));
}

typedef struct orphans {
    uuid *ids;
    size_t n;
} orphans;

// The lease's payouts without a saga.
static bool add_missing(db_conn *c, const takeover *t, orphans *o, size_t max, arena *a, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, saga_sql(SAGA_SQL_ORPHANS), saga_lease_params(a, t->book_id, t->lease_id), a,
                 &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows) && o->n < max; i++) {
        o->ids[o->n++] = db_get_uuid(rows, i, 0);
    }
    return true;
}

// Opens cases for a person (promise SEEN).
static bool tell_orphans(db_conn *c, const takeover *t, const orphans *o, arena *a, err *e) {
    case_new *cases = ARENA_ARRAY(a, case_new, o->n + 1);
    char(*ids)[UUID_TEXT_LEN + 1] = arena_calloc(a, o->n + 1, sizeof *ids);
    char lease[UUID_TEXT_LEN + 1];
    if (cases == NULL || ids == NULL) {
        return err_no_memory(e, "the lease");
    }
    uuid_format(t->lease_id, lease);
    for (size_t i = 0; i < o->n; i++) {
        uuid_format(o->ids[i], ids[i]);
        cases[i] = (case_new){.kind = "PAYOUT_HELD",
                              .subject_type = "payout",
                              .subject_id = str_of(ids[i]),
                              .code = STR("LEASE_WITHOUT_INTENT"),
                              .text = STR("its worker is gone, and what it was about to do is not "
                                          "in the step log")};
        if (i < NAMED_MAX) {
            log_error("saga.payout_without_intent", F_INT("book", t->book_id),
                      F_STR("lease", lease), F_STR("payout", ids[i]));
        }
    }
    return cases_open(c, t->book_id, cases, o->n, clock_wall_us(clock_system()), a, e);
}

static bool take_over_sagas(db_conn *c, const takeover *t, arena *a, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, saga_sql(SAGA_SQL_LEASED), saga_lease_params(a, t->book_id, t->lease_id), a,
                 &rows, NULL, e)) {
        return false;
    }
    const size_t n = db_count(rows);
    saga_item *items = ARENA_ARRAY(a, saga_item, n + 1);
    const saga_item **all = ARENA_ARRAY(a, const saga_item *, n + 1);
    if (items == NULL || all == NULL) {
        return err_no_memory(e, "the lease");
    }
    const size_t max = (size_t)t->n > n ? (size_t)t->n : n;
    orphans o = {ARENA_ARRAY(a, uuid, max + 1), 0};
    if (o.ids == NULL) {
        return err_no_memory(e, "the lease");
    }
    for (size_t i = 0; i < n; i++) {
        if (!bring_up(rows, i, &items[i])) {
            hold_orphan(&items[i]);
            o.ids[o.n++] = items[i].payout_id;
        }
        all[i] = &items[i];
    }
    return (n == (size_t)t->n || add_missing(c, t, &o, max, a, e)) &&
           (o.n == 0 || tell_orphans(c, t, &o, a, e)) &&
           saga_rows_write(c, t->book_id, all, n, clock_wall_us(clock_system()), a, e);
}

static bool take_over_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    takeover *t = arg;
    db_params *p = saga_lease_params(a, t->book_id, t->lease_id);
    db_rows *rows = NULL;
    t->n = 0;
    if (!db_exec(c, saga_sql(SAGA_SQL_LOCK_EXPIRED), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return true;
    }
    t->n = db_get_i32(rows, 0, 0);
    if (!saga_plan_each_time(c, a, e) || !take_over_sagas(c, t, a, e)) {
        return false;
    }
    CRASH_POINT("saga.takeover.written");
    return db_exec(c, saga_sql(SAGA_SQL_DROP_LEASE), p, a, NULL, NULL, e);
}

static void tell_stuck(const takeover *t, const err *why) {
    char lease[UUID_TEXT_LEN + 1];
    uuid_format(t->lease_id, lease);
    log_err(LOG_ERROR, "saga.take_over_refused", why);
    log_error("saga.lease_stuck", F_INT("book", t->book_id), F_STR("lease", lease));
}

// The database is away: the lease's state is unknown.
static bool is_of_the_database(const err *e) {
    return e->code == ERR_UNAVAILABLE || e->code == ERR_RESOURCE_EXHAUSTED ||
           (e->flags & (ERR_CONNECTION_LOST | ERR_COMMIT_UNKNOWN)) != 0;
}

static metric *stuck_gauge(void) {
    return metric_gauge("saga_leases_stuck", "",
                        "Leases that are over and cannot be taken away: their payouts stand.");
}

static metric *failures_counter(void) {
    return metric_counter("saga_take_over_failures_total", "",
                          "Tries to take a lease away that were in vain.");
}

bool saga_store_take_over(db_pool *pool, const int64_t *books, size_t n_books, saga_stuck *stuck,
                          int64_t *n, int64_t deadline_mono_ms, arena *a, err *e) {
    const int64_t begun_ms = clock_mono_ms(clock_system());
    expired x = {books, n_books, stuck, begun_ms, NULL};
    *n = 0;
    if (!db_read(pool, deadline_mono_ms, a, find_expired, &x, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(x.leases); i++) {
        const int64_t now_ms = clock_mono_ms(clock_system());
        if (now_ms >= deadline_mono_ms) {
            break; // the next look goes on
        }
        const int64_t until_ms =
            now_ms + ONE_LEASE_MS < deadline_mono_ms ? now_ms + ONE_LEASE_MS : deadline_mono_ms;
        takeover t = {db_get_i64(x.leases, i, 0), db_get_uuid(x.leases, i, 1), 0};
        if (!db_transact(pool, until_ms, a, take_over_in_tx, &t, e)) {
            if (is_of_the_database(e)) {
                return false;
            }
            metric_add(failures_counter(), 1);
            remember_stuck(stuck, t.lease_id, now_ms);
            tell_stuck(&t, e);
            continue;
        }
        CRASH_POINT("saga.takeover.committed");
        forget_stuck(stuck, t.lease_id);
        *n += t.n;
        if (t.n > 0) {
            log_warn("saga.lease_taken_over", F_INT("book", t.book_id), F_INT("n", t.n));
        }
    }
    metric_set(stuck_gauge(), (int64_t)stuck->n);
    return true;
}
