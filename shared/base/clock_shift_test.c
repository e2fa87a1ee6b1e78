// Only in test builds: see clock_internal.h.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/test_support.h"

static void write_shift(const char *path, int64_t us) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fwrite(&us, sizeof us, 1, f), 1);
    assert_int_equal(fclose(f), 0);
}

static void test_clock_system__shift_file__moves_the_wall_clock_alone(void **state) {
    (void)state;
    char path[] = "/tmp/clock-shift-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(int64_t)), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(setenv("DISBURSE_CLOCK_SHIFT_FILE", path, 1), 0);
    const clock_source *c = clock_system();
    const int64_t hour_us = INT64_C(3600) * 1000000;

    const int64_t wall_us = clock_wall_us(c);
    const int64_t mono_us = clock_mono_us(c);
    write_shift(path, -hour_us);
    assert_true(clock_wall_us(c) < wall_us);
    assert_true(clock_wall_us(c) >= wall_us - hour_us);
    assert_true(clock_mono_us(c) >= mono_us);
    assert_true(clock_mono_us(c) < mono_us + hour_us);
    write_shift(path, hour_us);
    assert_true(clock_wall_us(c) >= wall_us + hour_us);
    assert_int_equal(unlink(path), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_system__shift_file__moves_the_wall_clock_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
