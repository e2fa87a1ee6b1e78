// The base of every call of the API: times, page tokens and sizes, packing, and the errors of single items.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "api/service_internal.h"

static arena *mem;

static int setup(void **state) {
    (void)state;
    mem = arena_create(65536);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    return 0;
}

static void test_time__there_and_back(void **state) {
    (void)state;
    const int64_t times[] = {
        0, 1, 999999, 1000000, INT64_C(1795254067123456), INT64_C(253402300799999999)};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        err e = {0};
        int64_t back = -1;
        const Google__Protobuf__Timestamp *t = pb_time(mem, times[i]);
        assert_true(pb_time_us(t, "from_time", &back, &e));
        assert_int_equal(back, times[i]);
    }
    const Google__Protobuf__Timestamp *t = pb_time(mem, INT64_C(1795254067123456));
    assert_int_equal(t->seconds, 1795254067);
    assert_int_equal(t->nanos, 123456000);
}

static void test_time__not_of_our_years_or_no_time_at_all__refused(void **state) {
    (void)state;
    const struct {
        int64_t seconds;
        int32_t nanos;
    } bad[] = {{-1, 0},         {INT64_MIN, 0}, {INT64_C(253402300800), 0}, {INT64_MAX, 0}, {0, -1},
               {0, 1000000000}, {5, INT32_MIN}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err e = {0};
        int64_t out = -7;
        Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        t.seconds = bad[i].seconds;
        t.nanos = bad[i].nanos;
        assert_false(pb_time_us(&t, "filter.from_time", &out, &e));
        assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
        assert_string_equal(e.reason, "TIMESTAMP_INVALID");
        assert_string_equal(e.field, "filter.from_time");
        assert_int_equal(out, -7);
    }
}

static void test_page_token__there_and_back(void **state) {
    (void)state;
    uint8_t position[64];
    for (size_t i = 0; i < sizeof position; i++) {
        position[i] = (uint8_t)(i * 37);
    }
    const size_t lengths[] = {0, 1, 24, sizeof position};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        err e = {0};
        uint8_t back[sizeof position] = {0};
        const char *token = page_token_make(mem, STR("m1|USD"), position, lengths[i]);
        // needs no escapes in a URL
        assert_int_equal(strspn(token, "0123456789abcdef"), strlen(token));
        assert_true(page_token_read(token, STR("m1|USD"), back, lengths[i], &e));
        assert_memory_equal(back, position, lengths[i]);
    }
}

static void expect_refused(const char *token, str filters) {
    err e = {0};
    uint8_t position[4] = {9, 9, 9, 9};
    const uint8_t untouched[4] = {9, 9, 9, 9};
    assert_false(page_token_read(token, filters, position, sizeof position, &e));
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(e.reason, "PAGE_TOKEN_INVALID");
    assert_string_equal(e.field, "page_token");
    assert_memory_equal(position, untouched, sizeof position);
}

static void test_page_token__of_another_request_or_damaged__refused(void **state) {
    (void)state;
    const uint8_t position[4] = {1, 2, 3, 4};
    const str filters = STR("m1|USD");
    char *token = page_token_make(mem, filters, position, sizeof position);
    expect_refused(token, STR("m1|INR"));
    expect_refused(token, STR("m1|USD "));
    expect_refused(token, STR(""));
    expect_refused("", filters);
    expect_refused("zz", filters);
    for (size_t i = 0; i < 16; i++) { // each digit of the filters' hash
        const char was = token[i];
        token[i] = was == '0' ? '1' : '0';
        expect_refused(token, filters);
        token[i] = was;
    }
    token[3] = 'G';
    expect_refused(token, filters);
    char *other = page_token_make(mem, filters, position, 3); // a position of another length
    expect_refused(other, filters);
    other = page_token_make(mem, filters, (const uint8_t[5]){1, 2, 3, 4, 5}, 5);
    expect_refused(other, filters);
}

static void test_page_size__default_and_limits(void **state) {
    (void)state;
    err e = {0};
    int64_t size = 0;
    assert_true(page_size_of(0, &size, &e));
    assert_int_equal(size, PAGE_DEFAULT);
    assert_true(page_size_of(1, &size, &e));
    assert_int_equal(size, 1);
    assert_true(page_size_of(PAGE_MAX, &size, &e));
    assert_int_equal(size, PAGE_MAX);
    assert_true(page_size_of(INT32_MAX, &size, &e)); // above our maximum: our maximum
    assert_int_equal(size, PAGE_MAX);
    assert_false(page_size_of(-1, &size, &e));
    assert_string_equal(e.reason, "PAGE_SIZE_INVALID");
}

static void test_pack__empty_message_and_full_arena(void **state) {
    (void)state;
    err e = {0};
    Payments__V1__CreatePayoutResponse empty = PAYMENTS__V1__CREATE_PAYOUT_RESPONSE__INIT;
    str packed = pb_pack(mem, &empty.base, &e);
    assert_non_null(packed.ptr); // NULL is the sign of a failure
    assert_int_equal(packed.len, 0);
    arena *small = arena_create(4096);
    char text[8192];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    Payments__V1__Payout p = PAYMENTS__V1__PAYOUT__INIT;
    p.description = text;
    packed = pb_pack(small, &p.base, &e);
    assert_null(packed.ptr);
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    arena_destroy(small);
}

static void test_item_error__carries_all_that_a_failed_call_would(void **state) {
    (void)state;
    err e = {0};
    err_set_field(&e, ERR_INVALID_ARGUMENT, "AMOUNT_NOT_POSITIVE", "payouts[3].amount_minor",
                  "must be positive");
    const Payments__V1__ItemError *x = pb_item_error(mem, &e);
    memset(&e, 0, sizeof e); // it is a copy
    assert_int_equal(x->code, 3);
    assert_string_equal(x->reason, "AMOUNT_NOT_POSITIVE");
    assert_string_equal(x->field, "payouts[3].amount_minor");
    assert_string_equal(x->message, "must be positive");
}

static void test_terminal__only_states_that_never_change(void **state) {
    (void)state;
    const Payments__V1__PayoutState ends[] = {PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_SETTLED,
                                              PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_FAILED,
                                              PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_RETURNED,
                                              PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_CANCELED};
    int n_terminal = 0;
    for (unsigned i = 0; i < payments__v1__payout_state__descriptor.n_values; i++) {
        const int value = payments__v1__payout_state__descriptor.values[i].value;
        n_terminal += payout_is_terminal((Payments__V1__PayoutState)value) ? 1 : 0;
    }
    assert_int_equal(n_terminal, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(payout_is_terminal(ends[i]));
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_time__there_and_back),
        T(test_time__not_of_our_years_or_no_time_at_all__refused),
        T(test_page_token__there_and_back),
        T(test_page_token__of_another_request_or_damaged__refused),
        T(test_page_size__default_and_limits),
        T(test_pack__empty_message_and_full_arena),
        T(test_item_error__carries_all_that_a_failed_call_would),
        T(test_terminal__only_states_that_never_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
