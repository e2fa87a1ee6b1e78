// Who may call what, over TLS: the table of permissions at the start, the policy at each call, and a new policy meanwhile.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "raw_client.h"

static fixture f;

static int start(void **state) {
    (void)state;
    fixture_process_init();
    rpc_server_options o = fixture_options();
    fixture_start(&f, &o);
    return 0;
}

static int stop(void **state) {
    (void)state;
    fixture_stop(&f, 5000);
    fixture_process_deinit();
    return 0;
}

static int again(void **state) {
    (void)state;
    fixture_set_policy(FIXTURE_POLICY);
    rpc_server_policy_changed(f.server);
    return 0;
}

// --- The table ---------------------------------------------------------------------------------------------------------

static void expect_no_start(const authz_permission *rows, size_t n, const char *part) {
    echo_service echo;
    rpc_service service = echo_service_table(&echo);
    rpc_server_options o = fixture_options();
    o.services = &service;
    o.n_services = 1;
    o.permissions = rows;
    o.n_permissions = n;
    err e = {0};
    assert_null(rpc_server_start(&o, &e));
    assert_string_equal(e.reason, "PERMISSIONS_INCOMPLETE");
    if (strstr(e.message, part) == NULL) {
        fail_msg("%s", e.message);
    }
}

static void test_table__not_just_one_row_a_method__stops_the_start(void **state) {
    (void)state;
    authz_permission rows[ECHO_METHODS + 1];
    memcpy(rows, ECHO_PERMISSIONS, sizeof(ECHO_PERMISSIONS));
    expect_no_start(rows, ECHO_METHODS - 1, "rpc.testing.EchoService/Follow: it has no row");
    expect_no_start(NULL, 0, "Echo: it has no row");
    rows[ECHO_METHODS] = (authz_permission){"rpc.testing.EchoService/Gone", 1, AUTHZ_ON_NOTHING};
    expect_no_start(rows, ECHO_METHODS + 1, "EchoService/Gone: its row belongs to no method");
    rows[ECHO_METHODS] = rows[0];
    expect_no_start(rows, ECHO_METHODS + 1, "EchoService/Echo: it has two rows");
    // Ours are no business of the service's table.
    rows[ECHO_METHODS] = (authz_permission){"grpc.health.v1.Health/Check", 1, AUTHZ_ON_NOTHING};
    expect_no_start(rows, ECHO_METHODS + 1, "Check: its row belongs to no method");
}

// --- One call ----------------------------------------------------------------------------------------------------------

static raw_result call_as(const char *cert, const char *method, const char *merchant,
                          const char *person, const char *roles) {
    uint8_t bytes[128];
    Rpc__Testing__EchoRequest request = RPC__TESTING__ECHO_REQUEST__INIT;
    Rpc__Testing__CountRequest count = RPC__TESTING__COUNT_REQUEST__INIT;
    const bool stream = strstr(method, "Count") != NULL;
    request.merchant_id = (char *)(uintptr_t)merchant;
    count.merchant_id = (char *)(uintptr_t)merchant;
    const ProtobufCMessage *m = stream ? &count.base : &request.base;
    raw_call call = {.target = f.target,
                     .ca = "ca",
                     .cert = cert,
                     .path = method,
                     .bytes = bytes,
                     .len = protobuf_c_message_pack(m, bytes),
                     .timeout_ms = 5000};
    int n = 0;
    if (person != NULL) {
        call.keys[n] = RPC_PERSON_KEY;
        call.values[n++] = person;
    }
    if (roles != NULL) {
        call.keys[n] = RPC_ROLES_KEY;
        call.values[n++] = roles;
    }
    raw_result r;
    raw_call_run(&call, &r);
    return r;
}

static void expect(raw_result r, err_code code, const char *reason) {
    if (r.status != (int)code || (code != ERR_OK && strcmp(r.e.reason, reason) != 0)) {
        fail_msg("%d %s: %s", r.status, r.e.reason, r.text);
    }
}

