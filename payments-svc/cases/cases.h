// Cases: exceptions that a person must look at, with an owner, an age, a next step and a history.
#ifndef CASES_CASES_H
#define CASES_CASES_H

#include "cases/kinds.h"
#include "db/db.h"

typedef struct case_new {
    const char *kind;         // a name of cases/kinds.h
    const char *subject_type; // "payout" "submission" "inbox" "connection" "merchant" "book"
    str subject_id;           // id or name of the subject, 1 … 200 bytes
    str merchant_id;          // empty when none is known
    str code, text; // for programs and for people; too long or not UTF-8: cut and made readable
    int64_t amount; // minor units in question, 0 when it is not about an amount
    char currency[4];
} case_new;

// Opens a case for each, in the caller's transaction. While a case of the same book, kind and subject is open, no second one is opened:
// it is counted as seen again, with a note for the first of them. Costs nothing when n is 0.
bool cases_open(db_conn *c, int64_t book_id, const case_new *cases, size_t n, int64_t now_us,
                arena *a, err *e) WARN_UNUSED;

#endif
