// AwaitPayout: a call that is answered when its payout has come somewhere. The waiting is done by the room `awaits`.
#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/metrics.h"
#include "domain/machine.h"
#include "domain/milestone.h"

enum {
    WAIT_MAX_MS = 30000,
    // The answer is made so long before the deadline of the call, or a quarter of it before when that is less.
    MARGIN_MS = 250
};

// One call. Lives in its arena.
typedef struct awaiting {
    payout_await wait;
    rpc_call *call;
    const merchant *m;
    milestone until;
    milestone_answer said;
} awaiting;

static awaiting *of(payout_await *wait) {
    return wait->owner;
}

// --- A look ------------------------------------------------------------------------------------------------------------

static void judge(const connections *k, awaiting *x, const payout_standing *at, arena *a) {
    saga s = {.step = (saga_step)at->step,
              .state = (saga_state)at->state,
              .outlook = (saga_state)at->outlook};
    s.hold[0] = at->held ? '!' : '\0';
    x->said = milestone_judge(x->until, &s);
    x->wait.over = x->said != MILESTONE_AHEAD;
    x->wait.answer = payout_from_row(k, &at->view, a);
}

typedef struct look {
    const connections *k;
    int64_t book_id;
    payout_await *const *waits;
    size_t n;
} look;

// A payout of another merchant is none.
static void take_all(const look *l, const map *by_id, arena *a) {
    for (size_t w = 0; w < l->n; w++) {
        awaiting *x = of(l->waits[w]);
        const payout_standing *at = map_get(by_id, x->wait.payout_id);
        x->wait.over = true;
        x->wait.answer = NULL;
        if (at != NULL && str_eq(at->view.merchant_id, str_of(x->m->id))) {
            judge(l->k, x, at, a);
        }
    }
}

static bool look_tx(db_conn *c, arena *a, void *arg, err *e) {
    const look *l = arg;
    payout_standing *found = NULL;
    size_t n = 0;
    uuid *ids = ARENA_ARRAY(a, uuid, l->n);
    if (ids == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < l->n; i++) {
        ids[i] = l->waits[i]->payout_id;
    }
    if (!payouts_standing(c, l->book_id, ids, l->n, &found, &n, a, e)) {
        return false;
    }
    map *by_id = map_create(n + 1, n + 1);
    for (size_t i = 0; i < n; i++) {
        MUST(map_put(by_id, found[i].view.payout_id, &found[i]));
    }
    take_all(l, by_id, a);
    map_destroy(by_id);
    return true;
}

static bool look_at(void *service, int64_t book_id, payout_await *const *waits, size_t n,
                    int64_t deadline_mono_ms, arena *a, err *e) {
    const payments_service *s = service;
    look l = {s->o.connections, book_id, waits, n};
    return db_read(s->o.look_pool, deadline_mono_ms, a, look_tx, &l, e);
}

// --- The answer ----------------------------------------------------------------------------------------------------------

static void count(Payments__V1__AwaitOutcome outcome) {
    static const char *const LABELS[] = {"outcome=\"NONE\"", "outcome=\"REACHED\"",
                                         "outcome=\"MISSED\"", "outcome=\"TIMED_OUT\""};
    metric_add(metric_counter("payout_awaits_total", LABELS[outcome],
                              "Calls of AwaitPayout by how they ended; NONE: with an error."),
               1);
}

static void answer(payout_await *wait, const err *failed) {
    awaiting *x = of(wait);
    Payments__V1__AwaitPayoutResponse r = PAYMENTS__V1__AWAIT_PAYOUT_RESPONSE__INIT;
    err e = {0};
    if (failed == NULL && wait->answer == NULL) {
        (void)err_set_field(&e, ERR_NOT_FOUND, "PAYOUT_NOT_FOUND", "payout_id",
                            "the merchant has no such payout");
        failed = &e;
    }
    // A right that was lost while the call waited is lost. This thread alone asks.
    if (!rpc_still_allowed(x->call, &e)) {
        failed = &e;
    }
    if (failed != NULL) {
        count(PAYMENTS__V1__AWAIT_OUTCOME__AWAIT_OUTCOME_UNSPECIFIED);
        rpc_fail(x->call, failed);
        return;
    }
    r.payout = wait->answer;
    r.outcome = x->said == MILESTONE_REACHED ? PAYMENTS__V1__AWAIT_OUTCOME__AWAIT_OUTCOME_REACHED
                : x->said == MILESTONE_MISSED
                    ? PAYMENTS__V1__AWAIT_OUTCOME__AWAIT_OUTCOME_MISSED
                    : PAYMENTS__V1__AWAIT_OUTCOME__AWAIT_OUTCOME_TIMED_OUT;
    count(r.outcome);
    rpc_reply(x->call, &r.base);
}

static bool gone(void *owner) {
    const awaiting *x = owner;
    err e = {0};
    return rpc_cancelled(x->call) || !rpc_still_allowed(x->call, &e);
}

void await_start(payments_service *s) {
    const awaits_calls calls = {.look = look_at, .look_arg = s, .done = answer, .gone = gone};
    awaits_start(s->o.awaits, &calls);
}

// --- The call ------------------------------------------------------------------------------------------------------------

static int64_t end_of(const rpc_call *call, int32_t timeout_ms) {
    const int64_t now_ms = clock_mono_ms(clock_system());
    const int64_t left_ms = rpc_deadline_mono_ms(call) - now_ms;
    const int64_t margin_ms = left_ms / 4 < MARGIN_MS ? left_ms / 4 : MARGIN_MS;
    const int64_t wanted_ms = timeout_ms == 0 ? WAIT_MAX_MS : timeout_ms;
    return now_ms + (wanted_ms < left_ms - margin_ms ? wanted_ms : left_ms - margin_ms);
}

static bool read_request(payments_service *s, rpc_call *call,
                         const Payments__V1__AwaitPayoutRequest *r, awaiting *x, err *e) {
    const int until = (int)r->until;
    if (!rule_merchant_id(str_of(r->merchant_id), "merchant_id", e) ||
        !rule_uuid(str_of(r->payout_id), "", "payout_id", &x->wait.payout_id, e)) {
        return false;
    }
    if (until < MILESTONE_RESERVED || until > MILESTONE_FINAL) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "MILESTONE_UNKNOWN", "until",
                             "until is not one of PayoutMilestone");
    }
    if (r->timeout_ms < 0 || r->timeout_ms > WAIT_MAX_MS) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "TIMEOUT_INVALID", "timeout_ms",
                             "a wait takes 0 to %d milliseconds", WAIT_MAX_MS);
    }
    x->until = (milestone)until;
    x->m = merchant_find(s->merchants, str_of(r->merchant_id), rpc_deadline_mono_ms(call), e);
    return x->m != NULL;
}

void handle_await_payout(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__AwaitPayoutRequest *r = (const Payments__V1__AwaitPayoutRequest *)request;
    awaiting *x = ARENA_NEW(rpc_arena(call), awaiting);
    err e = {0};
    if (!read_request(s, call, r, x, &e)) {
        rpc_fail(call, &e);
        return;
    }
    x->call = call;
    x->wait.book_id = x->m->book_id;
    x->wait.client = rpc_peer_identity(call);
    x->wait.end_mono_ms = end_of(call, r->timeout_ms);
    x->wait.owner = x;
    if (!awaits_add(s->o.awaits, &x->wait, &e)) {
        rpc_fail(call, &e);
    }
}
