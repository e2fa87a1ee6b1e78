// Reading cases: lists, one case, its history.
#include "base/assert.h"
#include "cases/cases.h"
#include "cases/cases_internal.h"
#include "cases/cases_sql.h"

void cases_row(const db_rows *rows, size_t i, case_row *out) {
    *out = (case_row){
        .book_id = db_get_i64(rows, i, 0),
        .case_id = db_get_uuid(rows, i, 1),
        .kind = db_get_str(rows, i, 2),
        .subject_type = db_get_str(rows, i, 3),
        .subject_id = db_get_str(rows, i, 4),
        .merchant_id = db_get_str(rows, i, 5),
        .code = db_get_str(rows, i, 6),
        .text = db_get_str(rows, i, 7),
        .amount = db_get_i64(rows, i, 8),
        .currency = db_get_str(rows, i, 9),
        .state = db_get_i16(rows, i, 10),
        .owner = db_get_str(rows, i, 11),
        .resolution = db_get_str(rows, i, 12),
        .seen = db_get_i64(rows, i, 13),
        .opened_us = db_get_time(rows, i, 14),
        .due_us = db_get_time(rows, i, 15),
        .seen_us = db_get_time(rows, i, 16),
        .resolved_us = db_is_null(rows, i, 17) ? 0 : db_get_time(rows, i, 17),
    };
}

static void param_text(db_params *p, str s) {
    if (s.len == 0) {
        db_null(p, OID_TEXT);
    } else {
        db_text(p, s);
    }
}

// Chooses the statement by its index: partial indexes hold the open cases; other cases are read within one book.
static const db_stmt *list_statement(const case_filter *f, db_params *p) {
    if (!f->in_book) {
        ASSERT(!f->resolved && f->subject_type.len == 0);
        return cases_sql(CASES_SQL_LIST_ACROSS);
    }
    db_i64(p, f->book_id);
    if (f->subject_type.len > 0) {
        db_text(p, f->subject_type);
        db_text(p, f->subject_id);
        return cases_sql(CASES_SQL_LIST_SUBJECT);
    }
    if (f->merchant_id.len > 0) {
        return cases_sql(CASES_SQL_LIST_MERCHANT);
    }
    return cases_sql(f->resolved ? CASES_SQL_LIST_BOOK : CASES_SQL_LIST_OPEN);
}

bool cases_list(db_conn *c, const case_filter *f, arena *a, case_row **out, size_t *n, err *e) {
    ASSERT(f->open || f->resolved);
    int16_t states[2];
    size_t n_states = 0;
    if (f->open) {
        states[n_states++] = CASE_STATE_OPEN;
    }
    if (f->resolved) {
        states[n_states++] = CASE_STATE_RESOLVED;
    }
    db_params *p = db_params_create(a);
    db_uuid(p, f->after);
    db_i64(p, f->limit);
    db_i16_array(p, states, n_states);
    param_text(p, f->kind);
    param_text(p, f->owner);
    param_text(p, f->merchant_id);
    const db_stmt *statement = list_statement(f, p);
    db_rows *rows = NULL;
    if (!db_exec(c, statement, p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, case_row, *n + 1);
    if (*out == NULL) {
        return cases_no_memory(e);
    }
    for (size_t i = 0; i < *n; i++) {
        cases_row(rows, i, &(*out)[i]);
    }
    return true;
}

bool cases_read(db_conn *c, bool lock, int64_t book_id, uuid case_id, arena *a, case_row *out,
                err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, case_id);
    db_rows *rows = NULL;
    if (!db_exec(c, cases_sql(lock ? CASES_SQL_LOCK : CASES_SQL_GET), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return err_set_field(e, ERR_NOT_FOUND, "CASE_NOT_FOUND", "case_id",
                             "the book has no such case");
    }
    cases_row(rows, 0, out);
    return true;
}

bool cases_get(db_conn *c, int64_t book_id, uuid case_id, arena *a, case_row *out, err *e) {
    return cases_read(c, false, book_id, case_id, a, out, e);
}

static const char *note_kind(int16_t kind) {
    static const char *const NAMES[] = {"",        "OPENED",   "SEEN_AGAIN", "ASSIGNED",
                                        "COMMENT", "RESOLVED", "CLOSED"};
    return kind >= CASE_NOTE_OPENED && kind <= CASE_NOTE_CLOSED ? NAMES[kind] : "?";
}

bool cases_history(db_conn *c, int64_t book_id, uuid case_id, arena *a, case_note **out, size_t *n,
                   err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, case_id);
    db_i64(p, CASE_NOTES_MAX);
    db_rows *rows = NULL;
    if (!db_exec(c, cases_sql(CASES_SQL_HISTORY), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, case_note, *n + 1);
    if (*out == NULL) {
        return cases_no_memory(e);
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[*n - 1 - i] = (case_note){
            .kind = note_kind(db_get_i16(rows, i, 0)),
            .program = db_get_str(rows, i, 1),
            .person = db_get_str(rows, i, 2),
            .text = db_get_str(rows, i, 3),
            .resolution = db_get_str(rows, i, 4),
            .evidence = db_get_str(rows, i, 5),
            .at_us = db_get_time(rows, i, 6),
        };
    }
    return true;
}
