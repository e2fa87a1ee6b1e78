#include "domain/apply.h"

#include "base/assert.h"
#include "base/money.h"
#include "domain/apply_internal.h"

// --- Changing and restoring ------------------------------------------------------------------------------------------

static void touch(ledger_tx *tx, ledger_account *account) {
    if (account->touched != 0) {
        return;
    }
    ASSERT(tx->n_touched < tx->touched_max);
    tx->touched[tx->n_touched++] = (ledger_touched){account, account->balances, account->state};
    account->touched = (uint32_t)tx->n_touched;
}

// The account's state after a new row. A pending transfer may close the account; this transfer's void or expiry opens it again. A forced
// reversal may take the account beyond its limit, until it is back.
static uint32_t state_after(const ledger_row *row, const ledger_account *account,
                            uint32_t closing_flag) {
    uint32_t state = account->state;
    const bool gives_back = row->kind == LEDGER_KIND_VOID || row->kind == LEDGER_KIND_EXPIRE;
    if (row->kind == LEDGER_KIND_PENDING && (row->flags & closing_flag) != 0) {
        state |= LEDGER_STATE_CLOSED;
    } else if (gives_back && (row->pending->flags & closing_flag) != 0) {
        state &= ~(uint32_t)LEDGER_STATE_CLOSED;
    }
    const bool forced = (row->flags & LEDGER_TRANSFER_FLAG_FORCED) != 0;
    if (forced && ledger_account_over_limit(account)) {
        state |= LEDGER_STATE_OVER_LIMIT;
    } else if ((state & LEDGER_STATE_OVER_LIMIT) != 0 && !ledger_account_over_limit(account)) {
        state &= ~(uint32_t)LEDGER_STATE_OVER_LIMIT;
    }
    return state;
}

static void row_set_states(ledger_row *row) {
    row->debit_state_before = (uint8_t)row->debit->state;
    row->credit_state_before = (uint8_t)row->credit->state;
    row->debit->state = state_after(row, row->debit, LEDGER_TRANSFER_FLAG_CLOSING_DEBIT);
    row->credit->state = state_after(row, row->credit, LEDGER_TRANSFER_FLAG_CLOSING_CREDIT);
    row->debit_state_after = (uint8_t)row->debit->state;
    row->credit_state_after = (uint8_t)row->credit->state;
}

// Gives the checked row at the end of tx->rows its place in the journal, and applies it.
static ledger_row *row_append(ledger_tx *tx) {
    ledger_row *row = &tx->rows[tx->n_rows++];
    row->sequence = ++tx->sequence;
    row->timestamp_us = ++tx->timestamp_us;
    touch(tx, row->debit);
    touch(tx, row->credit);
    ledger_row_shift(row, +1);
    row_set_states(row);
    row->debit_after = row->debit->balances;
    row->credit_after = row->credit->balances;
    if ((row->flags & LEDGER_TRANSFER_FLAG_IMPORTED) != 0) {
        tx->imported_us = row->effective_us;
    } else {
        row->effective_us = row->timestamp_us;
    }
    if (row->reversed != NULL) {
        ASSERT(row->reversed->reversal == NULL);
        row->reversed->reversal = row;
    }
    if (row->pending != NULL) {
        ASSERT(row->pending->resolution == LEDGER_KIND_NONE);
        row->pending->resolution = row->kind;
    }
    if (row->expires_us != 0 && row->expires_us < tx->next_expires_us) {
        tx->next_expires_us = row->expires_us;
    }
    if (row->kind != LEDGER_KIND_EXPIRE) {
        MUST(map_put(tx->transfers, row->id, row));
    }
    return row;
}

static void burn(ledger_tx *tx, uuid id, ledger_transfer_status status) {
    ASSERT(tx->n_new_burned < tx->new_burned_max);
    ledger_burned *burned = &tx->new_burned[tx->n_new_burned++];
    *burned = (ledger_burned){id, status, ++tx->timestamp_us};
    MUST(map_put(tx->burned, id, burned));
}

// --- Transfers -------------------------------------------------------------------------------------------------------

static ledger_transfer_result transfer_evaluate(ledger_tx *tx, const ledger_transfer_event *event) {
    ASSERT(tx->n_rows < tx->rows_max);
    ledger_row *existing = NULL;
    const ledger_transfer_status status =
        ledger_transfer_check(tx, event, &tx->rows[tx->n_rows], &existing);
    if (status == LEDGER_TRANSFER_CREATED) {
        return (ledger_transfer_result){status, row_append(tx)};
    }
    const bool tells =
        status == LEDGER_TRANSFER_EXISTS || status == LEDGER_TRANSFER_ALREADY_REVERSED;
    return (ledger_transfer_result){status, tells ? existing : NULL};
}

// Rewrites the results of a chain that started at `first` and broke at `failed`. The result of `failed` may point to a row of the chain
// that was undone: a repeat within the chain.
static void chain_results_rewrite(const ledger_tx *tx, ledger_transfer_result *results,
                                  size_t first, size_t failed) {
    for (size_t k = first; k < failed; k++) {
        results[k] = (ledger_transfer_result){LEDGER_TRANSFER_LINKED_EVENT_FAILED, NULL};
    }
    const ledger_row *row = results[failed].row;
    if (row >= tx->rows + tx->n_rows && row < tx->rows + tx->rows_max) {
        results[failed].row = NULL;
    }
}

