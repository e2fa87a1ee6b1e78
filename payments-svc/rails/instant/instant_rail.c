#include "rails/instant/instant_rail.h"
#include "domain/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/crash.h"
#include "base/log.h"
#include "rails/instant/instant_internal.h"

enum {
    CONNECT_TIMEOUT_MS = 2000,
    API_KEY_LEN_MAX = 512,
    WEBHOOK_SECRET_LEN_MAX = 512,
    ITEMS_PER_CONNECTION = 4, // per submit, so that a batch ends well within its lease
};
#define CURRENCIES "INR,USD"
#define AMOUNT_MAX INT64_C(1000000000) // 10 M in both currencies: the networks' own limit

static instant_rail *self_of(rail *r) {
    return r->self;
}

// --- Submit and query ------------------------------------------------------------------------------------------------

static void no_memory(rail_item *items, size_t n, rail_verdict verdict) {
    for (size_t i = 0; i < n; i++) {
        items[i].verdict = verdict;
        items[i].code = STR("TOO_LARGE");
        items[i].text = STR("no memory for the request");
    }
}

static void count(instant_rail *r, const rail_item *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        metric_add(r->verdicts[items[i].verdict], 1);
    }
}

static bool build_posts(const instant_rail *r, int64_t book_id, const rail_item *items, size_t n,
                        http_exchange *x, arena *a) {
    const char *url = arena_printf(a, "%s/v1/payments", r->settings.url);
    for (size_t i = 0; url != NULL && i < n; i++) {
        const char **headers = ARENA_ARRAY(a, const char *, 4);
        const char *key = arena_printf(a, "Idempotency-Key: %s", items[i].key);
        str body = payment_request(book_id, &items[i], a);
        if (headers == NULL || key == NULL || body.len == 0) {
            return false;
        }
        headers[0] = r->authorization;
        headers[1] = key;
        headers[2] = "Content-Type: application/json";
        x[i] = (http_exchange){.method = "POST", .url = url, .headers = headers, .body = body};
    }
    return url != NULL;
}

static void instant_submit(rail *base, int64_t book_id, rail_item *items, size_t n,
                           const _Atomic int64_t *until_boot_ms, arena *a) {
    instant_rail *r = self_of(base);
    http_exchange *x = ARENA_ARRAY(a, http_exchange, n);
    if (x == NULL || !build_posts(r, book_id, items, n, x, a)) {
        no_memory(items, n, RAIL_NOT_SENT);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        x[i].until_boot_ms = until_boot_ms;
    }
    CRASH_POINT("instant.post.begin");
    http_client_run(r->client, x, n, a);
    CRASH_POINT("instant.post.answered");
    for (size_t i = 0; i < n; i++) {
        answer_to_submit(&x[i], &items[i], a);
    }
    count(r, items, n);
}

static void instant_query(rail *base, int64_t book_id, rail_item *items, size_t n, arena *a) {
    (void)book_id;
    instant_rail *r = self_of(base);
    http_exchange *x = ARENA_ARRAY(a, http_exchange, n);
    const char **headers = ARENA_ARRAY(a, const char *, 2);
    bool ok = x != NULL && headers != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        x[i] = (http_exchange){.method = "GET", .headers = headers};
        x[i].url = arena_printf(a, "%s/v1/payments/by-key/%s", r->settings.url, items[i].key);
        ok = x[i].url != NULL;
    }
    if (!ok) {
        no_memory(items, n, RAIL_UNKNOWN);
        return;
    }
    headers[0] = r->authorization;
    http_client_run(r->client, x, n, a);
    for (size_t i = 0; i < n; i++) {
        answer_to_query(&x[i], &items[i], a);
    }
}

// --- Life ------------------------------------------------------------------------------------------------------------

typedef struct labels {
    char text[128];
} labels;

static labels labels_of(const char *name, const char *key, const char *value) {
    labels l;
    const int n = snprintf(l.text, sizeof l.text, "connection=\"%s\",%s=\"%s\"", name, key, value);
    ASSERT(n > 0 && (size_t)n < sizeof l.text);
    return l;
}

