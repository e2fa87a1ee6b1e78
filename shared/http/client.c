// The client: many exchanges at once on a curl multi handle, which keeps connections between calls.
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/http.h"

enum {
    CONNECTIONS_MAX = 1024,
    LANES_KEPT_MAX = 64,
    HEADERS_MAX = 32,
    CA_CACHE_S = 3600,
    POLL_MS = 1000
};

// The tools of one call: its own connections and handles. On the shelf between two calls.
typedef struct lane {
    CURLM *multi;
    CURL **spare; // easy handles, for reuse
    size_t n_spare;
    struct lane *next;
} lane;

struct http_client {
    char *ca_file;
    long connect_timeout_ms, total_timeout_ms;
    size_t max_connections, response_max;
    pthread_mutex_t lock; // guards the shelf
    lane *shelf;
    int n_shelf, n_out;
};

// One exchange under way.
typedef struct transfer {
    http_exchange *x;
    CURL *easy;
    struct curl_slist *headers;
    strbuf response;
    size_t sent;       // of the body
    bool headers_done; // of the final answer: its empty line was seen
    char error[CURL_ERROR_SIZE];
} transfer;

// --- Handles ---------------------------------------------------------------------------------------------------------

static pthread_once_t initialised = PTHREAD_ONCE_INIT;

