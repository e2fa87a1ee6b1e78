#include <string.h>

#include "base/assert.h"
#include "books/books_internal.h"

enum { DATE_FACTOR = 1000000 };

// min() over nothing is NULL: then 0.
static bool next_due(books_tx *tx, books_statement which, int64_t *out, err *e) {
    sqlite3_stmt *s = books_stmt(tx, which, e);
    bool row = false;
    if (s == NULL || !books_step(tx, s, &row, e)) {
        return false;
    }
    *out = row ? sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_reset(s);
    return true;
}

bool books_output_add(books_tx *tx, const char *name, str content, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_OUTPUT_ADD, e);
    if (s == NULL) {
        return false;
    }
    bind_c(s, 1, name);
    bind_blob(s, 2, content.ptr, content.len);
    return books_exec(tx, s, e);
}

bool books_output_next(books_tx *tx, int64_t after, int64_t *id, char name[BOOKS_NAME_MAX],
                       strbuf *content, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_OUTPUT_NEXT, e);
    bool row = false;
    *id = 0;
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, after);
    if (!books_step(tx, s, &row, e) || !row) {
        return row || !err_is_set(e);
    }
    *id = sqlite3_column_int64(s, 0);
    column_copy(s, 1, name, BOOKS_NAME_MAX);
    strbuf_clear(content);
    const void *bytes = sqlite3_column_blob(s, 2);
    strbuf_add(content, bytes == NULL ? "" : bytes, (size_t)sqlite3_column_bytes(s, 2));
    (void)sqlite3_reset(s);
    return strbuf_ok(content) ||
           err_set(e, ERR_RESOURCE_EXHAUSTED, "OUTPUT_TOO_LARGE", "an output file is too large");
}

bool books_output_written(books_tx *tx, int64_t id, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_OUTPUT_WRITTEN, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, id);
    return books_exec(tx, s, e);
}

bool books_file_insert(books_tx *tx, books_file *f, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_FILE_INSERT, e);
    if (s == NULL) {
        return false;
    }
    bind_c(s, 1, f->name);
    bind_c(s, 2, f->origin);
    bind_c(s, 3, f->date);
    bind_c(s, 4, f->modifier);
    bind_blob(s, 5, f->sha256, sizeof(f->sha256));
    bind_i64(s, 6, f->accepted ? 1 : 0);
    bind_c(s, 7, f->reason);
    bind_i64(s, 8, f->entries);
    bind_i64(s, 9, f->total);
    bind_i64(s, 10, f->taken_us);
    if (f->accepted) {
        bind_i64(s, 11, f->settle_due_us); // else it stays NULL: no settlement is due
    }
    if (!books_exec(tx, s, e)) {
        return false;
    }
    f->id = sqlite3_last_insert_rowid(tx->db);
    return true;
}

bool books_file_find_duplicate(books_tx *tx, const books_file *f, char name[BOOKS_NAME_MAX],
                               err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_FILE_DUPLICATE, e);
    bool row = false;
    name[0] = '\0';
    if (s == NULL) {
        return false;
    }
    bind_c(s, 1, f->origin);
    bind_c(s, 2, f->date);
    bind_c(s, 3, f->modifier);
    bind_blob(s, 4, f->sha256, sizeof(f->sha256));
    if (!books_step(tx, s, &row, e)) {
        return false;
    }
    if (row) {
        column_copy(s, 0, name, BOOKS_NAME_MAX);
        (void)sqlite3_reset(s);
    }
    return true;
}

bool books_file_state_get(books_tx *tx, const char *name, books_file_state *out, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_FILE_STATE, e);
    *out = (books_file_state){0};
    if (s == NULL) {
        return false;
    }
    bind_c(s, 1, name);
    if (!books_step(tx, s, &out->known, e)) {
        return false;
    }
    if (out->known) {
        ASSERT(sqlite3_column_bytes(s, 0) == (int)sizeof(out->sha256));
        memcpy(out->sha256, sqlite3_column_blob(s, 0), sizeof(out->sha256));
        out->archived = sqlite3_column_int(s, 1) != 0;
        (void)sqlite3_reset(s);
    }
    return true;
}

