// Shared by the files of the instant room.
#ifndef INSTANT_INSTANT_INTERNAL_H
#define INSTANT_INSTANT_INTERNAL_H

#include <pthread.h>

#include "http/http.h"
#include "instant/instant.h"

enum {
    INSTANT_BODY_MAX = 16 * 1024,
    INSTANT_URL_MAX = 256,
    INSTANT_DUE_MAX = 256,   // payments or webhooks of one round
    INSTANT_JSON_MAX = 2048, // one payment object
    INSTANT_NAME_MAX = 140,
    INSTANT_DESCRIPTION_MAX = 140,
    INSTANT_ROUTING_MAX = 16,
    INSTANT_ACCOUNT_MAX = 32,
    INSTANT_MESSAGE_ID_MAX = 64
};

struct instant {
    instant_options o;
    http_server *server;
    http_client *client;
    pthread_t thread; // settles and returns due payments, and sends webhooks
    bool thread_runs;
    pthread_mutex_t lock; // guards stop, wake, webhook_url
    pthread_cond_t changed;
    bool stop, wake;
    char webhook_url[INSTANT_URL_MAX];
};

// A request with valid fields. The bank keeps only a hash of the creditor's details.
typedef struct instant_request {
    int64_t amount;
    char currency[4];
    char reference[BOOKS_REFERENCE_MAX + 1];
    char name[INSTANT_NAME_MAX + 1], routing[INSTANT_ROUTING_MAX], account[INSTANT_ACCOUNT_MAX];
    char description[INSTANT_DESCRIPTION_MAX + 1];
    bool savings;
} instant_request;

// request.c: INVALID_ARGUMENT with the field.
bool instant_request_parse(str body, int64_t amount_max, instant_request *out, err *e) WARN_UNUSED;
bool instant_is_key(str key); // 64 lower-case hex digits

// payments.c
void instant_handle(void *arg, const http_request *r, http_response *out);
// Waits, or returns early at a stop.
void instant_wait(instant *i, int64_t ms);

// tell.c
void instant_payment_json(const books_payment *p, books_status shown, strbuf *out);
// In the writer of the books: enters p->status, moves the money, and queues the webhook.
bool instant_enter(instant *i, books_tx *tx, books_payment *p, int64_t now_us, err *e) WARN_UNUSED;
// The id of the webhook's message for this status.
void instant_message_id(const books_payment *p, char out[INSTANT_MESSAGE_ID_MAX]);

// webhooks.c
bool instant_settle_due(instant *i, int64_t *next_us, err *e) WARN_UNUSED;
bool instant_webhooks_due(instant *i, int64_t *next_us, err *e) WARN_UNUSED;

#endif
