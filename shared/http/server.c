// The server: one thread of libmicrohttpd does all I/O, and n_threads workers run the handler.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/config.h"
#include "base/log.h"
#include "base/queue.h"
#include "http/http.h"

enum {
    THREADS_MAX = 256,
    CONNECTIONS_MAX = 1024,
    QUEUE_MAX = 1024,
    HEADERS_LEN_MAX = 32 * 1024,
    CONNECTION_TIMEOUT_S = 30,
    ARENA_EXTRA_LEN = 16 * 1024 * 1024, // beside the body, for the handler
    PEM_LEN_MAX = 64 * 1024,
    STOP_TIMEOUT_MS = 5000 // for clients that do not read their answers
};

struct http_server {
    struct MHD_Daemon *daemon;
    // Of an older certificate: what was connected to it ends there. NULL: nothing was.
    struct MHD_Daemon *before;
    http_handler handler;
    void *arg;
    size_t body_max;
    int port;
    queue *waiting; // of exchange
    pthread_t *threads;
    int n_threads;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    int in_flight; // guarded by lock: from the queue to the last byte of the answer
    bool stopping; // guarded by lock
};

typedef struct exchange {
    http_server *server;
    struct MHD_Connection *connection;
    const char *method, *url;
    arena *arena;
    strbuf body;
    size_t discarded;
    bool too_large;
    bool counted; // in in_flight
    bool handled; // the handler has run
    bool drop;
    int status;
    struct MHD_Response *response;
} exchange;

str http_request_header(const http_request *r, const char *name) {
    return str_of(MHD_lookup_connection_value(r->native, MHD_HEADER_KIND, name));
}

str http_request_query(const http_request *r, const char *name) {
    return str_of(MHD_lookup_connection_value(r->native, MHD_GET_ARGUMENT_KIND, name));
}

// --- Answers ---------------------------------------------------------------------------------------------------------

static struct MHD_Response *make_response(const char *content_type, str body) {
    // libmicrohttpd does not write to a buffer that it copies, so dropping const is safe.
    struct MHD_Response *r =
        MHD_create_response_from_buffer(body.len, (void *)body.ptr, MHD_RESPMEM_MUST_COPY);
    ASSERT(r != NULL);
    MUST(MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, content_type) == MHD_YES);
    return r;
}

// An answer of the server itself, from the I/O thread. The connection is not kept.
static enum MHD_Result answer_now(struct MHD_Connection *connection, unsigned status) {
    struct MHD_Response *r = make_response("text/plain", STR(""));
    MUST(MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES);
    enum MHD_Result result = MHD_queue_response(connection, status, r);
    MHD_destroy_response(r);
    return result;
}

// --- Workers ---------------------------------------------------------------------------------------------------------

static void run_handler(exchange *x) {
    http_server *s = x->server;
    http_request request = {.method = str_of(x->method),
                            .path = str_of(x->url),
                            .body = strbuf_str(&x->body),
                            .arena = x->arena,
                            .native = x->connection};
    http_response response = {.status = 200};
    s->handler(s->arg, &request, &response);
    x->drop = response.drop;
    if (!x->drop) {
        ASSERT(response.status >= 200 && response.status <= 599);
        x->status = response.status;
        const char *type = response.content_type;
        x->response = make_response(type == NULL ? "application/json" : type, response.body);
    }
    x->handled = true;
}

static void *worker(void *arg) {
    http_server *s = arg;
    exchange *x;
    while ((x = queue_pop(s->waiting)) != NULL) {
        run_handler(x);
        MHD_resume_connection(x->connection); // x belongs to the I/O thread again
    }
    return NULL;
}

// --- The I/O thread --------------------------------------------------------------------------------------------------

static exchange *exchange_create(http_server *s, struct MHD_Connection *connection, const char *url,
                                 const char *method) {
    exchange *x = calloc(1, sizeof(*x));
    ASSERT(x != NULL);
    x->server = s;
    x->connection = connection;
    x->url = url;
    x->method = method;
    x->arena = arena_create(s->body_max + ARENA_EXTRA_LEN);
    strbuf_init(&x->body, s->body_max);
    return x;
}

// The request is complete: queues it for the workers, unless the queue is full.
static enum MHD_Result hand_over(exchange *x) {
    http_server *s = x->server;
    (void)pthread_mutex_lock(&s->lock);
    bool accepted = !s->stopping;
    x->counted = accepted;
    s->in_flight += accepted ? 1 : 0;
    (void)pthread_mutex_unlock(&s->lock);
    if (!accepted) {
        return answer_now(x->connection, MHD_HTTP_SERVICE_UNAVAILABLE);
    }
    // Suspends before queueing: a worker may be done before this returns.
    MHD_suspend_connection(x->connection);
    if (!queue_push(s->waiting, x)) {
        x->handled = true;
        x->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        x->response = make_response("text/plain", STR(""));
        MHD_resume_connection(x->connection);
    }
    return MHD_YES;
}

