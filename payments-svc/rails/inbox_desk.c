// Reading the inbox for a person.
#include "rails/inbox_desk.h"

#include <string.h>

#include "base/assert.h"
#include "rails/inbox_internal.h"

// --- Items -----------------------------------------------------------------------------------------------------------

static inbox_row row_of(const db_rows *rows, size_t i) {
    return (inbox_row){
        .book_id = db_get_i64(rows, i, 0),
        .inbox_id = db_get_uuid(rows, i, 1),
        .connection = db_get_i16(rows, i, 2),
        .kind = db_get_i16(rows, i, 3),
        .name = db_get_str(rows, i, 4),
        .size = db_get_i64(rows, i, 5),
        .sha256 = db_get_str(rows, i, 6),
        .said_us = db_get_time(rows, i, 7),
        .received_us = db_get_time(rows, i, 8),
        .state = db_get_i16(rows, i, 9),
        .version = db_get_i32(rows, i, 10),
        .about = db_get_str(rows, i, 11),
        .lines = db_get_i32(rows, i, 12),
        .events = db_get_i32(rows, i, 13),
        .exceptions = db_get_i32(rows, i, 14),
        .reason = db_get_str(rows, i, 15),
        .reason_text = db_get_str(rows, i, 16),
        .tries = db_get_i32(rows, i, 17),
        .seen = db_get_i32(rows, i, 18),
        .updated_us = db_get_time(rows, i, 19),
    };
}

bool inbox_list(db_conn *c, const inbox_filter *f, inbox_row **out, size_t *n, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64_array(p, f->books, f->n_books);
    db_i16_array(p, f->connections, f->n_connections);
    db_i16_array(p, f->states, f->n_states);
    db_uuid(p, f->before);
    db_uuid(p, f->from);
    db_i64(p, (int64_t)f->limit);
    if (!db_exec(c, &INBOX_SQL[INBOX_SQL_LIST], p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, inbox_row, *n + 1);
    if (*out == NULL) {
        return inbox_no_memory(e);
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = row_of(rows, i);
    }
    return true;
}

static bool get_by(db_conn *c, inbox_sql statement, int64_t book_id, uuid inbox_id, inbox_row *row,
                   arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, inbox_id);
    if (!db_exec(c, &INBOX_SQL[statement], p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return err_set_field(e, ERR_NOT_FOUND, "INBOX_NOT_FOUND", "inbox_id",
                             "there is no such file or message in this book");
    }
    *row = row_of(rows, 0);
    return true;
}

bool inbox_get(db_conn *c, int64_t book_id, uuid inbox_id, inbox_row *row, arena *a, err *e) {
    return get_by(c, INBOX_SQL_GET, book_id, inbox_id, row, a, e);
}

bool inbox_lock(db_conn *c, int64_t book_id, uuid inbox_id, inbox_row *row, arena *a, err *e) {
    return get_by(c, INBOX_SQL_LOCK, book_id, inbox_id, row, a, e);
}

bool inbox_versions(db_conn *c, int64_t book_id, uuid inbox_id, inbox_version_row **out, size_t *n,
                    arena *a, err *e) {
    inbox_row first;
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, inbox_id);
    db_i64(p, INBOX_VERSIONS_SHOWN_MAX);
    if (!inbox_get(c, book_id, inbox_id, &first, a, e) ||
        !db_exec(c, &INBOX_SQL[INBOX_SQL_VERSIONS], p, a, &rows, NULL, e)) {
        return false;
    }
    const size_t repairs = db_count(rows);
    *out = ARENA_ARRAY(a, inbox_version_row, repairs + 1);
    if (*out == NULL) {
        return inbox_no_memory(e);
    }
    (*out)[0] = (inbox_version_row){.version = 1,
                                    .size = first.size,
                                    .at_us = first.received_us,
                                    .sha256 = first.sha256,
                                    .actor = STR(""),
                                    .reason = STR("")};
    for (size_t i = 0; i < repairs; i++) {
        (*out)[repairs - i] = (inbox_version_row){
            .version = db_get_i32(rows, i, 0),
            .size = db_get_i64(rows, i, 1),
            .sha256 = db_get_str(rows, i, 2),
            .actor = db_get_str(rows, i, 3),
            .reason = db_get_str(rows, i, 4),
            .at_us = db_get_time(rows, i, 5),
        };
    }
    *n = repairs + 1;
    return true;
}

