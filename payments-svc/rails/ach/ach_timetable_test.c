// The times and numbers of files.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "formats/nacha/nacha.h"
#include "rails/ach/ach_timetable.h"

#define US_PER_S INT64_C(1000000)
enum { MINUTE_US = 60 * 1000000, FRIDAY = 20261120 };

static ach_timetable parsed(const char *text) {
    ach_timetable t;
    err e = {0};
    if (!ach_timetable_parse(text, &t, &e)) {
        fail_msg("%s", e.message);
    }
    return t;
}

static int64_t at(int64_t day, int hour, int minute) {
    return ach_time_of(day, hour * 60 + minute);
}

static void test_parse__times__ascending_or_refused(void **state) {
    (void)state;
    static const char *const BAD[] = {"8:15",  "08:60",       "24:00", "08:15,", ",08:15",
                                      "08-15", "08:15,08:15", "x",     "-1:00",  "08:15;09:15"};
    ach_timetable t = parsed("00:00,08:15,23:59");
    assert_int_equal(t.n, 3);
    assert_int_equal(t.minute[1], 8 * 60 + 15);
    assert_int_equal(parsed("").n, 0);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        err e = {0};
        if (ach_timetable_parse(BAD[i], &t, &e)) {
            fail_msg("\"%s\" was taken", BAD[i]);
        }
        assert_string_equal(e.field, "ach.windows");
    }
}

// Days and times are New York's, on both sides of the changes of its clocks.
static void test_time_of__changes_of_clocks__the_right_hour(void **state) {
    (void)state;
    const struct {
        int64_t day;
        int utc_hour; // of noon in New York
    } CASES[] = {{20260307, 17}, {20260308, 16}, {20261031, 16}, {20261101, 17}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const int64_t noon = at(CASES[i].day, 12, 0);
        assert_int_equal(noon / (3600 * US_PER_S) % 24, CASES[i].utc_hour);
        assert_int_equal(ach_day_of(noon), CASES[i].day);
        assert_int_equal(ach_day_of(at(CASES[i].day, 0, 0)), CASES[i].day);
        assert_int_equal(ach_day_of(at(CASES[i].day, 0, 0) - 1) < CASES[i].day, 1);
    }
}

static void test_windows__open_for_ten_minutes__else_the_next_one(void **state) {
    (void)state;
    const ach_timetable t = parsed("08:15,10:15");
    const ach_cuts none = {0};
    const struct {
        int64_t now, window, retry;
    } CASES[] = {
        {at(FRIDAY, 8, 14), 0, at(FRIDAY, 8, 15)},
        {at(FRIDAY, 8, 15), at(FRIDAY, 8, 15), at(FRIDAY, 10, 15)},
        {at(FRIDAY, 8, 24), at(FRIDAY, 8, 15), at(FRIDAY, 10, 15)},
        {at(FRIDAY, 8, 25), 0, at(FRIDAY, 10, 15)},
        {at(FRIDAY, 10, 30), 0, at(20261123, 8, 15)},  // over the weekend
        {at(20261121, 8, 15), 0, at(20261123, 8, 15)}, // a Saturday
        {at(20261126, 9, 0), 0, at(20261127, 8, 15)},  // Thanksgiving
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const ach_cut cut = ach_timetable_cut(&t, &none, CASES[i].now);
        if (cut.window_us != CASES[i].window || cut.retry_at_us != CASES[i].retry ||
            (cut.files > 0) != (CASES[i].window != 0)) {
            fail_msg("case %zu", i);
        }
    }
}

// However many payouts wait at each window, every window of the day has a file left.
static void test_windows__too_much_at_each__ids_last_to_the_last_window(void **state) {
    (void)state;
    const ach_timetable t = parsed("08:15,10:15,14:30,16:30");
    static const int WINDOWS[][2] = {{8, 15}, {10, 15}, {14, 30}, {16, 30}};
    ach_cuts cuts = {0};
    int files[4] = {0};
    for (size_t w = 0; w < 4; w++) {
        const int64_t now = at(FRIDAY, WINDOWS[w][0], WINDOWS[w][1]);
        ach_cut cut = ach_timetable_cut(&t, &cuts, now);
        while (cut.files > 0) {
            ach_timetable_count(&cuts, &cut, now);
            files[w]++;
            cut = ach_timetable_cut(&t, &cuts, now + MINUTE_US);
        }
    }
    assert_int_equal(cuts.used, NACHA_MODIFIERS);
    assert_true(files[0] >= NACHA_MODIFIERS - ACH_IDS_LOW);
    assert_true(files[1] >= 2 && files[2] >= 2 && files[3] >= 2);
}

static void test_gathered__few_ids_left__evenly_until_midnight(void **state) {
    (void)state;
    const ach_timetable t = parsed("");
    ach_cuts cuts = {0};
    int64_t now = at(FRIDAY, 0, 5), longest = 0;
    int n = 0;
    while (ach_day_of(now) == FRIDAY) {
        const ach_cut cut = ach_timetable_cut(&t, &cuts, now);
        if (cut.files > 0) {
            ach_timetable_count(&cuts, &cut, now);
            n++;
        } else {
            longest = cut.retry_at_us - now > longest ? cut.retry_at_us - now : longest;
            now = cut.retry_at_us;
        }
    }
    assert_int_equal(n, NACHA_MODIFIERS);
    assert_true(longest < 3 * 3600 * US_PER_S);
    assert_int_equal(now, at(20261121, 0, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse__times__ascending_or_refused),
        cmocka_unit_test(test_time_of__changes_of_clocks__the_right_hour),
        cmocka_unit_test(test_windows__open_for_ten_minutes__else_the_next_one),
        cmocka_unit_test(test_windows__too_much_at_each__ids_last_to_the_last_window),
        cmocka_unit_test(test_gathered__few_ids_left__evenly_until_midnight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
