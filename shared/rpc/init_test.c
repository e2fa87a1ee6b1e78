// OpenSSL stays usable until the process ends, not only until main returns: core's threads may need it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/log.h"
#include "rpc/rpc.h"

static void test_init__core_and_openssl__work(void **state) {
    (void)state;
    unsigned char bytes[16];
    rpc_init();
    assert_int_equal(RAND_bytes(bytes, sizeof(bytes)), 1); // gives this thread a generator
    rpc_shutdown();
    assert_int_equal(RAND_bytes(bytes, sizeof(bytes)), 1);
}

// Runs after OpenSSL's own exit handler, which would be registered later.
static void openssl_is_still_there(void) {
    if (OPENSSL_init_crypto(0, NULL) != 1) { // OpenSSL's answer after its cleanup
        fprintf(stderr, "OpenSSL has cleaned up while threads of core may still use it\n");
        _exit(1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init__core_and_openssl__work),
    };
    log_init("rpc-test", LOG_ERROR);
    if (atexit(openssl_is_still_there) != 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
