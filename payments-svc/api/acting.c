// IdentityService, and who causes what a call writes.
#include "api/service_internal.h"
#include "payments/v1/identity_service.pb-c.h"

enum { PERSON_MAX = AUTHZ_PERSON_MAX, MERCHANTS_TOLD_MAX = 1000 };

bool pb_actor(const rpc_call *call, const char *stated, size_t min, actor_info *out, err *e) {
    *out = rpc_actor(call);
    if (out->person.len == 0) {
        out->person = str_of(stated);
        out->stated = stated[0] != '\0';
        if (authz_knows_person(rpc_policy(call), out->person)) {
            return err_set_field(e, ERR_PERMISSION_DENIED, "PERSON_DIFFERS", "person",
                                 "this person is known, and gives orders under a certificate of "
                                 "their own or through a gateway");
        }
        return rule_text(out->person, min, PERSON_MAX, "", "person", e);
    }
    // Nobody signs with the name of somebody else.
    return stated[0] == '\0' || str_eq_c(out->person, stated) ||
           err_set_field(e, ERR_PERMISSION_DENIED, "PERSON_DIFFERS", "person",
                         "you are known as %.*s: leave person empty, or give just that",
                         (int)out->person.len, out->person.ptr);
}

bool pb_actor_text(rpc_call *call, const actor_info *who, str *out, err *e) {
    const char *text = actor_text(who, rpc_arena(call));
    *out = text == NULL ? (str){0} : str_of(text);
    return text != NULL || out_of_memory(e);
}

static void tell_roles(const authz_who *w, Payments__V1__WhoAmIResponse *out, arena *a) {
    out->roles = arena_must(a, AUTHZ_ROLE_COUNT * sizeof *out->roles);
    for (unsigned i = 0; i < AUTHZ_ROLE_COUNT; i++) {
        if ((w->roles & (1u << i)) != 0) {
            out->roles[out->n_roles++] =
                pb_text(a, str_of(authz_role_name((enum authz_role_number)i)));
        }
    }
}

static void tell_merchants(const authz_who *w, Payments__V1__WhoAmIResponse *out, arena *a) {
    size_t at = 0;
    out->all_merchants = authz_who_has_all(w);
    out->merchant_ids = arena_must(a, MERCHANTS_TOLD_MAX * sizeof *out->merchant_ids);
    for (str m; authz_who_next(w, &at, &m);) {
        if (out->n_merchant_ids == MERCHANTS_TOLD_MAX) {
            out->merchants_cut = true;
            return;
        }
        out->merchant_ids[out->n_merchant_ids++] = pb_text(a, m);
    }
}

static void handle_who_am_i(rpc_call *call, void *service, const ProtobufCMessage *request) {
    Payments__V1__WhoAmIResponse answer = PAYMENTS__V1__WHO_AM_IRESPONSE__INIT;
    const authz_who *w = rpc_caller(call);
    arena *a = rpc_arena(call);
    (void)service, (void)request;
    answer.identity = pb_text(a, str_of(rpc_peer_identity(call)));
    answer.person = pb_text(a, str_of(authz_who_person(w)));
    answer.policy_version = pb_text(a, str_of(authz_policy_version(rpc_policy(call))));
    tell_roles(w, &answer, a);
    tell_merchants(w, &answer, a);
    rpc_reply(call, &answer.base);
}

const rpc_method IDENTITY_METHODS[] = {{.name = "WhoAmI", .unary = handle_who_am_i}};
const size_t N_IDENTITY_METHODS = sizeof IDENTITY_METHODS / sizeof IDENTITY_METHODS[0];
