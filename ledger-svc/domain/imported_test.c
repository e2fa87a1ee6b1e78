// Imported accounts and transfers: the rules of their times.
#include "testing/bench_book.h"

enum { IMP = LEDGER_TRANSFER_FLAG_IMPORTED, LNK = LEDGER_TRANSFER_FLAG_LINKED };

static ledger_account_event old_account(uint64_t id, int64_t us) {
    return (ledger_account_event){.id = bench_id(id),
                                  .code = 10,
                                  .flags = LEDGER_ACCOUNT_FLAG_IMPORTED,
                                  .currency = bench_currency("USD"),
                                  .timestamp_us = us};
}

static ledger_transfer_event old_transfer(uint64_t id, int64_t amount, int64_t us) {
    ledger_transfer_event t = bench_transfer(id, 1, 2, amount);
    t.flags = IMP;
    t.timestamp_us = us;
    return t;
}

// Accounts 1 and 2 were made elsewhere at 100 and 200; now is 1,000,000.
static int two_old_accounts(void **state) {
    (void)bench_setup(state);
    bench_book *b = *state;
    const ledger_account_event both[] = {old_account(1, 100), old_account(2, 200)};
    bench_apply_accounts(b, both, 2);
    EXPECT_ACCOUNT(b, 0, CREATED);
    EXPECT_ACCOUNT(b, 1, CREATED);
    b->now_us = 2000000;
    return 0;
}

static void test_case_56__accounts(void **state) {
    bench_book *b = *state;
    const ledger_account *first = map_get(b->accounts, bench_id(1));
    assert_int_equal(first->effective_us, 100);
    assert_int_equal(first->timestamp_us, 1000000);
    ledger_account_event plain = old_account(20, 0);
    plain.flags = 0;
    const ledger_account_event mixed[] = {
        old_account(10, 0),  old_account(10, -1), old_account(10, 2000003), plain,
        old_account(1, 50),  old_account(1, 100), old_account(10, 50),      old_account(11, 50),
        old_account(11, 49), old_account(11, 51)};
    bench_apply_accounts(b, mixed, 10);
    EXPECT_ACCOUNT(b, 0, IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE);
    EXPECT_ACCOUNT(b, 1, IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE);
    EXPECT_ACCOUNT(b, 2, IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE);
    EXPECT_ACCOUNT(b, 3, IMPORTED_EVENT_EXPECTED);
    EXPECT_ACCOUNT(b, 4, EXISTS_WITH_DIFFERENT_TIMESTAMP);
    EXPECT_ACCOUNT(b, 5, EXISTS);
    EXPECT_ACCOUNT(b, 6, CREATED);
    EXPECT_ACCOUNT(b, 7, IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS);
    EXPECT_ACCOUNT(b, 8, IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS);
    EXPECT_ACCOUNT(b, 9, CREATED);
    const ledger_account_event other[] = {plain, old_account(21, 60)};
    bench_apply_accounts(b, other, 2);
    EXPECT_ACCOUNT(b, 0, CREATED);
    EXPECT_ACCOUNT(b, 1, IMPORTED_EVENT_NOT_EXPECTED);
}

static void test_case_56__transfers(void **state) {
    bench_book *b = *state;
    ledger_transfer_event late = old_transfer(13, 1, 502);
    late.timeout_s = 1;
    late.flags |= LEDGER_TRANSFER_FLAG_PENDING;
    const ledger_transfer_event batch[] = {
        old_transfer(10, 1, 0),
        old_transfer(10, 1, -5),
        old_transfer(10, 1, 2000000),
        bench_transfer(10, 1, 2, 1),
        old_transfer(10, 1, 100),
        old_transfer(10, 1, 200),
        old_transfer(10, 1, 500),
        old_transfer(10, 1, 500),
        old_transfer(10, 1, 400),
        old_transfer(11, 1, 500),
        old_transfer(11, 1, 499),
        old_transfer(11, 1, 501),
        late,
    };
    bench_apply(b, batch, sizeof batch / sizeof batch[0]);
    EXPECT_RESULT(b, 0, IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE);
    EXPECT_RESULT(b, 1, IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE);
    EXPECT_RESULT(b, 2, IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE);
    EXPECT_RESULT(b, 3, IMPORTED_EVENT_EXPECTED);
    EXPECT_RESULT(b, 4, IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT);
    EXPECT_RESULT(b, 5, IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT);
    EXPECT_RESULT(b, 6, CREATED);
    EXPECT_RESULT(b, 7, EXISTS); // a repeat is recognised before its time is checked
    EXPECT_RESULT(b, 8, EXISTS_WITH_DIFFERENT_TIMESTAMP);
    EXPECT_RESULT(b, 9, IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS);
    EXPECT_RESULT(b, 10, IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS);
    EXPECT_RESULT(b, 11, CREATED);
    EXPECT_RESULT(b, 12, IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO);
    // The journal is in commit order; the effective time is stored beside it.
    assert_int_equal(b->results[6].row->effective_us, 500);
    assert_int_equal(b->results[6].row->timestamp_us, 2000000);
    const ledger_transfer_event other[] = {bench_transfer(20, 1, 2, 1), old_transfer(21, 1, 700)};
    bench_apply(b, other, 2);
    EXPECT_RESULT(b, 0, CREATED);
    EXPECT_RESULT(b, 1, IMPORTED_EVENT_NOT_EXPECTED);
    assert_int_equal(b->results[0].row->effective_us, b->results[0].row->timestamp_us);
}

