// Where calls wait and which thread runs them. Every queue is bounded; what does not fit is refused at once, with the time
// after which to ask again. Health checks and reflection have lanes of their own: a server under load is busy, not dead.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "rpc/rpc_internal.h"

static void *lane_main(void *arg) {
    lane *l = arg;
    for (rpc_call *c; (c = queue_pop(l->waiting)) != NULL;) {
        if (!c->method->system) {
            metric_add(c->server->queue_gauge, -1);
        }
        call_run(c);
    }
    return NULL;
}

static void name_thread(pthread_t thread, const char *name, int i) {
    char text[16]; // the kernel's limit
    snprintf(text, sizeof(text), "%.9s-%u", name, (unsigned)i % 1000);
    pthread_setname_np(thread, text);
}

bool lane_start(lane *l, const char *name, int n_threads, int queue_max, err *e) {
    l->waiting = queue_create((size_t)queue_max);
    l->threads = calloc((size_t)n_threads, sizeof(l->threads[0]));
    ASSERT(l->threads != NULL);
    for (int i = 0; i < n_threads; i++) {
        if (pthread_create(&l->threads[i], NULL, lane_main, l) != 0) {
            return err_set(e, ERR_RESOURCE_EXHAUSTED, "THREADS_EXHAUSTED",
                           "cannot start worker threads");
        }
        l->n_threads++;
        name_thread(l->threads[i], name, i);
    }
    return true;
}

void lane_stop(lane *l) {
    if (l->waiting == NULL) {
        return;
    }
    queue_close(l->waiting);
    for (int i = 0; i < l->n_threads; i++) {
        pthread_join(l->threads[i], NULL);
    }
    queue_destroy(l->waiting);
    free(l->threads);
}

static void *stream_lane_main(void *arg) {
    stream_lane *l = arg;
    for (rpc_call *c; (c = queue_pop(l->waiting)) != NULL;) {
        call_run(c);
    }
    return NULL;
}

bool stream_lane_start(stream_lane *l, int max, int client_max, err *e) {
    (void)e;
    l->max = max;
    l->client_max = client_max;
    l->calls = calloc((size_t)max, sizeof(l->calls[0]));
    ASSERT(l->calls != NULL);
    // Ended streams give their place back a moment before their thread is free, hence twice.
    l->waiting = queue_create((size_t)max * 2);
    l->threads = calloc((size_t)max, sizeof(l->threads[0]));
    ASSERT(l->threads != NULL);
    pthread_mutex_init(&l->lock, NULL);
    l->ready = true;
    return true;
}

void stream_lane_stop(stream_lane *l) {
    if (!l->ready) {
        return;
    }
    queue_close(l->waiting);
    for (int i = 0; i < l->n_threads; i++) {
        pthread_join(l->threads[i], NULL);
    }
    queue_destroy(l->waiting);
    free(l->threads);
    free(l->calls);
    pthread_mutex_destroy(&l->lock);
}

static bool overloaded(err *e, const char *what) {
    err_set(e, ERR_RESOURCE_EXHAUSTED, "OVERLOADED", "the server is busy (%s); ask again", what);
    e->retry_after_ms = RPC_RETRY_AFTER_MS;
    return false;
}

static stream_lane *stream_lane_of(const rpc_call *c) {
    return c->method->system ? &c->server->system_streams : &c->server->streams;
}

// With the lane's lock held. So that nobody takes the places of all.
static bool has_enough(const stream_lane *l, const rpc_call *c) {
    int n = 0;
    for (int i = 0; i < l->live; i++) {
        n += strcmp(l->calls[i]->identity, c->identity) == 0 ? 1 : 0;
    }
    return n >= l->client_max;
}

static void leave_stream_lane(stream_lane *l, const rpc_call *c) {
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < l->live; i++) {
        if (l->calls[i] == c) {
            l->calls[i] = l->calls[--l->live];
        }
    }
    pthread_mutex_unlock(&l->lock);
}

// Takes a place and makes sure that there are as many threads as live streams.
static bool stream_enter(rpc_call *c, err *e) {
    stream_lane *l = stream_lane_of(c);
    bool ok = true, enough = false;
    pthread_mutex_lock(&l->lock);
    if (l->live == l->max) {
        ok = false;
    } else if (has_enough(l, c)) {
        ok = false;
        enough = true;
    } else if (l->n_threads <= l->live && l->n_threads < l->max) {
        ok = pthread_create(&l->threads[l->n_threads], NULL, stream_lane_main, l) == 0;
        if (ok) {
            name_thread(l->threads[l->n_threads], "stream", l->n_threads);
            l->n_threads++;
        }
    }
    if (ok) {
        l->calls[l->live++] = c;
    }
    pthread_mutex_unlock(&l->lock);
    c->counted = ok;
    return ok || overloaded(e, enough ? "streams of this client" : "streams");
}

static bool unary_enter(rpc_call *c, err *e) {
    rpc_server *s = c->server;
    // Answered calls whose bytes a slow reader has not taken still hold memory: they are bounded as well.
    const int alive_max =
        2 * s->options.in_flight_max + s->options.streams_max + RPC_SYSTEM_QUEUE_MAX;
    if (atomic_load(&s->alive) > alive_max) {
        return overloaded(e, "connections");
    }
    if (atomic_fetch_add(&s->in_flight, 1) >= s->options.in_flight_max) {
        atomic_fetch_sub(&s->in_flight, 1);
        return overloaded(e, "calls in flight");
    }
    metric_add(s->in_flight_gauge, 1);
    c->counted = true;
    return true;
}

// After a push the call belongs to another thread: neither may look at it again.
static bool push(queue *q, rpc_call *c, metric *gauge, err *e) {
    if (gauge != NULL) {
        metric_add(gauge, 1);
    }
    if (queue_push(q, c)) {
        return true;
    }
    if (gauge != NULL) {
        metric_add(gauge, -1);
    }
    return overloaded(e, "queue");
}

bool admit(rpc_call *c, err *e) {
    rpc_server *s = c->server;
    if (call_is_stream(c)) {
        return stream_enter(c, e) && push(stream_lane_of(c)->waiting, c, NULL, e);
    }
    if (c->method->system) {
        return push(s->system.waiting, c, NULL, e);
    }
    if (!unary_enter(c, e)) {
        return false;
    }
    if (c->at_once) {
        call_run(c);
        return true;
    }
    return push(s->workers.waiting, c, s->queue_gauge, e);
}

void admission_leave(rpc_call *c) {
    if (!c->counted) {
        return;
    }
    c->counted = false;
    if (call_is_stream(c)) {
        leave_stream_lane(stream_lane_of(c), c);
    } else {
        atomic_fetch_sub(&c->server->in_flight, 1);
        metric_add(c->server->in_flight_gauge, -1);
    }
    server_wake_drain(c->server);
}

bool lanes_idle(rpc_server *s) {
    pthread_mutex_lock(&s->streams.lock);
    int live = s->streams.live;
    pthread_mutex_unlock(&s->streams.lock);
    return live == 0 && atomic_load(&s->in_flight) == 0;
}
