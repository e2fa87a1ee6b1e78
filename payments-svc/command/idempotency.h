// A request that changes something happens once: its key, what the key stands for, and what was answered first.
//
// A key belongs to a merchant and an operation, and is kept as long as what it made. That of a payout is in the payout's own row, found by
// its intent, which is derived from the key; those of payouts that were accepted before migration 0027, and of all else, are rows of
// `idempotency`. Look keys up before anything else is looked at: a repeat of
// what was accepted gets its first answer, whatever has changed since (promise DEFINITE-ERRORS).
#ifndef COMMAND_IDEMPOTENCY_H
#define COMMAND_IDEMPOTENCY_H

#include "crypto/crypto.h"
#include "db/db.h"

typedef enum idem_operation {
    IDEM_PAYOUT = 1,
    IDEM_RECIPIENT = 2,
    IDEM_DEPOSIT = 3
} idem_operation;

// How answers that are not kept whole are rebuilt from what was made: idempotency.format.
enum { IDEM_ANSWER_FORMAT = 1 };

typedef struct idem_entry {
    str merchant_id, key;
    uuid intent; // of a payout: payout_intent of book, merchant and key
    str content; // the request as bytes: the same request is the same bytes
    // A new key's, for idem_insert:
    crypto_mac hash; // of the content: idem_hash
    uuid made;       // what the request made; nil when the answer is kept whole
    str answer;      // the packed answer; .ptr NULL when it is rebuilt from what was made
    // Filled by idem_lookup:
    bool known;      // the key was used before
    bool same;       // for this very content; true as long as the key is not known
    uuid kept_made;  // what was made; nil where the whole answer is kept
    str kept_answer; // the answer's bytes; .ptr NULL where the answer is rebuilt from what was made
} idem_entry;

// Fills the hash of a new request: an HMAC, so that a copy of the table lets nobody guess what was asked for.
void idem_hash(const crypto_keyring *keys, idem_operation op, idem_entry *entry);
// Fills what idem_lookup fills, of every entry. One statement. DATA_LOSS when a kept hash cannot be compared, as its key is not in
// the ring.
bool idem_lookup(db_conn *c, const crypto_keyring *keys, int64_t book_id, idem_operation op,
                 idem_entry *const *entries, size_t n, arena *a, err *e) WARN_UNUSED;
// Writes new entries of operations that keep their keys in rows of their own, which is all but payouts; ALREADY_EXISTS
// with constraint "idempotency_pkey" when another instance used a key meanwhile: look up again. Inside a transaction,
// by COPY.
bool idem_insert(db_conn *c, int64_t book_id, idem_operation op, idem_entry *const *entries,
                 size_t n, int64_t now_us, err *e) WARN_UNUSED;
// True for the error of a lost race or a lost COMMIT answer: the transaction is to be run again, and will find the keys.
bool idem_should_look_again(const err *e);
// Looked again and again, in vain. False, with *e made an error that says "ask again": a lost race alone says nothing of what
// became of the request (promise DEFINITE-ERRORS).
bool idem_give_up(err *e);
// Sets ALREADY_EXISTS / IDEMPOTENCY_KEY_REUSED, returns false.
bool idem_conflict(const char *path, err *e);

// Hashes of the first version: SHA-256 over the operation, the merchant and the content. Kept rows still have them.
enum { IDEM_PLAIN_HASH_LEN = 32 };
void idem_plain_hash(idem_operation op, str merchant_id, str content,
                     uint8_t out[IDEM_PLAIN_HASH_LEN]);
// Whether a kept hash, of whichever version, is of this request.
bool idem_hash_matches(const crypto_keyring *keys, idem_operation op, const idem_entry *entry,
                       str kept, bool *same, err *e) WARN_UNUSED;

#endif
