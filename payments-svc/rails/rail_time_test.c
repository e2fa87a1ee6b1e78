// The banks' times: valid ones to the microsecond, and invalid ones.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rails/rail_time.h"

static void expect_time(const char *text, int64_t want_us) {
    int64_t us = -1;
    assert_true(rail_time_parse(str_of(text), &us));
    assert_int_equal(us, want_us);
}

static void test_parse__utc_and_offsets(void **state) {
    (void)state;
    expect_time("1970-01-01T00:00:00Z", 0);
    expect_time("2026-11-21T09:41:07Z", INT64_C(1795254067000000));
    expect_time("2026-11-21T09:41:07+00:00", INT64_C(1795254067000000));
    expect_time("2026-11-21T09:41:07-00:00", INT64_C(1795254067000000));
    expect_time("2026-11-21T15:11:07+05:30", INT64_C(1795254067000000)); // the same moment in India
    expect_time("2026-11-20T10:11:07-23:30", INT64_C(1795254067000000));
    expect_time("2024-02-29T23:59:59-08:00", INT64_C(1709279999000000)); // of a leap year
    expect_time("1969-12-31T23:59:59.5Z", -500000);
}

static void test_parse__fractions_to_the_microsecond(void **state) {
    (void)state;
    expect_time("2026-11-21T09:41:07.1Z", INT64_C(1795254067100000));
    expect_time("2026-11-21T09:41:07.000001Z", INT64_C(1795254067000001));
    expect_time("2026-11-21T09:41:07.123456+05:30", INT64_C(1795234267123456));
    // cut, never rounded up
    expect_time("2026-11-21T09:41:07.123456789Z", INT64_C(1795254067123456));
    expect_time("2026-11-21T09:41:07.999999999Z", INT64_C(1795254067999999));
}

static void test_parse__a_leap_second__is_the_next_second(void **state) {
    (void)state;
    expect_time("2026-12-31T23:59:60Z", INT64_C(1798761600000000));
}

static void test_parse__anything_else__is_no_time(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "2026-11-21",
        "2026-11-21T09:41:07",             // no zone
        "2026-11-21 09:41:07Z",            // no T
        "2026-11-21t09:41:07Z",            //
        "2026-11-21T09:41:07z",            //
        "2026-11-21T09:41Z",               // no seconds
        "2026-1-21T09:41:07Z",             // one digit
        "2026-13-01T00:00:00Z",            //
        "2026-00-01T00:00:00Z",            //
        "2026-02-29T00:00:00Z",            // not a leap year
        "2100-02-29T00:00:00Z",            // not a leap year either
        "2026-04-31T00:00:00Z",            //
        "2026-11-00T00:00:00Z",            //
        "2026-11-21T24:00:00Z",            //
        "2026-11-21T09:60:00Z",            //
        "2026-11-21T09:41:61Z",            //
        "2026-11-21T09:41:07.Z",           // a point without digits
        "2026-11-21T09:41:07.1234567890Z", // ten digits
        "2026-11-21T09:41:07,5Z",          //
        "2026-11-21T09:41:07ZZ",           //
        "2026-11-21T09:41:07Z ",           //
        " 2026-11-21T09:41:07Z",           //
        "2026-11-21T09:41:07+0530",        //
        "2026-11-21T09:41:07+05",          //
        "2026-11-21T09:41:07+24:00",       //
        "2026-11-21T09:41:07+05:60",       //
        "2026-11-21T09:41:07+05:300",      //
        "2026-11-21T09:41:07+-5:30",       //
        "-026-11-21T09:41:07Z",            //
        "+026-11-21T09:41:07Z",            //
        "2026--1-21T09:41:07Z",            //
        "2026-11-21T-9:41:07Z",            //
        "2026-11-21T 9:41:07Z",            //
        "1899-12-31T00:00:00Z",            // before the calendar's years
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t us = -7;
        if (rail_time_parse(str_of(bad[i]), &us)) {
            fail_msg("\"%s\" was taken for a time", bad[i]);
        }
        assert_int_equal(us, -7);
    }
}

// The text may end before its bytes do.
static void test_parse__looks_at_no_byte_beyond(void **state) {
    (void)state;
    const char *whole = "2026-11-21T09:41:07.5Z";
    for (size_t len = 0; len < strlen(whole); len++) {
        int64_t us = 0;
        char *copy = malloc(len > 0 ? len : 1); // so that the sanitizer sees an overrun
        memcpy(copy, whole, len);
        assert_false(rail_time_parse((str){copy, len}, &us));
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse__utc_and_offsets),
        cmocka_unit_test(test_parse__fractions_to_the_microsecond),
        cmocka_unit_test(test_parse__a_leap_second__is_the_next_second),
        cmocka_unit_test(test_parse__anything_else__is_no_time),
        cmocka_unit_test(test_parse__looks_at_no_byte_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
