// Shared between the files of the domain only.
#ifndef DOMAIN_APPLY_INTERNAL_H
#define DOMAIN_APPLY_INTERNAL_H

#include "domain/apply.h"

// Checks one event against everything before it (check.c). On CREATED *row is filled, except for sequence, timestamps, balances and states
// after: appending sets these. On EXISTS *existing is the first transfer, on ALREADY_REVERSED the first reversal. Changes nothing else.
ledger_transfer_status ledger_transfer_check(const ledger_tx *tx, const ledger_transfer_event *t,
                                             ledger_row *row, ledger_row **existing);

// The two other families of checks: for events that end a pending transfer (check_pending.c), and for events that reverse a transfer
// (check_reversal.c).
ledger_transfer_status ledger_resolution_check(const ledger_tx *tx, const ledger_transfer_event *t,
                                               ledger_row *row);
ledger_transfer_status ledger_reversal_check(const ledger_tx *tx, const ledger_transfer_event *t,
                                             ledger_row *row, ledger_row **existing);

// Shared parts of the families (bears.c). Each returns CREATED when it has no objection.
ledger_transfer_status ledger_check_closed(const ledger_account *dr, const ledger_account *cr);
ledger_transfer_status ledger_check_overflows(int64_t amount, bool is_pending,
                                              const ledger_balances *dr, const ledger_balances *cr);
ledger_transfer_status ledger_check_limits(int64_t amount, const ledger_account *dr,
                                           const ledger_account *cr);
// True when the account is now beyond its limit.
bool ledger_account_over_limit(const ledger_account *account);

// EXISTS, or the first field in which the repeat differs (compare.c).
ledger_transfer_status ledger_transfer_compare(const ledger_tx *tx, const ledger_transfer_event *t,
                                               const ledger_row *existing);

// Checks an event's import against its call: either all events of a call are imported or none. Then checks its time.
typedef enum ledger_envelope {
    LEDGER_ENVELOPE_OK,
    LEDGER_ENVELOPE_IMPORTED_EXPECTED,
    LEDGER_ENVELOPE_IMPORTED_NOT_EXPECTED,
    LEDGER_ENVELOPE_TIMESTAMP_MUST_BE_ZERO,
    LEDGER_ENVELOPE_TIMESTAMP_OUT_OF_RANGE,
    LEDGER_ENVELOPE_TIMESTAMP_MUST_NOT_ADVANCE,
} ledger_envelope;
ledger_envelope ledger_envelope_check(const ledger_tx *tx, bool imported, int64_t timestamp_us);

// --- Chains and undoing (chain.c), for apply.c and accounts.c --------------------------------------------------------

// The beginning of a linked chain. The rows since then are the undo log: each says exactly what it did.
typedef struct ledger_savepoint {
    size_t n_rows, n_new_accounts;
    int64_t sequence, timestamp_us, next_expires_us, imported_us;
} ledger_savepoint;

typedef struct ledger_chain {
    bool open, broken;
    size_t first; // index of its first event
    ledger_savepoint start;
} ledger_chain;

typedef enum ledger_chain_step {
    CHAIN_EVALUATE,
    CHAIN_ALREADY_BROKEN,
    CHAIN_LEFT_OPEN
} ledger_chain_step;

// Called before an event: opens a chain where one starts, and says whether the event is evaluated.
ledger_chain_step ledger_chain_enter(ledger_chain *c, const ledger_tx *tx, bool linked,
                                     size_t index, size_t n);
// True when this failure breaks the chain: all since its first event is undone, and the caller rewrites the results.
bool ledger_chain_break(ledger_chain *c, ledger_tx *tx);
void ledger_chain_leave(ledger_chain *c, bool linked);
// Applies a row to the balances of its accounts (sign +1), or undoes it (sign -1).
void ledger_row_shift(ledger_row *row, int64_t sign);

#endif
