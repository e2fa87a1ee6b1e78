// Strangers, broken clients and crowds: each gets an answer, and the server goes on.
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

static int still_usable(void **state) {
    (void)state;
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    bool ok = fixture_call(f.client, ECHO_PATH("Echo"), "ping", 0, 5000, a, &response, &e);
    arena_destroy(a);
    return ok ? 0 : -1;
}

static raw_call raw(const char *method) {
    return (raw_call){.target = f.target,
                      .ca = "ca",
                      .cert = "client",
                      .path = method,
                      .bytes = "",
                      .timeout_ms = 5000};
}

static raw_result send_bytes(const char *bytes, size_t len) {
    raw_call call = raw(ECHO_PATH("Echo"));
    call.bytes = bytes;
    call.len = len;
    raw_result out;
    raw_call_run(&call, &out);
    return out;
}

static void test_message__invalid_utf8__refused(void **state) {
    (void)state;
    raw_result r = send_bytes("\x12\x00\x12\x03\x0a\x01\xff", 7);
    assert_int_equal(r.status, ERR_INVALID_ARGUMENT);
    assert_string_equal(r.e.reason, "INVALID_UTF8");
    assert_string_equal(r.e.field, "items[1].name");
}

static void test_message__embedded_nul__refused(void **state) {
    (void)state;
    raw_result r = send_bytes("\x0a\x03"
                              "a\0b",
                              5);
    assert_int_equal(r.status, ERR_INVALID_ARGUMENT);
    assert_string_equal(r.e.reason, "EMBEDDED_NUL");
    assert_string_equal(r.e.field, "text");
}

static void test_message__truncated__refused(void **state) {
    (void)state;
    raw_result r = send_bytes("\x0a\x7f"
                              "abc",
                              5);
    assert_int_equal(r.status, ERR_INVALID_ARGUMENT);
    assert_string_equal(r.e.reason, "MALFORMED_MESSAGE");
    assert_true(strlen(r.request_id) == 36); // the client can ask about the call
    r = send_bytes("\x32\x01\xff", 3);       // packed varint without end: only unpacking finds it
    assert_int_equal(r.status, ERR_INVALID_ARGUMENT);
    assert_string_equal(r.e.reason, "MALFORMED_MESSAGE");
}

static void test_message__empty__is_a_message(void **state) {
    (void)state;
    raw_result r = send_bytes("", 0);
    assert_int_equal(r.status, ERR_OK);
    assert_int_equal(r.messages, 1);
}

static void test_message__missing__refused(void **state) {
    (void)state;
    raw_call call = raw(ECHO_PATH("Echo"));
    call.no_message = true;
    raw_result r;
    raw_call_run(&call, &r);
    assert_int_equal(r.status, ERR_INVALID_ARGUMENT);
    assert_string_equal(r.e.reason, "MALFORMED_MESSAGE");
    call.path = ECHO_PATH("Count");
    raw_call_run(&call, &r);
    assert_int_equal(r.status, ERR_INVALID_ARGUMENT);
}

static void test_message__never_sent__deadline(void **state) {
    (void)state;
    raw_call call = raw(ECHO_PATH("Echo"));
    call.no_message = true;
    call.keep_open = true;
    call.timeout_ms = 200;
    raw_result r;
    raw_call_run(&call, &r);
    assert_int_equal(r.status, ERR_DEADLINE_EXCEEDED);
}

enum { MESSAGE_MAX = 4 * 1024 * 1024 }; // of fixture_options

// An EchoRequest of exactly len bytes: one field that the schema does not know.
static raw_result send_large(size_t len) {
    const uint8_t head[] = {0x7a, 0, 0, 0, 0}; // field 15 and its length, a varint of four bytes
    uint8_t *bytes = calloc(1, len);
    memcpy(bytes, head, sizeof(head));
    for (size_t i = 0; i < 4; i++) {
        bytes[1 + i] = (uint8_t)(((len - sizeof(head)) >> (7 * i) & 0x7f) | (i < 3 ? 0x80 : 0));
    }
    raw_result r = send_bytes((const char *)bytes, len);
    free(bytes);
    return r;
}

