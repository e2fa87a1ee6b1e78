#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "calendar/fed_calendar.h"

#define DAY(y, m, d) ((civil_date){(y), (m), (d)})

static void assert_day(civil_date got, civil_date want) {
    assert_int_equal(got.year, want.year);
    assert_int_equal(got.month, want.month);
    assert_int_equal(got.day, want.day);
}

// Dates as the Federal Reserve publishes them.
static void test_banking_day__reference_dates__as_published(void **state) {
    (void)state;
    const civil_date open[] = {DAY(2023, 11, 10), DAY(2026, 7, 3), DAY(2027, 6, 18),
                               DAY(2027, 12, 24)};
    const civil_date closed[] = {DAY(2021, 7, 5), DAY(2022, 6, 20), DAY(2022, 12, 26),
                                 DAY(2027, 7, 5)};
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
        assert_true(fed_is_banking_day(open[i]));
        assert_false(fed_is_banking_day(closed[i]));
    }
}

static void test_banking_day__holidays_of_2026__closed(void **state) {
    (void)state;
    // July 4 is a Saturday in 2026.
    const civil_date closed[] = {
        DAY(2026, 1, 1),   DAY(2026, 1, 19),  DAY(2026, 2, 16),  DAY(2026, 5, 25),
        DAY(2026, 6, 19),  DAY(2026, 7, 4),   DAY(2026, 9, 7),   DAY(2026, 10, 12),
        DAY(2026, 11, 11), DAY(2026, 11, 26), DAY(2026, 12, 25),
    };
    int days_off = 0;
    for (civil_date d = DAY(2026, 1, 1); d.year == 2026; d = civil_add_days(d, 1)) {
        days_off += fed_is_banking_day(d) ? 0 : 1;
    }
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++) {
        assert_false(fed_is_banking_day(closed[i]));
    }
    assert_int_equal(days_off, 104 + 10); // weekends, and the holidays that are not on one
}

static void test_add_banking_days__reference_sums__as_published(void **state) {
    (void)state;
    assert_day(fed_add_banking_days(DAY(2021, 7, 2), 2), DAY(2021, 7, 7));
    assert_day(fed_add_banking_days(DAY(2022, 6, 17), 1), DAY(2022, 6, 21));
    assert_day(fed_add_banking_days(DAY(2021, 7, 2), 500), DAY(2023, 6, 30));
    assert_day(fed_add_banking_days(DAY(2026, 11, 21), 0), DAY(2026, 11, 23)); // from a Saturday
    assert_day(fed_add_banking_days(DAY(2026, 11, 21), 1), DAY(2026, 11, 23));
    assert_day(fed_add_banking_days(DAY(2026, 11, 20), 0), DAY(2026, 11, 20));
}

static void test_civil_is_valid__leap_days__as_gregorian(void **state) {
    (void)state;
    assert_true(civil_is_valid(DAY(2024, 2, 29)));
    assert_true(civil_is_valid(DAY(2000, 2, 29)));
    assert_false(civil_is_valid(DAY(2026, 2, 29)));
    assert_false(civil_is_valid(DAY(2100, 2, 29)));
    assert_false(civil_is_valid(DAY(2026, 4, 31)));
    assert_false(civil_is_valid(DAY(2026, 13, 1)));
    assert_false(civil_is_valid(DAY(2026, 1, 0)));
}

static void test_local_time__around_the_changes__us_rules(void **state) {
    (void)state;
    const int64_t hour = INT64_C(3600000000);
    int64_t spring = time_from_civil(DAY(2026, 3, 8)) + 7 * hour;  // 02:00 EST
    int64_t autumn = time_from_civil(DAY(2026, 11, 1)) + 6 * hour; // 02:00 EDT
    assert_int_equal(fed_local_us(spring - 1), spring - 1 - 5 * hour);
    assert_int_equal(fed_local_us(spring), spring - 4 * hour);
    assert_int_equal(fed_local_us(autumn - 1), autumn - 1 - 4 * hour);
    assert_int_equal(fed_local_us(autumn), autumn - 5 * hour);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_banking_day__reference_dates__as_published),
        cmocka_unit_test(test_banking_day__holidays_of_2026__closed),
        cmocka_unit_test(test_add_banking_days__reference_sums__as_published),
        cmocka_unit_test(test_civil_is_valid__leap_days__as_gregorian),
        cmocka_unit_test(test_local_time__around_the_changes__us_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
