#include "raw_client.h"

#include <grpc/support/alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "fixture.h"
#include "rpc/rpc_internal.h"
#include "rpc/status_internal.h"
#include "rpc/wire_internal.h"

static char *read_file(const char *path) {
    enum { MAX = 65536 };
    FILE *in = fopen(path, "rbe");
    ASSERT(in != NULL);
    char *text = calloc(1, MAX + 1);
    ASSERT(text != NULL);
    size_t len = fread(text, 1, MAX, in);
    ASSERT(len > 0 && len < MAX);
    fclose(in);
    return text;
}

static grpc_channel *open_channel(const raw_call *r) {
    char *ca = read_file(fixture_pem(r->ca));
    char *cert = r->cert != NULL ? read_file(fixture_pem(r->cert)) : NULL;
    char *key = r->cert != NULL ? read_file(fixture_key(r->cert)) : NULL;
    grpc_ssl_pem_key_cert_pair pair = {key, cert};
    grpc_channel_credentials *creds =
        grpc_ssl_credentials_create_ex(ca, cert != NULL ? &pair : NULL, NULL, NULL);
    grpc_arg args[2] = {{.type = GRPC_ARG_STRING,
                         .key = (char *)(uintptr_t)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
                         .value.string = (char *)(uintptr_t) "localhost"},
                        {.type = GRPC_ARG_INTEGER,
                         .key = (char *)(uintptr_t)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
                         .value.integer = 1}};
    grpc_channel_args list = {2, args};
    grpc_channel *channel = grpc_channel_create(r->target, creds, &list);
    grpc_channel_credentials_release(creds);
    free(ca);
    free(cert);
    free(key);
    return channel;
}

static void must_start(grpc_call *call, const grpc_op *ops, size_t n, void *tag) {
    grpc_call_error error = grpc_call_start_batch(call, ops, n, tag, NULL);
    ASSERT(error == GRPC_CALL_OK);
}

