// CancelPayout: an order of a person that the engine carries out.
#include "api/service_internal.h"
#include "base/clock.h"
#include "base/crash.h"
#include "command/audit.h"
#include "saga/orders.h"

enum { REASON_MAX = 500 };

typedef struct canceling {
    const connections *k;
    saga_engine *engine;
    guard *guard;
    const merchant *m;
    saga_cancellation order;
    actor_info by;
    bool given;                   // by this call
    Payments__V1__Payout *payout; // afterwards
} canceling;

static bool read_payout(db_conn *c, canceling *x, arena *a, err *e) {
    payout_view row;
    bool found = false;
    if (!payout_find(c, x->m->book_id, x->order.payout_id, str_of(x->m->id), &row, &found, a, e)) {
        return false;
    }
    if (!found) {
        return err_set_field(e, ERR_NOT_FOUND, "PAYOUT_NOT_FOUND", "payout_id",
                             "the merchant has no such payout");
    }
    x->payout = payout_from_row(x->k, &row, a);
    return true;
}

// The payout is the merchant's before anything is said of it.
static bool audit(db_conn *c, const canceling *x, arena *a, err *e) {
    return !x->given || audit_write_id(c, x->m->book_id, &x->by, str_of(x->m->id), "payout",
                                       x->order.payout_id, x->order.reason, x->order.now_us, a, e);
}

static bool cancel_tx(db_conn *c, arena *a, void *arg, err *e) {
    canceling *x = arg;
    return read_payout(c, x, a, e) && saga_cancel_look(x->guard, c, &x->order, a, e) &&
           saga_cancel(x->engine, c, &x->order, a, e) && audit(c, x, a, e) &&
           read_payout(c, x, a, e);
}

static bool fill(payments_service *s, rpc_call *call, const Payments__V1__CancelPayoutRequest *r,
                 canceling *x, err *e) {
    if (!pb_is_known(&r->base, "", e) ||
        !rule_uuid(str_of(r->payout_id), "", "payout_id", &x->order.payout_id, e) ||
        !rule_text(str_of(r->reason), 0, REASON_MAX, "", "reason", e) ||
        !pb_actor(call, r->person, 0, &x->by, e) ||
        !pb_actor_text(call, &x->by, &x->order.actor, e)) {
        return false;
    }
    x->order.given = &x->given;
    x->m = merchant_find(s->merchants, str_of(r->merchant_id), rpc_deadline_mono_ms(call), e);
    if (x->m == NULL) {
        return false;
    }
    x->k = s->o.connections;
    x->engine = s->o.engine;
    x->guard = s->o.guard;
    x->order.book_id = x->m->book_id;
    x->order.reason = str_of(r->reason);
    x->order.now_us = clock_wall_us(clock_system());
    return true;
}

void handle_cancel_payout(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    Payments__V1__CancelPayoutResponse answer = PAYMENTS__V1__CANCEL_PAYOUT_RESPONSE__INIT;
    canceling x = {0};
    err e = {0};
    if (!fill(s, call, (const Payments__V1__CancelPayoutRequest *)request, &x, &e) ||
        !db_transact(s->o.pool, rpc_deadline_mono_ms(call), rpc_arena(call), cancel_tx, &x, &e)) {
        rpc_fail(call, &e);
        return;
    }
    CRASH_POINT("payout.cancel.recorded");
    saga_engine_heard(s->o.engine, x.m->book_id, SAGA_ANY_RAIL);
    saga_engine_wake(s->o.engine, x.m->book_id, SAGA_ANY_RAIL);
    answer.payout = x.payout;
    rpc_reply(call, &answer.base);
}
