// Taking payouts in: reads what the caller wrote, hands it to the intake, and answers what came of it.
#include <stdio.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/log.h"

typedef struct create_call {
    rpc_call *call;
    const connections *k;
    const merchant *merchant;
    bool single;
    actor_info by;
} create_call;

// --- The answer ------------------------------------------------------------------------------------------------------

// The payout as it was accepted. A repeat must get the same bytes from each later version, too. So nothing may be added here for payouts of
// IDEM_ANSWER_FORMAT; a field that a later version adds to this answer needs a format of its own. The field connection was added when each
// connection had the name of its scheme, so it stays empty for such a connection. NULL with *e while this instance does not know the
// connection: another instance has made it.
static Payments__V1__Payout *accepted_to_pb(const connections *k, const payout_accepted *x,
                                            const merchant *m, arena *a, err *e) {
    const connection_info *through = connections_of(k, x->rail);
    if (through == NULL) {
        (void)err_set(e, ERR_UNAVAILABLE, "CONNECTION_NOT_KNOWN_YET",
                      "this instance does not know the payout's connection yet: ask again");
        return NULL;
    }
    Payments__V1__Payout *p = ARENA_NEW(a, Payments__V1__Payout);
    payments__v1__payout__init(p);
    p->intent_id = uuid_text(a, x->intent_id);
    p->merchant_id = pb_text(a, str_of(m->id));
    p->amount_minor = x->amount;
    p->currency = pb_text(a, x->currency);
    p->rail = (Payments__V1__Rail)through->scheme_id;
    if (through->id != through->scheme_id) {
        p->connection = pb_text(a, str_of(through->name));
    }
    p->state = PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_PENDING;
    p->external_reference = pb_text(a, x->external_reference);
    p->description = pb_text(a, x->description);
    p->fee_minor = x->fee;
    if (!uuid_is_nil(x->recipient_id)) {
        p->recipient_id = uuid_text(a, x->recipient_id);
    }
    if (!uuid_is_nil(x->payout_id)) { // else it was only checked
        p->payout_id = uuid_text(a, x->payout_id);
        p->create_time = pb_time(a, x->created_us);
        p->update_time = p->create_time;
    }
    return p;
}

// NULL with *e when a kept answer cannot be read, or not yet.
static Payments__V1__Payout *outcome_payout(const connections *k, const payout_outcome *x,
                                            const merchant *m, arena *a, err *e) {
    if (x->accepted.kept_answer.ptr == NULL) {
        return accepted_to_pb(k, &x->accepted, m, a, e);
    }
    const str packed = x->accepted.kept_answer;
    ProtobufCAllocator in_arena = pb_allocator(a);
    const Payments__V1__CreatePayoutResponse *answer = payments__v1__create_payout_response__unpack(
        &in_arena, packed.len, (const uint8_t *)packed.ptr);
    if (answer == NULL || answer->payout == NULL) {
        (void)err_set(e, ERR_DATA_LOSS, "ANSWER_UNREADABLE", "the first answer cannot be read");
        return NULL;
    }
    return answer->payout;
}

// The line that leads from a call's trace and request ids to its payout, whose later lines carry the payout's id.
static void log_payout(log_level level, const payout_outcome *x, const char *payout_id) {
    log_context *ctx = log_ctx();
    (void)snprintf(ctx->payout_id, sizeof ctx->payout_id, "%s", payout_id);
    if (x->accepted.replayed) {
        LOG_AT(level, "payout.replayed");
    } else {
        LOG_AT(level, "payout.accepted");
    }
    ctx->payout_id[0] = '\0';
}

static void answer_single(const create_call *c, const payout_outcome *x, arena *a) {
    Payments__V1__CreatePayoutResponse answer = PAYMENTS__V1__CREATE_PAYOUT_RESPONSE__INIT;
    err e = {0};
    if (x->refused != NULL) {
        rpc_fail(c->call, x->refused);
        return;
    }
    answer.payout = outcome_payout(c->k, x, c->merchant, a, &e);
    if (answer.payout == NULL) {
        rpc_fail(c->call, &e);
        return;
    }
    if (answer.payout->payout_id[0] != '\0') {
        log_payout(LOG_INFO, x, answer.payout->payout_id);
    }
    if (x->accepted.kept_answer.ptr != NULL) {
        rpc_reply_packed(c->call, x->accepted.kept_answer.ptr, x->accepted.kept_answer.len);
    } else {
        rpc_reply(c->call, &answer.base);
    }
}