static enum MHD_Result take_upload(exchange *x, const char *data, size_t *len) {
    size_t body_max = x->server->body_max;
    if (x->too_large || *len > body_max - x->body.len) {
        // Reads on for a while, so that the client sees the 413 and not a reset.
        x->too_large = true;
        x->discarded += *len;
        if (x->discarded > body_max + ARENA_EXTRA_LEN) {
            return MHD_NO;
        }
    } else {
        strbuf_add(&x->body, data, *len);
        ASSERT(strbuf_ok(&x->body));
    }
    *len = 0;
    return MHD_YES;
}

static bool announced_too_large(exchange *x) {
    str announced = str_of(MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND,
                                                       MHD_HTTP_HEADER_CONTENT_LENGTH));
    int64_t len = 0;
    return announced.len > 0 &&
           (!str_to_i64(announced, 0, INT64_MAX, &len) || (uint64_t)len > x->server->body_max);
}

// Called after the headers, for each part of the body, at its end, and again when a worker is done.
static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload_data,
                                 size_t *upload_data_size, void **con_cls) {
    (void)version;
    exchange *x = *con_cls;
    if (x == NULL) {
        x = exchange_create(cls, connection, url, method);
        *con_cls = x;
        return announced_too_large(x) ? answer_now(connection, MHD_HTTP_CONTENT_TOO_LARGE)
                                      : MHD_YES;
    }
    if (*upload_data_size > 0) {
        return take_upload(x, upload_data, upload_data_size);
    }
    if (x->too_large) {
        return answer_now(connection, MHD_HTTP_CONTENT_TOO_LARGE);
    }
    if (!x->handled) {
        return hand_over(x);
    }
    if (x->drop) {
        return MHD_NO;
    }
    return MHD_queue_response(connection, (unsigned)x->status, x->response);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode why) {
    (void)connection;
    (void)why;
    http_server *s = cls;
    exchange *x = *con_cls;
    *con_cls = NULL;
    if (x == NULL) {
        return;
    }
    bool counted = x->counted;
    if (x->response != NULL) {
        MHD_destroy_response(x->response);
    }
    strbuf_deinit(&x->body);
    arena_destroy(x->arena);
    free(x);
    if (counted) {
        (void)pthread_mutex_lock(&s->lock);
        s->in_flight--;
        if (s->in_flight == 0) {
            (void)pthread_cond_broadcast(&s->idle);
        }
        (void)pthread_mutex_unlock(&s->lock);
    }
}

static void PRINTF_LIKE(2, 0) on_log(void *cls, const char *fmt, va_list args) {
    (void)cls;
    char text[256];
    (void)vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\r\n")] = '\0';
    log_debug("http.server", F_STR("message", text));
}

// --- Start and stop --------------------------------------------------------------------------------------------------

typedef struct listener_files {
    char *cert, *key;
    size_t cert_len, key_len;
} listener_files;

static bool read_certificate(const char *path, listener_files *f, err *e) {
    FILE *in = fopen(path, "rbe");
    if (in == NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CERT_FILE", "cannot open %s", path);
    }
    f->cert = calloc(1, PEM_LEN_MAX + 1);
    ASSERT(f->cert != NULL);
    f->cert_len = fread(f->cert, 1, PEM_LEN_MAX, in);
    (void)fclose(in);
    if (f->cert_len == 0 || f->cert_len == PEM_LEN_MAX) {
        return err_set(e, ERR_INVALID_ARGUMENT, "CERT_FILE", "%s is empty or too large", path);
    }
    return true;
}

static bool read_files(const char *cert_file, const char *key_file, listener_files *f, err *e) {
    return read_certificate(cert_file, f, e) &&
           config_read_secret(key_file, PEM_LEN_MAX, &f->key, &f->key_len, e);
}

static bool check_options(const http_server_options *o, struct sockaddr_in *at, err *e) {
    bool tls = o->cert_file != NULL;
    *at = (struct sockaddr_in){.sin_family = AF_INET};
    if (o->handler == NULL || o->n_threads < 1 || o->n_threads > THREADS_MAX || o->port < 0 ||
        o->port > 65535 || o->body_max > (size_t)1 << 30 || tls != (o->key_file != NULL)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_HTTP_OPTIONS",
                       "the HTTP server's options are out of range");
    }
    if (o->address == NULL || inet_pton(AF_INET, o->address, &at->sin_addr) != 1) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_HTTP_OPTIONS",
                       "the HTTP server needs an IPv4 address");
    }
    if (!tls && ntohl(at->sin_addr.s_addr) >> 24 != 127) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_HTTP_OPTIONS",
                       "plain HTTP is for loopback addresses only");
    }
    at->sin_port = htons((uint16_t)o->port);
    return true;
}

