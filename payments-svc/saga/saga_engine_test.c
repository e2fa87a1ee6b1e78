// The engine as a whole: worker threads, gathering, waking, stopping, two engines on one database.
#include "events/events.h"
#include "saga/engine.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "saga/orders.h"
#include "testing/saga_test_world.h"

static int setup(void **state) {
    log_init("saga-test", getenv("SAGA_BENCH") ? LOG_INFO : LOG_WARN);
    return world_setup(state);
}

static int teardown(void **state) {
    (void)state;
    world_teardown();
    return 0;
}

static int fresh(void **state) {
    (void)state;
    world_reset();
    world_fund(INT64_C(1000000000000));
    return 0;
}

static void nap(int64_t ms) {
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static saga_engine *start_with(rail *r, int64_t poll_ms, int64_t lease_ms, int workers,
                               int batch_max) {
    static char ledger; // the fake ledger ignores it
    saga_engine_options o = {.pool = world_pool(),
                             .ledger = (rpc_client *)&ledger,
                             .keys = world_keys(),
                             .rails = &r,
                             .n_rails = 1,
                             .workers = workers,
                             .batch_max = batch_max,
                             .lease_ms = lease_ms,
                             .poll_ms = poll_ms,
                             .idle_poll_ms = poll_ms,
                             .policy = {.attempts_max = 5,
                                        .backoff_base_ms = 5,
                                        .backoff_cap_ms = 50,
                                        .resolve_after_ms = 60000},
                             .ledger_timeout_ms = 1000};
    err e = {0};
    saga_engine *g = saga_engine_start(&o, &e);
    assert_non_null(g);
    return g;
}

static saga_engine *start(rail *r, int64_t poll_ms, int64_t lease_ms) {
    return start_with(r, poll_ms, lease_ms, 3, 8000);
}

static int64_t in_state(saga_state state) {
    return world_count("SELECT count(*) FROM saga WHERE state = %d", (int)state);
}

static bool reach(saga_state state, int64_t n, int64_t within_ms) {
    const int64_t until_ms = fixture_deadline(within_ms);
    while (in_state(state) < n) {
        if (fixture_deadline(0) > until_ms) {
            return false;
        }
        nap(20);
    }
    return true;
}

static void test_engine__all_the_way__settled(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 500, 100, NULL);
    saga_engine *g = start(world_rail(RAIL_INSTANT, 0), 20, 5000);
    assert_true(reach(STATE_SENT, 500, 20000));
    world_settle_all(RAIL_INSTANT);
    assert_true(reach(STATE_SETTLED, 500, 20000));
    saga_engine_stop(g);
    assert_int_equal(world_paid_out(), 500 * 100);
    assert_int_equal(world_look().submitted, 500);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE due_at IS NULL AND phase = 0"),
                     500);
    // RESERVE, EXECUTE and CONFIRM: an intent and an outcome each, without a gap.
    assert_int_equal(world_count("SELECT count(*) FROM step_log"), 500 * 6);
    assert_int_equal(world_count("SELECT max(seq) FROM step_log"), 6);
}

static void test_engine__sync_settlement__settled_without_events(void **state) {
    (void)state;
    world.submit_verdict = RAIL_SETTLED;
    saga_engine *g = start(world_rail(RAIL_INSTANT, 0), 60000, 5000); // never polls: must be woken
    nap(100);
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    saga_engine_wake(g, WORLD_BOOK, SAGA_ANY_RAIL);
    assert_true(reach(STATE_SETTLED, 1, 5000));
    saga_engine_stop(g);
}

static void test_engine__heard__settled_without_a_poll(void **state) {
    (void)state;
    uuid id;
    saga_engine *g = start(world_rail(RAIL_INSTANT, 0), 60000, 5000);
    nap(100);
    world_payouts(RAIL_INSTANT, 1, 100, &id);
    saga_engine_wake(g, WORLD_BOOK, SAGA_ANY_RAIL);
    assert_true(reach(STATE_SENT, 1, 5000));
    nap(300);
    world_event(id, 1, RAIL_EVENT_SETTLED, "a");
    saga_engine_heard(g, WORLD_BOOK, SAGA_ANY_RAIL);
    assert_true(reach(STATE_SETTLED, 1, 5000));
    saga_engine_stop(g);
}

