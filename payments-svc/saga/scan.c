// Due work of all books at once.
#include "base/assert.h"
#include "books/books.h"
#include "domain/ids.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

int16_t saga_step_lanes(saga_step step) {
    return step == STEP_RESERVE || step == STEP_EXECUTE ? MERCHANT_LANES : 1;
}

typedef struct reading {
    db_params *params;
    saga_sql_id sql;
    db_rows *rows;
} reading;

static bool read_rows(db_conn *c, arena *a, void *arg, err *e) {
    reading *r = arg;
    return db_exec(c, saga_sql(r->sql), r->params, a, &r->rows, NULL, e);
}

typedef struct books_known {
    int64_t *books;
    size_t max, *n;
} books_known;

static bool more_books(db_conn *c, arena *a, void *arg, err *e) {
    const books_known *k = arg;
    return books_more(c, BOOKS_OF_MERCHANTS, k->books, k->max, k->n, a, e);
}

bool saga_store_books(db_pool *pool, int64_t *books, size_t max, size_t *n,
                      int64_t deadline_mono_ms, arena *a, err *e) {
    books_known k = {books, max, n};
    return db_read(pool, deadline_mono_ms, a, more_books, &k, e);
}

static void take_row(saga_scan *s, const db_rows *rows, size_t i) {
    if (!db_is_null(rows, i, 5)) {
        const int64_t next_us = db_get_time(rows, i, 5);
        s->next_us = next_us < s->next_us ? next_us : s->next_us;
    }
    const int64_t leased = db_get_i64(rows, i, 6), count = db_get_i64(rows, i, 3) - leased;
    if (count > 0) { // leased ones have an owner
        s->due[s->n++] =
            (saga_due){db_get_i64(rows, i, 0), db_get_i16(rows, i, 1),
                       (saga_step)db_get_i16(rows, i, 2), count, db_get_time(rows, i, 4)};
    }
}

bool saga_store_scan(db_pool *pool, const int64_t *books, size_t n_books, const int16_t *rails,
                     size_t n_rails, int64_t now_us, int64_t limit, saga_scan *s,
                     int64_t deadline_mono_ms, arena *a, err *e) {
    int16_t steps[STEP_COUNT];
    int32_t lanes[STEP_COUNT];
    size_t n_steps = 0;
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        steps[n_steps] = (int16_t)step;
        lanes[n_steps++] = saga_step_lanes((saga_step)step);
    }
    reading r = {db_params_create(a), SAGA_SQL_SCAN, NULL};
    db_i64_array(r.params, books, n_books);
    db_i16_array(r.params, rails, n_rails);
    db_i16_array(r.params, steps, n_steps);
    db_i32_array(r.params, lanes, n_steps);
    db_time(r.params, now_us);
    db_i64(r.params, limit);
    if (!db_read(pool, deadline_mono_ms, a, read_rows, &r, e)) {
        return false;
    }
    *s = (saga_scan){ARENA_ARRAY(a, saga_due, db_count(r.rows) + 1), 0, INT64_MAX};
    if (s->due == NULL) {
        return err_no_memory(e, "what is due");
    }
    for (size_t i = 0; i < db_count(r.rows); i++) {
        take_row(s, r.rows, i);
    }
    return true;
}
