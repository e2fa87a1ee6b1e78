#include "command/idempotency.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "command/idempotency_sql.h"

static const char PURPOSE[] = "idempotency.request";
enum { CONTENT_PARTS = 3 };

// The hashed parts: the operation and the length of the merchant's id mark where each part ends.
typedef struct hashed {
    uint8_t head[2];
    str parts[CONTENT_PARTS];
} hashed;

static void hashed_of(idem_operation op, str merchant_id, str content, hashed *h) {
    h->head[0] = (uint8_t)op;
    h->head[1] = (uint8_t)merchant_id.len;
    h->parts[0] = (str){(const char *)h->head, sizeof h->head};
    h->parts[1] = merchant_id;
    h->parts[2] = content;
}

void idem_hash(const crypto_keyring *keys, idem_operation op, idem_entry *entry) {
    hashed h;
    hashed_of(op, entry->merchant_id, entry->content, &h);
    crypto_mac_make(keys, PURPOSE, h.parts, CONTENT_PARTS, &entry->hash);
}

void idem_plain_hash(idem_operation op, str merchant_id, str content,
                     uint8_t out[IDEM_PLAIN_HASH_LEN]) {
    hashed h;
    hashed_of(op, merchant_id, content, &h);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ASSERT(ctx != NULL);
    int ok = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    for (size_t i = 0; i < CONTENT_PARTS; i++) {
        ok &= EVP_DigestUpdate(ctx, h.parts[i].ptr, h.parts[i].len);
    }
    ok &= EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
    ASSERT(ok == 1);
}

bool idem_hash_matches(const crypto_keyring *keys, idem_operation op, const idem_entry *entry,
                       str kept, bool *same, err *e) {
    if (kept.len == IDEM_PLAIN_HASH_LEN) { // later versions are longer
        uint8_t plain[IDEM_PLAIN_HASH_LEN];
        idem_plain_hash(op, entry->merchant_id, entry->content, plain);
        *same = memcmp(plain, kept.ptr, sizeof plain) == 0;
        return true;
    }
    hashed h;
    hashed_of(op, entry->merchant_id, entry->content, &h);
    return crypto_mac_matches(keys, PURPOSE, h.parts, CONTENT_PARTS, kept, same, e);
}

static bool read_row(const crypto_keyring *keys, idem_operation op, const db_rows *rows, size_t i,
                     idem_entry *entry, err *e) {
    entry->known = true;
    if (db_get_i16(rows, i, 4) > IDEM_ANSWER_FORMAT) {
        return err_set(e, ERR_UNAVAILABLE, "ANSWER_OF_A_NEWER_VERSION",
                       "the request was answered by a newer version of this service: ask again");
    }
    entry->kept_answer = db_get_str(rows, i, 2);
    entry->kept_made = db_get_uuid_or_nil(rows, i, 3);
    entry->unhashed = db_is_null(rows, i, 1);
    return entry->unhashed ||
           idem_hash_matches(keys, op, entry, db_get_str(rows, i, 1), &entry->same, e);
}

static idempotency_sql_id lookup_of(idem_operation op) {
    switch (op) {
    case IDEM_PAYOUT: return IDEMPOTENCY_SQL_LOOKUP_PAYOUT;
    case IDEM_IMPORT: return IDEMPOTENCY_SQL_LOOKUP_IMPORT;
    case IDEM_CASE: return IDEMPOTENCY_SQL_LOOKUP_CASE;
    case IDEM_RECIPIENT:
    case IDEM_DEPOSIT: break;
    }
    return IDEMPOTENCY_SQL_LOOKUP;
}

// The parameters of the lookup; NULL when the arena is full.
static const db_params *lookup_params(int64_t book_id, idem_operation op,
                                      idem_entry *const *entries, size_t n, arena *a) {
    str *merchants = ARENA_ARRAY(a, str, n);
    str *keys_of = ARENA_ARRAY(a, str, n);
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    if (n > 0 && (merchants == NULL || keys_of == NULL || ids == NULL)) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        ASSERT((op == IDEM_PAYOUT) == !uuid_is_nil(entries[i]->intent));
        ASSERT((op == IDEM_CASE) == !uuid_is_nil(entries[i]->case_id));
        merchants[i] = entries[i]->merchant_id;
        keys_of[i] = entries[i]->key;
        ids[i] = op == IDEM_CASE ? entries[i]->case_id : entries[i]->intent;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    if (op == IDEM_CASE) {
        db_uuid_array(p, ids, n);
        db_text_array(p, keys_of, n);
        return p;
    }
    db_text_array(p, merchants, n);
    db_text_array(p, keys_of, n);
    if (op != IDEM_IMPORT) {
        db_i16(p, (int16_t)op);
    }
    if (op == IDEM_PAYOUT) {
        db_uuid_array(p, ids, n);
    }
    return p;
}

bool idem_lookup(db_conn *c, const crypto_keyring *keys, int64_t book_id, idem_operation op,
                 idem_entry *const *entries, size_t n, arena *a, err *e) {
    const db_params *p = lookup_params(book_id, op, entries, n, a);
    if (p == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "REQUEST_TOO_COMPLEX",
                       "the request takes too much memory");
    }
    for (size_t i = 0; i < n; i++) {
        entries[i]->known = entries[i]->unhashed = false;
        entries[i]->same = true;
    }
    db_rows *rows = NULL;
    if (!db_exec(c, idempotency_sql(lookup_of(op)), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        const size_t at = (size_t)db_get_i64(rows, i, 0) - 1;
        ASSERT(at < n);
        if (!read_row(keys, op, rows, i, entries[at], e)) {
            return false;
        }
    }
    return true;
}

bool idem_insert(db_conn *c, int64_t book_id, idem_operation op, idem_entry *const *entries,
                 size_t n, int64_t now_us, err *e) {
    ASSERT(op != IDEM_PAYOUT && op != IDEM_IMPORT && op != IDEM_CASE);
    db_copy *w = db_copy_begin(
        c, "idempotency",
        "book_id, merchant_id, operation, key, request_hash, response, made, created_at", 8, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const idem_entry *entry = entries[i];
        const bool whole = entry->answer.ptr != NULL;
        ASSERT(whole != !uuid_is_nil(entry->made));
        db_copy_row(w);
        db_copy_i64(w, book_id);
        db_copy_text(w, entry->merchant_id);
        db_copy_i16(w, (int16_t)op);
        db_copy_text(w, entry->key);
        db_copy_bytes(w, entry->hash.bytes, entry->hash.len);
        if (whole) {
            db_copy_bytes(w, entry->answer.ptr, entry->answer.len);
            db_copy_null(w);
        } else {
            db_copy_null(w);
            db_copy_uuid(w, entry->made);
        }
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
                                              strcmp(e->constraint, "payout_intent") == 0 ||
                                              strcmp(e->constraint, "payment_import_key") == 0 ||
                                              strcmp(e->constraint, "deposit_pkey") == 0));
}

bool idem_give_up(err *e) {
    if (e->code == ERR_ALREADY_EXISTS && idem_should_look_again(e)) {
        return err_set(e, ERR_ABORTED, "KEY_RACE",
                       "others used keys of this request at the same time: ask again");
    }
    return false;
}

bool idem_conflict(const char *path, err *e) {
    char field[64];
    (void)snprintf(field, sizeof field, "%sidempotency_key", path);
    return err_set_field(e, ERR_ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", field,
                         "%s was used before for another request", field);
}
