// The tail of a book: what its journal says beyond the last checkpoint, account by account. Folded from committed rows, in
// order; with the account rows and postings of the checkpoint it says how the book stands at `sequence`, exactly.
// Pure memory. Not thread-safe: follow.c guards it.
#ifndef JOURNAL_TAIL_H
#define JOURNAL_TAIL_H

#include "domain/model.h"

typedef struct tail tail;

// An account that the tail names.
typedef struct tail_account {
    uuid id;
    ledger_currency currency;
    uint32_t state;                // after its last entry
    ledger_balances before, after; // its first entry, its last
    uint32_t n_entries;
    uint32_t newest; // place of its last entry in the tail's list, plus one
} tail_account;

tail *tail_create(size_t rows_max);
void tail_destroy(tail *t);
// Empty, at a checkpoint.
void tail_restart(tail *t, int64_t checkpoint_sequence);

int64_t tail_checkpoint(const tail *t); // the sequence that it begins after
// the last one that it holds; the checkpoint's when it is empty
int64_t tail_sequence(const tail *t);
int64_t tail_since_us(const tail *t); // commit time of its first row; INT64_MAX when it is empty

// Takes in the rows that come next. Rows that it holds already are passed over, and so are rows after a gap.
// Aborts when the rows do not fit on each other, or when there are more than rows_max.
void tail_fold(tail *t, const ledger_row *rows, size_t n);

// NULL when the tail does not name the account.
const tail_account *tail_find(const tail *t, uuid account_id);
size_t tail_n_accounts(const tail *t);
const tail_account *tail_account_at(const tail *t, size_t index);

// The sequences of an account's entries, newest first: starts at entry = account->newest; each call answers one and moves on.
// False at the end.
bool tail_next_older(const tail *t, uint32_t *entry, int64_t *sequence);

#endif
