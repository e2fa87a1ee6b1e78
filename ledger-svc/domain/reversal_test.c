// Reversals: once, in full, and only of moved amounts.
#include "testing/bench_book.h"

enum {
    DC = LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS,
    CD = LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS,
    LNK = LEDGER_TRANSFER_FLAG_LINKED,
};

// 1 has no limit, 2 and 3 may not be overdrawn, 4 may not owe.
static int accounts(void **state) {
    (void)bench_setup(state);
    bench_account(*state, 1, 0);
    bench_account(*state, 2, DC);
    bench_account(*state, 3, DC);
    bench_account(*state, 4, CD);
    return 0;
}

static ledger_transfer_event linked(ledger_transfer_event t) {
    t.flags |= LNK;
    return t;
}

static ledger_transfer_event forced(ledger_transfer_event t) {
    t.flags |= LEDGER_TRANSFER_FLAG_FORCED;
    return t;
}

static void test_case_58__reversed_once(void **state) {
    bench_book *b = *state;
    ledger_transfer_event t = bench_transfer(1, 1, 2, 30);
    t.user_data_64 = 7;
    t.code = 9;
    EXPECT(b, t, CREATED);
    EXPECT(b, bench_reversal(10, 1), CREATED);
    const ledger_row *row = b->results[0].row;
    const int64_t sequence = row->sequence;
    assert_true(uuid_eq(row->debit_account_id, bench_id(2)));
    assert_true(uuid_eq(row->credit_account_id, bench_id(1)));
    assert_true(uuid_eq(row->reverses_id, bench_id(1)));
    assert_int_equal(row->amount, 30);
    assert_int_equal(row->user_data_64, 7);
    assert_int_equal(row->code, 9);
    bench_expect_balances(b, 1, 0, 30, 0, 30);
    bench_expect_balances(b, 2, 0, 30, 0, 30);
    EXPECT(b, bench_reversal(11, 1), ALREADY_REVERSED);
    assert_int_equal(b->results[0].row->sequence, sequence);
    EXPECT(b, bench_reversal(10, 1), EXISTS);
    assert_int_equal(b->results[0].row->sequence, sequence);
    EXPECT(b, bench_reversal(11, 1), ALREADY_REVERSED); // burns no id
    EXPECT(b, bench_transfer(11, 1, 2, 1), CREATED);
}

static void test_many_at_once__one_created(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(1, 1, 2, 30), CREATED);
    ledger_transfer_event batch[BENCH_BATCH_MAX];
    for (uint64_t k = 0; k < BENCH_BATCH_MAX; k++) {
        batch[k] = bench_reversal(100 + k / 2, 1);
    }
    bench_apply(b, batch, BENCH_BATCH_MAX);
    EXPECT_RESULT(b, 0, CREATED);
    EXPECT_RESULT(b, 1, EXISTS);
    for (size_t k = 2; k < BENCH_BATCH_MAX; k++) {
        EXPECT_RESULT(b, k, ALREADY_REVERSED);
        assert_ptr_equal(b->results[k].row, b->results[0].row);
    }
    bench_expect_balances(b, 1, 0, 30, 0, 30);
}

static void test_reversal__of_what_cannot_be_reversed__refused(void **state) {
    bench_book *b = *state;
    ledger_transfer_event hold = bench_transfer(1, 1, 2, 30);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT(b, hold, CREATED);
    EXPECT(b, bench_reversal(10, 1), REVERSED_TRANSFER_IS_PENDING);
    EXPECT(b, bench_void(2, 1, 0), CREATED);
    EXPECT(b, bench_reversal(10, 1), REVERSED_TRANSFER_IS_PENDING);
    EXPECT(b, bench_reversal(10, 2), REVERSED_TRANSFER_IS_VOID);
    EXPECT(b, bench_reversal(10, 99), REVERSED_TRANSFER_NOT_FOUND);
    EXPECT(b, bench_transfer(99, 1, 2, 1), CREATED);
    EXPECT(b, bench_reversal(10, 99), ID_ALREADY_FAILED);
    EXPECT(b, bench_reversal(11, 99), CREATED);
}

