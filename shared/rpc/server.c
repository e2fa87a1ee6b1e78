// Start, the completion-queue threads, and the drain.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/cond.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "grpc/reflection/v1alpha/reflection.pb-c.h"
#include "rpc/rpc_internal.h"
#include "rpc/tls_internal.h"

// Common clients ask every 10 s whether a quiet connection is alive, ours every 30 s. Core ends a connection at the third ping that
// comes sooner than this after the ping before, so there is room for pings that the network bunches up. One ping a second costs
// nothing; a flood is over after four pings.
enum { PING_INTERVAL_MIN_MS = 1000 };

enum { SERVICES_MAX = 32, METHODS_MAX = 256, CONNECTION_AGE_MS = 30 * 60 * 1000, ARGS_MAX = 16 };

// --- Settings --------------------------------------------------------------------------------------------------------

static bool is_loopback(const char *listen) {
    return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "localhost:", 10) == 0 ||
           strncmp(listen, "[::1]:", 6) == 0;
}

static bool check_options(const rpc_server_options *o, err *e) {
    bool numbers = o->workers >= 1 && o->workers <= 256 && o->queue_max >= 1 &&
                   o->in_flight_max >= 1 && o->streams_max >= 1 && o->client_streams_max >= 0 &&
                   o->message_max >= 1024 && o->message_max <= INT32_MAX - RPC_MESSAGE_SLACK &&
                   o->arena_max >= 4096 && o->deadline_max_ms >= RPC_DEADLINE_MIN_MS &&
                   o->n_services <= SERVICES_MAX;
    if (!numbers || o->listen == NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "SERVER_OPTIONS_INVALID",
                       "a limit of the server is out of range");
    }
    if (o->tls.insecure && !is_loopback(o->listen)) {
        return err_set(e, ERR_FAILED_PRECONDITION, "INSECURE_NOT_LOOPBACK",
                       "without certificates only a loopback address may be listened on");
    }
    return true;
}

// --- Methods ---------------------------------------------------------------------------------------------------------

static const rpc_method *find_handler(const rpc_service *service, const char *name) {
    const rpc_method *found = NULL;
    for (size_t i = 0; i < service->n_methods; i++) {
        if (strcmp(service->methods[i].name, name) == 0) {
            if (found != NULL) {
                return NULL; // twice
            }
            found = &service->methods[i];
        }
    }
    return found;
}

static void method_metrics(method_state *m) {
    static const err_code codes[RPC_CODES] = {
#define CODE(name, number) [number] = ERR_##name,
        ERR_CODES(CODE)
#undef CODE
    };
    char labels[256];
    snprintf(labels, sizeof(labels), "grpc_type=\"%s\",grpc_service=\"%s\",grpc_method=\"%s\"",
             m->bidi             ? "bidi_stream"
             : m->stream != NULL ? "server_stream"
                                 : "unary",
             m->service, m->name);
    m->started = metric_counter("grpc_server_started_total", labels, "Calls received");
    m->handling =
        metric_histogram("grpc_server_handling_seconds", labels, "Time from arrival to answer");
    for (size_t i = 0; i < RPC_CODES; i++) {
        char with_code[sizeof(labels) + 32];
        snprintf(with_code, sizeof(with_code), "%s,grpc_code=\"%s\"", labels,
                 err_code_name(codes[i]));
        m->handled[i] = metric_counter("grpc_server_handled_total", with_code, "Calls answered");
    }
}

static bool add_service(rpc_server *s, const rpc_service *service, bool system, err *e) {
    const ProtobufCServiceDescriptor *d = service->descriptor;
    if (service->n_methods != d->n_methods || s->n_methods + d->n_methods > METHODS_MAX) {
        return err_set(e, ERR_INTERNAL, "METHODS_INCOMPLETE", "%s: %zu handlers for %u methods",
                       d->name, service->n_methods, d->n_methods);
    }
    for (unsigned i = 0; i < d->n_methods; i++) {
        const rpc_method *handler = find_handler(service, d->methods[i].name);
        if (handler == NULL || (handler->unary != NULL) == (handler->stream != NULL)) {
            return err_set(e, ERR_INTERNAL, "METHODS_INCOMPLETE", "%s/%s needs exactly one handler",
                           d->name, d->methods[i].name);
        }
        method_state *m = &s->methods[s->n_methods++];
        int n = asprintf(&m->path, "/%s/%s", d->name, d->methods[i].name);
        ASSERT(n > 0);
        m->service = d->name;
        m->name = d->methods[i].name;
        m->input = d->methods[i].input;
        m->unary = handler->unary;
        m->stream = handler->stream;
        m->never_waits = handler->never_waits;
        m->bidi = handler->stream == reflection_stream;
        m->system = system;
        m->open = system && d == &grpc__health__v1__health__descriptor;
        m->self = service->self;
        method_metrics(m);
    }
    return true;
}