bool books_file_set_archived(books_tx *tx, const char *name, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_FILE_ARCHIVED, e);
    if (s == NULL) {
        return false;
    }
    bind_c(s, 1, name);
    return books_exec(tx, s, e);
}

int64_t books_scope(const char *origin, const char *date) {
    int64_t o = 0, d = 0;
    bool digits = str_to_i64(str_of(origin), 0, INT64_C(9999999999), &o) &&
                  str_to_i64(str_of(date), 0, DATE_FACTOR - 1, &d);
    ASSERT(digits); // the reader accepts only digits
    return o * DATE_FACTOR + d;
}

// ALREADY_EXISTS when another entry of its scope has this trace.
static bool trace_is_new(books_tx *tx, const books_entry *entry, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_ENTRY_KNOWN, e);
    bool known = false;
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, entry->scope);
    bind_i64(s, 2, entry->trace);
    if (!books_step(tx, s, &known, e)) {
        return false;
    }
    (void)sqlite3_reset(s);
    return !known ||
           err_set(e, ERR_ALREADY_EXISTS, "ALREADY_EXISTS", "the trace was used on this day");
}

bool books_entry_insert(books_tx *tx, books_entry *entry, bool strict, err *e) {
    if (strict && !trace_is_new(tx, entry, e)) {
        return false;
    }
    sqlite3_stmt *s = books_stmt(tx, S_ENTRY_INSERT, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, entry->file_id);
    bind_i64(s, 2, entry->scope);
    bind_i64(s, 3, entry->trace);
    bind_str(s, 4, entry->individual_id);
    bind_i64(s, 5, entry->amount);
    bind_i64(s, 6, entry->line);
    if (!books_exec(tx, s, e)) {
        return false;
    }
    entry->id = sqlite3_last_insert_rowid(tx->db);
    return true;
}

bool books_entry_refuse(books_tx *tx, int64_t id, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_ENTRY_REFUSED, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, id);
    return books_exec(tx, s, e);
}

bool books_return_plan(books_tx *tx, const books_return *r, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_RETURN_PLAN, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, r->entry_id);
    bind_i64(s, 2, r->part);
    bind_c(s, 3, r->origin);
    bind_c(s, 4, r->code);
    bind_i64(s, 5, r->amount);
    bind_i64(s, 6, r->moves ? 1 : 0);
    bind_i64(s, 7, r->after_settlement ? 1 : 0);
    if (r->after_settlement) {
        bind_i64(s, 8, r->due_us);
    }
    bind_str(s, 9, r->entry_record);
    bind_str(s, 10, r->batch_record);
    return books_exec(tx, s, e);
}

bool books_entry_settled(books_tx *tx, const char *origin, int64_t *trace, int64_t *amount,
                         err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_ENTRY_SETTLED, e);
    bool row = false;
    *trace = *amount = 0;
    if (s == NULL) {
        return false;
    }
    bind_c(s, 1, origin);
    if (!books_step(tx, s, &row, e)) {
        return false;
    }
    if (row) {
        *trace = sqlite3_column_int64(s, 0);
        *amount = sqlite3_column_int64(s, 1);
        (void)sqlite3_reset(s);
    }
    return true;
}

bool books_returns_later(books_tx *tx, int64_t file_id, int64_t now_us, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_RETURNS_LATER, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, file_id);
    bind_i64(s, 2, now_us);
    return books_exec(tx, s, e);
}

bool books_file_due(books_tx *tx, int64_t now_us, int64_t *id, char name[BOOKS_NAME_MAX],
                    char origin[16], int64_t *next_due_us, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_FILE_DUE, e);
    bool row = false;
    *id = 0;
    *next_due_us = 0;
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, now_us);
    if (!books_step(tx, s, &row, e)) {
        return false;
    }
    if (!row) {
        return next_due(tx, S_FILE_NEXT_DUE, next_due_us, e);
    }
    *id = sqlite3_column_int64(s, 0);
    column_copy(s, 1, name, BOOKS_NAME_MAX);
    column_copy(s, 2, origin, 16);
    (void)sqlite3_reset(s);
    return true;
}

