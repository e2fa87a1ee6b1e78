#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "books/books_internal.h"

const char *books_status_name(books_status s) {
    switch (s) {
    case BOOKS_ACCEPTED: return "accepted";
    case BOOKS_SETTLED: return "settled";
    case BOOKS_REFUSED: return "refused";
    case BOOKS_RETURNED: return "returned";
    }
    return "unknown";
}

static void read_payment(sqlite3_stmt *s, books_payment *p) {
    *p = (books_payment){0};
    p->id = sqlite3_column_int64(s, 0);
    column_copy(s, 1, p->key, sizeof(p->key));
    column_copy(s, 2, p->payment_id, sizeof(p->payment_id));
    column_copy(s, 3, p->reference, sizeof(p->reference));
    ASSERT(sqlite3_column_bytes(s, 4) == (int)sizeof(p->request_sha256));
    memcpy(p->request_sha256, sqlite3_column_blob(s, 4), sizeof(p->request_sha256));
    p->amount = sqlite3_column_int64(s, 5);
    column_copy(s, 6, p->currency, sizeof(p->currency));
    p->status = (books_status)sqlite3_column_int(s, 7);
    p->answered = (books_status)sqlite3_column_int(s, 8);
    column_copy(s, 9, p->code, sizeof(p->code));
    column_copy(s, 10, p->text, sizeof(p->text));
    p->retriable = sqlite3_column_int(s, 11) != 0;
    p->created_us = sqlite3_column_int64(s, 12);
    p->webhooks = sqlite3_column_int(s, 13);
    p->webhook_delay_us = sqlite3_column_int64(s, 14);
    p->settle_due_us =
        sqlite3_column_type(s, 15) == SQLITE_NULL ? 0 : sqlite3_column_int64(s, 15) + 1;
    p->return_due_us =
        sqlite3_column_type(s, 16) == SQLITE_NULL ? 0 : sqlite3_column_int64(s, 16) + 1;
    p->returns = sqlite3_column_int(s, 17);
    p->oddity = sqlite3_column_int(s, 18);
    p->returned = sqlite3_column_int64(s, 19);
}

// Not due is 0 in the struct and NULL in the table. A flush writes a due time of 0 to the table. So the struct adds one.
static void bind_due(sqlite3_stmt *s, int at, int64_t due_us) {
    if (due_us > 0) {
        bind_i64(s, at, due_us - 1);
    }
}

bool books_payment_by_key(books_tx *tx, str key, bool *found, books_payment *out, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_PAYMENT_BY_KEY, e);
    *found = false;
    if (s == NULL) {
        return false;
    }
    bind_str(s, 1, key);
    if (!books_step(tx, s, found, e)) {
        return false;
    }
    if (*found) {
        read_payment(s, out);
        (void)sqlite3_reset(s);
    }
    return true;
}

bool books_payment_insert(books_tx *tx, books_payment *p, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_PAYMENT_INSERT, e);
    if (s == NULL) {
        return false;
    }
    bind_c(s, 1, p->key);
    bind_c(s, 2, p->payment_id);
    bind_c(s, 3, p->reference);
    bind_blob(s, 4, p->request_sha256, sizeof(p->request_sha256));
    bind_i64(s, 5, p->amount);
    bind_c(s, 6, p->currency);
    bind_i64(s, 7, (int64_t)p->status);
    bind_i64(s, 8, (int64_t)p->answered);
    bind_c(s, 9, p->code);
    bind_c(s, 10, p->text);
    bind_i64(s, 11, p->retriable ? 1 : 0);
    bind_i64(s, 12, p->created_us);
    bind_i64(s, 13, p->webhooks);
    bind_i64(s, 14, p->webhook_delay_us);
    bind_due(s, 15, p->settle_due_us);
    bind_due(s, 16, p->return_due_us);
    bind_i64(s, 17, p->returns);
    bind_i64(s, 18, p->oddity);
    if (!books_exec(tx, s, e)) {
        return false;
    }
    p->id = sqlite3_last_insert_rowid(tx->db);
    return true;
}

bool books_payment_update(books_tx *tx, const books_payment *p, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_PAYMENT_UPDATE, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, p->id);
    bind_i64(s, 2, (int64_t)p->status);
    bind_c(s, 3, p->code);
    bind_c(s, 4, p->text);
    bind_due(s, 5, p->settle_due_us);
    bind_due(s, 6, p->return_due_us);
    bind_i64(s, 7, p->returned);
    return books_exec(tx, s, e);
}

