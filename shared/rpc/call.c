// The life of one call on the server: arrival, decoding, the one answer, and the count of what still points to it.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "rpc/rpc_internal.h"
#include "rpc/status_internal.h"
#include "rpc/wire_internal.h"

int64_t mono_ms(void) {
    return clock_mono_ms(clock_system());
}

int64_t mono_us(void) {
    return clock_mono_us(clock_system());
}

bool call_is_stream(const rpc_call *c) {
    return c->method->stream != NULL;
}

// --- Arrival (completion-queue thread) -------------------------------------------------------------------------------

static void on_close(rpc_tag *t, bool ok) {
    (void)ok; // this batch always succeeds; cancelled_out is what it has to say
    rpc_call *c = RPC_CONTAINER(t, rpc_call, tag_close);
    if (c->cancelled_out != 0) {
        atomic_store(&c->cancelled, true);
        call_wake(c);
    }
    call_unref(c);
}

static void read_deadline(rpc_call *c) {
    const int64_t limit = c->server->options.deadline_max_ms;
    int64_t left_ms = INT64_MAX;
    if (gpr_time_cmp(c->core_deadline, gpr_inf_future(c->core_deadline.clock_type)) != 0) {
        // Not gpr_time_to_millis, which rounds up: 4.1 ms are less than 5.
        const gpr_timespec left = gpr_convert_clock_type(c->core_deadline, GPR_TIMESPAN);
        left_ms = left.tv_sec > INT32_MAX ? INT64_MAX : left.tv_sec * 1000 + left.tv_nsec / 1000000;
    }
    if (!call_is_stream(c) && left_ms > limit) {
        left_ms = limit;
    }
    c->deadline_ms = left_ms == INT64_MAX ? INT64_MAX : mono_ms() + left_ms;
}

bool deadline_too_short(int64_t deadline_ms, int64_t now_ms) {
    return deadline_ms != INT64_MAX && deadline_ms - now_ms < RPC_DEADLINE_MIN_MS;
}

static bool check_time_left(const rpc_call *c, err *e) {
    if (deadline_too_short(c->deadline_ms, mono_ms())) {
        return err_set(e, ERR_DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT",
                       "no time was left to begin; nothing was done");
    }
    return true;
}

bool message_fits(size_t len, size_t max, err *e) {
    return len <= max || err_set(e, ERR_RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE",
                                 "the request has %zu bytes, and at most %zu are taken", len, max);
}

static size_t payload_bytes(const rpc_call *c) {
    return c->payload == NULL ? 0 : grpc_byte_buffer_length(c->payload);
}

static bool check_arrival(rpc_call *c, err *e) {
    if (!caller_check(c, e)) {
        return false;
    }
    if (c->method == &c->server->unknown) {
        return err_set(e, ERR_UNIMPLEMENTED, "METHOD_NOT_FOUND", "there is no such method");
    }
    if (atomic_load(&c->server->draining)) {
        return err_set(e, ERR_UNAVAILABLE, "SERVER_DRAINING", "the server is stopping; ask again");
    }
    return message_fits(payload_bytes(c), c->server->options.message_max, e) &&
           check_time_left(c, e);
}

static void close_op(rpc_call *c, grpc_op *op) {
    op->op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    op->data.recv_close_on_server.cancelled = &c->cancelled_out;
}

static bool watch_close(rpc_call *c) {
    if (c->at_once) {
        return true; // a batch of its own would tell too late to be of use: it goes with the answer
    }
    grpc_op op;
    memset(&op, 0, sizeof(op));
    close_op(c, &op);
    call_ref(c);
    grpc_call_error error = grpc_call_start_batch(c->core, &op, 1, &c->tag_close, NULL);
    if (error != GRPC_CALL_OK) {
        log_error("rpc.batch.refused", F_STR("batch", "close"),
                  F_STR("error", grpc_call_error_to_string(error)));
        grpc_call_cancel(c->core, NULL);
        atomic_store(&c->cancelled, true);
        call_unref(c);
        return false;
    }
    return true;
}

static void drop_payload(rpc_call *c) {
    grpc_byte_buffer_destroy(c->payload);
    c->payload = NULL;
}

