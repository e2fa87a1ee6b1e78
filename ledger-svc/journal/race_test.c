// The commit path under many callers and two instances at once.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/metrics.h"
#include "testing/bench_journal.h"
#include "testing/fixture.h"

enum { CALLERS = 16 };

#define EXPECT_STATUS(actual, wanted)                                                              \
    assert_string_equal(ledger_transfer_status_name(actual), #wanted)

typedef struct caller {
    pthread_t thread;
    bench_instance *i;
    int64_t book;
    uint64_t number, state;
    int n_calls;
    size_t created, refused, other;
    ledger_transfer_event event; // for callers that all send the same
    bench_answer answer;
} caller;

static uint64_t next_random(caller *c) { // splitmix64
    uint64_t z = c->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void run_callers(caller *callers, size_t n, void *(*fn)(void *)) {
    for (size_t k = 0; k < n; k++) {
        MUST(pthread_create(&callers[k].thread, NULL, fn, &callers[k]) == 0);
    }
    for (size_t k = 0; k < n; k++) {
        MUST(pthread_join(callers[k].thread, NULL) == 0);
    }
}

static void *send_the_same(void *arg) {
    caller *c = arg;
    bench_commit(c->i, c->book, &c->event, 1, 20000, &c->answer);
    return NULL;
}

static caller *callers_create(bench_instance *i, size_t n_instances, int64_t book) {
    caller *callers = calloc(CALLERS, sizeof *callers);
    ASSERT(callers != NULL);
    for (size_t k = 0; k < CALLERS; k++) {
        callers[k].i = &i[k % n_instances];
        callers[k].book = book;
        callers[k].number = k;
        callers[k].state = 0x1234567 + k;
    }
    return callers;
}

static void test_case_10_same_id_at_once__one_created(void **state) {
    (void)state;
    bench_instance i[2] = {bench_start(NULL, NULL), bench_start(NULL, NULL)};
    const int64_t book = bench_new_book();
    bench_make_accounts(&i[0], book, 2, 0);
    caller *callers = callers_create(i, 2, book);
    for (size_t k = 0; k < CALLERS; k++) {
        callers[k].event = bench_event(book, 100, 1, 2, 5);
    }
    run_callers(callers, CALLERS, send_the_same);
    size_t created = 0;
    for (size_t k = 0; k < CALLERS; k++) {
        assert_true(callers[k].answer.ok);
        created += callers[k].answer.status[0] == LEDGER_TRANSFER_CREATED;
        assert_true(callers[k].answer.has_row[0]);
        assert_int_equal(callers[k].answer.rows[0].timestamp_us,
                         callers[0].answer.rows[0].timestamp_us);
    }
    assert_int_equal(created, 1);
    assert_int_equal(bench_balances(&i[0], book, 1).debits_posted, 5);
    free(callers);
    bench_check_book(book);
    bench_stop(&i[0]);
    bench_stop(&i[1]);
}

static void test_many_posts_of_one_pending__one_effect(void **state) {
    (void)state;
    bench_instance i[2] = {bench_start(NULL, NULL), bench_start(NULL, NULL)};
    const int64_t book = bench_new_book();
    bench_make_accounts(&i[0], book, 2, 0);
    ledger_transfer_event hold = bench_event(book, 100, 1, 2, 5);
    hold.flags = LEDGER_TRANSFER_FLAG_PENDING;
    EXPECT_STATUS(bench_commit_one(&i[0], book, hold), CREATED);
    caller *callers = callers_create(i, 2, book);
    for (size_t k = 0; k < CALLERS; k++) {
        callers[k].event = (ledger_transfer_event){.id = bench_uuid(book, 200 + k),
                                                   .pending_id = hold.id,
                                                   .amount = 5,
                                                   .flags = LEDGER_TRANSFER_FLAG_POST};
    }
    run_callers(callers, CALLERS, send_the_same);
    size_t created = 0;
    for (size_t k = 0; k < CALLERS; k++) {
        assert_true(callers[k].answer.ok);
        created += callers[k].answer.status[0] == LEDGER_TRANSFER_CREATED;
        if (callers[k].answer.status[0] != LEDGER_TRANSFER_CREATED) {
            EXPECT_STATUS(callers[k].answer.status[0], PENDING_TRANSFER_ALREADY_POSTED);
        }
    }
    assert_int_equal(created, 1);
    assert_int_equal(bench_balances(&i[0], book, 1).debits_posted, 5);
    assert_int_equal(bench_balances(&i[0], book, 1).debits_pending, 0);
    free(callers);
    bench_check_book(book);
    bench_stop(&i[0]);
    bench_stop(&i[1]);
}

static void *send_random(void *arg) {
    caller *c = arg;
    for (int call = 0; call < c->n_calls; call++) {
        ledger_transfer_event events[8];
        const size_t n = 1 + next_random(c) % 8;
        for (size_t k = 0; k < n; k++) {
            const uint64_t debit = 1 + next_random(c) % 6;
            const uint64_t id = 1000 + c->number * 1000000 + (uint64_t)call * 10 + k;
            events[k] = bench_event(c->book, id, debit, 1 + (debit + next_random(c) % 5) % 6,
                                    (int64_t)(next_random(c) % 40));
        }
        bench_commit(c->i, c->book, events, n, 20000, &c->answer);
        ASSERT(c->answer.ok);
        for (size_t k = 0; k < n; k++) {
            c->created += c->answer.status[k] == LEDGER_TRANSFER_CREATED;
            c->refused += c->answer.status[k] == LEDGER_TRANSFER_EXCEEDS_CREDITS;
            c->other += c->answer.status[k] != LEDGER_TRANSFER_CREATED &&
                        c->answer.status[k] != LEDGER_TRANSFER_EXCEEDS_CREDITS;
        }
    }
    return NULL;
}

// Overlapping accounts in every order, on two instances: no error reaches a caller, nothing is lost, nothing overdrawn.
static void test_overlapping_batches__from_everywhere__each_once(void **state) {
    (void)state;
    bench_instance i[2] = {bench_start(NULL, NULL), bench_start(NULL, NULL)};
    const int64_t book = bench_new_book();
    bench_make_accounts(&i[0], book, 6, LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS);
    // Money enters through an account without a limit.
    char sql[256];
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO account SELECT book_id, '00000000-0000-0000-0000-0000000000ff', "
                   "timestamp_us - 1000000, 0, 0, 0, 0, 0, "
                   "code, 0, currency FROM account WHERE book_id = %lld LIMIT 1",
                   (long long)book);
    fixture_sql(sql, NULL, 0);
    for (uint64_t account = 1; account <= 6; account++) {
        ledger_transfer_event fund = bench_event(book, 10 + account, 0, account, 100);
        fund.debit_account_id.b[15] = 0xff;
        EXPECT_STATUS(bench_commit_one(&i[0], book, fund), CREATED);
    }
    caller *callers = callers_create(i, 2, book);
    size_t created = 6;
    for (size_t k = 0; k < CALLERS; k++) {
        callers[k].n_calls = 25;
    }
    run_callers(callers, CALLERS, send_random);
    size_t refused = 0;
    for (size_t k = 0; k < CALLERS; k++) {
        created += callers[k].created;
        refused += callers[k].refused;
        assert_int_equal(callers[k].other, 0);
    }
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM transfer WHERE book_id = %lld",
                   (long long)book);
    assert_int_equal(fixture_sql_i64(sql), created);
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM burned_transfer WHERE book_id = %lld",
                   (long long)book);
    assert_int_equal(fixture_sql_i64(sql), refused);
    assert_true(refused > 0);
    free(callers);
    bench_check_book(book);
    bench_stop(&i[0]);
    bench_stop(&i[1]);
}

