// The nouns of the ledger: account, transfer, journal row. Plain data, no behaviour, no I/O.
#ifndef DOMAIN_MODEL_H
#define DOMAIN_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"
#include "domain/status.h"

enum {
    LEDGER_BATCH_MAX = 8190,             // events in one request
    LEDGER_CODE_MAX = 65535,             // codes are 16 bits, as in TigerBeetle
    LEDGER_EXTERNAL_REFERENCE_MAX = 128, // bytes
};

// The largest amount there is; on a post it also means "all of it".
#define LEDGER_AMOUNT_MAX INT64_MAX
// next_expires_us of a book without open pending transfers that expire.
#define LEDGER_NEVER_US INT64_MAX

enum {
    LEDGER_ACCOUNT_FLAG_LINKED = 1u << 0,
    LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS = 1u << 1,
    LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS = 1u << 2,
    LEDGER_ACCOUNT_FLAG_HISTORY = 1u << 3,
    LEDGER_ACCOUNT_FLAG_IMPORTED = 1u << 4,
    LEDGER_ACCOUNT_FLAG_CLOSED = 1u << 5,
    LEDGER_ACCOUNT_FLAGS_KNOWN = (1u << 6) - 1,
};

// The state of an account, apart from its balances. Stored with the account and, after each row, in the journal.
enum {
    LEDGER_STATE_CLOSED = 1u << 0,     // takes no debits and credits
    LEDGER_STATE_OVER_LIMIT = 1u << 1, // a forced reversal took the account beyond its limit
};

enum {
    LEDGER_TRANSFER_FLAG_LINKED = 1u << 0,
    LEDGER_TRANSFER_FLAG_PENDING = 1u << 1,
    LEDGER_TRANSFER_FLAG_POST = 1u << 2,
    LEDGER_TRANSFER_FLAG_VOID = 1u << 3,
    LEDGER_TRANSFER_FLAG_BALANCING_DEBIT = 1u << 4,
    LEDGER_TRANSFER_FLAG_BALANCING_CREDIT = 1u << 5,
    LEDGER_TRANSFER_FLAG_CLOSING_DEBIT = 1u << 6,
    LEDGER_TRANSFER_FLAG_CLOSING_CREDIT = 1u << 7,
    LEDGER_TRANSFER_FLAG_IMPORTED = 1u << 8,
    LEDGER_TRANSFER_FLAGS_KNOWN = (1u << 9) - 1, // in a request
    LEDGER_TRANSFER_FLAG_FORCED = 1u << 9,       // of reversals only
};

// The kinds of journal rows. The numbers are stored and sent.
typedef enum ledger_kind {
    LEDGER_KIND_NONE = 0,
    LEDGER_KIND_SINGLE = 1,  // moves the amount
    LEDGER_KIND_PENDING = 2, // reserves the amount
    // moves at most the reserved amount and releases the reservation
    LEDGER_KIND_POST = 3,
    LEDGER_KIND_VOID = 4,   // releases the reservation
    LEDGER_KIND_EXPIRE = 5, // the same, written by the ledger when the time is up; has no id
} ledger_kind;

// ISO 4217 code as three letters packed into a word; 0 is "none".
typedef uint32_t ledger_currency;
// Packs three letters; anything else gives 0.
ledger_currency ledger_currency_pack(str text);
void ledger_currency_text(ledger_currency c, char out[4]);
// True for a currency of ISO 4217.
bool ledger_currency_known(ledger_currency c);

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
    uint32_t state; // bits of LEDGER_STATE_…
    ledger_currency currency;
    int64_t timestamp_us;
    int64_t effective_us;   // timestamp_us, or an imported account's own time
    int64_t lowest_balance; // the credit line: 0 or negative
    ledger_balances balances;
    uuid reference_digest; // of external_reference and metadata; nil for none
    uuid metadata_digest;
    // Empty for none. Only in accounts that are new or were just read: a cached account has only the digests.
    str external_reference;
    str metadata;     // as in ledger_metadata_next
    uint32_t touched; // place in ledger_tx.touched plus one during a transaction; else 0
} ledger_account;