static void test_message__as_large_as_may_be__taken(void **state) {
    (void)state;
    raw_result r = send_large(MESSAGE_MAX);
    assert_int_equal(r.status, ERR_OK);
}

static void test_message__5_mib__too_large_and_told_the_limit(void **state) {
    (void)state;
    const size_t sizes[] = {MESSAGE_MAX + 1, (size_t)5 * 1024 * 1024};
    for (size_t i = 0; i < 2; i++) {
        raw_result r = send_large(sizes[i]);
        assert_int_equal(r.status, ERR_RESOURCE_EXHAUSTED);
        assert_string_equal(r.e.reason, "MESSAGE_TOO_LARGE");
        assert_non_null(strstr(r.text, "at most 4194304"));
        assert_int_equal(r.e.retry_after_ms, 0);
        assert_int_equal(strlen(r.request_id), 36);
    }
}

static void test_message__beyond_what_core_takes__refused_by_core(void **state) {
    (void)state;
    raw_result r = send_large((size_t)7 * 1024 * 1024);
    assert_int_equal(r.status, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(r.e.reason, ""); // core has no details to give
}

static void test_message__too_complex__refused(void **state) {
    (void)state;
    enum { LEN = 4 * 1024 * 1024 - 64 };
    char *bytes = malloc(LEN);
    for (size_t i = 0; i < LEN; i += 2) { // two million empty items
        bytes[i] = 0x12;
        bytes[i + 1] = 0;
    }
    raw_result r = send_bytes(bytes, LEN);
    assert_int_equal(r.status, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(r.e.reason, "REQUEST_TOO_COMPLEX");
    for (size_t i = 0; i < LEN; i += 4) { // a million unknown fields
        memcpy(bytes + i, "\xa0\x06\x01\xa0", i + 4 <= LEN ? 3 : 1);
        bytes[i + 3] = 0x58; // and a number of field 11
    }
    r = send_bytes(bytes, LEN);
    assert_true(r.status == ERR_RESOURCE_EXHAUSTED || r.status == ERR_INVALID_ARGUMENT);
    free(bytes);
}

static void test_message__nested_deeply__refused(void **state) {
    (void)state;
    char bytes[2 * 60];
    for (size_t i = 0; i < 60; i++) {
        bytes[2 * i] = i == 0 ? 0x2a : 0x0a;
        bytes[2 * i + 1] = (char)(2 * (59 - i));
    }
    raw_result r = send_bytes(bytes, sizeof(bytes));
    assert_int_equal(r.status, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(r.e.reason, "REQUEST_TOO_COMPLEX");
}

static void test_message__sent_twice__one_answer(void **state) {
    (void)state;
    raw_call call = raw(ECHO_PATH("Echo"));
    call.bytes = "\x0a\x01"
                 "a";
    call.len = 3;
    call.second_message = true;
    raw_result r;
    raw_call_run(&call, &r);
    assert_true(r.messages <= 1);
}

static void test_metadata__nonsense__is_replaced(void **state) {
    (void)state;
    raw_call call = raw(ECHO_PATH("Echo"));
    call.traceparent = "00-zz";
    call.request_id = "with blanks and \"quotes\"";
    raw_result r;
    raw_call_run(&call, &r);
    assert_int_equal(r.status, ERR_OK);
    assert_int_equal(strlen(r.request_id), 36);
    call.request_id = "fine-1";
    raw_call_run(&call, &r);
    assert_string_equal(r.request_id, "fine-1");
}

static void test_metadata__huge__refused(void **state) {
    (void)state;
    enum { LEN = 60000 };
    char *value = malloc(LEN + 1);
    memset(value, 'x', LEN);
    value[LEN] = '\0';
    raw_call call = raw(ECHO_PATH("Echo"));
    call.request_id = value;
    raw_result r;
    raw_call_run(&call, &r);
    // Core answers, or closes the connection while the client still writes.
    if (r.status != ERR_RESOURCE_EXHAUSTED && r.status != ERR_UNAVAILABLE) {
        fail_msg("%d: %s", r.status, r.text);
    }
    free(value);
}

// --- Who is there ----------------------------------------------------------------------------------------------------

static raw_result call_as(const char *cert, const char *ca, const char *path) {
    raw_call call = raw(path);
    call.cert = cert;
    call.ca = ca;
    raw_result r;
    raw_call_run(&call, &r);
    return r;
}

static void test_identity__no_certificate__no_connection(void **state) {
    (void)state;
    raw_result r = call_as(NULL, "ca", ECHO_PATH("Echo"));
    assert_int_equal(r.status, ERR_UNAVAILABLE);
    assert_int_equal(r.messages, 0);
    r = call_as(NULL, "ca", "/grpc.health.v1.Health/Check");
    assert_int_equal(r.status, ERR_UNAVAILABLE);
}

static void test_identity__foreign_authority__no_connection(void **state) {
    (void)state;
    raw_result r = call_as("foreign", "ca", ECHO_PATH("Echo"));
    assert_int_equal(r.status, ERR_UNAVAILABLE);
    // a client that does not trust the server
    r = call_as("client", "other-ca", ECHO_PATH("Echo"));
    assert_int_equal(r.status, ERR_UNAVAILABLE);
}

static void test_identity__not_on_the_list__denied(void **state) {
    (void)state;
    raw_result r = call_as("stranger", "ca", ECHO_PATH("Echo"));
    assert_int_equal(r.status, ERR_PERMISSION_DENIED);
    assert_string_equal(r.e.reason, "IDENTITY_NOT_ALLOWED");
    r = call_as("stranger", "ca", ECHO_PATH("Count"));
    assert_int_equal(r.status, ERR_PERMISSION_DENIED);
    r = call_as("stranger", "ca", "/no.such/Method");
    assert_int_equal(r.status, ERR_PERMISSION_DENIED);
    // every client of our CA may ask for health
    r = call_as("stranger", "ca", "/grpc.health.v1.Health/Check");
    assert_int_equal(r.status, ERR_OK);
}

static void test_identity__not_exactly_one_uri__unauthenticated(void **state) {
    (void)state;
    const char *certs[] = {"no-uri", "two-uris"};
    const char *paths[] = {ECHO_PATH("Echo"), "/grpc.health.v1.Health/Check", ECHO_PATH("Count")};
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 3; k++) {
            raw_result r = call_as(certs[i], "ca", paths[k]);
            assert_int_equal(r.status, ERR_UNAUTHENTICATED);
            assert_string_equal(r.e.reason, "IDENTITY_INVALID");
        }
    }
}

static void test_connection__garbage_and_silence__server_goes_on(void **state) {
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)rpc_server_port(f.server))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 8; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        char bytes[512];
        memset(bytes, 'A' + i, sizeof(bytes));
        if (i % 2 == 0) {
            assert_true(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0);
        }
        close(fd);
    }
}

