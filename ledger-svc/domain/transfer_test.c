// Single-phase transfers: idempotency, precedence, limits, overflow. The case numbers are those of the specification in
// docs/ledger-semantics.md.
#include "testing/bench_book.h"

#include <string.h>

static ledger_transfer_event usd(uint64_t id, int64_t amount) {
    return bench_transfer(id, 1, 2, amount);
}

static int two_accounts(void **state) {
    (void)bench_setup(state);
    bench_account(*state, 1, 0);
    bench_account(*state, 2, 0);
    return 0;
}

static void test_case_01_repeat__exists_with_the_first_time(void **state) {
    bench_book *b = *state;
    EXPECT(b, usd(100, 7), CREATED);
    const int64_t first_us = b->results[0].row->timestamp_us;
    const int64_t first_sequence = b->results[0].row->sequence;
    b->now_us += 5000000;
    EXPECT(b, usd(100, 7), EXISTS);
    assert_int_equal(b->results[0].row->timestamp_us, first_us);
    assert_int_equal(b->results[0].row->sequence, first_sequence);
    assert_int_equal(b->results[0].row->debit_after.debits_posted, 7);
    assert_int_equal(b->n_rows, 0);
    bench_expect_balances(b, 1, 0, 7, 0, 0);
    bench_expect_balances(b, 2, 0, 0, 0, 7);
}

static void test_case_02_repeat_differs__names_the_first_difference(void **state) {
    bench_book *b = *state;
    bench_account(b, 3, 0);
    ledger_transfer_event t = usd(100, 7);
    t.user_data_128 = bench_id(9);
    t.user_data_64 = 9;
    t.user_data_32 = 9;
    EXPECT(b, t, CREATED);
    // All fields differ; then they are corrected one by one, in the order of precedence.
    ledger_transfer_event w = {
        .id = t.id,
        .debit_account_id = bench_id(3),
        .credit_account_id = bench_id(3),
        .pending_id = bench_id(5),
        .user_data_128 = bench_id(8),
        .user_data_64 = 8,
        .user_data_32 = 8,
        .timeout_s = 8,
        .code = 8,
        .flags = LEDGER_TRANSFER_FLAG_PENDING,
        .currency = bench_currency("EUR"),
        .amount = 8,
    };
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_FLAGS);
    w.flags = t.flags;
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_PENDING_ID);
    w.pending_id = t.pending_id;
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_TIMEOUT);
    w.timeout_s = t.timeout_s;
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID);
    w.debit_account_id = t.debit_account_id;
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID);
    w.credit_account_id = t.credit_account_id;
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_AMOUNT);
    w.amount = t.amount;
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_USER_DATA_128);
    w.user_data_128 = t.user_data_128;
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_USER_DATA_64);
    w.user_data_64 = t.user_data_64;
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_USER_DATA_32);
    w.user_data_32 = t.user_data_32;
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_LEDGER);
    w.currency = t.currency;
    EXPECT(b, w, EXISTS_WITH_DIFFERENT_CODE);
    w.code = t.code;
    EXPECT(b, w, EXISTS);
}

static void test_case_04__repeat_comes_before_static_checks(void **state) {
    bench_book *b = *state;
    EXPECT(b, usd(100, 7), CREATED);
    ledger_transfer_event t = {.id = bench_id(100), .amount = 7};
    EXPECT(b, t, EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID);
    t.timestamp_us = 1;
    EXPECT(b, t, TIMESTAMP_MUST_BE_ZERO);
    t.timestamp_us = 0;
    t.flags = LEDGER_TRANSFER_FLAG_FORCED; // only reversals have it
    EXPECT(b, t, RESERVED_FLAG);
    t.flags = 0;
    t.id = bench_id(0);
    EXPECT(b, t, ID_MUST_NOT_BE_ZERO);
    t.id = bench_id(UINT64_MAX);
    EXPECT(b, t, ID_MUST_NOT_BE_INT_MAX);
}

