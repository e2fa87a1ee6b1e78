// New accounts: the checks in TigerBeetle's order of precedence, and the accounts made.
#include "base/assert.h"
#include "domain/apply_internal.h"

// Compares the fields that TigerBeetle lacks or does not compare.
static ledger_account_status account_compare_own_fields(const ledger_account_event *a,
                                                        const ledger_account *e) {
    if ((a->flags & LEDGER_ACCOUNT_FLAG_IMPORTED) != 0 && a->timestamp_us != e->effective_us) {
        return LEDGER_ACCOUNT_EXISTS_WITH_DIFFERENT_TIMESTAMP;
    }
    if (a->lowest_balance != e->lowest_balance) {
        return LEDGER_ACCOUNT_EXISTS_WITH_DIFFERENT_LOWEST_BALANCE;
    }
    if (!uuid_eq(ledger_digest(a->external_reference), e->reference_digest)) {
        return LEDGER_ACCOUNT_EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE;
    }
    if (!uuid_eq(ledger_digest(a->metadata), e->metadata_digest)) {
        return LEDGER_ACCOUNT_EXISTS_WITH_DIFFERENT_METADATA;
    }
    return LEDGER_ACCOUNT_EXISTS;
}

// Compares the flags as requested: an account that was closed later is still the same request.
static ledger_account_status account_compare(const ledger_account_event *a,
                                             const ledger_account *e) {
    if (a->flags != e->flags) {
        return LEDGER_ACCOUNT_EXISTS_WITH_DIFFERENT_FLAGS;
    }
    if (!uuid_eq(a->user_data_128, e->user_data_128)) {
        return LEDGER_ACCOUNT_EXISTS_WITH_DIFFERENT_USER_DATA_128;
    }
    if (a->user_data_64 != e->user_data_64) {
        return LEDGER_ACCOUNT_EXISTS_WITH_DIFFERENT_USER_DATA_64;
    }
    if (a->user_data_32 != e->user_data_32) {
        return LEDGER_ACCOUNT_EXISTS_WITH_DIFFERENT_USER_DATA_32;
    }
    if (a->currency != e->currency) {
        return LEDGER_ACCOUNT_EXISTS_WITH_DIFFERENT_LEDGER;
    }
    if (a->code != e->code) {
        return LEDGER_ACCOUNT_EXISTS_WITH_DIFFERENT_CODE;
    }
    return account_compare_own_fields(a, e);
}

// A request's balances must be 0. The checks go in the order of the fields.
static ledger_account_status account_check_balances(const ledger_balances *b) {
    if (b->debits_pending != 0) {
        return LEDGER_ACCOUNT_DEBITS_PENDING_MUST_BE_ZERO;
    }
    if (b->debits_posted != 0) {
        return LEDGER_ACCOUNT_DEBITS_POSTED_MUST_BE_ZERO;
    }
    if (b->credits_pending != 0) {
        return LEDGER_ACCOUNT_CREDITS_PENDING_MUST_BE_ZERO;
    }
    return b->credits_posted == 0 ? LEDGER_ACCOUNT_CREATED
                                  : LEDGER_ACCOUNT_CREDITS_POSTED_MUST_BE_ZERO;
}

static ledger_account_status account_check_new(const ledger_tx *tx, const ledger_account_event *a) {
    const uint32_t limits = LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS |
                            LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS;
    if ((a->flags & limits) == limits) {
        return LEDGER_ACCOUNT_FLAGS_ARE_MUTUALLY_EXCLUSIVE;
    }
    const ledger_account_status status = account_check_balances(&a->balances);
    if (status != LEDGER_ACCOUNT_CREATED) {
        return status;
    }
    if (!ledger_currency_known(a->currency)) {
        return LEDGER_ACCOUNT_LEDGER_MUST_NOT_BE_ZERO;
    }
    if (a->code == 0 || a->code > LEDGER_CODE_MAX) {
        return LEDGER_ACCOUNT_CODE_MUST_NOT_BE_ZERO;
    }
    if ((a->flags & LEDGER_ACCOUNT_FLAG_IMPORTED) != 0 && a->timestamp_us <= tx->imported_us) {
        return LEDGER_ACCOUNT_IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS;
    }
    if (a->lowest_balance > 0) {
        return LEDGER_ACCOUNT_LOWEST_BALANCE_MUST_NOT_BE_POSITIVE;
    }
    if (a->lowest_balance != 0 &&
        (a->flags & LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS) == 0) {
        return LEDGER_ACCOUNT_LOWEST_BALANCE_MUST_BE_ZERO;
    }
    if (a->external_reference.len != 0 &&
        map_get(tx->references, ledger_digest(a->external_reference)) != NULL) {
        return LEDGER_ACCOUNT_EXTERNAL_REFERENCE_EXISTS;
    }
    return LEDGER_ACCOUNT_CREATED;
}

