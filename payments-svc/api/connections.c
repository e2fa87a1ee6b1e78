// ConnectionService: how the connections stand, what they can carry, and the brake.
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "command/audit.h"
#include "connections/connections.h"
#include "connections/pause.h"
#include "domain/ids.h"
#include "domain/machine.h"
#include "payments/v1/connection_service.pb-c.h"

Payments__V1__Pause *pb_pause(const connections *k, const pause_row *row, arena *a) {
    Payments__V1__Pause *out = ARENA_NEW(a, Payments__V1__Pause);
    payments__v1__pause__init(out);
    if (row->scope.connection != 0) {
        out->connection = pb_connection(k, row->scope.connection, a);
    }
    out->book_id = row->scope.book_id;
    out->merchant_id = pb_text(a, row->scope.merchant_id);
    out->reason = pb_text(a, row->reason);
    out->actor = pb_text(a, row->actor);
    out->since_time = pb_time(a, row->since_us);
    return out;
}

// --- listing -------------------------------------------------------------------------------------------------------------

typedef struct connection_listing {
    payments_service *s;
    const connection_info *known;
    size_t n;
    pause_set pauses;
    connection_queue *queue;
    size_t n_queue;
    connection_outlook outlooks[CONNECTIONS_MAX];
    int64_t last_words_us[CONNECTIONS_MAX];
} connection_listing;

static bool list_tx(db_conn *c, arena *a, void *arg, err *e) {
    connection_listing *l = arg;
    if (!connections_refresh(l->s->o.connections, c, a, e)) {
        return false;
    }
    l->known = connections_all(l->s->o.connections, &l->n);
    for (size_t i = 0; i < l->n; i++) {
        const connection_info *k = &l->known[i];
        if (!connections_last_word(c, k->id, &l->last_words_us[i], a, e) ||
            (k->outlook != NULL && !k->outlook(k->arg, k->id, c, &l->outlooks[i], a, e))) {
            return false;
        }
    }
    return pause_read(c, &l->pauses, a, e) &&
           connections_queue(c, l->known, l->n, a, &l->queue, &l->n_queue, e);
}

static void tell_queue(const connection_listing *l, int id, Payments__V1__Connection *out,
                       arena *a) {
    out->queue = arena_must(a, CONNECTION_STEPS * sizeof *out->queue);
    for (size_t i = 0; i < l->n_queue; i++) {
        if (l->queue[i].connection == id && out->n_queue < CONNECTION_STEPS) {
            Payments__V1__ConnectionQueue *q = ARENA_NEW(a, Payments__V1__ConnectionQueue);
            payments__v1__connection_queue__init(q);
            q->step = pb_text(a, str_of(saga_step_name(l->queue[i].step)));
            q->count = l->queue[i].count;
            q->oldest_time = pb_time(a, l->queue[i].oldest_us);
            out->queue[out->n_queue++] = q;
        }
    }
}

static void tell_outlook(const connection_outlook *o, int64_t last_word_us,
                         Payments__V1__Connection *out, arena *a) {
    out->next_cut_off_time = o->next_cut_us == 0 ? NULL : pb_time(a, o->next_cut_us);
    out->trouble = pb_text(a, o->trouble_us == 0 ? STR("") : str_of(o->trouble));
    out->trouble_time = o->trouble_us == 0 ? NULL : pb_time(a, o->trouble_us);
    out->last_word_time = last_word_us == 0 ? NULL : pb_time(a, last_word_us);
    out->numbers = arena_must(a, sizeof o->numbers / sizeof o->numbers[0] * sizeof *out->numbers);
    for (size_t i = 0; i < o->n_numbers; i++) {
        Payments__V1__ConnectionNumbers *n = ARENA_NEW(a, Payments__V1__ConnectionNumbers);
        payments__v1__connection_numbers__init(n);
        n->name = pb_text(a, str_of(o->numbers[i].name));
        n->left = o->numbers[i].left;
        out->numbers[out->n_numbers++] = n;
    }
}

