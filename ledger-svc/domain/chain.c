// Linked chains of accounts and transfers alike: where a chain began, and how it is undone.
#include "base/assert.h"
#include "base/money.h"
#include "domain/apply_internal.h"

// --- Undoing --------------------------------------------------------------------------------------------------------

static void shift(int64_t *total, int64_t by) {
    MUST(ck_add_i64(*total, by, total) && *total >= 0);
}

void ledger_row_shift(ledger_row *row, int64_t sign) {
    const ledger_effect effect = ledger_row_effect(row);
    shift(&row->debit->balances.debits_pending, sign * effect.pending);
    shift(&row->debit->balances.debits_posted, sign * effect.posted);
    shift(&row->credit->balances.credits_pending, sign * effect.pending);
    shift(&row->credit->balances.credits_posted, sign * effect.posted);
}

static void account_remove(ledger_tx *tx, const ledger_account *account) {
    MUST(map_remove(tx->accounts, account->id) == account);
    if (!uuid_is_nil(account->reference_digest)) {
        MUST(map_remove(tx->references, account->reference_digest) == account);
    }
}

static ledger_savepoint savepoint_take(const ledger_tx *tx) {
    return (ledger_savepoint){tx->n_rows,       tx->n_new_accounts,  tx->sequence,
                              tx->timestamp_us, tx->next_expires_us, tx->imported_us};
}

static void savepoint_return_to(ledger_tx *tx, const ledger_savepoint *to) {
    while (tx->n_rows > to->n_rows) {
        ledger_row *row = &tx->rows[--tx->n_rows];
        ledger_row_shift(row, -1);
        row->debit->state = row->debit_state_before;
        row->credit->state = row->credit_state_before;
        if (row->reversed != NULL) {
            row->reversed->reversal = NULL;
        }
        if (row->pending != NULL) {
            row->pending->resolution = LEDGER_KIND_NONE;
        }
        MUST(map_remove(tx->transfers, row->id) == row);
    }
    while (tx->n_new_accounts > to->n_new_accounts) {
        account_remove(tx, &tx->new_accounts[--tx->n_new_accounts]);
    }
    tx->sequence = to->sequence;
    tx->timestamp_us = to->timestamp_us;
    tx->next_expires_us = to->next_expires_us;
    tx->imported_us = to->imported_us;
}

// --- Chains ---------------------------------------------------------------------------------------------------------

ledger_chain_step ledger_chain_enter(ledger_chain *c, const ledger_tx *tx, bool linked,
                                     size_t index, size_t n) {
    if (linked && !c->open) {
        *c = (ledger_chain){.open = true, .first = index, .start = savepoint_take(tx)};
    }
    if (linked && index == n - 1) {
        return CHAIN_LEFT_OPEN;
    }
    return c->broken ? CHAIN_ALREADY_BROKEN : CHAIN_EVALUATE;
}

bool ledger_chain_break(ledger_chain *c, ledger_tx *tx) {
    if (!c->open || c->broken) {
        return false;
    }
    savepoint_return_to(tx, &c->start);
    c->broken = true;
    return true;
}

void ledger_chain_leave(ledger_chain *c, bool linked) {
    if (c->open && !linked) {
        *c = (ledger_chain){0};
    }
}
