// The rules for an arriving call that need no call: when its deadline is too short, and when its message is too large.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "rpc/rpc_internal.h"

static void test_deadline__less_than_5_ms_left__too_short(void **state) {
    (void)state;
    const int64_t now_ms = 1000000;
    assert_true(deadline_too_short(now_ms + 4, now_ms));
    assert_false(deadline_too_short(now_ms + 5, now_ms));
    assert_true(deadline_too_short(now_ms, now_ms));
    assert_true(deadline_too_short(now_ms - 1, now_ms)); // already over
    assert_true(deadline_too_short(INT64_MAX - 1, INT64_MAX - 5));
    assert_false(deadline_too_short(INT64_MAX, INT64_MAX - 1)); // no deadline
}

static void test_message__more_than_the_limit__too_large(void **state) {
    (void)state;
    err e = {0};
    assert_true(message_fits(0, 1024, &e));
    assert_true(message_fits(1024, 1024, &e));
    assert_false(err_is_set(&e));
    assert_false(message_fits(1025, 1024, &e));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(e.reason, "MESSAGE_TOO_LARGE");
    assert_string_equal(e.message, "the request has 1025 bytes, and at most 1024 are taken");
    assert_int_equal(e.retry_after_ms, 0); // too large forever: do not send it again
    assert_false(e.flags & ERR_RETRIABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline__less_than_5_ms_left__too_short),
        cmocka_unit_test(test_message__more_than_the_limit__too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
