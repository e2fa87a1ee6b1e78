// Who may call what, over TLS: the table of permissions at the start, the policy at each call, and a new policy meanwhile.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "fixture.h"
#include "grpc/health/v1/health.pb-c.h"
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

static int64_t refused_for(const char *reason) {
    char labels[64];
    snprintf(labels, sizeof(labels), "decision=\"%s\"", reason);
    return metric_value(metric_counter("authz_decisions_total", labels, ""));
}

// What the certificate says is no name: nobody may try that unseen.
static void test_call__certificate_without_one_name__is_counted(void **state) {
    (void)state;
    const int64_t before = refused_for("IDENTITY_INVALID");
    expect(call_as("two-uris", ECHO_PATH("Echo"), "acme", NULL, NULL), ERR_UNAUTHENTICATED,
           "IDENTITY_INVALID");
    expect(call_as("no-uri", ECHO_PATH("Echo"), "acme", NULL, NULL), ERR_UNAUTHENTICATED,
           "IDENTITY_INVALID");
    assert_int_equal(refused_for("IDENTITY_INVALID"), before + 2);
}

// Lines of the log that were written while fn ran, as they are. @return how many bytes.
static size_t log_of(void (*fn)(void), char *out, size_t size) {
    FILE *lines = tmpfile();
    assert_non_null(lines);
    fflush(stderr);
    const int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && dup2(fileno(lines), STDERR_FILENO) >= 0);
    log_set_level(LOG_INFO);
    fn();
    log_set_level(LOG_ERROR);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    rewind(lines);
    const size_t n = fread(out, 1, size - 1, lines);
    out[n] = '\0';
    fclose(lines);
    return n;
}

static void call_without_a_name(void) {
    expect(call_as("two-uris", ECHO_PATH("Echo"), "acme", NULL, NULL), ERR_UNAUTHENTICATED,
           "IDENTITY_INVALID");
}

