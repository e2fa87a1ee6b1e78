#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/sha256.h"

// FIPS 180-2, appendix B, and the hash of the empty text.
static void test_sha256__known_vectors__as_published(void **state) {
    (void)state;
    uint8_t out[SHA256_LEN];
    sha256("abc", 3, out);
    assert_memory_equal(out,
                        "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23"
                        "\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad",
                        sizeof out);
    sha256(NULL, 0, out);
    assert_memory_equal(out,
                        "\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9\x24"
                        "\x27\xae\x41\xe4\x64\x9b\x93\x4c\xa4\x95\x99\x1b\x78\x52\xb8\x55",
                        sizeof out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sha256__known_vectors__as_published)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