// --- What no client of core sends ------------------------------------------------------------------------------------

static void put_frame(strbuf *b, char type, char flags, char stream, str payload) {
    const char head[9] = {0,     (char)(payload.len >> 8), (char)payload.len, type, flags, 0, 0, 0,
                          stream};
    strbuf_add(b, head, sizeof(head));
    strbuf_add(b, payload.ptr, payload.len);
}

// HPACK: a literal of at most 127 bytes, not to be indexed, after its name (an index, or a new name).
static void put_header(strbuf *b, str name, const char *value) {
    strbuf_add(b, name.ptr, name.len);
    strbuf_add_char(b, (char)strlen(value));
    strbuf_add_c(b, value);
}

// Sends one Echo with an empty message, as bytes of our own: a client of core would end so short a call itself, unsent. Does not read the
// answer. The caller closes the socket.
static int send_echo(int port, const char *timeout) {
    char memory[2][1024];
    strbuf headers, wire;
    strbuf_init_fixed(&headers, memory[0], sizeof(memory[0]));
    strbuf_init_fixed(&wire, memory[1], sizeof(memory[1]));
    put_header(&headers, STR("\x83\x86\x04"), ECHO_PATH("Echo")); // POST, http, :path
    put_header(&headers, STR("\x01"), "localhost");               // :authority
    put_header(&headers, STR("\x0f\x10"), "application/grpc");    // content-type
    put_header(&headers, STR("\0\x02te"), "trailers");
    put_header(&headers, STR("\0\x0cgrpc-timeout"), timeout);
    strbuf_add_c(&wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    put_frame(&wire, 4, 0, 0, STR(""));              // SETTINGS
    put_frame(&wire, 1, 4, 1, strbuf_str(&headers)); // HEADERS, all of them
    put_frame(&wire, 0, 1, 1, STR("\0\0\0\0\0"));    // DATA, the last: not compressed, no bytes
    assert_true(strbuf_ok(&headers) && strbuf_ok(&wire));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    const str bytes = strbuf_str(&wire);
    assert_int_equal(send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), bytes.len);
    return fd;
}

