// Two-phase transfers: post, void, expiry.
#include "testing/bench_book.h"

static int two_accounts(void **state) {
    (void)bench_setup(state);
    bench_account(*state, 1, 0);
    bench_account(*state, 2, 0);
    return 0;
}

static ledger_transfer_event hold(uint64_t id, int64_t amount, uint32_t timeout_s) {
    ledger_transfer_event t = bench_transfer(id, 1, 2, amount);
    t.flags = LEDGER_TRANSFER_FLAG_PENDING;
    t.timeout_s = timeout_s;
    return t;
}

static void test_case_21__the_whole_life(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(1, 1, 2, 15), CREATED);
    EXPECT(b, hold(2, 15, 0), CREATED);
    EXPECT(b, hold(3, 15, 0), CREATED);
    EXPECT(b, hold(4, 15, 1), CREATED);
    EXPECT(b, hold(5, 7, 0), CREATED);
    EXPECT(b, hold(6, 1, 0), CREATED);
    EXPECT(b, hold(7, 1, 0), CREATED);
    bench_expect_balances(b, 1, 54, 15, 0, 0);
    bench_expect_balances(b, 2, 0, 0, 54, 15);

    EXPECT(b, bench_post(101, 2, 13), CREATED);
    assert_int_equal(b->results[0].row->amount, 13);
    EXPECT(b, bench_void(102, 3, 15), CREATED);
    b->now_us += 2000000;
    EXPECT(b, bench_post(103, 4, 15), PENDING_TRANSFER_EXPIRED);
    EXPECT(b, bench_post(104, 5, LEDGER_AMOUNT_MAX), CREATED);
    assert_int_equal(b->results[0].row->amount, 7);
    EXPECT(b, bench_post(105, 6, LEDGER_AMOUNT_MAX), CREATED);
    assert_int_equal(b->results[0].row->amount, 1);
    EXPECT(b, bench_post(106, 7, 0), CREATED);
    assert_int_equal(b->results[0].row->amount, 0);
    bench_expect_balances(b, 1, 0, 36, 0, 0);
    bench_expect_balances(b, 2, 0, 0, 0, 36);
}

static void test_case_22__how_much_can_be_posted(void **state) {
    bench_book *b = *state;
    EXPECT(b, hold(1, 10, 0), CREATED);
    EXPECT(b, bench_post(2, 1, 11), EXCEEDS_PENDING_TRANSFER_AMOUNT);
    EXPECT(b, bench_post(2, 1, 10), CREATED);
}

static void test_case_23__the_first_resolution_names_the_error(void **state) {
    bench_book *b = *state;
    EXPECT(b, hold(1, 10, 0), CREATED);
    EXPECT(b, hold(2, 10, 0), CREATED);
    EXPECT(b, hold(3, 10, 1), CREATED);
    EXPECT(b, bench_post(11, 1, 10), CREATED);
    EXPECT(b, bench_void(12, 2, 0), CREATED);
    b->now_us += 1000000000;
    EXPECT(b, bench_post(13, 1, 10), PENDING_TRANSFER_ALREADY_POSTED);
    EXPECT(b, bench_void(13, 1, 0), PENDING_TRANSFER_ALREADY_POSTED);
    EXPECT(b, bench_post(13, 2, 10), PENDING_TRANSFER_ALREADY_VOIDED);
    EXPECT(b, bench_void(13, 2, 0), PENDING_TRANSFER_ALREADY_VOIDED);
    EXPECT(b, bench_post(13, 3, 10), PENDING_TRANSFER_EXPIRED);
    EXPECT(b, bench_void(13, 3, 0), PENDING_TRANSFER_EXPIRED);
}

static void test_case_24__amount_of_a_void(void **state) {
    bench_book *b = *state;
    EXPECT(b, hold(1, 10, 0), CREATED);
    EXPECT(b, bench_void(2, 1, 9), PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT);
    EXPECT(b, bench_void(2, 1, 11), EXCEEDS_PENDING_TRANSFER_AMOUNT);
    EXPECT(b, bench_void(2, 1, 10), CREATED);
    EXPECT(b, hold(3, 10, 0), CREATED);
    EXPECT(b, bench_void(4, 3, 0), CREATED);
    assert_int_equal(b->results[0].row->amount, 10);
    bench_expect_balances(b, 1, 0, 0, 0, 0);
}