static void test_call__certificate_without_one_name__log_names_peer_and_method(void **state) {
    (void)state;
    char lines[8192];
    (void)log_of(call_without_a_name, lines, sizeof(lines));
    assert_non_null(strstr(lines, "IDENTITY_INVALID"));
    assert_non_null(strstr(lines, "127.0.0.1"));
    assert_non_null(strstr(lines, "EchoService/Echo"));
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

// What is not understood is told to a gateway only. To others it would be a way to try names without being seen.
static void
test_metadata__not_understood_and_not_of_a_gateway__is_refused_and_counted(void **state) {
    (void)state;
    const int64_t strangers = refused_for("IDENTITY_NOT_ALLOWED");
    const int64_t others = refused_for("ACTING_NOT_ALLOWED");
    denied(call_as("stranger", ECHO_PATH("Echo"), "acme", NULL, "x"), "IDENTITY_NOT_ALLOWED");
    denied(call_as("client", ECHO_PATH("Echo"), "acme", NULL, "x"), "ACTING_NOT_ALLOWED");
    assert_int_equal(refused_for("IDENTITY_NOT_ALLOWED"), strangers + 1);
    assert_int_equal(refused_for("ACTING_NOT_ALLOWED"), others + 1);
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
    atomic_int heard; // messages
    bool ok;
    err e;
} under_way;

static bool count_message(void *arg, const ProtobufCMessage *m) {
    under_way *u = arg;
    (void)m;
    atomic_fetch_add(&u->heard, 1);
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
                                  count_message, u, &u->e);
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

static void begin_with(const fixture *on, under_way *u, void *(*run)(void *), const char *path,
                       const char *cert) {
    memset(u, 0, sizeof(*u));
    u->path = path;
    u->client = fixture_client(on, cert, "ca", 0);
    assert_int_equal(pthread_create(&u->thread, NULL, run, u), 0);
}

static void begin(under_way *u, const char *path, const char *cert) {
    begin_with(&f, u, run_call, path, cert);
}

static void end(under_way *u) {
    pthread_join(u->thread, NULL);
    rpc_client_destroy(u->client);
}

static void test_new_policy__calls_under_way__end_well_and_streams_hear_of_it(void **state) {
    (void)state;
    const int streams = atomic_load(&f.echo.streams_followed);
    under_way stream, other_stream, call;
    const int64_t refused = refused_for("IDENTITY_NOT_ALLOWED");
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
    assert_int_equal(refused_for("IDENTITY_NOT_ALLOWED"), refused + 1);
    end(&call);
    assert_true(call.ok);
    // Whom the new policy allows as well goes on, until a third one says otherwise.
    fixture_set_policy("[identity spiffe://disburse/test]\nroles = payer\nmerchants = globex\n");
    rpc_server_policy_changed(f.server);
    end(&other_stream);
    assert_int_equal(other_stream.e.code, ERR_PERMISSION_DENIED);
    assert_string_equal(other_stream.e.reason, "MERCHANT_NOT_ALLOWED");
}

// The echo service asks twice after it was told to stop, as a careless handler may.
static void test_new_policy__stream_that_asks_again__is_told_the_same(void **state) {
    (void)state;
    const int streams = atomic_load(&f.echo.streams_followed);
    const int told = atomic_load(&f.echo.told_again);
    under_way stream;
    begin(&stream, ECHO_PATH("Follow"), "limited");
    assert_true(fixture_wait_for(&f.echo.streams_followed, streams + 1, 5000));
    fixture_set_policy(FIXTURE_TEST_ENTRY);
    rpc_server_policy_changed(f.server);
    end(&stream);
    assert_int_equal(stream.e.code, ERR_PERMISSION_DENIED);
    assert_true(fixture_wait_for(&f.echo.told_again, told + 1, 5000));
    assert_int_equal(atomic_load(&f.echo.went_on), 0);
}

static void test_call_under_way__right_withdrawn__can_ask(void **state) {
    (void)state;
    under_way call;
    atomic_store(&f.echo.held, true);
    begin(&call, ECHO_PATH("Late"), "limited");
    assert_true(fixture_wait_for(&f.echo.running, 1, 5000));
    fixture_set_policy(FIXTURE_TEST_ENTRY);
    atomic_store(&f.echo.held, false);
    end(&call);
    assert_false(call.ok);
    assert_int_equal(call.e.code, ERR_PERMISSION_DENIED);
    assert_string_equal(call.e.reason, "IDENTITY_NOT_ALLOWED");
}

// --- Streams of one caller ---------------------------------------------------------------------------------------------

static void *watch_health(void *arg) {
    under_way *u = arg;
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    u->ok = rpc_client_stream(u->client, "/grpc.health.v1.Health/Watch", &request.base,
                              &grpc__health__v1__health_check_response__descriptor,
                              fixture_now_ms() + 20000, count_message, u, &u->e);
    return NULL;
}

static void test_health__watches_of_one_caller__leave_room_for_others(void **state) {
    (void)state;
    enum { N = 8 };
    rpc_server_options o = fixture_options();
    fixture alone;
    fixture_start(&alone, &o);
    under_way many[N], more, other;
    for (int i = 0; i < N; i++) {
        begin_with(&alone, &many[i], watch_health, "", "stranger");
        assert_true(fixture_wait_for(&many[i].heard, 1, 5000));
    }
    begin_with(&alone, &more, watch_health, "", "stranger");
    end(&more);
    assert_int_equal(more.e.code, ERR_RESOURCE_EXHAUSTED);
    begin_with(&alone, &other, watch_health, "", "client");
    assert_true(fixture_wait_for(&other.heard, 1, 5000));
    fixture_stop(&alone, 1000);
    for (int i = 0; i < N; i++) {
        end(&many[i]);
    }
    end(&other);
}

static void test_streams__of_one_caller__leave_room_for_others(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    o.client_streams_max = 2;
    fixture alone;
    fixture_start(&alone, &o);
    under_way many[3], other;
    for (int i = 0; i < 2; i++) {
        begin_with(&alone, &many[i], run_call, ECHO_PATH("Follow"), "client");
        assert_true(fixture_wait_for(&alone.echo.streams_followed, i + 1, 5000));
    }
    begin_with(&alone, &many[2], run_call, ECHO_PATH("Follow"), "client");
    end(&many[2]);
    assert_int_equal(many[2].e.code, ERR_RESOURCE_EXHAUSTED);
    begin_with(&alone, &other, run_call, ECHO_PATH("Follow"), "limited");
    assert_true(fixture_wait_for(&alone.echo.streams_followed, 3, 5000));
    fixture_stop(&alone, 1000);
    end(&many[0]);
    end(&many[1]);
    end(&other);
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
        TEST(test_call__certificate_without_one_name__is_counted),
        TEST(test_call__certificate_without_one_name__log_names_peer_and_method),
        TEST(test_metadata__not_understood_and_not_of_a_gateway__is_refused_and_counted),
        TEST(test_new_policy__stream_that_asks_again__is_told_the_same),
        TEST(test_call_under_way__right_withdrawn__can_ask),
        TEST(test_health__watches_of_one_caller__leave_room_for_others),
        TEST(test_streams__of_one_caller__leave_room_for_others),
        TEST(test_gateway__a_person__is_who_is_decided_on),
        TEST(test_gateway__metadata_of_anyone_else__is_refused),
        TEST(test_gateway__metadata_that_is_not_understood__is_refused),
        TEST(test_new_policy__counts_for_the_next_call_of_the_same_connection),
        TEST(test_new_policy__calls_under_way__end_well_and_streams_hear_of_it),
        TEST(test_no_policy__nobody_may_call),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
