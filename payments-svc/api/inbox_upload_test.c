// The parts of a repair, gathered.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/inbox_upload.h"

static inbox_upload *upload;
static test_clock now;
static const uuid ONE = {{1}}, OTHER = {{2}};

static int setup(void **state) {
    (void)state;
    test_clock_init(&now, INT64_C(1700000000000000), 1);
    upload = inbox_upload_create(&now.source);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    inbox_upload_destroy(upload);
    return 0;
}

static const char *refused_for; // the last reason

static bool add(uuid id, const char *actor, const char *bytes, size_t offset, size_t total,
                str *whole) {
    const inbox_part part = {id, str_of(actor), str_of(bytes), offset, total};
    err e = {0};
    const bool ok = inbox_upload_add(upload, &part, whole, &e);
    static char reason[64];
    (void)snprintf(reason, sizeof reason, "%s", ok ? "" : e.reason);
    refused_for = reason;
    return ok;
}

static void test_parts__in_order__the_whole_with_the_last(void **state) {
    (void)state;
    str whole;
    assert_true(add(ONE, "ada", "abc", 0, 7, &whole));
    assert_int_equal(whole.len, 0);
    assert_true(add(ONE, "ada", "de", 3, 7, &whole));
    assert_true(add(ONE, "ada", "fg", 5, 7, &whole));
    assert_true(str_eq_c(whole, "abcdefg"));
    inbox_upload_free(whole);
    assert_false(add(ONE, "ada", "x", 7, 8, &whole)); // the upload is over
}

static void assert_lost(uuid id, const char *actor, const char *bytes, size_t offset,
                        size_t total) {
    str whole;
    assert_false(add(id, actor, bytes, offset, total, &whole));
    assert_string_equal(refused_for, "UPLOAD_LOST");
}

static void pass(int64_t seconds) {
    test_clock_advance(&now, seconds * 1000000);
}

static void test_part__that_does_not_go_on__refused(void **state) {
    (void)state;
    str whole;
    assert_lost(ONE, "ada", "de", 3, 7); // without a first part
    assert_true(add(ONE, "ada", "abc", 0, 7, &whole));
    assert_lost(ONE, "bob", "de", 3, 7);
    assert_lost(OTHER, "ada", "de", 3, 7);
    assert_lost(ONE, "ada", "de", 4, 7);
    assert_lost(ONE, "ada", "de", 3, 8);
    assert_lost(ONE, "ada", "defgh", 3, 7);            // more than its total
    assert_true(add(OTHER, "ada", "x", 0, 2, &whole)); // another upload begins
    assert_lost(ONE, "ada", "de", 3, 7);
    assert_true(add(OTHER, "ada", "y", 1, 2, &whole));
    assert_true(str_eq_c(whole, "xy"));
    inbox_upload_free(whole);
}

static void test_first_part__of_another_while_one_comes_in__has_to_wait(void **state) {
    (void)state;
    str whole;
    assert_true(add(ONE, "ada", "abc", 0, 7, &whole));
    pass(59);
    assert_false(add(OTHER, "bob", "x", 0, 2, &whole));
    assert_string_equal(refused_for, "UPLOAD_BUSY");
    assert_true(add(ONE, "ada", "de", 3, 7, &whole)); // unchanged, and recent again
    pass(59);
    assert_false(add(OTHER, "bob", "x", 0, 2, &whole));
    pass(1);
    assert_true(add(OTHER, "bob", "x", 0, 2, &whole));
    assert_lost(ONE, "ada", "fg", 5, 7);
}

static void test_first_part__larger_than_the_whole__ends_nothing(void **state) {
    (void)state;
    str whole;
    assert_true(add(ONE, "ada", "abc", 0, 5, &whole));
    assert_false(add(ONE, "ada", "abc", 0, 2, &whole));
    assert_string_equal(refused_for, "CONTENT_INVALID");
    assert_true(add(ONE, "ada", "de", 3, 5, &whole));
    assert_true(str_eq_c(whole, "abcde"));
    inbox_upload_free(whole);
}

static void test_unfinished__ten_minutes_without_a_part__gone(void **state) {
    (void)state;
    str whole;
    assert_true(add(ONE, "ada", "abc", 0, 7, &whole));
    pass(599);
    assert_true(inbox_upload_tidy(upload));
    assert_true(add(ONE, "ada", "de", 3, 7, &whole));
    pass(599);
    assert_true(inbox_upload_tidy(upload));
    pass(1);
    assert_false(inbox_upload_tidy(upload));
    assert_lost(ONE, "ada", "fg", 5, 7);
    assert_true(add(ONE, "ada", "abc", 0, 7, &whole));
    pass(600);
    assert_lost(ONE, "ada", "defg", 3, 7); // also without a tidy
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parts__in_order__the_whole_with_the_last, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_part__that_does_not_go_on__refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_part__of_another_while_one_comes_in__has_to_wait,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_part__larger_than_the_whole__ends_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_unfinished__ten_minutes_without_a_part__gone, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
