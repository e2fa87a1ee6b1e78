// The checks of a post or void, in TigerBeetle's order of precedence.
#include "base/assert.h"
#include "domain/apply_internal.h"

static ledger_transfer_status check_resolution_static(const ledger_transfer_event *t) {
    const uint32_t kinds = LEDGER_TRANSFER_FLAGS_KNOWN & ~(uint32_t)LEDGER_TRANSFER_FLAG_LINKED &
                           ~(uint32_t)LEDGER_TRANSFER_FLAG_IMPORTED;
    if ((t->flags & kinds) != LEDGER_TRANSFER_FLAG_POST &&
        (t->flags & kinds) != LEDGER_TRANSFER_FLAG_VOID) {
        return LEDGER_TRANSFER_FLAGS_ARE_MUTUALLY_EXCLUSIVE;
    }
    if (uuid_is_nil(t->pending_id)) {
        return LEDGER_TRANSFER_PENDING_ID_MUST_NOT_BE_ZERO;
    }
    if (uuid_is_max(t->pending_id)) {
        return LEDGER_TRANSFER_PENDING_ID_MUST_NOT_BE_INT_MAX;
    }
    if (uuid_eq(t->pending_id, t->id)) {
        return LEDGER_TRANSFER_PENDING_ID_MUST_BE_DIFFERENT;
    }
    if (t->timeout_s != 0) {
        return LEDGER_TRANSFER_TIMEOUT_RESERVED_FOR_PENDING_TRANSFER;
    }
    return LEDGER_TRANSFER_CREATED;
}

static ledger_transfer_status check_against_pending(const ledger_tx *tx,
                                                    const ledger_transfer_event *t,
                                                    const ledger_row *p, int64_t amount) {
    if (p->kind != LEDGER_KIND_PENDING) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_NOT_PENDING;
    }
    if (!uuid_is_nil(t->debit_account_id) && !uuid_eq(t->debit_account_id, p->debit_account_id)) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID;
    }
    if (!uuid_is_nil(t->credit_account_id) &&
        !uuid_eq(t->credit_account_id, p->credit_account_id)) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID;
    }
    if (t->currency != 0 && t->currency != p->currency) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_HAS_DIFFERENT_LEDGER;
    }
    if (t->code != 0 && t->code != p->code) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_HAS_DIFFERENT_CODE;
    }
    if (amount > p->amount) {
        return LEDGER_TRANSFER_EXCEEDS_PENDING_TRANSFER_AMOUNT;
    }
    if ((t->flags & LEDGER_TRANSFER_FLAG_VOID) != 0 && amount < p->amount) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT;
    }
    if (p->resolution == LEDGER_KIND_POST) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_ALREADY_POSTED;
    }
    if (p->resolution == LEDGER_KIND_VOID) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_ALREADY_VOIDED;
    }
    // The time decides, not whether the release is written yet: exactly at expires_us the hold is over.
    if (p->resolution == LEDGER_KIND_EXPIRE ||
        (p->expires_us != 0 && p->expires_us <= tx->timestamp_us + 1)) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_EXPIRED;
    }
    return LEDGER_TRANSFER_CREATED;
}

// A post or void cannot take effect before its pending transfer.
static bool regresses(const ledger_tx *tx, const ledger_transfer_event *t, const ledger_row *p) {
    return (t->flags & LEDGER_TRANSFER_FLAG_IMPORTED) != 0 &&
           (t->timestamp_us <= tx->imported_us || t->timestamp_us <= p->effective_us);
}

ledger_transfer_status ledger_resolution_check(const ledger_tx *tx, const ledger_transfer_event *t,
                                               ledger_row *row) {
    ledger_transfer_status status = check_resolution_static(t);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    ledger_row *p = map_get(tx->transfers, t->pending_id);
    if (p == NULL) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_NOT_FOUND;
    }
    const bool is_post = (t->flags & LEDGER_TRANSFER_FLAG_POST) != 0;
    const int64_t all_of_it = is_post ? LEDGER_AMOUNT_MAX : 0;
    const int64_t amount = t->amount == all_of_it ? p->amount : t->amount;
    status = check_against_pending(tx, t, p, amount);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    if (regresses(tx, t, p)) {
        return LEDGER_TRANSFER_IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS;
    }
    ledger_account *dr = map_get(tx->accounts, p->debit_account_id);
    ledger_account *cr = map_get(tx->accounts, p->credit_account_id);
    ASSERT(dr != NULL && cr != NULL);
    // A closed account gives reserved money back, and moves none.
    status = is_post ? ledger_check_closed(dr, cr) : LEDGER_TRANSFER_CREATED;
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    *row = (ledger_row){
        .kind = is_post ? LEDGER_KIND_POST : LEDGER_KIND_VOID,
        .id = t->id,
        .debit_account_id = p->debit_account_id,
        .credit_account_id = p->credit_account_id,
        .pending_id = t->pending_id,
        .user_data_128 = uuid_is_nil(t->user_data_128) ? p->user_data_128 : t->user_data_128,
        .user_data_64 = t->user_data_64 == 0 ? p->user_data_64 : t->user_data_64,
        .user_data_32 = t->user_data_32 == 0 ? p->user_data_32 : t->user_data_32,
        .code = p->code,
        .flags = t->flags,
        .currency = p->currency,
        .amount = amount,
        .released = p->amount,
        .effective_us = t->timestamp_us,
        .external_reference = t->external_reference,
        .metadata = t->metadata,
        .debit = dr,
        .credit = cr,
        .pending = p,
    };
    return LEDGER_TRANSFER_CREATED;
}
