// GET /metrics and /healthz.
#include "base/metrics.h"

#include "http/http.h"

enum { METRICS_LEN_MAX = 8 * 1024 * 1024 };

static void handle(void *arg, const http_request *r, http_response *out) {
    (void)arg;
    out->content_type = "text/plain; charset=utf-8";
    if (!str_eq_c(r->method, "GET")) {
        out->status = 405;
    } else if (str_eq_c(r->path, "/healthz")) {
        out->body = STR("ok\n");
    } else if (str_eq_c(r->path, "/metrics")) {
        strbuf text;
        strbuf_init(&text, METRICS_LEN_MAX);
        metrics_render(&text);
        // Copies into the arena, because the answer is copied after this function returns.
        char *copy = strbuf_ok(&text) ? arena_strndup(r->arena, text.ptr, text.len) : NULL;
        if (copy == NULL) {
            out->status = 500;
        } else {
            out->content_type = "text/plain; version=0.0.4; charset=utf-8";
            out->body = (str){copy, text.len};
        }
        strbuf_deinit(&text);
    } else {
        out->status = 404;
    }
}

http_server *http_metrics_start(const char *address, int port, err *e) {
    http_server_options o = {
        .address = address, .port = port, .n_threads = 1, .body_max = 0, .handler = handle};
    return http_server_start(&o, e);
}