static void test_case_05_transient_refusal__burns_the_id(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(100, 1, 3, 7), CREDIT_ACCOUNT_NOT_FOUND);
    EXPECT(b, bench_transfer(101, 3, 2, 7), DEBIT_ACCOUNT_NOT_FOUND);
    bench_account(b, 3, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    bench_account(b, 4, LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS);
    EXPECT(b, bench_transfer(100, 1, 3, 7), ID_ALREADY_FAILED);
    EXPECT(b, bench_transfer(101, 1, 2, 8), ID_ALREADY_FAILED);
    EXPECT(b, bench_transfer(102, 3, 2, 100), EXCEEDS_CREDITS);
    EXPECT(b, bench_transfer(103, 1, 4, 100), EXCEEDS_DEBITS);
    EXPECT(b, bench_post(104, 999, 1), PENDING_TRANSFER_NOT_FOUND);
    for (uint64_t id = 100; id <= 104; id++) {
        EXPECT(b, usd(id, 1), ID_ALREADY_FAILED);
    }
    bench_expect_balances(b, 1, 0, 0, 0, 0);
}

static void test_case_06_static_refusal__spares_the_id(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event good = usd(100, 7);
    ledger_transfer_event t = good;
    t.debit_account_id = bench_id(0);
    EXPECT(b, t, DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO);
    t.debit_account_id = bench_id(UINT64_MAX);
    EXPECT(b, t, DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX);
    t = good;
    t.credit_account_id = bench_id(0);
    EXPECT(b, t, CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO);
    t.credit_account_id = bench_id(UINT64_MAX);
    EXPECT(b, t, CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX);
    t = good;
    t.credit_account_id = t.debit_account_id;
    EXPECT(b, t, ACCOUNTS_MUST_BE_DIFFERENT);
    t = good;
    t.pending_id = bench_id(5);
    EXPECT(b, t, PENDING_ID_MUST_BE_ZERO);
    t = good;
    t.timeout_s = 1;
    EXPECT(b, t, TIMEOUT_RESERVED_FOR_PENDING_TRANSFER);
    t = good;
    t.currency = 0;
    EXPECT(b, t, LEDGER_MUST_NOT_BE_ZERO);
    t.currency = bench_currency("QQQ");
    EXPECT(b, t, LEDGER_MUST_NOT_BE_ZERO);
    t = good;
    t.code = 0;
    EXPECT(b, t, CODE_MUST_NOT_BE_ZERO);
    t.code = 65536;
    EXPECT(b, t, CODE_MUST_NOT_BE_ZERO);
    t = good;
    t.currency = bench_currency("EUR");
    EXPECT(b, t, TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS);
    EXPECT(b, good, CREATED);
}

static void test_transfer__ledgers_of_the_accounts_differ__refused(void **state) {
    bench_book *b = *state;
    const ledger_account_event euro = {
        .id = bench_id(3), .code = 10, .currency = bench_currency("EUR")};
    bench_apply_accounts(b, &euro, 1);
    EXPECT(b, bench_transfer(100, 1, 3, 7), ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER);
    // An unknown debit account must not hide an unknown currency.
    ledger_transfer_event t = bench_transfer(101, 99, 3, 7);
    t.currency = bench_currency("QQQ");
    EXPECT(b, t, LEDGER_MUST_NOT_BE_ZERO);
}

static void test_case_08__same_id_twice_in_a_batch(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event batch[] = {usd(100, 7), usd(100, 7), usd(100, 8)};
    bench_apply(b, batch, 3);
    EXPECT_RESULT(b, 0, CREATED);
    EXPECT_RESULT(b, 1, EXISTS);
    EXPECT_RESULT(b, 2, EXISTS_WITH_DIFFERENT_AMOUNT);
    assert_ptr_equal(b->results[0].row, b->results[1].row);
    bench_expect_balances(b, 1, 0, 7, 0, 0);
}

