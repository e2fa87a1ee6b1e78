// The commit path against a real PostgreSQL, one caller at a time.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "testing/bench_journal.h"
#include "testing/fixture.h"
#include "testing/lossy_proxy.h"

#define EXPECT_STATUS(actual, wanted)                                                              \
    assert_string_equal(ledger_transfer_status_name(actual), #wanted)

static bench_answer answer;

static void pause_ms(long ms) {
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

static void test_committed__read_back_and_repeated_after_a_restart(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 3, 0);
    ledger_transfer_event batch[3] = {bench_event(book, 100, 1, 2, 30),
                                      bench_event(book, 101, 2, 3, 10),
                                      bench_event(book, 102, 1, 9, 1)};
    batch[0].user_data_128 = bench_uuid(book, 7);
    batch[0].user_data_64 = UINT64_MAX;
    batch[0].user_data_32 = UINT32_MAX;
    bench_commit(&i, book, batch, 3, 5000, &answer);
    assert_true(answer.ok);
    EXPECT_STATUS(answer.status[0], CREATED);
    EXPECT_STATUS(answer.status[1], CREATED);
    EXPECT_STATUS(answer.status[2], CREDIT_ACCOUNT_NOT_FOUND);
    assert_int_equal(answer.rows[1].sequence, 2);
    assert_int_equal(answer.rows[1].debit_after.credits_posted, 30);
    assert_int_equal(answer.rows[1].debit_after.debits_posted, 10);
    const int64_t first_us = answer.rows[0].timestamp_us;
    bench_stop(&i);

    i = bench_start(NULL, NULL);
    bench_commit(&i, book, batch, 3, 5000, &answer);
    assert_true(answer.ok);
    EXPECT_STATUS(answer.status[0], EXISTS);
    EXPECT_STATUS(answer.status[1], EXISTS);
    EXPECT_STATUS(answer.status[2], ID_ALREADY_FAILED);
    assert_int_equal(answer.rows[0].timestamp_us, first_us);
    assert_int_equal(answer.rows[1].debit_after.credits_posted, 30);
    assert_int_equal(answer.rows[1].sequence, 2);
    const ledger_balances b = bench_balances(&i, book, 2);
    assert_int_equal(b.credits_posted, 30);
    assert_int_equal(b.debits_posted, 10);
    bench_check_book(book);
    bench_stop(&i);
}

static void test_two_phase__across_a_restart(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 2, 0);
    ledger_transfer_event hold = bench_event(book, 100, 1, 2, 50);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT_STATUS(bench_commit_one(&i, book, hold), CREATED);
    bench_stop(&i);
    i = bench_start(NULL, NULL); // knows neither the pending nor its accounts
    ledger_transfer_event post = {.id = bench_uuid(book, 101),
                                  .pending_id = hold.id,
                                  .amount = LEDGER_AMOUNT_MAX,
                                  .flags = LEDGER_TRANSFER_FLAG_POST};
    EXPECT_STATUS(bench_commit_one(&i, book, post), CREATED);
    EXPECT_STATUS(bench_commit_one(&i, book, post), EXISTS);
    post.id = bench_uuid(book, 102);
    EXPECT_STATUS(bench_commit_one(&i, book, post), PENDING_TRANSFER_ALREADY_POSTED);
    const ledger_balances b = bench_balances(&i, book, 1);
    assert_int_equal(b.debits_pending, 0);
    assert_int_equal(b.debits_posted, 50);
    bench_check_book(book);
    bench_stop(&i);
}

static void test_two_instances__take_turns_on_one_book(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i[2] = {bench_start(NULL, NULL), bench_start(NULL, NULL)};
    bench_make_accounts(&i[0], book, 3, 0);
    for (uint64_t n = 0; n < 20; n++) {
        EXPECT_STATUS(
            bench_commit_one(&i[n / 3 % 2], book, bench_event(book, 100 + n, 1 + n % 2, 3, 1)),
            CREATED);
    }
    assert_int_equal(bench_balances(&i[0], book, 3).credits_posted, 20);
    bench_check_book(book);
    bench_stop(&i[0]);
    bench_stop(&i[1]);
}

