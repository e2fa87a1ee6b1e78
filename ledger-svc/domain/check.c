// The checks of one transfer, in TigerBeetle's order of precedence. Read from top to bottom, this is the specification of single-phase and
// pending transfers. Posts and voids are in check_pending.c, reversals in check_reversal.c.
#include "base/assert.h"
#include "base/money.h"
#include "domain/apply_internal.h"

bool ledger_currency_known(ledger_currency c) {
    char text[4];
    ledger_currency_text(c, text);
    return c != 0 && currency_find((str){text, 3}) != NULL;
}

// --- Single-phase and pending ----------------------------------------------------------------------------------------

static ledger_transfer_status check_plain_static(const ledger_transfer_event *t) {
    if (uuid_is_nil(t->debit_account_id)) {
        return LEDGER_TRANSFER_DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO;
    }
    if (uuid_is_max(t->debit_account_id)) {
        return LEDGER_TRANSFER_DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX;
    }
    if (uuid_is_nil(t->credit_account_id)) {
        return LEDGER_TRANSFER_CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO;
    }
    if (uuid_is_max(t->credit_account_id)) {
        return LEDGER_TRANSFER_CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX;
    }
    if (uuid_eq(t->debit_account_id, t->credit_account_id)) {
        return LEDGER_TRANSFER_ACCOUNTS_MUST_BE_DIFFERENT;
    }
    if (!uuid_is_nil(t->pending_id)) {
        return LEDGER_TRANSFER_PENDING_ID_MUST_BE_ZERO;
    }
    const bool is_pending = (t->flags & LEDGER_TRANSFER_FLAG_PENDING) != 0;
    if (t->timeout_s != 0 && !is_pending) {
        return LEDGER_TRANSFER_TIMEOUT_RESERVED_FOR_PENDING_TRANSFER;
    }
    const uint32_t closing =
        LEDGER_TRANSFER_FLAG_CLOSING_DEBIT | LEDGER_TRANSFER_FLAG_CLOSING_CREDIT;
    if ((t->flags & closing) != 0 && !is_pending) {
        return LEDGER_TRANSFER_CLOSING_TRANSFER_MUST_BE_PENDING;
    }
    return LEDGER_TRANSFER_CREATED;
}

static ledger_transfer_status check_accounts(const ledger_transfer_event *t,
                                             const ledger_account *dr, const ledger_account *cr) {
    if (dr == NULL) {
        return LEDGER_TRANSFER_DEBIT_ACCOUNT_NOT_FOUND;
    }
    if (cr == NULL) {
        return LEDGER_TRANSFER_CREDIT_ACCOUNT_NOT_FOUND;
    }
    if (dr->currency != cr->currency) {
        return LEDGER_TRANSFER_ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER;
    }
    if (t->currency != dr->currency) {
        return LEDGER_TRANSFER_TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS;
    }
    return LEDGER_TRANSFER_CREATED;
}

static ledger_transfer_status check_imported(const ledger_tx *tx, const ledger_transfer_event *t,
                                             const ledger_account *dr, const ledger_account *cr) {
    if ((t->flags & LEDGER_TRANSFER_FLAG_IMPORTED) == 0) {
        return LEDGER_TRANSFER_CREATED;
    }
    if (t->timestamp_us <= tx->imported_us) {
        return LEDGER_TRANSFER_IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS;
    }
    if (t->timestamp_us <= dr->effective_us) {
        return LEDGER_TRANSFER_IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT;
    }
    if (t->timestamp_us <= cr->effective_us) {
        return LEDGER_TRANSFER_IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT;
    }
    if (t->timeout_s != 0) {
        return LEDGER_TRANSFER_IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO;
    }
    return LEDGER_TRANSFER_CREATED;
}

static int64_t at_most(int64_t amount, __int128 room) {
    return room <= 0 ? 0 : room < amount ? (int64_t)room : amount;
}

// The amount that a balancing transfer moves: the requested amount, or less if the account has less.
static int64_t balanced_amount(const ledger_transfer_event *t, const ledger_account *dr,
                               const ledger_account *cr) {
    int64_t amount = t->amount;
    if ((t->flags & LEDGER_TRANSFER_FLAG_BALANCING_DEBIT) != 0) {
        const ledger_balances *b = &dr->balances;
        amount = at_most(amount, (__int128)b->credits_posted - dr->lowest_balance -
                                     b->debits_posted - b->debits_pending);
    }
    if ((t->flags & LEDGER_TRANSFER_FLAG_BALANCING_CREDIT) != 0) {
        const ledger_balances *b = &cr->balances;
        amount =
            at_most(amount, (__int128)b->debits_posted - b->credits_posted - b->credits_pending);
    }
    return amount;
}

static ledger_transfer_status check_state(const ledger_tx *tx, const ledger_transfer_event *t,
                                          const ledger_account *dr, const ledger_account *cr,
                                          int64_t *amount, int64_t *expires_us) {
    ledger_transfer_status status = ledger_check_closed(dr, cr);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    *amount = balanced_amount(t, dr, cr);
    const bool is_pending = (t->flags & LEDGER_TRANSFER_FLAG_PENDING) != 0;
    status = ledger_check_overflows(*amount, is_pending, &dr->balances, &cr->balances);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    *expires_us = 0;
    if (t->timeout_s != 0 &&
        !ck_add_i64(tx->timestamp_us + 1, (int64_t)t->timeout_s * 1000000, expires_us)) {
        return LEDGER_TRANSFER_OVERFLOWS_TIMEOUT;
    }
    return ledger_check_limits(*amount, dr, cr);
}

