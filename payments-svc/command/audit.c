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

// What the index of the statement does not see.
static bool has_more_filters(const audit_filter *f, audit_sql_id by) {
    const size_t beyond_time = f->program.len | f->method.len;
    return by == AUDIT_SQL_LIST_REQUEST
               ? (beyond_time | f->merchant_id.len | f->person.len | f->subject_id.len) > 0
           : by == AUDIT_SQL_LIST_PERSON ? (beyond_time | f->merchant_id.len) > 0
                                         : by != AUDIT_SQL_LIST_SUBJECT && beyond_time > 0;
}

// The entries of a run of ids were written so soon after the ids were made: no call takes longer.
enum { RUN_BEFORE_MS = 1000, RUN_AFTER_MS = 120000 };

static int64_t ms_of(uuid id) {
    int64_t ms = 0;
    for (int i = 0; i < 6; i++) {
        ms = ms << 8 | id.b[i];
    }
    return ms;
}

// Below this, a page's ids are.
static uuid highest_id(const audit_filter *f) {
    const int64_t after_us = f->to_us > INT64_MAX - MARGIN_US ? INT64_MAX : f->to_us + MARGIN_US;
    const uuid end = lowest_id(after_us);
    return after_us < INT64_MAX && uuid_cmp(end, f->before) < 0 ? end : f->before;
}

static db_params *list_params(const audit_filter *f, uuid floor, arena *a) {
    db_params *p = db_params_create(a);
    db_i64_array(p, f->books, f->n_books);
    db_uuid(p, highest_id(f));
    const uuid from = lowest_id(f->from_us - MARGIN_US);
    db_uuid(p, uuid_cmp(from, floor) < 0 ? floor : from);
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

static bool find_floor(db_conn *c, const audit_filter *f, audit_sql_id by, uuid *floor, arena *a,
                       err *e) {
    const str key = by == AUDIT_SQL_LIST_REQUEST    ? f->request_id
                    : by == AUDIT_SQL_LIST_PERSON   ? f->person
                    : by == AUDIT_SQL_LIST_MERCHANT ? f->merchant_id
                                                    : STR("");
    const audit_sql_id how = by == AUDIT_SQL_LIST_REQUEST    ? AUDIT_SQL_FLOOR_REQUEST
                             : by == AUDIT_SQL_LIST_PERSON   ? AUDIT_SQL_FLOOR_PERSON
                             : by == AUDIT_SQL_LIST_MERCHANT ? AUDIT_SQL_FLOOR_MERCHANT
                                                             : AUDIT_SQL_FLOOR;
    const int64_t share = AUDIT_LOOK_MAX / (int64_t)(f->n_books > 0 ? f->n_books : 1);
    db_rows *found = NULL;
    db_params *p = db_params_create(a);
    *floor = (uuid){{0}};
    if (!has_more_filters(f, by)) {
        return true;
    }
    db_i64_array(p, f->books, f->n_books);
    db_uuid(p, highest_id(f));
    db_uuid(p, lowest_id(f->from_us - MARGIN_US));
    db_i64(p, share > AUDIT_LOOK_BOOK_MIN ? share : AUDIT_LOOK_BOOK_MIN);
    text_or_null(p, key);
    if (!db_exec(c, audit_sql(how), p, a, &found, NULL, e)) {
        return false;
    }
    if (db_count(found) > 0) {
        *floor = db_get_uuid(found, 0, 0);
    }
    return true;
}

bool audit_list(db_conn *c, const audit_filter *f, audit_row **rows, size_t *n, uuid *reached,
                arena *a, err *e) {
    const audit_sql_id by = list_statement(f);
    db_rows *found = NULL;
    uuid floor;
    if (!find_floor(c, f, by, &floor, a, e)) {
        return false;
    }
    db_params *p = list_params(f, floor, a);
    if (by == AUDIT_SQL_LIST_SUBJECT) {
        const int64_t ms = ms_of(f->subject);
        db_uuid(p, lowest_id((ms - RUN_BEFORE_MS) * 1000));
        db_uuid(p, lowest_id((ms + RUN_AFTER_MS) * 1000));
    }
    if (!db_exec(c, audit_sql(by), p, a, &found, NULL, e)) {
        return false;
    }
    *n = db_count(found);
    *reached = *n < f->limit ? floor : (uuid){{0}};
    *rows = ARENA_ARRAY(a, audit_row, *n + 1);
    if (*rows == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < *n; i++) {
        (*rows)[i] = row_read(found, i);
    }
    return true;
}
