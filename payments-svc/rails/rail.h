// A rail: one connection over which money moves, as a table of functions. Rails know nothing of sagas; they say of each item what is known.
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

// Schemes, as payments.v1.Rail. The connection that each had before there were several has the scheme's own number and name.
enum { RAIL_ACH = 1, RAIL_INSTANT = 2 };

typedef enum rail_verdict {
    // certain that the rail never got it: the same attempt may be submitted again
    RAIL_NOT_SENT = 1,
    RAIL_ACCEPTED,      // the rail has it; a settlement or refusal will follow
    RAIL_SETTLED,       // done, final
    RAIL_REFUSED,       // will never be done; code and text say why
    RAIL_REFUSED_RETRY, // refused for now; a new attempt may succeed
    RAIL_UNKNOWN,       // may or may not have been taken: ask with query
    RAIL_RETURNED,      // query only: it was done and came back
    // prepare of a rail that hands over, only: its entry is in a submission, whose events tell what becomes of it
    RAIL_HANDED_OVER,
    RAIL_HELD // prepare of a rail that hands over, only: a person must look before it may be sent
} rail_verdict;

// One payout on its way. Inputs are filled by the engine, outputs by the rail; strings live in the batch's arena.
typedef struct rail_item {
    // in
    uuid payout_id;
    // What the bank may be told of the payout: the same when a client repeats one that the database has forgotten.
    uuid intent_id;
    int32_t attempt; // from 1
    char key[65];    // idempotency key of this attempt: hex SHA-256 of (intent id, attempt)
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
    // RAIL_NOT_SENT: when it is worth another try (wall clock); 0: the engine decides
    int64_t retry_at_us;
} rail_item;

// What is said about one attempt to pay. A reader holds the payout when it does not know a kind.
typedef enum rail_event_kind {
    RAIL_EVENT_ACCEPTED = 1,
    RAIL_EVENT_REFUSED = 2,
    RAIL_EVENT_SETTLED = 3,
    RAIL_EVENT_RETURNED = 4,
    // This attempt was never taken and never will be: its submission was withdrawn, or rejected for a reason of the file.
    RAIL_EVENT_NOT_TAKEN = 5,
    // Orders of a person about the payout, whichever attempt is the present one.
    RAIL_EVENT_RELEASE = 20,   // go on from where it is held
    RAIL_EVENT_RETRY = 21,     // make a new attempt
    RAIL_EVENT_MARK_PAID = 22, // it was paid, the order's text says how that is known
    RAIL_EVENT_GIVE_BACK = 23, // it was not paid: the money goes back to the merchant
    RAIL_EVENT_WRITE_OFF = 24, // leave it as it stands, for good
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
    int32_t attempt; // from 1; an order may say 0: the payout as a whole
    rail_event_kind kind;
    str event_id; // unique for this payout: webhook id, or file name and line
    str code, text, reference;
    int64_t at_us;
    int64_t amount;           // minor units that moved; 0: none, or the bank does not say
    char currency[4];         // of the amount; "" when unknown
    uuid inbox_id;            // where the raw bytes are; nil when there are none
    int32_t inbox_line;       // line of them; 0: all of them
    rail_event_source source; // 0 stands for the bank
    str actor;                // who gave an order; empty for a bank
} rail_event;

// What people want to know before they rely on a connection today.
enum { RAIL_NUMBERS_MAX = 4, RAIL_TROUBLE_MAX = 200 };
typedef struct rail_outlook {
    int64_t next_cut_us; // when items are put into the next submission; 0: there is no timetable
    struct {
        const char *name; // static, for people
        int64_t left;
    } numbers[RAIL_NUMBERS_MAX]; // that the scheme limits, the scarcest first
    size_t n_numbers;
    // what last went wrong with the bank here, and has not gone well since; printable ASCII
    char trouble[RAIL_TROUBLE_MAX + 1];
    int64_t trouble_us; // when; 0: nothing
} rail_outlook;

