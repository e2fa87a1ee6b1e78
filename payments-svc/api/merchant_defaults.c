// MerchantService: the connections that carry a merchant's payouts which name only a rail.
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"

static bool twice(const char *field, err *e) {
    return err_set_field(e, ERR_INVALID_ARGUMENT, "DEFAULT_CONNECTION_TWICE", field,
                         "a rail is named twice: it has one default connection, or none");
}

// Adds one in the order of rails.
static bool add(merchant_defaults *d, int scheme, int connection, const char *field, err *e) {
    size_t at = 0;
    while (at < d->n && d->of[at].rail < scheme) {
        at++;
    }
    if (d->n == MERCHANT_DEFAULTS_MAX || (at < d->n && d->of[at].rail == scheme)) {
        return twice(field, e);
    }
    memmove(&d->of[at + 1], &d->of[at], (d->n - at) * sizeof d->of[0]);
    d->of[at].rail = scheme;
    d->of[at].connection = connection;
    d->n++;
    return true;
}

bool defaults_read(const payments_service *s, char *const *names, size_t n, merchant_defaults *out,
                   err *e) {
    size_t n_known = 0;
    const connection_info *known = connections_all(s->o.connections, &n_known);
    *out = (merchant_defaults){0};
    for (size_t i = 0; i < n; i++) {
        const connection_info *k = connection_named(known, n_known, str_of(names[i]));
        if (k == NULL || !k->on) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "CONNECTION_NOT_AVAILABLE",
                                 "default_connections",
                                 "default_connections[%zu] must name a connection that is "
                                 "switched on",
                                 i);
        }
        if (!add(out, k->scheme_id, k->id, "default_connections", e)) {
            return false;
        }
    }
    return true;
}

void defaults_to_pb(const payments_service *s, const merchant_defaults *d,
                    Payments__V1__Merchant *out, arena *a) {
    out->default_connections = arena_must(a, (d->n + 1) * sizeof *out->default_connections);
    for (size_t i = 0; i < d->n; i++) {
        out->default_connections[out->n_default_connections++] =
            pb_connection(s->o.connections, d->of[i].connection, a);
    }
}

bool defaults_are(const payments_service *s, const merchant_defaults *d, char *const *names,
                  size_t n, arena *a) {
    size_t found = 0;
    for (size_t i = 0; i < d->n; i++) {
        const char *name = pb_connection(s->o.connections, d->of[i].connection, a);
        for (size_t j = 0; j < n; j++) {
            found += strcmp(name, names[j]) == 0 ? 1 : 0;
        }
    }
    return found == d->n && n == d->n;
}

static bool is_scheme(const payments_service *s, int id) {
    size_t n = 0;
    const connection_info *known = connections_all(s->o.connections, &n);
    for (size_t i = 0; i < n; i++) {
        if (known[i].scheme_id == id) {
            return true;
        }
    }
    return false;
}

static bool changes_of(const payments_service *s, rpc_call *call,
                       const Payments__V1__UpdateMerchantRequest *r, merchant_defaults *out,
                       actor_info *by, err *e) {
    if (!rule_merchant_id(str_of(r->merchant_id), "merchant_id", e) ||
        !pb_actor(call, r->person, 1, by, e) ||
        !defaults_read(s, r->default_connections, r->n_default_connections, out, e)) {
        return false;
    }
    for (size_t i = 0; i < r->n_rails_without_default; i++) {
        const int scheme = (int)r->rails_without_default[i];
        if (!is_scheme(s, scheme)) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "RAIL_NOT_AVAILABLE",
                                 "rails_without_default",
                                 "rails_without_default[%zu] is no rail of this service", i);
        }
        if (!add(out, scheme, 0, "rails_without_default", e)) {
            return false;
        }
    }
    return out->n > 0 || err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_MISSING",
                                       "default_connections", "say what is to be changed");
}

void handle_update_merchant(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__UpdateMerchantRequest *r =
        (const Payments__V1__UpdateMerchantRequest *)request;
    Payments__V1__UpdateMerchantResponse answer = PAYMENTS__V1__UPDATE_MERCHANT_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    const int64_t deadline = rpc_deadline_mono_ms(call);
    const merchant *m = NULL;
    actor_info by;
    merchant_defaults d;
    err e = {0};
    bool ok = pb_is_known(request, "", &e) && changes_of(s, call, r, &d, &by, &e);
    if (ok) {
        m = merchant_find(s->merchants, str_of(r->merchant_id), deadline, &e);
    }
    ok = m != NULL &&
         merchant_defaults_change(s->merchants, m, &d, &by, merchant_audited,
                                  clock_wall_us(clock_system()), deadline, &e) &&
         merchant_defaults_find(s->merchants, m, deadline, &d, &e);
    if (!ok) {
        rpc_fail(call, &e);
        return;
    }
    answer.merchant = merchant_to_pb(s, m, &d, a);
    rpc_reply(call, &answer.base);
}

Payments__V1__Merchant *merchant_to_pb(const payments_service *s, const merchant *m,
                                       const merchant_defaults *d, arena *a) {
    Payments__V1__Merchant *out = ARENA_NEW(a, Payments__V1__Merchant);
    payments__v1__merchant__init(out);
    out->merchant_id = pb_text(a, str_of(m->id));
    out->name = pb_text(a, str_of(m->name));
    out->book_id = m->book_id;
    out->create_time = pb_time(a, m->created_us);
    out->currencies = arena_must(a, RULE_CURRENCIES_MAX * sizeof *out->currencies);
    for (const char *at = m->currencies; *at != '\0';
         at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        out->currencies[out->n_currencies++] = pb_text(a, (str){at, strcspn(at, ",")});
    }
    defaults_to_pb(s, d, out, a);
    return out;
}