static void test_engine__gathers_one_file(void **state) {
    (void)state;
    saga_engine *g = start(world_rail(RAIL_ACH, 600), 10, 5000);
    for (int i = 0; i < 8; i++) {
        world_payouts(RAIL_ACH, 10, 100, NULL);
        saga_engine_wake(g, WORLD_BOOK, SAGA_ANY_RAIL);
        nap(30);
    }
    assert_int_equal(world_look().submits, 0);
    assert_true(reach(STATE_SENT, 80, 10000));
    assert_int_equal(world_look().submits, 1);
    saga_engine_stop(g);
}

// Of 80 that a batch takes, ten are a bulk, and five are not.
static void test_engine__nothing_follows_a_bulk__gathering_ends(void **state) {
    (void)state;
    saga_engine *g = start_with(world_rail(RAIL_ACH, 10000), 10, 5000, 3, 80);
    world_payouts(RAIL_ACH, 10, 100, NULL);
    saga_engine_wake(g, WORLD_BOOK, SAGA_ANY_RAIL);
    assert_true(reach(STATE_SENT, 10, 7500)); // a quarter is enough, the whole would be too late
    assert_int_equal(world_look().submits, 1);
    saga_engine_stop(g);
}

static void test_engine__few_payouts__gathered_for_the_whole_time(void **state) {
    (void)state;
    saga_engine *g = start_with(world_rail(RAIL_ACH, 1500), 10, 5000, 3, 80);
    const int64_t begun_ms = fixture_deadline(0);
    world_payouts(RAIL_ACH, 5, 100, NULL);
    saga_engine_wake(g, WORLD_BOOK, SAGA_ANY_RAIL);
    assert_true(reach(STATE_SENT, 5, 20000));
    assert_true(fixture_deadline(0) - begun_ms >= 1500);
    saga_engine_stop(g);
}

// A bank that takes payments and answers on the test's command.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answers;
    int waiting; // submissions without an answer
    void (*submit)(rail *r, int64_t book_id, rail_item *items, size_t n,
                   const _Atomic int64_t *until_boot_ms, arena *a);
} bank = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void submit_to_bank(rail *r, int64_t book_id, rail_item *items, size_t n,
                           const _Atomic int64_t *until_boot_ms, arena *a) {
    pthread_mutex_lock(&bank.lock);
    bank.waiting++;
    while (!bank.answers) {
        pthread_cond_wait(&bank.changed, &bank.lock);
    }
    bank.waiting--;
    pthread_mutex_unlock(&bank.lock);
    bank.submit(r, book_id, items, n, until_boot_ms, a);
}

static int bank_waiting(void) {
    pthread_mutex_lock(&bank.lock);
    const int n = bank.waiting;
    pthread_mutex_unlock(&bank.lock);
    return n;
}

static void bank_answers(bool yes) {
    pthread_mutex_lock(&bank.lock);
    bank.answers = yes;
    pthread_cond_broadcast(&bank.changed);
    pthread_mutex_unlock(&bank.lock);
}

static void one_more(saga_engine *g) {
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    saga_engine_wake(g, WORLD_BOOK, SAGA_ANY_RAIL);
}