static void test_case_57__backdated_after_later_entries(void **state) {
    bench_book *b = *state;
    EXPECT(b, bench_transfer(1, 1, 2, 5), CREATED);
    EXPECT(b, old_transfer(2, 1, 900), CREATED);
    EXPECT(b, old_transfer(3, 1, 300), CREATED); // a new call may go further back
    assert_int_equal(b->sequence, 3);
}

static void test_imported__several_faults__the_topmost_is_named(void **state) {
    bench_book *b = *state;
    // Everything is wrong at once; the order is TigerBeetle's.
    ledger_transfer_event t = {.flags = IMP | LEDGER_TRANSFER_FLAG_FORCED, .timestamp_us = 0};
    EXPECT(b, t, IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE);
    t.timestamp_us = INT64_MAX;
    EXPECT(b, t, IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE);
    t.timestamp_us = 50;
    EXPECT(b, t, RESERVED_FLAG);
    t.flags = IMP | LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT(b, t, ID_MUST_NOT_BE_ZERO);
    t.id = bench_id(9);
    EXPECT(b, t, DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO);
    t.debit_account_id = bench_id(1);
    t.credit_account_id = bench_id(2);
    t.timeout_s = 1;
    EXPECT(b, t, LEDGER_MUST_NOT_BE_ZERO);
    t.currency = bench_currency("USD");
    EXPECT(b, t, CODE_MUST_NOT_BE_ZERO);
    t.code = 1;
    EXPECT(b, t, IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT);
    t.timestamp_us = 150;
    EXPECT(b, t, IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT);
    t.timestamp_us = 250;
    EXPECT(b, t, IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO);
    t.timeout_s = 0;
    EXPECT(b, t, CREATED);
}

static void test_post_of_an_imported_pending__not_before_it(void **state) {
    bench_book *b = *state;
    ledger_transfer_event hold = old_transfer(1, 10, 500);
    hold.flags |= LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT(b, hold, CREATED);
    ledger_transfer_event post = bench_post(2, 1, 10);
    post.flags |= IMP;
    post.timestamp_us = 500;
    EXPECT(b, post, IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS);
    post.timestamp_us = 501;
    EXPECT(b, post, CREATED);
    assert_int_equal(b->results[0].row->effective_us, 501);
    EXPECT(b, post, EXISTS);
}

static void test_chain__fails__takes_its_time_back(void **state) {
    bench_book *b = *state;
    ledger_transfer_event first = old_transfer(1, 1, 600);
    first.flags |= LNK;
    ledger_transfer_event second = old_transfer(2, 1, 700);
    second.code = 0;
    const ledger_transfer_event batch[] = {first, second, old_transfer(3, 1, 500)};
    bench_apply(b, batch, 3);
    EXPECT_RESULT(b, 0, LINKED_EVENT_FAILED);
    EXPECT_RESULT(b, 1, CODE_MUST_NOT_BE_ZERO);
    EXPECT_RESULT(b, 2, CREATED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, two_old_accounts, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_case_56__accounts),
        T(test_case_56__transfers),
        T(test_case_57__backdated_after_later_entries),
        T(test_imported__several_faults__the_topmost_is_named),
        T(test_post_of_an_imported_pending__not_before_it),
        T(test_chain__fails__takes_its_time_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