static bool next_due(books_tx *tx, books_statement which, int64_t *out, err *e) {
    sqlite3_stmt *s = books_stmt(tx, which, e);
    bool row = false;
    *out = 0;
    if (s == NULL || !books_step(tx, s, &row, e)) {
        return false;
    }
    if (row && sqlite3_column_type(s, 0) != SQLITE_NULL) {
        *out = sqlite3_column_int64(s, 0) + 1; // 0: nothing is due
    }
    (void)sqlite3_reset(s);
    return true;
}

bool books_payments_due(books_tx *tx, int64_t now_us, books_payment *out, size_t max, size_t *n,
                        int64_t *next_due_us, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_PAYMENTS_DUE, e);
    *n = 0;
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, now_us);
    bind_i64(s, 2, (int64_t)max);
    bool row = true;
    while (books_step(tx, s, &row, e) && row) {
        ASSERT(*n < max);
        read_payment(s, &out[(*n)++]);
    }
    return !err_is_set(e) && next_due(tx, S_PAYMENTS_NEXT, next_due_us, e);
}

static bool count_of(books_tx *tx, books_statement which, str of, int64_t *out, err *e) {
    sqlite3_stmt *s = books_stmt(tx, which, e);
    bool row = false;
    if (s == NULL) {
        return false;
    }
    bind_str(s, 1, of);
    if (!books_step(tx, s, &row, e)) {
        return false;
    }
    *out = row ? sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_reset(s);
    return true;
}

bool books_refusals(books_tx *tx, const char *reference, int64_t *out, err *e) {
    return count_of(tx, S_REFUSALS, str_of(reference), out, e);
}

bool books_tries(books_tx *tx, str key, int64_t *out, err *e) {
    return count_of(tx, S_TRIES, key, out, e);
}

bool books_webhook_untried(books_tx *tx, const char *message_id, bool *out, err *e) {
    int64_t n = 0;
    bool ok = count_of(tx, S_WEBHOOK_UNTRIED, str_of(message_id), &n, e);
    *out = n > 0;
    return ok;
}

bool books_tries_add(books_tx *tx, str key, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_TRIES_ADD, e);
    if (s == NULL) {
        return false;
    }
    bind_str(s, 1, key);
    return books_exec(tx, s, e);
}

bool books_webhook_insert(books_tx *tx, const char *message_id, int64_t due_us, str body, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_WEBHOOK_INSERT, e);
    if (s == NULL) {
        return false;
    }
    bind_c(s, 1, message_id);
    bind_i64(s, 2, due_us);
    bind_str(s, 3, body);
    return books_exec(tx, s, e);
}

bool books_webhooks_due(books_tx *tx, int64_t now_us, books_webhook *out, size_t max, size_t *n,
                        int64_t *next_due_us, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_WEBHOOKS_DUE, e);
    *n = 0;
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, now_us);
    bind_i64(s, 2, (int64_t)max);
    bool row = true;
    while (books_step(tx, s, &row, e) && row) {
        ASSERT(*n < max);
        books_webhook *w = &out[(*n)++];
        *w = (books_webhook){.id = sqlite3_column_int64(s, 0),
                             .due_us = sqlite3_column_int64(s, 2),
                             .tries = sqlite3_column_int64(s, 3)};
        column_copy(s, 1, w->message_id, sizeof(w->message_id));
        w->body = strdup(column_str(s, 4).ptr);
        ASSERT(w->body != NULL);
    }
    return !err_is_set(e) && next_due(tx, S_WEBHOOKS_NEXT, next_due_us, e);
}

bool books_webhook_result(books_tx *tx, int64_t id, bool delivered, int64_t due_us, err *e) {
    enum { WAITING = 0, DELIVERED = 1, GIVEN_UP = 2 };
    sqlite3_stmt *s = books_stmt(tx, S_WEBHOOK_RESULT, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, id);
    if (due_us > 0) {
        bind_i64(s, 2, due_us);
    }
    bind_i64(s, 3, delivered ? DELIVERED : due_us > 0 ? WAITING : GIVEN_UP);
    return books_exec(tx, s, e);
}
