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

#endif
