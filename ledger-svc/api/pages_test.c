// Places of page tokens: anybody can make a token with the right checksum, as api_page_token_make does here for any place.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/lists_internal.h"

static arena *mem;

static int setup(void **state) {
    (void)state;
    mem = arena_create((size_t)1024 * 1024);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    return 0;
}

static Ledger__V1__ListTransfersRequest request_of(int64_t book_id) {
    Ledger__V1__ListTransfersRequest r = LEDGER__V1__LIST_TRANSFERS_REQUEST__INIT;
    r.book_id = book_id;
    return r;
}

// Makes a token for the place and reads it again. False: refused, as it must be.
static bool accepted(int64_t place, page_range range) {
    Ledger__V1__ListTransfersRequest r = request_of(1);
    page_token t = {.request = &r.base, .ranges = {{0, 0}, range}, .place = {0, place}, .n = 2};
    err e;
    err_clear(&e);
    const char *text = api_page_token_make(mem, &t, &e);
    assert_non_null(text);
    t.place[1] = 77;
    if (api_page_token_read(mem, text, &t, &e)) {
        assert_int_equal(t.place[1], place);
        return true;
    }
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(e.reason, "INVALID_PAGE_TOKEN");
    assert_string_equal(e.field, "page_token");
    return false;
}

static void a_place_is_within_its_range(void **state) {
    (void)state;
    const page_range position = PAGE_POSITION;
    assert_false(accepted(INT64_MIN, position));
    assert_false(accepted(-1, position));
    assert_false(accepted(0, position));
    assert_true(accepted(1, position));
    assert_true(accepted(INT64_MAX - 1, position));
    assert_false(accepted(INT64_MAX, position));
    const page_range all = {INT64_MIN, INT64_MAX};
    assert_true(accepted(INT64_MIN, all));
    assert_true(accepted(-1, all));
    assert_true(accepted(INT64_MAX, all));
}

static void a_token_is_of_its_request(void **state) {
    (void)state;
    Ledger__V1__ListTransfersRequest r = request_of(1);
    Ledger__V1__ListTransfersRequest other = request_of(2);
    page_token t = {.request = &r.base, .ranges = {PAGE_POSITION}, .place = {5}, .n = 1};
    err e;
    err_clear(&e);
    const char *text = api_page_token_make(mem, &t, &e);
    assert_non_null(text);
    assert_true(api_page_token_read(mem, text, &t, &e));
    t.request = &other.base;
    assert_false(api_page_token_read(mem, text, &t, &e));
    assert_string_equal(e.reason, "INVALID_PAGE_TOKEN");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_place_is_within_its_range, setup, teardown),
        cmocka_unit_test_setup_teardown(a_token_is_of_its_request, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
