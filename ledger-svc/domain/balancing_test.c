// Balancing transfers, credit lines and closing: cases that depend on the state of the accounts.
#include "testing/bench_book.h"

enum {
    DC = LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS,
    CD = LEDGER_ACCOUNT_FLAG_CREDITS_MUST_NOT_EXCEED_DEBITS,
    BDR = LEDGER_TRANSFER_FLAG_BALANCING_DEBIT,
    BCR = LEDGER_TRANSFER_FLAG_BALANCING_CREDIT,
    PEN = LEDGER_TRANSFER_FLAG_PENDING,
    LNK = LEDGER_TRANSFER_FLAG_LINKED,
    CLOSE_DR = LEDGER_TRANSFER_FLAG_CLOSING_DEBIT,
    CLOSE_CR = LEDGER_TRANSFER_FLAG_CLOSING_CREDIT,
};

static ledger_transfer_event with(ledger_transfer_event t, uint32_t flags) {
    t.flags |= flags;
    return t;
}

static ledger_transfer_event move(uint64_t id, uint64_t debit, uint64_t credit, int64_t amount,
                                  uint32_t flags) {
    return with(bench_transfer(id, debit, credit, amount), flags);
}

// Accounts: 1 may not be overdrawn, 2 may not owe, 3 has no limit.
static int three_accounts(void **state) {
    (void)bench_setup(state);
    bench_account(*state, 1, DC);
    bench_account(*state, 2, CD);
    bench_account(*state, 3, 0);
    return 0;
}

static void expect_amount(const bench_book *b, int64_t amount) {
    assert_int_equal(b->results[0].row->amount, amount);
}

// --- Balancing -------------------------------------------------------------------------------------------------------

static void test_case_39__balancing_debit(void **state) {
    bench_book *b = *state;
    EXPECT(b, move(1, 3, 1, 10, 0), CREATED);
    EXPECT(b, move(2, 1, 3, 1, PEN), CREATED);
    EXPECT(b, move(3, 1, 3, 3, BDR), CREATED);
    expect_amount(b, 3);
    EXPECT(b, move(4, 1, 3, 13, BDR), CREATED);
    expect_amount(b, 6);
    EXPECT(b, move(5, 1, 3, 1, BDR), CREATED);
    expect_amount(b, 0);
    bench_expect_balances(b, 1, 1, 9, 0, 10);
    EXPECT(b, move(4, 1, 3, 13, BDR), EXISTS);
    EXPECT(b, move(4, 1, 3, 6, BDR), EXISTS);
    EXPECT(b, move(4, 1, 3, LEDGER_AMOUNT_MAX, BDR), EXISTS);
    EXPECT(b, move(4, 1, 3, 5, BDR), EXISTS_WITH_DIFFERENT_AMOUNT);
}

static void test_balancing__account_without_a_limit__its_debits_count(void **state) {
    bench_book *b = *state;
    EXPECT(b, move(1, 3, 1, 10, 0), CREATED); // 3 is below zero: no money to move
    EXPECT(b, move(2, 3, 1, 10, BDR), CREATED);
    expect_amount(b, 0);
}

static void test_case_40__the_other_side_may_still_refuse(void **state) {
    bench_book *b = *state;
    EXPECT(b, move(1, 2, 3, 10, 0), CREATED);
    EXPECT(b, move(2, 1, 2, 10, BCR), EXCEEDS_CREDITS);
    EXPECT(b, move(2, 3, 2, 10, BCR), ID_ALREADY_FAILED);
    EXPECT(b, move(3, 3, 2, 20, BCR), CREATED);
    expect_amount(b, 10);
}

static void test_case_41_both_sides__the_smaller(void **state) {
    bench_book *b = *state;
    EXPECT(b, move(1, 3, 1, 20, 0), CREATED);
    EXPECT(b, move(2, 2, 3, 10, 0), CREATED);
    const int64_t asked[] = {1, 12, 1};
    const int64_t moved[] = {1, 9, 0};
    for (uint64_t k = 0; k < 3; k++) {
        EXPECT(b, move(3 + k, 1, 2, asked[k], BDR | BCR), CREATED);
        expect_amount(b, moved[k]);
    }
}

static void test_case_42__balancing_pending(void **state) {
    bench_book *b = *state;
    EXPECT(b, move(1, 3, 1, 10, 0), CREATED);
    EXPECT(b, move(2, 1, 3, 3, PEN | BDR), CREATED);
    expect_amount(b, 3);
    EXPECT(b, move(3, 1, 3, 13, PEN | BDR), CREATED);
    expect_amount(b, 7);
    EXPECT(b, move(4, 1, 3, 1, PEN | BDR), CREATED);
    expect_amount(b, 0);
    EXPECT(b, bench_post(5, 2, 3), CREATED);
    EXPECT(b, bench_post(6, 3, 5), CREATED);
    EXPECT(b, bench_post(7, 4, LEDGER_AMOUNT_MAX), CREATED);
    bench_expect_balances(b, 1, 0, 8, 0, 10);
}