static void test_case_25__repeat_of_a_post(void **state) {
    bench_book *b = *state;
    EXPECT(b, hold(1, 10, 0), CREATED);
    EXPECT(b, hold(2, 10, 0), CREATED);
    EXPECT(b, bench_post(11, 1, 7), CREATED);
    EXPECT(b, bench_post(12, 2, LEDGER_AMOUNT_MAX), CREATED);
    EXPECT(b, bench_post(11, 1, 7), EXISTS);
    EXPECT(b, bench_post(11, 1, LEDGER_AMOUNT_MAX), EXISTS_WITH_DIFFERENT_AMOUNT);
    EXPECT(b, bench_post(11, 1, 8), EXISTS_WITH_DIFFERENT_AMOUNT);
    EXPECT(b, bench_post(11, 1, 6), EXISTS_WITH_DIFFERENT_AMOUNT);
    EXPECT(b, bench_post(12, 2, LEDGER_AMOUNT_MAX), EXISTS);
    EXPECT(b, bench_post(12, 2, 10), EXISTS);
    EXPECT(b, bench_post(12, 2, 11), EXISTS_WITH_DIFFERENT_AMOUNT);
    EXPECT(b, bench_post(12, 1, 10), EXISTS_WITH_DIFFERENT_PENDING_ID);
    EXPECT(b, bench_void(12, 2, 10), EXISTS_WITH_DIFFERENT_FLAGS);
}

static void test_repeat_of_a_void__and_fields_left_out(void **state) {
    bench_book *b = *state;
    ledger_transfer_event h = hold(1, 10, 0);
    h.user_data_128 = bench_id(7);
    h.user_data_64 = 7;
    h.user_data_32 = 7;
    EXPECT(b, h, CREATED);
    EXPECT(b, bench_void(2, 1, 0), CREATED);
    EXPECT(b, bench_void(2, 1, 0), EXISTS);
    EXPECT(b, bench_void(2, 1, 10), EXISTS);
    EXPECT(b, bench_void(2, 1, 9), EXISTS_WITH_DIFFERENT_AMOUNT);
    ledger_transfer_event v = bench_void(2, 1, 0);
    v.debit_account_id = bench_id(2);
    EXPECT(b, v, EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID);
    v.debit_account_id = bench_id(1);
    v.credit_account_id = bench_id(1);
    EXPECT(b, v, EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID);
    v.credit_account_id = bench_id(2);
    v.user_data_128 = bench_id(8);
    EXPECT(b, v, EXISTS_WITH_DIFFERENT_USER_DATA_128);
    v.user_data_128 = bench_id(7);
    v.user_data_64 = 8;
    EXPECT(b, v, EXISTS_WITH_DIFFERENT_USER_DATA_64);
    v.user_data_64 = 7;
    v.user_data_32 = 8;
    EXPECT(b, v, EXISTS_WITH_DIFFERENT_USER_DATA_32);
    v.user_data_32 = 7;
    v.currency = bench_currency("EUR");
    EXPECT(b, v, EXISTS_WITH_DIFFERENT_LEDGER);
    v.currency = bench_currency("USD");
    v.code = 2;
    EXPECT(b, v, EXISTS_WITH_DIFFERENT_CODE);
    v.code = 1;
    EXPECT(b, v, EXISTS);
}

static void test_case_26__what_cannot_be_posted(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(1, 1, 2, 5), CREATED);
    EXPECT(b, bench_post(2, 1, 5), PENDING_TRANSFER_NOT_PENDING);
    EXPECT(b, bench_post(3, 999, 5), PENDING_TRANSFER_NOT_FOUND);
    EXPECT(b, bench_post(3, 1, 5), ID_ALREADY_FAILED);
    EXPECT(b, bench_post(4, 4, 5), PENDING_ID_MUST_BE_DIFFERENT);
    EXPECT(b, bench_post(4, 0, 5), PENDING_ID_MUST_NOT_BE_ZERO);
    EXPECT(b, bench_post(4, UINT64_MAX, 5), PENDING_ID_MUST_NOT_BE_INT_MAX);
    ledger_transfer_event t = bench_post(4, 1, 5);
    t.timeout_s = 1;
    EXPECT(b, t, TIMEOUT_RESERVED_FOR_PENDING_TRANSFER);
    const uint32_t pairs[] = {LEDGER_TRANSFER_FLAG_POST | LEDGER_TRANSFER_FLAG_VOID,
                              LEDGER_TRANSFER_FLAG_POST | LEDGER_TRANSFER_FLAG_PENDING,
                              LEDGER_TRANSFER_FLAG_VOID | LEDGER_TRANSFER_FLAG_PENDING,
                              LEDGER_TRANSFER_FLAG_POST | LEDGER_TRANSFER_FLAG_VOID |
                                  LEDGER_TRANSFER_FLAG_PENDING};
    for (size_t i = 0; i < 4; i++) {
        t.flags = pairs[i];
        EXPECT(b, t, FLAGS_ARE_MUTUALLY_EXCLUSIVE);
    }
}

