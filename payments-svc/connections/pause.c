#include "connections/pause.h"

#include "base/assert.h"
#include "base/clock.h"
#include "connections/connections_sql.h"

enum { LOG_PAUSED = 1, LOG_RESUMED = 2 };

bool pause_read(db_conn *c, pause_set *out, arena *a, err *e) {
    *out = (pause_set){0};
    db_params *p = db_params_create(a);
    db_i64(p, PAUSE_ROWS_MAX);
    db_rows *rows = NULL;
    if (!db_exec(c, connections_sql(CONNECTIONS_SQL_PAUSES), p, a, &rows, NULL, e)) {
        return false;
    }
    const size_t n = db_count(rows);
    if (n == 0) {
        return true;
    }
    pause_row *list = ARENA_ARRAY(a, pause_row, n);
    if (list == NULL) {
        return err_no_memory(e, "the list of pauses");
    }
    for (size_t i = 0; i < n; i++) {
        list[i] = (pause_row){.scope = {.book_id = db_get_i64(rows, i, 0),
                                        .connection = db_get_i16(rows, i, 1),
                                        .merchant_id = db_get_str(rows, i, 2)},
                              .reason = db_get_str(rows, i, 3),
                              .actor = db_get_str(rows, i, 4),
                              .since_us = db_get_time(rows, i, 5)};
    }
    *out = (pause_set){list, n};
    return true;
}

static bool covers(const pause_scope *s, int64_t book_id, int connection) {
    return (s->book_id == 0 || s->book_id == book_id) &&
           (s->connection == 0 || s->connection == connection);
}

const pause_row *pause_over(const pause_set *s, int64_t book_id, int connection, str merchant_id) {
    for (size_t i = 0; i < s->n; i++) {
        const str named = s->rows[i].scope.merchant_id;
        if ((named.len == 0 || str_eq(named, merchant_id)) &&
            covers(&s->rows[i].scope, book_id, connection)) {
            return &s->rows[i];
        }
    }
    return NULL;
}

const pause_row *pause_of(const pause_set *s, int64_t book_id, int connection) {
    return pause_over(s, book_id, connection, STR(""));
}

bool pause_stops(const pause_set *s, int64_t book_id, int connection) {
    return pause_of(s, book_id, connection) != NULL;
}

size_t pause_merchants(const pause_set *s, int64_t book_id, int connection, str *out, size_t max) {
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->rows[i].scope.merchant_id.len > 0 &&
            covers(&s->rows[i].scope, book_id, connection)) {
            if (n < max) {
                out[n] = s->rows[i].scope.merchant_id;
            }
            n++;
        }
    }
    return n;
}

static bool write_log(db_conn *c, const pause_scope *s, int kind, str reason, str actor,
                      int64_t now_us, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, s->book_id);
    db_uuid(p, uuid_v7(clock_system()));
    db_i16(p, (int16_t)s->connection);
    db_text(p, s->merchant_id);
    db_i16(p, (int16_t)kind);
    db_text(p, reason);
    db_text(p, actor);
    db_time(p, now_us);
    return db_exec(c, connections_sql(CONNECTIONS_SQL_LOG), p, a, NULL, NULL, e);
}

bool pause_set_one(db_conn *c, const pause_row *row, arena *a, bool *changed, err *e) {
    pause_set all;
    if (!pause_read(c, &all, a, e)) {
        return false;
    }
    // A full set might hide a pause, so it never fills.
    if (all.n >= PAUSE_ROWS_MAX - 1) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_PAUSES",
                       "there are %zu pauses already: pause a book or a connection as a whole",
                       all.n);
    }
    db_params *p = db_params_create(a);
    db_i64(p, row->scope.book_id);
    db_i16(p, (int16_t)row->scope.connection);
    db_text(p, row->scope.merchant_id);
    db_text(p, row->reason);
    db_text(p, row->actor);
    db_time(p, row->since_us);
    int64_t n = 0;
    if (!db_exec(c, connections_sql(CONNECTIONS_SQL_PAUSE), p, a, NULL, &n, e)) {
        return false;
    }
    *changed = n == 1;
    return !*changed ||
           write_log(c, &row->scope, LOG_PAUSED, row->reason, row->actor, row->since_us, a, e);
}

bool pause_lift(db_conn *c, const pause_scope *scope, str reason, str actor, int64_t now_us,
                arena *a, bool *changed, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, scope->book_id);
    db_i16(p, (int16_t)scope->connection);
    db_text(p, scope->merchant_id);
    int64_t n = 0;
    if (!db_exec(c, connections_sql(CONNECTIONS_SQL_RESUME), p, a, NULL, &n, e)) {
        return false;
    }
    *changed = n == 1;
    return !*changed || write_log(c, scope, LOG_RESUMED, reason, actor, now_us, a, e);
}
