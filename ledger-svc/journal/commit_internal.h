// The state of one transaction, shared between commit.c and load.c only.
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
    // Of this try.
    db_conn *c;
    map *transfers, *burned, *references;
    map *wanted;     // accounts that are about to be looked for
    store_head head; // as locked
    int64_t now_us;
    int64_t phase_us; // when the phase under way began
    size_t n_expired;
    ledger_tx tx;
} commit;

// Makes and frees what a try needs beside the arena.
void commit_begin_try(commit *k);
void commit_end_try(commit *k);

// Takes the head's lock, and brings all that the requests name into the cache and the maps, in one round trip when the
// cache is current. NOT_FOUND / BOOK_NOT_FOUND when there is no such book.
bool commit_lock_and_load(commit *k, err *e) WARN_UNUSED;

// Makes due pending transfers, and the accounts that they name, known to the posting rules.
bool commit_know_due(commit *k, ledger_row *due, size_t n, err *e) WARN_UNUSED;

#endif
