#include "admin/admin.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "http/http.h"

enum {
    THREADS = 4,
    BODY_MAX = 64 * 1024,
    REPORT_MAX = 64 * 1024 * 1024,
    LIMIT_DEFAULT = 1000,
    LIMIT_MAX = 100000,
    WHO_PART_MAX = 140
};

struct admin {
    admin_options o;
    http_server *server;
};

typedef void (*action)(admin *a, const http_request *r, http_response *out);

static void release(void *b) {
    strbuf_deinit(b);
}

// A buffer that lives as long as the request.
static strbuf *request_buffer(const http_request *r) {
    strbuf *b = ARENA_NEW(r->arena, strbuf);
    strbuf_init(b, REPORT_MAX);
    MUST(arena_defer(r->arena, release, b));
    return b;
}

static void answer(http_response *out, int status, const strbuf *json) {
    out->status = strbuf_ok(json) ? status : 500;
    out->body = strbuf_ok(json) ? strbuf_str(json) : STR("{\"error\":\"too_large\"}");
}

static void answer_err(const http_request *r, http_response *out, const err *e) {
    strbuf *json = request_buffer(r);
    strbuf_add_c(json, "{\"error\":");
    strbuf_add_json(json, str_of(e->reason));
    strbuf_add_c(json, ",\"field\":");
    strbuf_add_json(json, str_of(e->field));
    strbuf_add_c(json, ",\"message\":");
    strbuf_add_json(json, str_of(e->message));
    strbuf_add_char(json, '}');
    answer(out, e->code == ERR_INVALID_ARGUMENT ? 400 : 503, json);
    if (e->code != ERR_INVALID_ARGUMENT) {
        log_err(LOG_ERROR, "admin.failed", e);
    }
}

typedef struct reporting {
    strbuf *out;
    books_query query;
    bool by_trace;
} reporting;

static bool report_job(books_tx *tx, void *arg, err *e) {
    return books_report(tx, ((reporting *)arg)->out, e);
}

static bool payments_job(books_tx *tx, void *arg, err *e) {
    reporting *r = arg;
    return books_report_payments(tx, &r->query, r->out, e);
}

static bool duplicates_job(books_tx *tx, void *arg, err *e) {
    reporting *r = arg;
    return books_report_duplicates(tx, r->by_trace, r->out, e);
}

static bool files_job(books_tx *tx, void *arg, err *e) {
    return books_report_files(tx, ((reporting *)arg)->out, e);
}

static void run_report(admin *a, const http_request *r, books_job job, reporting *what,
                       http_response *out) {
    err e = {0};
    what->out = request_buffer(r);
    if (!books_read(a->o.books, BOOKS_LANE_REPORT, job, what, &e)) {
        answer_err(r, out, &e);
        return;
    }
    strbuf_add_char(what->out, '\n');
    answer(out, 200, what->out);
}

static void get_report(admin *a, const http_request *r, http_response *out) {
    reporting what = {0};
    run_report(a, r, report_job, &what, out);
}

static void get_files(admin *a, const http_request *r, http_response *out) {
    reporting what = {0};
    run_report(a, r, files_job, &what, out);
}

static bool query_number(const http_request *r, const char *name, int64_t max, int64_t *out,
                         err *e) {
    str text = http_request_query(r, name);
    return text.len == 0 || str_to_i64(text, 0, max, out) ||
           err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID", name,
                         "must be a whole number, at most %lld", (long long)max);
}

static void get_payments(admin *a, const http_request *r, http_response *out) {
    reporting what = {.query = {.limit = LIMIT_DEFAULT, .payout = http_request_query(r, "payout")}};
    str rail = http_request_query(r, "rail");
    err e = {0};
    if (rail.len > 0 && !str_eq_c(rail, "ach") && !str_eq_c(rail, "instant")) {
        (void)err_set_field(&e, ERR_INVALID_ARGUMENT, "INVALID", "rail", "must be ach or instant");
    } else if (rail.len > 0) {
        what.query.rail = str_eq_c(rail, "ach") ? BOOKS_RAIL_ACH : BOOKS_RAIL_INSTANT;
    }
    if (err_is_set(&e) || !query_number(r, "limit", LIMIT_MAX, &what.query.limit, &e) ||
        !query_number(r, "after", INT64_MAX, &what.query.after, &e)) {
        answer_err(r, out, &e);
        return;
    }
    run_report(a, r, payments_job, &what, out);
}

