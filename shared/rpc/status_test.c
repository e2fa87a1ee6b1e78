// Error details there and back, and the reading of metadata.
#include "rpc/status_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "google/rpc/status.pb-c.h"
#include "rpc/rpc_internal.h"

static void round_trip(const err *in, err *out) {
    grpc_slice slice = status_pack(in, "rpc.test", "req-1");
    status_parse((str){(const char *)GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice)}, out);
    grpc_slice_unref(slice);
}

static void test_status__all_details__come_back(void **state) {
    (void)state;
    err in = {0}, out = {0};
    err_set_field(&in, ERR_INVALID_ARGUMENT, "AMOUNT_NEGATIVE", "transfers[3].amount",
                  "the amount is negative");
    in.retry_after_ms = 12345;
    round_trip(&in, &out);
    assert_string_equal(out.reason, "AMOUNT_NEGATIVE");
    assert_string_equal(out.field, "transfers[3].amount");
    assert_int_equal(out.retry_after_ms, 12345);
}

static void test_status__no_reason__is_the_codes_name(void **state) {
    (void)state;
    err in = {0}, out = {0};
    err_set(&in, ERR_INTERNAL, "", "oops");
    round_trip(&in, &out);
    assert_string_equal(out.reason, "INTERNAL");
    assert_int_equal(out.retry_after_ms, 0);
    assert_string_equal(out.field, "");
}

static int32_t told_to_wait(err_code code, unsigned flags) {
    err in = {0}, out = {0};
    err_set(&in, code, "X", "oops");
    in.flags = flags;
    round_trip(&in, &out);
    return out.retry_after_ms;
}

static void test_status__a_repeat_helps__says_after_what_time(void **state) {
    (void)state;
    assert_int_equal(told_to_wait(ERR_UNAVAILABLE, 0), RPC_RETRY_AFTER_MS);
    assert_int_equal(told_to_wait(ERR_RESOURCE_EXHAUSTED, ERR_RETRIABLE), RPC_RETRY_AFTER_MS);
    assert_int_equal(told_to_wait(ERR_RESOURCE_EXHAUSTED, 0), 0); // too large forever
    assert_int_equal(told_to_wait(ERR_NOT_FOUND, 0), 0);
}

static void test_status__longest_error__fits(void **state) {
    (void)state;
    err in = {0}, out = {0};
    in.code = ERR_INVALID_ARGUMENT;
    memset(in.reason, 'R', sizeof(in.reason) - 1);
    memset(in.field, 'f', sizeof(in.field) - 1);
    memset(in.message, 'm', sizeof(in.message) - 1);
    in.retry_after_ms = INT32_MAX;
    round_trip(&in, &out);
    assert_string_equal(out.reason, in.reason);
    assert_string_equal(out.field, in.field);
}

static void test_status__private_detail__is_not_packed(void **state) {
    (void)state;
    err in = {0};
    err_set(&in, ERR_INTERNAL, "X", "public");
    err_detail(&in, "password=hunter2");
    grpc_slice slice = status_pack(&in, "rpc.test", "req-1");
    assert_null(memmem(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice), "hunter2", 7));
    assert_non_null(memmem(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice), "req-1", 5));
    assert_non_null(memmem(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice), "rpc.test", 8));
    grpc_slice_unref(slice);
}

static void test_status__garbage__is_ignored(void **state) {
    (void)state;
    err out = {0};
    err_set(&out, ERR_NOT_FOUND, "KEPT", "kept");
    status_parse((str){"\xff\xff\xff", 3}, &out);
    status_parse((str){NULL, 0}, &out);
    assert_string_equal(out.reason, "KEPT");
}

static void test_status__text_cut_in_a_character__is_cleaned(void **state) {
    (void)state;
    char out[32];
    status_clean_text("caf\xc3", out, sizeof(out));
    assert_string_equal(out, "caf?");
    status_clean_text("caf\xc3\xa9", out, sizeof(out));
    assert_string_equal(out, "caf\xc3\xa9");
    status_clean_text("12\xc3\xa9", out, 4); // cut here
    assert_string_equal(out, "12?");
}

static void test_context__traceparent(void **state) {
    (void)state;
    char id[33] = "";
    assert_true(trace_parse(STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), id));
    assert_string_equal(id, "0af7651916cd43dd8448eb211c80319c");
    assert_true(
        trace_parse(STR("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"), id));
    const str bad[] = {
        STR(""),
        STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"),
        STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"),
        STR("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        STR("00-00000000000000000000000000000000-b7ad6b7169203331-01"),
        STR("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"),
        STR("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        STR("00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(trace_parse(bad[i], id));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__all_details__come_back),
        cmocka_unit_test(test_status__no_reason__is_the_codes_name),
        cmocka_unit_test(test_status__a_repeat_helps__says_after_what_time),
        cmocka_unit_test(test_status__longest_error__fits),
        cmocka_unit_test(test_status__private_detail__is_not_packed),
        cmocka_unit_test(test_status__garbage__is_ignored),
        cmocka_unit_test(test_status__text_cut_in_a_character__is_cleaned),
        cmocka_unit_test(test_context__traceparent),
    };
    grpc_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    grpc_shutdown();
    return failed;
}
