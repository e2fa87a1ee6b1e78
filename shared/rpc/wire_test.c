// The wire checks: what protobuf-c would accept, and what must never crash.
#include "rpc/wire_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "echo.pb-c.h"

#define TYPE (&rpc__testing__echo_request__descriptor)
#define BYTES(literal) ((str){literal, sizeof(literal) - 1})

static void expect_refused(str bytes, err_code code, const char *reason, const char *field) {
    err e = {0};
    // A copy of exactly this size, so that the sanitizer sees a read beyond the end.
    char *copy = malloc(bytes.len > 0 ? bytes.len : 1);
    memcpy(copy, bytes.ptr, bytes.len);
    assert_false(wire_validate((str){copy, bytes.len}, TYPE, &e));
    free(copy);
    assert_int_equal(e.code, code);
    assert_string_equal(e.reason, reason);
    assert_string_equal(e.field, field);
}

static void test_wire__sound_message__passes(void **state) {
    (void)state;
    assert_true(wire_validate((str){NULL, 0}, TYPE, NULL));
    assert_true(wire_validate(BYTES("\x0a\x03"
                                    "abc"),
                              TYPE, NULL));
    assert_true(wire_validate(BYTES("\x0a\x06"
                                    "\xe2\x82\xac"
                                    "abc"),
                              TYPE, NULL));                                // euro sign
    assert_true(wire_validate(BYTES("\x32\x03\x01\x02\x03"), TYPE, NULL)); // packed numbers
    assert_true(wire_validate(BYTES("\x30\x01"), TYPE, NULL));             // and the same unpacked
    assert_true(wire_validate(BYTES("\x22\x02\x00\xff"), TYPE, NULL)); // bytes may hold anything
    assert_true(wire_validate(BYTES("\xa0\x06\x01"), TYPE, NULL));     // unknown field 100
    assert_true(wire_validate(BYTES("\x3a\x06\x0a\x01"
                                    "k"
                                    "\x12\x01"
                                    "v"),
                              TYPE, NULL));
}

static void test_wire__text_not_utf8__refused_with_path(void **state) {
    (void)state;
    expect_refused(BYTES("\x0a\x02\xc3\x28"), ERR_INVALID_ARGUMENT, "INVALID_UTF8", "text");
    // surrogate
    expect_refused(BYTES("\x0a\x03\xed\xa0\x80"), ERR_INVALID_ARGUMENT, "INVALID_UTF8", "text");
    expect_refused(BYTES("\x4a\x01\xff"), ERR_INVALID_ARGUMENT, "INVALID_UTF8", "alias");
    // The second tag of the third item.
    expect_refused(BYTES("\x12\x00\x12\x00\x12\x06\x12\x01"
                         "a"
                         "\x12\x01\xff"),
                   ERR_INVALID_ARGUMENT, "INVALID_UTF8", "items[2].tags[1]");
    expect_refused(BYTES("\x3a\x03\x0a\x01\x80"), ERR_INVALID_ARGUMENT, "INVALID_UTF8",
                   "labels[0].key");
}

static void test_wire__text_with_nul__refused(void **state) {
    (void)state;
    expect_refused(BYTES("\x0a\x03"
                         "a\0b"),
                   ERR_INVALID_ARGUMENT, "EMBEDDED_NUL", "text");
    expect_refused(BYTES("\x0a\x01\0"), ERR_INVALID_ARGUMENT, "EMBEDDED_NUL", "text");
    expect_refused(BYTES("\x12\x03\x0a\x01\0"), ERR_INVALID_ARGUMENT, "EMBEDDED_NUL",
                   "items[0].name");
}

static void test_wire__repeated_singular_field__every_occurrence_is_checked(void **state) {
    (void)state;
    // In protobuf the last value wins. The first one is checked, too.
    expect_refused(BYTES("\x0a\x01\xff\x0a\x01"
                         "a"),
                   ERR_INVALID_ARGUMENT, "INVALID_UTF8", "text");
}

