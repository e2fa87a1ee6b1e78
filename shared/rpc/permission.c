// Whether a call may go on: who calls, and what the policy and the service's table say about it. Nothing is decided anywhere else.
#include <grpc/support/alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "rpc/rpc_internal.h"

// --- The table (start) -------------------------------------------------------------------------------------------------

static method_state *method_of(rpc_server *s, const char *name) {
    for (size_t i = 0; i < s->n_methods; i++) {
        if (!s->methods[i].system && strcmp(s->methods[i].path + 1, name) == 0) {
            return &s->methods[i];
        }
    }
    return NULL;
}

static bool bind_field(method_state *m, err *e) {
    const authz_object on = m->permission->object;
    if (on != AUTHZ_ON_MERCHANT && on != AUTHZ_ON_MERCHANT_OR_ALL) {
        return true;
    }
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(m->input, AUTHZ_MERCHANT_FIELD);
    if (f == NULL || f->type != PROTOBUF_C_TYPE_STRING || f->label == PROTOBUF_C_LABEL_REPEATED) {
        return err_set(e, ERR_INTERNAL, "PERMISSIONS_INCOMPLETE",
                       "%s: its row looks at %s, which its request does not have", m->path + 1,
                       AUTHZ_MERCHANT_FIELD);
    }
    m->merchant_offset = f->offset;
    return true;
}

bool permissions_bind(rpc_server *s, const rpc_server_options *o, err *e) {
    for (size_t i = 0; i < o->n_permissions; i++) {
        const authz_permission *row = &o->permissions[i];
        method_state *m = method_of(s, row->method);
        if (m == NULL || m->permission != NULL) {
            return err_set(e, ERR_INTERNAL, "PERMISSIONS_INCOMPLETE", "%s: %s", row->method,
                           m == NULL ? "its row belongs to no method" : "it has two rows");
        }
        m->permission = row;
        if (!bind_field(m, e)) {
            return false;
        }
    }
    for (size_t i = 0; i < s->n_methods; i++) {
        if (!s->methods[i].system && s->methods[i].permission == NULL) {
            return err_set(e, ERR_INTERNAL, "PERMISSIONS_INCOMPLETE",
                           "%s: it has no row in the table of permissions", s->methods[i].path + 1);
        }
    }
    return true;
}

void permissions_metrics(rpc_server *s) {
    for (int v = 0; v < AUTHZ_VERDICT_COUNT; v++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "decision=\"%s\"", authz_verdict_reason((authz_verdict)v));
        s->decisions[v] = metric_counter("authz_decisions_total", labels,
                                         "Calls that were let in, or refused, by the reason");
    }
    s->unnamed = metric_counter("authz_decisions_total", "decision=\"IDENTITY_INVALID\"",
                                "Calls that were let in, or refused, by the reason");
}

// --- One call ----------------------------------------------------------------------------------------------------------

// Strangers share one gate, callers that the policy names are spread over some: a stranger hides no caller's refusals behind its own, and a
// caller few others'.
static log_gate *gate_of(const rpc_call *c, authz_verdict v) {
    static log_gate gates[1 + 64];
    const uint32_t hash = str_hash(str_of(c->identity));
    return &gates[v == AUTHZ_IDENTITY_UNKNOWN ? 0 : 1 + (hash >> 16 ^ hash) % 64];
}

static bool refused(const rpc_call *c, authz_verdict v, err *e) {
    metric_add(c->server->decisions[v], 1);
    if (log_gate_pass(gate_of(c, v), "authz.refused", mono_ms())) {
        // Bytes of a stranger: the log escapes them.
        char person[AUTHZ_PERSON_MAX + 1];
        snprintf(person, sizeof(person), "%.*s", (int)c->claim.person.len, c->claim.person.ptr);
        log_info("authz.refused", F_STR("reason", authz_verdict_reason(v)),
                 F_STR("identity", c->identity),
                 F_STR("person", c->who.person != NULL ? authz_who_person(&c->who) : person),
                 F_STR("method", c->method->path), F_STR("request_id", c->request_id));
    }
    return authz_refuse(v, e);
}

// It has no name by which it could be told from others, but an address.
static bool unnamed(const rpc_call *c, const err *e) {
    static log_gate gate;
    metric_add(c->server->unnamed, 1);
    if (log_gate_pass(&gate, "authz.unnamed", mono_ms())) {
        char *peer = grpc_call_get_peer(c->core);
        log_info("authz.unnamed", F_STR("reason", e->reason), F_STR("peer", peer),
                 F_STR("method", c->method->path), F_STR("request_id", c->request_id));
        gpr_free(peer);
    }
    return false;
}

