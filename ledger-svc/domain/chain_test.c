// Linked chains: all or nothing, exactly.
#include "testing/bench_book.h"

static int three_accounts(void **state) {
    (void)bench_setup(state);
    bench_account(*state, 1, 0);
    bench_account(*state, 2, 0);
    bench_account(*state, 3, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    return 0;
}

static ledger_transfer_event linked(ledger_transfer_event t) {
    t.flags |= LEDGER_TRANSFER_FLAG_LINKED;
    return t;
}

static void test_case_03__linked_is_a_flag(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event batch[] = {linked(bench_transfer(100, 1, 2, 1)),
                                           bench_transfer(101, 1, 2, 1)};
    bench_apply(b, batch, 2);
    EXPECT_RESULT(b, 0, CREATED);
    EXPECT(b, bench_transfer(100, 1, 2, 1), EXISTS_WITH_DIFFERENT_FLAGS);
}

static void test_case_07_rolled_back_ids_are_free__the_failed_one_is_burned(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event batch[] = {linked(bench_transfer(100, 1, 2, 5)),
                                           linked(bench_transfer(101, 3, 2, 5)),
                                           bench_transfer(102, 1, 2, 5)};
    bench_apply(b, batch, 3);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, EXCEEDS_CREDITS);
    EXPECT_RESULT(b, 2, LINKED_EVENT_FAILED);
    bench_expect_balances(b, 1, 0, 0, 0, 0);
    EXPECT(b, bench_transfer(100, 1, 2, 6), CREATED);
    EXPECT(b, bench_transfer(101, 1, 2, 6), ID_ALREADY_FAILED);
    EXPECT(b, bench_transfer(102, 1, 2, 6), CREATED);
    bench_expect_balances(b, 1, 0, 12, 0, 0);
}

static void test_case_08_duplicate_in_a_chain__breaks_it(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event batch[] = {linked(bench_transfer(100, 1, 2, 5)),
                                           linked(bench_transfer(100, 1, 2, 5)),
                                           bench_transfer(101, 1, 2, 5)};
    bench_apply(b, batch, 3);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, EXISTS);
    EXPECT_RESULT(b, 2, LINKED_EVENT_FAILED);
    bench_expect_balances(b, 1, 0, 0, 0, 0);
}

static void test_case_09__later_event_does_not_see_the_failed_chain(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event batch[] = {
        linked(bench_transfer(100, 1, 3, 50)), bench_transfer(101, 1, 1, 5),
        bench_transfer(102, 3, 2, 1), bench_transfer(100, 1, 2, 9)};
    bench_apply(b, batch, 4);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, ACCOUNTS_MUST_BE_DIFFERENT);
    EXPECT_RESULT(b, 2, EXCEEDS_CREDITS);
    EXPECT_RESULT(b, 3, CREATED);
    assert_int_equal(b->n_rows, 1);
    assert_int_equal(b->rows[0].sequence, 1);
}

static void test_case_15__ok_fail_ok(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event batch[] = {linked(bench_transfer(100, 1, 2, 5)),
                                           linked(bench_transfer(101, 1, 1, 5)),
                                           bench_transfer(102, 1, 2, 5)};
    bench_apply(b, batch, 3);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, ACCOUNTS_MUST_BE_DIFFERENT);
    EXPECT_RESULT(b, 2, LINKED_EVENT_FAILED);
    assert_null(b->results[0].row);
    assert_int_equal(b->n_rows, 0);
    assert_int_equal(b->sequence, 0);
}

static void test_case_16__open_chain(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event batch[] = {linked(bench_transfer(100, 1, 2, 5)),
                                           linked(bench_transfer(101, 1, 2, 5))};
    bench_apply(b, batch, 2);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, LINKED_EVENT_CHAIN_OPEN);
    EXPECT(b, linked(bench_transfer(102, 1, 2, 5)), LINKED_EVENT_CHAIN_OPEN);
    bench_expect_balances(b, 1, 0, 0, 0, 0);
}

static void test_case_17__open_chain_that_had_failed(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event batch[] = {linked(bench_transfer(100, 1, 2, 5)),
                                           linked(bench_transfer(101, 1, 1, 5)),
                                           linked(bench_transfer(102, 1, 2, 5))};
    bench_apply(b, batch, 3);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, ACCOUNTS_MUST_BE_DIFFERENT);
    EXPECT_RESULT(b, 2, LINKED_EVENT_CHAIN_OPEN);
}

