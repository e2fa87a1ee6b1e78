// The client: one channel; blocking calls, each on a completion queue of its own, or many from one thread on one queue.
#include <grpc/support/alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "rpc/rpc_internal.h"
#include "rpc/status_internal.h"
#include "rpc/tls_internal.h"
#include "rpc/wire_internal.h"

enum {
    BACKOFF_BASE_MS = 50,
    BACKOFF_CAP_MS = 2000,
    RETRIES_LIMIT = 10,
    METADATA_OUT_MAX = 2,
    STREAM_MEMORY_FACTOR = 8 // unpacked, of one streamed message, against its bytes on the wire
};

struct rpc_client {
    pthread_mutex_t lock;           // guards both
    grpc_channel *channel, *before; // before: calls that were begun on it end there
    rpc_client_options options;     // strings are copies
    size_t message_max;
    int retries_max;
};

// --- The channel -----------------------------------------------------------------------------------------------------

static grpc_channel *create_channel(const rpc_client_options *o, grpc_channel_credentials *creds) {
    const struct {
        const char *key;
        int value;
    } values[] = {
        {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)o->message_max},
        {GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE},
        {GRPC_ARG_MAX_METADATA_SIZE, RPC_METADATA_MAX},
        {GRPC_ARG_KEEPALIVE_TIME_MS, 30000},
        {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000},
        {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
        {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0}, // no limit: else the pings stop after two
        {GRPC_ARG_ENABLE_HTTP_PROXY, 0},            // the environment must not reroute money
        {GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1},
        {GRPC_ARG_ENABLE_RETRIES, 0},  // retries_max is ours; core's way costs each call a fifth
        {GRPC_ARG_ENABLE_CHANNELZ, 0}, // counts what nobody asks for
        {GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1}, // one client, one connection
        {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100},
        {GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
         2000}, // in fact the time that one attempt to connect may take
        {GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000},
    };
    enum { N = sizeof(values) / sizeof(values[0]) };
    grpc_arg args[N + 1];
    for (size_t i = 0; i < N; i++) {
        args[i].type = GRPC_ARG_INTEGER;
        args[i].key = (char *)(uintptr_t)values[i].key;
        args[i].value.integer = values[i].value;
    }
    grpc_channel_args list = {N, args};
    if (o->tls_server_name != NULL && !o->tls.insecure) {
        args[N].type = GRPC_ARG_STRING;
        args[N].key = (char *)(uintptr_t)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG;
        args[N].value.string = (char *)(uintptr_t)o->tls_server_name;
        list.num_args++;
    }
    return grpc_channel_create(o->target, creds, &list);
}

static const char *copy_of(const char *text) {
    char *copy = text == NULL ? NULL : strdup(text);
    ASSERT(text == NULL || copy != NULL);
    return copy;
}

static void copy_options(rpc_client_options *to, const rpc_client_options *from) {
    *to = *from;
    to->target = copy_of(from->target);
    to->tls_server_name = copy_of(from->tls_server_name);
    to->tls_server_identity = copy_of(from->tls_server_identity);
    to->tls.ca_file = copy_of(from->tls.ca_file);
    to->tls.cert_file = copy_of(from->tls.cert_file);
    to->tls.key_file = copy_of(from->tls.key_file);
}

static void free_options(const rpc_client_options *o) {
    const char *const texts[] = {o->target,      o->tls_server_name, o->tls_server_identity,
                                 o->tls.ca_file, o->tls.cert_file,   o->tls.key_file};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        free((char *)(uintptr_t)texts[i]);
    }
}

rpc_client *rpc_client_create(const rpc_client_options *o, err *e) {
    if (o->target == NULL || o->message_max < 1024 ||
        o->message_max > INT32_MAX / STREAM_MEMORY_FACTOR || o->retries_max < 0 ||
        o->retries_max > RETRIES_LIMIT) {
        err_set(e, ERR_INVALID_ARGUMENT, "CLIENT_OPTIONS_INVALID",
                "a limit of the client is out of range");
        return NULL;
    }
    grpc_channel_credentials *creds = tls_channel_credentials(&o->tls, o->tls_server_identity, e);
    if (creds == NULL) {
        return NULL;
    }
    rpc_client *c = calloc(1, sizeof(*c));
    ASSERT(c != NULL);
    pthread_mutex_init(&c->lock, NULL);
    copy_options(&c->options, o);
    c->channel = create_channel(o, creds);
    grpc_channel_credentials_release(creds);
    c->message_max = o->message_max;
    c->retries_max = o->retries_max;
    return c;
}

