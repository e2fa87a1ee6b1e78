// The handler of the HTTPS interface.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/uuid.h"
#include "crypto/crypto.h"
#include "instant/instant_internal.h"

static const char PATH_PAYMENTS[] = "/v1/payments";
static const char PATH_BY_KEY[] = "/v1/payments/by-key/";

void instant_payment_json(const books_payment *p, books_status shown, strbuf *out) {
    char created[32];
    time_format_rfc3339(p->created_us, created, sizeof(created));
    strbuf_printf(out, "{\"payment_id\":\"%s\",\"key\":\"%s\",\"reference\":", p->payment_id,
                  p->key);
    strbuf_add_json(out, str_of(p->reference));
    // A code belongs to what is shown: the first answer of a payment that came back later has none.
    bool with_code = shown == BOOKS_REFUSED || shown == BOOKS_RETURNED;
    strbuf_printf(out, ",\"status\":\"%s\",\"code\":", books_status_name(shown));
    strbuf_add_json(out, str_of(with_code ? p->code : ""));
    strbuf_add_c(out, ",\"text\":");
    strbuf_add_json(out, str_of(with_code ? p->text : ""));
    strbuf_printf(out,
                  ",\"retriable\":%s,\"amount\":%lld,\"currency\":\"%s\",\"created_at\":\"%s\"}",
                  shown == BOOKS_REFUSED && p->retriable ? "true" : "false", (long long)p->amount,
                  p->currency, created);
}

static bool queue_webhook(books_tx *tx, const books_payment *p, int64_t now_us, err *e) {
    char memory[INSTANT_JSON_MAX], id[64], at[32];
    strbuf body;
    strbuf_init_fixed(&body, memory, sizeof(memory));
    time_format_rfc3339(now_us, at, sizeof(at));
    strbuf_printf(&body, "{\"type\":\"payment.%s\",\"timestamp\":\"%s\",\"data\":",
                  books_status_name(p->status), at);
    instant_payment_json(p, p->status, &body);
    strbuf_add_char(&body, '}');
    // The id of the message is that of what happened: a repeated delivery keeps it.
    (void)snprintf(id, sizeof(id), "msg_%s_%s", p->payment_id + strlen("pay_"),
                   books_status_name(p->status));
    if (!strbuf_ok(&body)) {
        return err_set(e, ERR_INTERNAL, "WEBHOOK", "the webhook is too long");
    }
    for (int i = 0; i < p->webhooks; i++) {
        if (!books_webhook_insert(tx, id, now_us + p->webhook_delay_us, strbuf_str(&body), e)) {
            return false;
        }
    }
    return true;
}

bool instant_enter(instant *i, books_tx *tx, books_payment *p, int64_t now_us, err *e) {
    books_move m = {.rail = BOOKS_RAIL_INSTANT,
                    .item = p->id,
                    .amount = p->amount,
                    .currency = p->currency,
                    .at_us = now_us};
    if (p->status == BOOKS_SETTLED || p->status == BOOKS_RETURNED) {
        m.kind = p->status == BOOKS_SETTLED ? BOOKS_CREDIT : BOOKS_RETURN;
        if (!books_movement(tx, &m, e)) {
            return false;
        }
    }
    bool told = p->status != BOOKS_REFUSED || i->o.webhook_on_refusal;
    return !told || queue_webhook(tx, p, now_us, e);
}

// One POST on its way through the writer of the books.
typedef struct submission {
    instant *bank;
    instant_request request;
    str key;
    uint8_t sha256[32];
    int64_t now_us;
    char payment_id[BOOKS_PAYMENT_ID_MAX];
    // out
    books_payment payment;
    bool first, conflict;
    faults_instant plan;
} submission;

