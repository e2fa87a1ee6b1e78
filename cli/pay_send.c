// payctl pay: the calls to the service. Messages live in an arena of their own, which is emptied after each call: a file may have a million
// rows.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/pay_internal.h"
#include "payments/v1/recipient_service.pb-c.h"

enum {
    CHUNK = 1000, // rows of one call
    CHUNK_BYTES_MAX = 64 << 20
};

static const char *const PAYOUTS = "payments.v1.PayoutService";

// A copy of a text that must outlive its message. Most are empty.
static const char *keep(payment *p, const char *text) {
    const char *kept = text[0] == '\0' ? "" : arena_strdup(p->c->arena, text);
    ASSERT(kept != NULL);
    return kept;
}

static void refuse(payment *p, sent *s, const Payments__V1__ItemError *x) {
    s->error = x != NULL ? keep(p, x->message) : "no answer for this row";
    s->error_reason = x != NULL ? keep(p, x->reason) : "NO_ANSWER";
    s->error_field = x != NULL ? keep(p, x->field) : "";
}

// --- messages --------------------------------------------------------------------------------------------------------------

static Payments__V1__NewRecipient *new_recipient(arena *a, const payout_row *row) {
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

static Payments__V1__NewPayout *new_payout(arena *a, const payout_row *row,
                                           const char *recipient_id) {
    Payments__V1__NewPayout *x = ARENA_NEW(a, Payments__V1__NewPayout);
    payments__v1__new_payout__init(x);
    x->idempotency_key = (char *)row->reference;
    x->recipient_id = (char *)recipient_id;
    x->amount_minor = row->amount_minor;
    x->currency = (char *)row->currency;
    x->rail = (Payments__V1__Rail)row->rail;
    x->external_reference = (char *)row->reference;
    x->description = (char *)row->description;
    x->connection = (char *)row->connection;
    return x;
}

// How many of the rows from `at` on are of the same merchant, at most CHUNK.
static size_t run_length(const payment *p, size_t at) {
    size_t n = 1;
    while (n < CHUNK && at + n < p->file.n &&
           strcmp(p->rows[at + n].row->merchant_id, p->rows[at].row->merchant_id) == 0) {
        n++;
    }
    return n;
}

// A definite answer about the merchant of these rows: repeating the call does not change it, and other merchants are not concerned.
// PERMISSION_DENIED and a service that was never asked (no client) concern all merchants.
static bool concerns_one_merchant(const payment *p, const err *e) {
    return p->c->payments_client != NULL && err_is_definite(e->code) &&
           e->code != ERR_PERMISSION_DENIED;
}

// --- checking --------------------------------------------------------------------------------------------------------------

static void make_bad(payment *p, const sent *s, const char *field, const char *reason,
                     const char *text) {
    err why = {0};
    payout_file_refusal(field, reason, text, &why);
    payout_file_complain(&p->file, s->row->line, &why);
}

// bad[i]: the service would refuse rows[i].
static bool check_chunk(payment *p, const sent *rows, size_t n, bool *bad, arena *a, err *e) {
    Payments__V1__ValidatePayoutsRequest request = PAYMENTS__V1__VALIDATE_PAYOUTS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    request.merchant_id = (char *)rows[0].row->merchant_id;
    request.items = ARENA_ARRAY(a, Payments__V1__PayoutToValidate *, n);
    ASSERT(request.items != NULL);
    for (size_t i = 0; i < n; i++) {
        Payments__V1__PayoutToValidate *x = ARENA_NEW(a, Payments__V1__PayoutToValidate);
        payments__v1__payout_to_validate__init(x);
        x->payout = new_payout(a, rows[i].row, "");
        x->recipient = new_recipient(a, rows[i].row);
        request.items[request.n_items++] = x;
    }
    if (!cli_call_into(p->c, PAYOUTS, "ValidatePayouts", &request.base,
                       &payments__v1__validate_payouts_response__descriptor, a, &answer, e)) {
        if (!concerns_one_merchant(p, e)) {
            return false;
        }
        for (size_t i = 0; i < n; i++) {
            bad[i] = true;
            make_bad(p, &rows[i], e->field, e->reason, e->message);
        }
        err_clear(e);
        return true;
    }
    const Payments__V1__ValidatePayoutsResponse *r =
        (const Payments__V1__ValidatePayoutsResponse *)answer;
    for (size_t i = 0; i < n; i++) {
        const Payments__V1__ItemError *x = i < r->n_results ? r->results[i]->error : NULL;
        bad[i] = i >= r->n_results || x != NULL;
        if (bad[i]) {
            make_bad(p, &rows[i], x != NULL ? x->field : "", x != NULL ? x->reason : "NO_ANSWER",
                     x != NULL ? x->message : "no answer for this row");
        }
    }
    return true;
}

bool pay_check(payment *p, err *e) {
    arena *a = arena_create(CHUNK_BYTES_MAX);
    bool *bad = calloc(p->file.n + 1, sizeof *bad);
    bool ok = true;
    size_t kept = 0;
    ASSERT(bad != NULL);
    progress_begin(&p->bar, p->c, "checking", p->file.n);
    for (size_t at = 0, n = 0; ok && at < p->file.n; at += n) {
        n = run_length(p, at);
        ok = check_chunk(p, &p->rows[at], n, &bad[at], a, e);
        arena_reset(a);
        progress_set(&p->bar, at + n, p->rows[at].row->merchant_id);
    }
    progress_end(&p->bar, ok ? "" : "stopped");
    for (size_t i = 0; ok && i < p->file.n; i++) {
        if (!bad[i]) {
            p->rows[kept++] = p->rows[i];
        }
    }
    if (ok) {
        p->file.n = kept;
        payout_file_sort_complaints(&p->file);
    }
    free(bad);
    arena_destroy(a);
    return ok;
}

// --- recipients ------------------------------------------------------------------------------------------------------------

// Registers the recipients of rows [0, n), all of one merchant: one per row. ids: of the accepted recipients, in a.
static bool register_chunk(payment *p, sent *rows, size_t n, const char **ids, arena *a, err *e) {
    Payments__V1__BulkCreateRecipientsRequest request =
        PAYMENTS__V1__BULK_CREATE_RECIPIENTS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    request.merchant_id = (char *)rows[0].row->merchant_id;
    request.recipients = ARENA_ARRAY(a, Payments__V1__NewRecipient *, n);
    ASSERT(request.recipients != NULL);
    for (size_t i = 0; i < n; i++) {
        request.recipients[request.n_recipients++] = new_recipient(a, rows[i].row);
    }
    if (!cli_call_into(p->c, "payments.v1.RecipientService", "BulkCreateRecipients", &request.base,
                       &payments__v1__bulk_create_recipients_response__descriptor, a, &answer, e)) {
        return false;
    }
    const Payments__V1__BulkCreateRecipientsResponse *r =
        (const Payments__V1__BulkCreateRecipientsResponse *)answer;
    for (size_t i = 0; i < n; i++) {
        const Payments__V1__RecipientResult *x = i < r->n_results ? r->results[i] : NULL;
        if (x != NULL && x->outcome_case == PAYMENTS__V1__RECIPIENT_RESULT__OUTCOME_RECIPIENT) {
            ids[i] = x->recipient->recipient_id;
        } else {
            refuse(p, &rows[i], x != NULL ? x->error : NULL);
        }
    }
    return true;
}

// --- payouts ---------------------------------------------------------------------------------------------------------------

void pay_note_state(payment *p, sent *s, const Payments__V1__Payout *payout) {
    p->by_state[s->state]--;
    s->state = (int)payout->state;
    s->reason = keep(p, payout->reason);
    s->reason_text = keep(p, payout->reason_text);
    p->by_state[s->state]++;
}

static void note_accepted(payment *p, sent *s, const Payments__V1__Payout *payout) {
    uuid id = {0};
    const bool parsed = uuid_parse(str_of(payout->payout_id), &id);
    s->payout_id = keep(p, payout->payout_id);
    const Google__Protobuf__Timestamp *t = payout->create_time;
    s->earlier = t != NULL && t->seconds * 1000000 + t->nanos / 1000 < p->started_us;
    p->n_earlier += s->earlier ? 1 : 0;
    p->by_state[0]++;
    pay_note_state(p, s, payout);
    const bool put = parsed && map_put(p->by_payout, id, s);
    ASSERT(put);
}

static bool send_chunk(payment *p, sent *rows, size_t n, const char *const *ids, arena *a, err *e) {
    Payments__V1__BulkCreatePayoutsRequest request =
        PAYMENTS__V1__BULK_CREATE_PAYOUTS_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    sent **asked = ARENA_ARRAY(a, sent *, n);
    request.merchant_id = (char *)rows[0].row->merchant_id;
    request.payouts = ARENA_ARRAY(a, Payments__V1__NewPayout *, n);
    ASSERT(asked != NULL && request.payouts != NULL);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].error != NULL) {
            continue;
        }
        asked[request.n_payouts] = &rows[i];
        request.payouts[request.n_payouts++] = new_payout(a, rows[i].row, ids[i]);
    }
    if (request.n_payouts == 0) {
        return true;
    }
    if (!cli_call_into(p->c, PAYOUTS, "BulkCreatePayouts", &request.base,
                       &payments__v1__bulk_create_payouts_response__descriptor, a, &answer, e)) {
        return false;
    }
    const Payments__V1__BulkCreatePayoutsResponse *r =
        (const Payments__V1__BulkCreatePayoutsResponse *)answer;
    for (size_t i = 0; i < request.n_payouts; i++) {
        const Payments__V1__PayoutResult *x = i < r->n_results ? r->results[i] : NULL;
        if (x != NULL && x->outcome_case == PAYMENTS__V1__PAYOUT_RESULT__OUTCOME_PAYOUT) {
            note_accepted(p, asked[i], x->payout);
        } else {
            refuse(p, asked[i], x != NULL ? x->error : NULL);
        }
    }
    return true;
}