static Payments__V1__Connection *connection_to_pb(const connection_listing *l,
                                                  const connection_info *k, arena *a) {
    Payments__V1__Connection *out = ARENA_NEW(a, Payments__V1__Connection);
    payments__v1__connection__init(out);
    out->name = pb_text(a, str_of(k->name));
    out->scheme = pb_text(a, str_of(k->scheme));
    const pause_row *paused = pause_of(&l->pauses, 0, k->id);
    const bool down = k->down_since_us != NULL && k->down_since_us(k->arg, k->id) != 0;
    out->state = !k->on           ? PAYMENTS__V1__CONNECTION_STATE__CONNECTION_STATE_OFF
                 : paused != NULL ? PAYMENTS__V1__CONNECTION_STATE__CONNECTION_STATE_PAUSED
                 : down           ? PAYMENTS__V1__CONNECTION_STATE__CONNECTION_STATE_DOWN
                                  : PAYMENTS__V1__CONNECTION_STATE__CONNECTION_STATE_ON;
    out->pause = paused == NULL ? NULL : pb_pause(l->s->o.connections, paused, a);
    tell_queue(l, k->id, out, a);
    return out;
}

static void handle_list_connections(rpc_call *call, void *service,
                                    const ProtobufCMessage *request) {
    payments_service *s = service;
    connection_listing l = {.s = s};
    Payments__V1__ListConnectionsResponse answer = PAYMENTS__V1__LIST_CONNECTIONS_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    err e = {0};
    (void)request;
    if (!db_read(s->o.pool, rpc_deadline_mono_ms(call), a, list_tx, &l, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.connections = arena_must(a, (l.n + 1) * sizeof *answer.connections);
    for (size_t i = 0; i < l.n; i++) {
        answer.connections[answer.n_connections++] = connection_to_pb(&l, &l.known[i], a);
        tell_outlook(&l.outlooks[i], l.last_words_us[i], answer.connections[i], a);
    }
    answer.pauses = arena_must(a, (l.pauses.n + 1) * sizeof *answer.pauses); // PAUSE_ROWS_MAX
    for (size_t i = 0; i < l.pauses.n; i++) {
        answer.pauses[answer.n_pauses++] = pb_pause(s->o.connections, &l.pauses.rows[i], a);
    }
    rpc_reply(call, &answer.base);
}

// --- the brake -----------------------------------------------------------------------------------------------------------

typedef struct braking {
    const payments_service *s;
    pause_row row;
    actor_info by;
    bool lift, changed;
} braking;

// The subject is what was braked: a connection by its number, a merchant, a book, or all.
static bool audit_brake(db_conn *c, const braking *x, arena *a, err *e) {
    const pause_scope *s = &x->row.scope;
    const char *id = s->connection != 0 ? pb_connection(x->s->o.connections, s->connection, a)
                     : s->book_id != 0  ? arena_printf(a, "%lld", (long long)s->book_id)
                                        : "all";
    const bool is_merchant = s->connection == 0 && s->merchant_id.len > 0;
    const char *type = s->connection != 0 ? "connection" : s->book_id != 0 ? "book" : "service";
    return id == NULL ? out_of_memory(e)
                      : audit_write_one(c, s->book_id, &x->by, s->merchant_id,
                                        is_merchant ? "merchant" : type,
                                        is_merchant ? s->merchant_id : str_of(id), x->row.reason,
                                        x->row.since_us, a, e);
}

static bool brake_tx(db_conn *c, arena *a, void *arg, err *e) {
    braking *x = arg;
    // What was paused can be resumed, whatever it names.
    if (!x->lift && !pb_book_exists(x->s, c, x->row.scope.book_id, "book_id", a, e)) {
        return false;
    }
    const bool ok = x->lift ? pause_lift(c, &x->row.scope, x->row.reason, x->row.actor,
                                         x->row.since_us, a, &x->changed, e)
                            : pause_set_one(c, &x->row, a, &x->changed, e);
    return ok && (!x->changed || audit_brake(c, x, a, e));
}

// A pause of a merchant in another book than its own would stop nothing.
static bool merchant_is_there(payments_service *s, const rpc_call *call,
                              const Payments__V1__PauseConnectionRequest *r, bool lift, err *e) {
    if (!rule_merchant_id(str_of(r->merchant_id), "merchant_id", e)) {
        return false;
    }
    const merchant *m =
        merchant_find(s->merchants, str_of(r->merchant_id), rpc_deadline_mono_ms(call), e);
    if (m != NULL && !lift && r->book_id != 0 && r->book_id != m->book_id) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BOOK_OF_ANOTHER_MERCHANT", "book_id",
                             "the merchant is in book %lld", (long long)m->book_id);
    }
    return m != NULL;
}

