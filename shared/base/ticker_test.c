#include "base/ticker.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/test_support.h"

static atomic_int calls;
static atomic_bool go_on;

static void count(void *arg) {
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void await_calls(int n) {
    while (atomic_load(&calls) < n) {
        sched_yield();
    }
}

static void test_ticker__started__called_at_once_and_again_until_stopped(void **state) {
    (void)state;
    atomic_store(&calls, 0);
    const int64_t start_ms = clock_mono_ms(clock_system());
    ticker *t = ticker_start(20, count, &calls);
    assert_non_null(t);
    await_calls(4);
    assert_true(clock_mono_ms(clock_system()) - start_ms >= 3 * 20);
    ticker_stop(t);
    const int after = atomic_load(&calls);
    assert_true(clock_mono_ms(clock_system()) - start_ms < 60000);
    for (const int64_t end_ms = clock_mono_ms(clock_system()) + 60;
         clock_mono_ms(clock_system()) < end_ms;) {
        sched_yield();
    }
    assert_int_equal(atomic_load(&calls), after);
}

static void test_ticker_stop__in_a_long_pause__at_once(void **state) {
    (void)state;
    atomic_store(&calls, 0);
    const int64_t start_ms = clock_mono_ms(clock_system());
    ticker *t = ticker_start(INT64_C(24) * 3600 * 1000, count, &calls);
    await_calls(1);
    ticker_stop(t);
    ticker_stop(NULL);
    assert_true(clock_mono_ms(clock_system()) - start_ms < 60000);
    assert_int_equal(atomic_load(&calls), 1);
}

// Work in the first three calls, then none.
static bool find_work(void *arg) {
    return atomic_fetch_add((atomic_int *)arg, 1) < 3;
}

// 3 pauses of 20 ms, then 23, 26, 30, 34 …, at most 40.
static void test_ticker_lazy__nothing_found__the_pause_grows_to_its_end(void **state) {
    (void)state;
    atomic_store(&calls, 0);
    const int64_t start_ms = clock_mono_ms(clock_system());
    ticker *t = ticker_start_lazy(20, 40, find_work, &calls);
    await_calls(10);
    // Measured from the start: a check in between might come late.
    assert_true(clock_mono_ms(clock_system()) - start_ms >= 3 * 20 + 23 + 26 + 30 + 34 + 39 + 40);
    ticker_stop(t);
}

static void test_ticker_hurry__again_and_again__never_before_the_least_pause(void **state) {
    (void)state;
    atomic_store(&calls, 0);
    const int64_t start_ms = clock_mono_ms(clock_system());
    ticker *t = ticker_start_lazy(50, INT64_C(24) * 3600 * 1000, find_work, &calls);
    while (atomic_load(&calls) < 8) {
        ticker_hurry(t);
        sched_yield();
    }
    assert_true(clock_mono_ms(clock_system()) - start_ms >= 7 * 50);
    ticker_stop(t);
}

static void test_ticker_wake__in_a_long_pause__called_at_once(void **state) {
    (void)state;
    atomic_store(&calls, 0);
    const int64_t start_ms = clock_mono_ms(clock_system());
    ticker *t =
        ticker_start_lazy(INT64_C(24) * 3600 * 1000, INT64_C(24) * 3600 * 1000, find_work, &calls);
    await_calls(1);
    ticker_wake(t);
    await_calls(2);
    ticker_stop(t);
    assert_true(clock_mono_ms(clock_system()) - start_ms < 60000);
}

static void hold_on(void *arg) {
    (void)arg;
    atomic_fetch_add(&calls, 1);
    while (!atomic_load(&go_on)) {
        sched_yield();
    }
    atomic_fetch_add(&calls, 1);
}

static void *stop(void *arg) {
    ticker_stop(arg);
    return NULL;
}

static void test_ticker_stop__in_a_call__waits_for_it(void **state) {
    (void)state;
    pthread_t stopper;
    atomic_store(&calls, 0);
    atomic_store(&go_on, false);
    ticker *t = ticker_start(1, hold_on, NULL);
    await_calls(1);
    assert_int_equal(pthread_create(&stopper, NULL, stop, t), 0);
    atomic_store(&go_on, true);
    assert_int_equal(pthread_join(stopper, NULL), 0);
    assert_int_equal(atomic_load(&calls) % 2, 0); // no call was left half done
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticker__started__called_at_once_and_again_until_stopped),
        cmocka_unit_test(test_ticker_lazy__nothing_found__the_pause_grows_to_its_end),
        cmocka_unit_test(test_ticker_hurry__again_and_again__never_before_the_least_pause),
        cmocka_unit_test(test_ticker_wake__in_a_long_pause__called_at_once),
        cmocka_unit_test(test_ticker_stop__in_a_long_pause__at_once),
        cmocka_unit_test(test_ticker_stop__in_a_call__waits_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