static void test_case_65__clock_steps_back(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 2, 0);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100, 1, 2, 1)), CREATED);
    bench_clock_shift(INT64_C(-3600000000));
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 101, 1, 2, 1)), CREATED);
    bench_stop(&i);
    i = bench_start(NULL, NULL);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 102, 1, 2, 1)), CREATED);
    bench_clock_shift(0);
    bench_check_book(book);
    bench_stop(&i);
}

static int64_t expired_rows(int64_t book) {
    char sql[128];
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM transfer WHERE book_id = %lld AND kind = 5",
                   (long long)book);
    return fixture_sql_i64(sql);
}

static void wait_for_expiry(int64_t book, int64_t n) {
    for (int k = 0; k < 300 && expired_rows(book) < n; k++) {
        pause_ms(20);
    }
    assert_int_equal(expired_rows(book), n);
}

// Nobody calls: the sweeper must find expired holds by itself, also those that expired while the service was down.
static void test_case_36__expiry_without_traffic_and_across_a_restart(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 2, 0);
    ledger_transfer_event holds[3] = {bench_event(book, 100, 1, 2, 10),
                                      bench_event(book, 101, 1, 2, 20),
                                      bench_event(book, 102, 1, 2, 40)};
    for (uint32_t k = 0; k < 3; k++) {
        holds[k].flags = LEDGER_TRANSFER_FLAG_PENDING;
        holds[k].timeout_s = k == 2 ? 3600 : 1;
    }
    bench_commit(&i, book, holds, 3, 5000, &answer);
    assert_true(answer.ok);
    ledger_transfer_event cancel = {
        .id = bench_uuid(book, 103), .pending_id = holds[1].id, .flags = LEDGER_TRANSFER_FLAG_VOID};
    EXPECT_STATUS(bench_commit_one(&i, book, cancel), CREATED);
    assert_int_equal(expired_rows(book), 0);
    wait_for_expiry(book, 1);
    assert_int_equal(bench_balances(&i, book, 1).debits_pending, 40);
    ledger_transfer_event post = {.id = bench_uuid(book, 104),
                                  .pending_id = holds[0].id,
                                  .amount = 10,
                                  .flags = LEDGER_TRANSFER_FLAG_POST};
    EXPECT_STATUS(bench_commit_one(&i, book, post), PENDING_TRANSFER_EXPIRED);
    bench_stop(&i);
    bench_clock_shift(INT64_C(3600) * 1000000 + 10000000);
    i = bench_start(NULL, NULL);
    wait_for_expiry(book, 2);
    assert_int_equal(bench_balances(&i, book, 1).debits_pending, 0);
    bench_clock_shift(0);
    bench_check_book(book);
    bench_stop(&i);
}

static void no_sweeper(journal_options *o) {
    o->expiry_poll_ms = 600000;
}

// Sets the book's time as if rows had run ahead of a clock that was then set back.
static void set_book_time(int64_t book, int64_t us) {
    char sql[128];
    (void)snprintf(sql, sizeof sql, "UPDATE book_head SET timestamp_us = %lld WHERE book_id = %lld",
                   (long long)us, (long long)book);
    fixture_sql(sql, NULL, 0);
}

static int64_t hold_for_a_second(bench_instance *i, int64_t book, uint64_t id, int64_t amount) {
    ledger_transfer_event hold = bench_event(book, id, 1, 2, amount);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    hold.timeout_s = 1;
    bench_commit(i, book, &hold, 1, 5000, &answer);
    assert_true(answer.ok);
    EXPECT_STATUS(answer.status[0], CREATED);
    return answer.rows[0].expires_us;
}