static void refuse_chunk(payment *p, sent *rows, size_t n, const err *e) {
    const char *error = keep(p, e->message), *reason = keep(p, e->reason);
    const char *field = keep(p, e->field);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].error == NULL) {
            rows[i].error = error;
            rows[i].error_reason = reason;
            rows[i].error_field = field;
        }
    }
}

bool pay_send(payment *p, err *e) {
    arena *a = arena_create(CHUNK_BYTES_MAX);
    bool ok = true;
    p->was_sent = true;
    progress_begin(&p->bar, p->c, "sending", p->file.n);
    for (size_t at = 0, n = 0; ok && at < p->file.n; at += n) {
        n = run_length(p, at);
        const char **ids = ARENA_ARRAY(a, const char *, n);
        ASSERT(ids != NULL);
        ok = register_chunk(p, &p->rows[at], n, ids, a, e) &&
             send_chunk(p, &p->rows[at], n, ids, a, e);
        if (!ok && concerns_one_merchant(p, e)) {
            refuse_chunk(p, &p->rows[at], n, e);
            err_clear(e);
            ok = true;
        }
        arena_reset(a);
        progress_set(&p->bar, at + n, p->rows[at].row->merchant_id);
    }
    arena_destroy(a);
    progress_end(&p->bar, ok ? "" : "stopped");
    for (size_t i = 0; i < p->file.n; i++) {
        p->n_refused += p->rows[i].error != NULL ? 1 : 0;
    }
    return ok;
}
