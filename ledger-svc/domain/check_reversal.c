// The checks of a reversal: a new transfer that takes a moved amount back. TigerBeetle has no reversals.
#include "base/assert.h"
#include "domain/apply_internal.h"

// The row of a reversal: the reversed row with its sides swapped.
static ledger_row reversal_row(const ledger_tx *tx, const ledger_transfer_event *t, ledger_row *r) {
    return (ledger_row){
        .kind = LEDGER_KIND_SINGLE,
        .id = t->id,
        .debit_account_id = r->credit_account_id,
        .credit_account_id = r->debit_account_id,
        .user_data_128 = uuid_is_nil(t->user_data_128) ? r->user_data_128 : t->user_data_128,
        .user_data_64 = t->user_data_64 == 0 ? r->user_data_64 : t->user_data_64,
        .user_data_32 = t->user_data_32 == 0 ? r->user_data_32 : t->user_data_32,
        .code = t->code == 0 ? r->code : t->code,
        .flags = t->flags,
        .currency = r->currency,
        .amount = r->amount,
        .reverses_id = t->reverses_id,
        .external_reference = t->external_reference,
        .metadata = t->metadata,
        .debit = map_get(tx->accounts, r->credit_account_id),
        .credit = map_get(tx->accounts, r->debit_account_id),
        .reversed = r,
    };
}

// Can this row be reversed?
static ledger_transfer_status check_reversed(const ledger_row *r, ledger_row **existing) {
    if (r->kind == LEDGER_KIND_PENDING) {
        return LEDGER_TRANSFER_REVERSED_TRANSFER_IS_PENDING;
    }
    if (r->kind == LEDGER_KIND_VOID) {
        return LEDGER_TRANSFER_REVERSED_TRANSFER_IS_VOID;
    }
    ASSERT(r->kind == LEDGER_KIND_SINGLE || r->kind == LEDGER_KIND_POST);
    if (r->reversal != NULL) {
        *existing = r->reversal;
        return LEDGER_TRANSFER_ALREADY_REVERSED;
    }
    return LEDGER_TRANSFER_CREATED;
}

ledger_transfer_status ledger_reversal_check(const ledger_tx *tx, const ledger_transfer_event *t,
                                             ledger_row *row, ledger_row **existing) {
    if (t->code > LEDGER_CODE_MAX) {
        return LEDGER_TRANSFER_CODE_MUST_NOT_BE_ZERO;
    }
    ledger_row *r = map_get(tx->transfers, t->reverses_id);
    if (r == NULL) {
        return LEDGER_TRANSFER_REVERSED_TRANSFER_NOT_FOUND;
    }
    ledger_transfer_status status = check_reversed(r, existing);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    *row = reversal_row(tx, t, r);
    ASSERT(row->debit != NULL && row->credit != NULL);
    status = ledger_check_closed(row->debit, row->credit);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    status =
        ledger_check_overflows(row->amount, false, &row->debit->balances, &row->credit->balances);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    // The money is no longer there; a forced reversal does not care.
    return (t->flags & LEDGER_TRANSFER_FLAG_FORCED) != 0
               ? LEDGER_TRANSFER_CREATED
               : ledger_check_limits(row->amount, row->debit, row->credit);
}
