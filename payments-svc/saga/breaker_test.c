// The circuit breaker, with a clock of the test's own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "saga/breaker.h"

enum { BASE_MS = 100, CAP_MS = 1000 };

static test_clock clock_of_test;

static int64_t now_ms(void) {
    return clock_mono_ms(&clock_of_test.source);
}

static void tell(saga_breaker *b, uint8_t first, size_t n, size_t answered) {
    uuid ids[20] = {{{0}}};
    for (size_t i = 0; i < n; i++) {
        ids[i].b[0] = (uint8_t)(first + i);
    }
    saga_breaker_tell(b, ids, n, answered, BASE_MS, CAP_MS, &clock_of_test.source);
}

static int fresh(void **state) {
    (void)state;
    test_clock_init(&clock_of_test, 1000000000, 7);
    return 0;
}

static void test_breaker__different_payouts_in_a_row_open_it(void **state) {
    (void)state;
    saga_breaker b = {0};
    int64_t until = 0;
    for (uint8_t i = 1; i < SAGA_BREAKER_TRIES; i++) {
        tell(&b, i, 1, 0);
        assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_GO);
    }
    tell(&b, SAGA_BREAKER_TRIES, 1, 0);
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_WAIT);
    assert_in_range(until - now_ms(), BASE_MS, 2 * BASE_MS);
}

static void test_breaker__one_payout_again_and_again_does_not(void **state) {
    (void)state;
    saga_breaker b = {0};
    int64_t until = 0;
    for (int i = 0; i < 100; i++) {
        tell(&b, 1, 1, 0);
    }
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_GO);
}

static void test_breaker__any_answer_closes_it(void **state) {
    (void)state;
    saga_breaker b = {0};
    int64_t until = 0;
    tell(&b, 1, 4, 0);
    tell(&b, 9, 1, 1); // one of two got an answer
    tell(&b, 5, 4, 0);
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_GO);
    tell(&b, 5, 5, 0);
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_WAIT);
    tell(&b, 0, 0, 1); // of a batch that was under way
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_GO);
}

static void test_breaker__one_probe_at_a_time_and_ever_later(void **state) {
    (void)state;
    saga_breaker b = {0};
    int64_t until = 0;
    tell(&b, 1, 8, 0);
    int64_t longest = 0;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_WAIT);
        longest = until - now_ms() > longest ? until - now_ms() : longest;
        test_clock_advance(&clock_of_test, (until - now_ms()) * 1000);
        assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_PROBE);
        assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_WAIT);
        assert_int_equal(until, INT64_MAX); // the probe's result comes first
        tell(&b, 1, 1, 0);
    }
    assert_in_range(longest, 3 * BASE_MS, BASE_MS + CAP_MS);
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_WAIT);
    test_clock_advance(&clock_of_test, (until - now_ms()) * 1000);
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_PROBE);
    tell(&b, 0, 0, 0); // it found nothing to try: the next one may
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_PROBE);
    tell(&b, 0, 0, 1);
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_GO);
    tell(&b, 1, 4, 0); // and it begins anew
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_GO);
}

// Batches that were sent before it opened come back one after another.
static void test_breaker__what_was_under_way_does_not_make_it_wait_longer(void **state) {
    (void)state;
    saga_breaker b = {0};
    int64_t until = 0, later = 0;
    tell(&b, 1, 5, 0);
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &until), BREAKER_WAIT);
    tell(&b, 20, 5, 0);
    tell(&b, 40, 5, 0);
    assert_int_equal(saga_breaker_ask(&b, now_ms(), &later), BREAKER_WAIT);
    assert_int_equal(until, later);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_breaker__different_payouts_in_a_row_open_it, fresh),
        cmocka_unit_test_setup(test_breaker__one_payout_again_and_again_does_not, fresh),
        cmocka_unit_test_setup(test_breaker__any_answer_closes_it, fresh),
        cmocka_unit_test_setup(test_breaker__one_probe_at_a_time_and_ever_later, fresh),
        cmocka_unit_test_setup(test_breaker__what_was_under_way_does_not_make_it_wait_longer,
                               fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
