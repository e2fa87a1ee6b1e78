#include "parties/recipients.h"

#include <inttypes.h>
#include <stdio.h>

#include "command/written_by.h"
#include "parties/parties_sql.h"

static recipient_view view_read(const db_rows *rows, size_t i) {
    return (recipient_view){.recipient_id = db_get_uuid(rows, i, 0),
                            .merchant_id = db_get_str(rows, i, 1),
                            .holder_type = db_get_i16(rows, i, 2),
                            .currency = db_get_str(rows, i, 3),
                            .routing_code = db_get_str(rows, i, 4),
                            .account_last4 = db_get_str(rows, i, 5),
                            .name_sealed = db_get_str(rows, i, 6),
                            .created_us = db_get_time(rows, i, 7)};
}

bool recipient_find(db_conn *c, int64_t book_id, str merchant_id, uuid recipient_id,
                    recipient_view *out, bool *found, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, recipient_id);
    db_text(p, merchant_id);
    if (!db_exec(c, parties_sql(PARTIES_SQL_RECIPIENT_GET), p, a, &rows, NULL, e)) {
        return false;
    }
    *found = db_count(rows) > 0;
    if (*found) {
        *out = view_read(rows, 0);
    }
    return true;
}

bool recipients_list(db_conn *c, int64_t book_id, str merchant_id, uuid before, int64_t limit,
                     recipient_view **out, size_t *n, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_text(p, merchant_id);
    db_uuid(p, before);
    db_i64(p, limit);
    if (!db_exec(c, parties_sql(PARTIES_SQL_RECIPIENT_LIST), p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *out = ARENA_ARRAY(a, recipient_view, *n + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = view_read(rows, i);
    }
    return true;
}

// --- What is sealed --------------------------------------------------------------------------------------------------

enum { PLACE_MAX = 128 };

// Where a sealed value belongs: its key opens it nowhere else.
static str place_of(const char *field, int64_t book_id, uuid recipient_id, char out[PLACE_MAX]) {
    char id[UUID_TEXT_LEN + 1];
    uuid_format(recipient_id, id);
    const int len = snprintf(out, PLACE_MAX, "recipient|%s|%" PRId64 "|%s", field, book_id, id);
    return (str){out, (size_t)len};
}

bool recipient_name(crypto_keyring *keys, int64_t book_id, const recipient_view *r, arena *a,
                    str *name, err *e) {
    char place[PLACE_MAX];
    return crypto_open(keys, place_of("name", book_id, r->recipient_id, place), r->name_sealed, a,
                       name, e);
}

bool recipient_seal(crypto_keyring *keys, int64_t book_id, recipient_new *r, arena *a, err *e) {
    char name[PLACE_MAX], account[PLACE_MAX];
    return crypto_seal(keys, place_of("name", book_id, r->recipient_id, name), r->name, a,
                       &r->name_sealed, e) &&
           crypto_seal(keys, place_of("account", book_id, r->recipient_id, account),
                       r->account_number, a, &r->account_sealed, e);
}

str recipient_last4(str account) {
    const size_t n = account.len > 4 ? 4 : 1;
    return (str){account.ptr + account.len - n, n};
}

// --- Writing ---------------------------------------------------------------------------------------------------------

bool recipients_write(db_conn *c, int64_t book_id, str merchant_id, const recipient_new *list,
                      size_t n, const actor_info *by, int64_t now_us, arena *a, err *e) {
    const char *actor = actor_text(by, a);
    if (actor == NULL) {
        return err_no_memory(e, "the request");
    }
    db_copy *w = db_copy_begin(
        c, "recipient",
        "book_id, recipient_id, merchant_id, holder_type, account_type, currency, routing_code, "
        "account_last4, name_sealed, account_sealed, created_at, actor, request_id, trace_id",
        14, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const recipient_new *r = &list[i];
        db_copy_row(w);
        db_copy_i64(w, book_id);
        db_copy_uuid(w, r->recipient_id);
        db_copy_text(w, merchant_id);
        db_copy_i16(w, (int16_t)r->holder_type);
        db_copy_i16(w, (int16_t)r->account_type);
        db_copy_text(w, r->currency);
        db_copy_text(w, r->routing_code);
        db_copy_text(w, recipient_last4(r->account_number));
        db_copy_bytes(w, r->name_sealed.ptr, r->name_sealed.len);
        db_copy_bytes(w, r->account_sealed.ptr, r->account_sealed.len);
        db_copy_time(w, now_us);
        written_by_copy(w, by, str_of(actor));
    }
    return db_copy_end(w, NULL, e);
}