// The state of a new account, before any posting.
static inline uint32_t ledger_account_state_at_birth(const ledger_account *account) {
    return (account->flags & LEDGER_ACCOUNT_FLAG_CLOSED) != 0 ? LEDGER_STATE_CLOSED : 0;
}

// A request for an account, as it came.
typedef struct ledger_account_event {
    uuid id;
    uuid user_data_128;
    uint64_t user_data_64;
    uint32_t user_data_32;
    uint32_t code;
    uint32_t flags;
    ledger_currency currency;
    int64_t timestamp_us;     // must be 0, except when imported
    int64_t lowest_balance;   // more than INT64_MIN: the decoder refuses it
    ledger_balances balances; // must be 0
    str external_reference;
    str metadata; // as in ledger_metadata_next
} ledger_account_event;

// A request for a transfer, as it came. A nil id, currency 0 and code 0 mean "not given". An event with a reverses_id asks for a reversal:
// it has at most the flags LINKED and FORCED, and only fields that the reversed transfer does not give: code, user data, external
// reference, metadata.
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
    int64_t timestamp_us; // must be 0, except when imported
    uuid reverses_id;
    str external_reference;
    str metadata; // as in ledger_metadata_next
} ledger_transfer_event;

// One immutable row of the journal.
typedef struct ledger_row {
    ledger_kind kind;
    // of a pending: LEDGER_KIND_NONE while open, else what ended it. Not stored in this row
    ledger_kind resolution;
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
    // the amount moved (single, post), reserved (pending) or given back (void, expire)
    int64_t amount;
    int64_t released;   // of a post, void or expire: the reservation it ends; else 0
    int64_t expires_us; // of a pending with a timeout; else 0
    int64_t sequence;
    int64_t timestamp_us;
    int64_t effective_us; // timestamp_us, or an imported transfer's own time
    ledger_balances debit_after;
    ledger_balances credit_after;
    uint8_t debit_state_after, credit_state_after;   // bits of LEDGER_STATE_…
    uint8_t debit_state_before, credit_state_before; // not stored: for undoing
    uuid reverses_id;                                // of a reversal; else nil
    str external_reference;                          // empty for none
    str metadata;                                    // as in ledger_metadata_next
    uint8_t leaf_hash[32];       // as stored; only in rows that were loaded (leaf.h makes it)
    struct ledger_row *reversal; // the row that reverses this one. Not stored in this row
    // Set in a row that the current transaction makes; NULL in a loaded row.
    ledger_account *debit, *credit;
    struct ledger_row *pending;
    struct ledger_row *reversed;
} ledger_row;

// A row's effect on its debit account's debits and its credit account's credits.
typedef struct ledger_effect {
    int64_t pending, posted;
} ledger_effect;
ledger_effect ledger_row_effect(const ledger_row *row);

// --- Metadata: entries sorted by key, no key twice. Each is the length of the key (1 byte), the key, the length of the
// value (2 bytes, big-endian), and the value. No entries is the empty string. The form is stored, compared and hashed as it is.

enum {
    LEDGER_METADATA_ENTRIES_MAX = 16,
    LEDGER_METADATA_KEY_MAX = 64,
    LEDGER_METADATA_VALUE_MAX = 256,
    LEDGER_METADATA_MAX =
        LEDGER_METADATA_ENTRIES_MAX * (3 + LEDGER_METADATA_KEY_MAX + LEDGER_METADATA_VALUE_MAX),
};

typedef struct ledger_metadata_entry {
    str key, value;
} ledger_metadata_entry;

// Sorts the entries and writes them. False when a key occurs twice. The caller checks the sizes. out holds LEDGER_METADATA_MAX bytes.
bool ledger_metadata_encode(ledger_metadata_entry *entries, size_t n, char *out,
                            size_t *out_len) WARN_UNUSED;
// Takes the first entry off the front of *metadata. False at the end. Aborts on bytes that are not in this form.
bool ledger_metadata_next(str *metadata, ledger_metadata_entry *out);

// A digest that stands for a text where only equality matters. Nil for the empty text only.
uuid ledger_digest(str text);

#endif
