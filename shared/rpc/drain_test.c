// Start and stop: a server with wrong options does not start, and a server that stops answers every call.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fixture.h"
#include "grpc/health/v1/health.pb-c.h"
#include "raw_client.h"

static int start(void **state) {
    (void)state;
    fixture_process_init();
    return 0;
}

static int stop(void **state) {
    (void)state;
    fixture_process_deinit();
    return 0;
}

typedef struct worker {
    const fixture *f;
    pthread_t thread;
    const char *path;
    int64_t sleep_ms, ended_ms;
    err e;
    bool ok;
} worker;

static void *work_main(void *arg) {
    worker *w = arg;
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    w->ok = fixture_call(w->f->client, w->path, "", w->sleep_ms, 15000, a, &response, &w->e);
    w->ended_ms = fixture_now_ms();
    arena_destroy(a);
    return NULL;
}

static void launch(worker *w, const fixture *f, const char *path, int64_t sleep_ms) {
    *w = (worker){.f = f, .path = path, .sleep_ms = sleep_ms};
    assert_int_equal(pthread_create(&w->thread, NULL, work_main, w), 0);
}

typedef struct follower {
    const fixture *f;
    pthread_t thread;
    const char *path;
    int n, last;
    err e;
    bool ok;
} follower;

static bool on_follow(void *arg, const ProtobufCMessage *m) {
    follower *w = arg;
    w->n++;
    if (m->descriptor == &grpc__health__v1__health_check_response__descriptor) {
        w->last = (int)((const Grpc__Health__V1__HealthCheckResponse *)m)->status;
    }
    return true;
}

static void *follow_main(void *arg) {
    follower *w = arg;
    bool health = strstr(w->path, "Health") != NULL;
    Rpc__Testing__CountRequest request = RPC__TESTING__COUNT_REQUEST__INIT;
    w->ok = rpc_client_stream(w->f->client, w->path, &request.base,
                              health ? &grpc__health__v1__health_check_response__descriptor
                                     : &rpc__testing__count_response__descriptor,
                              fixture_now_ms() + 15000, on_follow, w, &w->e);
    return NULL;
}

static void test_drain__idle__is_quick(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    for (int i = 0; i < 3; i++) {
        fixture f;
        fixture_start(&f, &o);
        int64_t begun_ms = fixture_now_ms();
        fixture_stop(&f, 5000);
        assert_true(fixture_now_ms() - begun_ms < 2000);
    }
}

static void test_drain__calls_under_way__finish(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    fixture f;
    fixture_start(&f, &o);
    worker w[3];
    launch(&w[0], &f, ECHO_PATH("Slow"), 500);
    launch(&w[1], &f, ECHO_PATH("Late"), 500);
    launch(&w[2], &f, ECHO_PATH("Stubborn"), 500);
    assert_true(fixture_wait_for(&f.echo.running, 3, 3000));
    int64_t begun_ms = fixture_now_ms();
    rpc_server_drain(f.server, 10000);
    assert_true(fixture_now_ms() - begun_ms < 3000);
    for (int i = 0; i < 3; i++) {
        pthread_join(w[i].thread, NULL);
        assert_true(w[i].ok);
    }
    // Nobody listens anymore.
    worker after;
    launch(&after, &f, ECHO_PATH("Echo"), 0);
    pthread_join(after.thread, NULL);
    assert_int_equal(after.e.code, ERR_UNAVAILABLE);
    assert_true(after.e.flags & ERR_RETRIABLE);
    rpc_client_destroy(f.client);
    echo_service_stop(&f.echo);
}

static void *drain_main(void *arg) {
    fixture *f = arg;
    rpc_server_drain(f->server, 10000);
    return NULL;
}

