#include "base/err.h"

#include "base/test_support.h"

static void test_err_set__all_fields__returns_false(void **state) {
    (void)state;
    err e = {.flags = ERR_RETRIABLE, .detail = "old", .sqlstate = "40001"};
    assert_false(
        err_set_field(&e, ERR_INVALID_ARGUMENT, "AMOUNT_ZERO", "amount", "want %d, got %d", 1, 0));
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(e.reason, "AMOUNT_ZERO");
    assert_string_equal(e.field, "amount");
    assert_string_equal(e.message, "want 1, got 0");
    assert_non_null(strstr(e.site, "err_test.c:"));
    // The earlier error leaves no trace.
    assert_int_equal(e.flags, 0);
    assert_string_equal(e.detail, "");
    assert_string_equal(e.sqlstate, "");
    assert_true(err_is_set(&e));
    err_clear(&e);
    assert_false(err_is_set(&e));
}

static void test_err_set__no_err__returns_false(void **state) {
    (void)state;
    assert_false(err_set(NULL, ERR_INTERNAL, "X", "y"));
    assert_false(err_set_field(NULL, ERR_INTERNAL, "X", "f", "y"));
    assert_false(err_detail(NULL, "y"));
    assert_false(err_is_set(NULL));
    err_clear(NULL);
}

static void test_err_set__arguments_of_the_same_err__are_read_first(void **state) {
    (void)state;
    err e = {0};
    err_set(&e, ERR_NOT_FOUND, "FIRST", "inner");
    err_set(&e, ERR_UNAVAILABLE, e.reason, "outer: %s", e.message);
    assert_string_equal(e.reason, "FIRST");
    assert_string_equal(e.message, "outer: inner");
    err_detail(&e, "one");
    err_detail(&e, "%s and two", e.detail);
    assert_string_equal(e.detail, "one and two");
}

static void test_err_set__long_text__is_cut_between_characters(void **state) {
    (void)state;
    char text[400];
    for (size_t pad = 0; pad < 4; pad++) {
        memset(text, 'a', sizeof(text));
        for (size_t i = pad; i + 3 <= sizeof(text) - 1; i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 3);
        }
        text[sizeof(text) - 1] = '\0';
        err e = {0};
        err_set(&e, ERR_INTERNAL, text, "%s", text);
        size_t len = strlen(e.message);
        assert_true(len > sizeof(e.message) - 5 && len < sizeof(e.message));
        assert_int_equal((len - pad) % 3, 0);
        assert_int_equal((strlen(e.reason) - pad) % 3, 0);
    }
}

static void test_err_code_name__every_code__is_the_grpc_name(void **state) {
    (void)state;
    assert_string_equal(err_code_name(ERR_OK), "OK");
    assert_string_equal(err_code_name(ERR_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_int_equal(ERR_UNAUTHENTICATED, 16);
    assert_int_equal(ERR_UNAVAILABLE, 14);
    assert_string_equal(err_code_name((err_code)99), "UNKNOWN");
}

// Promise DEFINITE-ERRORS: exactly these five.
static void test_err_is_definite__every_code__only_the_promised_five(void **state) {
    (void)state;
    for (int code = 0; code <= 20; code++) {
        bool want = code == 3 || code == 5 || code == 6 || code == 7 || code == 9;
        assert_int_equal(err_is_definite((err_code)code), want);
    }
}

static void test_no_memory__says_what_and_where(void **state) {
    (void)state;
    err e = {0};
    assert_false(err_no_memory(&e, "the list of files"));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(e.reason, "REQUEST_MEMORY");
    assert_string_equal(e.message, "the list of files needs too much memory");
    assert_non_null(strstr(e.site, "err_test.c:"));
    assert_int_equal(e.flags, 0);
    assert_false(err_no_memory(NULL, "nothing"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_set__all_fields__returns_false),
        cmocka_unit_test(test_err_set__no_err__returns_false),
        cmocka_unit_test(test_err_set__arguments_of_the_same_err__are_read_first),
        cmocka_unit_test(test_err_set__long_text__is_cut_between_characters),
        cmocka_unit_test(test_no_memory__says_what_and_where),
        cmocka_unit_test(test_err_code_name__every_code__is_the_grpc_name),
        cmocka_unit_test(test_err_is_definite__every_code__only_the_promised_five),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
