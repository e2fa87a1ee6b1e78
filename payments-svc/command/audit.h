// The audit: one row for each call that wrote something, in the transaction of what it wrote. Rows are inserted, never changed
// (promise APPEND-ONLY). A repeat that is answered with its first answer wrote nothing, and has none.
#ifndef COMMAND_AUDIT_H
#define COMMAND_AUDIT_H

#include "authz/actor.h"
#include "db/db.h"

enum { AUDIT_WHAT_MAX = 200 };

// Everything is @borrowed while it is written.
typedef struct audit_entry {
    const actor_info *by;
    str merchant_id;     // empty: of no merchant, or of all
    const char *subject; // what kind of thing: "deposit", "payouts"
    str subject_id;      // of a run of new rows: the first
    str last_id;         // of a run: the last, which may be the first; empty: it is no run
    int32_t n;           // of a run: how many; else 1
    // For people, where the method does not say it all. Is cut off at AUDIT_WHAT_MAX.
    str what;
} audit_entry;

// Inside the transaction of what was written. book_id 0: of no book, or of all. One statement, however many.
bool audit_write(db_conn *c, int64_t book_id, const audit_entry *entries, size_t n, int64_t now_us,
                 arena *a, err *e) WARN_UNUSED;
// The same for one that is no run.
bool audit_write_one(db_conn *c, int64_t book_id, const actor_info *by, str merchant_id,
                     const char *subject, str subject_id, str what, int64_t now_us, arena *a,
                     err *e) WARN_UNUSED;
// The same for a subject whose id is a UUID.
bool audit_write_id(db_conn *c, int64_t book_id, const actor_info *by, str merchant_id,
                    const char *subject, uuid id, str what, int64_t now_us, arena *a,
                    err *e) WARN_UNUSED;

// --- Reading -------------------------------------------------------------------------------------------------------------

typedef struct audit_row {
    int64_t book_id, at_us;
    uuid id, trace; // trace: nil when there is none
    str method, program, person, request_id, merchant_id, subject, subject_id, last_id, what;
    bool stated;
    int32_t n;
} audit_row;

// All that are given must match; empty: any.
typedef struct audit_filter {
    const int64_t *books; // where to look
    size_t n_books;
    str merchant_id, program, person, method, subject_id, request_id;
    uuid subject;           // subject_id, when it is a UUID; else nil
    int64_t from_us, to_us; // written at from or later, and before to
    uuid before;            // older ones than this; the highest id for the first page
    size_t limit;
} audit_filter;

// Newest first. Looks at AUDIT_LOOK_MAX entries that an index finds, and so may find fewer than there are: then *reached is the last entry
// that it has looked at, and a page before that entry goes on. Nil: it has looked at all, or found as many as asked for. Within a
// transaction or db_read. @arena
enum { AUDIT_LOOK_MAX = 20000, AUDIT_LOOK_BOOK_MIN = 100 };
bool audit_list(db_conn *c, const audit_filter *f, audit_row **rows, size_t *n, uuid *reached,
                arena *a, err *e) WARN_UNUSED;

#endif
