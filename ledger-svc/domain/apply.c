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
    tx->touched[tx->n_touched++] = (ledger_touched){account, account->balances};
    account->touched = (uint32_t)tx->n_touched;
}

static void shift(int64_t *total, int64_t by) {
    ASSERT(ck_add_i64(*total, by, total) && *total >= 0);
}

// sign +1 does what the row says, -1 takes it back.
static void row_shift_balances(ledger_row *row, int64_t sign) {
    const ledger_effect effect = ledger_row_effect(row);
    shift(&row->debit->balances.debits_pending, sign * effect.pending);
    shift(&row->debit->balances.debits_posted, sign * effect.posted);
    shift(&row->credit->balances.credits_pending, sign * effect.pending);
    shift(&row->credit->balances.credits_posted, sign * effect.posted);
}

// Gives the checked row at the end of tx->rows its place in the journal and its effect.
static ledger_row *row_append(ledger_tx *tx) {
    ledger_row *row = &tx->rows[tx->n_rows++];
    row->sequence = ++tx->sequence;
    row->timestamp_us = ++tx->timestamp_us;
    touch(tx, row->debit);
    touch(tx, row->credit);
    row_shift_balances(row, +1);
    row->debit_after = row->debit->balances;
    row->credit_after = row->credit->balances;
    if (row->pending != NULL) {
        ASSERT(row->pending->resolution == LEDGER_KIND_NONE);
        row->pending->resolution = row->kind;
    }
    if (row->expires_us != 0 && row->expires_us < tx->next_expires_us) {
        tx->next_expires_us = row->expires_us;
    }
    if (row->kind != LEDGER_KIND_EXPIRE) {
        ASSERT(map_put(tx->transfers, row->id, row));
    }
    return row;
}

// Where a linked chain began. The rows since then are the undo log: each says exactly what it did.
typedef struct savepoint {
    size_t n_rows, n_new_accounts;
    int64_t sequence, timestamp_us, next_expires_us;
} savepoint;

static savepoint savepoint_take(const ledger_tx *tx) {
    return (savepoint){tx->n_rows, tx->n_new_accounts, tx->sequence, tx->timestamp_us,
                       tx->next_expires_us};
}

static void savepoint_return_to(ledger_tx *tx, const savepoint *to) {
    while (tx->n_rows > to->n_rows) {
        ledger_row *row = &tx->rows[--tx->n_rows];
        row_shift_balances(row, -1);
        if (row->pending != NULL) {
            row->pending->resolution = LEDGER_KIND_NONE;
        }
        ASSERT(map_remove(tx->transfers, row->id) == row);
    }
    while (tx->n_new_accounts > to->n_new_accounts) {
        ledger_account *account = &tx->new_accounts[--tx->n_new_accounts];
        ASSERT(map_remove(tx->accounts, account->id) == account);
    }
    tx->sequence = to->sequence;
    tx->timestamp_us = to->timestamp_us;
    tx->next_expires_us = to->next_expires_us;
}

static void burn(ledger_tx *tx, uuid id, ledger_transfer_status status) {
    ASSERT(tx->n_new_burned < tx->new_burned_max);
    ledger_burned *burned = &tx->new_burned[tx->n_new_burned++];
    *burned = (ledger_burned){id, status, ++tx->timestamp_us};
    ASSERT(map_put(tx->burned, id, burned));
}

// --- Linked chains, the same for accounts and transfers --------------------------------------------------------------

typedef struct chain {
    bool open, broken;
    size_t first; // index of its first event
    savepoint start;
} chain;

typedef enum chain_step { CHAIN_EVALUATE, CHAIN_ALREADY_BROKEN, CHAIN_LEFT_OPEN } chain_step;

// Before an event: opens a chain where one starts, and says whether the event is evaluated at all.
static chain_step chain_enter(chain *c, const ledger_tx *tx, bool linked, size_t index, size_t n) {
    if (linked && !c->open) {
        *c = (chain){.open = true, .first = index, .start = savepoint_take(tx)};
    }
    if (linked && index == n - 1) {
        return CHAIN_LEFT_OPEN;
    }
    return c->broken ? CHAIN_ALREADY_BROKEN : CHAIN_EVALUATE;
}

// True when this failure breaks the chain: all since its first event is undone, and the caller rewrites the results.
static bool chain_break(chain *c, ledger_tx *tx) {
    if (!c->open || c->broken) {
        return false;
    }
    savepoint_return_to(tx, &c->start);
    c->broken = true;
    return true;
}

static void chain_leave(chain *c, bool linked) {
    if (c->open && !linked) {
        *c = (chain){0};
    }
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
    return (ledger_transfer_result){status, status == LEDGER_TRANSFER_EXISTS ? existing : NULL};
}