// A repeat breaks a chain, as in TigerBeetle. A repeated reversal of a group does not: all its reversals exist.
static bool breaks_chain(const ledger_transfer_event *event, ledger_transfer_status status) {
    return status != LEDGER_TRANSFER_CREATED &&
           (status != LEDGER_TRANSFER_EXISTS || uuid_is_nil(event->reverses_id));
}

void ledger_apply_transfers(ledger_tx *tx, const ledger_transfer_event *events, size_t n,
                            ledger_transfer_result *results) {
    ledger_chain c = {0};
    tx->imports = n != 0 && (events[0].flags & LEDGER_TRANSFER_FLAG_IMPORTED) != 0;
    tx->imported_us = 0;
    for (size_t i = 0; i < n; i++) {
        const bool linked = (events[i].flags & LEDGER_TRANSFER_FLAG_LINKED) != 0;
        switch (ledger_chain_enter(&c, tx, linked, i, n)) {
        case CHAIN_LEFT_OPEN:
            results[i] = (ledger_transfer_result){LEDGER_TRANSFER_LINKED_EVENT_CHAIN_OPEN, NULL};
            break;
        case CHAIN_ALREADY_BROKEN:
            results[i] = (ledger_transfer_result){LEDGER_TRANSFER_LINKED_EVENT_FAILED, NULL};
            break;
        case CHAIN_EVALUATE:
        default: results[i] = transfer_evaluate(tx, &events[i]); break;
        }
        const ledger_transfer_status status = results[i].status;
        if (breaks_chain(&events[i], status) && ledger_chain_break(&c, tx)) {
            chain_results_rewrite(tx, results, c.first, i);
        }
        // Comes after the undoing of the chain, so that the burned id stays burned.
        if (ledger_transfer_status_burns(status)) {
            burn(tx, events[i].id, status);
        }
        ledger_chain_leave(&c, linked);
    }
}

void ledger_apply_expiry(ledger_tx *tx, ledger_row *pending) {
    ASSERT(pending->kind == LEDGER_KIND_PENDING && pending->resolution == LEDGER_KIND_NONE);
    ASSERT(pending->expires_us != 0 && pending->expires_us <= tx->timestamp_us + 1);
    ASSERT(tx->n_rows < tx->rows_max);
    ledger_row *row = &tx->rows[tx->n_rows];
    *row = (ledger_row){
        .kind = LEDGER_KIND_EXPIRE,
        .debit_account_id = pending->debit_account_id,
        .credit_account_id = pending->credit_account_id,
        .pending_id = pending->id,
        .user_data_128 = pending->user_data_128,
        .user_data_64 = pending->user_data_64,
        .user_data_32 = pending->user_data_32,
        .code = pending->code,
        .currency = pending->currency,
        .amount = pending->amount,
        .released = pending->amount,
        .debit = map_get(tx->accounts, pending->debit_account_id),
        .credit = map_get(tx->accounts, pending->credit_account_id),
        .pending = pending,
    };
    ASSERT(row->debit != NULL && row->credit != NULL);
    (void)row_append(tx);
}

// --- The end of a transaction ----------------------------------------------------------------------------------------

void ledger_tx_finish(ledger_tx *tx, bool restore) {
    for (size_t i = 0; i < tx->n_touched; i++) {
        tx->touched[i].account->touched = 0;
        if (restore) {
            tx->touched[i].account->balances = tx->touched[i].before;
            tx->touched[i].account->state = tx->touched[i].state_before;
        }
    }
    tx->n_touched = 0;
}

void ledger_tx_verify(const ledger_tx *tx, int64_t sequence_before, int64_t timestamp_before_us) {
    int64_t sequence = sequence_before;
    int64_t timestamp_us = timestamp_before_us;
    __int128 rows_pending = 0;
    __int128 rows_posted = 0;
    for (size_t i = 0; i < tx->n_rows; i++) {
        const ledger_row *row = &tx->rows[i];
        const ledger_effect effect = ledger_row_effect(row);
        MUST(row->sequence == ++sequence);
        ASSERT(row->timestamp_us > timestamp_us);
        ASSERT(row->amount >= 0 && row->released >= 0);
        ASSERT(row->effective_us > 0 && row->effective_us <= row->timestamp_us);
        ASSERT(row->debit->currency == row->currency && row->credit->currency == row->currency);
        timestamp_us = row->timestamp_us;
        rows_pending += effect.pending;
        rows_posted += effect.posted;
    }
    ASSERT(tx->sequence == sequence && tx->timestamp_us >= timestamp_us);

    __int128 debits_pending = 0;
    __int128 debits_posted = 0;
    __int128 credits_pending = 0;
    __int128 credits_posted = 0;
    for (size_t i = 0; i < tx->n_touched; i++) {
        const ledger_balances *before = &tx->touched[i].before;
        const ledger_balances *now = &tx->touched[i].account->balances;
        debits_pending += (__int128)now->debits_pending - before->debits_pending;
        debits_posted += (__int128)now->debits_posted - before->debits_posted;
        credits_pending += (__int128)now->credits_pending - before->credits_pending;
        credits_posted += (__int128)now->credits_posted - before->credits_posted;
    }
    // Both accounts of a row have its currency. So a balance over all rows is a balance in each currency.
    ASSERT(debits_pending == credits_pending && debits_pending == rows_pending);
    ASSERT(debits_posted == credits_posted && debits_posted == rows_posted);
}
