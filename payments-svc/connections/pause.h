// The brake: a pause covers a connection, a merchant, a book or everything. A paused payout does not begin to move money: neither RESERVE
// nor EXECUTE is claimed, and no submission is begun. The bank's words about payouts are still heard and booked.
#ifndef CONNECTIONS_PAUSE_H
#define CONNECTIONS_PAUSE_H

#include "db/db.h"

enum { PAUSE_ROWS_MAX = 1000, PAUSE_REASON_MAX = 500 };

// Covers payouts that match all fields; 0 and "" match any.
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

// The present pauses, as c's transaction sees them. Call it in the claiming transaction, after its lock. Strings live in the arena.
bool pause_read(db_conn *c, pause_set *out, arena *a, err *e) WARN_UNUSED;
// True when no payout of the connection may begin in this book, whatever its merchant.
bool pause_stops(const pause_set *s, int64_t book_id, int connection);
// The row of this pause; NULL when book and connection are not paused as a whole.
const pause_row *pause_of(const pause_set *s, int64_t book_id, int connection);
// The oldest row that stops this merchant's payouts there, as a whole or by name; NULL: none. merchant_id empty: only rows without a
// merchant.
const pause_row *pause_over(const pause_set *s, int64_t book_id, int connection, str merchant_id);
// The merchants paused in this book and connection: fills out with up to max, and returns their full number.
size_t pause_merchants(const pause_set *s, int64_t book_id, int connection, str *out, size_t max);

// Sets or lifts a pause, in the caller's transaction, with an entry in the log. If nothing changes, *changed is false. RESOURCE_EXHAUSTED
// when there are too many.
bool pause_set_one(db_conn *c, const pause_row *row, arena *a, bool *changed, err *e) WARN_UNUSED;
bool pause_lift(db_conn *c, const pause_scope *scope, str reason, str actor, int64_t now_us,
                arena *a, bool *changed, err *e) WARN_UNUSED;

#endif
