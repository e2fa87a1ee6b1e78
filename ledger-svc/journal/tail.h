// The tail of a book: its committed journal rows beyond the last checkpoint, folded account by account, in order. Together with the
// checkpoint's account rows and postings the tail gives the book at `sequence`, exactly. Pure memory. Not thread-safe: follow.c guards it.
#ifndef JOURNAL_TAIL_H
#define JOURNAL_TAIL_H

#include "domain/model.h"

typedef struct tail tail;

// An account that the tail names.
typedef struct tail_account {
    uuid id;
    ledger_currency currency;
    uint32_t state;                // after its last entry
    ledger_balances before, after; // before its first entry, after its last
    uint32_t n_entries;
    uint32_t newest; // place of its last entry in the tail's list, plus one
} tail_account;

tail *tail_create(size_t rows_max);
void tail_destroy(tail *t);
// An empty tail that begins at a checkpoint.
void tail_restart(tail *t, int64_t checkpoint_sequence);

int64_t tail_checkpoint(const tail *t); // the sequence before its first row
// the sequence of its last row; the checkpoint's when the tail is empty
int64_t tail_sequence(const tail *t);
int64_t tail_since_us(const tail *t); // commit time of its first row; INT64_MAX when it is empty

// Takes in the next rows. Skips rows that the tail holds already, and rows after a gap. Aborts when the rows do not
// fit each other, or when there are more than rows_max.
void tail_fold(tail *t, const ledger_row *rows, size_t n);

// NULL when the tail does not name the account.
const tail_account *tail_find(const tail *t, uuid account_id);
size_t tail_n_accounts(const tail *t);
const tail_account *tail_account_at(const tail *t, size_t index);

// Walks an account's entries, newest first. Start with entry = account->newest; each call gives one sequence and moves on. False at the
// end.
bool tail_next_older(const tail *t, uint32_t *entry, int64_t *sequence);

#endif
