// Reading submissions, for people.
#include "submissions/submissions_internal.h"
#include "submissions/submissions_sql.h"

static int64_t time_or_none(const db_rows *rows, size_t i, int col) {
    return db_is_null(rows, i, col) ? INT64_MIN : db_get_time(rows, i, col);
}

static submission_row row_of(const db_rows *rows, size_t i) {
    return (submission_row){.book_id = db_get_i64(rows, i, 0),
                            .id = db_get_uuid(rows, i, 1),
                            .connection = db_get_i16(rows, i, 2),
                            .kind = db_get_i16(rows, i, 3),
                            .name = db_get_str(rows, i, 4),
                            .origin = db_get_str(rows, i, 5),
                            .items = db_get_i32(rows, i, 6),
                            .total = db_get_i64(rows, i, 7),
                            .currency = db_get_str(rows, i, 8),
                            .size = db_get_i64(rows, i, 9),
                            .sha256 = db_get_str(rows, i, 10),
                            .generation = db_get_i32(rows, i, 11),
                            .tries = db_get_i32(rows, i, 12),
                            .state = db_get_i16(rows, i, 13),
                            .reason = db_get_str(rows, i, 14),
                            .reason_text = db_get_str(rows, i, 15),
                            .created_us = db_get_time(rows, i, 16),
                            .changed_us = db_get_time(rows, i, 17),
                            .window_us = db_get_time(rows, i, 18),
                            .stale_us = db_get_time(rows, i, 19),
                            .due_us = time_or_none(rows, i, 20),
                            .sent_us = time_or_none(rows, i, 21)};
}

bool submission_list(db_conn *c, const submission_filter *f, submission_row **out, size_t *n,
                     arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64_array(p, f->books, f->n_books);
    db_i16_array(p, f->states, f->n_states);
    db_uuid(p, f->before);
    db_uuid(p, f->from);
    db_i16_array(p, f->connections, f->n_connections);
    db_i64(p, (int64_t)f->limit);
    if (!db_exec(c, submissions_sql(SUBM_SQL_LIST), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, submission_row, *n + 1);
    if (*out == NULL) {
        return err_no_memory(e, "a page of submissions");
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = row_of(rows, i);
    }
    return true;
}

static bool not_found(err *e) {
    return err_set_field(e, ERR_NOT_FOUND, "SUBMISSION_NOT_FOUND", "submission_id",
                         "there is no such submission");
}

bool submission_get(db_conn *c, uuid id, submission_row *row, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_BY_ID), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return not_found(e);
    }
    p = db_params_create(a);
    db_i64(p, db_get_i64(rows, 0, 0));
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_GET), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return not_found(e);
    }
    *row = row_of(rows, 0);
    return true;
}

bool submission_steps(db_conn *c, int64_t book_id, uuid id, submission_step **steps, size_t *n,
                      arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_STEPS), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *steps = ARENA_ARRAY(a, submission_step, *n + 1);
    if (*steps == NULL) {
        return err_no_memory(e, "a page of submissions");
    }
    for (size_t i = 0; i < *n; i++) {
        (*steps)[i] = (submission_step){
            db_get_i16(rows, i, 0),         db_get_i64(rows, i, 1), db_get_uuid_or_nil(rows, i, 2),
            db_get_uuid_or_nil(rows, i, 3), db_get_str(rows, i, 4), db_get_time(rows, i, 5)};
    }
    return true;
}

bool submission_members(db_conn *c, int64_t book_id, uuid id, int64_t after, size_t limit,
                        submission_member **members, size_t *n, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    db_i64(p, after);
    db_i64(p, (int64_t)limit);
    if (!db_exec(c, submissions_sql(SUBM_SQL_MEMBERS), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *members = ARENA_ARRAY(a, submission_member, *n + 1);
    if (*members == NULL) {
        return err_no_memory(e, "a page of submissions");
    }
    for (size_t i = 0; i < *n; i++) {
        (*members)[i] = (submission_member){db_get_uuid(rows, i, 0), db_get_i32(rows, i, 1),
                                            db_get_i64(rows, i, 2), db_get_i64(rows, i, 3)};
    }
    return true;
}

bool submission_content(db_conn *c, int64_t book_id, uuid id, str *sealed, str *seal, str *sha256,
                        arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, id);
    if (!db_exec(c, submissions_sql(SUBM_SQL_CONTENT), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return not_found(e);
    }
    *sealed = db_get_str(rows, 0, 0);
    *seal = db_get_str(rows, 0, 1);
    *sha256 = db_get_str(rows, 0, 2);
    return true;
}