static bool on_id(books_tx *tx, books_statement which, int64_t id, err *e) {
    sqlite3_stmt *s = books_stmt(tx, which, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, id);
    return books_exec(tx, s, e);
}

bool books_file_settle(books_tx *tx, int64_t id, int64_t now_us, books_on_entry on_credit,
                       void *arg, err *e) {
    if (!on_id(tx, S_FILE_REFUSE, id, e)) {
        return false;
    }
    sqlite3_stmt *s = books_stmt(tx, S_FILE_CREDIT, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, id);
    bind_i64(s, 2, now_us);
    if (!books_exec(tx, s, e) || !on_id(tx, S_FILE_MARK, id, e) || !on_id(tx, S_FILE_DONE, id, e)) {
        return false;
    }
    s = books_stmt(tx, S_FILE_LIST, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, id);
    bool row = true;
    while (books_step(tx, s, &row, e) && row) {
        on_credit(arg, sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1));
    }
    return !err_is_set(e);
}

bool books_returns_list(books_tx *tx, int64_t file_id, const char *origin, int64_t now_us,
                        int64_t limit, books_on_return on, void *arg, err *e) {
    sqlite3_stmt *s = books_stmt(tx, file_id > 0 ? S_RETURNS_OF_FILE : S_RETURNS_OF_ORIGIN, e);
    if (s == NULL) {
        return false;
    }
    if (file_id > 0) {
        bind_i64(s, 1, file_id);
        bind_i64(s, 2, limit);
    } else {
        bind_c(s, 1, origin);
        bind_i64(s, 2, now_us);
        bind_i64(s, 3, limit);
    }
    bool row = true;
    while (books_step(tx, s, &row, e) && row) {
        books_return_row r = {.id = sqlite3_column_int64(s, 0),
                              .code = column_str(s, 1).ptr,
                              .amount = sqlite3_column_int64(s, 2),
                              .entry = column_str(s, 3).ptr,
                              .batch = column_str(s, 4).ptr};
        on(arg, &r);
    }
    return !err_is_set(e);
}

bool books_returns_due(books_tx *tx, int64_t now_us, char origin[16], int64_t *next_due_us,
                       err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_RETURNS_DUE, e);
    bool row = false;
    origin[0] = '\0';
    *next_due_us = 0;
    if (s == NULL || !books_step(tx, s, &row, e)) {
        return false;
    }
    if (row) {
        int64_t due = sqlite3_column_int64(s, 1);
        if (due <= now_us) {
            column_copy(s, 0, origin, 16);
        } else {
            *next_due_us = due;
        }
        (void)sqlite3_reset(s);
    }
    return true;
}

// A settled entry gives its money back, in full or in part. An entry that never settled has none.
static bool money_back(books_tx *tx, int64_t id, int64_t now_us, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_RETURN_MONEY, e);
    bool row = false;
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, id);
    if (!books_step(tx, s, &row, e)) {
        return false;
    }
    if (!row) {
        return err_set(e, ERR_NOT_FOUND, "NO_RETURN", "there is no such return");
    }
    books_move m = {.rail = BOOKS_RAIL_ACH,
                    .kind = BOOKS_RETURN,
                    .item = sqlite3_column_int64(s, 0),
                    .part = sqlite3_column_int64(s, 1),
                    .currency = "USD",
                    .amount = sqlite3_column_int64(s, 2),
                    .at_us = now_us};
    bool moves = sqlite3_column_int(s, 3) != 0;
    (void)sqlite3_reset(s);
    if (!moves) {
        return true;
    }
    return books_movement(tx, &m, e) && on_id(tx, S_ENTRY_RETURNED, m.item, e);
}

bool books_return_done(books_tx *tx, int64_t id, const char *file_name, int64_t now_us, err *e) {
    if (!money_back(tx, id, now_us, e)) {
        return false;
    }
    sqlite3_stmt *s = books_stmt(tx, S_RETURN_DONE, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, id);
    bind_c(s, 2, file_name);
    return books_exec(tx, s, e);
}
