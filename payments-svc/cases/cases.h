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

// The same for what is looked at again and again: a case that is open is told anew, without a note and without counting.
bool cases_keep(db_conn *c, int64_t book_id, const case_new *cases, size_t n, int64_t now_us,
                arena *a, err *e) WARN_UNUSED;

// The reason is gone: closes what is open of these subjects, with a note, in the caller's transaction. kind NULL: of any kind.
// Subjects without an open case are fine. *closed may be NULL.
bool cases_close(db_conn *c, int64_t book_id, const char *kind, const char *subject_type,
                 const str *subject_ids, size_t n, str why, int64_t now_us, arena *a,
                 int64_t *closed, err *e) WARN_UNUSED;

// --- Reading -------------------------------------------------------------------------------------------------------------

typedef enum case_state { CASE_STATE_OPEN = 1, CASE_STATE_RESOLVED = 2 } case_state;

typedef struct case_row {
    int64_t book_id;
    uuid case_id;
    str kind, subject_type, subject_id, merchant_id, code, text, currency, owner, resolution;
    int64_t amount, seen;
    int16_t state; // case_state; a newer version may write others
    int64_t opened_us, due_us, seen_us;
    int64_t resolved_us; // 0 while it is open
} case_row;

typedef struct case_filter {
    bool in_book; // book_id counts; must be set with resolved or subject_type
    int64_t book_id;
    bool open, resolved;                                    // at least one
    str kind, subject_type, subject_id, merchant_id, owner; // empty: all
    uuid after; // cases after this one; nil: from the first
    int64_t limit;
} case_filter;

// Oldest first. Within a transaction or db_read. @arena
bool cases_list(db_conn *c, const case_filter *f, arena *a, case_row **out, size_t *n,
                err *e) WARN_UNUSED;
// NOT_FOUND, reason CASE_NOT_FOUND. @arena
bool cases_get(db_conn *c, int64_t book_id, uuid case_id, arena *a, case_row *out,
               err *e) WARN_UNUSED;

typedef struct case_note {
    const char *kind; // "OPENED" …; "?" of another version
    str program, person, text, resolution, evidence;
    int64_t at_us;
} case_note;
// The newest CASE_NOTES_MAX, oldest first. @arena
enum { CASE_NOTES_MAX = 1000 };
bool cases_history(db_conn *c, int64_t book_id, uuid case_id, arena *a, case_note **out, size_t *n,
                   err *e) WARN_UNUSED;

// --- What a person does --------------------------------------------------------------------------------------------------

enum { CASE_PERSON_MAX = 128, CASE_TEXT_MAX = 2000 };

typedef enum case_act { CASE_ACT_ASSIGN, CASE_ACT_COMMENT, CASE_ACT_RESOLVE } case_act;

typedef struct case_change {
    case_act act;
    int64_t book_id;
    uuid case_id;
    str program, person; // identity of the program, and the person it acts for
    str text;            // the new owner, or the comment
    str resolution, evidence;
    // what is wrong with the request besides; NULL: nothing. A key that is known is answered all the same
    const err *refusal;
    str key; // idempotency key, 1 … RULE_KEY_MAX bytes; looked up before all else
    int64_t now_us;
} case_change;

typedef struct case_changed {
    case_row row;            // as it stands now
    const case_order *order; // of a resolution that was recorded by this very call; otherwise NULL
} case_changed;

// One change, in the caller's transaction, which locks the case. A key that was used before changes nothing. When out->order names an
// event, the caller records it in the same transaction.
// INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS (IDEMPOTENCY_KEY_REUSED), FAILED_PRECONDITION (CASE_RESOLVED, RESOLUTION_NOT_ALLOWED).
bool cases_change(db_conn *c, const case_change *x, arena *a, case_changed *out,
                  err *e) WARN_UNUSED;

#endif
