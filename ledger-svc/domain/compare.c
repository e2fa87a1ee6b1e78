// Repeats: is the event the same as the transfer that has its id?
#include "base/assert.h"
#include "domain/apply_internal.h"

// A request may leave user data out to take it from the transfer that it ends or reverses. So may its repeat.
typedef struct expected_fields {
    uuid user_data_128;
    uint64_t user_data_64;
    uint32_t user_data_32;
} expected_fields;

static expected_fields inherit(const ledger_transfer_event *t, const ledger_row *from) {
    return (expected_fields){
        .user_data_128 = uuid_is_nil(t->user_data_128) ? from->user_data_128 : t->user_data_128,
        .user_data_64 = t->user_data_64 == 0 ? from->user_data_64 : t->user_data_64,
        .user_data_32 = t->user_data_32 == 0 ? from->user_data_32 : t->user_data_32,
    };
}

static ledger_transfer_status compare_user_data(const expected_fields *x, const ledger_row *e) {
    if (!uuid_eq(x->user_data_128, e->user_data_128)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_USER_DATA_128;
    }
    if (x->user_data_64 != e->user_data_64) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_USER_DATA_64;
    }
    if (x->user_data_32 != e->user_data_32) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_USER_DATA_32;
    }
    return LEDGER_TRANSFER_EXISTS;
}

// Compares the fields that TigerBeetle lacks or does not compare. None of them is ever taken from another transfer.
static ledger_transfer_status compare_own_fields(const ledger_transfer_event *t,
                                                 const ledger_row *e) {
    if ((t->flags & LEDGER_TRANSFER_FLAG_IMPORTED) != 0 && t->timestamp_us != e->effective_us) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_TIMESTAMP;
    }
    if (!uuid_eq(t->reverses_id, e->reverses_id)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_REVERSES_ID;
    }
    if (!str_eq(t->external_reference, e->external_reference)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE;
    }
    if (!str_eq(t->metadata, e->metadata)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_METADATA;
    }
    return LEDGER_TRANSFER_EXISTS;
}

static ledger_transfer_status
compare_resolution(const ledger_tx *tx, const ledger_transfer_event *t, const ledger_row *e) {
    const ledger_row *p = map_get(tx->transfers, e->pending_id);
    ASSERT(p != NULL);
    if (!uuid_is_nil(t->debit_account_id) && !uuid_eq(t->debit_account_id, e->debit_account_id)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID;
    }
    if (!uuid_is_nil(t->credit_account_id) &&
        !uuid_eq(t->credit_account_id, e->credit_account_id)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID;
    }
    const int64_t all_of_it = (t->flags & LEDGER_TRANSFER_FLAG_POST) != 0 ? LEDGER_AMOUNT_MAX : 0;
    if (e->amount != (t->amount == all_of_it ? p->amount : t->amount)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_AMOUNT;
    }
    const expected_fields expected = inherit(t, p);
    const ledger_transfer_status status = compare_user_data(&expected, e);
    if (status != LEDGER_TRANSFER_EXISTS) {
        return status;
    }
    if (t->currency != 0 && t->currency != e->currency) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_LEDGER;
    }
    if (t->code != 0 && t->code != e->code) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_CODE;
    }
    return compare_own_fields(t, e);
}

static ledger_transfer_status compare_reversal(const ledger_tx *tx, const ledger_transfer_event *t,
                                               const ledger_row *e) {
    if (!uuid_eq(t->reverses_id, e->reverses_id)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_REVERSES_ID;
    }
    const ledger_row *reversed = map_get(tx->transfers, e->reverses_id);
    ASSERT(reversed != NULL);
    const expected_fields expected = inherit(t, reversed);
    const ledger_transfer_status status = compare_user_data(&expected, e);
    if (status != LEDGER_TRANSFER_EXISTS) {
        return status;
    }
    if (e->code != (t->code == 0 ? reversed->code : t->code)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_CODE;
    }
    return compare_own_fields(t, e);
}

// A balancing transfer moved the money that was there, at most the requested amount. A repeat with that amount, or more, is the same
// request.
static bool amount_differs(const ledger_transfer_event *t, const ledger_row *e) {
    const uint32_t balancing =
        LEDGER_TRANSFER_FLAG_BALANCING_DEBIT | LEDGER_TRANSFER_FLAG_BALANCING_CREDIT;
    return (t->flags & balancing) != 0 ? t->amount < e->amount : t->amount != e->amount;
}

static ledger_transfer_status compare_plain(const ledger_transfer_event *t, const ledger_row *e) {
    if (!uuid_eq(t->debit_account_id, e->debit_account_id)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID;
    }
    if (!uuid_eq(t->credit_account_id, e->credit_account_id)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID;
    }
    if (amount_differs(t, e)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_AMOUNT;
    }
    const expected_fields expected = {t->user_data_128, t->user_data_64, t->user_data_32};
    const ledger_transfer_status status = compare_user_data(&expected, e);
    if (status != LEDGER_TRANSFER_EXISTS) {
        return status;
    }
    if (t->currency != e->currency) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_LEDGER;
    }
    if (t->code != e->code) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_CODE;
    }
    return compare_own_fields(t, e);
}

ledger_transfer_status ledger_transfer_compare(const ledger_tx *tx, const ledger_transfer_event *t,
                                               const ledger_row *existing) {
    // Flags first: they decide how the rest compares.
    if (t->flags != existing->flags) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_FLAGS;
    }
    if (!uuid_eq(t->pending_id, existing->pending_id)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_PENDING_ID;
    }
    if (t->timeout_s != existing->timeout_s) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_TIMEOUT;
    }
    if (!uuid_is_nil(t->reverses_id)) {
        return compare_reversal(tx, t, existing);
    }
    if (uuid_is_nil(existing->pending_id)) {
        return compare_plain(t, existing);
    }
    return compare_resolution(tx, t, existing);
}
