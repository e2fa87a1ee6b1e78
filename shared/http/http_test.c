// Server and client against each other on loopback, with and without TLS, and both against rude peers.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/http.h"

static char folder[64];
static char ca_file[96], cert_file[96], key_file[96], other_ca_file[96];
static arena *mem;
static atomic_int handled;    // calls of the handler
static _Atomic int64_t right; // requests may be written until then; the handler of /last ends it

static void nap_ms(int64_t ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

static int64_t now_ms(void) {
    return clock_mono_ms(clock_system());
}

// --- Certificates ----------------------------------------------------------------------------------------------------

static const char CERTS[] = "set -e; cd \"$0\"\n"
                            "ec='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'\n"
                            "for ca in ca other; do openssl req -x509 $ec -keyout $ca.key -out "
                            "$ca.pem -days 2 -subj /CN=$ca"
                            " -addext basicConstraints=critical,CA:TRUE; done\n"
                            "openssl req $ec -keyout server.key -out server.csr -subj /CN=server\n"
                            "printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' > ext\n"
                            "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key "
                            "-CAcreateserial -days 2 -out server.pem"
                            " -extfile ext\n"
                            "chmod 600 server.key\n";

static void run_shell(const char *script, const char *arg0) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(126);
        }
        (void)execl("/bin/sh", "sh", "-c", script, arg0, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int make_folder(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/disburse-http.XXXXXX");
    assert_non_null(mkdtemp(folder));
    run_shell(CERTS, folder);
    (void)snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", folder);
    (void)snprintf(other_ca_file, sizeof(other_ca_file), "%s/other.pem", folder);
    (void)snprintf(cert_file, sizeof(cert_file), "%s/server.pem", folder);
    (void)snprintf(key_file, sizeof(key_file), "%s/server.key", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    run_shell("rm -r \"$0\"", folder);
    return 0;
}

static int setup(void **state) {
    (void)state;
    mem = arena_create(64 << 20);
    atomic_store(&handled, 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    return 0;
}

// Of the other authority, over the files of the server's certificate.
static const char RENEW[] = "set -e; cd \"$0\"; cp kept.key server.key; chmod 600 server.key\n"
                            "openssl x509 -req -in server.csr -CA other.pem -CAkey other.key "
                            "-CAcreateserial -days 2 -out fresh.pem -extfile ext\n"
                            "mv fresh.pem server.pem\n";
static const char SPOIL[] = "set -e; cd \"$0\"; cp server.key kept.key; cp server.pem kept.pem\n"
                            "cp other.key server.key; chmod 600 server.key\n";
static const char RESTORE[] = "set -e; cd \"$0\"; mv kept.key server.key; chmod 600 server.key\n"
                              "mv kept.pem server.pem\n";

// --- The server under test -------------------------------------------------------------------------------------------

static void handler(void *arg, const http_request *r, http_response *out) {
    (void)arg;
    int64_t number = 0;
    atomic_fetch_add(&handled, 1);
    if (str_eq_c(r->path, "/echo")) {
        str header = http_request_header(r, "X-Test");
        str query = http_request_query(r, "q");
        char *text = arena_printf(r->arena, "%.*s|%.*s|%.*s|%.*s", (int)r->method.len,
                                  r->method.ptr, (int)header.len, header.ptr, (int)query.len,
                                  query.ptr, (int)r->body.len, r->body.ptr);
        assert_non_null(text);
        out->body = str_of(text);
        out->status = 201;
    } else if (str_eq_c(r->path, "/drop")) {
        out->drop = true;
    } else if (str_eq_c(r->path, "/slow")) {
        assert_true(str_to_i64(http_request_query(r, "ms"), 0, 10000, &number));
        nap_ms(number);
        out->body = STR("slow");
    } else if (str_eq_c(r->path, "/large")) {
        char *text = arena_alloc(r->arena, 1 << 20);
        memset(text, 'x', 1 << 20);
        out->body = (str){text, 1 << 20};
    } else if (str_eq_c(r->path, "/last")) {
        atomic_store(&right, 0);
    } else if (str_eq_c(r->path, "/length")) {
        char *text = arena_printf(r->arena, "%zu", r->body.len);
        out->body = str_of(text);
    } else {
        out->status = 404;
    }
}

static http_server *start(bool tls, int n_threads) {
    err e = {0};
    http_server_options o = {.address = "127.0.0.1",
                             .cert_file = tls ? cert_file : NULL,
                             .key_file = tls ? key_file : NULL,
                             .n_threads = n_threads,
                             .body_max = 1 << 20,
                             .handler = handler};
    http_server *s = http_server_start(&o, &e);
    if (s == NULL) {
        fail_msg("%s", e.message);
    }
    return s;
}

static http_client *client_of(const char *ca, int64_t total_ms, int connections,
                              size_t response_max) {
    err e = {0};
    http_client_options o = {.ca_file = ca,
                             .connect_timeout_ms = total_ms,
                             .total_timeout_ms = total_ms,
                             .max_connections = connections,
                             .response_max = response_max};
    http_client *c = http_client_create(&o, &e);
    assert_non_null(c);
    return c;
}

static const char *url_of(const char *scheme, int port, const char *path) {
    return arena_printf(mem, "%s://127.0.0.1:%d%s", scheme, port, path);
}

static http_exchange run_one(http_client *c, const char *method, const char *url, str body) {
    http_exchange x = {.method = method, .url = url, .body = body};
    http_client_run(c, &x, 1, mem);
    return x;
}

static void assert_answer(const http_exchange *x, int status, const char *body) {
    if (x->outcome != HTTP_ANSWERED) {
        fail_msg("outcome %d: %s", (int)x->outcome, x->failure);
    }
    assert_int_equal(x->status, status);
    assert_true(str_eq_c(x->response, body));
}

static void assert_outcome(const http_exchange *x, int outcome) {
    if ((int)x->outcome != outcome) {
        fail_msg("outcome %d instead of %d, status %d: %s", (int)x->outcome, outcome, x->status,
                 x->failure);
    }
    assert_int_equal(x->status, 0);
    assert_int_equal(x->response.len, 0);
    assert_true(strlen(x->failure) > 0);
}

// Which of both authorities' clients gets an answer over a new connection.
static bool answers_to(const http_server *s, const char *ca) {
    http_client *c = client_of(ca, 5000, 1, 4096);
    const http_exchange x =
        run_one(c, "GET", url_of("https", http_server_port(s), "/length"), STR(""));
    http_client_destroy(c);
    return x.outcome == HTTP_ANSWERED;
}

static void test_server__another_certificate__counts_for_new_connections(void **state) {
    (void)state;
    err e = {0};
    http_server *s = start(true, 2);
    http_client *kept = client_of(ca_file, 5000, 1, 4096);
    const char *const url = url_of("https", http_server_port(s), "/length");
    http_exchange x = run_one(kept, "POST", url, STR("abc"));
    assert_answer(&x, 200, "3");
    run_shell(SPOIL, folder); // what does not fit together leaves all as it was
    assert_false(http_server_certificate(s, cert_file, key_file, &e));
    assert_true(answers_to(s, ca_file));
    run_shell(RENEW, folder);
    err_clear(&e);
    assert_true(http_server_certificate(s, cert_file, key_file, &e));
    assert_true(answers_to(s, other_ca_file));
    assert_false(answers_to(s, ca_file));
    x = run_one(kept, "POST", url, STR("abcd")); // its connection was there before
    assert_answer(&x, 200, "4");
    err_clear(&e);
    assert_false(http_server_certificate(s, cert_file, key_file, &e)); // which is still open
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    http_client_destroy(kept);
    http_server_stop(s);
    run_shell(RESTORE, folder);
}

// A request that has not begun when the right to send ends is not written, on a kept or a new connection.
static void test_FENCED_client__right_ends__the_rest_is_not_written(void **state) {
    (void)state;
    enum { N = 5 };
    http_server *s = start(true, 2);
    http_client *c = client_of(ca_file, 5000, 1, 1 << 20); // one after another
    http_exchange x[N];
    for (int i = 0; i < N; i++) {
        x[i] = (http_exchange){.method = "POST",
                               .url = url_of("https", http_server_port(s), "/last"),
                               .body = STR("{}"),
                               .until_boot_ms = &right};
    }
    atomic_store(&right, clock_boot_ms(clock_system()) + 3600000);
    const int before = atomic_load(&handled);
    http_client_run(c, x, N, mem);
    assert_int_equal(x[0].outcome, HTTP_ANSWERED);
    for (int i = 1; i < N; i++) {
        assert_outcome(&x[i], HTTP_NOT_SENT);
    }
    assert_int_equal(atomic_load(&handled) - before, 1);
    http_client *fresh = client_of(ca_file, 5000, 1, 1 << 20);
    http_client_run(fresh, x, 1, mem);
    assert_outcome(&x[0], HTTP_NOT_SENT);
    assert_int_equal(atomic_load(&handled) - before, 1);
    http_client_destroy(fresh);
    http_client_destroy(c);
    http_server_stop(s);
}

// --- The good case ---------------------------------------------------------------------------------------------------

static void echo_over(const char *scheme) {
    http_server *s = start(strcmp(scheme, "https") == 0, 2);
    http_client *c = client_of(ca_file, 5000, 4, 1 << 20);
    const char *const headers[] = {"X-Test: yes", NULL};
    for (int i = 0; i < 5; i++) {
        http_exchange x = {.method = "POST",
                           .url = url_of(scheme, http_server_port(s), "/echo?a=b&q=x%20y"),
                           .headers = headers,
                           .body = STR("{\"n\":1}")};
        http_client_run(c, &x, 1, mem);
        assert_answer(&x, 201, "POST|yes|x y|{\"n\":1}");
    }
    http_exchange x = run_one(c, "GET", url_of(scheme, http_server_port(s), "/echo"), STR(""));
    assert_answer(&x, 201, "GET|||");
    x = run_one(c, "POST", url_of(scheme, http_server_port(s), "/echo"), STR(""));
    assert_answer(&x, 201, "POST|||");
    x = run_one(c, "GET", url_of(scheme, http_server_port(s), "/nowhere"), STR(""));
    assert_answer(&x, 404, "");
    http_client_destroy(c);
    http_server_stop(s);
}

static void test_exchange__plain__answered(void **state) {
    (void)state;
    echo_over("http");
}

static void test_exchange__tls__answered(void **state) {
    (void)state;
    echo_over("https");
}

static void test_exchange__large_body_over_tls__arrives_whole(void **state) {
    (void)state;
    http_server *s = start(true, 2);
    http_client *c = client_of(ca_file, 5000, 4, 1 << 20);
    char *body = arena_alloc(mem, 1 << 20);
    memset(body, 'b', 1 << 20);
    http_exchange x =
        run_one(c, "POST", url_of("https", http_server_port(s), "/length"), (str){body, 1 << 20});
    assert_answer(&x, 200, "1048576");
    http_client_destroy(c);
    http_server_stop(s);
}

static void many_over(const char *scheme) {
    enum { N = 200 };
    http_server *s = start(strcmp(scheme, "https") == 0, 64);
    http_client *c = client_of(ca_file, 20000, 100, 1 << 20);
    http_exchange *x = ARENA_ARRAY(mem, http_exchange, N);
    int64_t start_ms = now_ms();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            x[i] = (http_exchange){.method = "POST",
                                   .url = url_of(scheme, http_server_port(s), "/slow?ms=50"),
                                   .body = STR("x")};
        }
        http_client_run(c, x, N, mem);
        for (int i = 0; i < N; i++) {
            assert_answer(&x[i], 200, "slow");
        }
    }
    assert_true(now_ms() - start_ms < 10000); // one after another would take 20 s
    assert_int_equal(atomic_load(&handled), 2 * N);
    http_client_destroy(c);
    http_server_stop(s);
}

static void test_exchange__200_at_once__all_answered(void **state) {
    (void)state;
    many_over("http");
}

static void test_exchange__200_at_once_over_tls__all_answered(void **state) {
    (void)state;
    many_over("https");
}

static void test_server__slow_handlers__do_not_starve_the_others(void **state) {
    (void)state;
    http_server *s = start(false, 4);
    http_client *c = client_of(NULL, 5000, 16, 1 << 20);
    http_exchange x[6];
    for (int i = 0; i < 6; i++) {
        x[i] = (http_exchange){
            .method = "GET",
            .url = url_of("http", http_server_port(s), i < 3 ? "/slow?ms=600" : "/echo")};
    }
    int64_t start_ms = now_ms();
    http_client_run(c, x + 3, 3, mem);
    assert_true(now_ms() - start_ms < 300);
    http_client_run(c, x, 6, mem);
    assert_true(now_ms() - start_ms < 1500);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(x[i].outcome, HTTP_ANSWERED);
    }
    http_client_destroy(c);
    http_server_stop(s);
}

