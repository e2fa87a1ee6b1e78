// The possible cost of a bank's file before its meaning is known.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rails/ach/ach_internal.h"

#define SAYS "{\"file\":\"a.ach\",\"status\":\"rejected\",\"at\":\"2026-11-30T10:00:00Z\""

static char text[2 * ACH_ACK_BYTES_MAX];

// An acknowledgement of exactly so many bytes, filled with arrays, each of which costs forty times its bytes.
static str ack_of(size_t len) {
    size_t n = (size_t)snprintf(text, sizeof text, "%s,\"x\":[[]", SAYS);
    while (n + 5 <= len) {
        memcpy(text + n, ",[]", 3);
        n += 3;
    }
    memset(text + n, ' ', len - n);
    memcpy(text + len - 2, "]}", 2);
    return (str){text, len};
}

static void test_ack__larger_than_any__refused_unread(void **state) {
    (void)state;
    arena *a = arena_create(1024 * 1024);
    ach_ack ack;
    err e = {0};
    assert_true(ach_ack_parse(ack_of(ACH_ACK_BYTES_MAX), a, &ack, &e));
    assert_true(ach_is_whole(ack_of(ACH_ACK_BYTES_MAX), a));
    assert_false(ach_ack_parse(ack_of(ACH_ACK_BYTES_MAX + 1), a, &ack, &e));
    assert_string_equal(e.reason, "BAD_FILE");
    assert_false(ach_is_whole(ack_of(ACH_ACK_BYTES_MAX + 1), a));
    arena_destroy(a);
}

// A count that no file of ours can have is refused: sums over it would overflow.
static void test_ack__counts_beyond_a_file__refused_or_none(void **state) {
    (void)state;
    static const char *const COUNTS[] = {"-1", "1000000000000", "9223372036854775807", "1.5"};
    arena *a = arena_create(1024 * 1024);
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        for (int accepted = 0; accepted < 2; accepted++) {
            ach_ack ack;
            err e = {0};
            const char *bytes = arena_printf(
                a,
                "{\"file\":\"a.ach\",\"status\":\"%s\",\"at\":\"2026-11-30T10:00:00Z\","
                "\"entries\":1,\"total\":%s}",
                accepted == 1 ? "accepted" : "rejected", COUNTS[i]);
            assert_int_equal(ach_ack_parse(str_of(bytes), a, &ack, &e), accepted == 0);
            assert_true(accepted == 1 || ack.total == 0);
        }
    }
    arena_destroy(a);
}

// Useless elements are small, and each would become an exception.
static void test_ack__refuses_what_is_no_entry__refused(void **state) {
    (void)state;
    static const char *const ELEMENTS[] = {
        "0",
        "null",
        "[]",
        "{}",
        "{\"trace\":1210428800000011}",
        "{\"trace\":121042880000001.0}",
        "{\"trace\":0}",
        "{\"trace\":-21042880000001}",
        "{\"trace\":\"12104288000001\"}",
        "{\"trace\":\"1210428800000011\"}",
        "{\"trace\":\"12104288000000x\"}",
        "\"121042880000001\"",
    };
    arena *a = arena_create(1024 * 1024);
    for (size_t i = 0; i <= sizeof ELEMENTS / sizeof ELEMENTS[0]; i++) {
        const bool good = i == sizeof ELEMENTS / sizeof ELEMENTS[0];
        const char *bytes =
            arena_printf(a, SAYS ",\"refused\":[{\"trace\":\"121042880000002\"},%s]}",
                         good ? "{\"trace\":\"121042880000001\"}" : ELEMENTS[i]);
        ach_ack ack;
        err e = {0};
        assert_int_equal(ach_ack_parse(str_of(bytes), a, &ack, &e), good);
        assert_true(good ? ack.n_refused == 2 : strcmp(e.reason, "BAD_FILE") == 0);
    }
    arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ack__counts_beyond_a_file__refused_or_none),
        cmocka_unit_test(test_ack__larger_than_any__refused_unread),
        cmocka_unit_test(test_ack__refuses_what_is_no_entry__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
