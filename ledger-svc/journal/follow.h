// Following books. Each book that this process writes or reads has one tail in memory, shared by the book's commit thread and by readers on
// any thread. A followed tail holds committed rows only. To reach a head of the database, it reads the journal rows in between, whichever
// instance wrote them.
#ifndef JOURNAL_FOLLOW_H
#define JOURNAL_FOLLOW_H

#include <pthread.h>

#include "base/map.h"
#include "journal/tail.h"
#include "store/store.h"

typedef struct followed followed;
struct followed {
    int64_t book_id;
    pthread_mutex_t lock; // guards the next three; see follow_tail for the exception
    pthread_cond_t moved;
    tail *tail;
    int64_t committing; // a commit of this instance is about to move the tail to here; 0: none
    bool reading;       // a reader is extending the tail
    // For the follower only.
    size_t holders;
    followed *prev, *next; // in the list of tails without holders, longest idle first
};

typedef struct follower {
    pthread_mutex_t lock;
    map *books; // id → followed
    followed *first, *last;
    size_t n_idle, idle_max, rows_max;
} follower;

// rows_max: rows of one tail. idle_max: tails that are kept without a holder.
void follower_init(follower *w, size_t books_max, size_t idle_max, size_t rows_max);
void follower_deinit(follower *w); // no tail may have a holder

// Pair each hold with a release.
followed *follow_hold(follower *w, int64_t book_id);
void follow_release(follower *w, followed *f);

// Commit time of the first row after the checkpoint; INT64_MAX: none.
int64_t follow_since_us(followed *f);

// Brings the tail at least to a head that was read before this call. Any thread; does not disturb the holder of the head's lock. False: the
// database failed.
bool follow_reach(followed *f, db_conn *c, arena *a, const store_head *head, err *e) WARN_UNUSED;

// --- For the commit thread, which holds the head's lock in the database: nobody else can commit. Once the tail has reached the head, it
// stands still until this thread moves it, so a read needs no lock.

// Restarts the tail at the head's checkpoint if this is later than the tail's. Returns where the tail ends.
int64_t follow_restart(followed *f, int64_t checkpoint_sequence);
void follow_fold(followed *f, const ledger_row *rows, size_t n);
// Announces a COMMIT / reports that it was answered. Meanwhile a reader that sees its rows in the database waits for the tail instead of
// reading the rows.
void follow_announce(followed *f, int64_t sequence);
void follow_settle(followed *f);

#endif