static bool check_identity(rpc_call *c, err *e) {
    err why = {0};
    if (c->server->options.tls.insecure) {
        (void)snprintf(c->identity, sizeof(c->identity), "%s", AUTHZ_INSECURE);
        return true;
    }
    if (identity_read(c, &why)) {
        return true;
    }
    *e = why;
    return unnamed(c, &why);
}

// Of a claim that was not understood: whether it is from one who may make any. Only a gateway is told what is wrong with it.
static authz_verdict may_claim(const rpc_call *c, const authz_policy *p) {
    const authz_claim some = {.person = STR("?")};
    authz_who who;
    const authz_verdict v = authz_identify(p, str_of(c->identity), &some, &who);
    return v == AUTHZ_IDENTITY_UNKNOWN || v == AUTHZ_NOT_A_GATEWAY ? v : AUTHZ_ALLOWED;
}

// Two states of the policy are never mixed in one decision.
static authz_verdict decide(const rpc_call *c, const authz_policy *p, authz_who *who) {
    authz_verdict v = authz_identify(p, str_of(c->identity), &c->claim, who);
    if (v == AUTHZ_ALLOWED && c->method->permission != NULL) {
        v = authz_may_call(who, c->method->permission);
    }
    return v;
}

bool caller_check(rpc_call *c, err *e) {
    rpc_server *s = c->server;
    if (!check_identity(c, e)) {
        return false;
    }
    if (c->method->open) {
        return true; // health: any caller with a certificate of our authority
    }
    if (s->options.policy != NULL) {
        c->policy = authz_current_hold(s->options.policy, &c->policy_generation);
    }
    const authz_verdict v = c->claim_ok ? decide(c, c->policy, &c->who) : may_claim(c, c->policy);
    if (v != AUTHZ_ALLOWED) {
        return refused(c, v, e);
    }
    return c->claim_ok || err_set(e, ERR_INVALID_ARGUMENT, "ACTING_INVALID",
                                  "%s must name one person, and %s roles of it, once each",
                                  RPC_PERSON_KEY, RPC_ROLES_KEY);
}

static str merchant_of(const method_state *m, const ProtobufCMessage *request) {
    if (m->merchant_offset == 0) {
        return (str){0};
    }
    const char *const *field = (const void *)((const char *)request + m->merchant_offset);
    return str_of(*field);
}

bool object_check(rpc_call *c, const ProtobufCMessage *request, err *e) {
    if (c->method->permission == NULL) {
        return true; // ours
    }
    c->merchant = merchant_of(c->method, request);
    const authz_verdict v = authz_may_touch(&c->who, c->method->permission, c->merchant);
    if (v != AUTHZ_ALLOWED) {
        return refused(c, v, e);
    }
    metric_add(c->server->decisions[AUTHZ_ALLOWED], 1);
    return true;
}

bool caller_still_allowed(rpc_call *c) {
    authz_current *current = c->server->options.policy;
    if (c->withdrawn != AUTHZ_ALLOWED) {
        return false; // for good: a second question gets the same answer
    }
    if (c->policy == NULL || authz_current_generation(current) == c->policy_generation) {
        return true;
    }
    // The actor's strings live in the policy that let the call in, so the call holds on to that policy.
    authz_policy *now = authz_current_hold(current, &c->policy_generation);
    authz_who who;
    authz_verdict v = decide(c, now, &who);
    if (v == AUTHZ_ALLOWED && c->method->permission != NULL) {
        v = authz_may_touch(&who, c->method->permission, c->merchant);
    }
    authz_policy_release(now);
    if (v != AUTHZ_ALLOWED) {
        err e = {0};
        c->withdrawn = v;
        (void)refused(c, v, &e);
    }
    return v == AUTHZ_ALLOWED;
}

bool rpc_still_allowed(rpc_call *c, err *e) {
    return caller_still_allowed(c) || authz_refuse(c->withdrawn, e);
}

void rpc_server_policy_changed(rpc_server *s) {
    server_wake_streams(s);
}

const authz_who *rpc_caller(const rpc_call *c) {
    return &c->who;
}

const authz_policy *rpc_policy(const rpc_call *c) {
    return c->policy;
}

actor_info rpc_actor(const rpc_call *c) {
    return (actor_info){.program = str_of(c->identity),
                        .person = str_of(authz_who_person(&c->who)),
                        .request_id = str_of(c->request_id),
                        .trace_id = str_of(c->trace_id),
                        .method = str_of(c->method->path + 1)};
}