// Both requests have the same fields, so one place checks them.
static bool brake(payments_service *s, rpc_call *call, braking *x,
                  const Payments__V1__PauseConnectionRequest *r, err *e) {
    arena *a = rpc_arena(call);
    x->s = s;
    x->row.scope.book_id = r->book_id;
    x->row.scope.merchant_id = str_of(r->merchant_id);
    x->row.reason = str_of(r->reason);
    x->row.since_us = clock_wall_us(clock_system());
    if (r->book_id < 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BOOK_INVALID", "book_id",
                             "book_id must not be negative");
    }
    if (!pb_is_known(&r->base, "", e) ||
        !rule_text(x->row.reason, 1, PAUSE_REASON_MAX, "", "reason", e) ||
        !pb_actor(call, r->person, 1, &x->by, e) ||
        !pb_actor_text(call, &x->by, &x->row.actor, e)) {
        return false;
    }
    if (r->connection[0] != '\0') {
        size_t n = 0;
        const connection_info *known = connections_all(s->o.connections, &n);
        const connection_info *k = connection_named(known, n, str_of(r->connection));
        if (k == NULL) {
            return err_set_field(e, ERR_NOT_FOUND, "CONNECTION_NOT_FOUND", "connection",
                                 "there is no such connection");
        }
        x->row.scope.connection = k->id;
    }
    if (r->merchant_id[0] != '\0' && !merchant_is_there(s, call, r, x->lift, e)) {
        return false;
    }
    const bool ok = db_transact(s->o.pool, rpc_deadline_mono_ms(call), a, brake_tx, x, e);
    CRASH_POINT("connection.braked");
    return ok;
}

