// A rail: one connection over which money moves, as a table of functions. Rails know nothing of sagas; they tell what is known of each
// item. All functions block, are called from saga workers (several at once), and lose nothing silently: an item with an uncertain outcome
// is RAIL_UNKNOWN (promise UNKNOWN-IS-A-STATE).
#ifndef RAILS_RAIL_H
#define RAILS_RAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"
#include "db/db.h"

// Schemes, as payments.v1.Rail. A scheme's original connection has the scheme's own number and name.
enum { RAIL_ACH = 1, RAIL_INSTANT = 2 };

typedef enum rail_verdict {
    // the rail certainly never got it: the same attempt may be submitted again
    RAIL_NOT_SENT = 1,
    RAIL_ACCEPTED,      // the rail has it; a settlement or refusal will follow
    RAIL_SETTLED,       // done, final
    RAIL_REFUSED,       // will never be done; code and text say why
    RAIL_REFUSED_RETRY, // refused for now; a new attempt may succeed
    RAIL_UNKNOWN,       // may or may not have been taken: ask with query
    RAIL_RETURNED,      // query only: it was done and came back
    // prepare of a rail that hands over, only: its entry is in a submission, whose events tell the outcome
    RAIL_HANDED_OVER,
    RAIL_HELD // prepare of a rail that hands over, only: a person must look before it may be sent
} rail_verdict;

// One payout for a rail. The engine fills the inputs, the rail the outputs; strings live in the batch's arena.
typedef struct rail_item {
    // in
    uuid payout_id;
    // The payout's id for the bank: unchanged when a client repeats a forgotten request.
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
    str rail_reference; // of this attempt, if it has one already
    // out
    rail_verdict verdict;
    str reference;  // the rail's; empty when none
    str code, text; // reason of a refusal or return
    // RAIL_NOT_SENT: time of the next try (wall clock); 0: the engine decides
    int64_t retry_at_us;
} rail_item;

// Facts for people who rely on a connection today.
enum { RAIL_NUMBERS_MAX = 4, RAIL_TROUBLE_MAX = 200 };
typedef struct rail_outlook {
    int64_t next_cut_us; // time of the next submission; 0: no timetable
    struct {
        const char *name; // static, for people
        int64_t left;
    } numbers[RAIL_NUMBERS_MAX]; // limits of the scheme, the scarcest first
    size_t n_numbers;
    // the last trouble with the bank here, cleared by success; printable ASCII
    char trouble[RAIL_TROUBLE_MAX + 1];
    int64_t trouble_us; // its time; 0: none
} rail_outlook;

typedef struct rail rail;
struct rail {
    int id;           // number of the connection; saga.rail
    int scheme;       // RAIL_ACH …
    bool in_files;    // what it sends leaves in files: asking would not hurry their answer
    const char *name; // of the connection: "ach"
    // label of its account at the bank; NULL: the main account
    const char *bank_account;
    const char *fees; // what payouts through it cost merchants (rule_fees); NULL or "": nothing
    const char *currencies; // "USD" or "INR,USD"
    int64_t amount_max;     // minor units per item
    int batch_max;          // items per submit
    // the longest wait for more items before a batch is cut (0: none)
    int64_t gather_ms;
    // For a rail that hands over: how long payouts wait for the next submission after theirs was taken apart, so that several removals in a
    // row cost one submission (0: no wait).
    int64_t rebuild_ms;
    // For so long after a submit, query may say RAIL_NOT_SENT of an item that the bank has (0: never).
    int64_t query_lag_ms;
    // the longest duration of one item's submit; 0: nothing is submitted
    int64_t call_ms;
    const char *instruments; // comma-separated ways to be paid: us_bank, in_bank
    const char *finality;    // one sentence, for people
    // How settlement becomes known: "answer" (to a submit or query, or a message about the payment), "report" (a file of the bank) or
    // "timetable" (no word; the time has come).
    const char *settlement;
    // Items leave in submissions with their own sender: prepare gives each item its verdict (RAIL_HANDED_OVER, RAIL_NOT_SENT or
    // RAIL_REFUSED), and submit is never called.
    bool hands_over;
    // The connection is switched off: nothing is sent or asked, and all functions are NULL. Reserved money is still freed.
    bool off;

    // Called inside the claiming transaction, before anything is sent: writes the rail's record of these attempts (numbers, the file
    // itself) and fills item->reference. An attempt that was prepared before keeps its record. May be NULL.
    bool (*prepare)(rail *r, db_conn *c, int64_t book_id, rail_item *items, size_t n, arena *a,
                    err *e);
    // For a rail that hands over: the items of prepare are committed. Any thread; cheap. May be NULL: the rail finds them by itself.
    void (*handed_over)(rail *r);
    // Sends the items and fills each verdict. Right before an item leaves, it checks that the caller still holds the items: until
    // *until_boot_ms (clock_boot_ms of clock_system), which another thread moves. An item that has not left by then is RAIL_NOT_SENT.
    void (*submit)(rail *r, int64_t book_id, rail_item *items, size_t n,
                   const _Atomic int64_t *until_boot_ms, arena *a);
    // Asks for the outcome of earlier attempts; RAIL_NOT_SENT when the rail certainly does not have it.
    void (*query)(rail *r, int64_t book_id, rail_item *items, size_t n, arena *a);
    // For a rail that hands over: takes an attempt's entry out of a submission that has not begun to leave, in the caller's transaction.
    // *taken is also true when the submission was rejected or withdrawn as a whole. It is false when the submission has left or may have,
    // or the attempt is in none. Writes no event. why: for people, such as who canceled it. May be NULL: nothing can be taken out.
    bool (*take_out)(rail *r, db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, str why,
                     bool *taken, arena *a, err *e);
    // For a rail that hands over, after a restore: true when the bank may have this attempt in a submission that the database had
    // forgotten. Reads only. May be NULL: impossible.
    bool (*may_have)(rail *r, db_conn *c, int64_t book_id, uuid intent_id, int32_t attempt,
                     bool *may, arena *a, err *e);
    // For a rail that hands over: since when its sender cannot reach the bank; 0: it can. Any thread; cheap. May be NULL.
    int64_t (*down_since_us)(rail *r);
    // Reads only. May be NULL.
    bool (*outlook)(rail *r, db_conn *c, int64_t now_us, rail_outlook *out, arena *a, err *e);
    void *self;
};

// Tells the saga engine that this connection's events of a book were committed. Must be cheap and thread-safe.
typedef void (*rail_wake)(void *arg, int64_t book_id, int connection);

#endif