static void initialise(void) {
    MUST(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    // With CURLOPT_NOSIGNAL a peer that hangs up would otherwise kill the process.
    MUST(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

http_client *http_client_create(const http_client_options *o, err *e) {
    if (o->connect_timeout_ms < 1 || o->connect_timeout_ms > INT32_MAX || o->total_timeout_ms < 1 ||
        o->total_timeout_ms > INT32_MAX || o->max_connections < 1 ||
        o->max_connections > CONNECTIONS_MAX || o->response_max < 1) {
        (void)err_set(e, ERR_INVALID_ARGUMENT, "BAD_HTTP_OPTIONS",
                      "the HTTP client's options are out of range");
        return NULL;
    }
    MUST(pthread_once(&initialised, initialise) == 0);
    http_client *c = calloc(1, sizeof(*c));
    ASSERT(c != NULL);
    if (o->ca_file != NULL) {
        c->ca_file = strdup(o->ca_file);
        ASSERT(c->ca_file != NULL);
    }
    c->connect_timeout_ms = (long)o->connect_timeout_ms;
    c->total_timeout_ms = (long)o->total_timeout_ms;
    c->max_connections = (size_t)o->max_connections;
    c->response_max = o->response_max;
    MUST(pthread_mutex_init(&c->lock, NULL) == 0);
    return c;
}

static void lane_destroy(lane *l) {
    for (size_t i = 0; i < l->n_spare; i++) {
        curl_easy_cleanup(l->spare[i]);
    }
    (void)curl_multi_cleanup(l->multi);
    free(l->spare);
    free(l);
}

void http_client_destroy(http_client *c) {
    if (c == NULL) {
        return;
    }
    ASSERT(c->n_out == 0);
    while (c->shelf != NULL) {
        lane *l = c->shelf;
        c->shelf = l->next;
        lane_destroy(l);
    }
    (void)pthread_mutex_destroy(&c->lock);
    free(c->ca_file);
    free(c);
}

static lane *lane_take(http_client *c) {
    (void)pthread_mutex_lock(&c->lock);
    lane *l = c->shelf;
    if (l != NULL) {
        c->shelf = l->next;
        c->n_shelf--;
    }
    c->n_out++;
    (void)pthread_mutex_unlock(&c->lock);
    if (l == NULL) {
        l = calloc(1, sizeof(*l));
        ASSERT(l != NULL);
        l->multi = curl_multi_init();
        l->spare = calloc(c->max_connections, sizeof(CURL *));
        ASSERT(l->multi != NULL && l->spare != NULL);
        long max = (long)c->max_connections;
        MUST(curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, max) == CURLM_OK);
        MUST(curl_multi_setopt(l->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK);
    }
    return l;
}

static void lane_give_back(http_client *c, lane *l) {
    (void)pthread_mutex_lock(&c->lock);
    bool keep = c->n_shelf < LANES_KEPT_MAX;
    if (keep) {
        l->next = c->shelf;
        c->shelf = l;
        c->n_shelf++;
    }
    c->n_out--;
    (void)pthread_mutex_unlock(&c->lock);
    if (!keep) {
        lane_destroy(l);
    }
}

// --- One request -----------------------------------------------------------------------------------------------------

static size_t on_response(char *bytes, size_t size, size_t n, void *arg) {
    transfer *t = arg;
    strbuf_add(&t->response, bytes, size * n);
    return strbuf_ok(&t->response) ? size * n : 0; // too large ends the transfer
}

// curl takes a connection that ends amid the headers as a complete answer; we do not.
static size_t on_header(char *bytes, size_t size, size_t n, void *arg) {
    transfer *t = arg;
    size_t len = size * n;
    t->headers_done = (len == 2 && bytes[0] == '\r' && bytes[1] == '\n') ||
                      (len == 1 && bytes[0] == '\n') ||
                      (t->headers_done && !(len >= 5 && memcmp(bytes, "HTTP/", 5) == 0));
    return len;
}

// The body comes from here and not from POSTFIELDS, and cannot be rewound. So curl cannot resend it by itself when a kept connection proves
// dead after the request was written.
static size_t on_body(char *out, size_t size, size_t n, void *arg) {
    transfer *t = arg;
    size_t len = t->x->body.len - t->sent;
    len = len < size * n ? len : size * n;
    if (len > 0) {
        memcpy(out, t->x->body.ptr + t->sent, len);
        t->sent += len;
    }
    return len;
}

// Called last before the first byte is written, on a new or a kept connection.
static int on_written_next(void *arg, char *to, char *from, int to_port, int from_port) {
    (void)to, (void)from, (void)to_port, (void)from_port;
    transfer *t = arg;
    t->x->too_late = clock_boot_ms(clock_system()) >= atomic_load(t->x->until_boot_ms);
    return t->x->too_late ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static bool refuse(http_exchange *x, const char *why) {
    x->outcome = HTTP_NOT_SENT;
    (void)snprintf(x->failure, sizeof(x->failure), "%.*s", (int)sizeof(x->failure) - 1, why);
    return false;
}

// https, or http to this machine; no credentials in the URL.
static bool check_url(const http_client *c, http_exchange *x, const char **protocol) {
    char *scheme = NULL;
    char *host = NULL;
    char *user = NULL;
    const char *why = NULL;
    CURLU *u = curl_url();
    ASSERT(u != NULL);
    if (curl_url_set(u, CURLUPART_URL, x->url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK) {
        why = "the URL is malformed";
    } else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK) {
        why = "the URL has credentials in it";
    } else if (strcmp(scheme, "https") == 0) {
        *protocol = "https";
        why = c->ca_file == NULL ? "https needs a trust anchor" : NULL;
    } else if (strcmp(scheme, "http") == 0) {
        *protocol = "http";
        why = strcmp(host, "127.0.0.1") == 0 ? NULL : "plain HTTP is for loopback only";
    } else {
        why = "the URL is not https";
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(u);
    return why == NULL ? true : refuse(x, why);
}

static void add_header(transfer *t, const char *line) {
    struct curl_slist *longer = curl_slist_append(t->headers, line);
    ASSERT(longer != NULL);
    t->headers = longer;
}

static bool build_headers(transfer *t) {
    bool has_type = false;
    add_header(t, "Expect:"); // no waiting for 100-continue
    for (size_t i = 0; t->x->headers != NULL && t->x->headers[i] != NULL; i++) {
        const char *line = t->x->headers[i];
        // A line break would allow another header, or another request.
        if (i == HEADERS_MAX || strpbrk(line, "\r\n") != NULL || strchr(line, ':') == NULL) {
            return refuse(t->x, "a header is malformed");
        }
        has_type = has_type || strncasecmp(line, "content-type:", 13) == 0;
        add_header(t, line);
    }
    if (!has_type) {
        add_header(t, t->x->body.len > 0 ? "Content-Type: application/json" : "Content-Type:");
    }
    return true;
}

#define SET(option, value) MUST(curl_easy_setopt(easy, (option), (value)) == CURLE_OK)

static void set_common(const http_client *c, CURL *easy, const char *protocol) {
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, protocol);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); // ignores the environment
    SET(CURLOPT_USERAGENT, "disburse");
    SET(CURLOPT_CONNECTTIMEOUT_MS, c->connect_timeout_ms);
    SET(CURLOPT_TIMEOUT_MS, c->total_timeout_ms);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    // The system's authorities are not trusted here.
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_CAINFO, c->ca_file);
    SET(CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_S);
}

static bool set_request(const http_client *c, transfer *t) {
    CURL *easy = t->easy;
    http_exchange *x = t->x;
    const char *protocol = NULL;
    if (!check_url(c, x, &protocol) || !build_headers(t)) {
        return false;
    }
    set_common(c, easy, protocol);
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_WRITEFUNCTION, on_response);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    if (curl_easy_setopt(easy, CURLOPT_URL, x->url) != CURLE_OK) {
        return refuse(x, "the URL is malformed");
    }
    if (strcmp(x->method, "POST") == 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_READFUNCTION, on_body);
        SET(CURLOPT_READDATA, t);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body.len);
        // Without a body curl needs no rewind before it resends, so the connection must be new.
        SET(CURLOPT_FRESH_CONNECT, x->body.len == 0 ? 1L : 0L);
    } else if (strcmp(x->method, "GET") == 0 && x->body.len == 0) {
        SET(CURLOPT_HTTPGET, 1L);
    } else {
        return refuse(x, "only GET and POST are spoken here");
    }
    SET(CURLOPT_HTTPHEADER, t->headers);
    if (x->until_boot_ms != NULL) {
        SET(CURLOPT_PREREQFUNCTION, on_written_next);
        SET(CURLOPT_PREREQDATA, t);
    }
    return true;
}

