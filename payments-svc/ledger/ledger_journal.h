// The ledger's journal as payments-svc reads it. Blocking, thread-safe.
#ifndef LEDGER_LEDGER_JOURNAL_H
#define LEDGER_LEDGER_JOURNAL_H

#include "ledger/ledger_client.h"

typedef enum ledger_row_kind {
    LEDGER_ROW_MOVED = 1,    // moved the amount
    LEDGER_ROW_RESERVED = 2, // reserved the amount
    LEDGER_ROW_POSTED = 3,   // ended a reservation: moved the amount, released `released`
    LEDGER_ROW_RELEASED = 4  // ended a reservation: released `released`, moved nothing
} ledger_row_kind;

// A row of the journal.
typedef struct ledger_row {
    int64_t sequence;
    ledger_row_kind kind;
    uuid debit, credit;
    uuid user_data_128; // nil when there is none
    int64_t amount, released;
    uint32_t code;
    char currency[4];
} ledger_row;

// Returning false stops the reading, without an error.
typedef bool (*ledger_on_row)(void *arg, const ledger_row *row);
// All rows from a sequence on, in order, up to the journal's end at that time.
bool ledger_read_journal(rpc_client *c, int64_t book_id, int64_t from_sequence,
                         int64_t deadline_mono_ms, ledger_on_row on_row, void *arg,
                         err *e) WARN_UNUSED;

// Balances of accounts[i].id as of a sequence, 0 for now; 0 for an account that the ledger does not know. *sequence: the sequence used. n ≤
// LEDGER_BALANCES_MAX.
enum { LEDGER_BALANCES_MAX = 1000 };
bool ledger_balances_as_of(rpc_client *c, int64_t book_id, ledger_account *accounts, size_t n,
                           int64_t as_of_sequence, int64_t *sequence, int64_t deadline_mono_ms,
                           arena *a, err *e) WARN_UNUSED;

// All accounts of a code: ids and currencies, in the order of creation. More than n_max is RESOURCE_EXHAUSTED. @arena
bool ledger_list_accounts(rpc_client *c, int64_t book_id, uint32_t code, size_t n_max,
                          ledger_account **out, size_t *n, int64_t deadline_mono_ms, arena *a,
                          err *e) WARN_UNUSED;

#endif
