// The handler of the HTTPS interface.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/uuid.h"
#include "crypto/crypto.h"
#include "instant/instant_internal.h"

static const char PATH_PAYMENTS[] = "/v1/payments";
static const char PATH_BY_KEY[] = "/v1/payments/by-key/";

// A POST that waits for the writer of the books.
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
    habits_config habits;
} submission;

static void fill_payment(submission *s) {
    const instant_options *o = &s->bank->o;
    books_payment *p = &s->payment;
    *p = (books_payment){.amount = s->request.amount,
                         .created_us = s->now_us,
                         .webhooks = s->plan.webhooks,
                         .webhook_delay_us = s->plan.webhook_delay_ms * 1000,
                         .returns = (int)s->plan.returns,
                         .oddity = (int)s->plan.oddity};
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

// Counts refusals that were not stored, by reference, so that a temporary refusal ends some time.
static void forgotten_name(const submission *s, char out[BOOKS_REFERENCE_MAX + 16]) {
    (void)snprintf(out, BOOKS_REFERENCE_MAX + 16, "refused %s", s->request.reference);
}

static bool plan_submission(submission *s, books_tx *tx, err *e) {
    int64_t tries = 0, refusals = 0, forgotten = 0;
    char name[BOOKS_REFERENCE_MAX + 16];
    forgotten_name(s, name);
    if (!books_tries(tx, s->key, &tries, e) ||
        !books_refusals(tx, s->request.reference, &refusals, e) ||
        !books_tries(tx, str_of(name), &forgotten, e)) {
        return false;
    }
    s->plan = faults_plan_instant(s->bank->o.faults, s->key, s->request.amount, tries,
                                  refusals + forgotten);
    return true;
}

static bool add_creditor(const submission *s, books_tx *tx, err *e) {
    const instant_request *r = &s->request;
    books_creditor_row c = {.rail = BOOKS_RAIL_INSTANT,
                            .item = s->payment.id,
                            .account_type = r->savings ? "savings" : "checking",
                            .description = str_of(r->description)};
    who_hash(s->bank->o.who, str_of(r->routing), str_of(r->account), str_of(r->name), c.who);
    return books_creditor(tx, &c, e);
}

// A bank that judges a payment before it looks the key up: a repeat is a duplicate, whatever became of the first.
static void refuse_repeat(submission *s) {
    s->payment.answered = BOOKS_REFUSED;
    s->payment.retriable = false;
    (void)snprintf(s->payment.code, sizeof(s->payment.code), "AM05");
    (void)snprintf(s->payment.text, sizeof(s->payment.text), "duplicate payment");
}

static bool submit_job(books_tx *tx, void *arg, err *e) {
    submission *s = arg;
    bool found = false;
    if (!books_payment_by_key(tx, s->key, &found, &s->payment, e)) {
        return false;
    }
    if (found) {
        s->conflict = memcmp(s->payment.request_sha256, s->sha256, sizeof(s->sha256)) != 0;
        if (!s->conflict && s->habits.key_first == 0) {
            refuse_repeat(s);
        }
        return true;
    }
    if (!plan_submission(s, tx, e)) {
        return false;
    }
    if (s->plan.http_status != 0) {
        return books_tries_add(tx, s->key, e); // so that this key succeeds some time
    }
    s->first = true;
    fill_payment(s);
    if (s->plan.refuse && s->habits.refusals_stored == 0) {
        char name[BOOKS_REFERENCE_MAX + 16];
        forgotten_name(s, name);
        return books_tries_add(tx, str_of(name), e);
    }
    if (!books_payment_insert(tx, &s->payment, e) || !add_creditor(s, tx, e)) {
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
    const struct timespec until = cond_after_ms(ms);
    pthread_mutex_lock(&i->lock);
    while (!i->stop && cond_wait_until(&i->changed, &i->lock, &until)) {
    }
    pthread_mutex_unlock(&i->lock);
}

typedef struct telling {
    char message_id[INSTANT_MESSAGE_ID_MAX];
    bool untried;
} telling;

static bool is_untried(books_tx *tx, void *arg, err *e) {
    telling *t = arg;
    return books_webhook_untried(tx, t->message_id, &t->untried, e);
}

// Waits until delivery of the payment's first webhook was tried.
static void wait_until_told(instant *i, const books_payment *p) {
    enum { STEP_MS = 10, STEPS_MAX = 500 };
    telling t = {.untried = true};
    err e = {0};
    instant_message_id(p, t.message_id);
    for (int n = 0; n < STEPS_MAX && t.untried; n++) {
        if (!books_read(i->o.books, BOOKS_LANE_QUERY, is_untried, &t, &e)) {
            log_err(LOG_ERROR, "instant.query_failed", &e);
            return;
        }
        if (t.untried) {
            instant_wait(i, STEP_MS);
        }
    }
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
    if (s->first && s->plan.oddity == FAULTS_TOLD_BEFORE) {
        wait_until_told(i, &s->payment);
    }
    out->drop = s->plan.drop_answer;
    answer_payment(r, out, s->first ? 201 : 200, &s->payment, s->payment.answered);
}

static void post_payment(instant *i, const http_request *r, http_response *out) {
    submission s = {.bank = i,
                    .key = http_request_header(r, "Idempotency-Key"),
                    .now_us = clock_wall_us(i->o.clock),
                    .habits = habits_get(i->o.habits)};
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
    int64_t asked; // number of earlier queries
    books_payment payment;
} lookup;

static bool look_up(books_tx *tx, void *arg, err *e) {
    lookup *l = arg;
    return books_payment_by_key(tx, l->key, &l->found, &l->payment, e);
}

static bool count_query(books_tx *tx, void *arg, err *e) {
    lookup *l = arg;
    char name[BOOKS_KEY_LEN + 16];
    (void)snprintf(name, sizeof(name), "asked %.*s", (int)l->key.len, l->key.ptr);
    return books_tries(tx, str_of(name), &l->asked, e) && books_tries_add(tx, str_of(name), e);
}

// Does the copy of the books that answers queries lag behind the copy that takes payments?
static bool lags(instant *i, lookup *l, err *e) {
    habits_config h = habits_get(i->o.habits);
    int64_t age_us = clock_wall_us(i->o.clock) - l->payment.created_us;
    if (h.query_lag_count == 0) {
        return age_us < h.query_lag_ms * 1000;
    }
    // If the count cannot be written, the query does not pretend to lag.
    return books_write(i->o.books, count_query, l, e) &&
           (l->asked < h.query_lag_count || age_us < h.query_lag_ms * 1000);
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
    if (!l.found || lags(i, &l, &e)) {
        answer_error(out, 404, STR("{\"error\":\"not_found\"}"));
        return;
    }
    answer_payment(r, out, 200, &l.payment, l.payment.status);
}

// Compares hashes, which have equal length, so that the comparison takes equal time.
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
