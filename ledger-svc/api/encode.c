#include <string.h>

#include "api/api_internal.h"
#include "base/assert.h"

// The numbers of the domain equal the numbers of the wire. If they differ, this does not compile.
#define SAME_TRANSFER_STATUS(name, number, burns)                                                  \
    _Static_assert(number == LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_##name,    \
                   #name);
LEDGER_TRANSFER_STATUSES(SAME_TRANSFER_STATUS)
#define SAME_ACCOUNT_STATUS(name, number)                                                          \
    _Static_assert(number == LEDGER__V1__CREATE_ACCOUNT_STATUS__CREATE_ACCOUNT_STATUS_##name,      \
                   #name);
LEDGER_ACCOUNT_STATUSES(SAME_ACCOUNT_STATUS)

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)
SAME(LEDGER_KIND_SINGLE, LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_SINGLE_PHASE);
SAME(LEDGER_KIND_PENDING, LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_PENDING);
SAME(LEDGER_KIND_POST, LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_POST);
SAME(LEDGER_KIND_VOID, LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_VOID);
SAME(LEDGER_KIND_EXPIRE, LEDGER__V1__TRANSFER_KIND__TRANSFER_KIND_EXPIRE);
SAME(LEDGER_TRANSFER_FLAG_LINKED, LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_LINKED);
SAME(LEDGER_TRANSFER_FLAG_PENDING, LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_PENDING);
SAME(LEDGER_TRANSFER_FLAG_POST, LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_POST_PENDING_TRANSFER);
SAME(LEDGER_TRANSFER_FLAG_VOID, LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_VOID_PENDING_TRANSFER);
SAME(LEDGER_TRANSFER_FLAG_BALANCING_DEBIT,
     LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_BALANCING_DEBIT);
SAME(LEDGER_TRANSFER_FLAG_BALANCING_CREDIT,
     LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_BALANCING_CREDIT);
SAME(LEDGER_TRANSFER_FLAG_CLOSING_DEBIT, LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_CLOSING_DEBIT);
SAME(LEDGER_TRANSFER_FLAG_CLOSING_CREDIT, LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_CLOSING_CREDIT);
SAME(LEDGER_TRANSFER_FLAG_IMPORTED, LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_IMPORTED);
SAME(LEDGER_TRANSFER_FLAG_FORCED, LEDGER__V1__TRANSFER_FLAG__TRANSFER_FLAG_FORCED);
SAME(LEDGER_ACCOUNT_FLAG_LINKED, LEDGER__V1__ACCOUNT_FLAG__ACCOUNT_FLAG_LINKED);
SAME(LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS,
     LEDGER__V1__ACCOUNT_FLAG__ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
SAME(LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS,
     LEDGER__V1__ACCOUNT_FLAG__ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS);
SAME(LEDGER_ACCOUNT_FLAG_HISTORY, LEDGER__V1__ACCOUNT_FLAG__ACCOUNT_FLAG_HISTORY);
SAME(LEDGER_ACCOUNT_FLAG_IMPORTED, LEDGER__V1__ACCOUNT_FLAG__ACCOUNT_FLAG_IMPORTED);
SAME(LEDGER_ACCOUNT_FLAG_CLOSED, LEDGER__V1__ACCOUNT_FLAG__ACCOUNT_FLAG_CLOSED);

Ledger__V1__Balances api_balances(const ledger_balances *b) {
    Ledger__V1__Balances m = LEDGER__V1__BALANCES__INIT;
    m.debits_pending = b->debits_pending;
    m.debits_posted = b->debits_posted;
    m.credits_pending = b->credits_pending;
    m.credits_posted = b->credits_posted;
    return m;
}

// The message and all its texts in one piece of the arena.
typedef struct account_block {
    Ledger__V1__Account m;
    char id[UUID_TEXT_LEN + 1], user_data_128[UUID_TEXT_LEN + 1], currency[4];
} account_block;

typedef struct transfer_block {
    Ledger__V1__Transfer m;
    Ledger__V1__Balances debit, credit;
    char id[UUID_TEXT_LEN + 1], debit_account_id[UUID_TEXT_LEN + 1],
        credit_account_id[UUID_TEXT_LEN + 1];
    char reverses_id[UUID_TEXT_LEN + 1];
    uint8_t leaf_hash[sizeof((ledger_row *)0)->leaf_hash];
    char pending_id[UUID_TEXT_LEN + 1], user_data_128[UUID_TEXT_LEN + 1], currency[4];
} transfer_block;

// The nil id is sent as empty text.
static char *id_text(uuid id, char out[UUID_TEXT_LEN + 1]) {
    out[0] = '\0';
    if (!uuid_is_nil(id)) {
        uuid_format(id, out);
    }
    return out;
}

// Rare, so not in the block.
static bool reference_encode(arena *a, str reference, char **out, err *e) {
    if (reference.len == 0) {
        return true;
    }
    *out = api_array(a, reference.len + 1, 1, e);
    if (*out != NULL) {
        memcpy(*out, reference.ptr, reference.len);
    }
    return *out != NULL;
}

typedef struct entry_block {
    Ledger__V1__MetadataEntry m;
    char key[LEDGER_METADATA_KEY_MAX + 1], value[LEDGER_METADATA_VALUE_MAX + 1];
} entry_block;

static bool metadata_encode(arena *a, str metadata, Ledger__V1__MetadataEntry ***out, size_t *n_out,
                            err *e) {
    if (metadata.len == 0) {
        return true;
    }
    *out = api_array(a, LEDGER_METADATA_ENTRIES_MAX, sizeof **out, e);
    bool ok = *out != NULL;
    for (ledger_metadata_entry entry; ok && ledger_metadata_next(&metadata, &entry);) {
        entry_block *b = api_array(a, 1, sizeof *b, e);
        ok = b != NULL && *n_out < LEDGER_METADATA_ENTRIES_MAX;
        if (ok) {
            ledger__v1__metadata_entry__init(&b->m);
            memcpy(b->key, entry.key.ptr, entry.key.len);
            memcpy(b->value, entry.value.ptr, entry.value.len);
            b->m.key = b->key;
            b->m.value = b->value;
            (*out)[(*n_out)++] = &b->m;
        }
    }
    return ok;
}

// The flag "closed" tells the account's state now, whatever its request said.
static uint32_t account_flags(const ledger_account *account) {
    const uint32_t rest = account->flags & ~(uint32_t)LEDGER_ACCOUNT_FLAG_CLOSED;
    return (account->state & LEDGER_STATE_CLOSED) != 0 ? rest | LEDGER_ACCOUNT_FLAG_CLOSED : rest;
}

Ledger__V1__Account *api_account_encode(arena *a, const ledger_account *account, err *e) {
    account_block *b = api_array(a, 1, sizeof *b, e);
    if (b == NULL) {
        return NULL;
    }
    ledger__v1__account__init(&b->m);
    ledger_currency_text(account->currency, b->currency);
    b->m.id = id_text(account->id, b->id);
    b->m.code = account->code;
    b->m.currency = b->currency;
    b->m.flags = account_flags(account);
    b->m.user_data_128 = id_text(account->user_data_128, b->user_data_128);
    b->m.user_data_64 = account->user_data_64;
    b->m.user_data_32 = account->user_data_32;
    b->m.debits_pending = account->balances.debits_pending;
    b->m.debits_posted = account->balances.debits_posted;
    b->m.credits_pending = account->balances.credits_pending;
    b->m.credits_posted = account->balances.credits_posted;
    b->m.timestamp_us = account->timestamp_us;
    b->m.effective_us = account->effective_us;
    b->m.lowest_balance = account->lowest_balance;
    const bool ok = reference_encode(a, account->external_reference, &b->m.external_reference, e) &&
                    metadata_encode(a, account->metadata, &b->m.metadata, &b->m.n_metadata, e);
    return ok ? &b->m : NULL;
}

Ledger__V1__Transfer *api_transfer_encode(arena *a, const ledger_row *row, err *e) {
    transfer_block *b = api_array(a, 1, sizeof *b, e);
    if (b == NULL) {
        return NULL;
    }
    ledger__v1__transfer__init(&b->m);
    ledger_currency_text(row->currency, b->currency);
    b->debit = api_balances(&row->debit_after);
    b->credit = api_balances(&row->credit_after);
    b->m.id = id_text(row->id, b->id);
    b->m.debit_account_id = id_text(row->debit_account_id, b->debit_account_id);
    b->m.credit_account_id = id_text(row->credit_account_id, b->credit_account_id);
    b->m.amount = row->amount;
    b->m.pending_id = id_text(row->pending_id, b->pending_id);
    b->m.user_data_128 = id_text(row->user_data_128, b->user_data_128);
    b->m.user_data_64 = row->user_data_64;
    b->m.user_data_32 = row->user_data_32;
    b->m.timeout_s = row->timeout_s;
    b->m.code = row->code;
    b->m.currency = b->currency;
    b->m.flags = row->flags;
    b->m.sequence = row->sequence;
    b->m.timestamp_us = row->timestamp_us;
    b->m.debit_balances = &b->debit;
    b->m.credit_balances = &b->credit;
    b->m.kind = (Ledger__V1__TransferKind)row->kind;
    b->m.released = row->released;
    b->m.expires_us = row->expires_us;
    b->m.effective_us = row->effective_us;
    b->m.reverses_id = id_text(row->reverses_id, b->reverses_id);
    b->m.debit_closed = (row->debit_state_after & LEDGER_STATE_CLOSED) != 0;
    b->m.debit_over_limit = (row->debit_state_after & LEDGER_STATE_OVER_LIMIT) != 0;
    b->m.credit_over_limit = (row->credit_state_after & LEDGER_STATE_OVER_LIMIT) != 0;
    b->m.credit_closed = (row->credit_state_after & LEDGER_STATE_CLOSED) != 0;
    memcpy(b->leaf_hash, row->leaf_hash, sizeof b->leaf_hash);
    b->m.leaf_hash = (ProtobufCBinaryData){sizeof b->leaf_hash, b->leaf_hash};
    const bool ok = reference_encode(a, row->external_reference, &b->m.external_reference, e) &&
                    metadata_encode(a, row->metadata, &b->m.metadata, &b->m.n_metadata, e);
    return ok ? &b->m : NULL;
}

static Ledger__V1__PendingState pending_state(const ledger_row *row) {
    if (row->kind != LEDGER_KIND_PENDING) {
        return LEDGER__V1__PENDING_STATE__PENDING_STATE_UNSPECIFIED;
    }
    switch (row->resolution) {
    case LEDGER_KIND_POST: return LEDGER__V1__PENDING_STATE__PENDING_STATE_POSTED;
    case LEDGER_KIND_VOID: return LEDGER__V1__PENDING_STATE__PENDING_STATE_VOIDED;
    case LEDGER_KIND_EXPIRE: return LEDGER__V1__PENDING_STATE__PENDING_STATE_EXPIRED;
    case LEDGER_KIND_NONE: return LEDGER__V1__PENDING_STATE__PENDING_STATE_OPEN;
    case LEDGER_KIND_SINGLE:
    case LEDGER_KIND_PENDING:
    default: ASSERT(!"what cannot end a pending transfer");
    }
}

bool api_transfer_outcome_encode(arena *a, Ledger__V1__Transfer *m, const ledger_row *row, err *e) {
    m->pending_state = pending_state(row);
    if (row->reversal != NULL) {
        m->reversed_by_id = api_array(a, UUID_TEXT_LEN + 1, 1, e);
        if (m->reversed_by_id == NULL) {
            return false;
        }
        uuid_format(row->reversal->id, m->reversed_by_id);
    }
    return true;
}