typedef struct rail rail;
struct rail {
    int id;           // number of the connection; saga.rail
    int scheme;       // RAIL_ACH …
    const char *name; // of the connection: "ach"
    // label of the account at the bank that it pays from; NULL: the main one
    const char *bank_account;
    const char *fees; // what payouts through it cost merchants (rule_fees); NULL or "": nothing
    const char *currencies; // "USD" or "INR,USD"
    int64_t amount_max;     // minor units, one item
    int batch_max;          // items of one submit
    // wait so long at most for more items before a batch is cut (0: at once)
    int64_t gather_ms;
    // Of a rail that hands over: how long payouts wait for the next submission when theirs was taken apart, so that several that are
    // taken out, one after the other, cost one submission (0: not at all).
    int64_t rebuild_ms;
    // So long after a submit, query may say RAIL_NOT_SENT of what the bank has (0: never).
    int64_t query_lag_ms;
    // the longest that one item of a submit may be under way; 0: nothing is submitted
    int64_t call_ms;
    const char *instruments; // comma-separated ways to be paid that it carries: us_bank, in_bank
    const char *finality;    // one sentence, for people
    // How it is known that an item has settled: "answer" (of a submit, a query or a message about the payment), "report" (a file of
    // the bank) or "timetable" (nobody says so, and the time has come).
    const char *settlement;
    // Items leave in submissions that have a sender of their own: prepare gives each item its verdict (RAIL_HANDED_OVER,
    // RAIL_NOT_SENT or RAIL_REFUSED), and submit is never called.
    bool hands_over;
    // The connection is switched off: nothing is sent or asked, and all functions are NULL. What frees reserved money goes on.
    bool off;

    // Inside the claiming transaction, before anything is sent: writes what the rail must remember about these attempts
    // (numbers, the file itself) and fills item->reference. An attempt that was prepared before keeps what it has. May be NULL.
    bool (*prepare)(rail *r, db_conn *c, int64_t book_id, rail_item *items, size_t n, arena *a,
                    err *e);
    // Of a rail that hands over: what prepare has handed over is committed. Any thread; cheap. May be NULL: the rail finds it by itself.
    void (*handed_over)(rail *r);
    // Sends; fills the verdict of every item. Right before an item leaves, it looks whether the items are still the caller's: they are
    // until *until_boot_ms (clock_boot_ms of clock_system), which another thread moves. What has not left by then is RAIL_NOT_SENT.
    void (*submit)(rail *r, int64_t book_id, rail_item *items, size_t n,
                   const _Atomic int64_t *until_boot_ms, arena *a);
    // Asks what became of earlier attempts; RAIL_NOT_SENT when the rail has certainly not got it.
    void (*query)(rail *r, int64_t book_id, rail_item *items, size_t n, arena *a);
    // Of a rail that hands over: takes the entry of an attempt out of a submission that has not begun to leave, in the caller's
    // transaction. *taken is true, too, when that submission was rejected or withdrawn as a whole, and false when it has left, or
    // may have, or the attempt is in none. Writes no event about it. why: for people, such as by whom it was canceled. May be NULL:
    // nothing can be taken out.
    bool (*take_out)(rail *r, db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, str why,
                     bool *taken, arena *a, err *e);
    // Of a rail that hands over, when the database was restored: whether the bank may have this payout in a submission that the database
    // had forgotten, under this attempt. Reads only. May be NULL: it cannot.
    bool (*may_have)(rail *r, db_conn *c, int64_t book_id, uuid intent_id, int32_t attempt,
                     bool *may, arena *a, err *e);
    // Of a rail that hands over: since when its sender cannot reach the bank; 0: it can. Any thread; cheap. May be NULL.
    int64_t (*down_since_us)(rail *r);
    // Reads only. May be NULL.
    bool (*outlook)(rail *r, db_conn *c, int64_t now_us, rail_outlook *out, arena *a, err *e);
    void *self;
};

// Tells the saga engine that events of a book were committed, which this connection has brought. Must be cheap and thread-safe.
typedef void (*rail_wake)(void *arg, int64_t book_id, int connection);

// Where a rail's inbound thread (file poller, webhook listener) delivers what it has heard. Records each event once, with
// the transaction c that also records the file or message it came from, and wakes the sagas. Events of unknown payouts are
// an error of the caller: check first.
bool rail_events_record(db_conn *c, int64_t book_id, const rail_event *events, size_t n, arena *a,
                        err *e) WARN_UNUSED;
// The same for what banks say of payouts that nobody has spoken of, as far as the caller knows: settlements, returns and refusals. It costs
// half. Where somebody has said the same meanwhile: ERR_ALREADY_EXISTS, and the transaction has failed; then record them.
bool rail_events_add(db_conn *c, int64_t book_id, const rail_event *events, size_t n, arena *a,
                     err *e) WARN_UNUSED;

#endif
