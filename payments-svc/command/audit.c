#include "command/audit.h"

#include "base/assert.h"
#include "base/clock.h"
#include "command/audit_sql.h"

enum { TEXTS = 10 };

// Columns of text, in the order of the statement.
static void texts_of(const audit_entry *x, str out[TEXTS]) {
    const actor_info *by = x->by;
    const str columns[TEXTS] = {by->method,     by->program,    by->person,
                                STR(""), // trace: below
                                by->request_id, x->merchant_id, str_of(x->subject),
                                x->subject_id,  x->last_id,     str_clip(x->what, AUDIT_WHAT_MAX)};
    for (size_t i = 0; i < TEXTS; i++) {
        out[i] = columns[i].ptr == NULL ? STR("") : columns[i];
    }
    out[3] = by->trace_id.len == 2 * sizeof(uuid) ? by->trace_id : (str){0}; // NULL: none
}

bool audit_write(db_conn *c, int64_t book_id, const audit_entry *entries, size_t n, int64_t now_us,
                 arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    int16_t *stated = ARENA_ARRAY(a, int16_t, n);
    int32_t *counts = ARENA_ARRAY(a, int32_t, n);
    str *columns = ARENA_ARRAY(a, str, n * TEXTS);
    ASSERT(n > 0);
    if (ids == NULL || stated == NULL || counts == NULL || columns == NULL) {
        return err_no_memory(e, "the audit");
    }
    for (size_t i = 0; i < n; i++) {
        str texts[TEXTS];
        texts_of(&entries[i], texts);
        ids[i] = uuid_v7(clock_system());
        stated[i] = entries[i].by->stated ? 1 : 0;
        counts[i] = entries[i].n;
        for (size_t k = 0; k < TEXTS; k++) {
            columns[k * n + i] = texts[k];
        }
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_time(p, now_us);
    db_uuid_array(p, ids, n);
    db_i16_array(p, stated, n);
    db_i32_array(p, counts, n);
    for (size_t k = 0; k < TEXTS; k++) {
        db_text_array(p, columns + k * n, n);
    }
    return db_exec(c, audit_sql(AUDIT_SQL_INSERT), p, a, NULL, NULL, e);
}

bool audit_write_one(db_conn *c, int64_t book_id, const actor_info *by, str merchant_id,
                     const char *subject, str subject_id, str what, int64_t now_us, arena *a,
                     err *e) {
    const audit_entry entry = {.by = by,
                               .merchant_id = merchant_id,
                               .subject = subject,
                               .subject_id = subject_id,
                               .n = 1,
                               .what = what};
    return audit_write(c, book_id, &entry, 1, now_us, a, e);
}

bool audit_write_id(db_conn *c, int64_t book_id, const actor_info *by, str merchant_id,
                    const char *subject, uuid id, str what, int64_t now_us, arena *a, err *e) {
    char text[UUID_TEXT_LEN + 1];
    uuid_format(id, text);
    return audit_write_one(c, book_id, by, merchant_id, subject, str_of(text), what, now_us, a, e);
}

// --- Reading ---------------------------------------------------------------------------------------------------------

// Ids begin with the time at which they were made, which is this close to that of their row.
enum { MARGIN_US = 60000000 };

static uuid lowest_id(int64_t at_us) {
    const uint64_t ms = at_us <= 0 ? 0 : (uint64_t)at_us / 1000;
    uuid id = {{0}};
    for (int i = 0; i < 6; i++) {
        id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    return id;
}

static void text_or_null(db_params *p, str s) {
    if (s.len == 0) {
        db_null(p, OID_TEXT);
    } else {
        db_text(p, s);
    }
}

// The same page by the index that finds the fewest.
static audit_sql_id list_statement(const audit_filter *f) {
    return f->request_id.len > 0    ? AUDIT_SQL_LIST_REQUEST
           : f->subject_id.len > 0  ? AUDIT_SQL_LIST_SUBJECT
           : f->person.len > 0      ? AUDIT_SQL_LIST_PERSON
           : f->merchant_id.len > 0 ? AUDIT_SQL_LIST_MERCHANT
                                    : AUDIT_SQL_LIST;
}

static db_params *list_params(const audit_filter *f, arena *a) {
    const int64_t after_us = f->to_us > INT64_MAX - MARGIN_US ? INT64_MAX : f->to_us + MARGIN_US;
    const uuid end = lowest_id(after_us);
    db_params *p = db_params_create(a);
    db_i64_array(p, f->books, f->n_books);
    db_uuid(p, after_us < INT64_MAX && uuid_cmp(end, f->before) < 0 ? end : f->before);
    db_uuid(p, lowest_id(f->from_us - MARGIN_US));
    db_time(p, f->from_us);
    db_time(p, f->to_us);
    text_or_null(p, f->merchant_id);
    text_or_null(p, f->program);
    text_or_null(p, f->person);
    text_or_null(p, f->method);
    text_or_null(p, f->subject_id);
    text_or_null(p, f->request_id);
    db_uuid(p, f->subject);
    db_i64(p, (int64_t)f->limit);
    return p;
}

static audit_row row_read(const db_rows *rows, size_t i) {
    return (audit_row){.book_id = db_get_i64(rows, i, 0),
                       .id = db_get_uuid(rows, i, 1),
                       .at_us = db_get_time(rows, i, 2),
                       .method = db_get_str(rows, i, 3),
                       .program = db_get_str(rows, i, 4),
                       .person = db_get_str(rows, i, 5),
                       .stated = db_get_bool(rows, i, 6),
                       .request_id = db_get_str(rows, i, 7),
                       .trace = db_get_uuid_or_nil(rows, i, 8),
                       .merchant_id = db_get_str(rows, i, 9),
                       .subject = db_get_str(rows, i, 10),
                       .subject_id = db_get_str(rows, i, 11),
                       .last_id = db_get_str(rows, i, 12),
                       .n = db_get_i32(rows, i, 13),
                       .what = db_get_str(rows, i, 14)};
}

bool audit_list(db_conn *c, const audit_filter *f, audit_row **rows, size_t *n, arena *a, err *e) {
    db_rows *found = NULL;
    if (!db_exec(c, audit_sql(list_statement(f)), list_params(f, a), a, &found, NULL, e)) {
        return false;
    }
    *n = db_count(found);
    *rows = ARENA_ARRAY(a, audit_row, *n + 1);
    if (*rows == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < *n; i++) {
        (*rows)[i] = row_read(found, i);
    }
    return true;
}