static void get_duplicates(admin *a, const http_request *r, http_response *out) {
    reporting what = {.by_trace = str_eq_c(http_request_query(r, "ach_by"), "trace")};
    run_report(a, r, duplicates_job, &what, out);
}

static void get_faults(admin *a, const http_request *r, http_response *out) {
    faults_config c = faults_get(a->o.faults);
    strbuf *json = request_buffer(r);
    faults_config_json(&c, json);
    strbuf_add_char(json, '\n');
    answer(out, 200, json);
}

typedef bool (*set_field)(void *config, const char *name, int64_t value, err *e);

static bool set_fault(void *config, const char *name, int64_t value, err *e) {
    return faults_config_set(config, name, value, e);
}

static bool set_habit(void *config, const char *name, int64_t value, err *e) {
    return habits_config_set(config, name, value, e);
}

static bool apply_fields(const json_t *root, set_field set, void *config, err *e) {
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)root, key, value) {
        int64_t number = json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
        if (!json_is_boolean(value) && !json_is_integer(value)) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID", key,
                                 "must be a whole number or true or false");
        }
        if (!set(config, key, number, e)) {
            return false;
        }
    }
    return true;
}

static json_t *parse_object(const http_request *r, err *e) {
    json_t *root =
        json_loadb(r->body.len == 0 ? "" : r->body.ptr, r->body.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        (void)err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID", "body", "must be a JSON object");
        return NULL;
    }
    return root;
}

// Sets all given fields, or none. Other fields stay unchanged.
static void post_faults(admin *a, const http_request *r, http_response *out) {
    err e = {0};
    faults_config c = faults_get(a->o.faults);
    json_t *root = parse_object(r, &e);
    bool ok = root != NULL && apply_fields(root, set_fault, &c, &e);
    json_decref(root);
    if (!ok) {
        answer_err(r, out, &e);
        return;
    }
    faults_replace(a->o.faults, &c);
    get_faults(a, r, out);
}

static void get_habits(admin *a, const http_request *r, http_response *out) {
    habits_config c = habits_get(a->o.habits);
    strbuf *json = request_buffer(r);
    habits_config_json(&c, json);
    strbuf_add_char(json, '\n');
    answer(out, 200, json);
}

// Like faults: sets all given fields, or none.
static void post_habits(admin *a, const http_request *r, http_response *out) {
    err e = {0};
    habits_config c = habits_get(a->o.habits);
    json_t *root = parse_object(r, &e);
    bool ok = root != NULL && apply_fields(root, set_habit, &c, &e) &&
              habits_replace(a->o.habits, &c, &e);
    json_decref(root);
    if (!ok) {
        answer_err(r, out, &e);
        return;
    }
    get_habits(a, r, out);
}

static bool who_part(const json_t *root, const char *name, str *out, err *e) {
    const json_t *value = json_object_get(root, name);
    *out = (str){json_string_value(value), json_string_length(value)};
    return (json_is_string(value) && out->len <= WHO_PART_MAX) ||
           err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID", name, "must be a short string");
}