static void test_reversal__several_faults__the_topmost_is_named(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(1, 1, 2, 30), CREATED);
    ledger_transfer_event r = bench_reversal(0, 1);
    r.timestamp_us = 1;
    r.flags = LEDGER_TRANSFER_FLAG_PENDING;
    r.code = 65536;
    EXPECT(b, r, TIMESTAMP_MUST_BE_ZERO);
    r.timestamp_us = 0;
    EXPECT(b, r, RESERVED_FLAG);
    r.flags = 0;
    EXPECT(b, r, ID_MUST_NOT_BE_ZERO);
    r.id = bench_id(1);
    EXPECT(b, r, EXISTS_WITH_DIFFERENT_REVERSES_ID);
    r.id = bench_id(10);
    EXPECT(b, r, CODE_MUST_NOT_BE_ZERO);
    r.code = 5;
    EXPECT(b, r, CREATED);
    r.code = 6;
    EXPECT(b, r, EXISTS_WITH_DIFFERENT_CODE);
    r.code = 0;
    EXPECT(b, r, EXISTS_WITH_DIFFERENT_CODE);
    r.code = 5;
    EXPECT(b, r, EXISTS);
    EXPECT(b, forced(r), EXISTS_WITH_DIFFERENT_FLAGS);
    r.user_data_32 = 1;
    EXPECT(b, r, EXISTS_WITH_DIFFERENT_USER_DATA_32);
    r.user_data_32 = 0;
    r.external_reference = STR("other");
    EXPECT(b, r, EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE);
    // A plain transfer with all fields of the reversal is still a different request.
    ledger_transfer_event same = bench_transfer(10, 2, 1, 30);
    same.code = 5;
    EXPECT(b, same, EXISTS_WITH_DIFFERENT_REVERSES_ID);
    EXPECT(b, bench_transfer(2, 1, 2, 30), CREATED);
    EXPECT(b, bench_reversal(10, 2), EXISTS_WITH_DIFFERENT_REVERSES_ID); // case 13
}

static void test_post_in_part__reversed_by_what_it_moved(void **state) {
    bench_book *b = *state;
    ledger_transfer_event hold = bench_transfer(1, 1, 2, 30);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT(b, hold, CREATED);
    EXPECT(b, bench_post(2, 1, 20), CREATED);
    EXPECT(b, bench_reversal(10, 2), CREATED);
    assert_int_equal(b->results[0].row->amount, 20);
    bench_expect_balances(b, 1, 0, 20, 0, 20);
    bench_expect_balances(b, 2, 0, 20, 0, 20);
}

static void test_case_58_money_has_moved_on__refused_unless_forced(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(1, 1, 2, 30), CREATED);
    EXPECT(b, bench_transfer(2, 2, 3, 30), CREATED);
    EXPECT(b, bench_reversal(10, 1), EXCEEDS_CREDITS);
    EXPECT(b, forced(bench_reversal(10, 1)), ID_ALREADY_FAILED);
    EXPECT(b, forced(bench_reversal(11, 1)), CREATED);
    assert_int_equal(b->results[0].row->debit_state_after, LEDGER_STATE_OVER_LIMIT);
    assert_int_equal(b->results[0].row->credit_state_after, 0);
    bench_expect_state(b, 2, LEDGER_STATE_OVER_LIMIT);
    // the limit holds for everything but the reversal
    EXPECT(b, bench_transfer(3, 2, 3, 1), EXCEEDS_CREDITS);
    EXPECT(b, bench_transfer(4, 1, 2, 29), CREATED);
    bench_expect_state(b, 2, LEDGER_STATE_OVER_LIMIT);
    EXPECT(b, bench_transfer(5, 1, 2, 1), CREATED);
    bench_expect_state(b, 2, 0);
}

