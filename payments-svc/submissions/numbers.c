// Numbers of a connection: rows of book 0, since one connection serves all books.
#include <stdio.h>

#include "base/crash.h"
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

static str date_text(int64_t yyyymmdd, char out[9]) {
    for (size_t i = 8; i > 0; i--) {
        out[i - 1] = (char)('0' + yyyymmdd % 10);
        yyyymmdd /= 10;
    }
    out[8] = '\0';
    return (str){out, 8};
}

bool submission_numbers_look(db_conn *c, int connection, int64_t yyyymmdd, int64_t *next_number,
                             int *ids_used, arena *a, err *e) {
    char date[9];
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)connection);
    db_text(p, date_text(yyyymmdd, date));
    db_i64(p, 0); // the book for rows of a connection
    db_rows *rows = NULL;
    if (!db_exec(c, submissions_sql(SUBM_SQL_NUMBERS_LOOK), p, a, &rows, NULL, e)) {
        return false;
    }
    *next_number = db_get_i64(rows, 0, 0);
    *ids_used = db_get_i32(rows, 0, 1);
    return true;
}

typedef struct taking {
    int connection;
    int64_t n, max, next;
    int32_t cycle;
} taking;

static bool lock_counter(db_conn *c, taking *t, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)t->connection);
    for (int tries = 0; tries < 2; tries++) {
        db_rows *rows = NULL;
        if (!db_exec(c, submissions_sql(SUBM_SQL_NUMBER_LOCK), p, a, &rows, NULL, e)) {
            return false;
        }
        if (db_count(rows) == 1) {
            t->cycle = db_get_i32(rows, 0, 0);
            t->next = db_get_i64(rows, 0, 1);
            return true;
        }
        if (!db_exec(c, submissions_sql(SUBM_SQL_NUMBER_INSERT), p, a, NULL, NULL, e)) {
            return false;
        }
    }
    return err_set(e, ERR_INTERNAL, "SUBMISSION_NUMBER", "the counter row cannot be made");
}

static bool take_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    taking *t = arg;
    if (!lock_counter(c, t, a, e)) {
        return false;
    }
    if (t->next + t->n - 1 > t->max) {
        // the rest of the cycle is given up: the numbers of one submission must be consecutive
        t->next = 1;
        t->cycle++;
    }
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)t->connection);
    db_i32(p, t->cycle);
    db_i64(p, t->next + t->n);
    return db_exec(c, submissions_sql(SUBM_SQL_NUMBER_UPDATE), p, a, NULL, NULL, e);
}

bool submission_numbers_take(db_pool *pool, int connection, int64_t n, int64_t max, int64_t *first,
                             int32_t *cycle, err *e) {
    taking t = {.connection = connection, .n = n, .max = max};
    arena *a = arena_create(1 << 20);
    const int64_t deadline = clock_mono_ms(clock_system()) + SUBM_DB_TIMEOUT_MS;
    const bool ok = db_transact(pool, deadline, a, take_in_tx, &t, e);
    CRASH_POINT("submission.numbered");
    *first = t.next;
    *cycle = t.cycle;
    arena_destroy(a);
    return ok;
}

static bool read_now(db_conn *c, submission_numbers *out, arena *a, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, submissions_sql(SUBM_SQL_NOW), NULL, a, &rows, NULL, e)) {
        return false;
    }
    out->now_us = db_get_time(rows, 0, 0);
    return true;
}

static db_params *day_key(const submission_numbers *numbers, char date[9], arena *a) {
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)numbers->connection);
    db_text(p, str_of(numbers->origin));
    db_text(p, date_text(numbers->file_date, date));
    return p;
}

static void day_values(db_params *p, const submission_numbers *numbers) {
    db_i16(p, (int16_t)numbers->next_modifier);
    db_time(p, numbers->window_us);
    db_i32(p, numbers->in_window);
    db_time(p, numbers->cut_us);
}

static bool lock_day(db_conn *c, submission_numbers *out, arena *a, err *e) {
    char date[9];
    for (int tries = 0; tries < 2; tries++) {
        db_rows *rows = NULL;
        if (!db_exec(c, submissions_sql(SUBM_SQL_DAY_LOCK), day_key(out, date, a), a, &rows, NULL,
                     e)) {
            return false;
        }
        if (db_count(rows) == 1) {
            out->next_modifier = db_get_i16(rows, 0, 0);
            out->window_us = db_get_time(rows, 0, 1);
            out->in_window = db_get_i32(rows, 0, 2);
            out->cut_us = db_get_time(rows, 0, 3);
            return true;
        }
        out->next_modifier = 0;
        out->window_us = out->cut_us = 0;
        out->in_window = 0;
        db_params *p = day_key(out, date, a);
        day_values(p, out);
        if (!db_exec(c, submissions_sql(SUBM_SQL_DAY_INSERT), p, a, NULL, NULL, e)) {
            return false;
        }
    }
    return err_set(e, ERR_INTERNAL, "SUBMISSION_DAY", "the row of the day cannot be made");
}

bool submission_numbers_lock(db_conn *c, int connection, const char *origin, int64_t shift_us,
                             int64_t (*date_of)(int64_t now_us), submission_numbers *out, arena *a,
                             err *e) {
    *out = (submission_numbers){.connection = connection};
    (void)snprintf(out->origin, sizeof out->origin, "%s", origin);
    if (!read_now(c, out, a, e)) {
        return false;
    }
    out->now_us += shift_us;
    out->file_date = date_of(out->now_us);
    return lock_day(c, out, a, e);
}

bool submission_numbers_store(db_conn *c, const submission_numbers *numbers, arena *a, err *e) {
    char date[9];
    db_params *p = day_key(numbers, date, a);
    day_values(p, numbers);
    return db_exec(c, submissions_sql(SUBM_SQL_DAY_UPDATE), p, a, NULL, NULL, e);
}