// Returns the bank's hash of a creditor: a test compares it with the people that it paid.
static void post_who(admin *a, const http_request *r, http_response *out) {
    err e = {0};
    str routing, account, name;
    uint8_t hash[WHO_LEN];
    char hex[2 * WHO_LEN + 1];
    json_t *root = parse_object(r, &e);
    bool ok = root != NULL && who_part(root, "routing", &routing, &e) &&
              who_part(root, "account", &account, &e) && who_part(root, "name", &name, &e);
    if (ok) {
        who_hash(a->o.who, routing, account, name, hash);
    }
    json_decref(root);
    if (!ok) {
        answer_err(r, out, &e);
        return;
    }
    strbuf *json = request_buffer(r);
    str_hex(hash, sizeof(hash), hex);
    strbuf_printf(json, "{\"who\":\"%s\"}\n", hex);
    answer(out, 200, json);
}

static bool flush_job(books_tx *tx, void *arg, err *e) {
    (void)arg;
    return books_flush(tx, e);
}

static void post_flush(admin *a, const http_request *r, http_response *out) {
    err e = {0};
    ach_flush(a->o.ach); // first takes the files in the inbox
    if (!books_write(a->o.books, flush_job, NULL, &e)) {
        answer_err(r, out, &e);
        return;
    }
    instant_wake(a->o.instant);
    ach_flush(a->o.ach);
    out->status = 200;
    out->body = STR("{\"flushed\":true}\n");
}

static void post_webhook(admin *a, const http_request *r, http_response *out) {
    err e = {0};
    json_t *root = parse_object(r, &e);
    const json_t *url = json_object_get(root, "url");
    bool ok = root != NULL;
    if (ok && !json_is_string(url)) {
        ok = err_set_field(&e, ERR_INVALID_ARGUMENT, "INVALID", "url", "must be a string");
    }
    ok = ok && instant_set_webhook_url(a->o.instant,
                                       (str){json_string_value(url), json_string_length(url)}, &e);
    json_decref(root);
    if (!ok) {
        answer_err(r, out, &e);
        return;
    }
    out->status = 200;
    out->body = STR("{\"webhook\":\"set\"}\n");
}

static void get_health(admin *a, const http_request *r, http_response *out) {
    (void)a;
    (void)r;
    out->status = 200;
    out->body = STR("{\"status\":\"ok\"}\n");
}

static const struct route {
    const char *method, *path;
    action run;
} ROUTES[] = {
    {"GET", "/healthz", get_health},          {"GET", "/admin/report", get_report},
    {"GET", "/admin/payments", get_payments}, {"GET", "/admin/duplicates", get_duplicates},
    {"GET", "/admin/files", get_files},       {"GET", "/admin/faults", get_faults},
    {"POST", "/admin/faults", post_faults},   {"POST", "/admin/flush", post_flush},
    {"POST", "/admin/webhook", post_webhook}, {"GET", "/admin/habits", get_habits},
    {"POST", "/admin/habits", post_habits},   {"POST", "/admin/who", post_who},
};

static void handle(void *arg, const http_request *r, http_response *out) {
    bool known = false;
    for (size_t i = 0; i < sizeof(ROUTES) / sizeof(ROUTES[0]); i++) {
        if (str_eq_c(r->path, ROUTES[i].path)) {
            known = true;
            if (str_eq_c(r->method, ROUTES[i].method)) {
                ROUTES[i].run(arg, r, out);
                return;
            }
        }
    }
    out->status = known ? 405 : 404;
    out->body =
        known ? STR("{\"error\":\"method_not_allowed\"}\n") : STR("{\"error\":\"no_such_path\"}\n");
}

admin *admin_start(const admin_options *o, err *e) {
    admin *a = calloc(1, sizeof(*a));
    ASSERT(a != NULL);
    a->o = *o;
    http_server_options server = {.address = "127.0.0.1",
                                  .port = o->port,
                                  .n_threads = THREADS,
                                  .body_max = BODY_MAX,
                                  .handler = handle,
                                  .arg = a};
    a->server = http_server_start(&server, e);
    if (a->server == NULL) {
        free(a);
        return NULL;
    }
    return a;
}

int admin_port(const admin *a) {
    return http_server_port(a->server);
}

void admin_stop(admin *a) {
    if (a != NULL) {
        http_server_stop(a->server);
        free(a);
    }
}