// listener: a socket that listens already, or MHD_INVALID_SOCKET.
static struct MHD_Daemon *start_daemon(http_server *s, const struct sockaddr_in *at,
                                       MHD_socket listener, const listener_files *f) {
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem where[] = {
        {listener == MHD_INVALID_SOCKET ? MHD_OPTION_END : MHD_OPTION_LISTEN_SOCKET, listener,
         NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, f->cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, f->key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL},
    };
    if (f->cert == NULL) {
        tls[0].option = MHD_OPTION_END;
    } else {
        flags |= MHD_USE_TLS;
    }
    return MHD_start_daemon(flags, 0, NULL, NULL, on_access, s, MHD_OPTION_EXTERNAL_LOGGER, on_log,
                            NULL, MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)at,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT_S,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_LEN_MAX,
                            MHD_OPTION_ARRAY, where, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

static void free_server(http_server *s) {
    queue_destroy(s->waiting);
    (void)pthread_cond_destroy(&s->idle);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->threads);
    free(s);
}

static http_server *create_server(const http_server_options *o) {
    http_server *s = calloc(1, sizeof(*s));
    ASSERT(s != NULL);
    s->handler = o->handler;
    s->arg = o->arg;
    s->body_max = o->body_max;
    s->n_threads = o->n_threads;
    s->threads = calloc((size_t)o->n_threads, sizeof(*s->threads));
    s->waiting = queue_create(QUEUE_MAX);
    ASSERT(s->threads != NULL && s->waiting != NULL);
    MUST(pthread_mutex_init(&s->lock, NULL) == 0);
    cond_init(&s->idle);
    return s;
}

http_server *http_server_start(const http_server_options *o, err *e) {
    struct sockaddr_in at;
    listener_files files = {0};
    http_server *s = NULL;
    if (!check_options(o, &at, e)) {
        return NULL;
    }
    if (o->cert_file != NULL && !read_files(o->cert_file, o->key_file, &files, e)) {
        goto out;
    }
    s = create_server(o);
    s->daemon = start_daemon(s, &at, MHD_INVALID_SOCKET, &files);
    if (s->daemon == NULL) {
        (void)err_set(e, ERR_UNAVAILABLE, "HTTP_LISTEN",
                      "cannot listen on %s port %d: in use, or a bad certificate or key",
                      o->address, o->port);
        free_server(s);
        s = NULL;
        goto out;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    ASSERT(info != NULL);
    s->port = info->port;
    for (int i = 0; i < s->n_threads; i++) {
        MUST(pthread_create(&s->threads[i], NULL, worker, s) == 0);
    }
out:
    config_wipe(files.key, files.key_len); // GnuTLS has its own copy now
    free(files.cert);
    return s;
}

// Nothing is connected to it any more, or there is none.
static bool end_before(http_server *s) {
    if (s->before != NULL) {
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(s->before, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        if (info == NULL || info->num_connections > 0) {
            return false;
        }
        MHD_stop_daemon(s->before);
        s->before = NULL;
    }
    return true;
}

bool http_server_certificate(http_server *s, const char *cert_file, const char *key_file, err *e) {
    listener_files files = {0};
    bool ok = end_before(s) || err_set(e, ERR_UNAVAILABLE, "HTTP_CERTIFICATE",
                                       "connections of the certificate before are still open");
    ok = ok && read_files(cert_file, key_file, &files, e);
    if (ok) {
        // Both listen for a moment, so that nobody finds the port closed.
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_LISTEN_FD);
        const MHD_socket listener = info == NULL ? -1 : fcntl(info->listen_fd, F_DUPFD_CLOEXEC, 0);
        struct MHD_Daemon *fresh = listener < 0 ? NULL : start_daemon(s, NULL, listener, &files);
        ok = fresh != NULL || err_set(e, ERR_FAILED_PRECONDITION, "HTTP_CERTIFICATE",
                                      "the certificate and its key cannot be used");
        if (fresh != NULL) {
            const MHD_socket old = MHD_quiesce_daemon(s->daemon);
            s->before = s->daemon;
            s->daemon = fresh;
            if (old != MHD_INVALID_SOCKET) {
                (void)close(old);
            }
        }
    }
    config_wipe(files.key, files.key_len);
    free(files.cert);
    return ok;
}

int http_server_port(const http_server *s) {
    return s->port;
}

void http_server_stop(http_server *s) {
    if (s == NULL) {
        return;
    }
    MHD_socket listener = MHD_quiesce_daemon(s->daemon);
    (void)pthread_mutex_lock(&s->lock);
    s->stopping = true; // later requests on kept connections get 503
    (void)pthread_mutex_unlock(&s->lock);
    // Running handlers may finish.
    queue_close(s->waiting);
    for (int i = 0; i < s->n_threads; i++) {
        MUST(pthread_join(s->threads[i], NULL) == 0);
    }
    // Then their answers go out, as far as clients read them.
    const struct timespec until = cond_after_ms(STOP_TIMEOUT_MS);
    (void)pthread_mutex_lock(&s->lock);
    while (s->in_flight > 0 && cond_wait_until(&s->idle, &s->lock, &until)) {
    }
    (void)pthread_mutex_unlock(&s->lock);
    MHD_stop_daemon(s->daemon);
    if (s->before != NULL) {
        MHD_stop_daemon(s->before);
    }
    if (listener != MHD_INVALID_SOCKET) {
        (void)close(listener);
    }
    free_server(s);
}
