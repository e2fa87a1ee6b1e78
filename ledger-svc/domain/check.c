// The checks of one transfer, in TigerBeetle's order of precedence. Read from top to bottom, this is the specification.
#include "base/assert.h"
#include "base/money.h"
#include "domain/apply_internal.h"

bool ledger_currency_known(ledger_currency c) {
    char text[4];
    ledger_currency_text(c, text);
    return c != 0 && currency_find((str){text, 3}) != NULL;
}

static bool sum_overflows(int64_t a, int64_t b) {
    int64_t sum;
    return !ck_add_i64(a, b, &sum);
}

static bool debits_exceed_credits(const ledger_account *account, int64_t amount) {
    const ledger_balances *b = &account->balances;
    return (account->flags & LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS) != 0 &&
           (__int128)b->debits_pending + b->debits_posted + amount > b->credits_posted;
}

static bool credits_exceed_debits(const ledger_account *account, int64_t amount) {
    const ledger_balances *b = &account->balances;
    return (account->flags & LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS) != 0 &&
           (__int128)b->credits_pending + b->credits_posted + amount > b->debits_posted;
}

// --- Repeats ---------------------------------------------------------------------------------------------------------

// A post or void may leave fields out to take them from the pending transfer; the repeat may do the same.
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
    if (!uuid_eq(e->user_data_128,
                 uuid_is_nil(t->user_data_128) ? p->user_data_128 : t->user_data_128)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_USER_DATA_128;
    }
    if (e->user_data_64 != (t->user_data_64 == 0 ? p->user_data_64 : t->user_data_64)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_USER_DATA_64;
    }
    if (e->user_data_32 != (t->user_data_32 == 0 ? p->user_data_32 : t->user_data_32)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_USER_DATA_32;
    }
    if (t->currency != 0 && t->currency != e->currency) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_LEDGER;
    }
    if (t->code != 0 && t->code != e->code) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_CODE;
    }
    return LEDGER_TRANSFER_EXISTS;
}

static ledger_transfer_status compare_plain(const ledger_transfer_event *t, const ledger_row *e) {
    if (!uuid_eq(t->debit_account_id, e->debit_account_id)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID;
    }
    if (!uuid_eq(t->credit_account_id, e->credit_account_id)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID;
    }
    if (t->amount != e->amount) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_AMOUNT;
    }
    if (!uuid_eq(t->user_data_128, e->user_data_128)) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_USER_DATA_128;
    }
    if (t->user_data_64 != e->user_data_64) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_USER_DATA_64;
    }
    if (t->user_data_32 != e->user_data_32) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_USER_DATA_32;
    }
    if (t->currency != e->currency) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_LEDGER;
    }
    if (t->code != e->code) {
        return LEDGER_TRANSFER_EXISTS_WITH_DIFFERENT_CODE;
    }
    return LEDGER_TRANSFER_EXISTS;
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
    if (uuid_is_nil(existing->pending_id)) {
        return compare_plain(t, existing);
    }
    return compare_resolution(tx, t, existing);
}

// --- Post and void ---------------------------------------------------------------------------------------------------

static ledger_transfer_status check_resolution_static(const ledger_transfer_event *t) {
    const uint32_t kinds =
        LEDGER_TRANSFER_FLAG_PENDING | LEDGER_TRANSFER_FLAG_POST | LEDGER_TRANSFER_FLAG_VOID;
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
    // The time counts, not whether the release has been written yet: exactly at expires_us it is over.
    if (p->resolution == LEDGER_KIND_EXPIRE ||
        (p->expires_us != 0 && p->expires_us <= tx->timestamp_us + 1)) {
        return LEDGER_TRANSFER_PENDING_TRANSFER_EXPIRED;
    }
    return LEDGER_TRANSFER_CREATED;
}

static ledger_transfer_status check_resolution(const ledger_tx *tx, const ledger_transfer_event *t,
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
        .debit = map_get(tx->accounts, p->debit_account_id),
        .credit = map_get(tx->accounts, p->credit_account_id),
        .pending = p,
    };
    ASSERT(row->debit != NULL && row->credit != NULL);
    return LEDGER_TRANSFER_CREATED;
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
    if (t->timeout_s != 0 && (t->flags & LEDGER_TRANSFER_FLAG_PENDING) == 0) {
        return LEDGER_TRANSFER_TIMEOUT_RESERVED_FOR_PENDING_TRANSFER;
    }
    return LEDGER_TRANSFER_CREATED;
}

