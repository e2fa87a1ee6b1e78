// Lists: filtered pages of the journal and of the accounts, and queries about times. Every statement has a LIMIT. ledger-svc/query makes
// pages of the pieces. Threads, memory and errors as in store.h.
#ifndef STORE_LISTS_H
#define STORE_LISTS_H

#include "store/store.h"

typedef enum store_side {
    STORE_SIDE_EITHER = 0,
    STORE_SIDE_DEBIT = 1,
    STORE_SIDE_CREDIT = 2,
} store_side;

// The state of a pending transfer. The numbers are sent.
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
    bool prompt_only;                           // only entries that were not backdated
} store_transfer_filter;

typedef struct store_account_filter {
    uint32_t code;
    ledger_currency currency;
    str external_reference;
    str metadata_key, metadata_value;
    uuid user_data_128;
    uint64_t user_data_64;
    uint32_t user_data_32;
    uint32_t flags; // all must be set; flags that can change are not checked here
} store_account_filter;

// A run of positions: sequences of the journal, or times of accounts. Both ends are inclusive.
typedef struct store_range {
    int64_t from, to;
    bool newest_first;
    size_t max; // limit of results
} store_range;

// Commit times of journal rows, by sequence, in no particular order. Missing rows are left out.
bool store_list_times(db_conn *c, arena *a, int64_t book_id, const int64_t *sequences, size_t n,
                      int64_t **found, int64_t **times_us, size_t *n_found, err *e) WARN_UNUSED;

// Journal rows that pass the filter, with their outcomes (resolution, reversal). Looks at each row of the range until max are found: the
// caller bounds the range.
bool store_list_rows(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                     const store_range *range, ledger_row **rows, size_t *n, err *e) WARN_UNUSED;
// The same, but only among these sequences. Ignores the range's from and to.
bool store_list_rows_at(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                        const int64_t *sequences, size_t n_sequences, const store_range *range,
                        ledger_row **rows, size_t *n, err *e) WARN_UNUSED;
// All of these n rows, in the order of their sequences: for candidates that are known to pass. The two halves of the rows may show outcomes
// of two different moments. INTERNAL / JOURNAL_ROW_MISSING when a row is missing: journal rows are never removed, except behind our back.
bool store_list_rows_of(db_conn *c, arena *a, int64_t book_id, const int64_t *sequences, size_t n,
                        bool newest_first, ledger_row **rows, err *e) WARN_UNUSED;
// The sequences that an index has for the filter's external reference, else for its metadata. The filter must have one of them.
bool store_list_labeled(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                        const store_range *range, int64_t **sequences, size_t *n,
                        err *e) WARN_UNUSED;

// Entries of an account that took effect before their commit, in order of (effective_us, sequence), after a given place.
typedef struct store_backdated_query {
    uuid account_id;
    int64_t after_effective_us, after_sequence; // the place to continue after
    int64_t effective_to_us;                    // exclusive
    int64_t to_sequence;                        // inclusive
    size_t max;
} store_backdated_query;

bool store_list_backdated(db_conn *c, arena *a, int64_t book_id, const store_backdated_query *q,
                          int64_t **sequences, size_t *n, err *e) WARN_UNUSED;
// Adds to a balance. OUT_OF_RANGE / BALANCE_OUT_OF_RANGE when the sum overflows. The posting rules keep balances in range in commit order
// only; the order of effective times has no such rule.
bool store_balance_add(int64_t *balance, int64_t more, err *e) WARN_UNUSED;
// Adds to *balances the account's backdated entries in (after_sequence, to_sequence] that took effect at or before effective_to_us.
bool store_sum_backdated(db_conn *c, arena *a, int64_t book_id, uuid account_id,
                         int64_t effective_to_us, int64_t after_sequence, int64_t to_sequence,
                         ledger_balances *balances, err *e) WARN_UNUSED;

// Positions (timestamp_us) of accounts: all, or those that an index has for the filter's external reference or metadata.
bool store_list_account_times(db_conn *c, arena *a, int64_t book_id, const store_account_filter *f,
                              const store_range *range, int64_t **times_us, size_t *n,
                              err *e) WARN_UNUSED;
// The accounts at these positions that pass the filter. Balances and state are as of the last checkpoint. Ignores from and to.
bool store_list_accounts_at(db_conn *c, arena *a, int64_t book_id, const store_account_filter *f,
                            const int64_t *times_us, size_t n_times, const store_range *range,
                            ledger_account **accounts, size_t *n, err *e) WARN_UNUSED;

#endif
