// A real server and real clients over TLS in one process: what a well-behaved client sees.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/metrics.h"
#include "fixture.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
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

// After each test the server must still answer.
static int still_usable(void **state) {
    (void)state;
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    bool ok = fixture_call(f.client, ECHO_PATH("Echo"), "ping", 0, 5000, a, &response, &e);
    ok = ok && strcmp(response->text, "ping") == 0;
    arena_destroy(a);
    return ok ? 0 : -1;
}

static void test_unary__echo__answers_with_context(void **state) {
    (void)state;
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    log_context *ctx = log_ctx();
    snprintf(ctx->trace_id, sizeof(ctx->trace_id), "0af7651916cd43dd8448eb211c80319c");
    snprintf(ctx->request_id, sizeof(ctx->request_id), "my-request:1");
    assert_true(
        fixture_call(f.client, ECHO_PATH("Echo"), "h\xc3\xa9llo", 0, 3000, a, &response, &e));
    log_ctx_clear();
    assert_string_equal(response->text, "h\xc3\xa9llo");
    assert_string_equal(response->identity, "spiffe://disburse/test");
    assert_string_equal(response->trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_string_equal(response->request_id, "my-request:1");
    assert_in_range(response->left_ms, 1000, 3000);
    arena_destroy(a);
}

static void test_unary__no_context__gets_new_ids(void **state) {
    (void)state;
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    assert_true(fixture_call(f.client, ECHO_PATH("Echo"), "", 0, INT64_MAX, a, &response, &e));
    assert_int_equal(strlen(response->trace_id), 32);
    assert_int_equal(strlen(response->request_id), 36);
    assert_in_range(response->left_ms, 15000, 20000); // no deadline: the server's own
    arena_destroy(a);
}

static void expect_failure(const char *method, const char *text, err *e) {
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    assert_false(fixture_call(f.client, method, text, 0, 3000, a, &response, e));
    assert_null(strstr(e->detail, "never on the wire"));
    arena_destroy(a);
}

static void test_unary__failures__carry_details(void **state) {
    (void)state;
    err e = {0};
    expect_failure(ECHO_PATH("Fail"), "field", &e);
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(e.reason, "ECHO_REFUSED");
    assert_string_equal(e.field, "items[2].name");
    assert_string_equal(e.message, "the name is refused");
    assert_false(e.flags & ERR_RETRIABLE);
    expect_failure(ECHO_PATH("Fail"), "retry", &e);
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(e.retry_after_ms, 1500);
    assert_true(e.flags & ERR_RETRIABLE);
    expect_failure(ECHO_PATH("Fail"), "unavailable", &e);
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_true(e.flags & ERR_RETRIABLE);
    expect_failure(ECHO_PATH("Fail"), "cut", &e);
    assert_int_equal(e.code, ERR_INTERNAL);
    assert_string_equal(e.reason, "INTERNAL");
    assert_string_equal(e.message, "caf"); // a broken character never leaves the process
}

// How often a client with two retries asks for this failure, as the server counts the calls.
static int64_t times_asked(const char *text, err_code code) {
    metric *handled = fixture_handled("Fail", code);
    const int64_t before = metric_value(handled);
    rpc_client *c = fixture_client(&f, "client", "ca", 2);
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    assert_false(fixture_call(c, ECHO_PATH("Fail"), text, 0, 8000, a, &response, &e));
    assert_int_equal(e.code, code);
    arena_destroy(a);
    rpc_client_destroy(c);
    return metric_value(handled) - before;
}

static void test_unary__unavailable__is_retried(void **state) {
    (void)state;
    assert_int_equal(times_asked("unavailable", ERR_UNAVAILABLE), 3);
}

static void test_unary__other_failures__are_not_retried(void **state) {
    (void)state;
    assert_int_equal(times_asked("field", ERR_INVALID_ARGUMENT), 1);
    // not again, although the answer has a time to wait
    assert_int_equal(times_asked("retry", ERR_RESOURCE_EXHAUSTED), 1);
    assert_int_equal(times_asked("aborted", ERR_ABORTED), 1);
    assert_int_equal(times_asked("cut", ERR_INTERNAL), 1);
}

// Slow calls first, so that answers come in another order than the calls. One call fails, and one runs out of time.
static void test_flight__answers_as_they_come__each_to_its_call(void **state) {
    (void)state;
    enum { SLOW, FAIL, LATE, ECHO_0, CALLS = 40 };
    static int tags[CALLS];
    bool seen[CALLS] = {false};
    int first = -1;
    arena *a = arena_create(1 << 20);
    rpc_flight *flight = rpc_flight_create(f.client);
    const int64_t now_ms = fixture_now_ms();
    for (int i = 0; i < CALLS; i++) {
        Rpc__Testing__EchoRequest r = RPC__TESTING__ECHO_REQUEST__INIT;
        char text[16];
        (void)snprintf(text, sizeof text, i == FAIL ? "field" : "%d", i);
        r.text = text;
        r.sleep_ms = i == SLOW ? 300 : i == LATE ? 5000 : 0;
        rpc_flight_start(flight,
                         i == FAIL                ? ECHO_PATH("Fail")
                         : i == SLOW || i == LATE ? ECHO_PATH("Slow")
                                                  : ECHO_PATH("Echo"),
                         &r.base, now_ms + (i == LATE ? 150 : 8000), &tags[i]);
    }
    assert_int_equal(rpc_flight_count(flight), CALLS);
    while (rpc_flight_count(flight) > 0) {
        void *tag = NULL;
        ProtobufCMessage *m = NULL;
        err e = {0};
        const bool ok =
            rpc_flight_next(flight, &rpc__testing__echo_response__descriptor, a, &tag, &m, &e);
        const int i = (int)((int *)tag - tags);
        assert_in_range(i, 0, CALLS - 1);
        assert_false(seen[i]);
        seen[i] = true;
        first = first < 0 ? i : first;
        if (i == FAIL) {
            assert_false(ok);
            assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
            assert_string_equal(e.field, "items[2].name");
        } else if (i == LATE) {
            assert_false(ok);
            assert_true(e.code == ERR_DEADLINE_EXCEEDED || e.code == ERR_ABORTED);
        } else {
            char text[16];
            (void)snprintf(text, sizeof text, "%d", i);
            assert_true(ok);
            assert_string_equal(((const Rpc__Testing__EchoResponse *)m)->text, text);
        }
    }
    assert_int_not_equal(first, SLOW);
    rpc_flight_destroy(flight);
    arena_destroy(a);
}

static void start_one(rpc_flight *flight, const char *path, size_t blob_bytes, int64_t sleep_ms,
                      void *tag) {
    static uint8_t blob[8192];
    Rpc__Testing__EchoRequest r = RPC__TESTING__ECHO_REQUEST__INIT;
    assert_true(blob_bytes <= sizeof blob);
    r.blob = (ProtobufCBinaryData){blob_bytes, blob};
    r.sleep_ms = sleep_ms;
    rpc_flight_start(flight, path, &r.base, fixture_now_ms() + 8000, tag);
}

static void *next_answered(rpc_flight *flight, arena *a) {
    void *tag = NULL;
    ProtobufCMessage *m = NULL;
    err e = {0};
    assert_true(rpc_flight_next(flight, &rpc__testing__echo_response__descriptor, a, &tag, &m, &e));
    return tag;
}

// All workers are busy until a call that needs no worker has been answered.
static void test_unary__never_waits__small_needs_no_worker_large_does(void **state) {
    (void)state;
    enum { WORKERS = 8 }; // of the fixture
    static char slow[] = "slow", small[] = "small", large[] = "large";
    arena *a = arena_create(1 << 20);
    rpc_flight *flight = rpc_flight_create(f.client);
    const int before = atomic_load(&f.echo.running);
    for (int i = 0; i < WORKERS; i++) {
        start_one(flight, ECHO_PATH("Slow"), 0, 1500, slow);
    }
    assert_true(fixture_wait_for(&f.echo.running, before + WORKERS, 3000));
    start_one(flight, ECHO_PATH("Late"), 8192, 0, large);
    start_one(flight, ECHO_PATH("Late"), 0, 0, small);
    assert_ptr_equal(next_answered(flight, a), small);
    assert_ptr_equal(next_answered(flight, a), slow); // then a worker is free
    int n_large = 0;
    for (int i = 0; i < WORKERS; i++) {
        n_large += next_answered(flight, a) == large ? 1 : 0;
    }
    assert_int_equal(n_large, 1);
    rpc_flight_destroy(flight);
    arena_destroy(a);
}

static void test_unary__unknown_method__unimplemented_at_once(void **state) {
    (void)state;
    err e = {0};
    int64_t begun_ms = fixture_now_ms();
    expect_failure("/rpc.testing.EchoService/Nothing", "", &e);
    assert_true(fixture_now_ms() - begun_ms < 2000);
    assert_int_equal(e.code, ERR_UNIMPLEMENTED);
    assert_string_equal(e.reason, "METHOD_NOT_FOUND");
    expect_failure("/no.such.Service/Echo", "", &e);
    assert_int_equal(e.code, ERR_UNIMPLEMENTED);
}

static void test_deadline__passes_while_working__client_is_told(void **state) {
    (void)state;
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    int before = atomic_load(&f.echo.saw_cancel);
    int64_t begun_ms = fixture_now_ms();
    assert_false(fixture_call(f.client, ECHO_PATH("Slow"), "", 5000, 200, a, &response, &e));
    // Both sides watch the same deadline. Either may report it first.
    assert_true(e.code == ERR_DEADLINE_EXCEEDED || e.code == ERR_ABORTED);
    assert_true(e.flags & ERR_RETRIABLE);
    assert_true(fixture_now_ms() - begun_ms < 2000);
    // the handler noticed as well
    assert_true(fixture_wait_for(&f.echo.saw_cancel, before + 1, 2000));
    arena_destroy(a);
}

static void test_deadline__already_over__nothing_is_sent(void **state) {
    (void)state;
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    assert_false(fixture_call(f.client, ECHO_PATH("Echo"), "", 0, -5, a, &response, &e));
    assert_int_equal(e.code, ERR_DEADLINE_EXCEEDED);
    arena_destroy(a);
}

typedef struct caller {
    pthread_t thread;
    const char *path;
    int i, ok;
} caller;

static void *caller_main(void *arg) {
    caller *me = arg;
    arena *a = arena_create((size_t)1024 * 1024);
    for (int k = 0; k < 5; k++) {
        char text[32];
        snprintf(text, sizeof(text), "%d.%d", me->i, k);
        Rpc__Testing__EchoResponse *response = NULL;
        err e = {0};
        bool ok = fixture_call(f.client, me->path, text, (int64_t)k * 3, 15000, a, &response, &e);
        bool late = strcmp(me->path, ECHO_PATH("Late")) == 0;
        me->ok += ok && strcmp(response->text, late ? "late" : text) == 0 ? 1 : 0;
        arena_reset(a);
    }
    arena_destroy(a);
    return NULL;
}

static void run_callers(const char *path) {
    enum { N = 64 };
    caller callers[N];
    for (int i = 0; i < N; i++) {
        callers[i] = (caller){.path = path, .i = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]), 0);
    }
    int ok = 0;
    for (int i = 0; i < N; i++) {
        pthread_join(callers[i].thread, NULL);
        ok += callers[i].ok;
    }
    assert_int_equal(ok, 5 * N);
}