// A hold ends by the book's time, for the release and for the refusal of a post alike. An expired hold is not still reserved; a hold that
// may be posted is.
static void test_clock_set_back__expiry_is_by_the_time_of_the_book(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, no_sweeper);
    bench_make_accounts(&i, book, 2, 0);
    bench_clock_shift(INT64_C(-3600000000));
    // The next object's time is one before the deadline, and then the deadline.
    int64_t expires_us = hold_for_a_second(&i, book, 100, 10);
    set_book_time(book, expires_us - 2);
    ledger_transfer_event post = {.id = bench_uuid(book, 101),
                                  .pending_id = bench_uuid(book, 100),
                                  .amount = 10,
                                  .flags = LEDGER_TRANSFER_FLAG_POST};
    EXPECT_STATUS(bench_commit_one(&i, book, post), CREATED);
    assert_int_equal(expired_rows(book), 0);
    expires_us = hold_for_a_second(&i, book, 102, 20);
    set_book_time(book, expires_us - 1);
    post.id = bench_uuid(book, 103);
    post.pending_id = bench_uuid(book, 102);
    EXPECT_STATUS(bench_commit_one(&i, book, post), PENDING_TRANSFER_EXPIRED);
    assert_int_equal(expired_rows(book), 1);
    // Nothing is reserved by then, and nothing asks for it: the sweeper looks at the same time.
    expires_us = hold_for_a_second(&i, book, 104, 40);
    assert_int_equal(answer.rows[0].debit_after.debits_pending, 40);
    set_book_time(book, expires_us - 1);
    bench_instance sweeper = bench_start(NULL, NULL);
    wait_for_expiry(book, 2);
    assert_int_equal(bench_balances(&i, book, 1).debits_pending, 0);
    assert_int_equal(bench_balances(&i, book, 1).debits_posted, 10);
    bench_stop(&sweeper);
    bench_clock_shift(0);
    bench_check_book(book);
    bench_stop(&i);
}

// A hold expired while the service was down: its money is free for the first request, and the hold cannot be posted.
static void test_case_36__first_request_after_a_restart_across_the_deadline(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 2, 0);
    const ledger_account_event wallet = {.id = bench_uuid(book, 3),
                                         .code = 10,
                                         .flags =
                                             LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS,
                                         .currency = ledger_currency_pack(STR("USD"))};
    ledger_account_result made;
    bench_commit_accounts(&i, book, &wallet, 1, &made);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100, 1, 3, 50)), CREATED);
    ledger_transfer_event hold = bench_event(book, 101, 3, 2, 50);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    hold.timeout_s = 600;
    EXPECT_STATUS(bench_commit_one(&i, book, hold), CREATED);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 102, 3, 2, 1)), EXCEEDS_CREDITS);
    bench_stop(&i);

    bench_clock_shift(INT64_C(601) * 1000000);
    i = bench_start(NULL, no_sweeper);
    const ledger_transfer_event first[] = {{.id = bench_uuid(book, 103),
                                            .pending_id = hold.id,
                                            .amount = 50,
                                            .flags = LEDGER_TRANSFER_FLAG_POST},
                                           bench_event(book, 104, 3, 2, 50)};
    bench_commit(&i, book, first, 2, 20000, &answer);
    assert_true(answer.ok);
    EXPECT_STATUS(answer.status[0], PENDING_TRANSFER_EXPIRED);
    EXPECT_STATUS(answer.status[1], CREATED);
    assert_int_equal(answer.rows[1].sequence, 4); // the expiry stands before it
    assert_int_equal(answer.rows[1].debit_after.debits_pending, 0);
    assert_int_equal(answer.rows[1].debit_after.debits_posted, 50);
    assert_int_equal(expired_rows(book), 1);
    bench_clock_shift(0);
    bench_check_book(book);
    bench_stop(&i);
}

