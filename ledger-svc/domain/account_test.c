// Accounts: idempotency, precedence, chains.
#include "testing/bench_book.h"

static ledger_account_event usd(uint64_t id) {
    return (ledger_account_event){
        .id = bench_id(id), .code = 10, .currency = bench_currency("USD")};
}

#define EXPECT_ONE(b, event, wanted)                                                               \
    do {                                                                                           \
        const ledger_account_event one = (event);                                                  \
        bench_apply_accounts((b), &one, 1);                                                        \
        EXPECT_ACCOUNT((b), 0, wanted);                                                            \
    } while (0)

static void test_account__several_faults__the_topmost_is_named(void **state) {
    bench_book *b = *state;
    ledger_account_event a = {
        .id = bench_id(0),
        .flags = 0xffff,
        .timestamp_us = 1,
        .balances = {1, 1, 1, 1},
    };
    EXPECT_ONE(b, a, LINKED_EVENT_CHAIN_OPEN);
    a.flags = 0xfffe & ~(uint32_t)LEDGER_ACCOUNT_FLAG_IMPORTED;
    EXPECT_ONE(b, a, TIMESTAMP_MUST_BE_ZERO);
    a.timestamp_us = 0;
    EXPECT_ONE(b, a, RESERVED_FLAG);
    a.flags = 6;
    EXPECT_ONE(b, a, ID_MUST_NOT_BE_ZERO);
    a.id = bench_id(UINT64_MAX);
    EXPECT_ONE(b, a, ID_MUST_NOT_BE_INT_MAX);
    a.id = bench_id(1);
    EXPECT_ONE(b, a, FLAGS_ARE_MUTUALLY_EXCLUSIVE);
    a.flags = 2;
    EXPECT_ONE(b, a, DEBITS_PENDING_MUST_BE_ZERO);
    a.balances.debits_pending = 0;
    EXPECT_ONE(b, a, DEBITS_POSTED_MUST_BE_ZERO);
    a.balances.debits_posted = 0;
    EXPECT_ONE(b, a, CREDITS_PENDING_MUST_BE_ZERO);
    a.balances.credits_pending = 0;
    EXPECT_ONE(b, a, CREDITS_POSTED_MUST_BE_ZERO);
    a.balances.credits_posted = 0;
    EXPECT_ONE(b, a, LEDGER_MUST_NOT_BE_ZERO);
    a.currency = bench_currency("QQQ");
    EXPECT_ONE(b, a, LEDGER_MUST_NOT_BE_ZERO);
    a.currency = bench_currency("USD");
    EXPECT_ONE(b, a, CODE_MUST_NOT_BE_ZERO);
    a.code = 65536;
    EXPECT_ONE(b, a, CODE_MUST_NOT_BE_ZERO);
    a.code = 65535;
    EXPECT_ONE(b, a, CREATED);
}

static void test_repeat__names_the_first_difference(void **state) {
    bench_book *b = *state;
    ledger_account_event a = usd(1);
    a.user_data_128 = bench_id(9);
    EXPECT_ONE(b, a, CREATED);
    const int64_t first_us = b->account_results[0].timestamp_us;
    EXPECT_ONE(b, a, EXISTS);
    assert_int_equal(b->account_results[0].timestamp_us, first_us);
    ledger_account_event w = {
        .id = a.id, .flags = 2, .user_data_64 = 1, .user_data_32 = 1, .code = 1};
    EXPECT_ONE(b, w, EXISTS_WITH_DIFFERENT_FLAGS);
    w.flags = 0;
    EXPECT_ONE(b, w, EXISTS_WITH_DIFFERENT_USER_DATA_128);
    w.user_data_128 = a.user_data_128;
    EXPECT_ONE(b, w, EXISTS_WITH_DIFFERENT_USER_DATA_64);
    w.user_data_64 = 0;
    EXPECT_ONE(b, w, EXISTS_WITH_DIFFERENT_USER_DATA_32);
    w.user_data_32 = 0;
    EXPECT_ONE(b, w, EXISTS_WITH_DIFFERENT_LEDGER);
    w.currency = a.currency;
    EXPECT_ONE(b, w, EXISTS_WITH_DIFFERENT_CODE);
    assert_int_equal(b->account_results[0].timestamp_us, 0);
}

static void test_chain__all_or_none(void **state) {
    bench_book *b = *state;
    ledger_account_event batch[] = {usd(1), usd(2), usd(1)};
    batch[0].flags = batch[1].flags = LEDGER_ACCOUNT_FLAG_LINKED;
    batch[2].code = 0;
    bench_apply_accounts(b, batch, 3);
    EXPECT_ACCOUNT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_ACCOUNT(b, 1, LINKED_EVENT_FAILED);
    // the event sees the first one of its own chain
    EXPECT_ACCOUNT(b, 2, EXISTS_WITH_DIFFERENT_FLAGS);
    assert_int_equal(map_count(b->accounts), 0);
    batch[2] = usd(3);
    bench_apply_accounts(b, batch, 3);
    EXPECT_ACCOUNT(b, 0, CREATED);
    EXPECT_ACCOUNT(b, 1, CREATED);
    EXPECT_ACCOUNT(b, 2, CREATED);
    assert_true(b->account_results[0].timestamp_us < b->account_results[1].timestamp_us);
}

// A later event makes the same account as a failed chain before it.
static void test_case_09__later_event_does_not_see_the_failed_chain(void **state) {
    bench_book *b = *state;
    ledger_account_event batch[] = {usd(1), usd(2), usd(1)};
    batch[0].flags = LEDGER_ACCOUNT_FLAG_LINKED;
    batch[1].code = 0;
    bench_apply_accounts(b, batch, 3);
    EXPECT_ACCOUNT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_ACCOUNT(b, 1, CODE_MUST_NOT_BE_ZERO);
    EXPECT_ACCOUNT(b, 2, CREATED);
}

static void test_currencies__pack_and_unpack(void **state) {
    (void)state;
    char text[4];
    ledger_currency_text(bench_currency("JPY"), text);
    assert_string_equal(text, "JPY");
    assert_int_equal(bench_currency("usd"), 0);
    assert_int_equal(bench_currency("US"), 0);
    assert_int_equal(bench_currency("USDX"), 0);
    assert_int_equal(bench_currency(""), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_account__several_faults__the_topmost_is_named),
        T(test_repeat__names_the_first_difference),
        T(test_chain__all_or_none),
        T(test_case_09__later_event_does_not_see_the_failed_chain),
        T(test_currencies__pack_and_unpack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