static void test_unary__64_at_once__each_gets_its_own_answer(void **state) {
    (void)state;
    run_callers(ECHO_PATH("Echo"));
}

static void test_unary__late_answers_from_another_thread(void **state) {
    (void)state;
    run_callers(ECHO_PATH("Late")); // far more calls than workers
}

static void test_unary__large_response__arrives(void **state) {
    (void)state;
    enum { LEN = 3 * 1024 * 1024 };
    Rpc__Testing__EchoRequest request = RPC__TESTING__ECHO_REQUEST__INIT;
    request.blob.data = calloc(1, LEN);
    request.blob.len = LEN;
    arena *a = arena_create((size_t)16 * 1024 * 1024);
    ProtobufCMessage *response = NULL;
    err e = {0};
    assert_true(rpc_client_call(f.client, ECHO_PATH("Echo"), &request.base,
                                &rpc__testing__echo_response__descriptor, fixture_now_ms() + 10000,
                                a, &response, &e));
    assert_int_equal(((Rpc__Testing__EchoResponse *)response)->blob.len, LEN);
    arena_destroy(a);
    free(request.blob.data);
}

typedef struct seen {
    int64_t next, stop_at;
    bool in_order;
} seen;

static bool on_count(void *arg, const ProtobufCMessage *m) {
    seen *s = arg;
    const Rpc__Testing__CountResponse *response = (const void *)m;
    s->in_order = s->in_order && response->i == s->next;
    s->next++;
    return s->next != s->stop_at;
}

