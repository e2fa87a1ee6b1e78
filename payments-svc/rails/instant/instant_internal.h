// What the files of the instant rail share. Nobody outside of this folder includes it.
#ifndef INSTANT_INSTANT_INTERNAL_H
#define INSTANT_INSTANT_INTERNAL_H

#include "base/metrics.h"
#include "crypto/crypto.h"
#include "http/http.h"
#include "rails/instant/instant_rail.h"

enum {
    INSTANT_RESPONSE_MAX = 64 * 1024,
    INSTANT_TEXT_MAX = 200, // characters of a code, text or id that we keep
    INSTANT_DB_TIMEOUT_MS = 5000,
    WEBHOOK_BODY_MAX = 64 * 1024,
    WEBHOOK_THREADS = 4
};

typedef struct instant_rail {
    rail base;
    instant_settings settings;
    db_pool *pool;
    const clock_source *clock;
    http_client *client;
    char *authorization; // "Authorization: Bearer …"; wiped at the end, never logged
    char *webhook_secret;
    size_t webhook_secret_len;
    metric *verdicts[RAIL_RETURNED + 1];

    http_server *webhook;
    rail_wake wake;
    void *wake_arg;
    metric *hooks_ok, *hooks_refused, *hooks_failed;
} instant_rail;

// instant_answer.c: what the bank says, as data. Pure.
typedef enum payment_status {
    PAYMENT_ACCEPTED = 1,
    PAYMENT_SETTLED,
    PAYMENT_REFUSED,
    PAYMENT_RETURNED
} payment_status;

typedef struct payment {
    payment_status status;
    char key[65];
    int64_t amount;
    char currency[4];
    bool retriable;
    str payment_id, code, text, reference; // @arena
} payment;

// A payment object; unknown members are ignored. INVALID_ARGUMENT with the member at fault.
bool payment_parse(str json, arena *a, payment *out, err *e) WARN_UNUSED;
// A webhook's body: {"type":"payment.…","timestamp":…,"data":{…}}. *known is false for types that are none of ours; then
// only the type was looked at.
bool webhook_parse(str json, arena *a, bool *known, payment *out, int64_t *at_us,
                   err *e) WARN_UNUSED;
// Fills the verdict (and code, text, reference) of an item from one exchange.
void answer_to_submit(const http_exchange *x, rail_item *item, arena *a);
void answer_to_query(const http_exchange *x, rail_item *item, arena *a);
// The body of POST /v1/payments. {0} when it does not fit into the arena. The same item always gives the same bytes, so
// that a repeat under the same key is the same request.
str payment_request(int64_t book_id, const rail_item *item, arena *a);
// "<book>/<intent uuid>"
bool reference_parse(str reference, int64_t *book_id, uuid *intent_id) WARN_UNUSED;

// webhook.c
void webhook_handle(void *arg, const http_request *request,
                    http_response *response); // arg: the instant_rail

#endif
