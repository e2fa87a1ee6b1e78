// What readers may ask the journal: balances and entries of accounts, exact at a definite sequence of the book.
//
// The tables lag: account rows and postings are written by a checkpoint every so many journal rows (checkpoint.c). The rows
// since then, the tail, are followed in memory (tail.h). These functions put the two together. What they answer holds for
// the book as it was right after the row `at_sequence`, and that is never before the last row that anybody had been told of
// when the call began, whichever instance committed it.
//
// Any thread; c is a connection inside of db_read (no transaction). Memory of what is found is the arena's. All answer
// *exists == false, and nothing else, for a book that does not exist. Errors are those of the store.
#ifndef JOURNAL_ENTRIES_H
#define JOURNAL_ENTRIES_H

#include "journal/journal.h"
#include "store/store.h"

// Accounts by id, in no particular order; ids that name nothing are left out.
bool journal_read_accounts(journal *j, db_conn *c, arena *a, int64_t book_id, store_ids ids,
                           bool *exists, int64_t *at_sequence, ledger_account **accounts, size_t *n,
                           err *e) WARN_UNUSED;

// Brings accounts that were read from the account table by any other statement (ListAccounts) to what they are at one
// sequence. Asks the database once more, by id. Only balances and the closed flag change.
bool journal_refresh_accounts(journal *j, db_conn *c, arena *a, int64_t book_id, bool *exists,
                              int64_t *at_sequence, ledger_account *accounts, size_t n,
                              err *e) WARN_UNUSED;

// Totals of each currency over all accounts of the book.
bool journal_trial_balance(journal *j, db_conn *c, arena *a, int64_t book_id, bool *exists,
                           int64_t *at_sequence, store_totals **lines, size_t *n,
                           err *e) WARN_UNUSED;

typedef struct journal_entries_query {
    uuid account_id;
    int64_t from_sequence, to_sequence; // both inclusive; 1 and INT64_MAX for all there are
    bool newest_first;
    size_t max;     // 1 … JOURNAL_ENTRIES_MAX
    bool with_head; // at_sequence is where the book is, though the range may end before
} journal_entries_query;

enum { JOURNAL_ENTRIES_MAX = 8192 };

typedef struct journal_entries {
    bool exists; // the book
    // Without with_head: where the range is known to end before the book does, that may be all that was looked at.
    int64_t at_sequence;
    // of the journal rows that name the account on either side, in the order asked for
    int64_t *sequences;
    size_t n; // fewer than max: there are no more in the range (at at_sequence)
} journal_entries;

// The journal rows that name an account, by their sequences. The rows themselves are in the transfer table, all up to
// at_sequence. For the next page narrow the range past the last sequence of this one.
bool journal_account_entries(journal *j, db_conn *c, arena *a, int64_t book_id,
                             const journal_entries_query *q, journal_entries *out,
                             err *e) WARN_UNUSED;

// The sequence that the book has reached, at the least, whichever instance wrote it; 0 for an empty book.
bool journal_head(journal *j, db_conn *c, arena *a, int64_t book_id, bool *exists,
                  int64_t *at_sequence, err *e) WARN_UNUSED;

// An account's balances right after the row `sequence` (all zero before its first entry): journal_account_entries with
// to_sequence = sequence, newest first, max 1, and then what that row says. *found false: it had no entry yet.
bool journal_balances_at(journal *j, db_conn *c, arena *a, int64_t book_id, uuid account_id,
                         int64_t sequence, bool *exists, bool *found, ledger_balances *balances,
                         err *e) WARN_UNUSED;

#endif
