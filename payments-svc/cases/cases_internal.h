// What the files of the cases room share.
#ifndef CASES_CASES_INTERNAL_H
#define CASES_CASES_INTERNAL_H

#include "cases/cases.h"

// The kinds of notes, as they stand in case_note.
enum {
    CASE_NOTE_OPENED = 1,
    CASE_NOTE_SEEN_AGAIN = 2,
    CASE_NOTE_ASSIGNED = 3,
    CASE_NOTE_COMMENT = 4,
    CASE_NOTE_RESOLVED = 5,
    CASE_NOTE_CLOSED = 6, // by the service itself: the reason is gone
};

// Text of at most max bytes: cut at a character's end, and what is not UTF-8 shown as '?'. @arena or s itself.
str cases_clip(arena *a, str s, size_t max);
bool cases_no_memory(err *e); // sets RESOURCE_EXHAUSTED, returns false
// One case, locked until the transaction's end or not. NOT_FOUND.
bool cases_read(db_conn *c, bool lock, int64_t book_id, uuid case_id, arena *a, case_row *out,
                err *e) WARN_UNUSED;
void cases_row(const db_rows *rows, size_t i, case_row *out); // of CASE_COLUMNS

#endif