// Later payouts are also submitted, until half of the workers wait; the rest goes on with the ledger.
static void test_engine__bank_hangs__half_of_the_workers_wait_for_it(void **state) {
    (void)state;
    rail *r = world_rail(RAIL_INSTANT, 0);
    bank.submit = r->submit;
    r->submit = submit_to_bank;
    world.submit_verdict = RAIL_SETTLED;
    bank_answers(false);
    saga_engine *g = start(r, 10, 60000); // 3 workers
    const int64_t until_ms = fixture_deadline(20000);
    for (int n = 1; n <= 2; n++) {
        one_more(g);
        while (bank_waiting() < n && fixture_deadline(0) < until_ms) {
            nap(5);
        }
        assert_int_equal(bank_waiting(), n);
    }
    for (int n = 1; n <= 5; n++) {
        one_more(g);
        assert_true(reach(STATE_PROCESSING, 2 + n, 10000)); // reserved
        assert_int_equal(bank_waiting(), 2);
    }
    bank_answers(true);
    assert_true(reach(STATE_SETTLED, 7, 10000));
    saga_engine_stop(g);
    r->submit = bank.submit;
    assert_int_equal(world_look().submitted, 7);
    assert_int_equal(world_paid_out(), 7 * 100);
}

static void test_engine__ledger_down_for_a_while__nothing_is_dropped(void **state) {
    (void)state;
    world.ledger_failures = 8;
    world.submit_verdict = RAIL_SETTLED;
    world_payouts(RAIL_INSTANT, 50, 100, NULL);
    saga_engine *g = start(world_rail(RAIL_INSTANT, 0), 10, 5000);
    assert_true(reach(STATE_SETTLED, 50, 20000));
    saga_engine_stop(g);
    assert_int_equal(world_paid_out(), 50 * 100);
    assert_int_equal(world_look().twice, 0);
}

// Work without waits: more workers would only take the processors from incoming payouts.
static void test_engine__much_work__half_of_the_workers_do_it(void **state) {
    (void)state;
    world.ledger_takes_ms = 20;
    world_payouts(RAIL_INSTANT, 400, 100, NULL);
    saga_engine *g = start_with(world_rail(RAIL_INSTANT, 0), 10, 5000, 6, 10);
    assert_true(reach(STATE_SENT, 400, 30000));
    saga_engine_stop(g);
    assert_int_equal(world_look().ledger_at_once, 3);
}

static void *lock_sagas(void *arg) {
    (void)arg;
    fixture_sql("BEGIN; LOCK TABLE saga; SELECT pg_sleep(1.5); COMMIT", NULL, 0);
    return NULL;
}