static void test_case_27__post_that_contradicts_its_pending(void **state) {
    bench_book *b = *state;
    EXPECT(b, hold(1, 10, 0), CREATED);
    ledger_transfer_event p = bench_post(2, 1, 99);
    p.debit_account_id = bench_id(2);
    p.credit_account_id = bench_id(1);
    p.currency = bench_currency("EUR");
    p.code = 9;
    EXPECT(b, p, PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID);
    p.debit_account_id = bench_id(1);
    EXPECT(b, p, PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID);
    p.credit_account_id = bench_id(2);
    EXPECT(b, p, PENDING_TRANSFER_HAS_DIFFERENT_LEDGER);
    p.currency = bench_currency("USD");
    EXPECT(b, p, PENDING_TRANSFER_HAS_DIFFERENT_CODE);
    p.code = 1;
    EXPECT(b, p, EXCEEDS_PENDING_TRANSFER_AMOUNT);
    p.amount = 10;
    EXPECT(b, p, CREATED);
}

static void test_case_28__user_data_is_inherited_or_replaced(void **state) {
    bench_book *b = *state;
    ledger_transfer_event h = hold(1, 10, 0);
    h.user_data_64 = 7;
    h.user_data_32 = 8;
    EXPECT(b, h, CREATED);
    ledger_transfer_event p = bench_post(2, 1, 10);
    p.user_data_32 = 9;
    EXPECT(b, p, CREATED);
    assert_int_equal(b->results[0].row->user_data_64, 7);
    assert_int_equal(b->results[0].row->user_data_32, 9);
    assert_int_equal(((ledger_row *)map_get(b->transfers, bench_id(1)))->user_data_32, 8);
    EXPECT(b, p, EXISTS);
}

static void test_case_29__the_largest_amount(void **state) {
    bench_book *b = *state;
    EXPECT(b, hold(1, LEDGER_AMOUNT_MAX, 0), CREATED);
    EXPECT(b, bench_post(2, 1, LEDGER_AMOUNT_MAX), CREATED);
    bench_expect_balances(b, 1, 0, LEDGER_AMOUNT_MAX, 0, 0);
    bench_expect_balances(b, 2, 0, 0, 0, LEDGER_AMOUNT_MAX);
}

static void test_case_31__expiry_releases_step_by_step(void **state) {
    bench_book *b = *state;
    const int64_t start_us = b->now_us = 10000000;
    const ledger_transfer_event batch[] = {hold(10, 10, 0), hold(11, 11, 1), hold(12, 12, 2),
                                           hold(13, 13, 3)};
    bench_apply(b, batch, 4);
    bench_expect_balances(b, 1, 46, 0, 0, 0);
    const int64_t left[] = {35, 23, 10};
    for (int64_t s = 1; s <= 3; s++) {
        b->now_us = start_us + s * 1000000 + 10;
        bench_apply(b, NULL, 0);
        bench_expect_balances(b, 1, left[s - 1], 0, 0, 0);
        bench_expect_balances(b, 2, 0, 0, left[s - 1], 0);
        assert_int_equal(b->n_rows, 1);
        assert_int_equal(b->rows[0].kind, LEDGER_KIND_EXPIRE);
        assert_true(uuid_is_nil(b->rows[0].id));
        assert_int_equal(b->rows[0].debit_after.debits_pending, left[s - 1]); // case 37
    }
    assert_int_equal(b->next_expires_us, LEDGER_NEVER_US);
    EXPECT(b, bench_post(20, 10, 10), CREATED);
    for (uint64_t id = 11; id <= 13; id++) {
        EXPECT(b, bench_post(id + 10, id, LEDGER_AMOUNT_MAX), PENDING_TRANSFER_EXPIRED);
        assert_int_equal(b->n_rows, 0);
    }
    b->now_us += 100000000;
    bench_apply(b, NULL, 0);
    assert_int_equal(b->n_rows, 0); // released only once
    bench_expect_balances(b, 1, 0, 10, 0, 0);
}

