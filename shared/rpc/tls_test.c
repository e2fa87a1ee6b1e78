// Certificates that are replaced while the server runs and calls are under way.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fixture.h"

static char folder[] = "/tmp/rpc-tls-XXXXXX";
static char authority[64], cert[64], key[64];

static void put(const char *from, const char *to) {
    char bytes[16384];
    FILE *in = fopen(from, "rb");
    assert_non_null(in);
    const size_t n = fread(bytes, 1, sizeof(bytes), in);
    assert_int_equal(fclose(in), 0);
    FILE *out = fopen(to, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(to, 0600), 0);
}

static int start(void **state) {
    (void)state;
    fixture_process_init();
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(authority, sizeof(authority), "%s/ca.pem", folder);
    snprintf(cert, sizeof(cert), "%s/c.pem", folder);
    snprintf(key, sizeof(key), "%s/c.key", folder);
    return 0;
}

static int stop(void **state) {
    (void)state;
    unlink(authority);
    unlink(cert);
    unlink(key);
    fixture_process_deinit();
    return rmdir(folder);
}

static bool call(rpc_client *c, char *identity, size_t size, err *e) {
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    const bool ok = fixture_call(c, ECHO_PATH("Echo"), "", 0, 5000, a, &response, e);
    (void)snprintf(identity, size, "%s", ok ? response->identity : "");
    arena_destroy(a);
    return ok;
}

// With a connection of its own.
static bool fresh_call(const fixture *f, const char *name) {
    char identity[128];
    err e = {0};
    rpc_client *c = fixture_client(f, name, "ca", 0);
    const bool ok = call(c, identity, sizeof(identity), &e);
    rpc_client_destroy(c);
    assert_true(ok || e.code == ERR_UNAVAILABLE);
    return ok;
}

static void test_server__another_authority__counts_for_new_connections(void **state) {
    (void)state;
    put(fixture_pem("ca"), authority);
    rpc_server_options o = fixture_options();
    o.tls.ca_file = authority;
    fixture f;
    fixture_start(&f, &o);
    char identity[128];
    err e = {0};
    assert_true(call(f.client, identity, sizeof(identity), &e));
    assert_false(fresh_call(&f, "foreign"));
    put(fixture_pem("other-ca"), authority);
    assert_false(fresh_call(&f, "foreign")); // nobody has said so yet
    rpc_server_tls_changed(f.server);
    assert_true(fresh_call(&f, "foreign"));
    assert_false(fresh_call(&f, "client"));
    assert_true(call(f.client, identity, sizeof(identity), &e)); // its connection was there before
    // What cannot be read leaves all as it was.
    put(fixture_descriptors(), authority);
    rpc_server_tls_changed(f.server);
    assert_true(fresh_call(&f, "foreign"));
    assert_false(fresh_call(&f, "client"));
    // What could not be read once is read again with the next connection, although nobody says so once more.
    put(fixture_pem("ca"), authority);
    assert_true(fresh_call(&f, "client"));
    assert_false(fresh_call(&f, "foreign"));
    fixture_stop(&f, 1000);
}

// Whoever has a certificate of the authority must not stand for a server.
static void test_client__server_of_another_name__is_not_called(void **state) {
    (void)state;
    static const struct {
        const char *identity;
        bool ok;
    } CASES[] = {{"spiffe://disburse/server", true},
                 {"spiffe://disburse/serve", false},
                 {"spiffe://disburse/other", false},
                 {"", true}};
    rpc_server_options o = fixture_options();
    fixture f;
    fixture_start(&f, &o);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        const rpc_client_options options = {
            .target = f.target,
            .tls = {fixture_pem("ca"), fixture_pem("client"), fixture_key("client"), false},
            .tls_server_name = "localhost",
            .tls_server_identity = CASES[i].identity,
            .message_max = 65536};
        char identity[128];
        err e = {0};
        rpc_client *c = rpc_client_create(&options, &e);
        assert_non_null(c);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(call(c, identity, sizeof(identity), &e), CASES[i].ok);
            assert_true(CASES[i].ok || e.code == ERR_UNAVAILABLE);
            assert_true(rpc_client_tls_changed(c, &e));
        }
        rpc_client_destroy(c);
    }
    fixture_stop(&f, 1000);
}

typedef struct slow_call {
    rpc_client *client;
    bool ok;
} slow_call;

static void *run_slowly(void *arg) {
    slow_call *s = arg;
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    s->ok = fixture_call(s->client, ECHO_PATH("Slow"), "", 500, 20000, a, &response, &e);
    arena_destroy(a);
    return NULL;
}

static void test_client__another_certificate__calls_under_way_end_well(void **state) {
    (void)state;
    put(fixture_pem("client"), cert);
    put(fixture_key("client"), key);
    rpc_server_options o = fixture_options();
    fixture f;
    fixture_start(&f, &o);
    const rpc_client_options options = {.target = f.target,
                                        .tls = {fixture_pem("ca"), cert, key, false},
                                        .tls_server_name = "localhost",
                                        .message_max = 65536};
    err e = {0};
    rpc_client *c = rpc_client_create(&options, &e);
    assert_non_null(c);
    slow_call slow = {.client = c};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_slowly, &slow), 0);
    assert_true(fixture_wait_for(&f.echo.running, 1, 5000));
    put(fixture_pem("limited"), cert);
    put(fixture_key("limited"), key);
    assert_true(rpc_client_tls_changed(c, &e));
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    // Late is the method that whoever has one merchant may call, too.
    assert_true(fixture_call(c, ECHO_PATH("Late"), "", 0, 5000, a, &response, &e));
    char identity[128];
    assert_false(call(c, identity, sizeof(identity), &e));
    assert_string_equal(e.reason, "MERCHANTS_NOT_ALL"); // it is the limited one who asks
    pthread_join(thread, NULL);
    assert_true(slow.ok);
    put(fixture_descriptors(), cert);
    assert_false(rpc_client_tls_changed(c, &e));
    put(fixture_pem("client"), cert); // of another key
    assert_false(rpc_client_tls_changed(c, &e));
    assert_true(fixture_call(c, ECHO_PATH("Late"), "", 0, 5000, a, &response, &e));
    arena_destroy(a);
    rpc_client_destroy(c);
    fixture_stop(&f, 1000);
}

static void test_expiry__is_that_of_the_certificate(void **state) {
    (void)state;
    const rpc_tls tls = {fixture_pem("ca"), fixture_pem("client"), fixture_key("client"), false};
    const int64_t now_s = clock_wall_us(clock_system()) / 1000000, days = 30;
    int64_t ends_s = 0;
    err e = {0};
    assert_true(rpc_tls_expiry(&tls, &ends_s, &e));
    assert_in_range(ends_s, now_s + (days - 1) * 86400, now_s + days * 86400 + 1);
    const rpc_tls none = {fixture_pem("ca"), fixture_descriptors(), fixture_key("client"), false};
    assert_false(rpc_tls_expiry(&none, &ends_s, &e));
    assert_string_equal(e.reason, "TLS_INVALID");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server__another_authority__counts_for_new_connections),
        cmocka_unit_test(test_client__server_of_another_name__is_not_called),
        cmocka_unit_test(test_client__another_certificate__calls_under_way_end_well),
        cmocka_unit_test(test_expiry__is_that_of_the_certificate),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