void rpc_client_destroy(rpc_client *c) {
    if (c != NULL) {
        if (c->before != NULL) {
            grpc_channel_destroy(c->before);
        }
        grpc_channel_destroy(c->channel);
        pthread_mutex_destroy(&c->lock);
        free_options(&c->options);
        free(c);
    }
}

bool rpc_client_tls_changed(rpc_client *c, err *e) {
    if (c->options.tls.insecure) {
        return true;
    }
    if (!rpc_tls_check(&c->options.tls, e)) {
        return false; // core takes a key of another certificate, and then never connects
    }
    grpc_channel_credentials *creds =
        tls_channel_credentials(&c->options.tls, c->options.tls_server_identity, e);
    if (creds == NULL) {
        return false;
    }
    grpc_channel *fresh = create_channel(&c->options, creds);
    grpc_channel_credentials_release(creds);
    pthread_mutex_lock(&c->lock);
    grpc_channel *oldest = c->before;
    c->before = c->channel;
    c->channel = fresh;
    pthread_mutex_unlock(&c->lock);
    if (oldest != NULL) {
        grpc_channel_destroy(oldest);
    }
    return true;
}

// --- One call: all that its batches point to, with one cleanup -------------------------------------------------------

typedef struct outcall {
    grpc_call *core;
    grpc_metadata sent[METADATA_OUT_MAX];
    size_t n_sent;
    grpc_byte_buffer *request, *response;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice status_text;
    const char *error_string; // of core: gpr_free
    bool has_status;
} outcall;

static void add_metadata(outcall *c, const char *key, const char *value) {
    grpc_slice slice = grpc_slice_from_copied_string(value);
    if (!grpc_header_nonbin_value_is_legal(slice)) {
        grpc_slice_unref(slice);
        return;
    }
    c->sent[c->n_sent].key = grpc_slice_from_static_string(key);
    c->sent[c->n_sent++].value = slice;
}

static void outcall_init(outcall *c, rpc_client *client, grpc_completion_queue *cq,
                         const char *path, const ProtobufCMessage *request, int64_t deadline_ms) {
    memset(c, 0, sizeof(*c));
    grpc_metadata_array_init(&c->initial);
    grpc_metadata_array_init(&c->trailing);
    const log_context *ctx = log_ctx();
    if (strlen(ctx->trace_id) == 32) {
        char traceparent[64];
        snprintf(traceparent, sizeof(traceparent), "00-%s-%s-01", ctx->trace_id,
                 strlen(ctx->span_id) == 16 ? ctx->span_id : "0000000000000001");
        add_metadata(c, "traceparent", traceparent);
    }
    if (ctx->request_id[0] != '\0') {
        add_metadata(c, "x-request-id", ctx->request_id);
    }
    grpc_slice bytes = slice_of_message(request);
    c->request = grpc_raw_byte_buffer_create(&bytes, 1);
    grpc_slice_unref(bytes);
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (deadline_ms != INT64_MAX) {
        deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                gpr_time_from_millis(deadline_ms - mono_ms(), GPR_TIMESPAN));
    }
    // No parent call: our own caller may hang up without cancelling what we have begun.
    grpc_slice method = grpc_slice_from_copied_string(path);
    pthread_mutex_lock(&client->lock);
    c->core = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEADLINE, cq, method,
                                       NULL, deadline, NULL);
    pthread_mutex_unlock(&client->lock);
    grpc_slice_unref(method);
}

// Every tag must be back.
static void outcall_deinit(outcall *c) {
    grpc_byte_buffer_destroy(c->request);
    grpc_byte_buffer_destroy(c->response);
    for (size_t i = 0; i < c->n_sent; i++) {
        grpc_slice_unref(c->sent[i].value);
    }
    grpc_metadata_array_destroy(&c->initial);
    grpc_metadata_array_destroy(&c->trailing);
    if (c->has_status) {
        grpc_slice_unref(c->status_text);
        gpr_free((void *)(uintptr_t)c->error_string);
    }
    grpc_call_unref(c->core);
}

