#include "base/ticker.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/cond.h"

struct ticker {
    int64_t pause_min_ms, pause_max_ms;
    int64_t pause_ms; // of the thread
    void (*fn)(void *arg);
    bool (*lazy)(void *arg); // used instead of fn
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock; // guards stopping, woken and hurried; never held in fn
    pthread_cond_t changed;
    bool stopping, woken, hurried;
};

// True when the thread must end.
static bool pause_or_stop(ticker *t) {
    const struct timespec soon = cond_after_ms(t->pause_min_ms);
    const struct timespec late = cond_after_ms(t->pause_ms);
    pthread_mutex_lock(&t->lock);
    while (!t->stopping && !t->woken &&
           cond_wait_until(&t->changed, &t->lock, t->hurried ? &soon : &late)) {
    }
    const bool stop = t->stopping;
    t->pause_ms = t->woken || t->hurried ? t->pause_min_ms : t->pause_ms;
    t->woken = t->hurried = false;
    pthread_mutex_unlock(&t->lock);
    return stop;
}

static void *run(void *arg) {
    ticker *t = arg;
    do {
        if (t->lazy == NULL) {
            t->fn(t->arg);
        } else if (t->lazy(t->arg)) {
            t->pause_ms = t->pause_min_ms;
        } else {
            const int64_t more_ms = t->pause_ms + t->pause_ms / 8 + 1;
            t->pause_ms = more_ms < t->pause_max_ms ? more_ms : t->pause_max_ms;
        }
    } while (!pause_or_stop(t));
    return NULL;
}

static void destroy(ticker *t) {
    (void)pthread_cond_destroy(&t->changed);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}

static ticker *start(ticker options) {
    ASSERT(options.pause_min_ms > 0 && options.pause_max_ms >= options.pause_min_ms);
    ticker *t = malloc(sizeof *t);
    ASSERT(t != NULL);
    *t = options;
    t->pause_ms = t->pause_min_ms;
    cond_init(&t->changed);
    MUST(pthread_mutex_init(&t->lock, NULL) == 0);
    if (pthread_create(&t->thread, NULL, run, t) != 0) {
        destroy(t);
        return NULL;
    }
    return t;
}

ticker *ticker_start(int64_t pause_ms, void (*fn)(void *arg), void *arg) {
    return start(
        (ticker){.pause_min_ms = pause_ms, .pause_max_ms = pause_ms, .fn = fn, .arg = arg});
}

ticker *ticker_start_lazy(int64_t pause_ms, int64_t pause_max_ms, bool (*fn)(void *arg),
                          void *arg) {
    return start(
        (ticker){.pause_min_ms = pause_ms, .pause_max_ms = pause_max_ms, .lazy = fn, .arg = arg});
}

void ticker_wake(ticker *t) {
    pthread_mutex_lock(&t->lock);
    t->woken = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

void ticker_hurry(ticker *t) {
    pthread_mutex_lock(&t->lock);
    t->hurried = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

void ticker_stop(ticker *t) {
    if (t == NULL) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    MUST(pthread_join(t->thread, NULL) == 0);
    destroy(t);
}