static void fill_payment(submission *s) {
    const instant_options *o = &s->bank->o;
    books_payment *p = &s->payment;
    *p = (books_payment){.amount = s->request.amount,
                         .created_us = s->now_us,
                         .webhooks = s->plan.webhooks,
                         .webhook_delay_us = s->plan.webhook_delay_ms * 1000};
    (void)snprintf(p->key, sizeof(p->key), "%.*s", (int)s->key.len, s->key.ptr);
    (void)snprintf(p->payment_id, sizeof(p->payment_id), "%s", s->payment_id);
    (void)snprintf(p->reference, sizeof(p->reference), "%s", s->request.reference);
    (void)snprintf(p->currency, sizeof(p->currency), "%s", s->request.currency);
    memcpy(p->request_sha256, s->sha256, sizeof(p->request_sha256));
    bool now = o->sync_settle || o->settle_delay_ms == 0;
    if (s->plan.refuse) {
        p->status = p->answered = BOOKS_REFUSED;
        p->retriable = s->plan.retriable;
        (void)snprintf(p->code, sizeof(p->code), "%s", s->plan.code);
        (void)snprintf(p->text, sizeof(p->text), "%s", s->plan.text);
        return;
    }
    p->status = now ? BOOKS_SETTLED : BOOKS_ACCEPTED;
    p->answered = o->sync_settle ? BOOKS_SETTLED : BOOKS_ACCEPTED;
    p->settle_due_us = now ? 0 : s->now_us + o->settle_delay_ms * 1000;
    if (s->plan.return_later) {
        p->return_due_us =
            s->now_us + (now ? 0 : o->settle_delay_ms * 1000) + o->return_delay_ms * 1000;
        (void)snprintf(p->code, sizeof(p->code), "%s", s->plan.return_code);
        (void)snprintf(p->text, sizeof(p->text), "%s", s->plan.return_text);
    }
}

static bool submit_job(books_tx *tx, void *arg, err *e) {
    submission *s = arg;
    bool found = false;
    int64_t tries = 0, refusals = 0;
    if (!books_payment_by_key(tx, s->key, &found, &s->payment, e)) {
        return false;
    }
    if (found) {
        s->conflict = memcmp(s->payment.request_sha256, s->sha256, sizeof(s->sha256)) != 0;
        return true;
    }
    if (!books_tries(tx, s->key, &tries, e) ||
        !books_refusals(tx, s->request.reference, &refusals, e)) {
        return false;
    }
    s->plan = faults_plan_instant(s->bank->o.faults, s->key, s->request.amount, tries, refusals);
    if (s->plan.http_status != 0) {
        return books_tries_add(tx, s->key, e); // so that the same key gets through some time
    }
    s->first = true;
    fill_payment(s);
    if (!books_payment_insert(tx, &s->payment, e)) {
        return false;
    }
    return s->payment.status == BOOKS_ACCEPTED ||
           instant_enter(s->bank, tx, &s->payment, s->now_us, e);
}

static void answer_text(const http_request *r, http_response *out, int status, const strbuf *json) {
    char *copy = strbuf_ok(json) ? arena_strndup(r->arena, json->ptr, json->len) : NULL;
    out->status = copy == NULL ? 500 : status;
    out->body = copy == NULL ? STR("{\"error\":\"internal\"}") : (str){copy, json->len};
}

static void answer_error(http_response *out, int status, str body) {
    out->status = status;
    out->body = body;
}

static void answer_payment(const http_request *r, http_response *out, int status,
                           const books_payment *p, books_status shown) {
    char memory[INSTANT_JSON_MAX];
    strbuf json;
    strbuf_init_fixed(&json, memory, sizeof(memory));
    instant_payment_json(p, shown, &json);
    answer_text(r, out, status, &json);
}

static void answer_invalid(const http_request *r, http_response *out, const err *e) {
    char memory[INSTANT_JSON_MAX];
    strbuf json;
    strbuf_init_fixed(&json, memory, sizeof(memory));
    strbuf_add_c(&json, "{\"error\":\"invalid\",\"field\":");
    strbuf_add_json(&json, str_of(e->field));
    strbuf_add_c(&json, ",\"message\":");
    strbuf_add_json(&json, str_of(e->message));
    strbuf_add_char(&json, '}');
    answer_text(r, out, 400, &json);
}

void instant_wait(instant *i, int64_t ms) {
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&i->lock);
    while (!i->stop && pthread_cond_timedwait(&i->changed, &i->lock, &until) == 0) {
    }
    pthread_mutex_unlock(&i->lock);
}

static void answer_submission(instant *i, const http_request *r, const submission *s,
                              http_response *out) {
    if (s->conflict) {
        answer_error(out, 409,
                     STR("{\"error\":\"key_reused\",\"message\":\"this key was used for another "
                         "payment\"}"));
        return;
    }
    if (s->plan.http_status != 0) {
        answer_error(out, s->plan.http_status,
                     STR("{\"error\":\"unavailable\",\"message\":\"nothing was taken\"}"));
        return;
    }
    if (s->plan.slow_ms > 0) {
        instant_wait(i, s->plan.slow_ms);
    }
    out->drop = s->plan.drop_answer;
    answer_payment(r, out, s->first ? 201 : 200, &s->payment, s->payment.answered);
}

