// A recovery's listing of the bank's folders, and its meaning for payouts that clients repeat.
#include "submissions/forgotten.h"

#include <stdio.h>
#include <string.h>

#include "connections/pause.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

// A file keeps its upload time, by the bank's clock. The newest known submission may have waited for its window. So this margin.
#define MARGIN_US (INT64_C(2) * 86400 * 1000000)

// --- The listing -------------------------------------------------------------------------------------------------------

// UUIDv7 begins with its time, in milliseconds.
static int64_t time_of(uuid id) {
    int64_t ms = 0;
    for (size_t i = 0; i < 6; i++) {
        ms = ms << 8 | id.b[i];
    }
    return ms * 1000;
}

static bool want_listing(db_conn *c, int connection, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i16(p, (int16_t)connection);
    if (!db_exec(c, submissions_sql(SUBM_SQL_NEWEST), p, a, &rows, NULL, e)) {
        return false;
    }
    const int64_t newest_us = db_count(rows) == 0 ? 0 : time_of(db_get_uuid(rows, 0, 0));
    p = db_params_create(a);
    db_i16(p, (int16_t)connection);
    db_time(p, newest_us > MARGIN_US ? newest_us - MARGIN_US : 0);
    db_time(p, clock_wall_us(clock_system()));
    return db_exec(c, submissions_sql(SUBM_SQL_LISTING_WANT), p, a, NULL, NULL, e);
}

static bool begin(void *arg, db_conn *c, arena *a, err *e) {
    const submission_recovery *r = arg;
    for (size_t i = 0; i < r->n_rails; i++) {
        if (r->rails[i]->hands_over && !want_listing(c, r->rails[i]->id, a, e)) {
            return false;
        }
    }
    return true;
}

static bool left(void *arg, db_conn *c, arena *a, int64_t *n, err *e) {
    const submission_recovery *r = arg;
    int16_t connections[16];
    size_t n_connections = 0;
    for (size_t i = 0; i < r->n_rails && n_connections < 16; i++) {
        if (r->rails[i]->hands_over) {
            connections[n_connections++] = (int16_t)r->rails[i]->id;
        }
    }
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i16_array(p, connections, n_connections);
    *n = 0;
    if (!db_exec(c, submissions_sql(SUBM_SQL_LISTING_LEFT), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_get_i64(rows, 0, 0);
    return true;
}

guard_part submission_listing_part(submission_recovery *r) {
    return (guard_part){"listings of the banks' folders", r, begin, left};
}

bool submission_listing_wanted(db_conn *c, int connection, bool *wanted, int64_t *since_us,
                               arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i16(p, (int16_t)connection);
    if (!db_exec(c, submissions_sql(SUBM_SQL_LISTING_WANTED), p, a, &rows, NULL, e)) {
        return false;
    }
    *wanted = db_count(rows) == 1;
    *since_us = *wanted ? db_get_time(rows, 0, 0) : 0;
    return true;
}

bool submission_names_unknown(db_conn *c, int connection, const str *names, size_t n, bool *unknown,
                              arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i16(p, (int16_t)connection);
    db_text_array(p, names, n);
    memset(unknown, 0, n * sizeof *unknown);
    if (!db_exec(c, submissions_sql(SUBM_SQL_NAMES_UNKNOWN), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const int64_t at = db_get_i64(rows, i, 0) - 1;
        if (at >= 0 && (size_t)at < n) {
            unknown[at] = true;
        }
    }
    return true;
}

static bool pause_it(db_conn *c, int connection, arena *a, err *e) {
    bool changed = false;
    const pause_row row = {
        .scope = {.connection = connection, .merchant_id = STR("")},
        .reason = STR("recovery: files may have been sent that nobody knows, and the bank shows "
                      "none; compare its list with ours, then resume"),
        .actor = STR("payments-svc"),
        .since_us = clock_wall_us(clock_system())};
    return pause_set_one(c, &row, a, &changed, e);
}

bool submission_listing_done(db_conn *c, int connection, const char *name, submission_shown shown,
                             int32_t files, arena *a, err *e) {
    const int64_t now_us = clock_wall_us(clock_system());
    const str subject = str_of(name);
    int64_t n = 0;
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)connection);
    db_time(p, now_us);
    db_i32(p, files);
    db_i16(p, (int16_t)shown);
    if (!db_exec(c, submissions_sql(SUBM_SQL_LISTING_DONE), p, a, NULL, &n, e)) {
        return false;
    }
    if (n == 0) {
        return true; // another instance was faster
    }
    return shown == SHOWN_NOTHING ? pause_it(c, connection, a, e)
           : shown == SHOWN_ALL
               ? cases_close(c, 0, "RECOVERY", "connection", &subject, 1,
                             STR("the bank shows all that it took, and it was compared"), now_us, a,
                             NULL, e)
               : true;
}

// --- The entries -------------------------------------------------------------------------------------------------------

bool submission_forgotten_add(db_conn *c, int64_t book_id, int connection, uuid inbox_id,
                              const submission_forgotten *entries, size_t n, arena *a, err *e) {
    str *ids = ARENA_ARRAY(a, str, n + 1);
    int64_t *numbers = ARENA_ARRAY(a, int64_t, n + 1), *amounts = ARENA_ARRAY(a, int64_t, n + 1);
    if (ids == NULL || numbers == NULL || amounts == NULL) {
        return err_no_memory(e, "a list of entries");
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = entries[i].individual_id;
        numbers[i] = entries[i].number;
        amounts[i] = entries[i].amount;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_i16(p, (int16_t)connection);
    db_uuid(p, inbox_id);
    db_text_array(p, ids, n);
    db_i64_array(p, numbers, n);
    db_i64_array(p, amounts, n);
    return db_exec(c, submissions_sql(SUBM_SQL_FORGOTTEN_ADD), p, a, NULL, NULL, e);
}

bool submission_forgotten_numbers(db_conn *c, int connection, int64_t last_number, str origin,
                                  int64_t yyyymmdd, int modifiers, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)connection);
    db_i64(p, last_number + 1);
    if (!db_exec(c, submissions_sql(SUBM_SQL_NUMBERS_RAISE), p, a, NULL, NULL, e)) {
        return false;
    }
    p = db_params_create(a);
    db_i16(p, (int16_t)connection);
    db_text(p, origin);
    db_text(p, str_of(arena_printf(a, "%lld", (long long)yyyymmdd)));
    db_i16(p, (int16_t)modifiers);
    db_time(p, clock_wall_us(clock_system()));
    return db_exec(c, submissions_sql(SUBM_SQL_DAY_RAISE), p, a, NULL, NULL, e);
}

