// Streams: the stream's own thread writes and reads, and blocks until the tag comes back on a CQ thread.
#include <string.h>

#include "base/assert.h"
#include "base/cond.h"
#include "rpc/rpc_internal.h"
#include "rpc/wire_internal.h"

static void on_write(rpc_tag *t, bool ok) {
    rpc_call *c = RPC_CONTAINER(t, rpc_call, tag_write);
    pthread_mutex_lock(&c->lock);
    c->write_busy = false;
    c->write_ok = ok;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    call_unref(c);
}

static void on_read(rpc_tag *t, bool ok) {
    rpc_call *c = RPC_CONTAINER(t, rpc_call, tag_read);
    pthread_mutex_lock(&c->lock);
    c->read_busy = false;
    c->read_ok = ok;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    call_unref(c);
}

void stream_tags_init(rpc_call *c) {
    c->tag_write.on_done = on_write;
    c->tag_read.on_done = on_read;
}

void stream_init(rpc_call *c) {
    if (!call_is_stream(c)) {
        return;
    }
    MUST(pthread_mutex_init(&c->lock, NULL) == 0);
    cond_init(&c->changed);
}

void stream_deinit(rpc_call *c) {
    if (call_is_stream(c)) {
        pthread_cond_destroy(&c->changed);
        pthread_mutex_destroy(&c->lock);
    }
}

static void wait_until(rpc_call *c, int64_t until_ms) {
    const struct timespec until = cond_at_ms(until_ms);
    (void)cond_wait_until(&c->changed, &c->lock, &until);
}

// The memory of a write may go only after its tag has come back. So a reader that takes nothing is cut off.
static bool wait_written(rpc_call *c) {
    const int64_t until_ms = mono_ms() + RPC_WRITE_STALL_MS;
    bool cut_off = false;
    pthread_mutex_lock(&c->lock);
    while (c->write_busy) {
        if (cut_off) {
            pthread_cond_wait(&c->changed, &c->lock);
        } else if (mono_ms() < until_ms) {
            wait_until(c, until_ms);
        } else {
            cut_off = true;
            pthread_mutex_unlock(&c->lock);
            log_warn("rpc.stream.stalled", F_STR("method", c->method->path),
                     F_STR("peer", c->identity));
            grpc_call_cancel_with_status(c->core, GRPC_STATUS_UNAVAILABLE, "the reader is too slow",
                                         NULL);
            pthread_mutex_lock(&c->lock);
        }
    }
    bool ok = c->write_ok;
    pthread_mutex_unlock(&c->lock);
    return ok;
}

bool stream_write(rpc_call *c, const ProtobufCMessage *m) {
    ASSERT(call_is_stream(c));
    ASSERT(atomic_load(&c->answer) == ANSWER_OPEN);
    if (atomic_load(&c->cancelled)) {
        return false;
    }
    grpc_op ops[2];
    memset(ops, 0, sizeof(ops));
    size_t n = 0;
    if (!c->initial_sent) {
        call_initial_metadata(c, &ops[n++]);
    }
    grpc_slice bytes = slice_of_message(m);
    grpc_byte_buffer *body = grpc_raw_byte_buffer_create(&bytes, 1);
    grpc_slice_unref(bytes);
    ops[n].op = GRPC_OP_SEND_MESSAGE;
    ops[n++].data.send_message.send_message = body;
    c->write_busy = true; // no other thread looks before the batch is started
    call_ref(c);
    grpc_call_error error = grpc_call_start_batch(c->core, ops, n, &c->tag_write, NULL);
    bool ok = error == GRPC_CALL_OK;
    if (ok) {
        ok = wait_written(c);
    } else {
        log_error("rpc.batch.refused", F_STR("batch", "write"),
                  F_STR("error", grpc_call_error_to_string(error)));
        grpc_call_cancel(c->core, NULL);
        c->write_busy = false;
        call_unref(c);
    }
    grpc_byte_buffer_destroy(body);
    return ok && !atomic_load(&c->cancelled);
}

bool rpc_write(rpc_call *c, const ProtobufCMessage *message) {
    return !rpc_cancelled(c) && stream_write(c, message);
}

bool stream_read(rpc_call *c, grpc_slice *bytes) {
    ASSERT(!c->read_busy);
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &c->read_buffer;
    c->read_busy = true;
    call_ref(c);
    grpc_call_error error = grpc_call_start_batch(c->core, &op, 1, &c->tag_read, NULL);
    if (error != GRPC_CALL_OK) {
        log_error("rpc.batch.refused", F_STR("batch", "read"),
                  F_STR("error", grpc_call_error_to_string(error)));
        grpc_call_cancel(c->core, NULL);
        c->read_busy = false;
        call_unref(c);
        return false;
    }
    const int64_t until_ms = mono_ms() + RPC_READ_IDLE_MS;
    pthread_mutex_lock(&c->lock);
    while (c->read_busy && !rpc_cancelled(c) && mono_ms() < until_ms) {
        wait_until(c, until_ms < c->deadline_ms ? until_ms : c->deadline_ms);
    }
    // After a timeout the tag is still out. It holds its own reference, and the end of the call brings it back.
    bool ok = !c->read_busy && c->read_ok && c->read_buffer != NULL;
    pthread_mutex_unlock(&c->lock);
    if (!ok) {
        return false;
    }
    ok = wire_read_buffer(c->read_buffer, bytes);
    grpc_byte_buffer_destroy(c->read_buffer);
    c->read_buffer = NULL;
    return ok;
}

bool stream_wait(rpc_call *c, int64_t ms, const atomic_uint *version, unsigned seen) {
    ASSERT(call_is_stream(c));
    int64_t until_ms = mono_ms() + ms;
    until_ms = until_ms < c->deadline_ms ? until_ms : c->deadline_ms;
    pthread_mutex_lock(&c->lock);
    bool cancelled = rpc_cancelled(c);
    while (!cancelled && mono_ms() < until_ms &&
           (version == NULL || atomic_load(version) == seen)) {
        wait_until(c, until_ms);
        cancelled = rpc_cancelled(c);
    }
    pthread_mutex_unlock(&c->lock);
    return !cancelled;
}

bool rpc_stream_wait(rpc_call *c, int64_t ms) {
    return stream_wait(c, ms, NULL, 0);
}