static void test_wire__malformed__refused(void **state) {
    (void)state;
    const str cases[] = {
        BYTES("\x0a"), // no length
        // shorter than its length says
        BYTES("\x0a\x05"
              "ab"),
        BYTES("\x0a\xff\xff\xff\xff\x0f"),     // length beyond 2^31
        BYTES("\x0a\x80\x80\x80\x80\x80\x01"), // length of six bytes
        BYTES("\x02\x00"),                     // field number 0
        BYTES("\x80\x80\x80\x80\x80\x01"),     // tag of six bytes
        BYTES("\xff\xff\xff\xff\x7f"),         // tag beyond 32 bits
        BYTES("\x0b"),                         // group
        BYTES("\x0c"),
        BYTES("\x0e"), // wire types 6 and 7
        BYTES("\x0f"),
        BYTES("\xa0\x06"),                                             // varint without end
        BYTES("\xa0\x06\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), // of eleven bytes
        BYTES("\xa5\x06\x01\x02\x03"),                                 // fixed32 cut
        BYTES("\xa1\x06\x01\x02\x03"),                                 // fixed64 cut
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_refused(cases[i], ERR_INVALID_ARGUMENT, "MALFORMED_MESSAGE", "");
    }
    // a varint for a string
    expect_refused(BYTES("\x08\x01"), ERR_INVALID_ARGUMENT, "MALFORMED_MESSAGE", "text");
    expect_refused(BYTES("\x12\x01\x0a"), ERR_INVALID_ARGUMENT, "MALFORMED_MESSAGE", "items[0]");
}

// `depth` nodes, nested.
static str nested(char *out, size_t cap, int depth) {
    size_t at = cap;
    size_t len = 0;
    for (int i = 0; i < depth; i++) {
        at -= 2; // lengths below 128 are enough here
        assert_true(len < 128);
        out[at] = i == depth - 1 ? 0x2a : 0x0a; // EchoRequest.node, Node.child
        out[at + 1] = (char)len;
        len += 2;
    }
    return (str){out + at, len};
}

static void test_wire__nested_too_deep__refused_before_recursion(void **state) {
    (void)state;
    char memory[256];
    assert_true(wire_validate(nested(memory, sizeof(memory), WIRE_DEPTH_MAX - 1), TYPE, NULL));
    err e = {0};
    assert_false(wire_validate(nested(memory, sizeof(memory), WIRE_DEPTH_MAX), TYPE, &e));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(e.reason, "REQUEST_TOO_COMPLEX");
}

static void test_wire__arena_too_small__resource_exhausted(void **state) {
    (void)state;
    const size_t n = 20000;
    char *many = malloc(2 * n);
    for (size_t i = 0; i < n; i++) {
        many[2 * i] = 0x12; // an empty item
        many[2 * i + 1] = 0;
    }
    arena *a = arena_create((size_t)256 * 1024);
    err e = {0};
    assert_null(wire_unpack((str){many, 2 * n}, TYPE, a, &e));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(e.reason, "REQUEST_TOO_COMPLEX");
    arena_destroy(a);
    free(many);
}

// The last text on the wire, by our cursor.
static str last_text(str bytes) {
    str last = {"", 0};
    wire_field field;
    for (size_t at = 0; at < bytes.len && wire_next(bytes, &at, &field);) {
        last = field.number == 1 ? field.bytes : last;
    }
    return last;
}

// A message that passes and unpacks holds exactly the checked text: both readers see the same bytes.
static void test_wire__random_mutations__validate_and_unpack_agree(void **state) {
    (void)state;
    const char seed[] = "\x0a\x03"
                        "abc"
                        "\x12\x08\x0a\x02"
                        "it"
                        "\x12\x02"
                        "tg"
                        "\x18\x05\x22\x01\x00\x2a\x02\x12\x00"
                        "\x32\x03\x01\x02\x03\x3a\x06\x0a\x01"
                        "k"
                        "\x12\x01"
                        "v"
                        "\x41\x01\x02\x03\x04\x05\x06\x07\x08";
    uint64_t random = 88172645463325252u;
    int passed = 0, unpacked = 0;
    for (int round = 0; round < 200000; round++) {
        char bytes[sizeof(seed)];
        memcpy(bytes, seed, sizeof(seed));
        for (int k = 0; k < 1 + round % 3; k++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes[random % (sizeof(seed) - 1)] = (char)(random >> 40);
        }
        size_t len = round % 5 == 0 ? random % sizeof(seed) : sizeof(seed) - 1;
        arena *a = round % 16 == 0 ? arena_create((size_t)64 * 1024) : NULL;
        bool valid = wire_validate((str){bytes, len}, TYPE, NULL);
        passed += valid ? 1 : 0;
        if (valid && a != NULL) {
            const Rpc__Testing__EchoRequest *m =
                (const void *)wire_unpack((str){bytes, len}, TYPE, a, NULL);
            unpacked += m != NULL ? 1 : 0;
            // Not everything that passes unpacks: only protobuf-c judges packed numbers.
            if (m != NULL && !str_eq_c(last_text((str){bytes, len}), m->text)) {
                fail_msg("round %d: the texts differ", round);
            }
        }
        arena_destroy(a);
    }
    assert_true(passed > 1000 && unpacked > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire__sound_message__passes),
        cmocka_unit_test(test_wire__text_not_utf8__refused_with_path),
        cmocka_unit_test(test_wire__text_with_nul__refused),
        cmocka_unit_test(test_wire__repeated_singular_field__every_occurrence_is_checked),
        cmocka_unit_test(test_wire__malformed__refused),
        cmocka_unit_test(test_wire__nested_too_deep__refused_before_recursion),
        cmocka_unit_test(test_wire__arena_too_small__resource_exhausted),
        cmocka_unit_test(test_wire__random_mutations__validate_and_unpack_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
