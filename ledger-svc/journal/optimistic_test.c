// Optimistic commits: they believe the book to be as they left it, and learn the truth at COMMIT. Tests when they are made, and that a
// wrong belief never reaches a caller.
#include "base/metrics.h"
#include "testing/bench_journal.h"
#include "testing/fixture.h"
#include "testing/lossy_proxy.h"

#define EXPECT_STATUS(actual, wanted)                                                              \
    assert_string_equal(ledger_transfer_status_name(actual), #wanted)

static bench_answer answer;

static int64_t n_optimistic(void) {
    return metric_value(metric_counter("ledger_optimistic_commits_total", "", ""));
}

static int64_t n_conflicts(void) {
    return metric_value(metric_counter("ledger_optimistic_conflicts_total", "", ""));
}

static void no_checkpoints(journal_options *o) {
    o->checkpoint_rows = 100000;
    o->checkpoint_ms = 60000;
}

static ledger_transfer_event pending(int64_t book, uint64_t id, int64_t amount) {
    ledger_transfer_event hold = bench_event(book, id, 1, 2, amount);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    return hold;
}

static ledger_transfer_event post_of(int64_t book, uint64_t id, uuid pending_id) {
    return (ledger_transfer_event){.id = bench_uuid(book, id),
                                   .pending_id = pending_id,
                                   .amount = LEDGER_AMOUNT_MAX,
                                   .flags = LEDGER_TRANSFER_FLAG_POST};
}

// The book as a fresh instance finds it, with a checkpoint of all rows.
static void expect_book(int64_t book, int64_t rows) {
    bench_instance i = bench_start(NULL, NULL);
    const ledger_transfer_event last = bench_event(book, 999, 1, 2, 1);
    bench_commit(&i, book, &last, 1, 5000, &answer);
    assert_true(answer.ok);
    EXPECT_STATUS(answer.status[0], CREATED);
    assert_int_equal(answer.rows[0].sequence, rows + 1);
    bench_await_checkpoint(book);
    bench_check_book(book);
    bench_stop(&i);
}

static void test_alone__all_that_is_small_takes_one_trip(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, no_checkpoints);
    bench_make_accounts(&i, book, 2, 0);
    const int64_t before = n_optimistic();
    for (uint64_t n = 0; n < 10; n++) {
        EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100 + n, 1, 2, 5)), CREATED);
    }
    const ledger_transfer_event hold = pending(book, 200, 7);
    EXPECT_STATUS(bench_commit_one(&i, book, hold), CREATED);
    EXPECT_STATUS(bench_commit_one(&i, book, post_of(book, 201, hold.id)), CREATED);
    assert_int_equal(n_optimistic() - before, 12);
    // A commit that needs a second trip takes the lock: many rows, or a pending that memory does not know.
    ledger_transfer_event many[17];
    for (uint64_t n = 0; n < 17; n++) {
        many[n] = bench_event(book, 300 + n, 1, 2, 1);
    }
    bench_commit(&i, book, many, 17, 5000, &answer);
    assert_true(answer.ok);
    EXPECT_STATUS(bench_commit_one(&i, book, post_of(book, 400, bench_uuid(book, 998))),
                  PENDING_TRANSFER_NOT_FOUND);
    assert_int_equal(n_optimistic() - before, 12);
    bench_stop(&i);
    expect_book(book, 12 + 17);
}

// An event that memory refuses is refused only after a look under the lock. For a while the lock then comes first.
static void test_refused__is_looked_at_again_under_the_lock(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, no_checkpoints);
    bench_make_accounts(&i, book, 2, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    const int64_t conflicts = n_conflicts();
    for (uint64_t n = 0; n < 3; n++) {
        EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100 + n, 1, 2, 5)),
                      EXCEEDS_CREDITS);
        assert_int_equal(n_conflicts() - conflicts, 1);
    }
    bench_stop(&i);
}

// A book that i[0] believes unchanged while i[1] acts in it. Accounts 1 and 2 have no limits; 3 may not be overdrawn.
static int64_t book_of_two(bench_instance *i) {
    const int64_t book = bench_new_book();
    i[0] = bench_start(NULL, no_checkpoints);
    i[1] = bench_start(NULL, no_checkpoints);
    ledger_account_result results[3];
    ledger_account_event accounts[3];
    for (uint64_t n = 0; n < 3; n++) {
        accounts[n] = (ledger_account_event){
            .id = bench_uuid(book, 1 + n),
            .currency = ledger_currency_pack(STR("USD")),
            .code = 1,
            .flags = n == 2 ? LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS : 0};
    }
    bench_commit_accounts(&i[0], book, accounts, 3, results);
    EXPECT_STATUS(bench_commit_one(&i[0], book, bench_event(book, 100, 1, 2, 1)), CREATED);
    return book;
}

static void end_of_two(bench_instance *i, int64_t book, int64_t rows) {
    bench_stop(&i[0]);
    bench_stop(&i[1]);
    expect_book(book, rows);
}

