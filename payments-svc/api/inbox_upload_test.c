// The parts of a repair, gathered.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/inbox_upload.h"

static inbox_upload *upload;
static const uuid ONE = {{1}}, OTHER = {{2}};

static int setup(void **state) {
    (void)state;
    upload = inbox_upload_create();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    inbox_upload_destroy(upload);
    return 0;
}

static bool add(uuid id, const char *actor, const char *bytes, size_t offset, size_t total,
                str *whole) {
    const inbox_part part = {id, str_of(actor), str_of(bytes), offset, total};
    err e = {0};
    const bool ok = inbox_upload_add(upload, &part, whole, &e);
    if (!ok) {
        assert_string_equal(e.reason, "UPLOAD_LOST");
    }
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
    assert_false(add(ONE, "ada", "x", 7, 8, &whole)); // it is over
}

static void test_part__that_does_not_go_on__refused(void **state) {
    (void)state;
    str whole;
    assert_false(add(ONE, "ada", "de", 3, 7, &whole)); // without a first one
    assert_true(add(ONE, "ada", "abc", 0, 7, &whole));
    assert_false(add(ONE, "bob", "de", 3, 7, &whole));
    assert_false(add(OTHER, "ada", "de", 3, 7, &whole));
    assert_false(add(ONE, "ada", "de", 4, 7, &whole));
    assert_false(add(ONE, "ada", "de", 3, 8, &whole));
    assert_false(add(ONE, "ada", "defgh", 3, 7, &whole)); // more than there is to be
    assert_true(add(OTHER, "bob", "x", 0, 2, &whole));    // another one begins
    assert_false(add(ONE, "ada", "de", 3, 7, &whole));
    assert_true(add(OTHER, "bob", "y", 1, 2, &whole));
    assert_true(str_eq_c(whole, "xy"));
    inbox_upload_free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parts__in_order__the_whole_with_the_last, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_part__that_does_not_go_on__refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