static void call_begin(rpc_call *c) {
    c->begun_us = mono_us();
    if (c->method == &c->server->unknown) {
        c->core_deadline = c->details.deadline;
    }
    c->at_once = c->method->never_waits && payload_bytes(c) <= RPC_SMALL_BYTES;
    stream_init(c);
    context_read(c);
    read_deadline(c);
    call_link(c);
    metric_add(c->method->started, 1);
    // `refs` is 1: the duty to answer.
    err e = {0};
    if (!watch_close(c)) {
        err_set(&e, ERR_INTERNAL, "INTERNAL", "the call could not be started");
        rpc_fail(c, &e);
    } else if (!check_arrival(c, &e) || !admit(c, &e)) {
        // Nobody will read it, and it may be megabytes until the refusal is on its way.
        drop_payload(c);
        rpc_fail(c, &e);
    }
}

static void on_new(rpc_tag *t, bool ok) {
    rpc_call *c = RPC_CONTAINER(t, rpc_call, tag_new);
    if (!ok) { // the server is shutting down: an empty slot comes back
        call_free_slot(c);
        return;
    }
    if (!atomic_load(&c->server->closing)) {
        call_arm(c->server, c->method, c->cq);
    }
    call_begin(c);
}

static void on_finish(rpc_tag *t, bool ok) {
    rpc_call *c = RPC_CONTAINER(t, rpc_call, tag_finish);
    rpc_server *s = c->server;
    if (!ok) {
        log_debug("rpc.answer.undelivered", F_STR("method", c->method->path));
    }
    atomic_fetch_sub(&s->finishing, 1);
    server_wake_drain(s);
    call_unref(c);
}

void call_arm(rpc_server *s, method_state *m, grpc_completion_queue *cq) {
    rpc_call *c = calloc(1, sizeof(*c));
    ASSERT(c != NULL);
    c->server = s;
    c->method = m;
    c->cq = cq;
    atomic_init(&c->refs, 1);
    grpc_metadata_array_init(&c->metadata);
    grpc_call_details_init(&c->details);
    c->tag_new.on_done = on_new;
    c->tag_close.on_done = on_close;
    c->tag_finish.on_done = on_finish;
    stream_tags_init(c);
    grpc_call_error error;
    if (m == &s->unknown) {
        error = grpc_server_request_call(s->core, &c->core, &c->details, &c->metadata, cq, cq,
                                         &c->tag_new);
    } else {
        error = grpc_server_request_registered_call(s->core, m->handle, &c->core, &c->core_deadline,
                                                    &c->metadata, m->bidi ? NULL : &c->payload, cq,
                                                    cq, &c->tag_new);
    }
    if (error != GRPC_CALL_OK) {
        log_error("rpc.arm.refused", F_STR("method", m->path),
                  F_STR("error", grpc_call_error_to_string(error)));
        call_free_slot(c);
    }
}

// --- Decoding and the handler (worker or stream thread) --------------------------------------------------------------

static bool call_decode(rpc_call *c, const ProtobufCMessage **request, err *e) {
    c->memory = arena_create(c->server->options.arena_max);
    if (c->method->bidi) {
        *request = NULL;
        return true;
    }
    grpc_slice bytes;
    if (!wire_read_buffer(c->payload, &bytes)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "MALFORMED_MESSAGE",
                       "the request message is missing");
    }
    str wire = {(const char *)GRPC_SLICE_START_PTR(bytes), GRPC_SLICE_LENGTH(bytes)};
    *request = wire_unpack(wire, c->method->input, c->memory, e);
    grpc_slice_unref(bytes); // unpacking copied everything
    drop_payload(c);         // what core still holds of it is not needed any more
    return *request != NULL;
}

static bool check_still_wanted(const rpc_call *c, err *e) {
    if (atomic_load(&c->cancelled)) {
        return err_set(e, ERR_CANCELLED, "CANCELLED", "the caller gave up before the work began");
    }
    return check_time_left(c, e);
}