// More holds expire while the service is down than one transaction releases. The rest stays reserved for one more transaction, cannot be
// posted in it, and each hold is released once.
static void test_case_36__more_due_at_once_than_one_transaction_releases(void **state) {
    (void)state;
    enum { DUE_MAX = LEDGER_BATCH_MAX, HOLDS = DUE_MAX + 110 };
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 2, 0);
    ledger_transfer_event events[BENCH_EVENTS_MAX];
    for (uint64_t done = 0; done < HOLDS;) {
        size_t n = 0;
        for (; n < BENCH_EVENTS_MAX && done < HOLDS; n++, done++) {
            events[n] = bench_event(book, 1000 + done, 1, 2, 1);
            events[n].flags = LEDGER_TRANSFER_FLAG_PENDING;
            events[n].timeout_s = 600;
        }
        bench_commit(&i, book, events, n, 20000, &answer);
        assert_true(answer.ok);
        EXPECT_STATUS(answer.status[n - 1], CREATED);
    }
    assert_int_equal(bench_balances(&i, book, 1).debits_pending, HOLDS);
    bench_stop(&i);

    // The clock stands before the deadlines while the instance starts, so that its sweeper finds nothing.
    i = bench_start(NULL, no_sweeper);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 10, 1, 2, 1)), CREATED);
    assert_int_equal(expired_rows(book), 0);
    bench_clock_shift(INT64_C(700) * 1000000);
    const ledger_transfer_event last[] = {{.id = bench_uuid(book, 11),
                                           .pending_id = bench_uuid(book, 1000 + HOLDS - 1),
                                           .amount = 1,
                                           .flags = LEDGER_TRANSFER_FLAG_POST},
                                          bench_event(book, 12, 1, 2, 1)};
    bench_commit(&i, book, last, 2, 20000, &answer);
    assert_true(answer.ok);
    EXPECT_STATUS(answer.status[0], PENDING_TRANSFER_EXPIRED);
    EXPECT_STATUS(answer.status[1], CREATED);
    assert_int_equal(answer.rows[1].debit_after.debits_pending, HOLDS - DUE_MAX);
    assert_int_equal(expired_rows(book), DUE_MAX);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 13, 1, 2, 1)), CREATED);
    assert_int_equal(expired_rows(book), HOLDS);
    const ledger_balances b = bench_balances(&i, book, 1);
    assert_int_equal(b.debits_pending, 0);
    assert_int_equal(b.debits_posted, 3);
    bench_clock_shift(0);
    bench_check_book(book);
    bench_stop(&i);
}

static void test_deadline_that_has_passed__is_left_out(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 2, 0);
    const ledger_transfer_event t = bench_event(book, 100, 1, 2, 1);
    bench_commit(&i, book, &t, 1, -1, &answer);
    assert_false(answer.ok);
    assert_int_equal(answer.e.code, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(bench_balances(&i, book, 1).debits_posted, 0);
    bench_stop(&i);
}

// A process believes a hold to be open that another has ended. A request names the hold twice: to end it, and for a second reason. For the
// second reason alone nobody asks how the hold ended.
static void test_ended_by_another_instance__and_named_twice(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i[2] = {bench_start(NULL, NULL), bench_start(NULL, NULL)};
    bench_make_accounts(&i[0], book, 2, 0);
    ledger_transfer_event hold = bench_event(book, 100, 1, 2, 50);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT_STATUS(bench_commit_one(&i[0], book, hold), CREATED);
    ledger_transfer_event post = {.id = bench_uuid(book, 101),
                                  .pending_id = hold.id,
                                  .amount = LEDGER_AMOUNT_MAX,
                                  .flags = LEDGER_TRANSFER_FLAG_POST};
    EXPECT_STATUS(bench_commit_one(&i[1], book, post), CREATED);
    post.id = bench_uuid(book, 102);
    const ledger_transfer_event twice[] = {{.id = bench_uuid(book, 103), .reverses_id = hold.id},
                                           post};
    bench_commit(&i[0], book, twice, 2, 20000, &answer);
    assert_true(answer.ok);
    EXPECT_STATUS(answer.status[0], REVERSED_TRANSFER_IS_PENDING);
    EXPECT_STATUS(answer.status[1], PENDING_TRANSFER_ALREADY_POSTED);
    assert_int_equal(bench_balances(&i[0], book, 1).debits_posted, 50);
    bench_check_book(book);
    bench_stop(&i[0]);
    bench_stop(&i[1]);
}

static void test_unknown_book__not_found(void **state) {
    (void)state;
    bench_instance i = bench_start(NULL, NULL);
    const ledger_transfer_event t = bench_event(1, 100, 1, 2, 1);
    bench_commit(&i, 999999, &t, 1, 5000, &answer);
    assert_false(answer.ok);
    assert_int_equal(answer.e.code, ERR_NOT_FOUND);
    assert_string_equal(answer.e.reason, "BOOK_NOT_FOUND");
    bench_stop(&i);
}