static void *send_one_many_times(void *arg) {
    caller *c = arg;
    for (int call = 0; call < c->n_calls; call++) {
        const ledger_transfer_event t =
            bench_event(c->book, 1000 + c->number * 1000 + (uint64_t)call, 1, 2, 1);
        bench_commit(c->i, c->book, &t, 1, 20000, &c->answer);
        c->created += c->answer.ok && c->answer.status[0] == LEDGER_TRANSFER_CREATED;
    }
    return NULL;
}

static void test_single_transfers__are_gathered(void **state) {
    (void)state;
    bench_instance i = bench_start(NULL, NULL);
    const int64_t book = bench_new_book();
    bench_make_accounts(&i, book, 2, 0);
    metric *commits = metric_counter("ledger_commits_total", "", "transactions committed");
    const int64_t before = metric_value(commits);
    caller *callers = callers_create(&i, 1, book);
    for (size_t k = 0; k < CALLERS; k++) {
        callers[k].n_calls = 20;
    }
    run_callers(callers, CALLERS, send_one_many_times);
    for (size_t k = 0; k < CALLERS; k++) {
        assert_int_equal(callers[k].created, 20);
    }
    assert_true(metric_value(commits) - before < CALLERS * 20 / 2);
    free(callers);
    bench_check_book(book);
    bench_stop(&i);
}

static void small_queue(journal_options *o) {
    o->queue_requests_max = 4;
    o->commit_threads = 1;
}

static void *send_until_refused(void *arg) {
    caller *c = arg;
    for (int call = 0; call < c->n_calls; call++) {
        const ledger_transfer_event t =
            bench_event(c->book, 1000 + c->number * 1000 + (uint64_t)call, 1, 2, 1);
        bench_commit(c->i, c->book, &t, 1, 20000, &c->answer);
        if (c->answer.ok) {
            c->created++;
        } else {
            ASSERT(c->answer.e.code == ERR_RESOURCE_EXHAUSTED && c->answer.e.retry_after_ms > 0);
            c->refused++;
        }
    }
    return NULL;
}

static void test_full_queue__refuses_at_once(void **state) {
    (void)state;
    bench_instance i = bench_start(NULL, small_queue);
    const int64_t book = bench_new_book();
    bench_make_accounts(&i, book, 2, 0);
    caller *callers = callers_create(&i, 1, book);
    size_t created = 0;
    size_t refused = 0;
    for (size_t k = 0; k < CALLERS; k++) {
        callers[k].n_calls = 20;
    }
    run_callers(callers, CALLERS, send_until_refused);
    for (size_t k = 0; k < CALLERS; k++) {
        created += callers[k].created;
        refused += callers[k].refused;
    }
    assert_true(refused > 0);
    assert_int_equal(bench_balances(&i, book, 1).debits_posted, created);
    free(callers);
    bench_check_book(book);
    bench_stop(&i);
}

int main(void) {
    bench_database();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_case_10_same_id_at_once__one_created),
        cmocka_unit_test(test_many_posts_of_one_pending__one_effect),
        cmocka_unit_test(test_overlapping_batches__from_everywhere__each_once),
        cmocka_unit_test(test_single_transfers__are_gathered),
        cmocka_unit_test(test_full_queue__refuses_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
