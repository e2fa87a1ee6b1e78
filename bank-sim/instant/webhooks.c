// Payments' work by the clock: due settlements and returns, and their webhooks.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "instant/instant_internal.h"

// Standard Webhooks proposes hours; a simulator's day is short. After the last try the receiver must ask for the status.
static const int64_t RETRY_MS[] = {100,   250,   500,   1000,  2000,  3000,  5000,
                                   5000,  5000,  5000,  10000, 10000, 10000, 10000,
                                   10000, 20000, 20000, 20000, 30000, 30000};
enum {
    RETRIES = sizeof(RETRY_MS) / sizeof(RETRY_MS[0]),
    HEADER_MAX = 256,
    RESPONSES_MAX = 8 * 1024 * 1024
};

typedef struct due_payments {
    instant *bank;
    int64_t now_us, next_us;
    size_t n;
    books_payment items[INSTANT_DUE_MAX];
} due_payments;

static bool find_payments(books_tx *tx, void *arg, err *e) {
    due_payments *d = arg;
    return books_payments_due(tx, d->now_us, d->items, INSTANT_DUE_MAX, &d->n, &d->next_us, e);
}

static bool advance(due_payments *d, books_tx *tx, books_payment *p, err *e) {
    if (p->status == BOOKS_ACCEPTED) {
        if (p->settle_due_us == 0 || p->settle_due_us > d->now_us + 1) {
            return true; // only its return is due, and waits for the settlement
        }
        p->status = BOOKS_SETTLED;
        p->settle_due_us = 0;
    } else if (p->status == BOOKS_SETTLED && p->return_due_us > 0) {
        p->status = BOOKS_RETURNED;
        p->return_due_us = p->returns == FAULTS_RETURN_HALVES
                               ? d->now_us + 1 + d->bank->o.return_delay_ms * 1000
                               : 0;
    } else if (p->status == BOOKS_RETURNED && p->return_due_us > 0) { // the rest of a split return
        p->return_due_us = 0;
    } else {
        return true;
    }
    return instant_enter(d->bank, tx, p, d->now_us, e) && books_payment_update(tx, p, e);
}

static bool advance_job(books_tx *tx, void *arg, err *e) {
    due_payments *d = arg;
    for (size_t k = 0; k < d->n; k++) {
        if (!advance(d, tx, &d->items[k], e)) {
            return false;
        }
    }
    return true;
}

bool instant_settle_due(instant *i, int64_t *next_us, err *e) {
    due_payments *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return err_no_memory(e, "the list of due payments");
    }
    d->bank = i;
    d->now_us = clock_wall_us(i->o.clock);
    bool ok = books_read(i->o.books, BOOKS_LANE_QUERY, find_payments, d, e);
    if (ok && d->n > 0) {
        ok = books_write(i->o.books, advance_job, d, e);
    }
    *next_us = d->next_us;
    free(d);
    return ok;
}

typedef struct message {
    char headers[5][HEADER_MAX];
    const char *list[6];
} message;

typedef struct round {
    int64_t now_us, next_us;
    size_t n;
    books_webhook hooks[INSTANT_DUE_MAX];
    http_exchange exchanges[INSTANT_DUE_MAX];
    message messages[INSTANT_DUE_MAX];
} round;

static bool find_webhooks(books_tx *tx, void *arg, err *e) {
    round *r = arg;
    return books_webhooks_due(tx, r->now_us, r->hooks, INSTANT_DUE_MAX, &r->n, &r->next_us, e);
}

// Signs with this attempt's timestamp and the message's id.
static bool sign(const instant *i, round *r, size_t k, const char *url) {
    char signature[128];
    int64_t now_s = clock_wall_us(i->o.clock) / 1000000;
    message *m = &r->messages[k];
    str body = str_of(r->hooks[k].body), id = str_of(r->hooks[k].message_id);
    if (!crypto_webhook_sign(i->o.webhook_secret, id, now_s, body, signature, sizeof(signature))) {
        return false;
    }
    (void)snprintf(m->headers[0], HEADER_MAX, "webhook-id: %s", r->hooks[k].message_id);
    (void)snprintf(m->headers[1], HEADER_MAX, "webhook-timestamp: %lld", (long long)now_s);
    (void)snprintf(m->headers[2], HEADER_MAX, "webhook-signature: %s", signature);
    (void)snprintf(m->headers[3], HEADER_MAX, "Content-Type: application/json");
    for (int h = 0; h < 4; h++) {
        m->list[h] = m->headers[h];
    }
    r->exchanges[k] =
        (http_exchange){.method = "POST", .url = url, .headers = m->list, .body = body};
    return true;
}

static bool results_job(books_tx *tx, void *arg, err *e) {
    const round *r = arg;
    for (size_t k = 0; k < r->n; k++) {
        const books_webhook *w = &r->hooks[k];
        int status = r->exchanges[k].status;
        bool delivered = status >= 200 && status <= 299;
        // 410: the receiver refuses the message for good
        bool again = !delivered && status != 410 && w->tries < RETRIES;
        int64_t due_us = again ? r->now_us + RETRY_MS[w->tries] * 1000 : 0;
        if (!books_webhook_result(tx, w->id, delivered, due_us, e)) {
            return false;
        }
    }
    return true;
}

static void log_round(const round *r) {
    for (size_t k = 0; k < r->n; k++) {
        int status = r->exchanges[k].status;
        if (status < 200 || status > 299) {
            log_warn("instant.webhook_failed", F_STR("message_id", r->hooks[k].message_id),
                     F_INT("status", status), F_INT("tries", r->hooks[k].tries + 1),
                     F_STR("why", r->exchanges[k].failure));
        }
    }
}

static bool send_round(instant *i, round *r, const char *url, err *e) {
    for (size_t k = 0; k < r->n; k++) {
        if (!sign(i, r, k, url)) {
            return err_set(e, ERR_INTERNAL, "WEBHOOK_SIGN", "a webhook could not be signed");
        }
    }
    arena *mem = arena_create(RESPONSES_MAX);
    http_client_run(i->client, r->exchanges, r->n, mem);
    r->now_us = clock_wall_us(i->o.clock);
    log_round(r);
    arena_destroy(mem);
    // If the result is lost here, the webhooks are delivered again. Every receiver must bear this.
    return books_write(i->o.books, results_job, r, e);
}

bool instant_webhooks_due(instant *i, int64_t *next_us, err *e) {
    char url[INSTANT_URL_MAX];
    pthread_mutex_lock(&i->lock);
    (void)snprintf(url, sizeof(url), "%s", i->webhook_url);
    pthread_mutex_unlock(&i->lock);
    *next_us = 0;
    if (url[0] == '\0') {
        return true; // the webhooks wait until an address is set
    }
    round *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return err_no_memory(e, "the list of webhooks");
    }
    r->now_us = clock_wall_us(i->o.clock);
    bool ok = books_read(i->o.books, BOOKS_LANE_QUERY, find_webhooks, r, e);
    *next_us = r->next_us;
    if (ok && r->n > 0) {
        ok = send_round(i, r, url, e);
        *next_us = 1; // look again at once: there may be more
    }
    for (size_t k = 0; k < r->n; k++) {
        free(r->hooks[k].body);
    }
    free(r);
    return ok;
}