static bool stream(const char *path, int64_t n, seen *s, int64_t timeout_ms, err *e) {
    Rpc__Testing__CountRequest request = RPC__TESTING__COUNT_REQUEST__INIT;
    request.n = n;
    request.blob_bytes = 100;
    return rpc_client_stream(f.client, path, &request.base,
                             &rpc__testing__count_response__descriptor,
                             fixture_now_ms() + timeout_ms, on_count, s, e);
}

static void test_stream__runs_to_its_end(void **state) {
    (void)state;
    err e = {0};
    seen s = {.in_order = true};
    assert_true(stream(ECHO_PATH("Count"), 1000, &s, 10000, &e));
    assert_int_equal(s.next, 1000);
    assert_true(s.in_order);
    s = (seen){.in_order = true};
    assert_true(stream(ECHO_PATH("Count"), 0, &s, 10000, &e)); // an empty stream
    assert_int_equal(s.next, 0);
}

static void test_stream__client_stops__server_notices(void **state) {
    (void)state;
    err e = {0};
    int before = atomic_load(&f.echo.saw_cancel);
    seen s = {.in_order = true, .stop_at = 1};
    assert_true(stream(ECHO_PATH("Follow"), 0, &s, 10000, &e));
    assert_true(fixture_wait_for(&f.echo.saw_cancel, before + 1, 3000));
    s = (seen){.in_order = true, .stop_at = 3};
    assert_true(stream(ECHO_PATH("Count"), 100000, &s, 10000, &e));
    assert_int_equal(s.next, 3);
}

