// Shared by the files of the cases room.
#ifndef CASES_CASES_INTERNAL_H
#define CASES_CASES_INTERNAL_H

#include "cases/cases.h"

// The kinds of notes, as case_note stores them.
enum {
    CASE_NOTE_OPENED = 1,
    CASE_NOTE_SEEN_AGAIN = 2,
    CASE_NOTE_ASSIGNED = 3,
    CASE_NOTE_COMMENT = 4,
    CASE_NOTE_RESOLVED = 5,
    CASE_NOTE_CLOSED = 6, // by the service itself: the reason is gone
};

// Text of at most max bytes, cut at a character's end; bytes that are not UTF-8 become '?'. @arena or s itself.
str cases_clip(arena *a, str s, size_t max);
bool cases_no_memory(err *e); // sets RESOURCE_EXHAUSTED, returns false
// Reads one case; with `lock`, locks it until the transaction ends. NOT_FOUND.
bool cases_read(db_conn *c, bool lock, int64_t book_id, uuid case_id, arena *a, case_row *out,
                err *e) WARN_UNUSED;
void cases_row(const db_rows *rows, size_t i, case_row *out); // reads CASE_COLUMNS

#endif