static metric *hooks(const char *name, const char *result) {
    const labels l = labels_of(name, "result", result);
    return metric_counter("instant_webhooks_total", l.text, "webhooks from the instant bank");
}

static void make_metrics(instant_rail *r, const char *name) {
    static const char *const VERDICTS[] = {[RAIL_NOT_SENT] = "not_sent",
                                           [RAIL_ACCEPTED] = "accepted",
                                           [RAIL_SETTLED] = "settled",
                                           [RAIL_REFUSED] = "refused",
                                           [RAIL_REFUSED_RETRY] = "refused_retry",
                                           [RAIL_UNKNOWN] = "unknown",
                                           [RAIL_RETURNED] = "returned"};
    for (int i = RAIL_NOT_SENT; i <= RAIL_RETURNED; i++) {
        const labels l = labels_of(name, "verdict", VERDICTS[i]);
        r->verdicts[i] = metric_counter("instant_items_total", l.text,
                                        "instant payments by the verdict of submit");
    }
    char own[128];
    (void)snprintf(own, sizeof own, "connection=\"%s\"", name);
    r->asked_again = metric_counter("instant_asked_again_total", own,
                                    "settled payments that were asked for again");
    r->asked_late = metric_gauge("instant_asked_late_seconds", own,
                                 "how long the first payment waits whose question is due, and "
                                 "for which a look had no room");
    r->hooks_ok = hooks(name, "ok");
    r->hooks_refused = hooks(name, "refused");
    r->hooks_failed = hooks(name, "failed");
}

// Makes the header with the key. The key must fit into a header line, whatever the file has.
static bool read_api_key(instant_rail *r, err *e) {
    char *key = NULL;
    size_t len = 0;
    if (!config_read_secret(r->settings.api_key_file, API_KEY_LEN_MAX, &key, &len, e)) {
        return false;
    }
    bool ok = len > 0;
    for (size_t i = 0; i < len; i++) {
        ok = ok && key[i] > 0x20 && key[i] < 0x7f;
    }
    if (ok) {
        size_t size = sizeof "Authorization: Bearer " + len;
        r->authorization = calloc(1, size);
        ASSERT(r->authorization != NULL);
        snprintf(r->authorization, size, "Authorization: Bearer %.*s", (int)len, key);
    }
    config_wipe(key, len);
    return ok || err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "instant.api_key_file",
                               "instant.api_key_file must hold one line of printable ASCII");
}

static bool open_client(instant_rail *r, err *e) {
    const instant_settings *s = &r->settings;
    if (s->sweep_ms < 1 || s->ask_again_ms < 1 || s->returns_days < 1) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "instant.returns_days",
                             "instant.sweep_ms, ask_again_ms and returns_days must be positive");
    }
    if (s->bank_account != NULL && !rule_bank_account(str_of(s->bank_account))) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "instant.bank_account",
                             "instant.bank_account must have 1 to 32 of a-z, 0-9, - and _");
    }
    // The client opens the file at its first connection, and would fail only then.
    if (s->ca_file != NULL && s->ca_file[0] != '\0' && access(s->ca_file, R_OK) != 0) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "instant.ca_file",
                             "instant.ca_file cannot be read: %.150s", s->ca_file);
    }
    if (!rule_fees(s->fees, CURRENCIES)) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "instant.fees",
                             "instant.fees must be sums in " CURRENCIES ", such as USD 0.25, "
                             "some-merchant USD 0.10");
    }
    if (s->connections < 1 || s->connections > 1024 || s->timeout_ms < 1) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", "instant.connections",
                             "instant.connections or instant.timeout_ms is out of range");
    }
    const http_client_options options = {
        .ca_file = s->ca_file,
        .connect_timeout_ms =
            s->timeout_ms < CONNECT_TIMEOUT_MS ? s->timeout_ms : CONNECT_TIMEOUT_MS,
        .total_timeout_ms = s->timeout_ms,
        .max_connections = (int)s->connections,
        .response_max = INSTANT_RESPONSE_MAX,
    };
    r->client = http_client_create(&options, e);
    return r->client != NULL;
}

