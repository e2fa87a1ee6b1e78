#include "store/idempotency.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "store/payments_sql.h"

void idem_hash(idem_operation op, str merchant_id, str content, uint8_t out[32]) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ASSERT(ctx != NULL);
    const uint8_t head[2] = {(uint8_t)op, (uint8_t)merchant_id.len};
    int ok = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    ok &= EVP_DigestUpdate(ctx, head, sizeof head);
    ok &= EVP_DigestUpdate(ctx, merchant_id.ptr, merchant_id.len);
    ok &= EVP_DigestUpdate(ctx, content.ptr, content.len);
    ok &= EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
    ASSERT(ok == 1);
}

bool idem_lookup(db_conn *c, int64_t book_id, idem_entry *const *entries, size_t n, arena *a,
                 err *e) {
    str *merchants = ARENA_ARRAY(a, str, n);
    str *keys = ARENA_ARRAY(a, str, n);
    if (n > 0 && (merchants == NULL || keys == NULL)) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "REQUEST_TOO_COMPLEX",
                       "the request takes too much memory");
    }
    for (size_t i = 0; i < n; i++) {
        merchants[i] = entries[i]->merchant_id;
        keys[i] = entries[i]->key;
        entries[i]->known = false;
        memcpy(entries[i]->stored, entries[i]->hash, sizeof entries[i]->stored);
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_text_array(p, merchants, n);
    db_text_array(p, keys, n);
    db_rows *rows = NULL;
    if (!db_exec(c, payments_stmt(SQL_IDEMPOTENCY_LOOKUP), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const size_t at = (size_t)db_get_i64(rows, i, 0) - 1;
        ASSERT(at < n);
        const str hash = db_get_str(rows, i, 1);
        ASSERT(hash.len == sizeof entries[at]->stored);
        entries[at]->known = true;
        memcpy(entries[at]->stored, hash.ptr, hash.len); // the operation is part of what is hashed
        entries[at]->response = db_get_str(rows, i, 2);
    }
    return true;
}

bool idem_insert(db_conn *c, int64_t book_id, idem_operation op, idem_entry *const *entries,
                 size_t n, int64_t now_us, err *e) {
    db_copy *w = db_copy_begin(
        c, "idempotency",
        "book_id, merchant_id, key, operation, request_hash, response, created_at", 7, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        db_copy_row(w);
        db_copy_i64(w, book_id);
        db_copy_text(w, entries[i]->merchant_id);
        db_copy_text(w, entries[i]->key);
        db_copy_i16(w, (int16_t)op);
        db_copy_bytes(w, entries[i]->hash, sizeof entries[i]->hash);
        db_copy_bytes(w, entries[i]->response.ptr, entries[i]->response.len);
        db_copy_time(w, now_us);
    }
    int64_t written = 0;
    if (!db_copy_end(w, &written, e)) {
        return false;
    }
    ASSERT(written == (int64_t)n);
    return true;
}

bool idem_should_look_again(const err *e) {
    return (e->flags & ERR_COMMIT_UNKNOWN) != 0 ||
           (e->code == ERR_ALREADY_EXISTS && (strcmp(e->constraint, "idempotency_pkey") == 0 ||
                                              strcmp(e->constraint, "payout_intent") == 0));
}

bool idem_give_up(err *e) {
    if (e->code == ERR_ALREADY_EXISTS && idem_should_look_again(e)) {
        return err_set(e, ERR_ABORTED, "KEY_RACE",
                       "others used keys of this request at the same time: ask again");
    }
    return false;
}

bool idem_is_same(const idem_entry *first, const uint8_t hash[32]) {
    return memcmp(first->stored, hash, sizeof first->stored) == 0;
}

bool idem_conflict(const char *path, err *e) {
    char field[64];
    (void)snprintf(field, sizeof field, "%sidempotency_key", path);
    return err_set_field(e, ERR_ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", field,
                         "%s was used before for another request", field);
}
