// What the rows of an import need of the API's own knowledge: recipients, and the bytes that a request would have had. A row is the same
// request whichever way it comes, so a file that was paid by calls may be imported, and the other way round.
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"

static Payments__V1__NewRecipient *recipient_of(const payout_row *row, arena *a) {
    Payments__V1__NewRecipient *r = ARENA_NEW(a, Payments__V1__NewRecipient);
    payments__v1__new_recipient__init(r);
    r->idempotency_key = (char *)row->recipient_key;
    r->name = (char *)row->recipient_name;
    r->holder_type = (Payments__V1__HolderType)row->holder_type;
    r->bank_account = ARENA_NEW(a, Payments__V1__BankAccount);
    payments__v1__bank_account__init(r->bank_account);
    r->bank_account->routing_code = (char *)row->routing_code;
    r->bank_account->account_number = (char *)row->account_number;
    r->bank_account->account_type = (Payments__V1__BankAccountType)row->account_type;
    r->bank_account->currency = (char *)row->currency;
    return r;
}

static Payments__V1__NewRecipient **recipients_of(const payout_row *rows, size_t n, arena *a) {
    Payments__V1__NewRecipient **all = ARENA_ARRAY(a, Payments__V1__NewRecipient *, n);
    for (size_t i = 0; all != NULL && i < n; i++) {
        all[i] = recipient_of(&rows[i], a);
    }
    return all;
}

static bool check(void *arg, const merchant *m, const payout_row *rows, size_t n,
                  const err **faults, const char **ids, int64_t deadline_mono_ms, arena *a,
                  err *e) {
    Payments__V1__NewRecipient **wanted = recipients_of(rows, n, a);
    const recipients_asked x = {m, NULL, wanted, n, faults, ids};
    return wanted != NULL ? recipients_look(arg, &x, deadline_mono_ms, a, e) : out_of_memory(e);
}

static bool enter(void *arg, const merchant *m, const actor_info *by, const payout_row *rows,
                  size_t n, const err **faults, const char **ids, int64_t deadline_mono_ms,
                  arena *a, err *e) {
    Payments__V1__NewRecipient **wanted = recipients_of(rows, n, a);
    const recipients_asked x = {m, by, wanted, n, faults, ids};
    return wanted != NULL ? recipients_enter(arg, &x, deadline_mono_ms, a, e) : out_of_memory(e);
}

static str content(void *arg, const payout_row *row, const char *recipient_id, arena *a, err *e) {
    Payments__V1__NewPayout p = PAYMENTS__V1__NEW_PAYOUT__INIT;
    (void)arg;
    p.idempotency_key = (char *)row->reference;
    p.recipient_id = (char *)recipient_id;
    p.amount_minor = row->amount_minor;
    p.currency = (char *)row->currency;
    p.rail = (Payments__V1__Rail)row->rail;
    p.external_reference = (char *)row->reference;
    p.description = (char *)row->description;
    p.connection = (char *)row->connection;
    return pb_pack(a, &p.base, e);
}

static bool kept_id(void *arg, str answer, uuid *id, arena *a, err *e) {
    ProtobufCAllocator in_arena = pb_allocator(a);
    const Payments__V1__CreatePayoutResponse *kept = payments__v1__create_payout_response__unpack(
        &in_arena, answer.len, (const uint8_t *)answer.ptr);
    (void)arg;
    return (kept != NULL && kept->payout != NULL &&
            uuid_parse(str_of(kept->payout->payout_id), id)) ||
           err_set(e, ERR_DATA_LOSS, "ANSWER_UNREADABLE", "the first answer cannot be read");
}

static const authz_permission *to_start(void) {
    for (size_t i = 0; i < N_PAYMENTS_PERMISSIONS; i++) {
        if (strcmp(PAYMENTS_PERMISSIONS[i].method, "payments.v1.ImportService/StartImport") == 0) {
            return &PAYMENTS_PERMISSIONS[i];
        }
    }
    return NULL;
}

static bool may(void *arg, const merchant *m, str started_by) {
    const payments_service *s = arg;
    const authz_permission *row = to_start();
    authz_policy *now = authz_current_hold(s->o.policy, NULL);
    authz_who who;
    ASSERT(row != NULL);
    const bool ok = authz_recall(now, started_by, &who) == AUTHZ_ALLOWED &&
                    authz_may_call(&who, row) == AUTHZ_ALLOWED &&
                    authz_may_touch(&who, row, str_of(m->id)) == AUTHZ_ALLOWED;
    authz_policy_release(now);
    return ok;
}

import_calls import_calls_of(payments_service *s) {
    return (import_calls){.arg = s,
                          .check = check,
                          .enter = enter,
                          .content = content,
                          .kept_id = kept_id,
                          .may = may};
}
