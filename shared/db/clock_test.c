// The database's clock as the process's time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "db_internal.h"
#include "testing/fixture.h"

static void test_offset__first_reading__the_middle(void **state) {
    (void)state;
    assert_int_equal(db_clock_offset(0, false, 100, 300, 1200), 1000);
}

// An offset that a reading allows does not move, however slow the reading was. An excluded offset moves as little as possible.
static void test_offset__later_readings__move_only_as_far_as_they_must(void **state) {
    (void)state;
    assert_int_equal(db_clock_offset(1000, true, 1100, 9100, 9000), 1000);
    assert_int_equal(db_clock_offset(1000, true, 1000, 1010, 2500), 1490);
    assert_int_equal(db_clock_offset(1000, true, 1000, 1010, 1500), 500);
}

static void test_clock__database_there__the_process_has_its_time(void **state) {
    (void)state;
    db_pool *p = fixture_pool(fixture_conninfo(), 2, 20000);
    clock_anchor(0); // a time that is no clock's
    assert_true(clock_wall_us(clock_system()) < clock_wall_us(clock_machine()) / 2);
    db_clock *c = db_clock_start(p, 60000);
    const int64_t gap_us = db_clock_gap_us(c); // here both clocks are the same machine's
    assert_in_range(gap_us + 1000000, 0, 2000000);
    const int64_t apart_us = clock_wall_us(clock_system()) - clock_wall_us(clock_machine());
    assert_in_range(apart_us + 1000000, 0, 2000000);
    db_clock_stop(c);
    db_pool_destroy(p);
    clock_anchor_lift();
}

static void test_clock__database_away__the_machines_time_and_no_gap(void **state) {
    (void)state;
    db_pool *p = fixture_pool("host=/nonexistent user=nobody", 2, 20000);
    db_clock *c = db_clock_start(p, 60000);
    assert_int_equal(db_clock_gap_us(c), 0);
    const int64_t apart_us = clock_wall_us(clock_system()) - clock_wall_us(clock_machine());
    assert_in_range(apart_us + 1000000, 0, 2000000);
    db_clock_stop(c);
    db_pool_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offset__first_reading__the_middle),
        cmocka_unit_test(test_offset__later_readings__move_only_as_far_as_they_must),
        cmocka_unit_test(test_clock__database_there__the_process_has_its_time),
        cmocka_unit_test(test_clock__database_away__the_machines_time_and_no_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
