// A single call: the POST of one attempt of a payout on a rail that does not hand over. It is a submission, too, and has no row of its own:
// the saga's lease is its sender's, the intent in step_log (committed before the call begins) is its "begun", the outcome is what came of
// it, and the rail asks right before each request whether the lease still runs. What people see of it is made of these rows here, in the
// words of files.
#ifndef SUBMISSIONS_SINGLE_CALL_H
#define SUBMISSIONS_SINGLE_CALL_H

#include "db/db.h"
#include "domain/machine.h"
#include "submissions/machine.h"

// A row about an attempt: of step_log, or of rail_event.
enum { CALL_INTENT = 1, CALL_OUTCOME = 2, CALL_EVENT = 3 }; // the first two as step_log.kind
typedef struct single_call_row {
    int kind;        // CALL_INTENT …
    int step;        // of the log: what was acted on
    int what;        // saga_outcome, or of an event saga_event_kind
    int32_t attempt; // 0: none yet
    int32_t seq;     // in the log; 0 of an event
    int outlook;     // of an intent
    str reason, text, reference;
    int64_t at_us;
    uuid owner;    // the worker; nil of an event
    int64_t epoch; // of its claim; 0 of an event
    uuid inbox_id; // where the bank's bytes are; nil: none
} single_call_row;

// Where a payout stands, and what is known about its calls. Strings and rows are in the arena that it was read into.
typedef struct single_call {
    int64_t book_id;
    uuid payout_id, intent_id;
    str merchant_id, currency;
    int64_t amount;
    int connection;
    int step, phase, state, outlook; // of saga; state is the one beside a hold
    int32_t attempt, tries, log_seq;
    bool leased;    // a worker has it
    int64_t due_us; // INT64_MIN: none
    int64_t since_us, changed_us;
    str reason, reason_text, hold, hold_text;
    const single_call_row *rows; // by time; of all attempts
    size_t n_rows;
} single_call;

// --- Pure ----------------------------------------------------------------------------------------------------------------

// The number of the newest attempt: the one that is prepared counts. 0: none.
int32_t single_call_newest(const single_call *c);
// Where the call of an attempt stands, from 1 to the newest. What cannot be told is UNKNOWN.
submission_state single_call_state(const single_call *c, int32_t attempt);
// What a row says, for people: "BEGUN", "ASKED", "NOT_SENT" … Static.
const char *single_call_evidence(const single_call_row *row);
// Whether the row says that the bank has got the call.
bool single_call_shows_it_sent(const single_call_row *row);
// Whether the row says that the bank has not taken the call, and will not.
bool single_call_refuses(const single_call_row *row);

// An id, MERCHANT/PAYOUT:ATTEMPT, names a call for ever.
typedef struct single_call_id {
    str merchant_id; // points into the text
    uuid payout_id;
    int32_t attempt;
} single_call_id;
// Whether the text has the form of such an id, rather than that of a file.
bool single_call_id_is(str text);
// False when it has not. There is one way to write each.
bool single_call_id_read(str text, single_call_id *id) WARN_UNUSED;
// @arena
char *single_call_id_text(str merchant_id, uuid payout_id, int32_t attempt, arena *a);

// --- Reading -------------------------------------------------------------------------------------------------------------

enum {
    CALL_ROWS_MAX = 1000,  // of one payout, the newest
    CALL_ROWS_LISTED = 32, // the same in a list, which tells of the newest attempt only
    CALL_LOOKED_MAX = 1000 // payouts of a list
};

// One payout of a merchant; *c has no rows of orders. *found is false when the merchant has none such.
bool single_call_get(db_conn *db, int64_t book_id, str merchant_id, uuid payout_id, bool *found,
                     single_call *c, arena *a, err *e) WARN_UNUSED;

typedef struct single_call_filter {
    const int64_t *books;
    size_t n_books;
    const int16_t *connections;
    size_t n_connections;
    bool steps[STEP_COUNT]; // which of EXECUTE, RESOLVE and AWAIT
    size_t limit;           // at most CALL_LOOKED_MAX
} single_call_filter;
// The payouts whose call is not finished, those that have been due or waiting for longest first. The cost is that of what is open:
// finished payouts are in none of the indexes that are read.
bool single_call_open(db_conn *db, const single_call_filter *f, single_call **calls, size_t *n,
                      arena *a, err *e) WARN_UNUSED;

#endif