static bool pluck(grpc_completion_queue *cq, void *tag) {
    grpc_event ev = grpc_completion_queue_pluck(cq, tag, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    ASSERT(ev.type == GRPC_OP_COMPLETE);
    return ev.success != 0;
}

static void pause_for(int64_t ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static void read_all(const raw_call *r, grpc_call *call, grpc_completion_queue *cq,
                     raw_result *out) {
    for (int i = 0;; i++) {
        if (i < r->pauses) {
            pause_for(r->pause_ms);
        }
        grpc_byte_buffer *message = NULL;
        grpc_op op;
        memset(&op, 0, sizeof(op));
        op.op = GRPC_OP_RECV_MESSAGE;
        op.data.recv_message.recv_message = &message;
        int tag;
        must_start(call, &op, 1, &tag);
        if (!pluck(cq, &tag) || message == NULL) {
            return;
        }
        grpc_slice bytes;
        if (wire_read_buffer(message, &bytes)) {
            if (out->messages++ == 0) {
                size_t len = GRPC_SLICE_LENGTH(bytes);
                out->first_len = len < sizeof(out->first) ? len : sizeof(out->first);
                memcpy(out->first, GRPC_SLICE_START_PTR(bytes), out->first_len);
            }
            grpc_slice_unref(bytes);
        }
        grpc_byte_buffer_destroy(message);
    }
}

static void read_metadata(const grpc_metadata_array *initial, const grpc_metadata_array *trailing,
                          raw_result *out) {
    for (size_t i = 0; i < trailing->count; i++) {
        const grpc_metadata *md = &trailing->metadata[i];
        if (grpc_slice_str_cmp(md->key, STATUS_DETAILS_KEY) == 0) {
            status_parse(
                (str){(const char *)GRPC_SLICE_START_PTR(md->value), GRPC_SLICE_LENGTH(md->value)},
                &out->e);
        }
    }
    for (size_t i = 0; i < initial->count; i++) {
        const grpc_metadata *md = &initial->metadata[i];
        if (grpc_slice_str_cmp(md->key, "x-request-id") == 0) {
            snprintf(out->request_id, sizeof(out->request_id), "%.*s",
                     (int)GRPC_SLICE_LENGTH(md->value),
                     (const char *)GRPC_SLICE_START_PTR(md->value));
        }
    }
}

// Sends the messages one by one: core allows only one send in a batch.
static void send_all(const raw_call *r, grpc_call *call, grpc_completion_queue *cq) {
    int n = r->no_message ? 0 : r->second_message ? 2 : 1;
    for (int i = 0; i < n; i++) {
        grpc_slice bytes = grpc_slice_from_copied_buffer(r->bytes, r->len);
        grpc_byte_buffer *body = grpc_raw_byte_buffer_create(&bytes, 1);
        grpc_slice_unref(bytes);
        grpc_op op;
        memset(&op, 0, sizeof(op));
        op.op = GRPC_OP_SEND_MESSAGE;
        op.data.send_message.send_message = body;
        must_start(call, &op, 1, body);
        pluck(cq, body);
        grpc_byte_buffer_destroy(body);
    }
    if (!r->keep_open) {
        grpc_op op;
        memset(&op, 0, sizeof(op));
        op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
        must_start(call, &op, 1, &op);
        pluck(cq, &op);
    }
}

void raw_call_run(const raw_call *r, raw_result *out) {
    memset(out, 0, sizeof(*out));
    grpc_channel *channel = open_channel(r);
    grpc_completion_queue *cq = grpc_completion_queue_create_for_pluck(NULL);
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (r->timeout_ms > 0) {
        deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                gpr_time_from_millis(r->timeout_ms, GPR_TIMESPAN));
    }
    grpc_slice path = grpc_slice_from_copied_string(r->path);
    grpc_call *call = grpc_channel_create_call(channel, NULL, 0, cq, path, NULL, deadline, NULL);
    grpc_slice_unref(path);
    grpc_metadata sent[2 + RAW_EXTRA];
    size_t n_sent = 0;
    if (r->traceparent != NULL) {
        sent[n_sent].key = grpc_slice_from_static_string("traceparent");
        sent[n_sent++].value = grpc_slice_from_static_string(r->traceparent);
    }
    if (r->request_id != NULL) {
        sent[n_sent].key = grpc_slice_from_static_string("x-request-id");
        sent[n_sent++].value = grpc_slice_from_static_string(r->request_id);
    }
    for (int i = 0; i < RAW_EXTRA && r->keys[i] != NULL; i++) {
        sent[n_sent].key = grpc_slice_from_static_string(r->keys[i]);
        sent[n_sent++].value = grpc_slice_from_static_string(r->values[i]);
    }
    grpc_metadata_array initial, trailing;
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    grpc_status_code status = GRPC_STATUS_OK;
    grpc_slice text = grpc_empty_slice();
    grpc_op start[1], first[1], last[1];
    memset(start, 0, sizeof(start));
    memset(first, 0, sizeof(first));
    memset(last, 0, sizeof(last));
    start[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    start[0].data.send_initial_metadata.count = n_sent;
    start[0].data.send_initial_metadata.metadata = sent;
    first[0].op = GRPC_OP_RECV_INITIAL_METADATA;
    first[0].data.recv_initial_metadata.recv_initial_metadata = &initial;
    last[0].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    last[0].data.recv_status_on_client.status = &status;
    last[0].data.recv_status_on_client.status_details = &text;
    last[0].data.recv_status_on_client.trailing_metadata = &trailing;
    must_start(call, start, 1, start);
    must_start(call, first, 1, first);
    must_start(call, last, 1, last);
    pluck(cq, start);
    send_all(r, call, cq);
    if (r->cancel_after_ms > 0) {
        pause_for(r->cancel_after_ms);
        grpc_call_cancel(call, NULL);
    }
    pluck(cq, first);
    read_all(r, call, cq, out);
    pluck(cq, last);
    out->status = (int)status;
    read_metadata(&initial, &trailing, out);
    snprintf(out->text, sizeof(out->text), "%.*s", (int)GRPC_SLICE_LENGTH(text),
             (const char *)GRPC_SLICE_START_PTR(text));
    grpc_slice_unref(text);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(cq);
    grpc_completion_queue_destroy(cq);
    grpc_channel_destroy(channel);
}