typedef struct caller {
    http_client *c;
    const char *url;
    int answered;
    pthread_t thread;
} caller;

static void *call_many(void *arg) {
    caller *k = arg;
    arena *a = arena_create(1 << 20);
    for (int i = 0; i < 25; i++) {
        http_exchange x[4];
        for (int j = 0; j < 4; j++) {
            x[j] = (http_exchange){.method = "POST", .url = k->url, .body = STR("t")};
        }
        http_client_run(k->c, x, 4, a);
        for (int j = 0; j < 4; j++) {
            k->answered +=
                x[j].outcome == HTTP_ANSWERED && str_eq_c(x[j].response, "POST|||t") ? 1 : 0;
        }
    }
    arena_destroy(a);
    return NULL;
}

static void test_client__many_threads__all_answered(void **state) {
    (void)state;
    http_server *s = start(true, 8);
    http_client *c = client_of(ca_file, 10000, 4, 1 << 20);
    caller k[8];
    for (int i = 0; i < 8; i++) {
        k[i] = (caller){.c = c, .url = url_of("https", http_server_port(s), "/echo")};
        assert_int_equal(pthread_create(&k[i].thread, NULL, call_many, &k[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        (void)pthread_join(k[i].thread, NULL);
        assert_int_equal(k[i].answered, 100);
    }
    http_client_destroy(c);
    http_server_stop(s);
}

// --- Faults: NOT_SENT only when it is certain ------------------------------------------------------------------------

static void drop_over(const char *scheme) {
    http_server *s = start(strcmp(scheme, "https") == 0, 2);
    http_client *c = client_of(ca_file, 5000, 4, 1 << 20);
    const char *drop = url_of(scheme, http_server_port(s), "/drop");
    const char *echo = url_of(scheme, http_server_port(s), "/echo");
    http_exchange x = run_one(c, "POST", drop, STR("pay"));
    assert_outcome(&x, HTTP_UNKNOWN);
    assert_int_equal(atomic_load(&handled), 1);
    const str bodies[] = {STR("pay"), STR("")};
    for (int i = 0; i < 2; i++) {
        // On a kept connection, curl would take the loss for a stale connection and resend.
        x = run_one(c, "POST", echo, STR("warm"));
        assert_answer(&x, 201, "POST|||warm");
        atomic_store(&handled, 0);
        x = run_one(c, "POST", drop, bodies[i]);
        assert_outcome(&x, HTTP_UNKNOWN);
        assert_int_equal(atomic_load(&handled), 1);
    }
    http_client_destroy(c);
    http_server_stop(s);
}

static void test_drop__plain__unknown_and_sent_once(void **state) {
    (void)state;
    drop_over("http");
}

static void test_drop__tls__unknown_and_sent_once(void **state) {
    (void)state;
    drop_over("https");
}

static void test_slow__longer_than_the_time_out__unknown(void **state) {
    (void)state;
    http_server *s = start(true, 2);
    http_client *c = client_of(ca_file, 300, 4, 1 << 20);
    int64_t start_ms = now_ms();
    http_exchange x =
        run_one(c, "POST", url_of("https", http_server_port(s), "/slow?ms=1000"), STR("p"));
    assert_outcome(&x, HTTP_UNKNOWN);
    assert_in_range(now_ms() - start_ms, 290, 900);
    http_client_destroy(c);
    http_server_stop(s);
}

static void test_answer__larger_than_allowed__unknown(void **state) {
    (void)state;
    http_server *s = start(false, 2);
    http_client *c = client_of(NULL, 5000, 4, (1 << 20) - 1);
    http_exchange x = run_one(c, "POST", url_of("http", http_server_port(s), "/large"), STR("p"));
    assert_outcome(&x, HTTP_UNKNOWN);
    assert_string_equal(x.failure, "the answer is too large");
    http_client_destroy(c);
    c = client_of(NULL, 5000, 4, 1 << 20);
    x = run_one(c, "POST", url_of("http", http_server_port(s), "/large"), STR("p"));
    assert_int_equal(x.outcome, HTTP_ANSWERED);
    assert_int_equal(x.response.len, 1 << 20);
    // Without memory for it, it does not become an answer either.
    arena *tiny = arena_create(16 << 10);
    x = (http_exchange){.method = "GET", .url = url_of("http", http_server_port(s), "/large")};
    http_client_run(c, &x, 1, tiny);
    assert_outcome(&x, HTTP_UNKNOWN);
    arena_destroy(tiny);
    http_client_destroy(c);
    http_server_stop(s);
}

static void test_tls__other_authority__not_sent(void **state) {
    (void)state;
    http_server *s = start(true, 2);
    http_client *c = client_of(other_ca_file, 5000, 4, 1 << 20);
    http_exchange x = run_one(c, "POST", url_of("https", http_server_port(s), "/echo"), STR("p"));
    assert_outcome(&x, HTTP_NOT_SENT);
    http_client_destroy(c);
    c = client_of("/nonexistent/ca.pem", 5000, 4, 1 << 20);
    x = run_one(c, "POST", url_of("https", http_server_port(s), "/echo"), STR("p"));
    assert_outcome(&x, HTTP_NOT_SENT);
    http_client_destroy(c);
    assert_int_equal(atomic_load(&handled), 0);
    // Speaks TLS to a server without it.
    http_server *plain = start(false, 2);
    c = client_of(ca_file, 2000, 4, 1 << 20);
    x = run_one(c, "POST", url_of("https", http_server_port(plain), "/echo"), STR("p"));
    assert_outcome(&x, HTTP_NOT_SENT);
    http_client_destroy(c);
    http_server_stop(plain);
    http_server_stop(s);
}

static void test_connect__nobody_listens__not_sent(void **state) {
    (void)state;
    http_server *s = start(false, 1);
    const char *url = url_of("http", http_server_port(s), "/echo");
    http_server_stop(s);
    http_client *c = client_of(ca_file, 2000, 4, 1 << 20);
    http_exchange x = run_one(c, "POST", url, STR("p"));
    assert_outcome(&x, HTTP_NOT_SENT);
    x = run_one(c, "POST", "https://nowhere.invalid/", STR("p"));
    assert_outcome(&x, HTTP_NOT_SENT);
    http_client_destroy(c);
}

// A peer that takes connections. With a text it answers one and hangs up; without a text it stays silent.
typedef struct rude {
    int listener, port;
    const char *text;
    pthread_t thread;
} rude;

static void *rude_run(void *arg) {
    rude *r = arg;
    char buffer[4096];
    int fd = accept(r->listener, NULL, NULL);
    if (fd >= 0) {
        (void)!read(fd, buffer, sizeof(buffer));
        nap_ms(50);
        (void)!write(fd, r->text, strlen(r->text));
        (void)close(fd);
    }
    return NULL;
}

static void rude_start(rude *r, const char *text) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    r->text = text;
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(r->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(r->listener, 8), 0);
    assert_int_equal(getsockname(r->listener, (struct sockaddr *)&at, &len), 0);
    r->port = ntohs(at.sin_port);
    if (text != NULL) {
        assert_int_equal(pthread_create(&r->thread, NULL, rude_run, r), 0);
    }
}

static void rude_stop(rude *r) {
    if (r->text != NULL) {
        (void)pthread_join(r->thread, NULL);
    }
    (void)close(r->listener);
}

static void test_peer__silent__not_sent_in_the_handshake_unknown_after(void **state) {
    (void)state;
    rude r;
    rude_start(&r, NULL);
    http_client *c = client_of(ca_file, 300, 4, 1 << 20);
    http_exchange x = run_one(c, "POST", url_of("https", r.port, "/"), STR("p"));
    assert_outcome(&x, HTTP_NOT_SENT);
    x = run_one(c, "POST", url_of("http", r.port, "/"), STR("p"));
    assert_outcome(&x, HTTP_UNKNOWN);
    http_client_destroy(c);
    rude_stop(&r);
}

static void test_peer__half_an_answer__unknown(void **state) {
    (void)state;
    const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "nonsense\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        rude r;
        rude_start(&r, answers[i]);
        http_client *c = client_of(NULL, 1000, 4, 1 << 20);
        http_exchange x = run_one(c, "POST", url_of("http", r.port, "/"), STR("p"));
        assert_outcome(&x, HTTP_UNKNOWN);
        http_client_destroy(c);
        rude_stop(&r);
    }
}

static void test_peer__redirects__not_followed(void **state) {
    (void)state;
    http_server *s = start(false, 1);
    rude r;
    rude_start(&r, arena_printf(mem,
                                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/echo\r\n"
                                "Content-Length: 0\r\nConnection: close\r\n\r\n",
                                http_server_port(s)));
    http_client *c = client_of(NULL, 2000, 4, 1 << 20);
    http_exchange x = run_one(c, "POST", url_of("http", r.port, "/"), STR("p"));
    assert_answer(&x, 302, "");
    assert_int_equal(atomic_load(&handled), 0);
    http_client_destroy(c);
    rude_stop(&r);
    http_server_stop(s);
}

static void test_request__against_the_rules__not_sent(void **state) {
    (void)state;
    http_client *c = client_of(ca_file, 1000, 4, 1 << 20);
    const char *const urls[] = {
        "http://localhost:1/", "http://10.0.0.1/",         "http://[::1]:1/", "ftp://127.0.0.1/",
        "file:///etc/passwd",  "https://u:p@127.0.0.1:1/", "127.0.0.1:1/",    ""};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        http_exchange x = run_one(c, "POST", urls[i], STR("p"));
        assert_outcome(&x, HTTP_NOT_SENT);
    }
    const char *const lines[] = {"X: a\r\nY: b", "nothing", NULL};
    http_exchange x = {.method = "POST", .url = "http://127.0.0.1:1/", .headers = lines};
    http_client_run(c, &x, 1, mem);
    assert_outcome(&x, HTTP_NOT_SENT);
    assert_string_equal(x.failure, "a header is malformed");
    x = run_one(c, "DELETE", "http://127.0.0.1:1/", STR(""));
    assert_outcome(&x, HTTP_NOT_SENT);
    http_client_destroy(c);
    c = client_of(NULL, 1000, 4, 1 << 20);
    x = run_one(c, "POST", "https://127.0.0.1:1/", STR("p"));
    assert_string_equal(x.failure, "https needs a trust anchor");
    http_client_destroy(c);
}

