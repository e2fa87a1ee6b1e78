// What banks, submissions and people say of payouts: recorded once, and told to the payouts' sagas, in the transaction of whoever hears it.
#ifndef EVENTS_EVENTS_H
#define EVENTS_EVENTS_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "db/db.h"

// A message about one attempt. A reader that does not know the kind holds the payout.
typedef enum rail_event_kind {
    RAIL_EVENT_ACCEPTED = 1,
    RAIL_EVENT_REFUSED = 2,
    RAIL_EVENT_SETTLED = 3,
    RAIL_EVENT_RETURNED = 4,
    // The attempt was never taken and never will be: its submission was withdrawn, or rejected for a reason of the file.
    RAIL_EVENT_NOT_TAKEN = 5,
    // Orders of a person about the payout, for whichever attempt is present.
    RAIL_EVENT_RELEASE = 20,   // go on at the held step
    RAIL_EVENT_RETRY = 21,     // make a new attempt
    RAIL_EVENT_MARK_PAID = 22, // it was paid; the order's text gives the proof
    RAIL_EVENT_GIVE_BACK = 23, // it was not paid: the money goes back to the merchant
    RAIL_EVENT_WRITE_OFF = 24, // leave it as it is, for good
    RAIL_EVENT_CANCEL = 25     // do not send it
} rail_event_kind;

typedef enum rail_event_source {
    RAIL_SOURCE_BANK = 1,
    RAIL_SOURCE_PERSON = 2,
    RAIL_SOURCE_TIMER = 3,
    RAIL_SOURCE_SUBMISSION = 4,
    RAIL_SOURCE_LEDGER = 5
} rail_event_source;

typedef struct rail_event {
    uuid payout_id;
    int32_t attempt; // from 1; an order may say 0: the whole payout
    rail_event_kind kind;
    str event_id; // unique for this payout: webhook id, or file name and line
    str code, text, reference;
    int64_t at_us;
    int64_t amount;           // minor units that moved; 0: none, or not said
    char currency[4];         // of the amount; "" when unknown
    uuid inbox_id;            // holds the raw bytes; nil: none
    int32_t inbox_line;       // their line; 0: the whole
    rail_event_source source; // 0 means the bank
    str actor;                // author of an order; empty for a bank
} rail_event;

// Records each event once, in the transaction c that also records its file, message or decision. The caller must first check that the
// payouts exist, and wakes the engine after the commit.
bool rail_events_record(db_conn *c, int64_t book_id, const rail_event *events, size_t n, arena *a,
                        err *e) WARN_UNUSED;
// The same for payouts without earlier events, as far as the caller knows: settlements, returns and refusals. It costs half. If someone has
// recorded the same meanwhile: ERR_ALREADY_EXISTS, and the transaction has failed; then use rail_events_record. connection: that of the
// payouts.
bool rail_events_add(db_conn *c, int64_t book_id, int connection, const rail_event *events,
                     size_t n, arena *a, err *e) WARN_UNUSED;

#endif
