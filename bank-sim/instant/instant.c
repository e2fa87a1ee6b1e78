#include "instant/instant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cond.h"
#include "base/log.h"
#include "instant/instant_internal.h"

enum {
    IDLE_MS = 1000,
    PAUSE_MS = 100,
    CONNECT_TIMEOUT_MS = 2000,
    WEBHOOK_TIMEOUT_MS = 5000,
    CONNECTIONS = 32,
    RESPONSE_MAX = 16 * 1024
};

// Milliseconds until next_us (0: no such time), at most IDLE_MS.
static int64_t until(const instant *i, int64_t next_us) {
    if (next_us == 0) {
        return IDLE_MS;
    }
    int64_t ms = (next_us - clock_wall_us(i->o.clock) + 999) / 1000;
    return ms < 0 ? 0 : ms > IDLE_MS ? IDLE_MS : ms;
}

// Does the due work and returns the time until more is due.
static int64_t round_trip(instant *i) {
    err e = {0};
    int64_t next_payment_us = 0, next_webhook_us = 0;
    if (!instant_settle_due(i, &next_payment_us, &e) ||
        !instant_webhooks_due(i, &next_webhook_us, &e)) {
        log_err(LOG_ERROR, "instant.round_failed", &e);
        return PAUSE_MS;
    }
    int64_t a = until(i, next_payment_us), b = until(i, next_webhook_us);
    return a < b ? a : b;
}

static void *instant_main(void *arg) {
    instant *i = arg;
    pthread_mutex_lock(&i->lock);
    while (!i->stop) {
        i->wake = false;
        pthread_mutex_unlock(&i->lock);
        int64_t idle_ms = round_trip(i);
        const struct timespec until = cond_after_ms(idle_ms);
        pthread_mutex_lock(&i->lock);
        while (!i->stop && !i->wake && cond_wait_until(&i->changed, &i->lock, &until)) {
        }
    }
    pthread_mutex_unlock(&i->lock);
    return NULL;
}

static bool url_is_good(str url) {
    bool scheme = (url.len > 8 && memcmp(url.ptr, "https://", 8) == 0) ||
                  (url.len > 7 && memcmp(url.ptr, "http://", 7) == 0);
    return url.len == 0 ||
           (scheme && url.len < INSTANT_URL_MAX && memchr(url.ptr, '\0', url.len) == NULL);
}

bool instant_set_webhook_url(instant *i, str url, err *e) {
    if (!url_is_good(url)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID", "url",
                             "must be an https or http address");
    }
    pthread_mutex_lock(&i->lock);
    (void)snprintf(i->webhook_url, sizeof(i->webhook_url), "%.*s", (int)url.len, url.ptr);
    i->wake = true;
    pthread_cond_broadcast(&i->changed);
    pthread_mutex_unlock(&i->lock);
    return true;
}

void instant_wake(instant *i) {
    pthread_mutex_lock(&i->lock);
    i->wake = true;
    pthread_cond_broadcast(&i->changed);
    pthread_mutex_unlock(&i->lock);
}

static bool start_parts(instant *i, err *e) {
    http_client_options client = {.ca_file = i->o.ca_file,
                                  .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                  .total_timeout_ms = WEBHOOK_TIMEOUT_MS,
                                  .max_connections = CONNECTIONS,
                                  .response_max = RESPONSE_MAX};
    http_server_options server = {.address = "127.0.0.1",
                                  .port = i->o.port,
                                  .cert_file = i->o.cert_file,
                                  .key_file = i->o.key_file,
                                  .n_threads = i->o.threads,
                                  .body_max = INSTANT_BODY_MAX,
                                  .handler = instant_handle,
                                  .arg = i};
    i->client = http_client_create(&client, e);
    if (i->client == NULL || !instant_set_webhook_url(i, str_of(i->o.webhook_url), e)) {
        return false;
    }
    i->server = http_server_start(&server, e);
    if (i->server == NULL) {
        return false;
    }
    i->thread_runs = pthread_create(&i->thread, NULL, instant_main, i) == 0;
    return i->thread_runs ||
           err_set(e, ERR_RESOURCE_EXHAUSTED, "THREAD", "no thread for instant payments");
}

instant *instant_start(const instant_options *o, err *e) {
    instant *i = calloc(1, sizeof(*i));
    ASSERT(i != NULL);
    i->o = *o;
    MUST(pthread_mutex_init(&i->lock, NULL) == 0);
    cond_init(&i->changed);
    if (!start_parts(i, e)) {
        instant_stop(i);
        return NULL;
    }
    return i;
}

int instant_port(const instant *i) {
    return http_server_port(i->server);
}

void instant_stop(instant *i) {
    if (i == NULL) {
        return;
    }
    pthread_mutex_lock(&i->lock);
    i->stop = true; // also ends the slow answers
    pthread_cond_broadcast(&i->changed);
    pthread_mutex_unlock(&i->lock);
    http_server_stop(i->server);
    if (i->thread_runs) {
        (void)pthread_join(i->thread, NULL);
    }
    http_client_destroy(i->client);
    (void)pthread_cond_destroy(&i->changed);
    (void)pthread_mutex_destroy(&i->lock);
    free(i);
}