// --- The server's limits ---------------------------------------------------------------------------------------------

static void test_server__announced_body_too_large__413(void **state) {
    (void)state;
    http_server *s = start(false, 1);
    http_client *c = client_of(NULL, 5000, 4, 1 << 20);
    char *body = arena_alloc(mem, (1 << 20) + 1);
    http_exchange x = run_one(c, "POST", url_of("http", http_server_port(s), "/length"),
                              (str){body, (1 << 20) + 1});
    // The server stops reading, so the client may see its answer, or only the end of the connection.
    assert_true(x.outcome == HTTP_UNKNOWN || (x.outcome == HTTP_ANSWERED && x.status == 413));
    assert_int_equal(atomic_load(&handled), 0);
    http_client_destroy(c);
    http_server_stop(s);
}

// Sends raw bytes; out gets the reply until the peer hangs up.
static void raw_exchange(int port, const char *head, size_t n_chunks, char *out, size_t out_len) {
    static char chunk[0x10000 + 9];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    at.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    (void)send(fd, head, strlen(head), MSG_NOSIGNAL);
    memset(chunk, 'c', sizeof(chunk));
    memcpy(chunk, "10000\r\n", 7);
    memcpy(chunk + sizeof(chunk) - 2, "\r\n", 2);
    for (size_t i = 0; i < n_chunks; i++) {
        if (send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    if (n_chunks > 0) {
        (void)send(fd, "0\r\n\r\n", 5, MSG_NOSIGNAL);
    }
    size_t len = 0;
    ssize_t n;
    while (len < out_len - 1 && (n = recv(fd, out + len, out_len - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    out[len] = '\0';
    (void)close(fd);
}

static void test_server__chunked_body__counted(void **state) {
    (void)state;
    char answer[1024];
    http_server *s = start(false, 1);
    const char *head = "POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                       "Connection: close\r\n\r\n";
    raw_exchange(http_server_port(s), head, 16, answer, sizeof(answer));
    assert_non_null(strstr(answer, "200 OK"));
    assert_non_null(strstr(answer, "1048576"));
    raw_exchange(http_server_port(s), head, 17, answer, sizeof(answer));
    assert_non_null(strstr(answer, "413"));
    assert_int_equal(atomic_load(&handled), 1);
    raw_exchange(http_server_port(s), "GET / nonsense\r\n\r\n", 0, answer, sizeof(answer));
    assert_null(strstr(answer, "200 OK"));
    assert_int_equal(atomic_load(&handled), 1);
    http_server_stop(s);
}

static void test_server__options__refused(void **state) {
    (void)state;
    err e = {0};
    http_server *s = start(false, 1);
    const http_server_options good = {.address = "127.0.0.1", .n_threads = 1, .handler = handler};
    http_server_options o[8];
    for (int i = 0; i < 8; i++) {
        o[i] = good;
    }
    o[0].address = "0.0.0.0"; // plain, and open to others
    o[1].address = "nowhere";
    o[2].n_threads = 0;
    o[3].handler = NULL;
    o[4].cert_file = cert_file;      // without a key
    o[5].port = http_server_port(s); // taken
    o[6].cert_file = "/nonexistent";
    o[6].key_file = key_file;
    o[7].cert_file = key_file; // not a certificate
    o[7].key_file = key_file;
    for (int i = 0; i < 8; i++) {
        assert_null(http_server_start(&o[i], &e));
        assert_int_equal(e.code, i == 5 || i == 7 ? ERR_UNAVAILABLE : ERR_INVALID_ARGUMENT);
    }
    http_server_stop(s);
    http_server_stop(NULL);
}

static void *call_slow(void *arg) {
    caller *k = arg;
    arena *a = arena_create(1 << 20);
    http_exchange x = {.method = "POST", .url = k->url, .body = STR("x")};
    http_client_run(k->c, &x, 1, a);
    k->answered = x.outcome == HTTP_ANSWERED ? 1 : 0;
    arena_destroy(a);
    return NULL;
}

static void test_stop__handler_is_running__its_answer_goes_out(void **state) {
    (void)state;
    http_server *s = start(true, 4);
    http_client *c = client_of(ca_file, 5000, 4, 1 << 20);
    caller k = {.c = c, .url = url_of("https", http_server_port(s), "/slow?ms=400")};
    assert_int_equal(pthread_create(&k.thread, NULL, call_slow, &k), 0);
    while (atomic_load(&handled) == 0) {
        nap_ms(2);
    }
    http_server_stop(s);
    (void)pthread_join(k.thread, NULL);
    assert_int_equal(k.answered, 1);
    http_client_destroy(c);
}

static void test_metrics__scraped__text(void **state) {
    (void)state;
    err e = {0};
    metric_add(metric_counter("http_test_total", "", "a counter"), 3);
    http_server *s = http_metrics_start("127.0.0.1", 0, &e);
    assert_non_null(s);
    http_client *c = client_of(NULL, 5000, 4, 1 << 20);
    http_exchange x = run_one(c, "GET", url_of("http", http_server_port(s), "/metrics"), STR(""));
    assert_int_equal(x.status, 200);
    assert_non_null(memmem(x.response.ptr, x.response.len, "http_test_total 3", 17));
    x = run_one(c, "GET", url_of("http", http_server_port(s), "/healthz"), STR(""));
    assert_answer(&x, 200, "ok\n");
    x = run_one(c, "GET", url_of("http", http_server_port(s), "/"), STR(""));
    assert_answer(&x, 404, "");
    x = run_one(c, "POST", url_of("http", http_server_port(s), "/metrics"), STR(""));
    assert_answer(&x, 405, "");
    http_client_destroy(c);
    http_server_stop(s);
    assert_null(http_metrics_start("0.0.0.0", 0, &e));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    log_init("http-test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        T(test_exchange__plain__answered),
        T(test_exchange__tls__answered),
        T(test_exchange__large_body_over_tls__arrives_whole),
        T(test_exchange__200_at_once__all_answered),
        T(test_exchange__200_at_once_over_tls__all_answered),
        T(test_server__slow_handlers__do_not_starve_the_others),
        T(test_client__many_threads__all_answered),
        T(test_server__another_certificate__counts_for_new_connections),
        T(test_FENCED_client__right_ends__the_rest_is_not_written),
        T(test_drop__plain__unknown_and_sent_once),
        T(test_drop__tls__unknown_and_sent_once),
        T(test_slow__longer_than_the_time_out__unknown),
        T(test_answer__larger_than_allowed__unknown),
        T(test_tls__other_authority__not_sent),
        T(test_connect__nobody_listens__not_sent),
        T(test_peer__silent__not_sent_in_the_handshake_unknown_after),
        T(test_peer__half_an_answer__unknown),
        T(test_peer__redirects__not_followed),
        T(test_request__against_the_rules__not_sent),
        T(test_server__announced_body_too_large__413),
        T(test_server__chunked_body__counted),
        T(test_server__options__refused),
        T(test_stop__handler_is_running__its_answer_goes_out),
        T(test_metrics__scraped__text),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