static void denied(raw_result r, const char *reason) {
    expect(r, ERR_PERMISSION_DENIED, reason);
}

static void test_call__merchant_of_the_caller__is_let_in(void **state) {
    (void)state;
    expect(call_as("limited", ECHO_PATH("Echo"), "acme", NULL, NULL), ERR_OK, "");
    expect(call_as("client", ECHO_PATH("Echo"), "acme", NULL, NULL), ERR_OK, "");
    expect(call_as("client", ECHO_PATH("Echo"), "", NULL, NULL), ERR_OK, "");
    expect(call_as("limited", ECHO_PATH("Late"), "globex", NULL, NULL), ERR_OK, "");
}

static void test_call__another_merchant__is_refused_before_the_handler(void **state) {
    (void)state;
    denied(call_as("limited", ECHO_PATH("Echo"), "globex", NULL, NULL), "MERCHANT_NOT_ALLOWED");
    denied(call_as("limited", ECHO_PATH("Echo"), "acme2", NULL, NULL), "MERCHANT_NOT_ALLOWED");
    denied(call_as("limited", ECHO_PATH("Echo"), "", NULL, NULL), "MERCHANTS_NOT_ALL");
    denied(call_as("limited", ECHO_PATH("Fail"), "", NULL, NULL), "MERCHANT_NOT_ALLOWED");
    denied(call_as("limited", ECHO_PATH("Stubborn"), "acme", NULL, NULL), "MERCHANTS_NOT_ALL");
    expect(call_as("limited", ECHO_PATH("Fail"), "acme", NULL, NULL), ERR_INTERNAL, "INTERNAL");
}

static void test_call__reflection__takes_who_is_in_the_policy(void **state) {
    (void)state;
    const char *const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    denied(call_as("stranger", path, "", NULL, NULL), "IDENTITY_NOT_ALLOWED");
    raw_result r = call_as("limited", path, "", NULL, NULL);
    assert_int_not_equal(r.status, ERR_PERMISSION_DENIED);
}

static void test_call__decisions__are_counted(void **state) {
    (void)state;
    metric *let_in = metric_counter("authz_decisions_total", "decision=\"ALLOWED\"", "");
    metric *foreign =
        metric_counter("authz_decisions_total", "decision=\"MERCHANT_NOT_ALLOWED\"", "");
    const int64_t before[2] = {metric_value(let_in), metric_value(foreign)};
    expect(call_as("limited", ECHO_PATH("Echo"), "acme", NULL, NULL), ERR_OK, "");
    denied(call_as("limited", ECHO_PATH("Echo"), "globex", NULL, NULL), "MERCHANT_NOT_ALLOWED");
    assert_int_equal(metric_value(let_in), before[0] + 1);
    assert_int_equal(metric_value(foreign), before[1] + 1);
}

// --- Acting for a person -----------------------------------------------------------------------------------------------

static void test_gateway__a_person__is_who_is_decided_on(void **state) {
    (void)state;
    raw_result r = call_as("edge", ECHO_PATH("Echo"), "acme", "ada", NULL);
    expect(r, ERR_OK, "");
    Rpc__Testing__EchoResponse *answer =
        rpc__testing__echo_response__unpack(NULL, r.first_len, (const uint8_t *)r.first);
    assert_non_null(answer);
    assert_string_equal(answer->identity, "spiffe://disburse/edge");
    assert_string_equal(answer->person, "ada");
    rpc__testing__echo_response__free_unpacked(answer, NULL);
    expect(call_as("edge", ECHO_PATH("Echo"), "acme", "ada", "maker"), ERR_OK, "");
    denied(call_as("edge", ECHO_PATH("Echo"), "globex", "ada", NULL), "MERCHANT_NOT_ALLOWED");
    denied(call_as("edge", ECHO_PATH("Late"), "acme", "ada", NULL), "ROLE_MISSING");
    denied(call_as("edge", ECHO_PATH("Late"), "acme", "ada", "payer"), "ROLES_NOT_GRANTED");
    denied(call_as("edge", ECHO_PATH("Echo"), "acme", "eve", NULL), "PERSON_NOT_ALLOWED");
    denied(call_as("edge", ECHO_PATH("Echo"), "acme", NULL, NULL), "PERSON_MISSING");
    denied(call_as("edge", ECHO_PATH("Echo"), "acme", NULL, "maker"), "PERSON_MISSING");
    expect(call_as("edge", ECHO_PATH("Count"), "", NULL, NULL), ERR_OK, "");
}