static void test_drain__new_calls_meanwhile__are_told_why(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    fixture f;
    fixture_start(&f, &o);
    worker busy;
    launch(&busy, &f, ECHO_PATH("Stubborn"), 1500);
    assert_true(fixture_wait_for(&f.echo.running, 1, 3000));
    follower told = {.f = &f, .path = ECHO_PATH("Follow")};
    pthread_t drain;
    assert_int_equal(pthread_create(&told.thread, NULL, follow_main, &told), 0);
    assert_true(fixture_wait_for(&f.echo.streams_followed, 1, 3000));
    assert_int_equal(pthread_create(&drain, NULL, drain_main, &f), 0);
    pthread_join(told.thread, NULL); // the end of the stream shows that the drain has begun
    worker refused;
    launch(&refused, &f, ECHO_PATH("Echo"), 0);
    pthread_join(refused.thread, NULL);
    assert_int_equal(refused.e.code, ERR_UNAVAILABLE);
    assert_string_equal(refused.e.reason, "SERVER_DRAINING");
    pthread_join(busy.thread, NULL);
    assert_true(busy.ok);
    pthread_join(drain, NULL);
    rpc_client_destroy(f.client);
    echo_service_stop(&f.echo);
}

static void test_drain__streams__hear_unavailable(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    fixture f;
    fixture_start(&f, &o);
    follower w[2] = {{.f = &f, .path = ECHO_PATH("Follow")},
                     {.f = &f, .path = "/grpc.health.v1.Health/Watch"}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&w[i].thread, NULL, follow_main, &w[i]), 0);
    }
    assert_true(fixture_wait_for(&f.echo.streams_followed, 1, 3000));
    raw_call check = {.target = f.target,
                      .ca = "ca",
                      .cert = "client",
                      .bytes = "",
                      .timeout_ms = 2000,
                      .path = "/grpc.health.v1.Health/Check"};
    raw_result r;
    raw_call_run(&check, &r); // by then the watch has arrived, too
    int64_t begun_ms = fixture_now_ms();
    rpc_server_drain(f.server, 10000);
    assert_true(fixture_now_ms() - begun_ms < 2000);
    for (int i = 0; i < 2; i++) {
        pthread_join(w[i].thread, NULL);
        assert_false(w[i].ok);
        assert_int_equal(w[i].e.code, ERR_UNAVAILABLE);
        assert_string_equal(w[i].e.reason, "SERVER_DRAINING");
    }
    assert_int_equal(w[1].n, 2);
    assert_int_equal(w[1].last,
                     GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING);
    rpc_client_destroy(f.client);
    echo_service_stop(&f.echo);
}

static void test_drain__grace_over__every_call_is_answered(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    o.workers = 2;
    fixture f;
    fixture_start(&f, &o);
    enum { N = 8 }; // two run and notice nothing, four wait in the queue, two come late
    worker w[N];
    for (int i = 0; i < 2; i++) {
        launch(&w[i], &f, ECHO_PATH("Late"), 3000);
    }
    assert_true(fixture_wait_for(&f.echo.running, 2, 3000));
    for (int i = 2; i < N; i++) {
        launch(&w[i], &f, ECHO_PATH("Stubborn"), 3000);
    }
    assert_true(fixture_wait_for(&f.echo.running, 4, 3000));
    struct timespec t = {.tv_nsec = 200000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL); // the other calls reach the queue
    int64_t begun_ms = fixture_now_ms();
    rpc_server_drain(f.server, 200);
    for (int i = 0; i < N; i++) {
        pthread_join(w[i].thread, NULL);
        assert_false(w[i].ok);
        assert_int_equal(w[i].e.code, ERR_UNAVAILABLE);
        assert_string_equal(w[i].e.reason, "SERVER_DRAINING"); // an answer, not a broken connection
        if (w[i].ended_ms - begun_ms >= 1500) {
            fail_msg("call %d was answered after %d ms", i, (int)(w[i].ended_ms - begun_ms));
        }
    }
    assert_int_equal(atomic_load(&f.echo.running), 0); // no handler was left behind
    rpc_client_destroy(f.client);
    echo_service_stop(&f.echo);
}

