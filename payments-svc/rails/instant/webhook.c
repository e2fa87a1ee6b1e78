// The bank's webhooks: verified, recorded raw, applied. Answered with 2xx once recorded: then the bank has done its part, whatever they
// say. The bank resends a message that was not recorded.
#include <stdio.h>
#include <string.h>

#include "base/crash.h"
#include "base/log.h"
#include "rails/instant/instant_internal.h"

enum { BOOK_TIMEOUT_MS = 10 * 1000 };

static const char PATH[] = "/webhooks/instant";

static void answer(http_response *out, int status, const char *body) {
    out->status = status;
    out->body = str_of(body);
}

// All checks that need no look into the message. False: answered.
static bool verify(const instant_rail *r, const http_request *request, http_response *response) {
    err e = {0};
    const int64_t now_s = clock_wall_us(r->clock) / 1000000;
    if (!str_eq_c(request->path, PATH)) {
        answer(response, 404, "{\"error\":\"not_found\"}");
        return false;
    }
    if (!str_eq_c(request->method, "POST")) {
        answer(response, 405, "{\"error\":\"method\"}");
        return false;
    }
    if (!crypto_webhook_verify((str){r->webhook_secret, r->webhook_secret_len},
                               http_request_header(request, "webhook-id"),
                               http_request_header(request, "webhook-timestamp"),
                               http_request_header(request, "webhook-signature"), request->body,
                               now_s, &e)) {
        static log_gate gate;
        if (log_gate_pass(&gate, "webhook.unverified", clock_mono_ms(r->clock))) {
            log_warn("webhook.unverified", F_STR("reason", e.reason), F_STR("why", e.message));
        }
        answer(response, 401, "{\"error\":\"signature\"}");
        return false;
    }
    CRASH_POINT("webhook.verified");
    return true;
}

// The book that its reference names, if any: then it lies with its payout.
static int64_t named_book(const http_request *request) {
    payment p = {0};
    bool known = false;
    int64_t at_us = 0, book_id = 0;
    uuid intent_id;
    err e = {0};
    const bool named = webhook_parse(request->body, request->arena, &known, &p, &at_us, &e) &&
                       reference_parse(p.reference, &book_id, &intent_id);
    return named ? book_id : 0;
}

typedef struct asking {
    int64_t book_id;
    bool has;
} asking;

static bool has_book(db_conn *c, arena *a, void *arg, err *e) {
    asking *x = arg;
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, x->book_id);
    if (!db_exec(c, &INSTANT_SQL[INSTANT_SQL_HAS_BOOK], p, a, &rows, NULL, e)) {
        return false;
    }
    x->has = db_count(rows) > 0;
    return true;
}

// A bank may write any number. An unknown book would become a new book of the inbox, and all lists go through all books.
static bool book_of(const instant_rail *r, const http_request *request, int64_t *book_id, err *e) {
    asking x = {.book_id = named_book(request)};
    if (x.book_id != 0 && !db_read(r->pool, clock_mono_ms(r->clock) + BOOK_TIMEOUT_MS,
                                   request->arena, has_book, &x, e)) {
        return false;
    }
    *book_id = x.has ? x.book_id : 0;
    return true;
}

// The bank will resend it.
static void unavailable(instant_rail *r, http_response *response, const err *e) {
    log_err(LOG_WARN, "webhook.not_recorded", e);
    metric_add(r->hooks_failed, 1);
    answer(response, 503, "{\"error\":\"unavailable\"}");
}

static void take(instant_rail *r, const http_request *request, http_response *response) {
    int64_t said_s = 0;
    (void)!str_to_i64(http_request_header(request, "webhook-timestamp"), 0, INT64_MAX / 1000000,
                      &said_s); // verified
    err e = {0};
    int64_t book_id = 0;
    if (!book_of(r, request, &book_id, &e)) {
        unavailable(r, response, &e);
        return;
    }
    const inbox_raw raw = {.book_id = book_id,
                           .connection = r->base.id,
                           .kind = INBOX_MESSAGE,
                           .name = http_request_header(request, "webhook-id"),
                           .bytes = request->body,
                           .said_us = said_s * 1000000};
    inbox_ref ref;
    if (!inbox_record(r->box, &raw, &ref, &e)) {
        unavailable(r, response, &e);
        return;
    }
    CRASH_POINT("webhook.recorded");
    metric_add(r->hooks_ok, 1);
    answer(response, 200, "{}");
    // If this fails, the sweep's thread applies it.
    if (ref.state == INBOX_RECORDED && !inbox_apply(r->box, ref.book_id, ref.inbox_id, &e)) {
        log_err(LOG_WARN, "webhook.not_applied", &e);
    }
}

void webhook_handle(void *arg, const http_request *request, http_response *response) {
    instant_rail *r = arg;
    log_ctx_clear();
    if (verify(r, request, response)) {
        take(r, request, response);
    } else {
        metric_add(r->hooks_refused, 1);
    }
    log_ctx_clear();
}
