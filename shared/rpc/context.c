// The caller of a call, and its trace and request ids.
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "rpc/rpc_internal.h"

static bool is_lower_hex(str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f'))) {
            return false;
        }
    }
    return true;
}

static bool is_all_zero(str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '0') {
            return false;
        }
    }
    return true;
}

bool trace_parse(str header, char trace_id[33]) {
    // version "00": 00-<32 hex>-<16 hex>-<2 hex>. Later versions may be longer but begin the same way.
    enum { LEN = 55, TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53 };
    if (header.len < LEN || (header.len > LEN && header.ptr[LEN] != '-')) {
        return false;
    }
    str version = {header.ptr, 2}, trace = {header.ptr + TRACE_AT, 32};
    str span = {header.ptr + SPAN_AT, 16}, flags = {header.ptr + FLAGS_AT, 2};
    bool dashes = header.ptr[2] == '-' && header.ptr[35] == '-' && header.ptr[52] == '-';
    bool is_v0 = str_eq_c(version, "00");
    if (!dashes || !is_lower_hex(version) || str_eq_c(version, "ff") ||
        (is_v0 && header.len != LEN) || !is_lower_hex(trace) || is_all_zero(trace) ||
        !is_lower_hex(span) || is_all_zero(span) || !is_lower_hex(flags)) {
        return false;
    }
    memcpy(trace_id, trace.ptr, trace.len);
    trace_id[trace.len] = '\0';
    return true;
}

// Only characters that need no quoting in logs and headers.
static bool request_id_ok(str s) {
    if (s.len == 0 || s.len >= RPC_REQUEST_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && strchr("-_.:/", c) == NULL) {
            return false;
        }
    }
    return true;
}

enum { TRACE_BYTES = 16, SPAN_BYTES = 8 };

// All zeros are not an id.
static void id_hex(uint8_t *bytes, size_t n, char *out) {
    bytes[0] |= 1;
    str_hex(bytes, n, out);
}

// Reads whom a gateway acts for. A value that cannot be read is an error, never "nobody".
static void read_claim(rpc_call *c, bool person, str value) {
    authz_claim *claim = &c->claim;
    str bad;
    if (person) {
        c->claim_ok = c->claim_ok && claim->person.ptr == NULL && value.len > 0 &&
                      value.len <= AUTHZ_PERSON_MAX && str_is_plain(value.ptr, value.len);
        claim->person = value;
    } else {
        c->claim_ok =
            c->claim_ok && claim->roles == 0 && authz_roles_read(value, &claim->roles, &bad);
    }
}

void context_read(rpc_call *c) {
    c->claim_ok = true;
    for (size_t i = 0; i < c->metadata.count; i++) {
        const grpc_metadata *md = &c->metadata.metadata[i];
        str value = {(const char *)GRPC_SLICE_START_PTR(md->value), GRPC_SLICE_LENGTH(md->value)};
        if (grpc_slice_str_cmp(md->key, "traceparent") == 0) {
            if (!trace_parse(value, c->trace_id)) {
                c->trace_id[0] = '\0';
            }
        } else if (grpc_slice_str_cmp(md->key, "x-request-id") == 0 && request_id_ok(value)) {
            memcpy(c->request_id, value.ptr, value.len);
            c->request_id[value.len] = '\0';
        } else if (grpc_slice_str_cmp(md->key, RPC_PERSON_KEY) == 0) {
            read_claim(c, true, value);
        } else if (grpc_slice_str_cmp(md->key, RPC_ROLES_KEY) == 0) {
            read_claim(c, false, value);
        }
    }
    uint8_t ids[TRACE_BYTES + SPAN_BYTES];
    clock_random(clock_system(), ids, sizeof(ids));
    if (c->trace_id[0] == '\0') {
        id_hex(ids, TRACE_BYTES, c->trace_id);
    }
    id_hex(ids + TRACE_BYTES, SPAN_BYTES, c->span_id);
    if (c->request_id[0] == '\0') {
        uuid_format(uuid_v7(clock_system()), c->request_id);
    }
}

static bool uri_is_plain(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (s[i] <= ' ' || s[i] > '~' || s[i] == ',') {
            return false;
        }
    }
    return len > 0;
}

bool identity_read(rpc_call *c, err *e) {
    grpc_auth_context *auth = grpc_call_auth_context(c->core);
    size_t n = 0;
    bool plain = true;
    bool authenticated = auth != NULL && grpc_auth_context_peer_is_authenticated(auth) != 0;
    if (authenticated) {
        grpc_auth_property_iterator it =
            grpc_auth_context_find_properties_by_name(auth, GRPC_PEER_URI_PROPERTY_NAME);
        for (const grpc_auth_property *p; (p = grpc_auth_property_iterator_next(&it)) != NULL;
             n++) {
            plain = plain && p->value_length < RPC_IDENTITY_MAX &&
                    uri_is_plain(p->value, p->value_length);
            if (plain) {
                memcpy(c->identity, p->value, p->value_length);
                c->identity[p->value_length] = '\0';
            }
        }
    }
    if (auth != NULL) {
        grpc_auth_context_release(auth);
    }
    if (!authenticated || n != 1 || !plain) {
        c->identity[0] = '\0';
        return err_set(e, ERR_UNAUTHENTICATED, "IDENTITY_INVALID",
                       "the client certificate must name exactly one URI");
    }
    return true;
}

const char *rpc_peer_identity(const rpc_call *c) {
    return c->identity;
}

const char *rpc_trace_id(const rpc_call *c) {
    return c->trace_id;
}

const char *rpc_request_id(const rpc_call *c) {
    return c->request_id;
}