static void *raw_main(void *arg) {
    raw_call *call = arg;
    raw_result r;
    raw_call_run(call, &r);
    return (void *)(intptr_t)r.status;
}

static void test_drain__stalled_reader__is_cut_off(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    fixture f;
    fixture_start(&f, &o);
    raw_call call = {.target = f.target,
                     .ca = "ca",
                     .cert = "client",
                     .path = ECHO_PATH("Count"),
                     .timeout_ms = 15000,
                     .bytes = "\x08\xe8\x07\x10\x80\x80\x04",
                     .len = 7, // 1000 times 64 KiB
                     .pauses = 1,
                     .pause_ms = 1500};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, raw_main, &call), 0);
    assert_true(fixture_wait_for(&f.echo.count_sent, 1, 3000));
    int64_t begun_ms = fixture_now_ms();
    rpc_server_drain(f.server, 300);
    assert_true(fixture_now_ms() - begun_ms < 1400); // the drain did not wait for the reader
    void *status = NULL;
    pthread_join(thread, &status);
    assert_int_not_equal((int)(intptr_t)status, ERR_OK);
    rpc_client_destroy(f.client);
    echo_service_stop(&f.echo);
}

typedef struct load {
    const fixture *f;
    pthread_t thread;
    atomic_int *going, *done;
    int ok, unavailable, other;
    err last_other;
} load;

static void *load_main(void *arg) {
    load *l = arg;
    arena *a = arena_create(65536);
    while (atomic_load(l->going) > 0) {
        Rpc__Testing__EchoResponse *response = NULL;
        err e = {0};
        bool late = (l->ok & 1) != 0;
        if (fixture_call(l->f->client, late ? ECHO_PATH("Late") : ECHO_PATH("Stubborn"), "", 3,
                         10000, a, &response, &e)) {
            l->ok++;
            atomic_fetch_add(l->done, 1);
        } else if (e.code == ERR_UNAVAILABLE) {
            l->unavailable++;
        } else {
            l->other++;
            l->last_other = e;
        }
        arena_reset(a);
    }
    arena_destroy(a);
    return NULL;
}

// NO-LOSS at this level: SIGTERM under load loses nothing and answers everything.
static void test_drain__under_load__only_ok_or_unavailable(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    fixture f;
    fixture_start(&f, &o);
    enum { N = 16 };
    load l[N];
    atomic_int going = 1, done = 0;
    memset(l, 0, sizeof(l));
    for (int i = 0; i < N; i++) {
        l[i].f = &f;
        l[i].going = &going;
        l[i].done = &done;
        assert_int_equal(pthread_create(&l[i].thread, NULL, load_main, &l[i]), 0);
    }
    assert_true(fixture_wait_for(&done, 100, 20000));
    rpc_server_drain(f.server, 10000);
    atomic_store(&going, 0);
    int ok = 0, unavailable = 0;
    for (int i = 0; i < N; i++) {
        pthread_join(l[i].thread, NULL);
        ok += l[i].ok;
        unavailable += l[i].unavailable;
        if (l[i].other > 0) {
            fail_msg("%s: %s (%s)", err_code_name(l[i].last_other.code), l[i].last_other.message,
                     l[i].last_other.detail);
        }
    }
    assert_true(ok >= 100);
    assert_true(unavailable > 0);
    rpc_client_destroy(f.client);
    echo_service_stop(&f.echo);
}

static void test_restart__same_port__client_comes_back(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    fixture f;
    fixture_start(&f, &o);
    rpc_client *patient = fixture_client(&f, "client", "ca", 10);
    char listen[64];
    snprintf(listen, sizeof(listen), "127.0.0.1:%d", rpc_server_port(f.server));
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    assert_true(fixture_call(patient, ECHO_PATH("Echo"), "", 0, 5000, a, &response, &e));
    fixture_stop(&f, 1000);
    o.listen = listen;
    fixture_start(&f, &o);
    // by its own retries
    assert_true(fixture_call(patient, ECHO_PATH("Echo"), "", 0, 10000, a, &response, &e));
    arena_destroy(a);
    rpc_client_destroy(patient);
    fixture_stop(&f, 1000);
}