void ledger_apply_transfers(ledger_tx *tx, const ledger_transfer_event *events, size_t n,
                            ledger_transfer_result *results) {
    chain c = {0};
    for (size_t i = 0; i < n; i++) {
        const bool linked = (events[i].flags & LEDGER_TRANSFER_FLAG_LINKED) != 0;
        switch (chain_enter(&c, tx, linked, i, n)) {
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
        if (status != LEDGER_TRANSFER_CREATED && chain_break(&c, tx)) {
            for (size_t k = c.first; k < i; k++) {
                results[k] = (ledger_transfer_result){LEDGER_TRANSFER_LINKED_EVENT_FAILED, NULL};
            }
        }
        // After the chain is undone, so that the burned id stays burned.
        if (ledger_transfer_status_burns(status)) {
            burn(tx, events[i].id, status);
        }
        chain_leave(&c, linked);
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

// --- Accounts --------------------------------------------------------------------------------------------------------

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
    return LEDGER_ACCOUNT_EXISTS;
}

static ledger_account_status account_check_new(const ledger_account_event *a) {
    const uint32_t limits = LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS |
                            LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS;
    if ((a->flags & limits) == limits) {
        return LEDGER_ACCOUNT_FLAGS_ARE_MUTUALLY_EXCLUSIVE;
    }
    if (a->balances.debits_pending != 0) {
        return LEDGER_ACCOUNT_DEBITS_PENDING_MUST_BE_ZERO;
    }
    if (a->balances.debits_posted != 0) {
        return LEDGER_ACCOUNT_DEBITS_POSTED_MUST_BE_ZERO;
    }
    if (a->balances.credits_pending != 0) {
        return LEDGER_ACCOUNT_CREDITS_PENDING_MUST_BE_ZERO;
    }
    if (a->balances.credits_posted != 0) {
        return LEDGER_ACCOUNT_CREDITS_POSTED_MUST_BE_ZERO;
    }
    if (!ledger_currency_known(a->currency)) {
        return LEDGER_ACCOUNT_LEDGER_MUST_NOT_BE_ZERO;
    }
    if (a->code == 0 || a->code > LEDGER_CODE_MAX) {
        return LEDGER_ACCOUNT_CODE_MUST_NOT_BE_ZERO;
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
    };
    ASSERT(map_put(tx->accounts, account->id, account));
    return account;
}

static ledger_account_result account_evaluate(ledger_tx *tx, const ledger_account_event *event) {
    if (event->timestamp_us != 0) {
        return (ledger_account_result){LEDGER_ACCOUNT_TIMESTAMP_MUST_BE_ZERO, 0};
    }
    if ((event->flags & ~(uint32_t)LEDGER_ACCOUNT_FLAGS_KNOWN) != 0) {
        return (ledger_account_result){LEDGER_ACCOUNT_RESERVED_FLAG, 0};
    }
    if (uuid_is_nil(event->id)) {
        return (ledger_account_result){LEDGER_ACCOUNT_ID_MUST_NOT_BE_ZERO, 0};
    }
    if (uuid_is_max(event->id)) {
        return (ledger_account_result){LEDGER_ACCOUNT_ID_MUST_NOT_BE_INT_MAX, 0};
    }
    const ledger_account *existing = map_get(tx->accounts, event->id);
    if (existing != NULL) {
        const ledger_account_status status = account_compare(event, existing);
        return (ledger_account_result){
            status, status == LEDGER_ACCOUNT_EXISTS ? existing->timestamp_us : 0};
    }
    const ledger_account_status status = account_check_new(event);
    if (status != LEDGER_ACCOUNT_CREATED) {
        return (ledger_account_result){status, 0};
    }
    return (ledger_account_result){status, account_append(tx, event)->timestamp_us};
}

void ledger_apply_accounts(ledger_tx *tx, const ledger_account_event *events, size_t n,
                           ledger_account_result *results) {
    chain c = {0};
    for (size_t i = 0; i < n; i++) {
        const bool linked = (events[i].flags & LEDGER_ACCOUNT_FLAG_LINKED) != 0;
        switch (chain_enter(&c, tx, linked, i, n)) {
        case CHAIN_LEFT_OPEN:
            results[i] = (ledger_account_result){LEDGER_ACCOUNT_LINKED_EVENT_CHAIN_OPEN, 0};
            break;
        case CHAIN_ALREADY_BROKEN:
            results[i] = (ledger_account_result){LEDGER_ACCOUNT_LINKED_EVENT_FAILED, 0};
            break;
        case CHAIN_EVALUATE:
        default: results[i] = account_evaluate(tx, &events[i]); break;
        }
        if (results[i].status != LEDGER_ACCOUNT_CREATED && chain_break(&c, tx)) {
            for (size_t k = c.first; k < i; k++) {
                results[k] = (ledger_account_result){LEDGER_ACCOUNT_LINKED_EVENT_FAILED, 0};
            }
        }
        chain_leave(&c, linked);
    }
}

// --- The end of a transaction ----------------------------------------------------------------------------------------

void ledger_tx_finish(ledger_tx *tx, bool restore) {
    for (size_t i = 0; i < tx->n_touched; i++) {
        tx->touched[i].account->touched = 0;
        if (restore) {
            tx->touched[i].account->balances = tx->touched[i].before;
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
        ASSERT(row->sequence == ++sequence);
        ASSERT(row->timestamp_us > timestamp_us);
        ASSERT(row->amount >= 0 && row->released >= 0);
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
    // Both accounts of a row have its currency, so what balances over all rows balances in each currency.
    ASSERT(debits_pending == credits_pending && debits_pending == rows_pending);
    ASSERT(debits_posted == credits_posted && debits_posted == rows_posted);
}
