// MerchantService, money in: reads what the caller wrote, hands it to the deposits room, and answers what came of it.
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"

static const merchant *merchant_of(payments_service *s, rpc_call *call, const char *merchant_id,
                                   err *e) {
    if (!rule_merchant_id(str_of(merchant_id), "merchant_id", e)) {
        return NULL;
    }
    return merchant_find(s->merchants, str_of(merchant_id), rpc_deadline_mono_ms(call), e);
}

// --- Creating --------------------------------------------------------------------------------------------------------

static void answer_credited(rpc_call *call, const deposit_answer *x) {
    Payments__V1__CreateDepositResponse answer = PAYMENTS__V1__CREATE_DEPOSIT_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    if (x->kept_answer.ptr != NULL) {
        rpc_reply_packed(call, x->kept_answer.ptr, x->kept_answer.len);
        return;
    }
    // A repeat must get the same bytes from each later version too: see accepted_to_pb.
    answer.transfer_id = uuid_text(a, x->made.id);
    answer.amount_minor = x->made.amount;
    answer.currency = pb_text(a, x->made.currency);
    answer.create_time = pb_time(a, x->made.decided_us);
    rpc_reply(call, &answer.base);
}

void handle_create_deposit(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__CreateDepositRequest *r =
        (const Payments__V1__CreateDepositRequest *)request;
    arena *a = rpc_arena(call);
    deposit_answer out;
    err e = {0}, fault = {0};
    const actor_info by = rpc_actor(call);
    deposit_request wanted = {.by = &by,
                              .key = str_of(r->idempotency_key),
                              .content = pb_pack(a, request, &e),
                              .amount = r->amount_minor,
                              .currency = str_of(r->currency),
                              .reference = str_of(r->reference),
                              .fault = pb_is_known(request, "", &fault) ? NULL : &fault};
    const merchant *m =
        wanted.content.ptr == NULL ? NULL : merchant_of(s, call, r->merchant_id, &e);
    if (m != NULL && rule_key(wanted.key, "", &e) &&
        deposits_credit(s->deposits, m, &wanted, rpc_deadline_mono_ms(call), a, &out, &e)) {
        answer_credited(call, &out);
    } else {
        rpc_fail(call, &e);
    }
}

// --- Reading ---------------------------------------------------------------------------------------------------------

static Payments__V1__Deposit *deposit_to_pb(const deposit *x, arena *a) {
    Payments__V1__Deposit *d = ARENA_NEW(a, Payments__V1__Deposit);
    payments__v1__deposit__init(d);
    d->deposit_id = uuid_text(a, x->id);
    d->merchant_id = pb_text(a, x->merchant_id);
    d->idempotency_key = pb_text(a, x->key);
    d->amount_minor = x->amount;
    d->currency = pb_text(a, x->currency);
    d->reference = pb_text(a, x->reference);
    d->state = (Payments__V1__DepositState)x->state;
    d->reason = pb_text(a, x->reason);
    d->create_time = pb_time(a, x->created_us);
    d->decide_time = x->decided_us == 0 ? NULL : pb_time(a, x->decided_us);
    d->take_back_time = x->back_us == 0 ? NULL : pb_time(a, x->back_us);
    return d;
}

void handle_get_deposit(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__GetDepositRequest *r = (const Payments__V1__GetDepositRequest *)request;
    Payments__V1__GetDepositResponse answer = PAYMENTS__V1__GET_DEPOSIT_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    deposit found;
    uuid id = {{0}};
    err e = {0};
    const merchant *m = rule_uuid(str_of(r->deposit_id), "", "deposit_id", &id, &e)
                            ? merchant_of(s, call, r->merchant_id, &e)
                            : NULL;
    if (m != NULL && deposits_get(s->deposits, m, id, rpc_deadline_mono_ms(call), a, &found, &e)) {
        answer.deposit = deposit_to_pb(&found, a);
        rpc_reply(call, &answer.base);
    } else {
        rpc_fail(call, &e);
    }
}