static void op_send(outcall *c, grpc_op ops[3]) {
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = c->n_sent;
    ops[0].data.send_initial_metadata.metadata = c->sent;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = c->request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
}

static void op_recv_initial(outcall *c, grpc_op *op) {
    op->op = GRPC_OP_RECV_INITIAL_METADATA;
    op->data.recv_initial_metadata.recv_initial_metadata = &c->initial;
}

static void op_recv_message(outcall *c, grpc_op *op) {
    op->op = GRPC_OP_RECV_MESSAGE;
    op->data.recv_message.recv_message = &c->response;
}

static void op_recv_status(outcall *c, grpc_op *op) {
    op->op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    op->data.recv_status_on_client.status = &c->status;
    op->data.recv_status_on_client.status_details = &c->status_text;
    op->data.recv_status_on_client.trailing_metadata = &c->trailing;
    op->data.recv_status_on_client.error_string = &c->error_string;
}

// A refused batch is a bug of ours, and nothing could end the call in order after it.
static void start(outcall *c, const grpc_op *ops, size_t n, void *tag) {
    grpc_call_error error = grpc_call_start_batch(c->core, ops, n, tag, NULL);
    ASSERT(error == GRPC_CALL_OK);
}

// The call's own deadline ends this wait; giving up earlier would leave core writing into memory that is gone.
static bool pluck(grpc_completion_queue *cq, void *tag) {
    grpc_event ev = grpc_completion_queue_pluck(cq, tag, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    ASSERT(ev.type == GRPC_OP_COMPLETE);
    return ev.success != 0;
}

// Nothing may be under way on it.
static void cq_destroy(grpc_completion_queue *cq) {
    grpc_completion_queue_shutdown(cq);
    grpc_completion_queue_destroy(cq);
}

// --- Outcomes --------------------------------------------------------------------------------------------------------

static bool may_retry(const err *e) {
    switch (e->code) {
    case ERR_RESOURCE_EXHAUSTED:
        return e->retry_after_ms > 0; // busy, and not a request that is too large for ever
    case ERR_OK:
    case ERR_INVALID_ARGUMENT:
    case ERR_NOT_FOUND:
    case ERR_ALREADY_EXISTS:
    case ERR_PERMISSION_DENIED:
    case ERR_FAILED_PRECONDITION:
    case ERR_OUT_OF_RANGE:
    case ERR_UNIMPLEMENTED:
    case ERR_DATA_LOSS:
    case ERR_UNAUTHENTICATED: return false;
    case ERR_CANCELLED:
    case ERR_UNKNOWN:
    case ERR_DEADLINE_EXCEEDED:
    case ERR_ABORTED:
    case ERR_INTERNAL:
    case ERR_UNAVAILABLE:
    default: return true; // the outcome is open: ask again with the same id
    }
}

static bool outcome(const outcall *c, const char *path, err *e) {
    if (c->status == GRPC_STATUS_OK) {
        return true;
    }
    err_code code = (unsigned)c->status < RPC_CODES ? (err_code)c->status : ERR_UNKNOWN;
    char raw[sizeof(e->message)], text[sizeof(e->message)];
    size_t len = GRPC_SLICE_LENGTH(c->status_text);
    len = len < sizeof(raw) ? len : sizeof(raw) - 1;
    memcpy(raw, GRPC_SLICE_START_PTR(c->status_text), len);
    raw[len] = '\0';
    status_clean_text(raw, text, sizeof(text));
    err found = {0};
    err_set(&found, code, err_code_name(code), "%s", text);
    bool has_details = false;
    for (size_t i = 0; i < c->trailing.count; i++) {
        const grpc_metadata *md = &c->trailing.metadata[i];
        if (grpc_slice_str_cmp(md->key, STATUS_DETAILS_KEY) == 0) {
            status_parse(
                (str){(const char *)GRPC_SLICE_START_PTR(md->value), GRPC_SLICE_LENGTH(md->value)},
                &found);
            has_details = true;
        }
    }
    // We never look at the status of a call that we cancelled ourselves: this one was cut off by a server that stops.
    if (found.code == ERR_CANCELLED && !has_details) {
        found.code = ERR_UNAVAILABLE;
        snprintf(found.reason, sizeof(found.reason), "PEER_STOPPED");
    }
    if (may_retry(&found)) {
        found.flags |= ERR_RETRIABLE;
    }
    err_detail(&found, "%s: %s", path, c->error_string != NULL ? c->error_string : "");
    if (e != NULL) {
        *e = found;
    }
    return false;
}

// What the peer says must be as sound as what we take from strangers, but the fault is not our caller's.
static ProtobufCMessage *unpack_response(grpc_byte_buffer *buffer,
                                         const ProtobufCMessageDescriptor *type, arena *a, err *e) {
    grpc_slice bytes;
    if (!wire_read_buffer(buffer, &bytes)) {
        err_set(e, ERR_INTERNAL, "RESPONSE_MISSING", "the peer answered without a message");
        return NULL;
    }
    err found = {0};
    ProtobufCMessage *m =
        wire_unpack((str){(const char *)GRPC_SLICE_START_PTR(bytes), GRPC_SLICE_LENGTH(bytes)},
                    type, a, &found);
    grpc_slice_unref(bytes);
    if (m == NULL) {
        err_set(e, ERR_INTERNAL, "RESPONSE_INVALID", "the peer's answer cannot be read");
        err_detail(e, "%s: %s %s", type->name, found.reason, found.field);
        if (e != NULL) {
            e->flags |= ERR_RETRIABLE; // it may well have done the work
        }
    }
    return m;
}

static bool check_deadline(int64_t deadline_ms, err *e) {
    if (deadline_ms != INT64_MAX && deadline_ms <= mono_ms()) {
        err_set(e, ERR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "no time was left for the call");
        if (e != NULL) {
            e->flags |= ERR_RETRIABLE;
        }
        return false;
    }
    return true;
}

// --- Unary -----------------------------------------------------------------------------------------------------------

static void start_unary(outcall *c) {
    grpc_op ops[6];
    memset(ops, 0, sizeof(ops));
    op_send(c, ops);
    op_recv_initial(c, &ops[3]);
    op_recv_message(c, &ops[4]);
    op_recv_status(c, &ops[5]);
    start(c, ops, 6, c);
}

// Its one batch is back.
static bool finish_unary(outcall *c, const char *path, const ProtobufCMessageDescriptor *type,
                         arena *a, ProtobufCMessage **response, err *e) {
    c->has_status = true;
    bool ok = outcome(c, path, e);
    if (ok) {
        *response = unpack_response(c->response, type, a, e);
        ok = *response != NULL;
    }
    outcall_deinit(c);
    return ok;
}

static bool call_once(rpc_client *client, const char *path, const ProtobufCMessage *request,
                      const ProtobufCMessageDescriptor *response_type, int64_t deadline_ms,
                      arena *a, ProtobufCMessage **response, err *e) {
    if (!check_deadline(deadline_ms, e)) {
        return false;
    }
    outcall c;
    grpc_completion_queue *cq = grpc_completion_queue_create_for_pluck(NULL);
    outcall_init(&c, client, cq, path, request, deadline_ms);
    start_unary(&c);
    pluck(cq, &c);
    const bool ok = finish_unary(&c, path, response_type, a, response, e);
    cq_destroy(cq);
    return ok;
}

// False when the deadline would pass first.
static bool back_off(const err *e, int try_number, int64_t deadline_ms) {
    int64_t wait_ms = clock_backoff_ms(clock_system(), BACKOFF_BASE_MS, BACKOFF_CAP_MS, try_number);
    wait_ms = wait_ms > e->retry_after_ms ? wait_ms : e->retry_after_ms;
    if (deadline_ms != INT64_MAX && mono_ms() + wait_ms >= deadline_ms) {
        return false;
    }
    clock_pause_ms(wait_ms);
    return true;
}

bool rpc_client_call(rpc_client *c, const char *path, const ProtobufCMessage *request,
                     const ProtobufCMessageDescriptor *response_type, int64_t deadline_mono_ms,
                     arena *a, ProtobufCMessage **response, err *e) {
    err last = {0};
    bool ok = false;
    for (int try_number = 0; !ok; try_number++) {
        err_clear(&last);
        ok = call_once(c, path, request, response_type, deadline_mono_ms, a, response, &last);
        if (ok || last.code != ERR_UNAVAILABLE || try_number >= c->retries_max ||
            !back_off(&last, try_number, deadline_mono_ms)) {
            break;
        }
    }
    if (!ok && e != NULL) {
        *e = last;
    }
    return ok;
}

// --- Many at once from one thread ------------------------------------------------------------------------------------

typedef struct flown {
    outcall c; // first: its address is the batch's tag
    const char *path;
    void *tag;
} flown;

struct rpc_flight {
    rpc_client *client;
    grpc_completion_queue *cq;
    size_t n;
};

rpc_flight *rpc_flight_create(rpc_client *c) {
    rpc_flight *f = calloc(1, sizeof(*f));
    ASSERT(f != NULL);
    f->client = c;
    f->cq = grpc_completion_queue_create_for_next(NULL);
    return f;
}

void rpc_flight_destroy(rpc_flight *f) {
    if (f != NULL) {
        ASSERT(f->n == 0);
        cq_destroy(f->cq);
        free(f);
    }
}

size_t rpc_flight_count(const rpc_flight *f) {
    return f->n;
}

void rpc_flight_start(rpc_flight *f, const char *path, const ProtobufCMessage *request,
                      int64_t deadline_mono_ms, void *tag) {
    flown *call = calloc(1, sizeof(*call));
    ASSERT(call != NULL);
    call->path = path;
    call->tag = tag;
    outcall_init(&call->c, f->client, f->cq, path, request, deadline_mono_ms);
    start_unary(&call->c);
    f->n++;
}

bool rpc_flight_next(rpc_flight *f, const ProtobufCMessageDescriptor *response_type, arena *a,
                     void **tag, ProtobufCMessage **response, err *e) {
    ASSERT(f->n > 0);
    const grpc_event ev =
        grpc_completion_queue_next(f->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    ASSERT(ev.type == GRPC_OP_COMPLETE);
    flown *call = ev.tag;
    *tag = call->tag;
    const bool ok = finish_unary(&call->c, call->path, response_type, a, response, e);
    free(call);
    f->n--;
    return ok;
}

// --- Server streaming ------------------------------------------------------------------------------------------------

// Reads until the end, an unreadable message (*e), or the callback's stop. True when the status is worth looking at.
static bool read_stream(outcall *c, grpc_completion_queue *cq,
                        const ProtobufCMessageDescriptor *type, arena *a, rpc_on_message on_message,
                        void *arg, bool *stopped, err *e) {
    int tag = 0;
    for (;;) {
        grpc_op op;
        memset(&op, 0, sizeof(op));
        op_recv_message(c, &op);
        start(c, &op, 1, &tag);
        if (!pluck(cq, &tag) || c->response == NULL) {
            return true;
        }
        const ProtobufCMessage *m = unpack_response(c->response, type, a, e);
        grpc_byte_buffer_destroy(c->response);
        c->response = NULL;
        bool go_on = m != NULL && on_message(arg, m);
        arena_reset(a);
        if (!go_on) {
            *stopped = m != NULL;
            grpc_call_cancel(c->core, NULL);
            return m != NULL;
        }
    }
}

bool rpc_client_stream(rpc_client *client, const char *path, const ProtobufCMessage *request,
                       const ProtobufCMessageDescriptor *response_type, int64_t deadline_mono_ms,
                       rpc_on_message on_message, void *arg, err *e) {
    if (!check_deadline(deadline_mono_ms, e)) {
        return false;
    }
    outcall c;
    grpc_completion_queue *cq = grpc_completion_queue_create_for_pluck(NULL);
    outcall_init(&c, client, cq, path, request, deadline_mono_ms);
    arena *a = arena_create(client->message_max * STREAM_MEMORY_FACTOR);
    grpc_op ops[4], status;
    memset(ops, 0, sizeof(ops));
    memset(&status, 0, sizeof(status));
    op_send(&c, ops);
    op_recv_initial(&c, &ops[3]);
    op_recv_status(&c, &status);
    start(&c, ops, 4, ops);
    start(&c, &status, 1, &status);
    bool begun = pluck(cq, ops), stopped = false, readable = true;
    if (begun) {
        readable = read_stream(&c, cq, response_type, a, on_message, arg, &stopped, e);
    }
    pluck(cq, &status);
    c.has_status = true;
    bool ok = readable && (stopped || outcome(&c, path, e));
    arena_destroy(a);
    outcall_deinit(&c);
    cq_destroy(cq);
    return ok;
}
