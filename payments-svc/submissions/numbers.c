// Numbers of a connection: rows of book 0, since one connection serves all books.
#include <stdio.h>

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

static bool lock_counter(db_conn *c, submission_numbers *out, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)out->connection);
    for (int tries = 0; tries < 2; tries++) {
        db_rows *rows = NULL;
        if (!db_exec(c, submissions_sql(SUBM_SQL_NUMBER_LOCK), p, a, &rows, NULL, e)) {
            return false;
        }
        if (db_count(rows) == 1) {
            out->cycle = db_get_i32(rows, 0, 0);
            out->next_number = db_get_i64(rows, 0, 1);
            out->now_us = db_get_time(rows, 0, 2);
            return true;
        }
        if (!db_exec(c, submissions_sql(SUBM_SQL_NUMBER_INSERT), p, a, NULL, NULL, e)) {
            return false;
        }
    }
    return err_set(e, ERR_INTERNAL, "SUBMISSION_NUMBER", "the counter row cannot be made");
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
    if (!lock_counter(c, out, a, e)) {
        return false;
    }
    out->now_us += shift_us;
    out->file_date = date_of(out->now_us);
    return lock_day(c, out, a, e);
}

bool submission_numbers_store(db_conn *c, const submission_numbers *numbers, arena *a, err *e) {
    char date[9];
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)numbers->connection);
    db_i32(p, numbers->cycle);
    db_i64(p, numbers->next_number);
    if (!db_exec(c, submissions_sql(SUBM_SQL_NUMBER_UPDATE), p, a, NULL, NULL, e)) {
        return false;
    }
    p = day_key(numbers, date, a);
    day_values(p, numbers);
    return db_exec(c, submissions_sql(SUBM_SQL_DAY_UPDATE), p, a, NULL, NULL, e);
}