// NO-DOUBLE and NO-LOSS when the answer to COMMIT is lost: the outcome is looked up, and the caller gets the true answer.
static void test_lost_answer_to_commit__is_looked_up(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance direct = bench_start(NULL, NULL);
    bench_make_accounts(&direct, book, 2, 0);
    lossy_proxy *proxy = lossy_proxy_start(fixture_server_dir());
    lossy_proxy_commits_with(proxy, "head_update");
    bench_instance i = bench_start(lossy_proxy_dir(proxy), NULL);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100, 1, 2, 1)), CREATED);
    const lossy_mode modes[] = {LOSSY_DROP_AFTER_COMMIT, LOSSY_DROP_BEFORE_COMMIT};
    for (uint64_t n = 0; n < 6; n++) {
        lossy_proxy_set(proxy, modes[n % 2]);
        const ledger_transfer_event t = bench_event(book, 200 + n, 1, 2, 1);
        bench_commit(&i, book, &t, 1, 20000, &answer);
        assert_true(answer.ok);
        EXPECT_STATUS(answer.status[0], CREATED); // not EXISTS: this call created the transfer
        assert_int_equal(answer.rows[0].sequence, n + 2);
        EXPECT_STATUS(bench_commit_one(&i, book, t), EXISTS);
    }
    assert_int_equal(bench_balances(&direct, book, 1).debits_posted, 7);
    // A burned id, and accounts, are looked up as well.
    lossy_proxy_set(proxy, LOSSY_DROP_AFTER_COMMIT);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 300, 1, 9, 1)),
                  CREDIT_ACCOUNT_NOT_FOUND);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 300, 1, 2, 1)), ID_ALREADY_FAILED);
    const int64_t other = bench_new_book();
    lossy_proxy_set(proxy, LOSSY_DROP_AFTER_COMMIT);
    bench_make_accounts(&i, other, 3, 0);
    bench_check_book(book);
    bench_stop(&i);
    bench_stop(&direct);
    lossy_proxy_stop(proxy);
}

static void tiny_cache(journal_options *o) {
    o->cache_accounts_max = 2;
    o->books_max = 3;
}

static void test_cache__smaller_than_the_work__all_is_committed(void **state) {
    (void)state;
    bench_instance i = bench_start(NULL, tiny_cache);
    int64_t books[5];
    for (size_t k = 0; k < 5; k++) {
        books[k] = bench_new_book();
        bench_make_accounts(&i, books[k], 6, 0);
    }
    for (uint64_t n = 0; n < 60; n++) {
        const int64_t book = books[n % 5];
        EXPECT_STATUS(
            bench_commit_one(&i, book, bench_event(book, 100 + n, 1 + n % 6, 1 + (n + 1) % 6, 1)),
            CREATED);
    }
    for (size_t k = 0; k < 5; k++) {
        bench_check_book(books[k]);
    }
    bench_stop(&i);
}

static bool run_sql(db_conn *c, arena *a, void *arg, err *e) {
    const db_stmt statement = {"privilege", arg};
    return db_exec(c, &statement, NULL, a, NULL, NULL, e);
}

// APPEND-ONLY: the service's role can do nothing else.
static void test_role__of_the_service__has_least_privilege(void **state) {
    (void)state;
    static const char *const FORBIDDEN[] = {
        "UPDATE transfer SET amount = 1",
        "DELETE FROM transfer",
        "TRUNCATE transfer",
        "UPDATE account SET flags = 0",
        "UPDATE account SET timestamp_us = 0",
        "DELETE FROM account",
        "TRUNCATE account",
        "UPDATE burned_transfer SET status = 1",
        "DELETE FROM burned_transfer",
        "DELETE FROM book_head",
        "UPDATE book_head SET book_id = 1",
        "UPDATE book SET name = 'x'",
        "DELETE FROM book",
        "DROP TABLE transfer",
        "ALTER TABLE transfer DROP COLUMN amount",
        "CREATE TABLE mine (i int)",
    };
    for (size_t k = 0; k < sizeof FORBIDDEN / sizeof FORBIDDEN[0]; k++) {
        db_pool *pool = fixture_pool(bench_service_conninfo(), 1, 5000);
        arena *a = arena_create(1 << 20);
        err e = {0};
        assert_false(
            db_read(pool, fixture_deadline(5000), a, run_sql, (void *)(uintptr_t)FORBIDDEN[k], &e));
        assert_string_equal(e.sqlstate, "42501");
        arena_destroy(a);
        db_pool_destroy(pool);
    }
}

