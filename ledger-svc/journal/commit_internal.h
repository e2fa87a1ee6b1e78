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
    size_t n_account_events, n_transfer_events; // of the requests that are not left out
    int64_t phase_us;                           // when the phase at work began
    // Looks every id up before it is used, because a try that did not has met one that was used before.
    bool careful;
    // Takes the head's lock before anything else, because a try that did not was in vain.
    bool lock_first;
    // Of this try.
    db_conn *c;
    map *transfers, *burned, *references;
    map *asked; // accounts that are about to be looked for
    // As locked; of an optimistic try: as the last commit left it, which holds if nobody else has been at the book.
    store_head head;
    bool optimistic;
    int64_t now_us; // of the first object that is made
    size_t n_expired;
    bool checkpoint;   // the tail up to the head is written as well
    bool met_used_id;  // this try is in vain: a careful one is needed
    bool met_conflict; // the same: one that takes the lock first
    ledger_tx tx;
} commit;

// When a transaction that begins now must be over.
int64_t commit_deadline_ms(const commit *k);

// Makes and frees what a try needs beside the arena.
void commit_begin_try(commit *k);
void commit_end_try(commit *k);

// The time of the first object of a transaction that begins at k->head.
int64_t commit_now_us(const commit *k);

// Prepares an optimistic try, without a word to the database: a few transfers about which memory knows everything, in a book that
// has nothing else to do. Otherwise k->optimistic is false, and nothing has happened.
bool commit_recall(commit *k, err *e) WARN_UNUSED;

// Begins the transaction, takes the head's lock, brings the book in memory up to that head, and brings all that the
// requests name into the cache and the maps: in one round trip when nothing is missing. NOT_FOUND / BOOK_NOT_FOUND when
// there is no such book.
bool commit_lock_and_load(commit *k, err *e) WARN_UNUSED;

// Makes due pending transfers, and the accounts that they name, known to the posting rules.
bool commit_know_due(commit *k, ledger_row *due, size_t n, err *e) WARN_UNUSED;

// Whether an id of the events that were refused was used before. No round trip when none were.
bool commit_check_refused(commit *k, bool *exists, err *e) WARN_UNUSED;

// checkpoint.c: whether the tail has grown enough, or is old enough, to be written; and writing it.
bool commit_checkpoint_is_due(const commit *k);
bool commit_write_checkpoint(commit *k, err *e) WARN_UNUSED;

#endif