static void test_case_58__pass_through_account(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(1, 1, 2, 30), CREATED);
    EXPECT(b, bench_transfer(2, 2, 3, 30), CREATED);
    // the last one first; its money is then back for the other reversal
    EXPECT(b, bench_reversal(11, 2), CREATED);
    EXPECT(b, bench_reversal(12, 1), CREATED);
    bench_expect_balances(b, 2, 0, 60, 0, 60);
    bench_expect_balances(b, 3, 0, 30, 0, 30);
}

static void test_reversal__forced__does_not_open_what_is_closed(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(1, 1, 2, 30), CREATED);
    ledger_transfer_event close = bench_transfer(2, 2, 1, 0);
    close.flags = LEDGER_TRANSFER_FLAG_PENDING | LEDGER_TRANSFER_FLAG_CLOSING_DEBIT;
    EXPECT(b, close, CREATED);
    EXPECT(b, forced(bench_reversal(10, 1)), DEBIT_ACCOUNT_ALREADY_CLOSED);
    EXPECT(b, bench_void(3, 2, 0), CREATED);
    EXPECT(b, bench_reversal(11, 1), CREATED);
}

static void test_reversal__of_a_group__together_or_not_at_all(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event group[] = {linked(bench_transfer(1, 1, 2, 30)),
                                           linked(bench_transfer(2, 2, 3, 10)),
                                           bench_transfer(3, 2, 3, 5)};
    bench_apply(b, group, 3);
    EXPECT_RESULT(b, 2, CREATED);
    EXPECT(b, bench_transfer(4, 3, 1, 12), CREATED); // 3 has 3 left
    const ledger_transfer_event back[] = {linked(bench_reversal(13, 3)),
                                          linked(bench_reversal(12, 2)), bench_reversal(11, 1)};
    bench_apply(b, back, 3);
    EXPECT_RESULT(b, 0, EXCEEDS_CREDITS);
    EXPECT_RESULT(b, 1, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 2, LINKED_EVENT_FAILED);
    const ledger_transfer_event again[] = {linked(forced(bench_reversal(23, 3))),
                                           linked(forced(bench_reversal(22, 2))),
                                           forced(bench_reversal(21, 1))};
    bench_apply(b, again, 3);
    for (size_t k = 0; k < 3; k++) {
        EXPECT_RESULT(b, k, CREATED);
    }
    bench_apply(b, again, 3); // the same again: each exists
    for (size_t k = 0; k < 3; k++) {
        EXPECT_RESULT(b, k, EXISTS);
        assert_non_null(b->results[k].row);
    }
    EXPECT(b, bench_reversal(30, 2), ALREADY_REVERSED);
}

static void test_reversal__of_a_group_that_fails__leaves_all_as_it_was(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(1, 1, 2, 30), CREATED);
    const ledger_transfer_event twice[] = {linked(bench_reversal(10, 1)), bench_reversal(11, 1)};
    bench_apply(b, twice, 2);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, ALREADY_REVERSED);
    assert_null(b->results[1].row); // the earlier reversal was undone with the chain
    bench_expect_balances(b, 2, 0, 0, 0, 30);
    EXPECT(b, bench_reversal(10, 1), CREATED);
}

static void test_reversal__of_a_reversal__is_possible(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(1, 1, 2, 30), CREATED);
    EXPECT(b, bench_reversal(10, 1), CREATED);
    EXPECT(b, bench_reversal(20, 10), CREATED);
    bench_expect_balances(b, 2, 0, 30, 0, 60);
    EXPECT(b, bench_reversal(30, 1), ALREADY_REVERSED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, accounts, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_case_58__reversed_once),
        T(test_many_at_once__one_created),
        T(test_reversal__of_what_cannot_be_reversed__refused),
        T(test_reversal__several_faults__the_topmost_is_named),
        T(test_post_in_part__reversed_by_what_it_moved),
        T(test_case_58_money_has_moved_on__refused_unless_forced),
        T(test_case_58__pass_through_account),
        T(test_reversal__forced__does_not_open_what_is_closed),
        T(test_reversal__of_a_group__together_or_not_at_all),
        T(test_reversal__of_a_group_that_fails__leaves_all_as_it_was),
        T(test_reversal__of_a_reversal__is_possible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
