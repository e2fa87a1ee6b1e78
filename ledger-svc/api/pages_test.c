// Page tokens, page sizes and orders of the lists.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "api/lists_internal.h"

static char USD[] = "USD";
static arena *mem;

static int setup(void **state) {
    (void)state;
    mem = arena_create(1 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    return 0;
}

static Ledger__V1__ListTransfersRequest request(Ledger__V1__TransferFilter *filter) {
    Ledger__V1__ListTransfersRequest r = LEDGER__V1__LIST_TRANSFERS_REQUEST__INIT;
    ledger__v1__transfer_filter__init(filter);
    filter->currency = USD;
    r.book_id = 7;
    r.filter = filter;
    return r;
}

// A token to read; its place may have any numbers.
static page_token expected(const ProtobufCMessage *request, size_t n) {
    page_token t = {.request = request, .n = n};
    for (size_t i = 0; i < n; i++) {
        t.ranges[i] = (page_range){INT64_MIN, INT64_MAX};
    }
    return t;
}

static char *make(const page_token *t) {
    err e = {0};
    char *text = api_page_token_make(mem, t, &e);
    assert_non_null(text);
    return text;
}

static void expect_refused(const char *text, const ProtobufCMessage *r, size_t n) {
    err e = {0};
    page_token t = expected(r, n);
    t.place[0] = -5;
    assert_false(api_page_token_read(mem, text, &t, &e));
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(e.reason, "INVALID_PAGE_TOKEN");
    assert_string_equal(e.field, "page_token");
    assert_int_equal(t.place[0], -5);
}

static void test_token__there_and_back(void **state) {
    (void)state;
    Ledger__V1__TransferFilter filter;
    const Ledger__V1__ListTransfersRequest r = request(&filter);
    const page_token sent = {
        .request = &r.base, .place = {0, 1, -1, INT64_MAX, INT64_MIN, 255, 256, 1}, .n = 8};
    for (size_t n = 0; n <= PAGE_PLACE_MAX; n++) {
        page_token t = sent;
        t.n = n;
        const char *text = make(&t);
        // safe in a URL without escapes
        assert_int_equal(strspn(text, "0123456789abcdef"), strlen(text));
        page_token back = expected(&r.base, n);
        err e = {0};
        assert_true(api_page_token_read(mem, text, &back, &e));
        assert_memory_equal(back.place, sent.place, n * sizeof back.place[0]);
    }
}

static void test_token__each_digit_counts(void **state) {
    (void)state;
    Ledger__V1__TransferFilter filter;
    const Ledger__V1__ListTransfersRequest r = request(&filter);
    const page_token sent = {.request = &r.base, .place = {123456789, 5}, .n = 2};
    char *text = make(&sent);
    const size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        const char was = text[i];
        text[i] = was == '0' ? '1' : '0';
        expect_refused(text, &r.base, 2);
        text[i] = 'g';
        expect_refused(text, &r.base, 2);
        text[i] = was;
    }
    text[len - 2] = '\0';
    expect_refused(text, &r.base, 2);
    expect_refused("", &r.base, 2);
    expect_refused(make(&sent), &r.base, 1); // its place has a different number of numbers
    expect_refused(make(&sent), &r.base, 3);
}

static void test_token__of_another_request__refused(void **state) {
    (void)state;
    Ledger__V1__TransferFilter filter, changed;
    const Ledger__V1__ListTransfersRequest r = request(&filter);
    const page_token sent = {.request = &r.base, .place = {9}, .n = 1};
    const char *text = make(&sent);
    Ledger__V1__ListTransfersRequest other = request(&changed);
    page_token same = expected(&other.base, 1);
    err e = {0};
    assert_true(api_page_token_read(mem, text, &same, &e)); // an equal copy of the request will do
    other.book_id = 8;
    expect_refused(text, &other.base, 1);
    other.book_id = 7;
    changed.code = 1;
    expect_refused(text, &other.base, 1);
    changed.code = 0;
    other.order = LEDGER__V1__LIST_ORDER__LIST_ORDER_NEWEST_FIRST;
    expect_refused(text, &other.base, 1);
    // A request of another kind with the very same bytes: its name is part of the checksum.
    Ledger__V1__ListTransfersRequest bare = LEDGER__V1__LIST_TRANSFERS_REQUEST__INIT;
    Ledger__V1__ListAccountsRequest accounts = LEDGER__V1__LIST_ACCOUNTS_REQUEST__INIT;
    bare.book_id = accounts.book_id = 7;
    const page_token of_bare = {.request = &bare.base, .place = {9}, .n = 1};
    expect_refused(make(&of_bare), &accounts.base, 1);
}

// Anyone can make a token with the right checksum. Makes one for the place and reads it again. False: refused, as it must be.
static bool accepted(int64_t place, page_range range) {
    Ledger__V1__TransferFilter filter;
    const Ledger__V1__ListTransfersRequest r = request(&filter);
    page_token t = {.request = &r.base, .ranges = {{0, 0}, range}, .place = {0, place}, .n = 2};
    err e = {0};
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

static void test_token__place_outside_its_range__refused(void **state) {
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

static void test_page_size__default_and_limit(void **state) {
    (void)state;
    err e = {0};
    size_t size = 0;
    assert_true(api_page_size(0, &size, &e));
    assert_int_equal(size, LIST_PAGE_DEFAULT);
    assert_true(api_page_size(1, &size, &e));
    assert_int_equal(size, 1);
    assert_true(api_page_size(QUERY_PAGE_MAX, &size, &e));
    assert_int_equal(size, QUERY_PAGE_MAX);
    assert_false(api_page_size(QUERY_PAGE_MAX + 1, &size, &e));
    assert_string_equal(e.reason, "INVALID_PAGE_SIZE");
    assert_string_equal(e.field, "page_size");
}

static void test_order__known_ones_only(void **state) {
    (void)state;
    err e = {0};
    bool newest_first = true;
    assert_true(api_order(LEDGER__V1__LIST_ORDER__LIST_ORDER_UNSPECIFIED, &newest_first, &e));
    assert_false(newest_first);
    assert_true(api_order(LEDGER__V1__LIST_ORDER__LIST_ORDER_NEWEST_FIRST, &newest_first, &e));
    assert_true(newest_first);
    assert_true(api_order(LEDGER__V1__LIST_ORDER__LIST_ORDER_OLDEST_FIRST, &newest_first, &e));
    assert_false(newest_first);
    assert_false(api_order((Ledger__V1__ListOrder)3, &newest_first, &e));
    assert_false(api_order((Ledger__V1__ListOrder)-1, &newest_first, &e));
    assert_string_equal(e.reason, "INVALID_ORDER");
    assert_string_equal(e.field, "order");
}

static void test_found__the_book_before_the_account(void **state) {
    (void)state;
    err e = {0};
    assert_true(api_found(true, true, "account_id", &e));
    assert_false(api_found(false, false, "account_id", &e));
    assert_string_equal(e.reason, "BOOK_NOT_FOUND");
    assert_false(api_found(true, false, "filter.account_id", &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_string_equal(e.reason, "ACCOUNT_NOT_FOUND");
    assert_string_equal(e.field, "filter.account_id");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_token__there_and_back),
        T(test_token__each_digit_counts),
        T(test_token__of_another_request__refused),
        T(test_token__place_outside_its_range__refused),
        T(test_page_size__default_and_limit),
        T(test_order__known_ones_only),
        T(test_found__the_book_before_the_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