static void test_case_18__two_chains_are_independent(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event batch[] = {
        linked(bench_transfer(100, 1, 2, 5)), bench_transfer(101, 1, 1, 5),
        linked(bench_transfer(102, 1, 2, 7)), bench_transfer(103, 1, 2, 7)};
    bench_apply(b, batch, 4);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, ACCOUNTS_MUST_BE_DIFFERENT);
    EXPECT_RESULT(b, 2, CREATED);
    EXPECT_RESULT(b, 3, CREATED);
    bench_expect_balances(b, 1, 0, 14, 0, 0);
    assert_int_equal(b->results[2].row->sequence, 1);
}

static void test_case_19__members_see_each_other(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event fund_and_spend[] = {linked(bench_transfer(100, 1, 3, 5)),
                                                    bench_transfer(101, 3, 2, 5)};
    bench_apply(b, fund_and_spend, 2);
    EXPECT_RESULT(b, 0, CREATED);
    EXPECT_RESULT(b, 1, CREATED);
    const ledger_transfer_event spend_and_fund[] = {linked(bench_transfer(102, 3, 2, 5)),
                                                    bench_transfer(103, 1, 3, 5)};
    bench_apply(b, spend_and_fund, 2);
    EXPECT_RESULT(b, 0, EXCEEDS_CREDITS);
    EXPECT_RESULT(b, 1, LINKED_EVENT_FAILED);
}

// A chain that reserves, posts and voids, and then fails, leaves no trace.
static void test_chain__fails__two_phase_is_rolled_back(void **state) {
    bench_book *b = *state;
    ledger_transfer_event hold = bench_transfer(100, 1, 2, 10);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    hold.timeout_s = 60;
    EXPECT(b, hold, CREATED);
    const int64_t next_us = b->next_expires_us;
    ledger_transfer_event inner = bench_transfer(101, 1, 2, 3);
    inner.flags = LEDGER_TRANSFER_FLAG_PENDING;
    inner.timeout_s = 1;
    const ledger_transfer_event batch[] = {linked(bench_post(102, 100, 4)), linked(inner),
                                           linked(bench_void(103, 101, 0)),
                                           bench_transfer(104, 1, 1, 1)};
    bench_apply(b, batch, 4);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 2, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 3, ACCOUNTS_MUST_BE_DIFFERENT);
    bench_expect_balances(b, 1, 10, 0, 0, 0);
    bench_expect_balances(b, 2, 0, 0, 10, 0);
    assert_int_equal(b->next_expires_us, next_us);
    assert_int_equal(b->sequence, 1);
    EXPECT(b, bench_post(102, 100, 4), CREATED);
    EXPECT(b, bench_void(103, 101, 0), PENDING_TRANSFER_NOT_FOUND);
    bench_expect_balances(b, 1, 0, 4, 0, 0);
}

static void test_chain_of_posts__all_or_none(void **state) {
    bench_book *b = *state;
    for (uint64_t id = 100; id < 103; id++) {
        ledger_transfer_event hold = bench_transfer(id, 1, 2, 10);
        hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
        EXPECT(b, hold, CREATED);
    }
    EXPECT(b, bench_void(110, 102, 0), CREATED);
    ledger_transfer_event batch[] = {linked(bench_post(111, 100, LEDGER_AMOUNT_MAX)),
                                     linked(bench_post(112, 101, LEDGER_AMOUNT_MAX)),
                                     bench_post(113, 102, LEDGER_AMOUNT_MAX)};
    bench_apply(b, batch, 3);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 2, PENDING_TRANSFER_ALREADY_VOIDED);
    bench_expect_balances(b, 1, 20, 0, 0, 0);
    batch[1].flags &= ~(uint32_t)LEDGER_TRANSFER_FLAG_LINKED;
    bench_apply(b, batch, 2);
    EXPECT_RESULT(b, 0, CREATED);
    EXPECT_RESULT(b, 1, CREATED);
    bench_expect_balances(b, 1, 0, 20, 0, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, three_accounts, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_case_03__linked_is_a_flag),
        T(test_case_07_rolled_back_ids_are_free__the_failed_one_is_burned),
        T(test_case_08_duplicate_in_a_chain__breaks_it),
        T(test_case_09__later_event_does_not_see_the_failed_chain),
        T(test_case_15__ok_fail_ok),
        T(test_case_16__open_chain),
        T(test_case_17__open_chain_that_had_failed),
        T(test_case_18__two_chains_are_independent),
        T(test_case_19__members_see_each_other),
        T(test_chain__fails__two_phase_is_rolled_back),
        T(test_chain_of_posts__all_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