// A slow look, as while the database was away, does not delay the next one.
static void test_engine__a_slow_look__the_next_one_comes_soon(void **state) {
    (void)state;
    pthread_t thread;
    saga_engine *g = start(world_rail(RAIL_INSTANT, 0), 10, 5000);
    assert_int_equal(pthread_create(&thread, NULL, lock_sagas, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    world_payouts(RAIL_INSTANT, 1, 100, NULL); // the engine is not woken
    assert_true(reach(STATE_SENT, 1, 10000));
    saga_engine_stop(g);
}

static void test_engine__stop_under_load__no_lease_is_left(void **state) {
    (void)state;
    world.submit_verdict = RAIL_SETTLED;
    world.submit_takes_ms = 300;
    world_payouts(RAIL_INSTANT, 2000, 100, NULL);
    saga_engine *g = start(world_rail(RAIL_INSTANT, 0), 10, 5000);
    while (world_count("SELECT count(*) FROM saga_lease WHERE step = 2") == 0) {
        nap(5);
    }
    saga_engine_stop(g);
    assert_int_equal(world_count("SELECT count(*) FROM saga_lease") +
                         world_count("SELECT count(*) FROM saga WHERE phase <> 0"),
                     0);
    g = start(world_rail(RAIL_INSTANT, 0), 10, 5000);
    assert_true(reach(STATE_SETTLED, 2000, 20000));
    saga_engine_stop(g);
    assert_int_equal(world_look().submitted, 2000);
    assert_int_equal(world_paid_out(), 2000 * 100);
}

static void test_engine__two_engines__each_payout_once(void **state) {
    (void)state;
    world.submit_verdict = RAIL_SETTLED;
    rail *r = world_rail(RAIL_INSTANT, 0);
    r->batch_max = 50; // many small batches: many meetings
    saga_engine *one = start(r, 10, 5000), *two = start(r, 10, 5000);
    for (int i = 0; i < 10; i++) {
        world_payouts(RAIL_INSTANT, 300, 100, NULL);
        saga_engine_wake(i % 2 == 0 ? one : two, WORLD_BOOK, SAGA_ANY_RAIL);
    }
    assert_true(reach(STATE_SETTLED, 3000, 30000));
    saga_engine_stop(one);
    saga_engine_stop(two);
    assert_int_equal(world_look().submitted, 3000);
    assert_int_equal(world_paid_out(), 3000 * 100);
    assert_int_equal(world_count("SELECT count(*) FROM step_log"), 3000 * 6);
}

static void test_engine__rail_speaks_while_it_is_asked__nothing_is_missed(void **state) {
    (void)state;
    rail *r = world_rail(RAIL_INSTANT, 0);
    r->batch_max = 300;
    world.submit_takes_ms = 10;
    saga_engine *g = start(r, 10, 5000);
    const int64_t until_ms = fixture_deadline(30000);
    world_payouts(RAIL_INSTANT, 3000, 100, NULL);
    while (in_state(STATE_SETTLED) < 3000 && fixture_deadline(0) < until_ms) {
        world_settle_all(RAIL_INSTANT); // before, during and after the outcome's write
    }
    saga_engine_stop(g);
    assert_int_equal(in_state(STATE_SETTLED), 3000);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE events <> events_seen"), 0);
    assert_int_equal(world_paid_out(), 3000 * 100);
    assert_int_equal(
        world_count("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), 0);
}

// A call at the bank must not be under way for long after its lease has ended.
static void test_options__timeout_near_the_lease__refused(void **state) {
    (void)state;
    static char ledger;
    rail *r = world_rail(RAIL_INSTANT, 0);
    saga_engine_options o = {
        .pool = world_pool(),
        .ledger = (rpc_client *)&ledger,
        .keys = world_keys(),
        .rails = &r,
        .n_rails = 1,
        .workers = 1,
        .batch_max = 1,
        .lease_ms = 10000,
        .poll_ms = 10,
        .idle_poll_ms = 10,
        .policy = {.attempts_max = 5, .backoff_base_ms = 5, .backoff_cap_ms = 50},
        .ledger_timeout_ms = 1000};
    err e = {0};
    r->call_ms = 5001;
    assert_null(saga_engine_start(&o, &e));
    assert_non_null(strstr(e.message, "saga.lease_ms"));
    r->call_ms = 5000;
    saga_engine *g = saga_engine_start(&o, &e);
    assert_non_null(g);
    saga_engine_stop(g);
}

static void test_options__wrong__refused_by_name(void **state) {
    (void)state;
    const saga_engine_options none = {0};
    err e = {0};
    assert_null(saga_engine_start(&none, &e));
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
}

// Not part of the suite: SAGA_BENCH=20000 prints the engine's own time.
static void bench(size_t n) {
    world_payouts(RAIL_ACH, n, 100, NULL);
    const int64_t from_ms = fixture_deadline(0);
    saga_engine *g = start(world_rail(RAIL_ACH, 100), 20, 10000);
    assert_true(reach(STATE_SENT, (int64_t)n, 120000));
    const int64_t sent_ms = fixture_deadline(0);
    world_settle_all(RAIL_ACH);
    const int64_t told_ms = fixture_deadline(0);
    assert_true(reach(STATE_SETTLED, (int64_t)n, 120000));
    const int64_t settled_ms = fixture_deadline(0);
    saga_engine_stop(g);
    (void)printf("%zu payouts: sent after %lld ms, events %lld ms, settled after %lld ms\n", n,
                 (long long)(sent_ms - from_ms), (long long)(told_ms - sent_ms),
                 (long long)(settled_ms - told_ms));
}

static void test_bench__when_asked(void **state) {
    (void)state;
    const char *n = getenv("SAGA_BENCH");
    int64_t count = 0;
    if (n == NULL || !str_to_i64(str_of(n), 1, 30000, &count)) {
        skip();
    }
    bench((size_t)count);
}

typedef struct cancel {
    saga_engine *engine;
    uuid payout_id;
} cancel;

static bool cancel_after_a_restore(db_conn *c, arena *a, void *arg, err *e) {
    const cancel *x = arg;
    const saga_cancellation order = {.book_id = WORLD_BOOK,
                                     .payout_id = x->payout_id,
                                     .may_be_forgotten = true,
                                     .actor = STR("ada"),
                                     .reason = STR("a mistake"),
                                     .now_us = clock_wall_us(clock_system())};
    return saga_cancel(x->engine, c, &order, a, e);
}

static bool nothing_forgotten(rail *r, db_conn *c, int64_t book_id, uuid intent_id, int32_t attempt,
                              bool *may, arena *a, err *e) {
    (void)r, (void)c, (void)book_id, (void)intent_id, (void)attempt, (void)a, (void)e;
    *may = false;
    return true;
}

// The bank's folders were listed, under the lock of the order: no query about one payout is possible.
static void test_cancel__after_a_restore__rail_of_files__nobody_is_asked(void **state) {
    (void)state;
    err e = {0};
    arena *a = arena_create(1 << 20);
    world.hands_over = true;
    world.prepare_verdict = RAIL_NOT_SENT; // waits for its file
    rail *r = world_rail(RAIL_ACH, 0);
    r->may_have = nothing_forgotten;
    saga_engine *g = start(r, 20, 5000);
    cancel x = {.engine = g};
    world_payouts(RAIL_ACH, 1, 100, &x.payout_id);
    const int64_t until_ms = fixture_deadline(10000);
    while (!db_transact(world_pool(), until_ms, a, cancel_after_a_restore, &x, &e)) {
        assert_string_equal(e.reason, "PAYOUT_NOT_CANCELABLE"); // a worker has it: again
        assert_true(fixture_deadline(0) < until_ms);
        nap(1);
    }
    saga_engine_heard(g, WORLD_BOOK, SAGA_ANY_RAIL);
    const bool canceled = reach(STATE_CANCELED, 1, 10000);
    saga_engine_stop(g);
    assert_true(canceled);
    assert_int_equal(world_look().queries, 0);
    arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cancel__after_a_restore__rail_of_files__nobody_is_asked, fresh),
        cmocka_unit_test_setup(test_engine__all_the_way__settled, fresh),
        cmocka_unit_test_setup(test_engine__sync_settlement__settled_without_events, fresh),
        cmocka_unit_test_setup(test_engine__heard__settled_without_a_poll, fresh),
        cmocka_unit_test_setup(test_engine__gathers_one_file, fresh),
        cmocka_unit_test_setup(test_engine__nothing_follows_a_bulk__gathering_ends, fresh),
        cmocka_unit_test_setup(test_engine__few_payouts__gathered_for_the_whole_time, fresh),
        cmocka_unit_test_setup(test_engine__bank_hangs__half_of_the_workers_wait_for_it, fresh),
        cmocka_unit_test_setup(test_engine__ledger_down_for_a_while__nothing_is_dropped, fresh),
        cmocka_unit_test_setup(test_engine__much_work__half_of_the_workers_do_it, fresh),
        cmocka_unit_test_setup(test_engine__a_slow_look__the_next_one_comes_soon, fresh),
        cmocka_unit_test_setup(test_engine__stop_under_load__no_lease_is_left, fresh),
        cmocka_unit_test_setup(test_engine__two_engines__each_payout_once, fresh),
        cmocka_unit_test_setup(test_engine__rail_speaks_while_it_is_asked__nothing_is_missed,
                               fresh),
        cmocka_unit_test_setup(test_options__timeout_near_the_lease__refused, fresh),
        cmocka_unit_test_setup(test_options__wrong__refused_by_name, fresh),
        cmocka_unit_test_setup(test_bench__when_asked, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