static void test_another_instance_was_there__the_belief_is_dropped(void **state) {
    (void)state;
    bench_instance i[2];
    const int64_t book = book_of_two(i);
    EXPECT_STATUS(bench_commit_one(&i[1], book, bench_event(book, 101, 1, 2, 1)), CREATED);
    const int64_t conflicts = n_conflicts();
    EXPECT_STATUS(bench_commit_one(&i[0], book, bench_event(book, 102, 1, 2, 1)), CREATED);
    assert_int_equal(n_conflicts() - conflicts, 1);
    // The other instance has used the id.
    EXPECT_STATUS(bench_commit_one(&i[1], book, bench_event(book, 103, 1, 2, 1)), CREATED);
    EXPECT_STATUS(bench_commit_one(&i[0], book, bench_event(book, 103, 1, 2, 1)), EXISTS);
    end_of_two(i, book, 4);
}

static void test_id_used_by_another_instance__exists(void **state) {
    (void)state;
    bench_instance i[2];
    const int64_t book = book_of_two(i);
    EXPECT_STATUS(bench_commit_one(&i[1], book, bench_event(book, 101, 1, 2, 1)), CREATED);
    EXPECT_STATUS(bench_commit_one(&i[0], book, bench_event(book, 101, 1, 2, 1)), EXISTS);
    end_of_two(i, book, 2);
}

static void test_money_that_came_meanwhile__is_seen(void **state) {
    (void)state;
    bench_instance i[2];
    const int64_t book = book_of_two(i);
    EXPECT_STATUS(bench_commit_one(&i[1], book, bench_event(book, 101, 1, 3, 10)), CREATED);
    EXPECT_STATUS(bench_commit_one(&i[0], book, bench_event(book, 102, 3, 2, 10)), CREATED);
    end_of_two(i, book, 3);
}

static void test_money_that_went_meanwhile__is_seen(void **state) {
    (void)state;
    bench_instance i[2];
    const int64_t book = book_of_two(i);
    EXPECT_STATUS(bench_commit_one(&i[0], book, bench_event(book, 101, 1, 3, 10)), CREATED);
    EXPECT_STATUS(bench_commit_one(&i[1], book, bench_event(book, 102, 3, 2, 10)), CREATED);
    EXPECT_STATUS(bench_commit_one(&i[0], book, bench_event(book, 103, 3, 2, 10)), EXCEEDS_CREDITS);
    end_of_two(i, book, 3);
}

static void test_pending_that_ended_meanwhile__is_seen(void **state) {
    (void)state;
    bench_instance i[2];
    const int64_t book = book_of_two(i);
    const ledger_transfer_event hold = pending(book, 101, 7);
    EXPECT_STATUS(bench_commit_one(&i[0], book, hold), CREATED);
    EXPECT_STATUS(bench_commit_one(&i[1], book, post_of(book, 102, hold.id)), CREATED);
    EXPECT_STATUS(bench_commit_one(&i[0], book, post_of(book, 103, hold.id)),
                  PENDING_TRANSFER_ALREADY_POSTED);
    end_of_two(i, book, 3);
}

// The answer to the whole transaction is lost, not only that to its COMMIT.
static void test_lost_answer__is_looked_up(void **state) {
    (void)state;
    const lossy_mode modes[] = {LOSSY_DROP_AFTER_COMMIT, LOSSY_DROP_BEFORE_COMMIT};
    lossy_proxy *proxy = lossy_proxy_start(fixture_server_dir());
    lossy_proxy_commits_with(proxy, "head_update");
    for (size_t n = 0; n < 2; n++) {
        const int64_t book = bench_new_book();
        bench_instance i = bench_start(lossy_proxy_dir(proxy), no_checkpoints);
        metric *settled = metric_counter("ledger_commit_settled_total", "", "");
        bench_make_accounts(&i, book, 2, 0);
        EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100, 1, 2, 1)), CREATED);
        const int64_t before = n_optimistic();
        const int64_t settled_before = metric_value(settled);
        lossy_proxy_set(proxy, modes[n]);
        const ledger_transfer_event t = bench_event(book, 101, 1, 2, 1);
        bench_commit(&i, book, &t, 1, 20000, &answer);
        assert_true(answer.ok);
        EXPECT_STATUS(answer.status[0], CREATED);
        assert_int_equal(answer.rows[0].sequence, 2);
        assert_int_equal(metric_value(settled) - settled_before, 1);
        // The lost commit is settled and does not count; the repeated one does.
        assert_int_equal(n_optimistic() - before, n);
        EXPECT_STATUS(bench_commit_one(&i, book, t), EXISTS);
        bench_stop(&i);
        expect_book(book, 2);
    }
    lossy_proxy_stop(proxy);
}

int main(void) {
    bench_database();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone__all_that_is_small_takes_one_trip),
        cmocka_unit_test(test_refused__is_looked_at_again_under_the_lock),
        cmocka_unit_test(test_another_instance_was_there__the_belief_is_dropped),
        cmocka_unit_test(test_id_used_by_another_instance__exists),
        cmocka_unit_test(test_money_that_came_meanwhile__is_seen),
        cmocka_unit_test(test_money_that_went_meanwhile__is_seen),
        cmocka_unit_test(test_pending_that_ended_meanwhile__is_seen),
        cmocka_unit_test(test_lost_answer__is_looked_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