// Thousands of lines a call would cost more than they tell: at level info there is one, with counts.
static void log_bulk(const create_call *c, const payout_outcome *outcomes, size_t n) {
    size_t accepted = 0, replayed = 0;
    for (size_t i = 0; i < n; i++) {
        const bool taken = outcomes[i].refused == NULL;
        replayed += taken && outcomes[i].accepted.replayed ? 1 : 0;
        accepted += taken && !outcomes[i].accepted.replayed ? 1 : 0;
    }
    log_info("payouts.accepted", F_STR("merchant", c->merchant->id), F_INT("n", n),
             F_INT("accepted", accepted), F_INT("replayed", replayed),
             F_INT("refused", n - accepted - replayed));
}

static void answer_bulk(const create_call *c, const payout_outcome *outcomes, size_t n, arena *a) {
    Payments__V1__BulkCreatePayoutsResponse answer =
        PAYMENTS__V1__BULK_CREATE_PAYOUTS_RESPONSE__INIT;
    Payments__V1__PayoutResult *results = ARENA_ARRAY(a, Payments__V1__PayoutResult, n);
    answer.results = ARENA_ARRAY(a, Payments__V1__PayoutResult *, n);
    answer.n_results = n;
    ASSERT(results != NULL && answer.results != NULL); // far below the arena's cap by BULK_MAX
    for (size_t i = 0; i < n; i++) {
        err e = {0};
        const err *refused = outcomes[i].refused;
        Payments__V1__Payout *p =
            refused != NULL ? NULL : outcome_payout(c->k, &outcomes[i], c->merchant, a, &e);
        payments__v1__payout_result__init(&results[i]);
        answer.results[i] = &results[i];
        if (p != NULL) {
            results[i].outcome_case = PAYMENTS__V1__PAYOUT_RESULT__OUTCOME_PAYOUT;
            results[i].payout = p;
            if (p->payout_id[0] == '\0') {
                continue; // only checked
            }
            log_payout(LOG_DEBUG, &outcomes[i], p->payout_id);
        } else {
            results[i].outcome_case = PAYMENTS__V1__PAYOUT_RESULT__OUTCOME_ERROR;
            results[i].error = pb_item_error(a, refused != NULL ? refused : &e);
        }
    }
    rpc_reply(c->call, &answer.base);
}

static void answer(const create_call *c, const payout_outcome *outcomes, size_t n, arena *a) {
    if (c->single) {
        answer_single(c, &outcomes[0], a);
    } else {
        answer_bulk(c, outcomes, n, a);
    }
}

// The intake's thread works for all calls in turn: what it logs is about this one.
static void on_done(void *owner, const payout_outcome *outcomes, size_t n, const err *failed,
                    arena *a) {
    const create_call *c = owner;
    log_context *ctx = log_ctx();
    log_ctx_clear();
    (void)snprintf(ctx->trace_id, sizeof ctx->trace_id, "%s", rpc_trace_id(c->call));
    (void)snprintf(ctx->request_id, sizeof ctx->request_id, "%s", rpc_request_id(c->call));
    if (failed != NULL) {
        rpc_fail(c->call, failed);
    } else {
        if (!c->single) {
            log_bulk(c, outcomes, n);
        }
        answer(c, outcomes, n, a);
    }
    log_ctx_clear();
}

// --- The request -----------------------------------------------------------------------------------------------------

static bool payout_request_read(const Payments__V1__NewPayout *from, const merchant_defaults *d,
                                const char *path, const err *fault, payout_request *out, arena *a,
                                err *e) {
    err why = {0};
    *out = (payout_request){.key = str_of(from->idempotency_key),
                            .content = pb_pack(a, &from->base, e),
                            .recipient_id = str_of(from->recipient_id),
                            .amount = from->amount_minor,
                            .currency = from->currency,
                            .rail = (int)from->rail,
                            .connection = str_of(from->connection),
                            .preferred = merchant_default_of(d, (int)from->rail),
                            .external_reference = str_of(from->external_reference),
                            .description = str_of(from->description),
                            .path = path,
                            .fault = fault};
    if (fault == NULL && !pb_is_known(&from->base, path, &why)) {
        out->fault = pb_keep_err(a, &why);
    }
    return out->content.ptr != NULL && path != NULL;
}