static void test_stream__deadline__ends_it(void **state) {
    (void)state;
    err e = {0};
    seen s = {.in_order = true};
    assert_false(stream(ECHO_PATH("Follow"), 0, &s, 300, &e));
    assert_int_equal(e.code, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(s.next, 1);
}

static void *follow_main(void *arg) {
    err *e = arg;
    seen s = {.in_order = true};
    stream(ECHO_PATH("Follow"), 0, &s, 1500, e);
    return NULL;
}

static void test_stream__more_than_allowed__refused_at_once(void **state) {
    (void)state;
    enum { N = 4 }; // streams_max of the fixture
    pthread_t threads[N];
    err ended[N];
    memset(ended, 0, sizeof(ended));
    int before = atomic_load(&f.echo.streams_followed),
        ended_before = atomic_load(&f.echo.saw_cancel);
    for (int i = 0; i < N; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, follow_main, &ended[i]), 0);
    }
    assert_true(fixture_wait_for(&f.echo.streams_followed, before + N, 3000));
    err e = {0};
    seen s = {.in_order = true};
    assert_false(stream(ECHO_PATH("Follow"), 0, &s, 1000, &e));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(e.reason, "OVERLOADED");
    assert_true(e.retry_after_ms > 0);
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(ended[i].code, ERR_DEADLINE_EXCEEDED);
    }
    // The places come back once the handlers have noticed, too.
    assert_true(fixture_wait_for(&f.echo.saw_cancel, ended_before + N, 3000));
    struct timespec t = {.tv_nsec = 50000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    s = (seen){.in_order = true};
    assert_true(stream(ECHO_PATH("Count"), 3, &s, 2000, &e));
}