static bool wait_for_metric(const metric *m, int64_t at_least, int64_t ms) {
    const int64_t until_ms = fixture_now_ms() + ms;
    while (metric_value(m) < at_least && fixture_now_ms() < until_ms) {
        (void)poll(NULL, 0, 2);
    }
    return metric_value(m) >= at_least;
}

static void test_deadline__4_ms_left__refused_before_the_handler(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    o.tls = (rpc_tls){.insecure = true};
    fixture plain;
    fixture_start(&plain, &o);
    const int port = rpc_server_port(plain.server);
    metric *answered = fixture_handled("Echo", ERR_OK);
    metric *refused = fixture_handled("Echo", ERR_DEADLINE_EXCEEDED);
    const int64_t answered_before = metric_value(answered);
    const int64_t refused_before = metric_value(refused);
    int fd = send_echo(port, "5S");
    assert_true(wait_for_metric(answered, answered_before + 1, 5000)); // so these bytes are a call
    close(fd);
    // On a busy machine core may end the call before our server sees it. Then there is nothing to refuse.
    bool seen = false;
    for (int i = 0; i < 20 && !seen; i++) {
        fd = send_echo(port, "4m");
        seen = wait_for_metric(refused, refused_before + 1, 500);
        close(fd);
    }
    assert_true(seen);
    // the handler never saw these bytes
    assert_int_equal(metric_value(answered), answered_before + 1);
    fixture_stop(&plain, 5000);
}

// --- Gone and slow clients -------------------------------------------------------------------------------------------

static void test_cancel__mid_call__handler_notices(void **state) {
    (void)state;
    int before = atomic_load(&f.echo.saw_cancel);
    raw_call call = raw(ECHO_PATH("Slow"));
    call.bytes = "\x18\xb8\x17"; // sleep_ms = 3000
    call.len = 3;
    call.cancel_after_ms = 150;
    raw_result r;
    raw_call_run(&call, &r);
    assert_int_equal(r.status, ERR_CANCELLED);
    assert_true(fixture_wait_for(&f.echo.saw_cancel, before + 1, 2000));
}

static void test_cancel__before_a_late_answer__answer_is_dropped(void **state) {
    (void)state;
    raw_call call = raw(ECHO_PATH("Late"));
    call.bytes = "\x18\xac\x02"; // sleep_ms = 300
    call.len = 3;
    call.cancel_after_ms = 50;
    for (int i = 0; i < 3; i++) {
        raw_result r;
        raw_call_run(&call, &r);
        assert_int_equal(r.status, ERR_CANCELLED);
    }
    int64_t until_ms = fixture_now_ms() + 3000;
    while (atomic_load(&f.echo.running) > 0 && fixture_now_ms() < until_ms) {
    }
    assert_int_equal(atomic_load(&f.echo.running), 0);
}

