// What readers may ask the journal: balances and entries of accounts, exact at a definite sequence of the book.
//
// The tables lag: a checkpoint writes account rows and postings once for many journal rows (checkpoint.c). The rows since then, the tail,
// are followed in memory (tail.h). These functions combine the two. An answer holds for the book right after the row `at_sequence`. This is
// never before the last row that any caller knew of when the call began, whichever instance committed the row.
//
// Any thread; c is a connection inside of db_read (no transaction). Results live in the arena. For a book that does not exist, each sets
// *exists to false and nothing else. Errors are those of the store.
#ifndef JOURNAL_ENTRIES_H
#define JOURNAL_ENTRIES_H

#include "journal/journal.h"
#include "store/store.h"

// Accounts by id, in no particular order; unknown ids are left out.
bool journal_read_accounts(journal *j, db_conn *c, arena *a, int64_t book_id, store_ids ids,
                           bool *exists, int64_t *at_sequence, ledger_account **accounts, size_t *n,
                           err *e) WARN_UNUSED;

// Brings accounts that another statement (ListAccounts) read from the account table to one sequence. Asks the database once more, by id.
// Only balances and the closed flag change.
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
    bool with_head; // at_sequence is the book's head, even if the range ends before
} journal_entries_query;

enum { JOURNAL_ENTRIES_MAX = 8192 };

typedef struct journal_entries {
    bool exists; // the book
    // Without with_head at_sequence may end at the range: the read need not look further.
    int64_t at_sequence;
    // of the journal rows that name the account on either side, in the order asked for
    int64_t *sequences;
    size_t n; // fewer than max: there are no more in the range (at at_sequence)
} journal_entries;

// The sequences of the journal rows that name an account. The rows themselves are in the transfer table, all up to at_sequence. For the
// next page begin the range after the last sequence of this page.
bool journal_account_entries(journal *j, db_conn *c, arena *a, int64_t book_id,
                             const journal_entries_query *q, journal_entries *out,
                             err *e) WARN_UNUSED;

// A sequence that the book has reached at least, whichever instance wrote it; 0 for an empty book.
bool journal_head(journal *j, db_conn *c, arena *a, int64_t book_id, bool *exists,
                  int64_t *at_sequence, err *e) WARN_UNUSED;

// An account's balances right after the row `sequence` (all zero before its first entry). Calls journal_account_entries with to_sequence =
// sequence, newest first, max 1, and reads this row. *found false: the account had no entry yet.
bool journal_balances_at(journal *j, db_conn *c, arena *a, int64_t book_id, uuid account_id,
                         int64_t sequence, bool *exists, bool *found, ledger_balances *balances,
                         err *e) WARN_UNUSED;

#endif