static bool add_own_services(rpc_server *s, const rpc_server_options *o, err *e) {
    s->health = health_create(o);
    static const rpc_method health_methods[] = {{.name = "Check", .unary = health_check},
                                                {.name = "Watch", .stream = health_watch}};
    const rpc_service health_service = {&grpc__health__v1__health__descriptor, health_methods, 2,
                                        s->health};
    if (!add_service(s, &health_service, true, e)) {
        return false;
    }
    if (o->descriptor_file == NULL || o->descriptor_file[0] == '\0') {
        return true;
    }
    s->reflection = reflection_create(o, e);
    if (s->reflection == NULL) {
        return false;
    }
    static const rpc_method reflection_methods[] = {
        {.name = "ServerReflectionInfo", .stream = reflection_stream}};
    const rpc_service v1 = {&grpc__reflection__v1__server_reflection__descriptor,
                            reflection_methods, 1, s->reflection};
    const rpc_service v1alpha = {&grpc__reflection__v1alpha__server_reflection__descriptor,
                                 reflection_methods, 1, s->reflection};
    return add_service(s, &v1, true, e) && add_service(s, &v1alpha, true, e);
}

static bool add_methods(rpc_server *s, const rpc_server_options *o, err *e) {
    s->methods = calloc(METHODS_MAX, sizeof(s->methods[0]));
    ASSERT(s->methods != NULL);
    for (size_t i = 0; i < o->n_services; i++) {
        if (!add_service(s, &o->services[i], false, e)) {
            return false;
        }
    }
    // Paths come from strangers and must not become labels.
    s->unknown = (method_state){.service = "unknown", .name = "unknown"};
    s->unknown.path = strdup("/unknown/unknown");
    method_metrics(&s->unknown);
    return add_own_services(s, o, e);
}

// --- Core ------------------------------------------------------------------------------------------------------------

static grpc_server *create_core(const rpc_server_options *o) {
    int64_t age_grace_ms = o->deadline_max_ms > 30000 ? o->deadline_max_ms : 30000;
    const struct {
        const char *key;
        int value;
    } values[] = {
        {GRPC_ARG_ALLOW_REUSEPORT, 0}, // a second process must not share the port in silence
        {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)o->message_max + RPC_MESSAGE_SLACK},
        {GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE}, // no bombs
        {GRPC_ARG_MAX_CONCURRENT_STREAMS, RPC_CONCURRENT_STREAMS},
        {GRPC_ARG_MAX_METADATA_SIZE, RPC_METADATA_MAX},
        {GRPC_ARG_MAX_CONNECTION_AGE_MS, CONNECTION_AGE_MS},
        {GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, (int)age_grace_ms},
        {GRPC_ARG_ENABLE_CHANNELZ, 0}, // counts what nobody asks for
        {GRPC_ARG_KEEPALIVE_TIME_MS, 60000},
        {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000},
        {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
        {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MIN_MS},
        {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10000},
    };
    grpc_arg args[ARGS_MAX];
    size_t n = sizeof(values) / sizeof(values[0]);
    ASSERT(n <= ARGS_MAX);
    for (size_t i = 0; i < n; i++) {
        args[i].type = GRPC_ARG_INTEGER;
        args[i].key = (char *)(uintptr_t)values[i].key;
        args[i].value.integer = values[i].value;
    }
    grpc_channel_args list = {n, args};
    return grpc_server_create(&list, NULL);
}

static void *cq_main(void *arg) {
    grpc_completion_queue *cq = arg;
    for (;;) {
        grpc_event ev = grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        if (ev.type == GRPC_QUEUE_SHUTDOWN) {
            return NULL;
        }
        if (ev.type == GRPC_OP_COMPLETE) {
            rpc_tag *t = ev.tag;
            t->on_done(t, ev.success != 0);
        }
    }
}