void call_run(rpc_call *c) {
    call_ref(c); // the arena must outlive the handler, also when it has answered
    log_context *ctx = log_ctx();
    log_ctx_clear();
    memcpy(ctx->trace_id, c->trace_id, sizeof(ctx->trace_id));
    memcpy(ctx->span_id, c->span_id, sizeof(ctx->span_id));
    memcpy(ctx->request_id, c->request_id, sizeof(ctx->request_id));
    err e = {0};
    const ProtobufCMessage *request = NULL;
    if (!check_still_wanted(c, &e) || !call_decode(c, &request, &e) ||
        !object_check(c, request, &e)) {
        rpc_fail(c, &e);
    } else if (c->method->stream != NULL) {
        c->method->stream(c, c->method->self, request);
        // A stream has no other thread that could end it later.
        ASSERT(atomic_load(&c->answer) != ANSWER_OPEN && atomic_load(&c->answer) != ANSWER_FRAME);
    } else {
        c->method->unary(c, c->method->self, request);
    }
    log_ctx_clear();
    call_unref(c);
}

// --- The answer ------------------------------------------------------------------------------------------------------

// True when this answer is to be sent. A handler whose answer comes second finds its duty done, and is released from it.
static bool call_claim(rpc_call *c, answer_state by) {
    int expected = ANSWER_OPEN;
    if (atomic_compare_exchange_strong(&c->answer, &expected, by)) {
        return true;
    }
    if (by == ANSWER_HANDLER) {
        expected = ANSWER_FRAME;
        bool first_by_handler = atomic_compare_exchange_strong(&c->answer, &expected, ANSWER_BOTH);
        ASSERT(first_by_handler); // answered twice
        call_unref(c);
    }
    return false;
}

void call_initial_metadata(rpc_call *c, grpc_op *op) {
    c->initial_md.key = grpc_slice_from_static_string("x-request-id");
    c->initial_md.value = grpc_slice_from_copied_string(c->request_id);
    c->initial_sent = true;
    op->op = GRPC_OP_SEND_INITIAL_METADATA;
    op->data.send_initial_metadata.count = 1;
    op->data.send_initial_metadata.metadata = &c->initial_md;
}

// Writes of this thread are about c until *log_ctx() is what this answers with: a late answer comes from a thread that
// works for somebody else.
static log_context enter_context(const rpc_call *c) {
    log_context *ctx = log_ctx();
    const log_context saved = *ctx;
    memcpy(ctx->trace_id, c->trace_id, sizeof(ctx->trace_id));
    memcpy(ctx->span_id, c->span_id, sizeof(ctx->span_id));
    memcpy(ctx->request_id, c->request_id, sizeof(ctx->request_id));
    return saved;
}

static void log_success(const rpc_call *c) {
    const log_context saved = enter_context(c);
    log_debug("rpc.answered", F_STR("method", c->method->path),
              F_INT("us", mono_us() - c->begun_us));
    *log_ctx() = saved;
}

void call_send_status(rpc_call *c, err_code code, const char *message, grpc_slice details) {
    rpc_server *s = c->server;
    metric_add(c->method->handled[(unsigned)code < RPC_CODES ? code : ERR_UNKNOWN], 1);
    metric_observe_us(c->method->handling, mono_us() - c->begun_us);
    if (code == ERR_OK) {
        log_success(c);
    }
    admission_leave(c);
    grpc_op ops[4];
    memset(ops, 0, sizeof(ops));
    size_t n = 0;
    if (c->at_once) {
        close_op(c, &ops[n++]);
    }
    if (!c->initial_sent) {
        call_initial_metadata(c, &ops[n++]);
    }
    if (c->body != NULL && !call_is_stream(c)) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = c->body;
    }
    grpc_slice text = grpc_slice_from_copied_string(message);
    ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[n].data.send_status_from_server.status = (grpc_status_code)code;
    ops[n].data.send_status_from_server.status_details = &text;
    if (GRPC_SLICE_LENGTH(details) > 0) {
        c->trailing_md.key = grpc_slice_from_static_string(STATUS_DETAILS_KEY);
        c->trailing_md.value = details; // taken over
        c->has_trailing = true;
        ops[n].data.send_status_from_server.trailing_metadata = &c->trailing_md;
        ops[n].data.send_status_from_server.trailing_metadata_count = 1;
    }
    n++;
    call_ref(c);
    atomic_fetch_add(&s->finishing, 1);
    grpc_call_error error = grpc_call_start_batch(c->core, ops, n, &c->tag_finish, NULL);
    grpc_slice_unref(text);
    if (error != GRPC_CALL_OK) { // a bug of ours; the client at least hears that it is over
        log_error("rpc.batch.refused", F_STR("batch", "status"),
                  F_STR("error", grpc_call_error_to_string(error)));
        grpc_call_cancel(c->core, NULL);
        atomic_fetch_sub(&s->finishing, 1);
        call_unref(c);
    }
}

