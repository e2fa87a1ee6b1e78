#include "base/clock.h"

#include <time.h>

#include "base/test_support.h"

static void test_clock_system__two_readings__do_not_step_back(void **state) {
    (void)state;
    const clock_source *c = clock_system();
    int64_t before = clock_mono_us(c);
    assert_true(clock_wall_us(c) > INT64_C(1700000000) * 1000000);
    assert_true(clock_mono_us(c) >= before);
    assert_true(clock_mono_ms(c) >= before / 1000);
    uint8_t a[64] = {0}, b[64] = {0};
    clock_random(c, a, sizeof(a));
    clock_random(c, b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

static void test_clock_anchor__set__wall_time_is_the_monotonic_one_and_the_offset(void **state) {
    (void)state;
    const clock_source *c = clock_system();
    const int64_t year_us = INT64_C(365) * 86400 * 1000000;
    const int64_t machine_us = clock_wall_us(clock_machine());
    clock_anchor(machine_us - clock_mono_us(c) - year_us);
    assert_in_range(machine_us - clock_wall_us(c), year_us - 10000000, year_us);
    clock_anchor_lift();
    assert_true(clock_wall_us(c) >= machine_us);
}

static void test_test_clock__same_seed__same_world(void **state) {
    (void)state;
    test_clock a, b, other;
    test_clock_init(&a, 1000, 7);
    test_clock_init(&b, 1000, 7);
    test_clock_init(&other, 1000, 8);
    uint8_t x[13], y[13], z[13];
    clock_random(&a.source, x, sizeof(x));
    clock_random(&b.source, y, sizeof(y));
    clock_random(&other.source, z, sizeof(z));
    assert_memory_equal(x, y, sizeof(x));
    assert_memory_not_equal(x, z, sizeof(x));
    assert_int_equal(clock_wall_us(&a.source), 1000);
    test_clock_advance(&a, 500);
    assert_int_equal(clock_wall_us(&a.source), 1500);
    assert_int_equal(clock_mono_us(&a.source), 1500);
}

static void test_clock_random_below__small_bound__every_value_about_as_often(void **state) {
    (void)state;
    test_clock t;
    test_clock_init(&t, 0, 1);
    int seen[6] = {0};
    for (int i = 0; i < 6000; i++) {
        uint64_t v = clock_random_below(&t.source, 6);
        assert_true(v < 6);
        seen[v]++;
    }
    for (int i = 0; i < 6; i++) {
        assert_in_range(seen[i], 850, 1150);
    }
    assert_int_equal(clock_random_below(&t.source, 1), 0);
    (void)clock_random_below(&t.source, UINT64_MAX);
}

// Draws below 2^64 mod bound must be thrown away. With this bound, a biased version would return the first draw.
static const uint64_t DRAWS[] = {5, UINT64_C(0x8000000000000000)};
static size_t n_drawn;
static void draw(void *self, void *out, size_t len) {
    (void)self;
    memcpy(out, &DRAWS[n_drawn++], len);
}

static void test_clock_random_below__draw_that_would_bias__is_drawn_again(void **state) {
    (void)state;
    clock_source c = {.random = draw};
    uint64_t bound = UINT64_C(0x8000000000000001); // 2^64 mod bound is 2^63 - 1
    assert_true(clock_random_below(&c, bound) == UINT64_C(0x8000000000000000));
    assert_int_equal(n_drawn, 2);
}

static void test_clock_backoff_ms__tries__full_jitter_below_a_doubling_ceiling(void **state) {
    (void)state;
    test_clock t;
    test_clock_init(&t, 0, 3);
    static const int64_t CEILINGS[] = {10, 20, 40, 80, 100, 100};
    for (int try_number = 0; try_number < 6; try_number++) {
        int64_t lowest = INT64_MAX, highest = 0;
        for (int i = 0; i < 2000; i++) {
            int64_t ms = clock_backoff_ms(&t.source, 10, 100, try_number);
            lowest = ms < lowest ? ms : lowest;
            highest = ms > highest ? ms : highest;
        }
        assert_int_equal(lowest, 0);
        assert_int_equal(highest, CEILINGS[try_number]);
    }
    assert_in_range(clock_backoff_ms(&t.source, 1, INT64_MAX - 1, INT32_MAX), 0, INT64_MAX - 1);
    assert_int_equal(clock_backoff_ms(&t.source, 0, 100, 1000000000), 0);
}

static void assert_rfc3339(int64_t wall_us, const char *want) {
    char text[28];
    time_format_rfc3339(wall_us, text, sizeof(text));
    assert_string_equal(text, want);
}

static void test_time_format_rfc3339__known_times__exact(void **state) {
    (void)state;
    assert_rfc3339(0, "1970-01-01T00:00:00.000000Z");
    assert_rfc3339(-1, "1969-12-31T23:59:59.999999Z");
    assert_rfc3339(INT64_C(951782400000000), "2000-02-29T00:00:00.000000Z");
    assert_rfc3339(INT64_C(1795254120123456), "2026-11-21T09:42:00.123456Z");
    assert_rfc3339(INT64_MAX, "9999-12-31T23:59:59.999999Z");
    assert_rfc3339(INT64_MIN, "0000-01-01T00:00:00.000000Z");
}

static void test_time_civil_date__every_day_of_800_years__agrees_with_libc(void **state) {
    (void)state;
    const int64_t day_us = INT64_C(86400) * 1000000;
    for (int64_t day = -150000; day < 150000; day++) {
        time_t seconds = (time_t)(day * 86400);
        struct tm want;
        assert_non_null(gmtime_r(&seconds, &want));
        civil_date d = time_civil_date(day * day_us + day_us - 1);
        assert_int_equal(d.year, want.tm_year + 1900);
        assert_int_equal(d.month, want.tm_mon + 1);
        assert_int_equal(d.day, want.tm_mday);
        assert_int_equal(time_from_civil(d), day * day_us);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_system__two_readings__do_not_step_back),
        cmocka_unit_test(test_clock_anchor__set__wall_time_is_the_monotonic_one_and_the_offset),
        cmocka_unit_test(test_test_clock__same_seed__same_world),
        cmocka_unit_test(test_clock_random_below__small_bound__every_value_about_as_often),
        cmocka_unit_test(test_clock_random_below__draw_that_would_bias__is_drawn_again),
        cmocka_unit_test(test_clock_backoff_ms__tries__full_jitter_below_a_doubling_ceiling),
        cmocka_unit_test(test_time_format_rfc3339__known_times__exact),
        cmocka_unit_test(test_time_civil_date__every_day_of_800_years__agrees_with_libc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