static db_params *attempts_params(int64_t book_id, int connection, const str *ids,
                                  const int32_t *attempts, size_t n, arena *a) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_i16(p, (int16_t)connection);
    db_text_array(p, ids, n);
    db_i32_array(p, attempts, n);
    return p;
}

bool submission_forgotten_find(db_conn *c, int64_t book_id, int connection, const str *ids,
                               const int32_t *attempts, size_t n, bool *found, arena *a, err *e) {
    db_rows *rows = NULL;
    memset(found, 0, n * sizeof *found);
    if (!db_exec(c, submissions_sql(SUBM_SQL_FORGOTTEN_FIND),
                 attempts_params(book_id, connection, ids, attempts, n, a), a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const int64_t at = db_get_i64(rows, i, 0) - 1;
        if (at >= 0 && (size_t)at < n) {
            found[at] = true;
        }
    }
    return true;
}

bool submission_forgotten_meet(db_conn *c, int64_t book_id, int connection, const str *ids,
                               const int32_t *attempts, size_t n, bool *met, arena *a, err *e) {
    if (!submission_forgotten_find(c, book_id, connection, ids, attempts, n, met, a, e)) {
        return false;
    }
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        any |= met[i];
    }
    return !any ||
           db_exec(c, submissions_sql(SUBM_SQL_FORGOTTEN_MEET),
                   attempts_params(book_id, connection, ids, attempts, n, a), a, NULL, NULL, e);
}

bool submission_meets_forgotten(db_conn *c, int64_t book_id, uuid id, int connection, bool *meets,
                                arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    db_i16(p, (int16_t)connection);
    if (!db_exec(c, submissions_sql(SUBM_SQL_MEETS_FORGOTTEN), p, a, &rows, NULL, e)) {
        return false;
    }
    *meets = db_get_bool(rows, 0, 0);
    return true;
}
