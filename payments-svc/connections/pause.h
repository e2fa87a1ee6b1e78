// The brake: while a connection, a merchant, a book or all is paused, no payout begins to move money there: neither RESERVE nor EXECUTE
// is claimed, and no submission is begun. What a bank says of payouts is still heard and booked.
#ifndef CONNECTIONS_PAUSE_H
#define CONNECTIONS_PAUSE_H

#include "db/db.h"

enum { PAUSE_ROWS_MAX = 1000, PAUSE_REASON_MAX = 500 };

// Covers what agrees with all of it: 0 and "" stand for all.
typedef struct pause_scope {
    int64_t book_id;
    int connection;
    str merchant_id;
} pause_scope;

typedef struct pause_row {
    pause_scope scope;
    str reason, actor;
    int64_t since_us;
} pause_row;

typedef struct pause_set {
    const pause_row *rows;
    size_t n;
} pause_set;

// What is paused now, as the transaction of c sees it: ask in the claiming transaction, after its lock. Strings live in the arena.
bool pause_read(db_conn *c, pause_set *out, arena *a, err *e) WARN_UNUSED;
// True when nothing of the connection may begin in this book, whatever the merchant.
bool pause_stops(const pause_set *s, int64_t book_id, int connection);
// The row that says so; NULL when it is not paused as a whole.
const pause_row *pause_of(const pause_set *s, int64_t book_id, int connection);
// The oldest row that stops this merchant's payouts there, as a whole or by name; NULL: none. merchant_id empty: rows that name none.
const pause_row *pause_over(const pause_set *s, int64_t book_id, int connection, str merchant_id);
// Merchants that are paused in this book and connection: fills out with up to max of them, and answers how many there are.
size_t pause_merchants(const pause_set *s, int64_t book_id, int connection, str *out, size_t max);

// Sets and lifts a pause, in the caller's transaction, with an entry in the log; what is paused (or not) already stays as it is, and
// *changed is false. RESOURCE_EXHAUSTED when there are too many.
bool pause_set_one(db_conn *c, const pause_row *row, arena *a, bool *changed, err *e) WARN_UNUSED;
bool pause_lift(db_conn *c, const pause_scope *scope, str reason, str actor, int64_t now_us,
                arena *a, bool *changed, err *e) WARN_UNUSED;

#endif