static int check_health(const char *service, err *e) {
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)(uintptr_t)service;
    arena *a = arena_create(4096);
    ProtobufCMessage *response = NULL;
    int status = -1;
    if (rpc_client_call(f.client, "/grpc.health.v1.Health/Check", &request.base,
                        &grpc__health__v1__health_check_response__descriptor,
                        fixture_now_ms() + 3000, a, &response, e)) {
        status = (int)((Grpc__Health__V1__HealthCheckResponse *)response)->status;
    }
    arena_destroy(a);
    return status;
}

static void test_health__check(void **state) {
    (void)state;
    err e = {0};
    assert_int_equal(check_health("", &e), 1);
    assert_int_equal(check_health("rpc.testing.EchoService", &e), 1);
    rpc_server_set_serving(f.server, "rpc.testing.EchoService", false);
    assert_int_equal(check_health("rpc.testing.EchoService", &e), 2);
    assert_int_equal(check_health("", &e), 1);
    rpc_server_set_serving(f.server, "rpc.testing.EchoService", true);
    rpc_server_set_serving(f.server, "", false);
    assert_int_equal(check_health("rpc.testing.EchoService", &e), 2);
    rpc_server_set_serving(f.server, "", true);
    assert_int_equal(check_health("no.such.Service", &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
}

typedef struct watched {
    atomic_int n;
    int statuses[8];
} watched;

static bool on_health(void *arg, const ProtobufCMessage *m) {
    watched *w = arg;
    int n = atomic_load(&w->n);
    w->statuses[n] = (int)((const Grpc__Health__V1__HealthCheckResponse *)m)->status;
    atomic_store(&w->n, n + 1);
    return n + 1 < 3;
}

static void *watch_main(void *arg) {
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    err e = {0};
    bool ok = rpc_client_stream(f.client, "/grpc.health.v1.Health/Watch", &request.base,
                                &grpc__health__v1__health_check_response__descriptor,
                                fixture_now_ms() + 10000, on_health, arg, &e);
    return ok ? arg : NULL;
}

static void test_health__watch__tells_each_change(void **state) {
    (void)state;
    watched w = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, watch_main, &w), 0);
    assert_true(fixture_wait_for(&w.n, 1, 3000));
    rpc_server_set_serving(f.server, "", false);
    assert_true(fixture_wait_for(&w.n, 2, 3000));
    rpc_server_set_serving(f.server, "", true);
    void *ok = NULL;
    pthread_join(thread, &ok);
    assert_non_null(ok);
    assert_int_equal(w.statuses[0], 1);
    assert_int_equal(w.statuses[1], 2);
    assert_int_equal(w.statuses[2], 1);
}

static Grpc__Reflection__V1__ServerReflectionResponse *
reflect(const char *version, const char *asked, size_t len, arena *a, raw_result *out) {
    char path[96];
    snprintf(path, sizeof(path), "/grpc.reflection.%s.ServerReflection/ServerReflectionInfo",
             version);
    raw_call call = {.target = f.target,
                     .ca = "ca",
                     .cert = "limited",
                     .path = path,
                     .bytes = asked,
                     .len = len,
                     .timeout_ms = 5000};
    raw_call_run(&call, out);
    (void)a;
    return NULL;
}

