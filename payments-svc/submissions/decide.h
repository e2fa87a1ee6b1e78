// What a person decides about a submission, and what a person's order for one payout of it does first.
#ifndef SUBMISSIONS_DECIDE_H
#define SUBMISSIONS_DECIDE_H

#include "submissions/submissions.h"

// Where the bank's word can be had from a person only. Strings are borrowed.
typedef struct submission_decision {
    bool bank_has_it;
    // the bank's words about it contradict each other (submission_is_contradiction of the case)
    bool contradicted;
    str actor;    // program and person
    str evidence; // what it rests on, for people; cut to what a row takes
    int64_t now_us;
} submission_decision;
// Ends UNKNOWN and DISPUTED, in the caller's transaction, and writes the evidence; where the bank contradicts itself, any state in which
// it is not being sent. The bank has it: SENT or ACKED, and its items ACCEPTED. It has not: REJECTED, and its items NOT_TAKEN, so that
// they are sent anew; never once the bank has settled or returned one of them. Decided so before is success. Errors: NOT_FOUND;
// FAILED_PRECONDITION, SUBMISSION_NOT_UNKNOWN: it is known where it is, being sent, or the bank has spoken of it; EARLIER_UNDECIDED: it
// was stopped since the bank may have an earlier one of its payouts, and nobody has decided about that one.
bool submission_decide(db_conn *c, int64_t book_id, uuid id, const submission_decision *d, arena *a,
                       err *e) WARN_UNUSED;

// Whether submission_decide would take it as the submission stands, with the same errors. Reads only, and locks nothing.
bool submission_decide_look(db_conn *c, int64_t book_id, uuid id, const submission_decision *d,
                            arena *a, err *e) WARN_UNUSED;

// Whether a case of this code says that the bank contradicts itself.
bool submission_is_contradiction(str code);

// An order about an attempt, before it is given, in the same transaction: what has not left is taken out. *gone is true when the attempt
// was never taken and never will be, which the caller records when the order makes a new attempt or gives the money back.
// why: as submission_take_out takes it. FAILED_PRECONDITION, SUBMISSION_UNDECIDED: it is leaving, or nobody knows whether it has left.
bool submission_make_way(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, str why,
                         bool *gone, arena *a, err *e) WARN_UNUSED;
// What submission_make_way would find, with the same errors. Reads only, and locks nothing.
bool submission_way_look(db_conn *c, int64_t book_id, uuid payout_id, int32_t attempt, bool *gone,
                         arena *a, err *e) WARN_UNUSED;

#endif