static void handle_pause(rpc_call *call, void *service, const ProtobufCMessage *request) {
    Payments__V1__PauseConnectionResponse answer = PAYMENTS__V1__PAUSE_CONNECTION_RESPONSE__INIT;
    braking x = {0};
    err e = {0};
    if (!brake(service, call, &x, (const Payments__V1__PauseConnectionRequest *)request, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.changed = x.changed;
    rpc_reply(call, &answer.base);
}

static void handle_resume(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__ResumeConnectionRequest *r =
        (const Payments__V1__ResumeConnectionRequest *)request;
    Payments__V1__ResumeConnectionResponse answer = PAYMENTS__V1__RESUME_CONNECTION_RESPONSE__INIT;
    Payments__V1__PauseConnectionRequest same = PAYMENTS__V1__PAUSE_CONNECTION_REQUEST__INIT;
    payments_service *s = service;
    braking x = {.lift = true};
    err e = {0};
    same.connection = r->connection;
    same.book_id = r->book_id;
    same.merchant_id = r->merchant_id;
    same.reason = r->reason;
    same.person = r->person;
    if (!pb_is_known(request, "", &e) || !brake(s, call, &x, &same, &e)) {
        rpc_fail(call, &e);
        return;
    }
    if (x.changed) {
        saga_engine_look(s->o.engine); // what has waited is due
    }
    answer.changed = x.changed;
    rpc_reply(call, &answer.base);
}

// --- what can be carried -------------------------------------------------------------------------------------------------

enum { LIST_MAX = 16 };

static size_t split(const char *comma_list, char ***out, arena *a) {
    size_t n = 0;
    *out = arena_must(a, LIST_MAX * sizeof **out);
    for (const char *at = comma_list; *at != '\0' && n < LIST_MAX;
         at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        (*out)[n++] = pb_text(a, (str){at, strcspn(at, ",")});
    }
    return n;
}

static void handle_get_capabilities(rpc_call *call, void *service,
                                    const ProtobufCMessage *request) {
    const payments_service *s = service;
    Payments__V1__GetCapabilitiesResponse answer = PAYMENTS__V1__GET_CAPABILITIES_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    (void)request;
    size_t n = 0;
    const connection_info *known = connections_all(s->o.connections, &n);
    answer.capabilities = arena_must(a, (n + 1) * sizeof *answer.capabilities);
    for (size_t i = 0; i < n; i++) {
        const connection_info *k = &known[i];
        if (!k->on) {
            continue;
        }
        Payments__V1__Capability *out = ARENA_NEW(a, Payments__V1__Capability);
        payments__v1__capability__init(out);
        out->connection = pb_text(a, str_of(k->name));
        out->scheme = pb_text(a, str_of(k->scheme));
        out->n_currencies = split(k->currencies, &out->currencies, a);
        out->amount_minor_max = k->amount_max;
        out->description_bytes_max = k->description_max;
        out->n_instruments = split(k->instruments, &out->instruments, a);
        out->finality = pb_text(a, str_of(k->finality));
        out->bank_account =
            pb_text(a, str_of(k->bank_account != NULL ? k->bank_account : BANK_ACCOUNT_MAIN));
        out->settlement = pb_text(a, str_of(k->settlement));
        answer.capabilities[answer.n_capabilities++] = out;
    }
    rpc_reply(call, &answer.base);
}

// --- a recovery ----------------------------------------------------------------------------------------------------------

static void handle_get_recovery(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const payments_service *s = service;
    Payments__V1__GetRecoveryResponse answer = PAYMENTS__V1__GET_RECOVERY_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    guard_status now;
    (void)request;
    guard_look(s->o.guard, &now);
    answer.under_way = now.recovering;
    answer.recovery_id = now.id;
    // The words of people, and totals of all merchants.
    const bool all = authz_who_has_all(rpc_caller(call));
    answer.why = all ? now.why : (char *)protobuf_c_empty_string;
    answer.ended_by = all ? now.ended_by : (char *)protobuf_c_empty_string;
    answer.since_time = now.recovering ? pb_time(a, now.since_us) : NULL;
    answer.ended_time = now.recovering || now.ended_us == 0 ? NULL : pb_time(a, now.ended_us);
    answer.parts = arena_must(a, GUARD_PARTS_MAX * sizeof *answer.parts);
    for (size_t i = 0; all && i < now.n_parts; i++) {
        Payments__V1__RecoveryPart *part = ARENA_NEW(a, Payments__V1__RecoveryPart);
        payments__v1__recovery_part__init(part);
        part->name = pb_text(a, str_of(now.parts[i].name));
        part->left = now.parts[i].left;
        answer.parts[answer.n_parts++] = part;
    }
    rpc_reply(call, &answer.base);
}

const rpc_method CONNECTION_METHODS[] = {
    {.name = "ListConnections", .unary = handle_list_connections},
    {.name = "PauseConnection", .unary = handle_pause},
    {.name = "ResumeConnection", .unary = handle_resume},
    {.name = "GetCapabilities", .unary = handle_get_capabilities},
    {.name = "GetRecovery", .unary = handle_get_recovery},
};
const size_t N_CONNECTION_METHODS = sizeof CONNECTION_METHODS / sizeof CONNECTION_METHODS[0];