static void test_case_32_33__exact_without_the_sweeper(void **state) {
    bench_book *b = *state;
    b->now_us = 10000000;
    EXPECT(b, hold(1, 10, 1), CREATED);
    EXPECT(b, hold(2, 10, 1), CREATED);
    const int64_t expires_us = ((ledger_row *)map_get(b->transfers, bench_id(1)))->expires_us;
    assert_int_equal(expires_us, 11000000);
    // The posting transfer's own time decides, not the time of the batch: two transfers before it move its time to the very microsecond.
    b->now_us = expires_us - 2;
    const ledger_transfer_event batch[] = {bench_transfer(3, 1, 2, 1), bench_transfer(4, 1, 2, 1),
                                           bench_post(5, 1, 10)};
    bench_apply(b, batch, 3);
    EXPECT_RESULT(b, 0, CREATED);
    EXPECT_RESULT(b, 1, CREATED);
    EXPECT_RESULT(b, 2, PENDING_TRANSFER_EXPIRED);
    bench_expect_balances(b, 1, 20, 2, 0, 0); // refused, though the release is not written yet …
    bench_apply(b, NULL, 0);
    // … then it is, once; the other hold expires a microsecond later
    bench_expect_balances(b, 1, 10, 2, 0, 0);
    b->now_us = expires_us + 1;
    bench_apply(b, NULL, 0);
    bench_expect_balances(b, 1, 0, 2, 0, 0);
}

static void test_case_32__one_tick_before(void **state) {
    bench_book *b = *state;
    b->now_us = 10000000;
    EXPECT(b, hold(1, 10, 1), CREATED);
    b->now_us = 10999999;
    EXPECT(b, bench_post(2, 1, 10), CREATED);
    assert_int_equal(b->results[0].row->timestamp_us, 10999999);
}

static void test_case_34__timeout_that_overflows(void **state) {
    bench_book *b = *state;
    b->timestamp_us = INT64_MAX - 1000;
    EXPECT(b, hold(1, 10, 1), OVERFLOWS_TIMEOUT);
    EXPECT(b, hold(1, 10, 0), CREATED);
}

// Checked after the sums and before the limits, so the refusal burns no id.
static void test_case_34_timeout_that_overflows__its_place_among_the_refusals(void **state) {
    bench_book *b = *state;
    bench_account(b, 3, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    bench_account(b, 4, LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS);
    b->timestamp_us = INT64_MAX - 1000;
    EXPECT(b, hold(1, 1, 0), CREATED);
    EXPECT(b, hold(2, LEDGER_AMOUNT_MAX - 1, 1), OVERFLOWS_TIMEOUT);
    EXPECT(b, hold(2, LEDGER_AMOUNT_MAX, 1), OVERFLOWS_DEBITS_PENDING);
    ledger_transfer_event too_much = hold(3, 10, 1);
    too_much.debit_account_id = bench_id(3);
    EXPECT(b, too_much, OVERFLOWS_TIMEOUT);
    too_much.timeout_s = 0;
    EXPECT(b, too_much, EXCEEDS_CREDITS);
    too_much = hold(4, 10, 1);
    too_much.credit_account_id = bench_id(4);
    EXPECT(b, too_much, OVERFLOWS_TIMEOUT);
    too_much.timeout_s = 0;
    EXPECT(b, too_much, EXCEEDS_DEBITS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, two_accounts, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_case_21__the_whole_life),
        T(test_case_22__how_much_can_be_posted),
        T(test_case_23__the_first_resolution_names_the_error),
        T(test_case_24__amount_of_a_void),
        T(test_case_25__repeat_of_a_post),
        T(test_repeat_of_a_void__and_fields_left_out),
        T(test_case_26__what_cannot_be_posted),
        T(test_case_27__post_that_contradicts_its_pending),
        T(test_case_28__user_data_is_inherited_or_replaced),
        T(test_case_29__the_largest_amount),
        T(test_case_31__expiry_releases_step_by_step),
        T(test_case_32_33__exact_without_the_sweeper),
        T(test_case_32__one_tick_before),
        T(test_case_34__timeout_that_overflows),
        T(test_case_34_timeout_that_overflows__its_place_among_the_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