static void post_payment(instant *i, const http_request *r, http_response *out) {
    submission s = {.bank = i,
                    .key = http_request_header(r, "Idempotency-Key"),
                    .now_us = clock_wall_us(i->o.clock)};
    char hex[33];
    err e = {0};
    if (!instant_is_key(s.key)) {
        (void)err_set_field(&e, ERR_INVALID_ARGUMENT, "INVALID", "Idempotency-Key",
                            "must be 64 lower-case hex digits");
        answer_invalid(r, out, &e);
        return;
    }
    if (!instant_request_parse(r->body, i->o.amount_max, &s.request, &e)) {
        answer_invalid(r, out, &e);
        return;
    }
    crypto_sha256(r->body.ptr, r->body.len, s.sha256);
    uuid id = uuid_v7(i->o.clock);
    str_hex(id.b, sizeof(id.b), hex);
    (void)snprintf(s.payment_id, sizeof(s.payment_id), "pay_%s", hex);
    if (!books_write(i->o.books, submit_job, &s, &e)) {
        log_err(LOG_ERROR, "instant.submit_failed", &e);
        answer_error(out, 503,
                     STR("{\"error\":\"unavailable\",\"message\":\"nothing was taken\"}"));
        return;
    }
    if (s.first) {
        instant_wake(i);
    }
    answer_submission(i, r, &s, out);
}

typedef struct lookup {
    str key;
    bool found;
    books_payment payment;
} lookup;

static bool look_up(books_tx *tx, void *arg, err *e) {
    lookup *l = arg;
    return books_payment_by_key(tx, l->key, &l->found, &l->payment, e);
}

static void get_payment(instant *i, const http_request *r, http_response *out) {
    lookup l = {.key = {r->path.ptr + strlen(PATH_BY_KEY), r->path.len - strlen(PATH_BY_KEY)}};
    err e = {0};
    if (!instant_is_key(l.key)) {
        (void)err_set_field(&e, ERR_INVALID_ARGUMENT, "INVALID", "key",
                            "must be 64 lower-case hex digits");
        answer_invalid(r, out, &e);
        return;
    }
    if (!books_read(i->o.books, BOOKS_LANE_QUERY, look_up, &l, &e)) {
        log_err(LOG_ERROR, "instant.query_failed", &e);
        answer_error(out, 503, STR("{\"error\":\"unavailable\"}"));
        return;
    }
    if (!l.found) {
        answer_error(out, 404, STR("{\"error\":\"not_found\"}"));
        return;
    }
    answer_payment(r, out, 200, &l.payment, l.payment.status);
}

// Equal length for equal time: what is compared is the hash of both.
static bool is_authorized(const instant *i, const http_request *r) {
    static const char SCHEME[] = "Bearer ";
    str given = http_request_header(r, "Authorization");
    uint8_t a[32], b[32];
    if (given.len <= strlen(SCHEME) || memcmp(given.ptr, SCHEME, strlen(SCHEME)) != 0) {
        return false;
    }
    crypto_sha256(given.ptr + strlen(SCHEME), given.len - strlen(SCHEME), a);
    crypto_sha256(i->o.api_key.ptr, i->o.api_key.len, b);
    return crypto_equal(a, b, sizeof(a));
}

void instant_handle(void *arg, const http_request *r, http_response *out) {
    instant *i = arg;
    bool by_key = r->path.len > strlen(PATH_BY_KEY) &&
                  memcmp(r->path.ptr, PATH_BY_KEY, strlen(PATH_BY_KEY)) == 0;
    if (!is_authorized(i, r)) {
        answer_error(out, 401, STR("{\"error\":\"unauthorized\"}"));
    } else if (by_key && str_eq_c(r->method, "GET")) {
        get_payment(i, r, out);
    } else if (str_eq_c(r->path, PATH_PAYMENTS) && str_eq_c(r->method, "POST")) {
        post_payment(i, r, out);
    } else if (by_key || str_eq_c(r->path, PATH_PAYMENTS)) {
        answer_error(out, 405, STR("{\"error\":\"method_not_allowed\"}"));
    } else {
        answer_error(out, 404, STR("{\"error\":\"no_such_path\"}"));
    }
}