static ledger_account *account_append(ledger_tx *tx, const ledger_account_event *event) {
    ASSERT(tx->n_new_accounts < tx->new_accounts_max);
    ledger_account *account = &tx->new_accounts[tx->n_new_accounts++];
    *account = (ledger_account){
        .id = event->id,
        .user_data_128 = event->user_data_128,
        .user_data_64 = event->user_data_64,
        .user_data_32 = event->user_data_32,
        .code = event->code,
        .flags = event->flags,
        .currency = event->currency,
        .timestamp_us = ++tx->timestamp_us,
        .lowest_balance = event->lowest_balance,
        .reference_digest = ledger_digest(event->external_reference),
        .metadata_digest = ledger_digest(event->metadata),
        .external_reference = event->external_reference,
        .metadata = event->metadata,
    };
    account->state = ledger_account_state_at_birth(account);
    account->effective_us = account->timestamp_us;
    if ((account->flags & LEDGER_ACCOUNT_FLAG_IMPORTED) != 0) {
        account->effective_us = tx->imported_us = event->timestamp_us;
    }
    MUST(map_put(tx->accounts, account->id, account));
    if (!uuid_is_nil(account->reference_digest)) {
        MUST(map_put(tx->references, account->reference_digest, account));
    }
    return account;
}

static ledger_account_status account_check_envelope(const ledger_tx *tx,
                                                    const ledger_account_event *a) {
    const bool imported = (a->flags & LEDGER_ACCOUNT_FLAG_IMPORTED) != 0;
    switch (ledger_envelope_check(tx, imported, a->timestamp_us)) {
    case LEDGER_ENVELOPE_IMPORTED_EXPECTED: return LEDGER_ACCOUNT_IMPORTED_EVENT_EXPECTED;
    case LEDGER_ENVELOPE_IMPORTED_NOT_EXPECTED: return LEDGER_ACCOUNT_IMPORTED_EVENT_NOT_EXPECTED;
    case LEDGER_ENVELOPE_TIMESTAMP_MUST_BE_ZERO: return LEDGER_ACCOUNT_TIMESTAMP_MUST_BE_ZERO;
    case LEDGER_ENVELOPE_TIMESTAMP_OUT_OF_RANGE:
        return LEDGER_ACCOUNT_IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE;
    case LEDGER_ENVELOPE_TIMESTAMP_MUST_NOT_ADVANCE:
        return LEDGER_ACCOUNT_IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE;
    case LEDGER_ENVELOPE_OK:
    default: break;
    }
    if ((a->flags & ~(uint32_t)LEDGER_ACCOUNT_FLAGS_KNOWN) != 0) {
        return LEDGER_ACCOUNT_RESERVED_FLAG;
    }
    if (uuid_is_nil(a->id)) {
        return LEDGER_ACCOUNT_ID_MUST_NOT_BE_ZERO;
    }
    if (uuid_is_max(a->id)) {
        return LEDGER_ACCOUNT_ID_MUST_NOT_BE_INT_MAX;
    }
    return LEDGER_ACCOUNT_CREATED;
}

static ledger_account_result account_evaluate(ledger_tx *tx, const ledger_account_event *event) {
    const ledger_account_status envelope = account_check_envelope(tx, event);
    if (envelope != LEDGER_ACCOUNT_CREATED) {
        return (ledger_account_result){envelope, 0};
    }
    const ledger_account *existing = map_get(tx->accounts, event->id);
    if (existing != NULL) {
        const ledger_account_status status = account_compare(event, existing);
        return (ledger_account_result){
            status, status == LEDGER_ACCOUNT_EXISTS ? existing->timestamp_us : 0};
    }
    const ledger_account_status status = account_check_new(tx, event);
    if (status != LEDGER_ACCOUNT_CREATED) {
        return (ledger_account_result){status, 0};
    }
    return (ledger_account_result){status, account_append(tx, event)->timestamp_us};
}

void ledger_apply_accounts(ledger_tx *tx, const ledger_account_event *events, size_t n,
                           ledger_account_result *results) {
    ledger_chain c = {0};
    tx->imports = n != 0 && (events[0].flags & LEDGER_ACCOUNT_FLAG_IMPORTED) != 0;
    tx->imported_us = 0;
    for (size_t i = 0; i < n; i++) {
        const bool linked = (events[i].flags & LEDGER_ACCOUNT_FLAG_LINKED) != 0;
        switch (ledger_chain_enter(&c, tx, linked, i, n)) {
        case CHAIN_LEFT_OPEN:
            results[i] = (ledger_account_result){LEDGER_ACCOUNT_LINKED_EVENT_CHAIN_OPEN, 0};
            break;
        case CHAIN_ALREADY_BROKEN:
            results[i] = (ledger_account_result){LEDGER_ACCOUNT_LINKED_EVENT_FAILED, 0};
            break;
        case CHAIN_EVALUATE:
        default: results[i] = account_evaluate(tx, &events[i]); break;
        }
        if (results[i].status != LEDGER_ACCOUNT_CREATED && ledger_chain_break(&c, tx)) {
            for (size_t k = c.first; k < i; k++) {
                results[k] = (ledger_account_result){LEDGER_ACCOUNT_LINKED_EVENT_FAILED, 0};
            }
        }
        ledger_chain_leave(&c, linked);
    }
}
