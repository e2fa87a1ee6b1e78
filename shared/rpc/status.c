#include "rpc/status_internal.h"

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "rpc/rpc_internal.h"
#include "rpc/wire_internal.h"

enum {
    DETAIL_MAX = 1024,             // bytes of one packed detail: every text of an err is bounded
    PARSE_MEMORY_MAX = 256 * 1024, // for a peer's Status
    DETAILS_MAX = 4
};
#define TYPE_URL "type.googleapis.com/"

// The details of one Status, all on the stack: nothing here may fail for want of memory.
typedef struct details {
    Google__Protobuf__Any any[DETAILS_MAX];
    Google__Protobuf__Any *list[DETAILS_MAX];
    char url[DETAILS_MAX][64];
    uint8_t bytes[DETAILS_MAX][DETAIL_MAX];
    size_t n;
} details;

static void details_add(details *d, const ProtobufCMessage *m) {
    ASSERT(d->n < DETAILS_MAX);
    ASSERT(protobuf_c_message_get_packed_size(m) <= DETAIL_MAX);
    size_t i = d->n++;
    snprintf(d->url[i], sizeof(d->url[i]), TYPE_URL "%s", m->descriptor->name);
    google__protobuf__any__init(&d->any[i]);
    d->any[i].type_url = d->url[i];
    d->any[i].value.data = d->bytes[i];
    d->any[i].value.len = protobuf_c_message_pack(m, d->bytes[i]);
    d->list[i] = &d->any[i];
}

void status_clean_text(const char *in, char *out, size_t out_len) {
    size_t n = strnlen(in, out_len - 1);
    memcpy(out, in, n);
    out[n] = '\0';
    if (str_is_text(out, n)) {
        return;
    }
    // The text was cut in the middle of a character, or never was UTF-8: keep what every reader can show.
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)out[i] >= 0x80) {
            out[i] = '?';
        }
    }
}

static void add_error_info(details *d, const err *e, const char *domain, const char *field) {
    Google__Rpc__ErrorInfo__MetadataEntry entry = GOOGLE__RPC__ERROR_INFO__METADATA_ENTRY__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry *entries[1] = {&entry};
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    char reason[sizeof(e->reason)];
    status_clean_text(e->reason[0] != '\0' ? e->reason : err_code_name(e->code), reason,
                      sizeof(reason));
    char short_domain[128];
    status_clean_text(domain, short_domain, sizeof(short_domain));
    info.reason = reason;
    info.domain = short_domain;
    char key[] = "field";
    if (field[0] != '\0') {
        entry.key = key;
        entry.value = (char *)(uintptr_t)field;
        info.metadata = entries;
        info.n_metadata = 1;
    }
    details_add(d, &info.base);
}

static void add_retry_info(details *d, int32_t retry_after_ms) {
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    delay.seconds = retry_after_ms / 1000;
    delay.nanos = (retry_after_ms % 1000) * 1000000;
    Google__Rpc__RetryInfo info = GOOGLE__RPC__RETRY_INFO__INIT;
    info.retry_delay = &delay;
    details_add(d, &info.base);
}

static void add_bad_request(details *d, const char *field, char *message) {
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *violations[1] = {&violation};
    violation.field = (char *)(uintptr_t)field;
    violation.description = message;
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    bad.field_violations = violations;
    bad.n_field_violations = 1;
    details_add(d, &bad.base);
}

// Every error that a retry helps carries a time to wait. So a client can tell "full for now" from "too large forever".
static int32_t retry_after_of(const err *e) {
    const bool helps = e->code == ERR_UNAVAILABLE ||
                       (e->code == ERR_RESOURCE_EXHAUSTED && (e->flags & ERR_RETRIABLE) != 0);
    return e->retry_after_ms > 0 ? e->retry_after_ms : helps ? RPC_RETRY_AFTER_MS : 0;
}

grpc_slice status_pack(const err *e, const char *domain, const char *request_id) {
    details d;
    d.n = 0;
    char message[sizeof(e->message)], field[sizeof(e->field)];
    status_clean_text(e->message, message, sizeof(message));
    status_clean_text(e->field, field, sizeof(field));
    add_error_info(&d, e, domain, field);
    if (retry_after_of(e) > 0) {
        add_retry_info(&d, retry_after_of(e));
    }
    if (field[0] != '\0' && e->code == ERR_INVALID_ARGUMENT) {
        add_bad_request(&d, field, message);
    }
    if (request_id[0] != '\0') {
        Google__Rpc__RequestInfo info = GOOGLE__RPC__REQUEST_INFO__INIT;
        info.request_id = (char *)(uintptr_t)request_id;
        details_add(&d, &info.base);
    }
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    status.code = (int32_t)e->code;
    status.message = message;
    status.details = d.list;
    status.n_details = d.n;
    grpc_slice out = grpc_slice_malloc(google__rpc__status__get_packed_size(&status));
    google__rpc__status__pack(&status, GRPC_SLICE_START_PTR(out));
    return out;
}

static ProtobufCMessage *unpack_detail(const Google__Protobuf__Any *any,
                                       const ProtobufCMessageDescriptor *type, arena *a) {
    const char *slash = strrchr(any->type_url, '/');
    if (slash == NULL || strcmp(slash + 1, type->name) != 0) {
        return NULL;
    }
    return wire_unpack((str){(const char *)any->value.data, any->value.len}, type, a, NULL);
}

static void parse_detail(const Google__Protobuf__Any *any, arena *a, err *e) {
    const Google__Rpc__ErrorInfo *info =
        (const void *)unpack_detail(any, &google__rpc__error_info__descriptor, a);
    if (info != NULL) {
        snprintf(e->reason, sizeof(e->reason), "%s", info->reason);
        for (size_t i = 0; i < info->n_metadata; i++) {
            if (strcmp(info->metadata[i]->key, "field") == 0) {
                snprintf(e->field, sizeof(e->field), "%s", info->metadata[i]->value);
            }
        }
        return;
    }
    const Google__Rpc__RetryInfo *retry =
        (const void *)unpack_detail(any, &google__rpc__retry_info__descriptor, a);
    const int64_t seconds_max = INT64_C(24) * 60 * 60;
    if (retry != NULL && retry->retry_delay != NULL && retry->retry_delay->seconds >= 0 &&
        retry->retry_delay->seconds <= seconds_max && retry->retry_delay->nanos >= 0 &&
        retry->retry_delay->nanos < 1000000000) {
        e->retry_after_ms =
            (int32_t)(retry->retry_delay->seconds * 1000 + retry->retry_delay->nanos / 1000000);
    }
}

void status_parse(str bytes, err *e) {
    arena *a = arena_create(PARSE_MEMORY_MAX);
    const Google__Rpc__Status *status =
        (const void *)wire_unpack(bytes, &google__rpc__status__descriptor, a, NULL);
    for (size_t i = 0; status != NULL && i < status->n_details; i++) {
        parse_detail(status->details[i], a, e);
    }
    arena_destroy(a);
}
