// References to a call, and what happens when the last one goes.
#include <stdlib.h>

#include "base/assert.h"
#include "rpc/rpc_internal.h"

void call_link(rpc_call *c) {
    rpc_server *s = c->server;
    atomic_fetch_add(&s->alive, 1);
    pthread_mutex_lock(&s->lock);
    c->next = s->first;
    if (s->first != NULL) {
        s->first->prev = c;
    }
    s->first = c;
    pthread_mutex_unlock(&s->lock);
}

static void call_unlink(rpc_call *c) {
    rpc_server *s = c->server;
    pthread_mutex_lock(&s->lock);
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        s->first = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    pthread_mutex_unlock(&s->lock);
}

// Slices of the metadata belong to core's call object. Only the array is ours.
void call_free_slot(rpc_call *c) {
    grpc_metadata_array_destroy(&c->metadata);
    grpc_call_details_destroy(&c->details);
    grpc_byte_buffer_destroy(c->payload);
    free(c);
}

static void call_free(rpc_call *c) {
    call_unlink(c);
    if (c->initial_sent) {
        grpc_slice_unref(c->initial_md.value);
    }
    if (c->has_trailing) {
        grpc_slice_unref(c->trailing_md.value);
    }
    grpc_byte_buffer_destroy(c->body);
    grpc_byte_buffer_destroy(c->read_buffer);
    arena_destroy(c->memory);
    authz_policy_release(c->policy);
    stream_deinit(c);
    grpc_call_unref(c->core);
    rpc_server *s = c->server;
    call_free_slot(c);
    // The drain frees the server once the last call is gone: touch nothing of the server after this. Core may report the stop while this
    // thread still holds the call, so that report is not enough.
    pthread_mutex_lock(&s->lock);
    if (atomic_fetch_sub(&s->alive, 1) == 1 && atomic_load(&s->closing)) {
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
}

void call_ref(rpc_call *c) {
    atomic_fetch_add(&c->refs, 1);
}

void call_unref(rpc_call *c) {
    int before = atomic_fetch_sub(&c->refs, 1);
    ASSERT(before > 0);
    if (before == 1) {
        call_free(c);
    }
}

void call_wake(rpc_call *c) {
    if (call_is_stream(c)) {
        pthread_mutex_lock(&c->lock);
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
    }
}