static bool read_all(Payments__V1__NewPayout *const *payouts, size_t n, bool single,
                     const merchant_defaults *d, const err *fault, payout_request *out, arena *a,
                     err *e) {
    if (out == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        const char *path = single ? "payout." : arena_printf(a, "payouts[%zu].", i);
        if (path == NULL) {
            return out_of_memory(e);
        }
        if (!payout_request_read(payouts[i], d, path, fault, &out[i], a, e)) {
            return false;
        }
    }
    return true;
}

static bool check_only(payments_service *s, const create_call *c, const payout_request *requests,
                       size_t n, err *e) {
    arena *a = rpc_arena(c->call);
    payout_outcome *outcomes = ARENA_ARRAY(a, payout_outcome, n);
    if (outcomes == NULL) {
        return out_of_memory(e);
    }
    if (!intake_check(s->intake, c->merchant, requests, n, outcomes, rpc_deadline_mono_ms(c->call),
                      a, e)) {
        return false;
    }
    answer(c, outcomes, n, a);
    return true;
}

typedef struct create_args {
    const ProtobufCMessage *request; // as a whole
    const char *merchant_id;
    Payments__V1__NewPayout *const *payouts;
    size_t n;
    bool single, validate_only;
} create_args;

static bool create(payments_service *s, rpc_call *call, const create_args *x, err *e) {
    arena *a = rpc_arena(call);
    merchant_defaults defaults;
    err fault = {0};
    if (!rule_merchant_id(str_of(x->merchant_id), "merchant_id", e)) {
        return false;
    }
    const merchant *m =
        merchant_find(s->merchants, str_of(x->merchant_id), rpc_deadline_mono_ms(call), e);
    if (m == NULL) {
        return false;
    }
    merchant_defaults_known(s->merchants, m, rpc_deadline_mono_ms(call), &defaults);
    // A field of the whole request that is not known is a fault of each payout whose key is new.
    const err *whole = pb_is_known_here(x->request, "", &fault) ? NULL : pb_keep_err(a, &fault);
    payout_request *requests = ARENA_ARRAY(a, payout_request, x->n);
    create_call *c = arena_alloc(a, sizeof *c);
    if (c == NULL) {
        return out_of_memory(e);
    }
    *c = (create_call){call, s->o.connections, m, x->single, rpc_actor(call)};
    if (!read_all(x->payouts, x->n, x->single, &defaults, whole, requests, a, e)) {
        return false;
    }
    if (x->validate_only) {
        return check_only(s, c, requests, x->n, e);
    }
    const intake_submission submission = {.merchant = m,
                                          .by = &c->by,
                                          .requests = requests,
                                          .n = x->n,
                                          .deadline_mono_ms = rpc_deadline_mono_ms(call),
                                          .a = a,
                                          .done = on_done,
                                          .owner = c};
    return intake_submit(s->intake, &submission, e);
}

void handle_create_payout(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__CreatePayoutRequest *r = (const Payments__V1__CreatePayoutRequest *)request;
    const create_args x = {request, r->merchant_id, &r->payout, 1, true, r->validate_only != 0};
    err e = {0};
    bool ok = r->payout != NULL || err_set_field(&e, ERR_INVALID_ARGUMENT, "FIELD_MISSING",
                                                 "payout", "payout is missing");
    if (!ok || !create(service, call, &x, &e)) {
        rpc_fail(call, &e);
    }
}

void handle_bulk_create_payouts(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__BulkCreatePayoutsRequest *r =
        (const Payments__V1__BulkCreatePayoutsRequest *)request;
    const create_args x = {request,      r->merchant_id, r->payouts,
                           r->n_payouts, false,          r->validate_only != 0};
    err e = {0};
    bool ok = (x.n >= 1 && x.n <= BULK_MAX) ||
              err_set_field(&e, ERR_INVALID_ARGUMENT, "BATCH_SIZE_INVALID", "payouts",
                            "give 1 to %d payouts", BULK_MAX);
    if (!ok || !create(service, call, &x, &e)) {
        rpc_fail(call, &e);
    }
}

// --- ValidatePayouts -------------------------------------------------------------------------------------------------

typedef struct validation {
    const connections *k;
    const merchant *m;
    merchant_defaults defaults;
    payout_request *requests;
    payout_outcome *outcomes;
    const err **recipient_faults; // of the recipients that came beside their payouts
    const char **recipient_ids;   // of a recipient that is registered already; else NULL
    size_t n;
} validation;