static void test_gateway__metadata_of_anyone_else__is_refused(void **state) {
    (void)state;
    denied(call_as("client", ECHO_PATH("Echo"), "acme", "ada", NULL), "ACTING_NOT_ALLOWED");
    denied(call_as("client", ECHO_PATH("Echo"), "acme", NULL, "payer"), "ACTING_NOT_ALLOWED");
    denied(call_as("client", ECHO_PATH("Late"), "acme", "test", "payer"), "ACTING_NOT_ALLOWED");
    denied(call_as("stranger", ECHO_PATH("Echo"), "acme", "ada", NULL), "IDENTITY_NOT_ALLOWED");
}

static void test_gateway__metadata_that_is_not_understood__is_refused(void **state) {
    (void)state;
    static const char *const ROLES[] = {"", "makr", "maker,", "maker,maker", "maker;payer"};
    for (size_t i = 0; i < sizeof(ROLES) / sizeof(ROLES[0]); i++) {
        expect(call_as("edge", ECHO_PATH("Echo"), "acme", "ada", ROLES[i]), ERR_INVALID_ARGUMENT,
               "ACTING_INVALID");
    }
    char name[AUTHZ_PERSON_MAX + 2];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    expect(call_as("edge", ECHO_PATH("Echo"), "acme", name, NULL), ERR_INVALID_ARGUMENT,
           "ACTING_INVALID");
    expect(call_as("edge", ECHO_PATH("Echo"), "acme", "", NULL), ERR_INVALID_ARGUMENT,
           "ACTING_INVALID");
    raw_call twice = {.target = f.target,
                      .ca = "ca",
                      .cert = "edge",
                      .path = ECHO_PATH("Echo"),
                      .bytes = "",
                      .timeout_ms = 5000,
                      .keys = {RPC_PERSON_KEY, RPC_PERSON_KEY},
                      .values = {"ada", "ada"}};
    raw_result r;
    raw_call_run(&twice, &r);
    expect(r, ERR_INVALID_ARGUMENT, "ACTING_INVALID");
}

// --- A new policy ------------------------------------------------------------------------------------------------------

static void test_new_policy__counts_for_the_next_call_of_the_same_connection(void **state) {
    (void)state;
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    rpc_client *limited = fixture_client(&f, "limited", "ca", 0);
    assert_true(fixture_call(limited, ECHO_PATH("Late"), "", 0, 5000, a, &response, &e));
    fixture_set_policy(FIXTURE_TEST_ENTRY);
    assert_false(fixture_call(limited, ECHO_PATH("Late"), "", 0, 5000, a, &response, &e));
    assert_int_equal(e.code, ERR_PERMISSION_DENIED);
    assert_true(fixture_call(f.client, ECHO_PATH("Echo"), "", 0, 5000, a, &response, &e));
    fixture_set_policy(FIXTURE_POLICY);
    assert_true(fixture_call(limited, ECHO_PATH("Late"), "", 0, 5000, a, &response, &e));
    rpc_client_destroy(limited);
    arena_destroy(a);
}

typedef struct under_way {
    pthread_t thread;
    const char *path;
    rpc_client *client;
    bool ok;
    err e;
} under_way;

static bool ignore_message(void *arg, const ProtobufCMessage *m) {
    (void)arg, (void)m;
    return true;
}

