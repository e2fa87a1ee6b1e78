// Decisions of a person about a submission, and the first step of a person's order for one of its payouts.
#ifndef SUBMISSIONS_DECIDE_H
#define SUBMISSIONS_DECIDE_H

#include "submissions/submissions.h"

// A person's answer where the bank's word is missing. Strings are borrowed.
typedef struct submission_decision {
    bool bank_has_it;
    // the bank contradicts itself about it (submission_is_contradiction of the case)
    bool contradicted;
    str actor;    // program and person
    str evidence; // the grounds, for people; cut to the length of a row
    int64_t now_us;
} submission_decision;
// Ends UNKNOWN and DISPUTED, in the caller's transaction, and writes the evidence. If the bank contradicts itself, ends any state except
// being sent. "The bank has it": SENT or ACKED, and its items ACCEPTED. "The bank does not": REJECTED, and its items NOT_TAKEN, so that
// they are sent anew; this is refused once the bank has settled or returned an item. A repeated decision succeeds. Errors: NOT_FOUND.
// FAILED_PRECONDITION, SUBMISSION_NOT_UNKNOWN: its place is known, it is being sent, or the bank has spoken of it. EARLIER_UNDECIDED: it
// was stopped because the bank may have an earlier submission of its payouts, and the earlier one is undecided.
bool submission_decide(db_conn *c, int64_t book_id, uuid id, const submission_decision *d, arena *a,
                       err *e) WARN_UNUSED;

// Tells whether submission_decide would succeed now, with the same errors. Reads only, and locks nothing.
bool submission_decide_look(db_conn *c, int64_t book_id, uuid id, const submission_decision *d,
                            arena *a, err *e) WARN_UNUSED;

// True when a case of this code is about a contradiction of the bank.
bool submission_is_contradiction(str code);

// The first step of an order about an attempt, in the order's transaction: takes out an attempt that has not left. *gone: the attempt was
// never taken and never will be. The caller records this when the order makes a new attempt or gives the money back. why: as for
// submission_take_out. FAILED_PRECONDITION, SUBMISSION_UNDECIDED: the attempt is leaving, or nobody knows whether it has left.
bool submission_make_way(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, str why,
                         bool *gone, arena *a, err *e) WARN_UNUSED;
// The result that submission_make_way would have, with the same errors. Reads only, and locks nothing.
bool submission_way_look(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, bool *gone,
                         arena *a, err *e) WARN_UNUSED;

#endif