bool inbox_content(db_conn *c, crypto_keyring *keys, int64_t book_id, uuid inbox_id,
                   int32_t version, str *bytes, arena *a, err *e) {
    char aad[INBOX_AAD_MAX];
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, inbox_id);
    if (version > 1) {
        db_i32(p, version);
    }
    if (!db_exec(c, &INBOX_SQL[version > 1 ? INBOX_SQL_LOAD_VERSION : INBOX_SQL_CONTENT], p, a,
                 &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return err_set_field(e, ERR_NOT_FOUND, "VERSION_NOT_FOUND", "version",
                             "there are no bytes of this version");
    }
    return crypto_open(keys, inbox_content_aad(book_id, inbox_id, version, aad),
                       db_get_str(rows, 0, 0), a, bytes, e);
}

// --- Exceptions ------------------------------------------------------------------------------------------------------

static inbox_exception_row exception_of(const db_rows *rows, size_t i) {
    return (inbox_exception_row){
        .book_id = db_get_i64(rows, i, 0),
        .inbox_id = db_get_uuid(rows, i, 1),
        .version = db_get_i32(rows, i, 2),
        .line = db_get_i32(rows, i, 3),
        .reason = db_get_str(rows, i, 4),
        .reason_text = db_get_str(rows, i, 5),
        .compared = db_get_str(rows, i, 6),
        .raw_sealed = db_get_str(rows, i, 7),
        .about_book_id = db_get_i64(rows, i, 8),
        .payout_id = db_get_uuid_or_nil(rows, i, 9),
        .amount = db_get_i64(rows, i, 10),
        .currency = db_get_str(rows, i, 11),
        .state = db_get_i16(rows, i, 12),
        .closed_by = db_get_str(rows, i, 13),
        .closed_reason = db_get_str(rows, i, 14),
        .at_us = db_get_time(rows, i, 15),
        .closed_us = db_is_null(rows, i, 16) ? INT64_MIN : db_get_time(rows, i, 16),
    };
}

static bool find_exceptions(db_conn *c, const inbox_exception_filter *f, db_rows **rows, arena *a,
                            err *e) {
    db_params *p = db_params_create(a);
    if (f->of_item) {
        db_i64(p, f->book_id);
        db_uuid(p, f->inbox_id);
        db_i32(p, f->after_version);
        db_i32(p, f->after_version == 0 ? -1 : f->after_line);
        db_i64(p, (int64_t)f->limit);
        db_bool(p, f->closed);
        db_text(p, f->reason);
        db_i64(p, f->about_book_id);
        return db_exec(c, &INBOX_SQL[INBOX_SQL_EXCEPTIONS_OF], p, a, rows, NULL, e);
    }
    db_i64(p, f->after_version == 0 ? -1 : f->after_book_id);
    db_uuid(p, f->after_inbox_id);
    db_i32(p, f->after_version);
    db_i32(p, f->after_line);
    db_i64(p, (int64_t)f->limit);
    db_text(p, f->reason);
    db_i64(p, f->about_book_id);
    db_i16_array(p, f->connections, f->n_connections);
    return db_exec(c, &INBOX_SQL[INBOX_SQL_EXCEPTIONS_OPEN], p, a, rows, NULL, e);
}

bool inbox_exceptions(db_conn *c, const inbox_exception_filter *f, inbox_exception_row **out,
                      size_t *n, arena *a, err *e) {
    db_rows *rows = NULL;
    if (!find_exceptions(c, f, &rows, a, e)) {
        return false;
    }
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, inbox_exception_row, *n + 1);
    if (*out == NULL) {
        return inbox_no_memory(e);
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = exception_of(rows, i);
    }
    return true;
}

bool inbox_line_open(crypto_keyring *keys, const inbox_exception_row *x, str *bytes, arena *a,
                     err *e) {
    char aad[INBOX_AAD_MAX];
    return crypto_open(keys, inbox_line_aad(x->book_id, x->inbox_id, x->version, x->line, aad),
                       x->raw_sealed, a, bytes, e);
}
