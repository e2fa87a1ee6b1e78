// The nouns of the ledger: account, transfer, journal row. Plain data, no behaviour, no I/O.
#ifndef DOMAIN_MODEL_H
#define DOMAIN_MODEL_H

#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"
#include "domain/status.h"

enum {
    LEDGER_BATCH_MAX = 8190, // events in one request
    LEDGER_CODE_MAX = 65535, // codes are 16 bits, as in TigerBeetle
};

// The largest amount there is; on a post it also means "all of it".
#define LEDGER_AMOUNT_MAX INT64_MAX
// next_expires_us of a book in which nothing can expire.
#define LEDGER_NEVER_US INT64_MAX

enum {
    LEDGER_ACCOUNT_FLAG_LINKED = 1u << 0,
    LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS = 1u << 1,
    LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS = 1u << 2,
    LEDGER_ACCOUNT_FLAGS_KNOWN = (1u << 3) - 1,
};

enum {
    LEDGER_TRANSFER_FLAG_LINKED = 1u << 0,
    LEDGER_TRANSFER_FLAG_PENDING = 1u << 1,
    LEDGER_TRANSFER_FLAG_POST = 1u << 2,
    LEDGER_TRANSFER_FLAG_VOID = 1u << 3,
    LEDGER_TRANSFER_FLAGS_KNOWN = (1u << 4) - 1,
};

// What a journal row is. The numbers are stored and sent.
typedef enum ledger_kind {
    LEDGER_KIND_NONE = 0,
    LEDGER_KIND_SINGLE = 1,  // moves the amount
    LEDGER_KIND_PENDING = 2, // reserves the amount
    LEDGER_KIND_POST =
        3, // moves the amount, at most what was reserved, and releases the reservation
    LEDGER_KIND_VOID = 4,   // releases the reservation
    LEDGER_KIND_EXPIRE = 5, // the same, written by the ledger itself when the time is up; has no id
} ledger_kind;

// ISO 4217 code as three letters packed into a word; 0 is "none".
typedef uint32_t ledger_currency;
// Packs three letters; anything else gives 0.
ledger_currency ledger_currency_pack(str text);
void ledger_currency_text(ledger_currency c, char out[4]);

typedef struct ledger_balances {
    int64_t debits_pending, debits_posted, credits_pending, credits_posted;
} ledger_balances;

typedef struct ledger_account {
    uuid id;
    uuid user_data_128;
    uint64_t user_data_64;
    uint32_t user_data_32;
    uint32_t code;
    uint32_t flags;
    ledger_currency currency;
    int64_t timestamp_us;
    ledger_balances balances;
    uint32_t touched; // place in ledger_tx.touched plus one while a transaction is at work; else 0
} ledger_account;

// A request for an account, as it came.
typedef struct ledger_account_event {
    uuid id;
    uuid user_data_128;
    uint64_t user_data_64;
    uint32_t user_data_32;
    uint32_t code;
    uint32_t flags;
    ledger_currency currency;
    int64_t timestamp_us;     // must be 0
    ledger_balances balances; // must be 0
} ledger_account_event;

// A request for a transfer, as it came. A nil id, currency 0 and code 0 stand for "not given".
typedef struct ledger_transfer_event {
    uuid id;
    uuid debit_account_id;
    uuid credit_account_id;
    uuid pending_id;
    uuid user_data_128;
    uint64_t user_data_64;
    uint32_t user_data_32;
    uint32_t timeout_s;
    uint32_t code;
    uint32_t flags;
    ledger_currency currency;
    int64_t amount;       // never negative: the decoder refuses it
    int64_t timestamp_us; // must be 0
} ledger_transfer_event;

// One immutable row of the journal.
typedef struct ledger_row {
    ledger_kind kind;
    ledger_kind
        resolution; // of a pending: LEDGER_KIND_NONE while it is open, else what ended it. Not stored in this row
    uuid id; // nil for an expiry
    uuid debit_account_id;
    uuid credit_account_id;
    uuid pending_id;
    uuid user_data_128;
    uint64_t user_data_64;
    uint32_t user_data_32;
    uint32_t timeout_s;
    uint32_t code;
    uint32_t flags;
    ledger_currency currency;
    int64_t
        amount; // what moved (single, post), was reserved (pending), or was given back (void, expire)
    int64_t released;   // of a post, void or expire: the reservation that it ends; else 0
    int64_t expires_us; // of a pending with a timeout; else 0
    int64_t sequence;
    int64_t timestamp_us;
    ledger_balances debit_after;
    ledger_balances credit_after;
    // Of a row made by the transaction at work; NULL in rows that were loaded.
    ledger_account *debit, *credit;
    struct ledger_row *pending;
} ledger_row;

// What a row does to its debit account's debits and its credit account's credits.
typedef struct ledger_effect {
    int64_t pending, posted;
} ledger_effect;
ledger_effect ledger_row_effect(const ledger_row *row);

#endif
