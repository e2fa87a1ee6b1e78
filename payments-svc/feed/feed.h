// The feed of a book: each change of a payout's public state, exactly once, without gaps and in order (promise TOLD). A writer of payouts
// adds its changes to the same transaction.
#ifndef FEED_FEED_H
#define FEED_FEED_H

#include "db/db.h"

// States are numbers of payments.v1.PayoutState.
typedef struct feed_entry {
    uuid payout_id;
    int16_t from; // 0: the payout is new
    int16_t to;
    str reason; // of failing, returning, canceling or holding; .ptr NULL: none
} feed_entry;

// Adds changes to the transaction of c. They are written in the round trip of the COMMIT, under the lock of the book's head, which comes
// after every other lock. May be called several times per transaction: the entries keep their order. Entries without a change of state are
// left out. Copies the entries; the arena must live until the transaction has ended.
bool feed_add(db_conn *c, int64_t book_id, const feed_entry *entries, size_t n, arena *a,
              err *e) WARN_UNUSED;

// --- Reading (feed_read.c) -------------------------------------------------------------------------------------------

// The end of a book's feed, and the position after which it can be read; 0 and 0 while it is empty.
typedef struct feed_ends {
    int64_t oldest, head;
} feed_ends;
bool feed_look(db_conn *c, int64_t book_id, feed_ends *ends, arena *a, err *e) WARN_UNUSED;

typedef struct feed_change {
    int64_t position;
    int64_t at_us;
    feed_entry entry;
    str merchant_id; // empty: the payout is gone
} feed_change;

typedef struct feed_filter {
    str merchant_id;       // .len 0: all merchants
    const int16_t *states; // new states of the change
    size_t n_states;       // 0: all
} feed_filter;

typedef struct feed_page {
    feed_change *changes; // @arena
    size_t n;
    int64_t upto; // all matches up to here are in this page or before it
    int64_t head; // at the time of the read
} feed_page;

// The entries after a position (0: all kept ones), page by page: about `entries` before the filter, at least one row of the table. A page
// at the end of the feed is empty and has upto == after. In db_read. Errors: FAILED_PRECONDITION, FEED_POSITION_GONE: retention has removed
// the next entries; FEED_POSITION_UNKNOWN: no entry has this number: it was forgotten.
bool feed_read(db_conn *c, int64_t book_id, int64_t after, const feed_filter *filter,
               int64_t entries, feed_page *page, arena *a, err *e) WARN_UNUSED;

// --- Following (feed_hub.c) ------------------------------------------------------------------------------------------

// Wakes readers when their book's feed has grown: at once for this process's commits, and by occasional looks at the heads for other
// processes'. One statement for all readers; none without readers. One in a process, with its own thread.
typedef struct feed_hub feed_hub;
feed_hub *feed_hub_start(db_pool *pool, err *e);
void feed_hub_stop(feed_hub *h); // no reader may be left; accepts NULL

// A reader of one book, for one thread. NULL: RESOURCE_EXHAUSTED, more than a thousand books are followed.
typedef struct feed_reader feed_reader;
feed_reader *feed_reader_join(feed_hub *h, int64_t book_id, err *e);
void feed_reader_leave(feed_reader *r); // accepts NULL
// Notes the reader's position and the feed's head at that time, for the metrics feed_lag_entries and feed_head.
void feed_reader_note(feed_reader *r, int64_t position, int64_t head);
// Waits until the feed is beyond the reader's note (true), or for ms (false).
bool feed_reader_wait(feed_reader *r, int64_t ms);

// A transaction of this process has committed entries up to here. Any thread; does nothing without a hub.
void feed_tell(int64_t book_id, int64_t head);

#endif
