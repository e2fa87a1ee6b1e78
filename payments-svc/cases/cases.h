// Cases: exceptions that a person must look at, with an owner, an age, a next step and a history.
#ifndef CASES_CASES_H
#define CASES_CASES_H

#include "cases/kinds.h"
#include "crypto/crypto.h"
#include "db/db.h"

typedef struct case_new {
    const char *kind;         // a name of cases/kinds.h
    const char *subject_type; // "payout" "submission" "inbox" "connection" "merchant" "book"
    str subject_id;           // id or name of the subject, 1 … 200 bytes
    str merchant_id;          // empty when none is known
    str code, text; // for programs and for people; cut if too long, made readable if not UTF-8
    int64_t amount; // minor units in question, 0: not about an amount
    char currency[4];
} case_new;

// Opens the cases, in the caller's transaction. An open case of the same book, kind and subject is not opened again: it is counted as seen
// again, and its first repeats get a note. Costs nothing when n is 0.
bool cases_open(db_conn *c, int64_t book_id, const case_new *cases, size_t n, int64_t now_us,
                arena *a, err *e) WARN_UNUSED;

// The same for a condition that is checked again and again: an open case gets the new text, without a note or a count.
bool cases_keep(db_conn *c, int64_t book_id, const case_new *cases, size_t n, int64_t now_us,
                arena *a, err *e) WARN_UNUSED;

// The reason is gone: closes the open cases of these subjects, with a note, in the caller's transaction. kind NULL: any kind. Subjects
// without an open case do no harm. *closed may be NULL.
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
    bool in_book; // use book_id; must be set with resolved or subject_type
    int64_t book_id;
    bool open, resolved;                                    // at least one
    str kind, subject_type, subject_id, merchant_id, owner; // empty: all
    uuid after; // cases after this one; nil: from the first
    int64_t limit;
} case_filter;

// Lists cases, oldest first. Within a transaction or db_read. @arena
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
// The newest CASE_NOTES_MAX notes, oldest first. @arena
enum { CASE_NOTES_MAX = 1000 };
bool cases_history(db_conn *c, int64_t book_id, uuid case_id, arena *a, case_note **out, size_t *n,
                   err *e) WARN_UNUSED;

// --- Changes by a person ---------------------------------------------------------------------------------------------------

enum { CASE_PERSON_MAX = 128, CASE_TEXT_MAX = 2000 };

typedef enum case_act { CASE_ACT_ASSIGN, CASE_ACT_COMMENT, CASE_ACT_RESOLVE } case_act;

typedef struct case_change {
    case_act act;
    int64_t book_id;
    uuid case_id;
    str program, person; // identity of the program, and the person it acts for
    bool stated;         // the program stated the person's name, and nobody has proved it
    str text;            // the new owner, or the comment
    str resolution, evidence;
    // another fault of the request, or NULL; a known key gets its answer all the same
    const err *refusal;
    str key;     // idempotency key, 1 … RULE_KEY_MAX bytes; looked up before all else
    str content; // the request's bytes: equal requests have equal bytes
    const crypto_keyring *keys; // for the hash of the content
    // The bytes of the answer that says how the change leaves the case: they are kept. .ptr NULL and *e on failure. @arena
    str (*answer)(void *arg, const case_row *row, arena *a, err *e);
    void *arg;
    int64_t now_us;
} case_change;

typedef struct case_changed {
    case_row row;            // after the change
    bool written;            // by this very call; otherwise it is a repeat
    str answer;              // of the change, kept; .ptr NULL: none is kept, and row is the answer
    const case_order *order; // set when this very call has recorded a resolution; otherwise NULL
} case_changed;

// Makes one change, in the caller's transaction, and locks the case. A key that was used before changes nothing. If out->order names an
// event, the caller records it in the same transaction. INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS (IDEMPOTENCY_KEY_REUSED),
// FAILED_PRECONDITION (CASE_RESOLVED, RESOLUTION_NOT_ALLOWED).
bool cases_change(db_conn *c, const case_change *x, arena *a, case_changed *out,
                  err *e) WARN_UNUSED;

#endif