static void test_case_43__one_target_from_several_debits(void **state) {
    bench_book *b = *state;
    bench_account(b, 11, DC);
    bench_account(b, 12, DC);
    bench_account(b, 13, DC);
    bench_account(b, 20, CD); // target: collects at most what it paid out
    bench_account(b, 21, CD);
    EXPECT(b, move(1, 3, 11, 40, 0), CREATED);
    EXPECT(b, move(2, 3, 12, 40, 0), CREATED);
    EXPECT(b, move(3, 3, 13, 21, 0), CREATED);
    EXPECT(b, move(4, 20, 3, 100, 0), CREATED);
    const ledger_transfer_event recipe[] = {
        move(10, 11, 20, 100, LNK | BDR | BCR), move(11, 12, 20, 100, LNK | BDR | BCR),
        move(12, 13, 20, 100, LNK | BDR | BCR), move(13, 20, 21, 0, 0)};
    bench_apply(b, recipe, 4);
    for (size_t k = 0; k < 4; k++) {
        EXPECT_RESULT(b, k, CREATED);
    }
    assert_int_equal(b->results[0].row->amount, 40);
    assert_int_equal(b->results[1].row->amount, 40);
    assert_int_equal(b->results[2].row->amount, 20);
}

// A chain that gathers 100 in account 30 and moves it on. Each leg asks for what is missing if all legs before it found all they could.
static void gather(bench_book *b, uint64_t first_id) {
    const ledger_transfer_event chain[] = {
        move(first_id, 11, 30, 100, LNK | BDR), move(first_id + 1, 12, 30, 60, LNK | BDR),
        move(first_id + 2, 13, 30, 20, LNK | BDR), move(first_id + 3, 30, 31, 100, 0)};
    bench_apply(b, chain, 4);
}

static void test_case_43_a_target_that_is_missed_by_one__moves_nothing(void **state) {
    bench_book *b = *state;
    const int64_t available[] = {40, 40, 19};
    for (uint64_t k = 0; k < 3; k++) {
        bench_account(b, 11 + k, DC);
        EXPECT(b, move(1 + k, 3, 11 + k, available[k], 0), CREATED);
    }
    bench_account(b, 30, DC);
    bench_account(b, 31, 0);
    gather(b, 10);
    for (size_t k = 0; k < 3; k++) {
        EXPECT_RESULT(b, k, LINKED_EVENT_FAILED);
    }
    EXPECT_RESULT(b, 3, EXCEEDS_CREDITS);
    for (uint64_t k = 0; k < 3; k++) {
        bench_expect_balances(b, 11 + k, 0, 0, 0, available[k]);
    }
    bench_expect_balances(b, 30, 0, 0, 0, 0);
    bench_expect_balances(b, 31, 0, 0, 0, 0);

    EXPECT(b, move(4, 3, 13, 2, 0), CREATED); // 40, 40, 21
    gather(b, 20);
    const int64_t moved[] = {40, 40, 20, 100};
    for (size_t k = 0; k < 4; k++) {
        EXPECT_RESULT(b, k, CREATED);
        assert_int_equal(b->results[k].row->amount, moved[k]);
    }
    bench_expect_balances(b, 13, 0, 20, 0, 21);
    bench_expect_balances(b, 31, 0, 0, 0, 100);
}

static void test_balancing__with_post_or_void__refused(void **state) {
    bench_book *b = *state;
    EXPECT(b, move(1, 3, 2, 0, PEN), CREATED);
    const uint32_t others[] = {BDR, BCR, CLOSE_DR, CLOSE_CR, PEN};
    for (size_t k = 0; k < sizeof others / sizeof others[0]; k++) {
        EXPECT(b, with(bench_post(2, 1, 0), others[k]), FLAGS_ARE_MUTUALLY_EXCLUSIVE);
        EXPECT(b, with(bench_void(2, 1, 0), others[k]), FLAGS_ARE_MUTUALLY_EXCLUSIVE);
    }
}

// --- Credit lines ----------------------------------------------------------------------------------------------------

static void credit_account(bench_book *b, uint64_t id, int64_t lowest_balance) {
    const ledger_account_event event = {.id = bench_id(id),
                                        .code = 10,
                                        .flags = DC,
                                        .currency = bench_currency("USD"),
                                        .lowest_balance = lowest_balance};
    bench_apply_accounts(b, &event, 1);
    EXPECT_ACCOUNT(b, 0, CREATED);
}