static void on_shutdown(rpc_tag *t, bool ok) {
    (void)ok;
    rpc_server *s = RPC_CONTAINER(t, rpc_server, tag_shutdown);
    pthread_mutex_lock(&s->lock);
    s->stopped = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static bool register_methods(rpc_server *s, err *e) {
    for (size_t i = 0; i < s->n_methods; i++) {
        method_state *m = &s->methods[i];
        m->handle = grpc_server_register_method(
            s->core, m->path, NULL,
            m->bidi ? GRPC_SRM_PAYLOAD_NONE : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        if (m->handle == NULL) {
            return err_set(e, ERR_INTERNAL, "METHOD_DUPLICATE", "%s is registered twice", m->path);
        }
    }
    return true;
}

static bool listen_on(rpc_server *s, const rpc_server_options *o, err *e) {
    s->tls = tls_files_create(&o->tls);
    grpc_server_credentials *creds = tls_server_credentials(s->tls, e);
    if (creds == NULL) {
        return false;
    }
    s->port = grpc_server_add_http2_port(s->core, o->listen, creds);
    grpc_server_credentials_release(creds);
    if (s->port == 0) {
        return err_set(e, ERR_FAILED_PRECONDITION, "LISTEN_FAILED",
                       "cannot listen on %s, or the certificate and key do not fit", o->listen);
    }
    if (o->tls.insecure) {
        log_warn("rpc.server.insecure", F_STR("listen", o->listen));
    }
    return true;
}

static void arm_all(rpc_server *s) {
    for (int q = 0; q < RPC_CQS; q++) {
        for (int k = 0; k < RPC_ARMED_PER_CQ; k++) {
            for (size_t i = 0; i < s->n_methods; i++) {
                call_arm(s, &s->methods[i], s->cq[q]);
            }
            call_arm(s, &s->unknown, s->cq[q]);
        }
    }
}

static void run_core(rpc_server *s) {
    grpc_server_start(s->core);
    arm_all(s);
    for (int i = 0; i < RPC_CQS; i++) {
        int error = pthread_create(&s->cq_threads[i], NULL, cq_main, s->cq[i]);
        ASSERT(error == 0); // there is no way back from a started server without them
        s->n_cq_threads++;
        pthread_setname_np(s->cq_threads[i], i == 0 ? "grpc-cq-0" : "grpc-cq-1");
    }
}

static rpc_server *server_create(const rpc_server_options *o) {
    rpc_server *s = calloc(1, sizeof(*s));
    ASSERT(s != NULL);
    s->options = *o;
    s->domain = strdup(o->error_domain != NULL ? o->error_domain : "");
    ASSERT(s->domain != NULL);
    permissions_metrics(s);
    s->tag_shutdown.on_done = on_shutdown;
    MUST(pthread_mutex_init(&s->lock, NULL) == 0);
    cond_init(&s->changed);
    s->in_flight_gauge =
        metric_gauge("rpc_in_flight", "", "Unary calls received and not yet answered");
    s->queue_gauge = metric_gauge("rpc_queue", "", "Unary calls that wait for a worker");
    return s;
}

// Every call is over, or never began.
static void server_free(rpc_server *s) {
    lane_stop(&s->workers);
    lane_stop(&s->system);
    stream_lane_stop(&s->streams);
    stream_lane_stop(&s->system_streams);
    for (int i = 0; i < RPC_CQS;
         i++) { // only now: a batch on a queue that is shut down aborts the process
        if (s->cq[i] != NULL) {
            grpc_completion_queue_shutdown(s->cq[i]);
            if (i < s->n_cq_threads) {
                pthread_join(s->cq_threads[i], NULL);
            } else {
                cq_main(s->cq[i]);
            }
        }
    }
    if (s->core != NULL) {
        grpc_server_destroy(s->core);
    }
    for (int i = 0; i < RPC_CQS; i++) {
        if (s->cq[i] != NULL) {
            grpc_completion_queue_destroy(s->cq[i]);
        }
    }
    for (size_t i = 0; i < s->n_methods; i++) {
        free(s->methods[i].path);
    }
    free(s->methods);
    free(s->unknown.path);
    health_destroy(s->health);
    reflection_destroy(s->reflection);
    free(s->domain);
    tls_files_destroy(s->tls);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int client_streams_max(const rpc_server_options *o) {
    return o->client_streams_max > 0 ? o->client_streams_max : o->streams_max;
}

rpc_server *rpc_server_start(const rpc_server_options *o, err *e) {
    if (!check_options(o, e)) {
        return NULL;
    }
    rpc_server *s = server_create(o);
    if (!add_methods(s, o, e) || !lane_start(&s->workers, "worker", o->workers, o->queue_max, e) ||
        !lane_start(&s->system, "system", 1, RPC_SYSTEM_QUEUE_MAX, e) ||
        !stream_lane_start(&s->streams, o->streams_max, client_streams_max(o), e) ||
        !stream_lane_start(&s->system_streams, RPC_SYSTEM_STREAMS_MAX, RPC_SYSTEM_STREAMS_OF_ONE,
                           e)) {
        goto fail;
    }
    s->core = create_core(o);
    for (int i = 0; i < RPC_CQS; i++) {
        s->cq[i] = grpc_completion_queue_create_for_next(NULL);
        grpc_server_register_completion_queue(s->core, s->cq[i], NULL);
    }
    // The port comes last of what can fail: with a listener core could not be destroyed without a shutdown.
    if (!register_methods(s, e) || !permissions_bind(s, o, e) || !listen_on(s, o, e)) {
        goto fail;
    }
    run_core(s);
    return s;
fail:
    server_free(s);
    return NULL;
}

void rpc_server_tls_changed(rpc_server *s) {
    tls_files_read_again(s->tls);
}

int rpc_server_port(const rpc_server *s) {
    return s->port;
}

// --- The drain -------------------------------------------------------------------------------------------------------

void server_wake_streams(rpc_server *s) {
    pthread_mutex_lock(&s->lock);
    for (rpc_call *c = s->first; c != NULL; c = c->next) {
        call_wake(c);
    }
    pthread_mutex_unlock(&s->lock);
}

void rpc_server_set_serving(rpc_server *s, const char *service, bool serving) {
    if (health_set(s->health, service, serving)) {
        server_wake_streams(s);
    }
}

void server_wake_drain(rpc_server *s) {
    if (atomic_load(&s->draining)) {
        pthread_mutex_lock(&s->lock);
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
}

static bool is_stopped(rpc_server *s) {
    return s->stopped && atomic_load(&s->alive) == 0;
}

static bool is_flushed(rpc_server *s) {
    return atomic_load(&s->finishing) == 0;
}

// Waits under the lock until the condition holds. False: the time is over.
static bool wait_for(rpc_server *s, bool (*condition)(rpc_server *), int64_t ms) {
    const struct timespec until = cond_after_ms(ms);
    pthread_mutex_lock(&s->lock);
    bool holds = condition(s);
    for (bool left = true; !holds && left;) {
        left = cond_wait_until(&s->changed, &s->lock, &until);
        holds = condition(s);
    }
    pthread_mutex_unlock(&s->lock);
    return holds;
}

static bool ref_if_alive(rpc_call *c) {
    int refs = atomic_load(&c->refs);
    while (refs > 0) {
        if (atomic_compare_exchange_weak(&c->refs, &refs, refs + 1)) {
            return true;
        }
    }
    return false;
}

// The grace is over: answers for the handlers that are still at work, and cuts streams off.
static void preempt_calls(rpc_server *s) {
    size_t n = 0;
    pthread_mutex_lock(&s->lock);
    size_t max = 0;
    for (rpc_call *c = s->first; c != NULL; c = c->next) {
        max++;
    }
    rpc_call **calls = calloc(max + 1, sizeof(calls[0]));
    ASSERT(calls != NULL);
    for (rpc_call *c = s->first; c != NULL; c = c->next) {
        if (ref_if_alive(c)) {
            calls[n++] = c;
        }
    }
    pthread_mutex_unlock(&s->lock);
    err e = {0};
    err_set(&e, ERR_UNAVAILABLE, "SERVER_DRAINING",
            "the server stopped before the work was done; ask again");
    for (size_t i = 0; i < n; i++) {
        if (call_is_stream(calls[i])) {
            grpc_call_cancel_with_status(calls[i]->core, GRPC_STATUS_UNAVAILABLE,
                                         "the server is stopping", NULL);
        } else {
            call_preempt(calls[i], &e);
        }
        call_unref(calls[i]);
    }
    free(calls);
    log_warn("rpc.drain.preempted", F_INT("calls", n));
}

// New calls are refused while core still listens, and not by core: it would answer CANCELLED to what reaches it between its
// shutdown and the moment when the clients hear of it. With our answer they know what happened and when to come back.
void rpc_server_drain(rpc_server *s, int64_t grace_ms) {
    if (s == NULL) {
        return;
    }
    log_info("rpc.drain.begin", F_INT("in_flight", atomic_load(&s->in_flight)));
    health_set_draining(s->health); // watchers hear NOT_SERVING before their stream ends
    atomic_store(&s->draining, true);
    server_wake_streams(s);
    if (!wait_for(s, lanes_idle, grace_ms)) {
        atomic_store(&s->hard_stop, true);
        server_wake_streams(s);
        preempt_calls(s);
    }
    bool flushed = wait_for(s, is_flushed, RPC_DRAIN_FLUSH_MS);
    atomic_store(&s->closing, true);
    grpc_server_shutdown_and_notify(s->core, s->cq[0], &s->tag_shutdown);
    if (!flushed || !wait_for(s, is_stopped, RPC_DRAIN_FLUSH_MS)) {
        grpc_server_cancel_all_calls(s->core);
        // The end comes when the last call object is gone, which needs every handler's own answer.
        bool stopped = wait_for(s, is_stopped, RPC_DRAIN_HARD_MS);
        ASSERT(stopped);
    }
    log_info("rpc.drain.end");
    server_free(s);
}