static void test_case_05_08__burned_id_again_in_the_batch(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event batch[] = {bench_transfer(100, 1, 77, 7), usd(100, 7), usd(101, 7)};
    bench_apply(b, batch, 3);
    EXPECT_RESULT(b, 0, CREDIT_ACCOUNT_NOT_FOUND);
    EXPECT_RESULT(b, 1, ID_ALREADY_FAILED);
    EXPECT_RESULT(b, 2, CREATED);
}

static void test_case_20__empty_batch(void **state) {
    bench_book *b = *state;
    bench_apply(b, NULL, 0);
    assert_int_equal(b->n_rows, 0);
}

static void test_zero_amount__is_created(void **state) {
    bench_book *b = *state;
    EXPECT(b, usd(100, 0), CREATED);
    bench_expect_balances(b, 1, 0, 0, 0, 0);
}

static void test_case_30_38__limit_is_exact(void **state) {
    bench_book *b = *state;
    bench_account(b, 3, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    EXPECT(b, bench_transfer(100, 1, 3, 100), CREATED);
    ledger_transfer_event hold = bench_transfer(101, 3, 2, 40);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT(b, hold, CREATED);
    // pending credits are not spendable
    ledger_transfer_event promise = bench_transfer(102, 1, 3, 1000);
    promise.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT(b, promise, CREATED);
    EXPECT(b, bench_transfer(103, 3, 2, 61), EXCEEDS_CREDITS);
    EXPECT(b, bench_transfer(104, 3, 2, 60), CREATED);
    EXPECT(b, bench_transfer(105, 3, 2, 1), EXCEEDS_CREDITS);
    EXPECT(b, bench_transfer(106, 3, 2, 0), CREATED);
    bench_expect_balances(b, 3, 40, 60, 1000, 100);

    bench_account(b, 4, LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS);
    EXPECT(b, bench_transfer(107, 4, 1, 10), CREATED);
    EXPECT(b, bench_transfer(108, 2, 4, 11), EXCEEDS_DEBITS);
    EXPECT(b, bench_transfer(109, 2, 4, 10), CREATED);
}

static void test_case_44__numbers_beyond_doubles(void **state) {
    bench_book *b = *state;
    const int64_t big = (INT64_C(1) << 53);
    bench_account(b, 3, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    EXPECT(b, bench_transfer(100, 1, 3, big), CREATED);
    EXPECT(b, bench_transfer(101, 3, 2, big + 1), EXCEEDS_CREDITS);
    EXPECT(b, bench_transfer(102, 3, 2, big), CREATED);
}

static void test_case_45_overflow_of_each_sum__before_the_limits(void **state) {
    bench_book *b = *state;
    const int64_t max = LEDGER_AMOUNT_MAX;
    ledger_transfer_event t;
    for (uint64_t n = 10; n < 30; n++) {
        bench_account(b, n, 0);
    }
    // Posted sums; the debit account comes first.
    EXPECT(b, bench_transfer(100, 10, 11, max), CREATED);
    EXPECT(b, bench_transfer(101, 10, 12, 1), OVERFLOWS_DEBITS_POSTED);
    EXPECT(b, bench_transfer(102, 12, 11, 1), OVERFLOWS_CREDITS_POSTED);
    EXPECT(b, bench_transfer(103, 10, 11, 1), OVERFLOWS_DEBITS_POSTED);
    // Pending sums.
    t = bench_transfer(104, 13, 14, max);
    t.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT(b, t, CREATED);
    t = bench_transfer(105, 13, 15, 1);
    t.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT(b, t, OVERFLOWS_DEBITS_PENDING);
    t = bench_transfer(106, 15, 14, 1);
    t.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT(b, t, OVERFLOWS_CREDITS_PENDING);
    // Pending plus posted.
    EXPECT(b, bench_transfer(107, 13, 15, 1), OVERFLOWS_DEBITS);
    EXPECT(b, bench_transfer(108, 15, 14, 1), OVERFLOWS_CREDITS);
    // Overflow wins over the limit.
    bench_account(b, 40, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    EXPECT(b, bench_transfer(109, 20, 40, max), CREATED);
    EXPECT(b, bench_transfer(110, 40, 21, max), CREATED);
    EXPECT(b, bench_transfer(111, 40, 21, 1), OVERFLOWS_DEBITS_POSTED);
    // None of the refusals burned its id.
    EXPECT(b, bench_transfer(101, 22, 23, 1), CREATED);
}

static void test_case_47__refusal_changes_nothing(void **state) {
    bench_book *b = *state;
    bench_account(b, 3, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    EXPECT(b, bench_transfer(100, 1, 3, 10), CREATED);
    ledger_account before[3];
    for (uint64_t n = 1; n <= 3; n++) {
        before[n - 1] = *(ledger_account *)map_get(b->accounts, bench_id(n));
    }
    const int64_t sequence = b->sequence;
    EXPECT(b, bench_transfer(101, 3, 2, 11), EXCEEDS_CREDITS);
    EXPECT(b, bench_transfer(102, 3, 3, 11), ACCOUNTS_MUST_BE_DIFFERENT);
    EXPECT(b, bench_transfer(103, 1, 9, 1), CREDIT_ACCOUNT_NOT_FOUND);
    for (uint64_t n = 1; n <= 3; n++) {
        assert_memory_equal(&before[n - 1], map_get(b->accounts, bench_id(n)), sizeof before[0]);
    }
    assert_int_equal(b->sequence, sequence);
}

static void test_case_65__times_grow_when_the_clock_steps_back(void **state) {
    bench_book *b = *state;
    EXPECT(b, usd(100, 1), CREATED);
    const int64_t first_us = b->results[0].row->timestamp_us;
    b->now_us = 17;
    EXPECT(b, usd(101, 1), CREATED);
    assert_int_equal(b->results[0].row->timestamp_us, first_us + 1);
    assert_int_equal(b->results[0].row->sequence, 2);
    bench_account(b, 3, 0);
    assert_int_equal(b->account_results[0].timestamp_us, first_us + 2);
}

static void test_statuses__have_names(void **state) {
    (void)state;
    for (int i = 1; i < (int)LEDGER_TRANSFER_STATUS_COUNT; i++) {
        assert_string_not_equal(ledger_transfer_status_name((ledger_transfer_status)i), "?");
    }
    for (int i = 1; i < (int)LEDGER_ACCOUNT_STATUS_COUNT; i++) {
        assert_string_not_equal(ledger_account_status_name((ledger_account_status)i), "?");
    }
    assert_string_equal(ledger_transfer_status_name((ledger_transfer_status)0), "?");
    assert_string_equal(ledger_transfer_status_name(LEDGER_TRANSFER_STATUS_COUNT), "?");
    assert_false(ledger_transfer_status_burns(LEDGER_TRANSFER_PENDING_TRANSFER_EXPIRED));
    assert_true(ledger_transfer_status_burns(LEDGER_TRANSFER_EXCEEDS_DEBITS));
}

#define T(f) cmocka_unit_test_setup_teardown(f, two_accounts, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_case_01_repeat__exists_with_the_first_time),
        T(test_case_02_repeat_differs__names_the_first_difference),
        T(test_case_04__repeat_comes_before_static_checks),
        T(test_case_05_transient_refusal__burns_the_id),
        T(test_case_06_static_refusal__spares_the_id),
        T(test_transfer__ledgers_of_the_accounts_differ__refused),
        T(test_case_08__same_id_twice_in_a_batch),
        T(test_case_05_08__burned_id_again_in_the_batch),
        T(test_case_20__empty_batch),
        T(test_zero_amount__is_created),
        T(test_case_30_38__limit_is_exact),
        T(test_case_44__numbers_beyond_doubles),
        T(test_case_45_overflow_of_each_sum__before_the_limits),
        T(test_case_47__refusal_changes_nothing),
        T(test_case_65__times_grow_when_the_clock_steps_back),
        T(test_statuses__have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
