// Shared between the files of the journal only.
#ifndef JOURNAL_INTERNAL_H
#define JOURNAL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/metrics.h"
#include "base/ticker.h"
#include "journal/cache.h"
#include "journal/follow.h"
#include "journal/journal.h"

enum {
    JOURNAL_THREADS_MAX = 64,
    JOURNAL_GATHER_EVENTS_MAX = 2 * LEDGER_BATCH_MAX, // events in one transaction
    JOURNAL_DUE_MAX = LEDGER_BATCH_MAX,               // expiries in one transaction
    // The most accounts that one transaction can name. Each transfer has two, and two each for the transfers behind its id and its
    // pending_id. Each expiry has two.
    JOURNAL_ACCOUNTS_MAX = 6 * JOURNAL_GATHER_EVENTS_MAX + 2 * JOURNAL_DUE_MAX,
    JOURNAL_DUE_BOOKS_MAX = 1000,
    JOURNAL_CHECKPOINT_ROWS_MAX = 262144,
    // The most rows between two checkpoints: the first commit after the limit makes a checkpoint.
    JOURNAL_TAIL_ROWS_MAX =
        JOURNAL_CHECKPOINT_ROWS_MAX + JOURNAL_GATHER_EVENTS_MAX + JOURNAL_DUE_MAX,
    // when further behind, the cache starts empty
    JOURNAL_CATCH_UP_ROWS_MAX = JOURNAL_TAIL_ROWS_MAX,
    JOURNAL_IDLE_TAILS_MAX = 64,
    JOURNAL_READERS_MAX = 4096,
    JOURNAL_CAREFUL_COMMITS = 16, // after a used id: used ids seldom come alone
    JOURNAL_LOCKED_COMMITS = 16,  // after a failed optimistic try: take the lock first
    JOURNAL_WATCH_BUCKETS = 64,
    JOURNAL_RETRIES_MAX = 8,
    JOURNAL_RETRY_BASE_MS = 5,
    JOURNAL_RETRY_CAP_MS = 500,
    JOURNAL_QUEUE_RETRY_AFTER_MS = 50,
};
#define JOURNAL_ARENA_MAX ((size_t)512 * 1024 * 1024)

// --- Books (book.c) --------------------------------------------------------------------------------------------------

typedef enum book_state {
    BOOK_IDLE,   // nothing to do; in journal.idle, may be dropped from memory
    BOOK_READY,  // has work; in journal.ready
    BOOK_RUNNING // one commit thread works for it; in no list
} book_state;

typedef struct book book;
struct book {
    int64_t id;
    // Guarded by journal.lock.
    book_state state;
    book *prev, *next; // in the list that matches its state
    journal_request *first, *last;
    size_t n_requests, n_events;
    bool sweep;               // look for expiries even when there is no request
    int64_t unsaved_since_us; // commit time of the first row after the checkpoint; INT64_MAX: none
    // The rest belongs to the thread that runs the book. A warm cache is as of `head`.
    followed *followed;
    cache cache;
    bool warm;
    store_head head;
    int careful_commits; // so many next commits look every id up
    int locked_commits;  // so many next commits take the head's lock first
};

typedef struct book_list {
    book *first, *last;
} book_list;
void book_list_append(book_list *l, book *b);
void book_list_remove(book_list *l, book *b);

book *book_create(journal *j, int64_t id);
void book_destroy(journal *j, book *b);
void book_cache_drop(journal *j, book *b);
uuid journal_book_key(int64_t book_id); // of journal.books
void book_forget(journal *j, book *b);  // b is idle. @locks journal.lock held
// Drops idle books until the cached accounts fit, or no idle book is left. @locks none.
void journal_trim(journal *j);

// --- The journal (journal.c) -----------------------------------------------------------------------------------------

typedef struct journal_watch {
    pthread_mutex_t lock; // guards mark
    pthread_cond_t moved;
    uint64_t mark; // counts the commits of the books of this bucket
} journal_watch;

// The phases of a commit, for the metric of its time.
#define JOURNAL_PHASES(X) X(LOAD, "load") X(APPLY, "apply") X(WRITE, "write") X(COMMIT, "commit")
typedef enum journal_phase {
#define PHASE_ENUM(name, label) JOURNAL_PHASE_##name,
    JOURNAL_PHASES(PHASE_ENUM)
#undef PHASE_ENUM
        JOURNAL_PHASE_COUNT
} journal_phase;

typedef struct journal_metrics {
    metric *phases[JOURNAL_PHASE_COUNT];
    metric *transfers[LEDGER_TRANSFER_STATUS_COUNT];
    metric *accounts[LEDGER_ACCOUNT_STATUS_COUNT];
    metric *commit_seconds, *commits, *batch_events, *batch_size, *retries, *settled, *queue;
    metric *cache_hits, *cache_misses, *cache_drops, *cache_accounts, *expired, *deadline_passed;
    metric *checkpoints, *used_ids, *optimistic, *conflicts;
} journal_metrics;

typedef struct commit_worker {
    journal *j;
    arena *a; // memory of the current commit
    pthread_t thread;
} commit_worker;

struct journal {
    journal_options o;
    journal_metrics m;
    pthread_mutex_t lock; // guards the next five lines and the books' first part
    pthread_cond_t work;
    map *books; // id → book
    follower follower;
    book_list idle, ready;
    size_t n_requests, n_events;
    bool stopping;
    commit_worker workers[JOURNAL_THREADS_MAX];
    ticker *sweeper;
    arena *sweeper_arena;
    bool sweeper_failing;
    atomic_bool quiet;
    atomic_size_t cached_accounts;
    journal_watch watches[JOURNAL_WATCH_BUCKETS];
};

// One transaction's work for a commit thread.
typedef struct journal_batch {
    book *book;
    journal_request *requests; // by next
    size_t n_events;
    err failure; // if set: the failure of all requests
} journal_batch;

// Marks the book's readers' bucket as moved.
void journal_notify(journal *j, int64_t book_id);
// Adds the tail's balances to an account that was read from the tables. @locks the tail's, or on the commit thread.
void journal_overlay_account(const tail *t, ledger_account *account);

// --- One transaction (commit.c) --------------------------------------------------------------------------------------

// Commits the batch, then sets results or batch->failure. On a commit thread.
void commit_run(commit_worker *w, journal_batch *batch);

#endif