static void test_case_38_credit_line__to_the_last_unit(void **state) {
    bench_book *b = *state;
    credit_account(b, 4, -100);
    EXPECT(b, move(1, 4, 3, 101, 0), EXCEEDS_CREDITS);
    EXPECT(b, move(2, 4, 3, 60, PEN), CREATED);
    EXPECT(b, move(3, 4, 3, 41, 0), EXCEEDS_CREDITS);
    EXPECT(b, move(4, 4, 3, 40, 0), CREATED);
    EXPECT(b, move(5, 4, 3, 1, 0), EXCEEDS_CREDITS);
    EXPECT(b, move(6, 3, 4, 5, PEN), CREATED); // case 30: reserved credits are not money yet
    EXPECT(b, move(7, 4, 3, 1, 0), EXCEEDS_CREDITS);
    EXPECT(b, move(8, 3, 4, 5, 0), CREATED);
    EXPECT(b, move(9, 4, 3, LEDGER_AMOUNT_MAX, BDR), CREATED);
    expect_amount(b, 5);
}

static void test_credit_line__the_largest(void **state) {
    bench_book *b = *state;
    credit_account(b, 4, -LEDGER_AMOUNT_MAX);
    EXPECT(b, move(1, 4, 3, LEDGER_AMOUNT_MAX, 0), CREATED);
    EXPECT(b, move(2, 4, 3, 1, 0), OVERFLOWS_DEBITS_POSTED);
    EXPECT(b, move(3, 3, 4, LEDGER_AMOUNT_MAX, BDR), CREATED);
    expect_amount(b, LEDGER_AMOUNT_MAX);
}

// --- Closing ---------------------------------------------------------------------------------------------------------

static void test_case_48__closing_and_opening_again(void **state) {
    bench_book *b = *state;
    EXPECT(b, move(1, 3, 2, 0, CLOSE_DR), CLOSING_TRANSFER_MUST_BE_PENDING);
    EXPECT(b, move(1, 3, 2, 0, CLOSE_CR), CLOSING_TRANSFER_MUST_BE_PENDING);
    EXPECT(b, move(1, 3, 1, 10, 0), CREATED);
    EXPECT(b, move(2, 1, 3, 4, PEN), CREATED);
    EXPECT(b, move(3, 1, 3, 2, PEN), CREATED);
    EXPECT(b, move(4, 1, 3, 0, PEN | CLOSE_DR), CREATED);
    bench_expect_state(b, 1, LEDGER_STATE_CLOSED);
    bench_expect_state(b, 3, 0);
    assert_int_equal(b->results[0].row->debit_state_after, LEDGER_STATE_CLOSED);
    EXPECT(b, move(5, 1, 3, 1, 0), DEBIT_ACCOUNT_ALREADY_CLOSED);
    EXPECT(b, move(6, 3, 1, 1, 0), CREDIT_ACCOUNT_ALREADY_CLOSED);
    EXPECT(b, move(7, 1, 3, 0, PEN | CLOSE_DR), DEBIT_ACCOUNT_ALREADY_CLOSED);
    EXPECT(b, bench_post(8, 2, 4), DEBIT_ACCOUNT_ALREADY_CLOSED);
    EXPECT(b, bench_post(9, 4, 0), DEBIT_ACCOUNT_ALREADY_CLOSED);
    EXPECT(b, bench_void(10, 3, 0), CREATED);      // an older pending gives back what it holds …
    bench_expect_state(b, 1, LEDGER_STATE_CLOSED); // … and does not open what it has not closed
    EXPECT(b, bench_void(11, 4, 0), CREATED);
    bench_expect_state(b, 1, 0);
    for (uint64_t id = 5; id <= 9; id++) {
        EXPECT(b, move(id, 1, 3, 1, 0), ID_ALREADY_FAILED);
    }
    EXPECT(b, bench_post(12, 2, 4), CREATED);
    bench_expect_balances(b, 1, 0, 4, 0, 10);
}

static void test_case_48_both_sides_by_one__opened_by_the_clock(void **state) {
    bench_book *b = *state;
    bench_account(b, 4, 0);
    ledger_transfer_event close = move(1, 3, 4, 7, PEN | CLOSE_DR | CLOSE_CR);
    close.timeout_s = 1;
    EXPECT(b, close, CREATED);
    bench_expect_state(b, 3, LEDGER_STATE_CLOSED);
    bench_expect_state(b, 4, LEDGER_STATE_CLOSED);
    b->now_us += 999999 - 10;
    EXPECT(b, move(2, 3, 4, 1, 0), DEBIT_ACCOUNT_ALREADY_CLOSED);
    b->now_us += 1000000;
    EXPECT(b, move(3, 3, 4, 1, 0), CREATED);
    assert_int_equal(b->n_rows, 2);
    assert_int_equal(b->rows[0].kind, LEDGER_KIND_EXPIRE);
    assert_int_equal(b->rows[0].debit_state_after, 0);
    bench_expect_state(b, 3, 0);
    bench_expect_state(b, 4, 0);
}