// --- The result ------------------------------------------------------------------------------------------------------

// True only when no byte of the request can have reached the peer.
static bool never_sent(CURL *easy, CURLcode rc) {
    long request_len = -1;
    curl_off_t pretransfer_us = -1;
    // Both stay 0 until the connection and its handshake are complete.
    MUST(curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_len) == CURLE_OK);
    MUST(curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us) == CURLE_OK);
    if (request_len != 0 || pretransfer_us != 0) {
        return false;
    }
    return rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_CONNECT ||
           rc == CURLE_SSL_CONNECT_ERROR || rc == CURLE_PEER_FAILED_VERIFICATION ||
           rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_SSL_CERTPROBLEM ||
           rc == CURLE_SSL_CIPHER || rc == CURLE_SSL_ISSUER_ERROR || rc == CURLE_OPERATION_TIMEDOUT;
}

static void conclude(transfer *t, CURLcode rc, arena *a) {
    http_exchange *x = t->x;
    long status = 0;
    MUST(curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK);
    const char *why = t->error[0] != '\0' ? t->error : curl_easy_strerror(rc);
    if (!strbuf_ok(&t->response)) {
        why = "the answer is too large";
    } else if (rc == CURLE_OK) {
        why = "the answer is cut short";
    }
    if (rc == CURLE_OK && status >= 200 && t->headers_done) {
        size_t len = t->response.len;
        char *copy = arena_strndup(a, len == 0 ? "" : t->response.ptr, len);
        if (copy != NULL) {
            x->outcome = HTTP_ANSWERED;
            x->status = (int)status;
            x->response = (str){copy, len};
            return;
        }
        why = "no memory for the answer";
    }
    why = x->too_late ? "its time was over before it was written" : why;
    x->outcome = x->too_late || never_sent(t->easy, rc) ? HTTP_NOT_SENT : HTTP_UNKNOWN;
    (void)snprintf(x->failure, sizeof(x->failure), "%.*s", (int)sizeof(x->failure) - 1, why);
}

static void transfer_end(lane *l, transfer *t) {
    curl_slist_free_all(t->headers);
    strbuf_deinit(&t->response);
    curl_easy_reset(t->easy);
    l->spare[l->n_spare++] = t->easy;
    free(t);
}

// False when the exchange ended before it began.
static bool transfer_start(http_client *c, lane *l, http_exchange *x) {
    transfer *t = calloc(1, sizeof(*t));
    ASSERT(t != NULL);
    t->x = x;
    t->easy = l->n_spare > 0 ? l->spare[--l->n_spare] : curl_easy_init();
    ASSERT(t->easy != NULL);
    strbuf_init(&t->response, c->response_max);
    x->status = 0;
    x->response = (str){NULL, 0};
    x->outcome = HTTP_UNKNOWN;
    x->too_late = false;
    x->failure[0] = '\0';
    bool ok = set_request(c, t);
    if (ok) {
        MUST(curl_multi_add_handle(l->multi, t->easy) == CURLM_OK);
    } else {
        transfer_end(l, t);
    }
    return ok;
}

void http_client_run(http_client *c, http_exchange *x, size_t n, arena *a) {
    lane *l = lane_take(c);
    size_t next = 0;
    size_t running = 0;
    while (next < n || running > 0) {
        // At most as many as connections, so that no exchange's time runs out in curl's own queue.
        while (next < n && running < c->max_connections) {
            running += transfer_start(c, l, &x[next++]) ? 1 : 0;
        }
        int active = 0;
        MUST(curl_multi_perform(l->multi, &active) == CURLM_OK);
        CURLMsg *m;
        int left = 0;
        bool ended = false;
        while ((m = curl_multi_info_read(l->multi, &left)) != NULL) {
            if (m->msg == CURLMSG_DONE) {
                transfer *t = NULL;
                CURLcode rc = m->data.result; // m dies with the handle's removal
                MUST(curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) == CURLE_OK);
                conclude(t, rc, a);
                MUST(curl_multi_remove_handle(l->multi, t->easy) == CURLM_OK);
                transfer_end(l, t);
                running--;
                ended = true;
            }
        }
        if (!ended && running > 0) {
            MUST(curl_multi_poll(l->multi, NULL, 0, POLL_MS, NULL) == CURLM_OK);
        }
    }
    lane_give_back(c, l);
}
