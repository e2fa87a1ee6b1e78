// Lists: pages of the journal and of the accounts by filter, and what is asked about times. Every statement is bounded by a
// LIMIT; how the pieces make a page is for ledger-svc/query to say. Threads, memory and errors as in store.h.
#ifndef STORE_LISTS_H
#define STORE_LISTS_H

#include "store/store.h"

typedef enum store_side {
    STORE_SIDE_EITHER = 0,
    STORE_SIDE_DEBIT = 1,
    STORE_SIDE_CREDIT = 2,
} store_side;

// What has become of a pending transfer. The numbers are sent.
typedef enum store_pending_state {
    STORE_PENDING_ANY = 0,
    STORE_PENDING_OPEN = 1,
    STORE_PENDING_POSTED = 2,
    STORE_PENDING_VOIDED = 3,
    STORE_PENDING_EXPIRED = 4,
} store_pending_state;

// All parts that are given must be true. Zero, nil and empty are "not given".
typedef struct store_transfer_filter {
    bool has_account;
    uuid account_id;
    store_side side;
    uint32_t code;
    ledger_currency currency;
    str external_reference;
    str metadata_key, metadata_value;
    uuid user_data_128;
    uint64_t user_data_64;
    uint32_t user_data_32;
    ledger_kind kind;
    store_pending_state pending_state;
    int64_t effective_from_us, effective_to_us; // from … (exclusive) to
    bool prompt_only;                           // nothing that took effect before its commit
} store_transfer_filter;

typedef struct store_account_filter {
    uint32_t code;
    ledger_currency currency;
    str external_reference;
    str metadata_key, metadata_value;
    uuid user_data_128;
    uint64_t user_data_64;
    uint32_t user_data_32;
    uint32_t flags; // that must all be set; those that can change are not looked at here
} store_account_filter;

// A run of positions: sequences of the journal, or times of accounts. Both ends belong to it.
typedef struct store_range {
    int64_t from, to;
    bool newest_first;
    size_t max; // of what is found
} store_range;

// Commit times of journal rows, by sequence, in no particular order; those that there are not are left out.
bool store_list_times(db_conn *c, arena *a, int64_t book_id, const int64_t *sequences, size_t n,
                      int64_t **found, int64_t **times_us, size_t *n_found, err *e) WARN_UNUSED;

// Journal rows that pass, with what has become of them (resolution, reversal). Reads each row of the range until max are
// found: the caller bounds the range.
bool store_list_rows(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                     const store_range *range, ledger_row **rows, size_t *n, err *e) WARN_UNUSED;
// The same among these rows only. Of the range, from and to are not looked at.
bool store_list_rows_at(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                        const int64_t *sequences, size_t n_sequences, const store_range *range,
                        ledger_row **rows, size_t *n, err *e) WARN_UNUSED;
// All of these n rows, in the order of their sequences: for candidates that are known to pass. What has become of them may be as of
// two moments, half of them each. INTERNAL / JOURNAL_ROW_MISSING when one is not there: journal rows are never removed, unless
// somebody did so behind our back.
bool store_list_rows_of(db_conn *c, arena *a, int64_t book_id, const int64_t *sequences, size_t n,
                        bool newest_first, ledger_row **rows, err *e) WARN_UNUSED;
// The sequences that an index knows for the filter's external reference, or else for its metadata; one of them is given.
bool store_list_labeled(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                        const store_range *range, int64_t **sequences, size_t *n,
                        err *e) WARN_UNUSED;

// Entries of an account that took effect before their commit, in order of (effective_us, sequence), from behind a place on.
typedef struct store_backdated_query {
    uuid account_id;
    int64_t after_effective_us, after_sequence; // the place
    int64_t effective_to_us;                    // exclusive
    int64_t to_sequence;                        // inclusive
    size_t max;
} store_backdated_query;

bool store_list_backdated(db_conn *c, arena *a, int64_t book_id, const store_backdated_query *q,
                          int64_t **sequences, size_t *n, err *e) WARN_UNUSED;
// Adds to a balance. OUT_OF_RANGE / BALANCE_OUT_OF_RANGE when the sum passes what a balance can be: the rules hold balances
// within it in the order of commits, nobody does in the order in which entries took effect.
bool store_balance_add(int64_t *balance, int64_t more, err *e) WARN_UNUSED;
// What the backdated entries in (after_sequence, to_sequence] that took effect at or before effective_to_us add to the
// account's balances. Adds it to *balances.
bool store_sum_backdated(db_conn *c, arena *a, int64_t book_id, uuid account_id,
                         int64_t effective_to_us, int64_t after_sequence, int64_t to_sequence,
                         ledger_balances *balances, err *e) WARN_UNUSED;

// Positions (timestamp_us) of accounts: all, or what an index knows for the filter's external reference or metadata.
bool store_list_account_times(db_conn *c, arena *a, int64_t book_id, const store_account_filter *f,
                              const store_range *range, int64_t **times_us, size_t *n,
                              err *e) WARN_UNUSED;
// The accounts at these positions that pass. Balances and state are as of the last checkpoint. from and to are not looked at.
bool store_list_accounts_at(db_conn *c, arena *a, int64_t book_id, const store_account_filter *f,
                            const int64_t *times_us, size_t n_times, const store_range *range,
                            ledger_account **accounts, size_t *n, err *e) WARN_UNUSED;

#endif