static void test_case_48__closed_from_the_start(void **state) {
    bench_book *b = *state;
    bench_account(b, 4, LEDGER_ACCOUNT_FLAG_CLOSED);
    bench_expect_state(b, 4, LEDGER_STATE_CLOSED);
    EXPECT(b, move(1, 4, 3, 0, 0), DEBIT_ACCOUNT_ALREADY_CLOSED);
    EXPECT(b, move(2, 3, 4, 0, 0), CREDIT_ACCOUNT_ALREADY_CLOSED);
}

static void test_closing__comes_before_overflow_and_limit(void **state) {
    bench_book *b = *state;
    bench_account(b, 4, DC);
    EXPECT(b, move(1, 3, 4, LEDGER_AMOUNT_MAX, PEN), CREATED);
    EXPECT(b, move(2, 4, 3, 0, PEN | CLOSE_DR), CREATED);
    EXPECT(b, move(3, 4, 3, LEDGER_AMOUNT_MAX, 0), DEBIT_ACCOUNT_ALREADY_CLOSED);
    EXPECT(b, move(4, 3, 4, LEDGER_AMOUNT_MAX, PEN), CREDIT_ACCOUNT_ALREADY_CLOSED);
    EXPECT(b, move(5, 4, 4, 0, 0), ACCOUNTS_MUST_BE_DIFFERENT);
}

static void test_chain__fails__opens_what_it_has_closed(void **state) {
    bench_book *b = *state;
    const ledger_transfer_event chain[] = {move(1, 3, 2, 0, LNK | PEN | CLOSE_DR),
                                           move(2, 3, 2, 1, 0)};
    bench_apply(b, chain, 2);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, DEBIT_ACCOUNT_ALREADY_CLOSED);
    bench_expect_state(b, 3, 0);
    EXPECT(b, move(3, 3, 2, 0, PEN | CLOSE_DR), CREATED);
    const ledger_transfer_event reopen[] = {with(bench_void(4, 3, 0), LNK), move(5, 3, 99, 1, 0)};
    bench_apply(b, reopen, 2);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, CREDIT_ACCOUNT_NOT_FOUND);
    bench_expect_state(b, 3, LEDGER_STATE_CLOSED);
}

// --- Several pendings at once ----------------------------------------------------------------------------------------

static void test_a_chain_ends_several_pendings__all_or_none(void **state) {
    bench_book *b = *state;
    EXPECT(b, move(1, 3, 1, 5, PEN), CREATED);
    EXPECT(b, move(2, 3, 1, 6, PEN), CREATED);
    EXPECT(b, move(3, 3, 1, 7, PEN), CREATED);
    const ledger_transfer_event failing[] = {with(bench_post(11, 1, 4), LNK),
                                             with(bench_void(12, 2, 0), LNK), bench_post(13, 3, 8)};
    bench_apply(b, failing, 3);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 2, EXCEEDS_PENDING_TRANSFER_AMOUNT);
    bench_expect_balances(b, 3, 18, 0, 0, 0);
    const ledger_transfer_event good[] = {with(bench_post(11, 1, 4), LNK),
                                          with(bench_void(12, 2, 0), LNK),
                                          bench_post(13, 3, LEDGER_AMOUNT_MAX)};
    bench_apply(b, good, 3);
    for (size_t k = 0; k < 3; k++) {
        EXPECT_RESULT(b, k, CREATED);
    }
    bench_expect_balances(b, 3, 0, 11, 0, 0);
    bench_expect_balances(b, 1, 0, 0, 0, 11);
}

#define T(f) cmocka_unit_test_setup_teardown(f, three_accounts, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_case_39__balancing_debit),
        T(test_balancing__account_without_a_limit__its_debits_count),
        T(test_case_40__the_other_side_may_still_refuse),
        T(test_case_41_both_sides__the_smaller),
        T(test_case_42__balancing_pending),
        T(test_case_43__one_target_from_several_debits),
        T(test_case_43_a_target_that_is_missed_by_one__moves_nothing),
        T(test_balancing__with_post_or_void__refused),
        T(test_case_38_credit_line__to_the_last_unit),
        T(test_credit_line__the_largest),
        T(test_case_48__closing_and_opening_again),
        T(test_case_48_both_sides_by_one__opened_by_the_clock),
        T(test_case_48__closed_from_the_start),
        T(test_closing__comes_before_overflow_and_limit),
        T(test_chain__fails__opens_what_it_has_closed),
        T(test_a_chain_ends_several_pendings__all_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
