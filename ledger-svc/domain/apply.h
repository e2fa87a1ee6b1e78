// The posting rules: a batch of events, in order, against the accounts and transfers that it touches. Pure: no I/O, no clock, no
// lock. The shell (journal/) loads what is needed, calls this, and writes what this says.
#ifndef DOMAIN_APPLY_H
#define DOMAIN_APPLY_H

#include <stddef.h>

#include "base/map.h"
#include "domain/model.h"

// An account that the current transaction has changed, and its earlier value.
typedef struct ledger_touched {
    ledger_account *account;
    ledger_balances before;
    uint32_t state_before;
} ledger_touched;

// An id that may never be used again, and the reason.
typedef struct ledger_burned {
    uuid id;
    ledger_transfer_status status;
    int64_t timestamp_us;
} ledger_burned;

// One transaction on one book. The caller fills the first part. The caller owns all arrays; each has room for its stated maximum. Several
// requests may be applied to one ledger_tx, one after another.
typedef struct ledger_tx {
    // Known before; keys are ids. The maps must have every existing account, transfer, pending transfer, reversed transfer and burned id
    // that the events name. For each transfer in here they must also have both accounts and the transfer that it posts, voids or reverses.
    // A pending transfer has its resolution set, a reversed one its reversal.
    map *accounts;    // → ledger_account
    map *transfers;   // → ledger_row
    map *burned;      // → any non-NULL pointer
    map *references;  // ledger_digest of an account's external reference → any non-NULL pointer
    int64_t sequence; // of the last row of the journal
    // of the last object of the book, or the present minus one if that is later
    int64_t timestamp_us;
    int64_t next_expires_us; // no open pending expires before it; LEDGER_NEVER_US

    // Of the current call.
    bool imports;        // the call's first event is imported, so all must be
    int64_t imported_us; // time of its last imported event; 0 before the first

    // The results, in order.
    ledger_row *rows;
    size_t n_rows, rows_max;
    ledger_account *new_accounts;
    size_t n_new_accounts, new_accounts_max;
    ledger_touched *touched;
    size_t n_touched, touched_max;
    ledger_burned *new_burned;
    size_t n_new_burned, new_burned_max;
} ledger_tx;

// row: the created transfer, the existing one, or the earlier reversal. NULL for any other status, and for a row that was undone with a
// failed chain. It points into the transaction's memory.
typedef struct ledger_transfer_result {
    ledger_transfer_status status;
    const ledger_row *row;
} ledger_transfer_result;

// timestamp_us: the account's, for CREATED and EXISTS; else 0.
typedef struct ledger_account_result {
    ledger_account_status status;
    int64_t timestamp_us;
} ledger_account_result;

// Gives one result per event. A linked chain ends within its call. If the call's first event is imported, all must be; if not, none may be.
void ledger_apply_transfers(ledger_tx *tx, const ledger_transfer_event *events, size_t n,
                            ledger_transfer_result *results);
void ledger_apply_accounts(ledger_tx *tx, const ledger_account_event *events, size_t n,
                           ledger_account_result *results);

// Releases the reservation of an open pending transfer that has expired. pending must be in tx->transfers.
void ledger_apply_expiry(ledger_tx *tx, ledger_row *pending);

// Ends the work on the accounts: forgets which were touched. With restore, also restores their balances.
void ledger_tx_finish(ledger_tx *tx, bool restore);

// Asserts the invariants before anything is written. Debits equal credits, moved and reserved, for each currency. Every row follows the row
// before it without a gap. The net effect of the rows is the change of the balances.
void ledger_tx_verify(const ledger_tx *tx, int64_t sequence_before, int64_t timestamp_before_us);

#endif