void handle_take_back_deposit(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__TakeBackDepositRequest *r =
        (const Payments__V1__TakeBackDepositRequest *)request;
    Payments__V1__TakeBackDepositResponse answer = PAYMENTS__V1__TAKE_BACK_DEPOSIT_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    deposit found;
    uuid id = {{0}};
    err e = {0};
    const str reason = str_of(r->reason);
    const actor_info by = rpc_actor(call);
    const bool readable = pb_is_known(request, "", &e) &&
                          rule_uuid(str_of(r->deposit_id), "", "deposit_id", &id, &e) &&
                          rule_text(reason, 1, RULE_NAME_MAX, "", "reason", &e);
    const merchant *m = readable ? merchant_of(s, call, r->merchant_id, &e) : NULL;
    if (m != NULL && deposits_take_back(s->deposits, m, id, reason, &by, rpc_deadline_mono_ms(call),
                                        a, &found, &e)) {
        answer.deposit = deposit_to_pb(&found, a);
        rpc_reply(call, &answer.base);
    } else {
        rpc_fail(call, &e);
    }
}

enum { POSITION_LEN = 8 + 16 };

static void position_write(const deposit *x, uint8_t out[POSITION_LEN]) {
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)((uint64_t)x->created_us >> (56 - 8 * i));
    }
    memcpy(out + 8, x->id.b, sizeof x->id.b);
}

static void position_read(const uint8_t in[POSITION_LEN], deposits_query *q) {
    uint64_t us = 0;
    for (int i = 0; i < 8; i++) {
        us = us << 8 | in[i];
    }
    q->before_us = (int64_t)us;
    memcpy(q->before_id.b, in + 8, sizeof q->before_id.b);
}

// What a page token is bound to: the request without its page.
static bool list_filters(const Payments__V1__ListDepositsRequest *r, arena *a, str *filters,
                         err *e) {
    Payments__V1__ListDepositsRequest copy = *r;
    copy.page_size = 0;
    copy.page_token = (char *)protobuf_c_empty_string;
    *filters = pb_pack(a, &copy.base, e);
    return filters->ptr != NULL;
}

static bool list_query(const Payments__V1__ListDepositsRequest *r, str filters, deposits_query *q,
                       err *e) {
    uint8_t position[POSITION_LEN];
    const int64_t end_of_9999_us = INT64_C(253402300799999999);
    q->before_us = end_of_9999_us;
    q->state = (int)r->state;
    memset(q->before_id.b, 0xff, sizeof q->before_id.b);
    if (q->state < 0 || q->state > DEPOSIT_TAKEN_BACK) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "STATE_UNKNOWN", "state",
                             "state is not one of DepositState");
    }
    if (!page_size_of(r->page_size, &q->limit, e)) {
        return false;
    }
    if (r->page_token[0] == '\0') {
        return true;
    }
    if (!page_token_read(r->page_token, filters, position, sizeof position, e)) {
        return false;
    }
    position_read(position, q);
    return q->before_us >= 0 && q->before_us <= end_of_9999_us
               ? true
               : err_set_field(e, ERR_INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", "page_token",
                               "page_token is not from an answer to this request");
}

void handle_list_deposits(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListDepositsRequest *r = (const Payments__V1__ListDepositsRequest *)request;
    Payments__V1__ListDepositsResponse answer = PAYMENTS__V1__LIST_DEPOSITS_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    deposits_query q = {0};
    deposit *found = NULL;
    size_t n = 0;
    str filters = {0};
    err e = {0};
    const merchant *m = list_filters(r, a, &filters, &e) && list_query(r, filters, &q, &e)
                            ? merchant_of(s, call, r->merchant_id, &e)
                            : NULL;
    const size_t size = (size_t)q.limit;
    q.limit++; // one more tells whether there is a next page
    if (m == NULL ||
        !deposits_list(s->deposits, m, &q, rpc_deadline_mono_ms(call), a, &found, &n, &e)) {
        rpc_fail(call, &e);
        return;
    }
    const size_t shown = n > size ? size : n;
    answer.deposits = arena_must(a, (shown + 1) * sizeof *answer.deposits);
    for (size_t i = 0; i < shown; i++) {
        answer.deposits[answer.n_deposits++] = deposit_to_pb(&found[i], a);
    }
    if (n > shown) {
        uint8_t position[POSITION_LEN];
        position_write(&found[shown - 1], position);
        answer.next_page_token = page_token_make(a, filters, position, sizeof position);
    }
    rpc_reply(call, &answer.base);
}