static void expect_no_start(const rpc_server_options *o, const char *reason) {
    err e = {0};
    rpc_server *s = rpc_server_start(o, &e);
    assert_null(s);
    assert_string_equal(e.reason, reason);
}

static void test_start__wrong_settings__refused_by_name(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    o.tls.cert_file = "/nonexistent/cert.pem";
    expect_no_start(&o, "TLS_FILE_MISSING");
    o = fixture_options();
    o.tls.cert_file = fixture_descriptors(); // a file, but not PEM
    expect_no_start(&o, "TLS_FILE_INVALID");
    o = fixture_options();
    o.tls.cert_file = fixture_pem("client"); // does not fit the key
    expect_no_start(&o, "LISTEN_FAILED");
    o = fixture_options();
    o.descriptor_file = fixture_pem("ca");
    expect_no_start(&o, "DESCRIPTOR_FILE_INVALID");
    o = fixture_options();
    o.workers = 0;
    expect_no_start(&o, "SERVER_OPTIONS_INVALID");
    o = fixture_options();
    o.tls.insecure = true;
    o.listen = "0.0.0.0:0";
    expect_no_start(&o, "INSECURE_NOT_LOOPBACK");
    o = fixture_options();
    echo_service echo;
    rpc_service service = echo_service_table(&echo);
    o.services = &service;
    o.n_services = 1;
    o.permissions = ECHO_PERMISSIONS;
    o.n_permissions = ECHO_METHODS;
    service.n_methods--;
    expect_no_start(&o, "METHODS_INCOMPLETE");
    rpc_method methods[7];
    service.n_methods++;
    memcpy(methods, service.methods, sizeof(methods));
    methods[3].stream = methods[0].stream; // two handlers
    service.methods = methods;
    expect_no_start(&o, "METHODS_INCOMPLETE");
    rpc_service twice[2] = {echo_service_table(&echo), echo_service_table(&echo)};
    o.services = twice;
    o.n_services = 2;
    expect_no_start(&o, "METHOD_DUPLICATE");
}

static void test_start__port_taken__refused(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    fixture f;
    fixture_start(&f, &o);
    char listen[64];
    snprintf(listen, sizeof(listen), "127.0.0.1:%d", rpc_server_port(f.server));
    o.listen = listen;
    expect_no_start(&o, "LISTEN_FAILED"); // does not share the port in silence
    fixture_stop(&f, 1000);
}

static void test_insecure__loopback__has_an_identity_of_its_own(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    o.tls = (rpc_tls){.insecure = true};
    fixture f;
    fixture_start(&f, &o);
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    assert_true(fixture_call(f.client, ECHO_PATH("Echo"), "x", 0, 5000, a, &response, &e));
    assert_string_equal(response->identity, AUTHZ_INSECURE);
    arena_destroy(a);
    fixture_stop(&f, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drain__idle__is_quick),
        cmocka_unit_test(test_drain__calls_under_way__finish),
        cmocka_unit_test(test_drain__new_calls_meanwhile__are_told_why),
        cmocka_unit_test(test_drain__streams__hear_unavailable),
        cmocka_unit_test(test_drain__grace_over__every_call_is_answered),
        cmocka_unit_test(test_drain__stalled_reader__is_cut_off),
        cmocka_unit_test(test_drain__under_load__only_ok_or_unavailable),
        cmocka_unit_test(test_restart__same_port__client_comes_back),
        cmocka_unit_test(test_start__wrong_settings__refused_by_name),
        cmocka_unit_test(test_start__port_taken__refused),
        cmocka_unit_test(test_insecure__loopback__has_an_identity_of_its_own),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
