// HTTP/1.1: a small server (libmicrohttpd) for metrics, webhooks and the simulator bank, and a client (libcurl).
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

// --- Server ----------------------------------------------------------------------------------------------------------
typedef struct http_server http_server;
typedef struct http_request {
    str method, path; // path without the query
    str body;
    arena *arena; // lives until the answer is sent
    void *native;
} http_request;
str http_request_header(const http_request *r, const char *name); // empty when absent
str http_request_query(const http_request *r, const char *name);

typedef struct http_response {
    int status;
    const char *content_type; // default application/json
    str body;                 // copied
    bool drop;                // close the connection without an answer (the simulator's fault)
} http_response;
// Runs on a server thread (a pool of n_threads); may block.
typedef void (*http_handler)(void *arg, const http_request *r, http_response *out);

typedef struct http_server_options {
    const char *address;              // "127.0.0.1"
    int port;                         // 0: a free one
    const char *cert_file, *key_file; // both NULL: plain HTTP
    int n_threads;
    size_t body_max; // larger: 413
    http_handler handler;
    void *arg;
} http_server_options;
http_server *http_server_start(const http_server_options *o, err *e);
// New connections use the present files. Existing connections go on unchanged. One thread, and not while it stops. On an
// error all stays as it was; UNAVAILABLE: try again, what came before the last change is still connected.
bool http_server_certificate(http_server *s, const char *cert_file, const char *key_file,
                             err *e) WARN_UNUSED;
int http_server_port(const http_server *s);
void http_server_stop(http_server *s); // waits for running handlers; accepts NULL

// GET /metrics (Prometheus text) and /healthz on loopback.
http_server *http_metrics_start(const char *address, int port, err *e);

// --- Client: many requests at once over kept connections. ------------------------------------------------------------
typedef struct http_client http_client;
typedef struct http_client_options {
    const char *ca_file; // the only trust anchor
    int64_t connect_timeout_ms, total_timeout_ms;
    int max_connections; // to one host
    size_t response_max;
} http_client_options;
http_client *http_client_create(const http_client_options *o, err *e);
void http_client_destroy(http_client *c);

typedef struct http_exchange {
    // in
    const char *method; // "GET" "POST"
    const char *url;    // https only, unless the host is loopback and the scheme http was given
    const char *const *headers; // "Name: value", NULL-terminated, may be NULL
    str body;
    // NULL: no limit. Read when the connection is ready and nothing is written yet: at or after this time (clock_boot_ms of clock_system)
    // the request is not written, and is NOT_SENT. Another thread may change it.
    const _Atomic int64_t *until_boot_ms;
    // out
    int status;   // 0: no answer
    str response; // @arena
    // Set without an answer. NOT_SENT: the request never left, and a retry is safe. UNKNOWN: it may have reached the peer
    // (UNKNOWN-IS-A-STATE).
    enum { HTTP_ANSWERED, HTTP_NOT_SENT, HTTP_UNKNOWN } outcome;
    bool too_late; // NOT_SENT, because of until_boot_ms
    char failure[160];
} http_exchange;
// Runs all concurrently and returns when the last has ended. Thread-safe: each calling thread has its own multi handle.
void http_client_run(http_client *c, http_exchange *x, size_t n, arena *a);

#endif
