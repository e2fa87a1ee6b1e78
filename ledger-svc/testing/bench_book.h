// A book in memory for tests of the posting rules. It plays the shell around them, without a database. For tests only.
#ifndef TESTING_BENCH_BOOK_H
#define TESTING_BENCH_BOOK_H

// cmocka.h needs these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "domain/apply.h"

enum { BENCH_BATCH_MAX = 64 };

typedef struct bench_book {
    arena *a;
    map *accounts, *transfers, *burned, *references;
    int64_t sequence, timestamp_us, next_expires_us;
    int64_t now_us;         // the clock
    size_t n_rows;          // of the last batch
    const ledger_row *rows; // of the last batch
    ledger_transfer_result results[BENCH_BATCH_MAX];
    ledger_account_result account_results[BENCH_BATCH_MAX];
} bench_book;

int bench_setup(void **state); // an empty book at 1,000,000 us
int bench_teardown(void **state);

uuid bench_id(uint64_t n); // 0 is nil, UINT64_MAX is all ones
ledger_currency bench_currency(const char *code);

// Makes an account in USD with code 10; it must be created.
void bench_account(bench_book *b, uint64_t n, uint32_t flags);
// A transfer in USD with code 1, single-phase.
ledger_transfer_event bench_transfer(uint64_t id, uint64_t debit, uint64_t credit, int64_t amount);
ledger_transfer_event bench_post(uint64_t id, uint64_t pending, int64_t amount);
ledger_transfer_event bench_void(uint64_t id, uint64_t pending, int64_t amount);
ledger_transfer_event bench_reversal(uint64_t id, uint64_t reversed);

// One transaction: due expiries, then the batch; results in b->results.
void bench_apply(bench_book *b, const ledger_transfer_event *events, size_t n);
void bench_apply_accounts(bench_book *b, const ledger_account_event *events, size_t n);

// The balances of an account, to compare: debits pending, debits posted, credits pending, credits posted.
void bench_expect_balances(bench_book *b, uint64_t account, int64_t dp, int64_t dpo, int64_t cp,
                           int64_t cpo);
// Bits of LEDGER_STATE_….
void bench_expect_state(bench_book *b, uint64_t account, uint32_t state);
// One transfer as a batch of its own.
ledger_transfer_status bench_one(bench_book *b, ledger_transfer_event event);

#define EXPECT(b, event, wanted)                                                                   \
    assert_string_equal(ledger_transfer_status_name(bench_one((b), (event))), #wanted)
#define EXPECT_RESULT(b, index, wanted)                                                            \
    assert_string_equal(ledger_transfer_status_name((b)->results[index].status), #wanted)
#define EXPECT_ACCOUNT(b, index, wanted)                                                           \
    assert_string_equal(ledger_account_status_name((b)->account_results[index].status), #wanted)

#endif
