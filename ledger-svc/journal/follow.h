// Following books: for each book that somebody here writes or reads, its tail in memory, shared by the commit thread that runs
// the book and by readers on any thread. What a followed tail holds is committed, always; how far it has come is brought up to
// a head of the database by reading the journal rows in between, whichever instance wrote them.
#ifndef JOURNAL_FOLLOW_H
#define JOURNAL_FOLLOW_H

#include <pthread.h>

#include "base/map.h"
#include "journal/tail.h"
#include "store/store.h"

typedef struct followed followed;
struct followed {
    int64_t book_id;
    pthread_mutex_t lock; // guards the next three, but see follow_tail
    pthread_cond_t moved;
    tail *tail;
    int64_t committing; // a commit of this instance is about to move the tail to here; 0: none
    bool reading;       // a reader is bringing the tail up
    // The follower's own.
    size_t holders;
    followed *prev, *next; // of those that nobody holds, the one idle longest first
};

typedef struct follower {
    pthread_mutex_t lock;
    map *books; // id → followed
    followed *first, *last;
    size_t n_idle, idle_max, rows_max;
} follower;

// rows_max: of one tail. idle_max: tails that are kept though nobody holds them.
void follower_init(follower *w, size_t books_max, size_t idle_max, size_t rows_max);
void follower_deinit(follower *w); // nobody holds any

// Pair each hold with a release.
followed *follow_hold(follower *w, int64_t book_id);
void follow_release(follower *w, followed *f);

// Commit time of the first row after the checkpoint; INT64_MAX: none.
int64_t follow_since_us(followed *f);

// Brings the tail at least to what a head said that was read before this call. Any thread; c is not in the way of whom holds
// the head's lock. False: the database failed.
bool follow_reach(followed *f, db_conn *c, arena *a, const store_head *head, err *e) WARN_UNUSED;

// --- For the commit thread, which holds the head's lock in the database: nobody else can commit, so once the tail has reached
// the head it stands still until this thread moves it, and needs no lock to be read.

// Begins anew at the head's checkpoint if it is later than the tail's. Answers where the tail stands.
int64_t follow_restart(followed *f, int64_t checkpoint_sequence);
void follow_fold(followed *f, const ledger_row *rows, size_t n);
// COMMIT is about to be sent / has been answered: readers who see its rows in the database wait for the tail instead of
// reading them.
void follow_announce(followed *f, int64_t sequence);
void follow_settle(followed *f);

#endif