static void test_reflection__lists_and_serves_files(void **state) {
    (void)state;
    const char *versions[] = {"v1", "v1alpha"};
    for (int i = 0; i < 2; i++) {
        raw_result out;
        reflect(versions[i], "\x3a\x01*", 3, NULL, &out); // list_services
        assert_int_equal(out.status, 0);
        assert_int_equal(out.messages, 1);
        assert_non_null(memmem(out.first, out.first_len, "rpc.testing.EchoService", 23));
        assert_non_null(memmem(out.first, out.first_len, "grpc.health.v1.Health", 21));
        reflect(versions[i],
                "\x22\x1c"
                "rpc.testing.EchoService.Echo",
                30, NULL, &out);
        assert_int_equal(out.status, 0);
        assert_non_null(memmem(out.first, out.first_len, "echo.proto", 10));
        reflect(versions[i],
                "\x1a\x17"
                "google/rpc/status.proto",
                25, NULL, &out);
        assert_non_null(memmem(out.first, out.first_len, "google.rpc", 10));
        reflect(versions[i],
                "\x22\x07"
                "nothing",
                9, NULL, &out);
        assert_int_equal(out.status, 0);
        assert_non_null(memmem(out.first, out.first_len, "no such file", 12));
        reflect(versions[i], "", 0, NULL, &out);
        assert_non_null(memmem(out.first, out.first_len, "asks for nothing", 16));
        reflect(versions[i], "\x22\x01\xff", 3, NULL, &out);
        assert_int_equal(out.status, ERR_INVALID_ARGUMENT);
        assert_string_equal(out.e.reason, "INVALID_UTF8");
    }
}

static void test_reflection__file_comes_with_what_it_imports(void **state) {
    (void)state;
    raw_call call = {.target = f.target,
                     .ca = "ca",
                     .cert = "client",
                     .timeout_ms = 5000,
                     .path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                     .bytes = "\x22\x11"
                              "google.rpc.Status",
                     .len = 19,
                     .second_message = true};
    raw_result out;
    raw_call_run(&call, &out);
    assert_int_equal(out.status, 0);
    assert_int_equal(out.messages, 2); // one answer to each of two questions
    assert_true(out.first_len == sizeof(out.first));
}

static void test_metrics__are_there(void **state) {
    (void)state;
    strbuf text;
    strbuf_init(&text, (size_t)16 * 1024 * 1024);
    metrics_render(&text);
    assert_true(strbuf_ok(&text));
    const char *expected[] = {
        "grpc_server_started_total{grpc_type=\"unary\",grpc_service=\"rpc.testing.EchoService\","
        "grpc_method=\"Echo\"}",
        "grpc_server_handled_total{grpc_type=\"unary\",grpc_service=\"rpc.testing.EchoService\","
        "grpc_method=\"Echo\","
        "grpc_code=\"OK\"}",
        "grpc_type=\"server_stream\"",
        "rpc_in_flight 0\n",
        "rpc_queue 0\n",
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        if (strstr(text.ptr, expected[i]) == NULL) {
            fail_msg("no %s", expected[i]);
        }
    }
    strbuf_deinit(&text);
}

#define TEST(name) cmocka_unit_test_teardown(name, still_usable)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_unary__echo__answers_with_context),
        TEST(test_unary__no_context__gets_new_ids),
        TEST(test_unary__failures__carry_details),
        TEST(test_unary__unavailable__is_retried),
        TEST(test_unary__other_failures__are_not_retried),
        TEST(test_flight__answers_as_they_come__each_to_its_call),
        TEST(test_unary__never_waits__small_needs_no_worker_large_does),
        TEST(test_unary__unknown_method__unimplemented_at_once),
        TEST(test_deadline__passes_while_working__client_is_told),
        TEST(test_deadline__already_over__nothing_is_sent),
        TEST(test_unary__64_at_once__each_gets_its_own_answer),
        TEST(test_unary__late_answers_from_another_thread),
        TEST(test_unary__large_response__arrives),
        TEST(test_stream__runs_to_its_end),
        TEST(test_stream__client_stops__server_notices),
        TEST(test_stream__deadline__ends_it),
        TEST(test_stream__more_than_allowed__refused_at_once),
        TEST(test_health__check),
        TEST(test_health__watch__tells_each_change),
        TEST(test_reflection__lists_and_serves_files),
        TEST(test_reflection__file_comes_with_what_it_imports),
        TEST(test_metrics__are_there),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
