// The bank's webhooks: verified, understood, recorded; answered with 2xx only after COMMIT, so that the bank sends again
// whatever we may have lost.
#include <stdio.h>
#include <string.h>

#include "base/crash.h"
#include "base/log.h"
#include "domain/ids.h"
#include "rails/instant/instant_internal.h"

static const char PATH[] = "/webhooks/instant";
enum { EVENT_ID_LEN_MAX = 200, ATTEMPTS_MAX = 1000 };

// The row of a saga has the attempts whose outcome is known; one that is under way is in the log, and the bank may speak of it.
static const db_stmt FIND_PAYOUT = {
    "instant_find_payout",
    "SELECT greatest(s.attempt, l.attempt), p.amount, p.currency, p.payout_id FROM payout p"
    " JOIN saga s ON s.book_id = p.book_id AND s.payout_id = p.payout_id"
    " LEFT JOIN step_log l ON l.book_id = s.book_id AND l.payout_id = s.payout_id"
    " AND l.seq = s.log_seq + 1 WHERE p.book_id = $1 AND p.intent_id = $2 AND s.rail = 2"};

typedef struct delivery {
    str id; // webhook-id
    payment payment;
    int64_t at_us;
    int64_t book_id;
    uuid intent_id;
    int status; // the answer; 0: recorded
} delivery;

static void answer(http_response *out, int status, const char *body) {
    out->status = status;
    out->body = str_of(body);
}

// The attempt whose key this is; 0 when it is none of the payout's. The latest is the likeliest.
static int32_t find_attempt(uuid intent_id, int32_t attempts, const char *key) {
    char candidate[65];
    for (int32_t attempt = attempts; attempt >= 1 && attempts - attempt < ATTEMPTS_MAX; attempt--) {
        attempt_key(intent_id, attempt, candidate);
        if (strcmp(candidate, key) == 0) {
            return attempt;
        }
    }
    return 0;
}

static bool record(db_conn *c, arena *a, void *arg, err *e) {
    delivery *d = arg;
    d->status = 0;
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, d->book_id);
    db_uuid(p, d->intent_id);
    if (!db_exec(c, &FIND_PAYOUT, p, a, &rows, NULL, e)) {
        return false;
    }
    int32_t attempt = db_count(rows) == 1
                          ? find_attempt(d->intent_id, db_get_i32(rows, 0, 0), d->payment.key)
                          : 0;
    if (attempt == 0) {
        d->status = 404;
        return true;
    }
    if (db_get_i64(rows, 0, 1) != d->payment.amount ||
        !str_eq_c(db_get_str(rows, 0, 2), d->payment.currency)) {
        d->status = 422;
        return true;
    }
    uuid_format(db_get_uuid(rows, 0, 3), log_ctx()->payout_id);
    const rail_event event = {
        .payout_id = db_get_uuid(rows, 0, 3),
        .attempt = attempt,
        .kind = d->payment.status == PAYMENT_SETTLED    ? RAIL_EVENT_SETTLED
                : d->payment.status == PAYMENT_RETURNED ? RAIL_EVENT_RETURNED
                                                        : RAIL_EVENT_REFUSED,
        .event_id = d->id,
        .code = d->payment.code,
        .text = d->payment.text,
        .reference = d->payment.payment_id,
        .at_us = d->at_us,
    };
    return rail_events_record(c, d->book_id, &event, 1, a, e);
}

static bool is_event_id(str id) {
    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] <= 0x20 || id.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return id.len >= 1 && id.len <= EVENT_ID_LEN_MAX;
}

// Everything that can be said without the database. False: answered.
static bool accept_delivery(instant_rail *r, const http_request *request, delivery *d,
                            http_response *response) {
    err e = {0};
    bool known = false;
    int64_t now_s = clock_wall_us(r->clock) / 1000000;
    if (!str_eq_c(request->path, PATH)) {
        answer(response, 404, "{\"error\":\"not_found\"}");
        return false;
    }
    if (!str_eq_c(request->method, "POST")) {
        answer(response, 405, "{\"error\":\"method\"}");
        return false;
    }
    d->id = http_request_header(request, "webhook-id");
    if (!crypto_webhook_verify((str){r->webhook_secret, r->webhook_secret_len}, d->id,
                               http_request_header(request, "webhook-timestamp"),
                               http_request_header(request, "webhook-signature"), request->body,
                               now_s, &e)) {
        log_warn("webhook.unverified", F_STR("reason", e.reason), F_STR("why", e.message));
        answer(response, 401, "{\"error\":\"signature\"}");
        return false;
    }
    CRASH_POINT("webhook.verified");
    if (!is_event_id(d->id) ||
        !webhook_parse(request->body, request->arena, &known, &d->payment, &d->at_us, &e)) {
        log_error("webhook.malformed", F_STR("why", e.message));
        answer(response, 400, "{\"error\":\"body\"}");
        return false;
    }
    if (!known) {
        answer(response, 200, "{}"); // a type that we did not ask for is no fault of the sender
        return false;
    }
    if (!reference_parse(d->payment.reference, &d->book_id, &d->intent_id)) {
        answer(response, 404, "{\"error\":\"unknown_payment\"}");
        return false;
    }
    return true;
}

void webhook_handle(void *arg, const http_request *request, http_response *response) {
    instant_rail *r = arg;
    delivery d = {0};
    err e = {0};
    log_ctx_clear();
    if (!accept_delivery(r, request, &d, response)) {
        metric_add(response->status == 200 ? r->hooks_ok : r->hooks_refused, 1);
        return;
    }
    int64_t deadline = clock_mono_ms(r->clock) + INSTANT_DB_TIMEOUT_MS;
    if (!db_transact(r->pool, deadline, request->arena, record, &d, &e)) {
        log_err(LOG_WARN, "webhook.not_recorded", &e);
        metric_add(r->hooks_failed, 1);
        answer(response, 503, "{\"error\":\"unavailable\"}");
    } else if (d.status != 0) {
        log_error("webhook.refused", F_INT("status", d.status), F_STR("id", d.payment.key));
        metric_add(r->hooks_refused, 1);
        answer(response, d.status,
               d.status == 404 ? "{\"error\":\"unknown_payment\"}" : "{\"error\":\"mismatch\"}");
    } else {
        CRASH_POINT("webhook.recorded");
        metric_add(r->hooks_ok, 1);
        log_debug("webhook.recorded");
        if (r->wake != NULL) {
            r->wake(r->wake_arg, d.book_id);
        }
        answer(response, 200, "{}");
    }
    log_ctx_clear();
}