static bool read_items(const Payments__V1__ValidatePayoutsRequest *r, validation *v, arena *a,
                       err *e) {
    for (size_t i = 0; i < v->n; i++) {
        const Payments__V1__PayoutToValidate *item = r->items[i];
        static const Payments__V1__NewPayout none = PAYMENTS__V1__NEW_PAYOUT__INIT;
        const char *path = arena_printf(a, "items[%zu].payout.", i);
        // The request that would be made names the recipient by its id: a repeat of it must be known as one.
        Payments__V1__NewPayout *wanted = ARENA_NEW(a, Payments__V1__NewPayout);
        *wanted = item->payout == NULL ? none : *item->payout;
        if (v->recipient_ids[i] != NULL) {
            wanted->recipient_id = (char *)v->recipient_ids[i];
        }
        if (path == NULL ||
            !payout_request_read(wanted, &v->defaults, path, NULL, &v->requests[i], a, e)) {
            return out_of_memory(e);
        }
        if (v->recipient_ids[i] == NULL && item->recipient != NULL &&
            item->recipient->bank_account != NULL) {
            v->requests[i].recipient_currency = item->recipient->bank_account->currency;
        }
    }
    return true;
}

static void answer_validation(rpc_call *call, const validation *v) {
    Payments__V1__ValidatePayoutsResponse answer = PAYMENTS__V1__VALIDATE_PAYOUTS_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    answer.results = arena_must(a, v->n * sizeof *answer.results);
    for (size_t i = 0; i < v->n; i++) {
        Payments__V1__ValidationResult *x = ARENA_NEW(a, Payments__V1__ValidationResult);
        const err *refused =
            v->recipient_faults[i] != NULL ? v->recipient_faults[i] : v->outcomes[i].refused;
        err e = {0};
        payments__v1__validation_result__init(x);
        if (refused == NULL && v->outcomes[i].accepted.replayed &&
            (v->outcomes[i].accepted.kept_answer.ptr != NULL ||
             !uuid_is_nil(v->outcomes[i].accepted.payout_id))) {
            x->accepted_before = outcome_payout(v->k, &v->outcomes[i], v->m, a, &e);
            refused = x->accepted_before == NULL ? &e : NULL;
        }
        x->error = refused != NULL ? pb_item_error(a, refused) : NULL;
        answer.results[answer.n_results++] = x;
    }
    rpc_reply(call, &answer.base);
}

static bool validate(payments_service *s, rpc_call *call,
                     const Payments__V1__ValidatePayoutsRequest *r, validation *v, err *e) {
    arena *a = rpc_arena(call);
    const int64_t deadline = rpc_deadline_mono_ms(call);
    if (v->n < 1 || v->n > BULK_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BATCH_SIZE_INVALID", "items",
                             "give 1 to %d items", BULK_MAX);
    }
    if (!rule_merchant_id(str_of(r->merchant_id), "merchant_id", e) ||
        !pb_is_known_here(&r->base, "", e)) {
        return false;
    }
    v->k = s->o.connections;
    v->m = merchant_find(s->merchants, str_of(r->merchant_id), deadline, e);
    if (v->m == NULL) {
        return false;
    }
    merchant_defaults_known(s->merchants, v->m, deadline, &v->defaults);
    v->requests = ARENA_ARRAY(a, payout_request, v->n);
    v->outcomes = ARENA_ARRAY(a, payout_outcome, v->n);
    v->recipient_faults = ARENA_ARRAY(a, const err *, v->n);
    v->recipient_ids = ARENA_ARRAY(a, const char *, v->n);
    if (v->requests == NULL || v->outcomes == NULL || v->recipient_faults == NULL ||
        v->recipient_ids == NULL) {
        return out_of_memory(e);
    }
    Payments__V1__NewRecipient **wanted = ARENA_ARRAY(a, Payments__V1__NewRecipient *, v->n);
    if (wanted == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < v->n; i++) {
        wanted[i] = r->items[i]->recipient;
    }
    const recipients_asked beside = {
        v->m, NULL, wanted, v->n, v->recipient_faults, v->recipient_ids};
    return recipients_look(s, &beside, deadline, a, e) && read_items(r, v, a, e) &&
           intake_check(s->intake, v->m, v->requests, v->n, v->outcomes, deadline, a, e);
}

void handle_validate_payouts(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__ValidatePayoutsRequest *r =
        (const Payments__V1__ValidatePayoutsRequest *)request;
    validation v = {.n = r->n_items};
    err e = {0};
    if (validate(service, call, r, &v, &e)) {
        answer_validation(call, &v);
    } else {
        rpc_fail(call, &e);
    }
}