// NO-OVERDRAFT holds in the database, even if the service is wrong.
static void test_schema__limits_are_its_checks(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 1, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    char sql[128];
    (void)snprintf(sql, sizeof sql, "UPDATE account SET debits_posted = 1 WHERE book_id = %lld",
                   (long long)book);
    arena *a = arena_create(1 << 20);
    err e = {0};
    assert_false(db_read(i.pool, fixture_deadline(5000), a, run_sql, sql, &e));
    assert_string_equal(e.constraint, "account_debits_limit");
    arena_destroy(a);
    bench_stop(&i);
}

static void checkpoint_each_commit(journal_options *o) {
    o->checkpoint_rows = 1;
}

// A balance is changed behind the service's back: the checkpoint must notice before it writes, and end the process.
static void test_violated_invariant__ends_the_process(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char sql[128];
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(0);
        }
        bench_instance i = bench_start(NULL, checkpoint_each_commit);
        bench_make_accounts(&i, book, 2, 0);
        if (bench_commit_one(&i, book, bench_event(book, 100, 1, 2, 5)) ==
            LEDGER_TRANSFER_CREATED) {
            (void)snprintf(sql, sizeof sql,
                           "UPDATE account SET credits_posted = 6 WHERE book_id = %lld",
                           (long long)book);
            fixture_sql(sql, NULL, 0);
            (void)bench_commit_one(&i, book, bench_event(book, 101, 1, 2, 5));
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char sql[128];
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM transfer WHERE book_id = %lld",
                   (long long)book);
    assert_int_equal(fixture_sql_i64(sql), 1);
    // Removes the head: a sweeper of a later test would end at this book as well.
    (void)snprintf(sql, sizeof sql, "DELETE FROM book_head WHERE book_id = %lld", (long long)book);
    fixture_sql(sql, NULL, 0);
}

static void test_follower__is_woken_by_a_commit(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 2, 0);
    const uint64_t mark = journal_mark(i.j, book);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100, 1, 2, 1)), CREATED);
    assert_true(journal_mark(i.j, book) != mark);
    journal_wait(i.j, book, mark, 60000); // returns at once: the mark is old
    journal_quiesce(i.j);
    // and nobody waits for a journal that ends
    journal_wait(i.j, book, journal_mark(i.j, book), 60000);
    bench_stop(&i);
}

int main(void) {
    bench_database();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_committed__read_back_and_repeated_after_a_restart),
        cmocka_unit_test(test_two_phase__across_a_restart),
        cmocka_unit_test(test_two_instances__take_turns_on_one_book),
        cmocka_unit_test(test_case_65__clock_steps_back),
        cmocka_unit_test(test_case_36__expiry_without_traffic_and_across_a_restart),
        cmocka_unit_test(test_clock_set_back__expiry_is_by_the_time_of_the_book),
        cmocka_unit_test(test_case_36__first_request_after_a_restart_across_the_deadline),
        cmocka_unit_test(test_case_36__more_due_at_once_than_one_transaction_releases),
        cmocka_unit_test(test_deadline_that_has_passed__is_left_out),
        cmocka_unit_test(test_ended_by_another_instance__and_named_twice),
        cmocka_unit_test(test_unknown_book__not_found),
        cmocka_unit_test(test_lost_answer_to_commit__is_looked_up),
        cmocka_unit_test(test_cache__smaller_than_the_work__all_is_committed),
        cmocka_unit_test(test_role__of_the_service__has_least_privilege),
        cmocka_unit_test(test_schema__limits_are_its_checks),
        cmocka_unit_test(test_violated_invariant__ends_the_process),
        cmocka_unit_test(test_follower__is_woken_by_a_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
