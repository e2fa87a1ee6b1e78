// The posting rules: a batch of events, in order, against the accounts and transfers that it touches. Pure: no I/O, no clock, no
// lock. The shell (journal/) loads what is needed, calls this, and writes what this says.
#ifndef DOMAIN_APPLY_H
#define DOMAIN_APPLY_H

#include <stddef.h>

#include "base/map.h"
#include "domain/model.h"

// An account that the transaction at work has changed, and what it was before.
typedef struct ledger_touched {
    ledger_account *account;
    ledger_balances before;
    uint32_t state_before;
} ledger_touched;

// An id that may never be used again, and why.
typedef struct ledger_burned {
    uuid id;
    ledger_transfer_status status;
    int64_t timestamp_us;
} ledger_burned;

// One transaction on one book. The caller fills the first part; all arrays are the caller's and hold at least the stated
// maxima. Several requests may be applied to one ledger_tx, one after the other.
typedef struct ledger_tx {
    // Known before. Keys are ids. Every account, transfer, pending transfer, reversed transfer and burned id that the events
    // name must be in here if it exists at all; so must what was posted, voided or reversed by a transfer that is in here,
    // and both accounts of each of them. A pending transfer knows its resolution, a reversed one its reversal.
    map *accounts;    // → ledger_account
    map *transfers;   // → ledger_row
    map *burned;      // → any non-NULL pointer
    map *references;  // ledger_digest of an account's external reference → any non-NULL pointer
    int64_t sequence; // of the last row of the journal
    // of the last object of the book, or the present minus one if that is later
    int64_t timestamp_us;
    int64_t next_expires_us; // no open pending expires before it; LEDGER_NEVER_US

    // Of the call at work.
    bool imports;        // its first event is imported, so all must be
    int64_t imported_us; // of the last event that it imported; 0 before the first

    // What came of it, in order.
    ledger_row *rows;
    size_t n_rows, rows_max;
    ledger_account *new_accounts;
    size_t n_new_accounts, new_accounts_max;
    ledger_touched *touched;
    size_t n_touched, touched_max;
    ledger_burned *new_burned;
    size_t n_new_burned, new_burned_max;
} ledger_tx;

// row: what was created, or what existed already, or the reversal that was there before; NULL for every other status, and
// where a chain that failed took it with it. It points into the transaction's memory.
typedef struct ledger_transfer_result {
    ledger_transfer_status status;
    const ledger_row *row;
} ledger_transfer_result;

// timestamp_us: of the account, for CREATED and EXISTS; else 0.
typedef struct ledger_account_result {
    ledger_account_status status;
    int64_t timestamp_us;
} ledger_account_result;

// One result for each event. A linked chain does not reach beyond the events of one call, and what the first one says of
// being imported holds for those of the call.
void ledger_apply_transfers(ledger_tx *tx, const ledger_transfer_event *events, size_t n,
                            ledger_transfer_result *results);
void ledger_apply_accounts(ledger_tx *tx, const ledger_account_event *events, size_t n,
                           ledger_account_result *results);

// Releases what an open pending transfer whose time is up has reserved. pending must be in tx->transfers.
void ledger_apply_expiry(ledger_tx *tx, ledger_row *pending);

// Ends the work on the accounts: forgets which were touched. With restore, puts their balances back as well.
void ledger_tx_finish(ledger_tx *tx, bool restore);

// Asserts what must hold before anything is written: debits equal credits, in what moved and in what is reserved, for each
// currency; every row follows the one before it without a gap; the net effect of the rows is the change of the balances.
void ledger_tx_verify(const ledger_tx *tx, int64_t sequence_before, int64_t timestamp_before_us);

#endif