static ledger_transfer_status check_plain(const ledger_tx *tx, const ledger_transfer_event *t,
                                          ledger_row *row) {
    ledger_transfer_status status = check_plain_static(t);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    ledger_account *dr = map_get(tx->accounts, t->debit_account_id);
    ledger_account *cr = map_get(tx->accounts, t->credit_account_id);
    // An account's currency is known. A transfer in the same currency needs no search in the table of currencies.
    if ((dr == NULL || t->currency != dr->currency) && !ledger_currency_known(t->currency)) {
        return LEDGER_TRANSFER_LEDGER_MUST_NOT_BE_ZERO;
    }
    if (t->code == 0 || t->code > LEDGER_CODE_MAX) {
        return LEDGER_TRANSFER_CODE_MUST_NOT_BE_ZERO;
    }
    status = check_accounts(t, dr, cr);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    status = check_imported(tx, t, dr, cr);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    int64_t amount;
    int64_t expires_us;
    status = check_state(tx, t, dr, cr, &amount, &expires_us);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    *row = (ledger_row){
        .kind = (t->flags & LEDGER_TRANSFER_FLAG_PENDING) != 0 ? LEDGER_KIND_PENDING
                                                               : LEDGER_KIND_SINGLE,
        .id = t->id,
        .debit_account_id = t->debit_account_id,
        .credit_account_id = t->credit_account_id,
        .user_data_128 = t->user_data_128,
        .user_data_64 = t->user_data_64,
        .user_data_32 = t->user_data_32,
        .timeout_s = t->timeout_s,
        .code = t->code,
        .flags = t->flags,
        .currency = t->currency,
        .amount = amount,
        .expires_us = expires_us,
        .effective_us = t->timestamp_us,
        .external_reference = t->external_reference,
        .metadata = t->metadata,
        .debit = dr,
        .credit = cr,
    };
    return LEDGER_TRANSFER_CREATED;
}

// --- One transfer ----------------------------------------------------------------------------------------------------

ledger_envelope ledger_envelope_check(const ledger_tx *tx, bool imported, int64_t timestamp_us) {
    if (imported != tx->imports) {
        return imported ? LEDGER_ENVELOPE_IMPORTED_NOT_EXPECTED : LEDGER_ENVELOPE_IMPORTED_EXPECTED;
    }
    if (!imported) {
        return timestamp_us == 0 ? LEDGER_ENVELOPE_OK : LEDGER_ENVELOPE_TIMESTAMP_MUST_BE_ZERO;
    }
    if (timestamp_us <= 0) {
        return LEDGER_ENVELOPE_TIMESTAMP_OUT_OF_RANGE;
    }
    return timestamp_us <= tx->timestamp_us ? LEDGER_ENVELOPE_OK
                                            : LEDGER_ENVELOPE_TIMESTAMP_MUST_NOT_ADVANCE;
}

static ledger_transfer_status check_envelope(const ledger_tx *tx, const ledger_transfer_event *t) {
    const bool imported = (t->flags & LEDGER_TRANSFER_FLAG_IMPORTED) != 0;
    const bool reverses = !uuid_is_nil(t->reverses_id);
    const uint32_t known = reverses ? LEDGER_TRANSFER_FLAG_LINKED | LEDGER_TRANSFER_FLAG_FORCED
                                    : LEDGER_TRANSFER_FLAGS_KNOWN;
    switch (ledger_envelope_check(tx, imported, t->timestamp_us)) {
    case LEDGER_ENVELOPE_IMPORTED_EXPECTED: return LEDGER_TRANSFER_IMPORTED_EVENT_EXPECTED;
    case LEDGER_ENVELOPE_IMPORTED_NOT_EXPECTED: return LEDGER_TRANSFER_IMPORTED_EVENT_NOT_EXPECTED;
    case LEDGER_ENVELOPE_TIMESTAMP_MUST_BE_ZERO: return LEDGER_TRANSFER_TIMESTAMP_MUST_BE_ZERO;
    case LEDGER_ENVELOPE_TIMESTAMP_OUT_OF_RANGE:
        return LEDGER_TRANSFER_IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE;
    case LEDGER_ENVELOPE_TIMESTAMP_MUST_NOT_ADVANCE:
        return LEDGER_TRANSFER_IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE;
    case LEDGER_ENVELOPE_OK:
    default: break;
    }
    if ((t->flags & ~known) != 0) {
        return LEDGER_TRANSFER_RESERVED_FLAG;
    }
    if (uuid_is_nil(t->id)) {
        return LEDGER_TRANSFER_ID_MUST_NOT_BE_ZERO;
    }
    if (uuid_is_max(t->id)) {
        return LEDGER_TRANSFER_ID_MUST_NOT_BE_INT_MAX;
    }
    return LEDGER_TRANSFER_CREATED;
}

ledger_transfer_status ledger_transfer_check(const ledger_tx *tx, const ledger_transfer_event *t,
                                             ledger_row *row, ledger_row **existing) {
    ASSERT(t->amount >= 0);
    const ledger_transfer_status status = check_envelope(tx, t);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    ledger_row *found = map_get(tx->transfers, t->id);
    if (found != NULL) {
        *existing = found;
        return ledger_transfer_compare(tx, t, found);
    }
    if (map_count(tx->burned) != 0 && map_get(tx->burned, t->id) != NULL) {
        return LEDGER_TRANSFER_ID_ALREADY_FAILED;
    }
    if (!uuid_is_nil(t->reverses_id)) {
        return ledger_reversal_check(tx, t, row, existing);
    }
    if ((t->flags & (LEDGER_TRANSFER_FLAG_POST | LEDGER_TRANSFER_FLAG_VOID)) != 0) {
        return ledger_resolution_check(tx, t, row);
    }
    return check_plain(tx, t, row);
}