rail *instant_rail_create(int number, const char *name, const instant_settings *settings,
                          db_pool *pool, const clock_source *clock, err *e) {
    instant_rail *r = calloc(1, sizeof *r);
    ASSERT(r != NULL);
    r->settings = *settings;
    r->pool = pool;
    r->clock = clock;
    make_metrics(r, name);
    bool ok = read_api_key(r, e) &&
              config_read_secret(settings->webhook_secret_file, WEBHOOK_SECRET_LEN_MAX,
                                 &r->webhook_secret, &r->webhook_secret_len, e) &&
              open_client(r, e);
    if (!ok) {
        r->base.self = r;
        instant_rail_destroy(&r->base);
        return NULL;
    }
    r->base = (rail){
        .id = number,
        .scheme = RAIL_INSTANT,
        .name = name,
        .bank_account = settings->bank_account,
        .fees = settings->fees,
        .currencies = CURRENCIES,
        .amount_max = AMOUNT_MAX,
        .batch_max = (int)settings->connections * ITEMS_PER_CONNECTION,
        .gather_ms = 0,
        .query_lag_ms = settings->query_lag_ms,
        .call_ms = settings->timeout_ms,
        .instruments = "us_bank,in_bank",
        .finality = "Final within seconds; there is no return except when the receiver's bank "
                    "sends the money back.",
        .settlement = "answer",
        .submit = instant_submit,
        .query = instant_query,
        .self = r,
    };
    return &r->base;
}

void instant_rail_use_inbox(rail *base, inbox *box) {
    instant_rail *r = self_of(base);
    ASSERT(r->box == NULL);
    r->box = box;
    const inbox_reader reader = {.connection = base->id,
                                 .read = instant_read,
                                 .also = instant_also,
                                 .ask = instant_ask,
                                 .self = r};
    inbox_listen(box, &reader);
}

bool instant_rail_start_sweep(rail *base, err *e) {
    instant_rail *r = self_of(base);
    ASSERT(r->sweeper == NULL && r->box != NULL);
    r->sweeper = ticker_start(r->settings.sweep_ms, instant_sweep_look, r);
    return r->sweeper != NULL ||
           err_set(e, ERR_RESOURCE_EXHAUSTED, "NO_THREAD", "the sweep's thread cannot be started");
}

bool instant_rail_start_webhook(rail *base, const char *cert_file, const char *key_file, err *e) {
    instant_rail *r = self_of(base);
    ASSERT(r->webhook == NULL && r->box != NULL);
    const http_server_options options = {
        .address = "127.0.0.1",
        .port = (int)r->settings.webhook_port,
        .cert_file = cert_file,
        .key_file = key_file,
        .n_threads = WEBHOOK_THREADS,
        .body_max = WEBHOOK_BODY_MAX,
        .handler = webhook_handle,
        .arg = r,
    };
    r->webhook = http_server_start(&options, e);
    return r->webhook != NULL;
}

bool instant_rail_webhook_certificate(rail *base, const char *cert_file, const char *key_file,
                                      err *e) {
    const instant_rail *r = self_of(base);
    return r->webhook == NULL || cert_file == NULL ||
           http_server_certificate(r->webhook, cert_file, key_file, e);
}

int instant_rail_webhook_port(const rail *base) {
    const instant_rail *r = base->self;
    return r->webhook == NULL ? 0 : http_server_port(r->webhook);
}

void instant_rail_destroy(rail *base) {
    if (base == NULL) {
        return;
    }
    instant_rail *r = self_of(base);
    ticker_stop(r->sweeper);
    http_server_stop(r->webhook);
    if (r->box != NULL) {
        inbox_unlisten(r->box, base->id);
    }
    if (r->client != NULL) {
        http_client_destroy(r->client);
    }
    config_wipe(r->authorization, str_of(r->authorization).len);
    config_wipe(r->webhook_secret, r->webhook_secret_len);
    free(r);
}
