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
