// A request that changes something happens once: its key, the hash of its content, and its first answer.
//
// A key belongs to a merchant and an operation, and is kept as long as the object it made. A payout's key is in the payout's own row, found
// by its intent, which is derived from the key. The key of an import is in the import's row. The key of a change of a case belongs to the
// case, and is in the note of the change. Keys of payouts from before migration 0027, and all other keys, are rows of `idempotency`.
// Look keys up before any other check: the repeat of an accepted request gets its first answer, whatever has changed since (promise
// DEFINITE-ERRORS).
#ifndef COMMAND_IDEMPOTENCY_H
#define COMMAND_IDEMPOTENCY_H

#include "crypto/crypto.h"
#include "db/db.h"

typedef enum idem_operation {
    IDEM_PAYOUT = 1,
    IDEM_RECIPIENT = 2,
    IDEM_DEPOSIT = 3,
    IDEM_IMPORT = 4,
    IDEM_CASE = 5
} idem_operation;

// How an answer that is not kept whole is rebuilt from the made object: idempotency.format.
enum { IDEM_ANSWER_FORMAT = 1 };

typedef struct idem_entry {
    str merchant_id, key;
    uuid intent;  // of a payout: payout_intent of book, merchant and key
    uuid case_id; // of a change of a case, which has no merchant_id
    str content;  // the request's bytes: equal requests have equal bytes
    // Of a new key:
    crypto_mac hash; // of the content: idem_hash
    uuid made;       // the object that the request made; nil when the answer is kept whole
    str answer;      // the packed answer; .ptr NULL when it is rebuilt
    // Filled by idem_lookup:
    bool known;      // the key was used before
    bool same;       // for this very content; true for an unknown key, and for an unhashed one
    bool unhashed;   // the row is older than its hash: the caller compares its columns
    uuid kept_made;  // the object made; nil when the whole answer is kept
    str kept_answer; // the answer's bytes; .ptr NULL when it is rebuilt
} idem_entry;

// Fills the hash of a new request: an HMAC, so that a copy of the table reveals no request.
void idem_hash(const crypto_keyring *keys, idem_operation op, idem_entry *entry);
// Fills the lookup's fields of every entry. One statement. DATA_LOSS when a kept hash cannot be compared because its key is not in the
// ring.
bool idem_lookup(db_conn *c, const crypto_keyring *keys, int64_t book_id, idem_operation op,
                 idem_entry *const *entries, size_t n, arena *a, err *e) WARN_UNUSED;
// Writes new entries of operations whose keys have rows of their own: not of payouts, imports and cases. ALREADY_EXISTS with constraint
// "idempotency_pkey" when another instance used a key meanwhile: look up again. Inside a transaction, by COPY.
bool idem_insert(db_conn *c, int64_t book_id, idem_operation op, idem_entry *const *entries,
                 size_t n, int64_t now_us, err *e) WARN_UNUSED;
// True for the error of a lost race or a lost COMMIT answer: run the transaction again; it will find the keys.
bool idem_should_look_again(const err *e);
// After too many looks. Makes *e an error that says "ask again", and returns false: a lost race alone says nothing about the request's
// outcome (promise DEFINITE-ERRORS).
bool idem_give_up(err *e);
// Sets ALREADY_EXISTS / IDEMPOTENCY_KEY_REUSED, returns false.
bool idem_conflict(const char *path, err *e);

// Hashes of the first version: SHA-256 over the operation, the merchant and the content. Kept rows still have them.
enum { IDEM_PLAIN_HASH_LEN = 32 };
void idem_plain_hash(idem_operation op, str merchant_id, str content,
                     uint8_t out[IDEM_PLAIN_HASH_LEN]);
// *same: a kept hash, of any version, is this request's.
bool idem_hash_matches(const crypto_keyring *keys, idem_operation op, const idem_entry *entry,
                       str kept, bool *same, err *e) WARN_UNUSED;

#endif