typedef struct reader {
    raw_call call;
    raw_result result;
} reader;

static void *read_main(void *arg) {
    reader *r = arg;
    raw_call_run(&r->call, &r->result);
    return NULL;
}

static void test_stream__slow_reader__is_waited_for_and_bounded(void **state) {
    (void)state;
    reader r = {.call = raw(ECHO_PATH("Count"))};
    r.call.bytes = "\x08\xc8\x01\x10\x80\x80\x04"; // n = 200, blob_bytes = 65536
    r.call.len = 7;
    r.call.pauses = 1;
    r.call.pause_ms = 800;
    r.call.timeout_ms = 20000;
    atomic_store(&f.echo.count_sent, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_main, &r), 0);
    assert_true(fixture_wait_for(&f.echo.count_sent, 1, 3000));
    int64_t until_ms = fixture_now_ms() + 400;
    while (fixture_now_ms() < until_ms) {
        assert_int_equal(still_usable(NULL), 0); // meanwhile other clients are served
    }
    // flow control held the stream back: the messages do not pile up in memory
    assert_true(atomic_load(&f.echo.count_sent) < 190);
    pthread_join(thread, NULL);
    assert_int_equal(r.result.status, ERR_OK);
    assert_int_equal(r.result.messages, 200);
}

// --- The crowd -------------------------------------------------------------------------------------------------------

typedef struct member {
    const fixture *f;
    pthread_t thread;
    err e;
    bool ok, late;
    int64_t took_ms;
} member;

static void *member_main(void *arg) {
    member *m = arg;
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    int64_t begun_ms = fixture_now_ms();
    m->ok = fixture_call(m->f->client, m->late ? ECHO_PATH("Late") : ECHO_PATH("Stubborn"), "", 800,
                         15000, a, &response, &m->e);
    m->took_ms = fixture_now_ms() - begun_ms;
    arena_destroy(a);
    return NULL;
}

static void test_overload__refused_at_once_with_retry_info(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    o.workers = 1;
    o.queue_max = 2;
    o.in_flight_max = 3;
    fixture small;
    fixture_start(&small, &o);
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    // connects
    assert_true(fixture_call(small.client, ECHO_PATH("Echo"), "", 0, 5000, a, &response, &e));
    enum { N = 12 };
    member members[N];
    memset(members, 0, sizeof(members));
    for (int i = 0; i < N; i++) {
        members[i].f = &small;
        assert_int_equal(pthread_create(&members[i].thread, NULL, member_main, &members[i]), 0);
    }
    assert_true(fixture_wait_for(&small.echo.running, 1, 3000));
    // Health does not queue behind business calls.
    raw_call health = {.target = small.target,
                       .ca = "ca",
                       .cert = "client",
                       .bytes = "",
                       .timeout_ms = 2000,
                       .path = "/grpc.health.v1.Health/Check"};
    raw_result r;
    raw_call_run(&health, &r);
    assert_int_equal(r.status, ERR_OK);
    int ok = 0, refused = 0;
    for (int i = 0; i < N; i++) {
        pthread_join(members[i].thread, NULL);
        ok += members[i].ok ? 1 : 0;
        if (!members[i].ok) {
            assert_int_equal(members[i].e.code, ERR_RESOURCE_EXHAUSTED);
            assert_string_equal(members[i].e.reason, "OVERLOADED");
            assert_true(members[i].e.retry_after_ms > 0);
            assert_true(members[i].e.flags & ERR_RETRIABLE);
            assert_true(members[i].took_ms < 780);
            refused++;
        }
    }
    // One runs and two wait. Or only two came in before the worker had taken the first out of the queue.
    assert_in_range(ok, 2, 3);
    assert_int_equal(refused, N - ok);
    assert_true(fixture_call(small.client, ECHO_PATH("Echo"), "", 0, 5000, a, &response, &e));
    arena_destroy(a);
    fixture_stop(&small, 5000);
}

