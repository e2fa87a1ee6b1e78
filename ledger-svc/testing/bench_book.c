#include "testing/bench_book.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { BENCH_MAP_MAX = 1 << 16 };

int bench_setup(void **state) {
    bench_book *b = calloc(1, sizeof *b);
    ASSERT(b != NULL);
    b->a = arena_create((size_t)64 * 1024 * 1024);
    b->accounts = map_create(16, BENCH_MAP_MAX);
    b->transfers = map_create(16, BENCH_MAP_MAX);
    b->burned = map_create(16, BENCH_MAP_MAX);
    b->references = map_create(16, BENCH_MAP_MAX);
    b->now_us = 1000000;
    b->next_expires_us = LEDGER_NEVER_US;
    *state = b;
    return 0;
}

int bench_teardown(void **state) {
    bench_book *b = *state;
    map_destroy(b->accounts);
    map_destroy(b->transfers);
    map_destroy(b->burned);
    map_destroy(b->references);
    arena_destroy(b->a);
    free(b);
    return 0;
}

uuid bench_id(uint64_t n) {
    uuid id;
    memset(id.b, n == UINT64_MAX ? 0xff : 0, sizeof id.b);
    for (size_t i = 0; i < 8 && n != UINT64_MAX; i++) {
        id.b[15 - i] = (uint8_t)(n >> (8 * i));
    }
    return id;
}

ledger_currency bench_currency(const char *code) {
    return ledger_currency_pack(str_of(code));
}

static void tx_begin(bench_book *b, ledger_tx *tx, size_t n) {
    const size_t rows_max = n + BENCH_BATCH_MAX + 1;
    *tx = (ledger_tx){
        .accounts = b->accounts,
        .transfers = b->transfers,
        .burned = b->burned,
        .references = b->references,
        .sequence = b->sequence,
        .timestamp_us = (b->now_us > b->timestamp_us ? b->now_us : b->timestamp_us + 1) - 1,
        .next_expires_us = b->next_expires_us,
        .rows = ARENA_ARRAY(b->a, ledger_row, rows_max),
        .rows_max = rows_max,
        .new_accounts = ARENA_ARRAY(b->a, ledger_account, n),
        .new_accounts_max = n,
        .touched = ARENA_ARRAY(b->a, ledger_touched, 2 * rows_max),
        .touched_max = 2 * rows_max,
        .new_burned = ARENA_ARRAY(b->a, ledger_burned, n),
        .new_burned_max = n,
    };
}

static void release_due(bench_book *b, ledger_tx *tx) {
    ledger_row *due[BENCH_BATCH_MAX];
    size_t n = 0;
    int64_t next_us = LEDGER_NEVER_US;
    for (map_iter it = map_begin(b->transfers); map_next(&it);) {
        ledger_row *row = it.value;
        if (row->expires_us != 0 && row->resolution == LEDGER_KIND_NONE) {
            if (row->expires_us <= tx->timestamp_us + 1) {
                ASSERT(n < BENCH_BATCH_MAX);
                due[n++] = row;
            } else if (row->expires_us < next_us) {
                next_us = row->expires_us;
            }
        }
    }
    tx->next_expires_us = next_us;
    for (size_t i = 0; i < n; i++) {
        ledger_apply_expiry(tx, due[i]);
    }
}

static void tx_end(bench_book *b, ledger_tx *tx, int64_t before_us) {
    ledger_tx_verify(tx, b->sequence, before_us);
    ledger_tx_finish(tx, false);
    b->sequence = tx->sequence;
    b->timestamp_us = tx->timestamp_us;
    b->next_expires_us = tx->next_expires_us;
    b->rows = tx->rows;
    b->n_rows = tx->n_rows;
}

void bench_apply(bench_book *b, const ledger_transfer_event *events, size_t n) {
    ledger_tx tx;
    ASSERT(n <= BENCH_BATCH_MAX);
    tx_begin(b, &tx, n);
    release_due(b, &tx);
    ledger_apply_transfers(&tx, events, n, b->results);
    tx_end(b, &tx, b->timestamp_us);
}

void bench_apply_accounts(bench_book *b, const ledger_account_event *events, size_t n) {
    ledger_tx tx;
    ASSERT(n <= BENCH_BATCH_MAX);
    tx_begin(b, &tx, n);
    ledger_apply_accounts(&tx, events, n, b->account_results);
    tx_end(b, &tx, b->timestamp_us);
}

void bench_account(bench_book *b, uint64_t n, uint32_t flags) {
    const ledger_account_event event = {
        .id = bench_id(n), .code = 10, .flags = flags, .currency = bench_currency("USD")};
    bench_apply_accounts(b, &event, 1);
    EXPECT_ACCOUNT(b, 0, CREATED);
}

ledger_transfer_event bench_transfer(uint64_t id, uint64_t debit, uint64_t credit, int64_t amount) {
    return (ledger_transfer_event){
        .id = bench_id(id),
        .debit_account_id = bench_id(debit),
        .credit_account_id = bench_id(credit),
        .amount = amount,
        .code = 1,
        .currency = bench_currency("USD"),
    };
}

ledger_transfer_event bench_post(uint64_t id, uint64_t pending, int64_t amount) {
    return (ledger_transfer_event){.id = bench_id(id),
                                   .pending_id = bench_id(pending),
                                   .amount = amount,
                                   .flags = LEDGER_TRANSFER_FLAG_POST};
}

ledger_transfer_event bench_void(uint64_t id, uint64_t pending, int64_t amount) {
    return (ledger_transfer_event){.id = bench_id(id),
                                   .pending_id = bench_id(pending),
                                   .amount = amount,
                                   .flags = LEDGER_TRANSFER_FLAG_VOID};
}

void bench_expect_balances(bench_book *b, uint64_t account, int64_t dp, int64_t dpo, int64_t cp,
                           int64_t cpo) {
    const ledger_account *a = map_get(b->accounts, bench_id(account));
    assert_non_null(a);
    assert_int_equal(a->balances.debits_pending, dp);
    assert_int_equal(a->balances.debits_posted, dpo);
    assert_int_equal(a->balances.credits_pending, cp);
    assert_int_equal(a->balances.credits_posted, cpo);
}

ledger_transfer_event bench_reversal(uint64_t id, uint64_t reversed) {
    return (ledger_transfer_event){.id = bench_id(id), .reverses_id = bench_id(reversed)};
}

void bench_expect_state(bench_book *b, uint64_t account, uint32_t state) {
    const ledger_account *a = map_get(b->accounts, bench_id(account));
    assert_non_null(a);
    assert_int_equal(a->state, state);
}

ledger_transfer_status bench_one(bench_book *b, ledger_transfer_event event) {
    bench_apply(b, &event, 1);
    return b->results[0].status;
}