static void *run_call(void *arg) {
    under_way *u = arg;
    arena *a = arena_create(65536);
    const int64_t deadline_ms = fixture_now_ms() + 20000;
    ProtobufCMessage *response = NULL;
    if (strstr(u->path, "Follow") != NULL) {
        Rpc__Testing__CountRequest request = RPC__TESTING__COUNT_REQUEST__INIT;
        request.merchant_id = (char *)(uintptr_t) "acme";
        u->ok = rpc_client_stream(u->client, u->path, &request.base,
                                  &rpc__testing__count_response__descriptor, deadline_ms,
                                  ignore_message, NULL, &u->e);
    } else {
        Rpc__Testing__EchoRequest request = RPC__TESTING__ECHO_REQUEST__INIT;
        request.merchant_id = (char *)(uintptr_t) "acme";
        request.sleep_ms = 300;
        u->ok = rpc_client_call(u->client, u->path, &request.base,
                                &rpc__testing__echo_response__descriptor, deadline_ms, a, &response,
                                &u->e);
    }
    arena_destroy(a);
    return NULL;
}

static void begin(under_way *u, const char *path, const char *cert) {
    *u = (under_way){.path = path, .client = fixture_client(&f, cert, "ca", 0)};
    assert_int_equal(pthread_create(&u->thread, NULL, run_call, u), 0);
}

static void end(under_way *u) {
    pthread_join(u->thread, NULL);
    rpc_client_destroy(u->client);
}

static void test_new_policy__calls_under_way__end_well_and_streams_hear_of_it(void **state) {
    (void)state;
    const int streams = atomic_load(&f.echo.streams_followed);
    under_way stream, other_stream, call;
    begin(&stream, ECHO_PATH("Follow"), "limited");
    begin(&other_stream, ECHO_PATH("Follow"), "client");
    assert_true(fixture_wait_for(&f.echo.streams_followed, streams + 2, 5000));
    begin(&call, ECHO_PATH("Slow"), "limited");
    assert_true(fixture_wait_for(&f.echo.running, 1, 5000));
    fixture_set_policy(FIXTURE_TEST_ENTRY);
    rpc_server_policy_changed(f.server);
    end(&stream); // at once, not at its deadline
    assert_false(stream.ok);
    assert_int_equal(stream.e.code, ERR_PERMISSION_DENIED);
    assert_string_equal(stream.e.reason, "IDENTITY_NOT_ALLOWED");
    end(&call);
    assert_true(call.ok);
    // Whom the new policy allows as well goes on, until a third one says otherwise.
    fixture_set_policy("[identity spiffe://disburse/test]\nroles = payer\nmerchants = globex\n");
    rpc_server_policy_changed(f.server);
    end(&other_stream);
    assert_int_equal(other_stream.e.code, ERR_PERMISSION_DENIED);
    assert_string_equal(other_stream.e.reason, "MERCHANT_NOT_ALLOWED");
}

static void test_no_policy__nobody_may_call(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    o.policy = NULL;
    fixture alone;
    fixture_start(&alone, &o);
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    assert_false(fixture_call(alone.client, ECHO_PATH("Echo"), "", 0, 5000, a, &response, &e));
    assert_string_equal(e.reason, "IDENTITY_NOT_ALLOWED");
    arena_destroy(a);
    fixture_stop(&alone, 1000);
}

#define TEST(fn) cmocka_unit_test_teardown(fn, again)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_table__not_just_one_row_a_method__stops_the_start),
        TEST(test_call__merchant_of_the_caller__is_let_in),
        TEST(test_call__another_merchant__is_refused_before_the_handler),
        TEST(test_call__reflection__takes_who_is_in_the_policy),
        TEST(test_call__decisions__are_counted),
        TEST(test_gateway__a_person__is_who_is_decided_on),
        TEST(test_gateway__metadata_of_anyone_else__is_refused),
        TEST(test_gateway__metadata_that_is_not_understood__is_refused),
        TEST(test_new_policy__counts_for_the_next_call_of_the_same_connection),
        TEST(test_new_policy__calls_under_way__end_well_and_streams_hear_of_it),
        TEST(test_no_policy__nobody_may_call),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
