// A single call: the POST of one attempt of a payout, on a rail that does not hand over. A single call is a submission without a row of its
// own. The saga's lease is its sender's lease. The intent in step_log, committed before the call, is its "begun"; the outcome row is its
// result. Right before each request the rail asks whether the lease still runs. These functions make a submission for people of these rows,
// in the words of files.
#ifndef SUBMISSIONS_SINGLE_CALL_H
#define SUBMISSIONS_SINGLE_CALL_H

#include "db/db.h"
#include "domain/machine.h"
#include "submissions/machine.h"

// A row about an attempt: of step_log, or of rail_event.
enum { CALL_INTENT = 1, CALL_OUTCOME = 2, CALL_EVENT = 3 }; // the first two as in step_log.kind
typedef struct single_call_row {
    int kind;        // CALL_INTENT …
    int step;        // of a log row: the step
    int what;        // saga_outcome; of an event: saga_event_kind
    int32_t attempt; // 0: none yet
    int32_t seq;     // in the log; 0 for an event
    int outlook;     // of an intent
    str reason, text, reference;
    int64_t at_us;
    uuid owner;    // the worker; nil for an event
    int64_t epoch; // of the worker's claim; 0 for an event
    uuid inbox_id; // holds the bank's bytes; nil: none
} single_call_row;

// A payout's state and the evidence about its calls. Strings and rows are in the arena of the read.
typedef struct single_call {
    int64_t book_id;
    uuid payout_id, intent_id;
    str merchant_id, currency;
    int64_t amount;
    int connection;
    int step, phase, state, outlook; // of the saga; state ignores a hold
    int32_t attempt, tries, log_seq;
    bool leased;    // a worker has it
    int64_t due_us; // INT64_MIN: none
    int64_t since_us, changed_us;
    str reason, reason_text, hold, hold_text;
    const single_call_row *rows; // by time; all attempts
    size_t n_rows;
} single_call;

// --- Pure ----------------------------------------------------------------------------------------------------------------

// The number of the newest attempt, a prepared one included. 0: none.
int32_t single_call_newest(const single_call *c);
// The state of an attempt's call, from 1 to the newest. UNKNOWN when the rows do not tell.
submission_state single_call_state(const single_call *c, int32_t attempt);
// A row's meaning in a word for people: "BEGUN", "ASKED", "NOT_SENT" … Static.
const char *single_call_evidence(const single_call_row *row);
// True when the row proves that the bank has the call.
bool single_call_shows_it_sent(const single_call_row *row);
// True when the row proves that the bank has not taken the call, and never will.
bool single_call_refuses(const single_call_row *row);

// The permanent id of a call: MERCHANT/PAYOUT:ATTEMPT.
typedef struct single_call_id {
    str merchant_id; // points into the text
    uuid payout_id;
    int32_t attempt;
} single_call_id;
// True when the text has the form of such an id, rather than of a file's.
bool single_call_id_is(str text);
// False when the text has another form. Each id has one spelling.
bool single_call_id_read(str text, single_call_id *id) WARN_UNUSED;
// @arena
char *single_call_id_text(str merchant_id, uuid payout_id, int32_t attempt, arena *a);

// --- Reading -------------------------------------------------------------------------------------------------------------

enum {
    CALL_ROWS_MAX = 1000,  // of one payout, the newest
    CALL_ROWS_LISTED = 32, // the same in a list, which shows the newest attempt only
    CALL_LOOKED_MAX = 1000 // payouts of a list
};

// One payout of a merchant; *c has no rows of orders. *found is false when the merchant has no such payout.
bool single_call_get(db_conn *db, int64_t book_id, str merchant_id, uuid payout_id, bool *found,
                     single_call *c, arena *a, err *e) WARN_UNUSED;

typedef struct single_call_filter {
    const int64_t *books;
    size_t n_books;
    const int16_t *connections;
    size_t n_connections;
    bool steps[STEP_COUNT]; // any of EXECUTE, RESOLVE and AWAIT
    size_t limit;           // at most CALL_LOOKED_MAX
} single_call_filter;
// The payouts with unfinished calls; those that were due or waiting longest come first. The cost grows only with open payouts: the indexes
// that it reads have no finished ones.
bool single_call_open(db_conn *db, const single_call_filter *f, single_call **calls, size_t *n,
                      arena *a, err *e) WARN_UNUSED;

#endif
