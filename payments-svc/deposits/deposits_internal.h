// Shared by the files of this room only.
#ifndef DEPOSITS_DEPOSITS_INTERNAL_H
#define DEPOSITS_DEPOSITS_INTERNAL_H

#include "deposits/deposits.h"

// The ledger's deadline in a call with this deadline.
int64_t deposits_ledger_deadline(const deposits_options *o, int64_t asked_mono_ms);
// A deposit's columns, in the order of DEPOSITS_SQL_GET. @arena of the rows
deposit deposits_read_row(const db_rows *rows, size_t row);
// *found is false when the merchant has no such deposit. Within a transaction or db_read. @arena
bool deposits_read_one(db_conn *c, int64_t book_id, str merchant_id, uuid id, arena *a,
                       deposit *out, bool *found, err *e) WARN_UNUSED;
// A deposit with its book.
typedef struct deposit_of_book {
    int64_t book_id;
    deposit made;
} deposit_of_book;
// Reads a deposit's columns with the book after them. @arena
bool deposits_read_list(const db_rows *rows, arena *a, deposit_of_book **out, size_t *n,
                        err *e) WARN_UNUSED;

// Like deposits_take_back, without the room's thread.
bool deposits_take_back_from(const deposits_options *o, const merchant *m, uuid id, str reason,
                             const actor_info *by, int64_t deadline_mono_ms, arena *a, deposit *out,
                             err *e) WARN_UNUSED;
// Finishes a recall from TAKING_BACK on; *x becomes its new state. A repeat by anyone is safe.
bool deposits_finish_back(const deposits_options *o, int64_t book_id, deposit *x,
                          int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

#endif
