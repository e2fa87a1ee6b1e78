// The state of one transaction, shared between commit.c, load.c and checkpoint.c only.
#ifndef JOURNAL_COMMIT_INTERNAL_H
#define JOURNAL_COMMIT_INTERNAL_H

#include "journal/journal_internal.h"
#include "store/store.h"

typedef struct commit {
    journal *j;
    arena *a;
    book *book;
    journal_request *requests;
    size_t n_account_events, n_transfer_events; // of the requests that are not dropped
    int64_t phase_us;                           // when the current phase began
    // Looks every id up before use, because an earlier try met a used id.
    bool careful;
    // Takes the head's lock first, because an optimistic try failed.
    bool lock_first;
    // State of this try.
    db_conn *c;
    map *transfers, *burned, *references;
    map *asked; // accounts that a query is about to ask for
    // The locked head. In an optimistic try: the head after our last commit, which is true unless another instance has committed.
    store_head head;
    bool optimistic;
    int64_t now_us; // time of the first object that is made
    size_t n_expired;
    bool checkpoint;   // also write the tail up to the head
    bool met_used_id;  // this try is in vain: the next must be careful
    bool met_conflict; // this try is in vain: the next must take the lock first
    ledger_tx tx;
} commit;

// The deadline of a transaction that begins now.
int64_t commit_deadline_ms(const commit *k);

// Makes and frees what a try needs beside the arena.
void commit_begin_try(commit *k);
void commit_end_try(commit *k);

// The time of the first object of a transaction that begins at k->head.
int64_t commit_now_us(const commit *k);

// Prepares an optimistic try without asking the database: a few transfers that memory knows everything about, in a book with nothing else
// to do. Otherwise k->optimistic is false, and nothing has happened.
bool commit_recall(commit *k, err *e) WARN_UNUSED;

// Begins the transaction and takes the head's lock. Brings the book in memory up to the locked head. Loads all that the requests name into
// the cache and the maps. One round trip when nothing is missing. NOT_FOUND / BOOK_NOT_FOUND when there is no such book.
bool commit_lock_and_load(commit *k, err *e) WARN_UNUSED;

// Tells the posting rules of due pending transfers and of their accounts.
bool commit_know_due(commit *k, ledger_row *due, size_t n, err *e) WARN_UNUSED;

// *exists: some id of the refused events was used before. No round trip when no event was refused.
bool commit_check_refused(commit *k, bool *exists, err *e) WARN_UNUSED;

// checkpoint.c: is the tail long enough, or old enough, to be written? And the writing.
bool commit_checkpoint_is_due(const commit *k);
bool commit_write_checkpoint(commit *k, err *e) WARN_UNUSED;

#endif
