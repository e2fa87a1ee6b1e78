// The feed of a book: each change of a payout's public state, exactly once, gapless and in order (promise TOLD). Whoever changes
// payouts adds what changed to the same transaction.
#ifndef FEED_FEED_H
#define FEED_FEED_H

#include "db/db.h"

// States are numbers of payments.v1.PayoutState.
typedef struct feed_entry {
    uuid payout_id;
    int16_t from; // 0: the payout is new
    int16_t to;
    str reason; // why it failed, came back, was canceled or is held; .ptr NULL: none
} feed_entry;

// Adds what changed to the transaction that c is in. It is written in the round trip of the COMMIT, under the lock of the book's head,
// which comes after every other lock. May be called several times in one transaction: the entries keep their order. Those whose state
// did not change are left out. Copies the entries; the arena must live until the transaction has ended.
bool feed_add(db_conn *c, int64_t book_id, const feed_entry *entries, size_t n, arena *a,
              err *e) WARN_UNUSED;

// --- Reading (feed_read.c) -------------------------------------------------------------------------------------------

// Where the feed of a book ends, and behind which position it can be read; 0 and 0 while nothing was written.
typedef struct feed_ends {
    int64_t oldest, head;
} feed_ends;
bool feed_look(db_conn *c, int64_t book_id, feed_ends *ends, arena *a, err *e) WARN_UNUSED;

typedef struct feed_change {
    int64_t position;
    int64_t at_us;
    feed_entry entry;
    str merchant_id; // empty: the payout is not kept any more
} feed_change;

typedef struct feed_filter {
    str merchant_id;       // .len 0: of all
    const int16_t *states; // that a change leads to
    size_t n_states;       // 0: all
} feed_filter;

typedef struct feed_page {
    feed_change *changes; // @arena
    size_t n;
    int64_t upto; // all that matches up to here is in the page, or was before it
    int64_t head; // as it was read
} feed_page;

// What follows a position (0: all that is kept), a page at a time: about `entries` of them before the filter, at least one row of the
// table. A page at the end of the feed is empty and has upto == after. In db_read. Errors: FAILED_PRECONDITION, FEED_POSITION_GONE:
// retention has removed what follows; FEED_POSITION_UNKNOWN: no entry has this number: it was forgotten.
bool feed_read(db_conn *c, int64_t book_id, int64_t after, const feed_filter *filter,
               int64_t entries, feed_page *page, arena *a, err *e) WARN_UNUSED;

// --- Following (feed_hub.c) ------------------------------------------------------------------------------------------

// Wakes readers when the feed of their book has grown: at once by what this process commits, and by a look at the heads now and then
// for what another one does. One statement for all readers; none while there are no readers. One in a process; a thread of its own.
typedef struct feed_hub feed_hub;
feed_hub *feed_hub_start(db_pool *pool, err *e);
void feed_hub_stop(feed_hub *h); // every reader has left; accepts NULL

// A reader of one book. Of one thread. NULL: RESOURCE_EXHAUSTED, more than a thousand books are followed.
typedef struct feed_reader feed_reader;
feed_reader *feed_reader_join(feed_hub *h, int64_t book_id, err *e);
void feed_reader_leave(feed_reader *r); // accepts NULL
// What it has read up to, and how far the feed reached then: of the metrics feed_lag_entries and feed_head.
void feed_reader_note(feed_reader *r, int64_t position, int64_t head);
// Waits until the feed is known to reach beyond what the reader has noted (true), or for ms (false).
bool feed_reader_wait(feed_reader *r, int64_t ms);

// A transaction of this process has committed entries up to here. Any thread; nothing when there is no hub.
void feed_tell(int64_t book_id, int64_t head);

#endif
