// Idempotency keys: scoped to the merchant, kept for ever with the first answer.
#ifndef STORE_IDEMPOTENCY_H
#define STORE_IDEMPOTENCY_H

#include "db/db.h"

typedef enum idem_operation {
    IDEM_PAYOUT = 1,
    IDEM_RECIPIENT = 2,
    IDEM_DEPOSIT = 3
} idem_operation;

typedef struct idem_entry {
    str merchant_id, key;
    uint8_t hash[32]; // SHA-256 of this request's content
    bool known;       // the key was used before
    uint8_t stored
        [32]; // the hash that the key stands for: of the first request; this one's own when the key is new
    str response; // packed message: of the first answer, or of the new one for idem_insert
} idem_entry;

// SHA-256 over the operation, the merchant and the packed content.
void idem_hash(idem_operation op, str merchant_id, str content, uint8_t out[32]);
// Fills known and stored (and response of a known key) of every entry. One statement.
bool idem_lookup(db_conn *c, int64_t book_id, idem_entry *const *entries, size_t n, arena *a,
                 err *e) WARN_UNUSED;
// Writes the entries; ALREADY_EXISTS with constraint "idempotency_pkey" when another instance used a key meanwhile: look
// up again. Inside a transaction, by COPY.
bool idem_insert(db_conn *c, int64_t book_id, idem_operation op, idem_entry *const *entries,
                 size_t n, int64_t now_us, err *e) WARN_UNUSED;
// True for the error of a lost race or a lost COMMIT answer: the transaction is to be run again, and will find the keys.
bool idem_should_look_again(const err *e);
// Looked again and again, in vain. False, with *e made an error that says "ask again": a lost race alone says nothing of what
// became of the request (promise DEFINITE-ERRORS).
bool idem_give_up(err *e);
// True when a request with this hash is the one that the entry's key stands for, now or before.
bool idem_is_same(const idem_entry *first, const uint8_t hash[32]) WARN_UNUSED;
bool idem_conflict(const char *path,
                   err *e); // sets ALREADY_EXISTS / IDEMPOTENCY_KEY_REUSED, returns false

#endif