static void test_overload__unanswered_calls_count__though_no_worker_has_them(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    o.in_flight_max = 3;
    fixture small;
    fixture_start(&small, &o);
    enum { N = 3 };
    member members[N];
    memset(members, 0, sizeof(members));
    for (int i = 0; i < N; i++) {
        members[i].f = &small;
        members[i].late = true;
        assert_int_equal(pthread_create(&members[i].thread, NULL, member_main, &members[i]), 0);
    }
    assert_true(fixture_wait_for(&small.echo.running, N, 3000));
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    assert_false(fixture_call(small.client, ECHO_PATH("Echo"), "", 0, 5000, a, &response, &e));
    assert_string_equal(e.reason, "OVERLOADED");
    for (int i = 0; i < N; i++) {
        pthread_join(members[i].thread, NULL);
        assert_true(members[i].ok);
    }
    assert_true(fixture_call(small.client, ECHO_PATH("Echo"), "", 0, 5000, a, &response, &e));
    arena_destroy(a);
    fixture_stop(&small, 5000);
}

static void test_queue__deadline_passes_while_waiting__handler_is_not_run(void **state) {
    (void)state;
    rpc_server_options o = fixture_options();
    o.workers = 1;
    fixture small;
    fixture_start(&small, &o);
    member busy = {.f = &small};
    assert_int_equal(pthread_create(&busy.thread, NULL, member_main, &busy), 0);
    assert_true(fixture_wait_for(&small.echo.running, 1, 3000));
    int before = atomic_load(&small.echo.saw_cancel);
    arena *a = arena_create(65536);
    Rpc__Testing__EchoResponse *response = NULL;
    err e = {0};
    assert_false(fixture_call(small.client, ECHO_PATH("Slow"), "", 1000, 100, a, &response, &e));
    assert_int_equal(e.code, ERR_DEADLINE_EXCEEDED);
    pthread_join(busy.thread, NULL);
    assert_true(busy.ok);
    assert_true(fixture_call(small.client, ECHO_PATH("Echo"), "", 0, 5000, a, &response, &e));
    assert_int_equal(atomic_load(&small.echo.saw_cancel), before); // the call never began
    arena_destroy(a);
    fixture_stop(&small, 5000);
}

#define TEST(name) cmocka_unit_test_teardown(name, still_usable)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_message__invalid_utf8__refused),
        TEST(test_message__embedded_nul__refused),
        TEST(test_message__truncated__refused),
        TEST(test_message__empty__is_a_message),
        TEST(test_message__missing__refused),
        TEST(test_message__never_sent__deadline),
        TEST(test_message__as_large_as_may_be__taken),
        TEST(test_message__5_mib__too_large_and_told_the_limit),
        TEST(test_message__beyond_what_core_takes__refused_by_core),
        TEST(test_message__too_complex__refused),
        TEST(test_message__nested_deeply__refused),
        TEST(test_message__sent_twice__one_answer),
        TEST(test_metadata__nonsense__is_replaced),
        TEST(test_metadata__huge__refused),
        TEST(test_identity__no_certificate__no_connection),
        TEST(test_identity__foreign_authority__no_connection),
        TEST(test_identity__not_on_the_list__denied),
        TEST(test_identity__not_exactly_one_uri__unauthenticated),
        TEST(test_connection__garbage_and_silence__server_goes_on),
        TEST(test_deadline__4_ms_left__refused_before_the_handler),
        TEST(test_cancel__mid_call__handler_notices),
        TEST(test_cancel__before_a_late_answer__answer_is_dropped),
        TEST(test_stream__slow_reader__is_waited_for_and_bounded),
        TEST(test_overload__refused_at_once_with_retry_info),
        TEST(test_overload__unanswered_calls_count__though_no_worker_has_them),
        TEST(test_queue__deadline_passes_while_waiting__handler_is_not_run),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
