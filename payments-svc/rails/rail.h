// A rail: a way to move money, as a table of functions. Rails know nothing of sagas; they say of each item what is known.
// All functions block, are called from saga workers (several at once), and never throw anything away silently: an item whose
// outcome is not certain is RAIL_UNKNOWN (promise UNKNOWN-IS-A-STATE).
#ifndef RAILS_RAIL_H
#define RAILS_RAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "db/db.h"

enum { RAIL_ACH = 1, RAIL_INSTANT = 2 }; // as payments.v1.Rail

typedef enum rail_verdict {
    RAIL_NOT_SENT =
        1,         // certain that the rail never got it: the same attempt may be submitted again
    RAIL_ACCEPTED, // the rail has it; a settlement or refusal will follow
    RAIL_SETTLED,  // done, final
    RAIL_REFUSED,  // will never be done; code and text say why
    RAIL_REFUSED_RETRY, // refused for now; a new attempt may succeed
    RAIL_UNKNOWN,       // may or may not have been taken: ask with query
    RAIL_RETURNED       // query only: it was done and came back
} rail_verdict;

// One payout on its way. Inputs are filled by the engine, outputs by the rail; strings live in the batch's arena.
typedef struct rail_item {
    // in
    uuid payout_id;
    int32_t attempt; // from 1
    char key[65];    // idempotency key of this attempt: hex SHA-256 of (payout id, attempt)
    int64_t amount;  // minor units
    char currency[4];
    str merchant_id;
    str merchant_name;
    str recipient_name; // decrypted; never logged
    str routing_code;
    str account_number; // decrypted; never logged
    int account_type;   // payments.v1.BankAccountType
    int holder_type;    // payments.v1.HolderType
    str description;
    str rail_reference; // of this attempt, when there is one already
    // out
    rail_verdict verdict;
    str reference;  // the rail's reference; empty when none
    str code, text; // reason of a refusal or return, for people
} rail_item;

// Something a rail says by itself.
typedef enum rail_event_kind {
    RAIL_EVENT_ACCEPTED = 1,
    RAIL_EVENT_REFUSED = 2,
    RAIL_EVENT_SETTLED = 3,
    RAIL_EVENT_RETURNED = 4
} rail_event_kind;

typedef struct rail_event {
    uuid payout_id;
    int32_t attempt;
    rail_event_kind kind;
    str event_id; // unique for this payout: webhook id, or file name and line
    str code, text, reference;
    int64_t at_us;
} rail_event;

typedef struct rail rail;
struct rail {
    int id;                 // RAIL_ACH …
    const char *name;       // "ach"
    const char *currencies; // "USD" or "INR,USD"
    int64_t amount_max;     // minor units, one item
    int batch_max;          // items of one submit
    int64_t gather_ms;      // wait so long for more items before a batch is cut (0: at once)
    const char *finality;   // one sentence, for people

    // Inside the claiming transaction, before anything is sent: writes what the rail must remember about these attempts
    // (numbers, the file itself) and fills item->reference. An attempt that was prepared before keeps what it has. May be NULL.
    bool (*prepare)(rail *r, db_conn *c, int64_t book_id, rail_item *items, size_t n, arena *a,
                    err *e);
    // Sends; fills the verdict of every item.
    void (*submit)(rail *r, int64_t book_id, rail_item *items, size_t n, arena *a);
    // Asks what became of earlier attempts; RAIL_NOT_SENT when the rail has certainly not got it.
    void (*query)(rail *r, int64_t book_id, rail_item *items, size_t n, arena *a);
    void *self;
};

// Where a rail's inbound thread (file poller, webhook listener) delivers what it has heard. Records each event once, with
// the transaction c that also records the file or message it came from, and wakes the sagas. Events of unknown payouts are
// an error of the caller: check first.
bool rail_events_record(db_conn *c, int64_t book_id, const rail_event *events, size_t n, arena *a,
                        err *e) WARN_UNUSED;

#endif