grpc_slice slice_of_message(const ProtobufCMessage *m) {
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(m));
    protobuf_c_message_pack(m, GRPC_SLICE_START_PTR(slice));
    return slice;
}

static void reply_with(rpc_call *c, grpc_slice bytes) {
    ASSERT(!call_is_stream(c));
    if (call_claim(c, ANSWER_HANDLER)) {
        c->body = grpc_raw_byte_buffer_create(&bytes, 1);
        call_send_status(c, ERR_OK, "", grpc_empty_slice());
        call_unref(c);
    }
    grpc_slice_unref(bytes);
}

void rpc_reply(rpc_call *c, const ProtobufCMessage *response) {
    reply_with(c, slice_of_message(response));
}

void rpc_reply_packed(rpc_call *c, const void *bytes, size_t len) {
    reply_with(c, grpc_slice_from_copied_buffer(bytes, len));
}

static void log_failure(const rpc_call *c, const err *e) {
    bool ours = e->code == ERR_INTERNAL || e->code == ERR_UNKNOWN || e->code == ERR_DATA_LOSS;
    bool load = e->code == ERR_UNAVAILABLE || e->code == ERR_RESOURCE_EXHAUSTED;
    // PERMISSION_DENIED and UNAUTHENTICATED have lines of their own: permission.c.
    log_level level = ours ? LOG_ERROR : load ? LOG_INFO : LOG_DEBUG;
    const log_context saved = enter_context(c);
    log_err(level, "rpc.failed", e);
    *log_ctx() = saved;
}

static void send_failure(rpc_call *c, const err *e) {
    ASSERT(e->code != ERR_OK);
    char message[sizeof(e->message)];
    status_clean_text(e->message, message, sizeof(message));
    log_failure(c, e);
    call_send_status(c, e->code, message, status_pack(e, c->server->domain, c->request_id));
}

void rpc_fail(rpc_call *c, const err *e) {
    if (call_claim(c, ANSWER_HANDLER)) {
        send_failure(c, e);
        call_unref(c);
    }
}

void call_preempt(rpc_call *c, const err *e) {
    if (call_claim(c, ANSWER_FRAME)) {
        send_failure(c, e);
    }
}

void rpc_stream_end(rpc_call *c) {
    ASSERT(call_is_stream(c));
    err e = {0};
    switch ((int)c->told_to_stop) {
    case ERR_OK:
        if (call_claim(c, ANSWER_HANDLER)) {
            call_send_status(c, ERR_OK, "", grpc_empty_slice());
            call_unref(c);
        }
        return;
    case ERR_UNAVAILABLE:
        err_set(&e, ERR_UNAVAILABLE, "SERVER_DRAINING", "the server is stopping; ask again");
        break;
    case ERR_DEADLINE_EXCEEDED:
        err_set(&e, ERR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                "the deadline passed before the end of the stream");
        break;
    case ERR_PERMISSION_DENIED: (void)authz_refuse(c->withdrawn, &e); break;
    default: err_set(&e, ERR_CANCELLED, "CANCELLED", "the caller gave up"); break;
    }
    rpc_fail(c, &e);
}

// --- What a handler may ask ------------------------------------------------------------------------------------------

arena *rpc_arena(rpc_call *c) {
    return c->memory;
}

int64_t rpc_deadline_mono_ms(const rpc_call *c) {
    return c->deadline_ms;
}

bool rpc_cancelled(const rpc_call *c) {
    const rpc_server *s = c->server;
    bool draining = atomic_load(call_is_stream(c) ? &s->draining : &s->hard_stop);
    err_code why = atomic_load(&c->cancelled)    ? ERR_CANCELLED
                   : mono_ms() >= c->deadline_ms ? ERR_DEADLINE_EXCEEDED
                   : draining                    ? ERR_UNAVAILABLE
                                                 : ERR_OK;
    // unary handlers may ask from any thread; nothing is noted for them
    if (call_is_stream(c)) {
        rpc_call *own = (rpc_call *)(uintptr_t)c;
        if (why == ERR_OK && !caller_still_allowed(own)) {
            why = ERR_PERMISSION_DENIED;
        }
        if (why != ERR_OK) {
            own->told_to_stop = why;
        }
    }
    return why != ERR_OK;
}
