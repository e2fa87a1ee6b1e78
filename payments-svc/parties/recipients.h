// Recipients: rows as structs, and what is sealed of each. All functions run in a transaction of the caller's, and answer in its arena.
#ifndef PARTIES_RECIPIENTS_H
#define PARTIES_RECIPIENTS_H

#include "authz/actor.h"
#include "crypto/crypto.h"
#include "db/db.h"

typedef struct recipient_view {
    uuid recipient_id;
    str merchant_id;
    int holder_type; // payments.v1.HolderType
    str currency, routing_code, account_last4;
    str name_sealed;
    int64_t created_us;
} recipient_view;

// *found is false when the merchant has no such recipient.
bool recipient_find(db_conn *c, int64_t book_id, str merchant_id, uuid recipient_id,
                    recipient_view *out, bool *found, arena *a, err *e) WARN_UNUSED;
// A merchant's recipients with ids below before, the youngest first, at most limit.
bool recipients_list(db_conn *c, int64_t book_id, str merchant_id, uuid before, int64_t limit,
                     recipient_view **out, size_t *n, arena *a, err *e) WARN_UNUSED;
// Opens the name. DATA_LOSS when its key is not in the ring.
bool recipient_name(crypto_keyring *keys, int64_t book_id, const recipient_view *r, arena *a,
                    str *name, err *e) WARN_UNUSED;

typedef struct recipient_new {
    uuid recipient_id;
    int holder_type, account_type; // payments.v1.HolderType, AccountType
    str currency, routing_code, account_number;
    str name;
    str name_sealed, account_sealed; // made by recipient_seal
} recipient_new;

// Seals name and account number for their place, which the id and the book say.
bool recipient_seal(crypto_keyring *keys, int64_t book_id, recipient_new *r, arena *a,
                    err *e) WARN_UNUSED;
// Writes new ones, with who caused it.
bool recipients_write(db_conn *c, int64_t book_id, str merchant_id, const recipient_new *list,
                      size_t n, const actor_info *by, int64_t now_us, arena *a, err *e) WARN_UNUSED;
// The last four characters, so that a person can tell accounts apart; of a very short number the last one. @borrowed from account
str recipient_last4(str account);

#endif