static ledger_transfer_status check_overflows(const ledger_transfer_event *t,
                                              const ledger_balances *dr,
                                              const ledger_balances *cr) {
    const bool is_pending = (t->flags & LEDGER_TRANSFER_FLAG_PENDING) != 0;
    if (is_pending && sum_overflows(t->amount, dr->debits_pending)) {
        return LEDGER_TRANSFER_OVERFLOWS_DEBITS_PENDING;
    }
    if (is_pending && sum_overflows(t->amount, cr->credits_pending)) {
        return LEDGER_TRANSFER_OVERFLOWS_CREDITS_PENDING;
    }
    if (sum_overflows(t->amount, dr->debits_posted)) {
        return LEDGER_TRANSFER_OVERFLOWS_DEBITS_POSTED;
    }
    if (sum_overflows(t->amount, cr->credits_posted)) {
        return LEDGER_TRANSFER_OVERFLOWS_CREDITS_POSTED;
    }
    // The sums inside are safe: each was checked when the last of its parts was added.
    if (sum_overflows(t->amount, dr->debits_pending + dr->debits_posted)) {
        return LEDGER_TRANSFER_OVERFLOWS_DEBITS;
    }
    if (sum_overflows(t->amount, cr->credits_pending + cr->credits_posted)) {
        return LEDGER_TRANSFER_OVERFLOWS_CREDITS;
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

static ledger_transfer_status check_state(const ledger_tx *tx, const ledger_transfer_event *t,
                                          const ledger_account *dr, const ledger_account *cr,
                                          int64_t *expires_us) {
    const ledger_transfer_status status = check_overflows(t, &dr->balances, &cr->balances);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    *expires_us = 0;
    if (t->timeout_s != 0 &&
        !ck_add_i64(tx->timestamp_us + 1, (int64_t)t->timeout_s * 1000000, expires_us)) {
        return LEDGER_TRANSFER_OVERFLOWS_TIMEOUT;
    }
    if (debits_exceed_credits(dr, t->amount)) {
        return LEDGER_TRANSFER_EXCEEDS_CREDITS;
    }
    if (credits_exceed_debits(cr, t->amount)) {
        return LEDGER_TRANSFER_EXCEEDS_DEBITS;
    }
    return LEDGER_TRANSFER_CREATED;
}

static ledger_transfer_status check_plain(const ledger_tx *tx, const ledger_transfer_event *t,
                                          ledger_row *row) {
    ledger_transfer_status status = check_plain_static(t);
    if (status != LEDGER_TRANSFER_CREATED) {
        return status;
    }
    ledger_account *dr = map_get(tx->accounts, t->debit_account_id);
    ledger_account *cr = map_get(tx->accounts, t->credit_account_id);
    // An account's currency is a known one, so a transfer that has the same needs no search in the table of currencies.
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
    int64_t expires_us;
    status = check_state(tx, t, dr, cr, &expires_us);
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
        .amount = t->amount,
        .expires_us = expires_us,
        .debit = dr,
        .credit = cr,
    };
    return LEDGER_TRANSFER_CREATED;
}

// --- One transfer ----------------------------------------------------------------------------------------------------

ledger_transfer_status ledger_transfer_check(const ledger_tx *tx, const ledger_transfer_event *t,
                                             ledger_row *row, ledger_row **existing) {
    ASSERT(t->amount >= 0);
    if (t->timestamp_us != 0) {
        return LEDGER_TRANSFER_TIMESTAMP_MUST_BE_ZERO;
    }
    if ((t->flags & ~(uint32_t)LEDGER_TRANSFER_FLAGS_KNOWN) != 0) {
        return LEDGER_TRANSFER_RESERVED_FLAG;
    }
    if (uuid_is_nil(t->id)) {
        return LEDGER_TRANSFER_ID_MUST_NOT_BE_ZERO;
    }
    if (uuid_is_max(t->id)) {
        return LEDGER_TRANSFER_ID_MUST_NOT_BE_INT_MAX;
    }
    ledger_row *found = map_get(tx->transfers, t->id);
    if (found != NULL) {
        *existing = found;
        return ledger_transfer_compare(tx, t, found);
    }
    if (map_count(tx->burned) != 0 && map_get(tx->burned, t->id) != NULL) {
        return LEDGER_TRANSFER_ID_ALREADY_FAILED;
    }
    if ((t->flags & (LEDGER_TRANSFER_FLAG_POST | LEDGER_TRANSFER_FLAG_VOID)) != 0) {
        return check_resolution(tx, t, row);
    }
    return check_plain(tx, t, row);
}
