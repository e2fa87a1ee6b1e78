// RecipientService: the recipients of payouts. Registration is in create_recipients.c.
#include <string.h>

#include "api/service_internal.h"
#include "parties/recipients.h"

typedef struct recipient_read {
    payments_service *s;
    const merchant *m;
    uuid id;
    Payments__V1__Recipient *found;
} recipient_read;

static Payments__V1__Recipient *recipient_without_name(const recipient_view *v, arena *a) {
    Payments__V1__Recipient *out = ARENA_NEW(a, Payments__V1__Recipient);
    payments__v1__recipient__init(out);
    out->recipient_id = uuid_text(a, v->recipient_id);
    out->merchant_id = pb_text(a, v->merchant_id);
    out->holder_type = (Payments__V1__HolderType)v->holder_type;
    out->currency = pb_text(a, v->currency);
    out->routing_code = pb_text(a, v->routing_code);
    out->account_last4 = pb_text(a, v->account_last4);
    out->create_time = pb_time(a, v->created_us);
    return out;
}

// The same with the name. NULL when the name cannot be opened.
static Payments__V1__Recipient *recipient_with_name(const payments_service *s, const merchant *m,
                                                    const recipient_view *v, arena *a, err *e) {
    str name = {0};
    if (!recipient_name(s->o.keys, m->book_id, v, a, &name, e)) {
        return NULL;
    }
    Payments__V1__Recipient *out = recipient_without_name(v, a);
    out->name = pb_text(a, name);
    return out;
}

static bool recipient_tx(db_conn *c, arena *a, void *arg, err *e) {
    recipient_read *r = arg;
    recipient_view view;
    bool found = false;
    if (!recipient_find(c, r->m->book_id, str_of(r->m->id), r->id, &view, &found, a, e)) {
        return false;
    }
    if (!found) {
        return err_set_field(e, ERR_NOT_FOUND, "RECIPIENT_NOT_FOUND", "recipient_id",
                             "the merchant has no such recipient");
    }
    r->found = recipient_with_name(r->s, r->m, &view, a, e);
    return r->found != NULL;
}

static void handle_get_recipient(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__GetRecipientRequest *r = (const Payments__V1__GetRecipientRequest *)request;
    Payments__V1__GetRecipientResponse answer = PAYMENTS__V1__GET_RECIPIENT_RESPONSE__INIT;
    recipient_read read = {.s = service};
    const int64_t deadline = rpc_deadline_mono_ms(call);
    err e = {0};
    bool ok = rule_merchant_id(str_of(r->merchant_id), "merchant_id", &e) &&
              rule_uuid(str_of(r->recipient_id), "", "recipient_id", &read.id, &e);
    if (ok) {
        read.m = merchant_find(read.s->merchants, str_of(r->merchant_id), deadline, &e);
        ok = read.m != NULL &&
             db_read(read.s->o.pool, deadline, rpc_arena(call), recipient_tx, &read, &e);
    }
    if (ok) {
        answer.recipient = read.found;
        rpc_reply(call, &answer.base);
    } else {
        rpc_fail(call, &e);
    }
}

// --- listing -------------------------------------------------------------------------------------------------------------

typedef struct recipient_list {
    payments_service *s;
    const merchant *m;
    uuid before; // ids below this: they are ordered by time
    int64_t size;
    Payments__V1__Recipient **out;
    size_t n;  // includes the first of the next page
    uuid last; // the page's last
} recipient_list;

static bool list_tx(db_conn *c, arena *a, void *arg, err *e) {
    recipient_list *l = arg;
    recipient_view *views = NULL;
    if (!recipients_list(c, l->m->book_id, str_of(l->m->id), l->before, l->size + 1, &views, &l->n,
                         a, e)) {
        return false;
    }
    l->out = ARENA_ARRAY(a, Payments__V1__Recipient *, l->n + 1);
    if (l->out == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < l->n && (int64_t)i < l->size; i++) {
        err unread = {0};
        // A recipient that cannot be opened hides no other: only its name is missing.
        l->out[i] = recipient_with_name(l->s, l->m, &views[i], a, &unread);
        if (l->out[i] == NULL) {
            l->out[i] = recipient_without_name(&views[i], a);
        }
        l->last = views[i].recipient_id;
    }
    return true;
}

static void handle_list_recipients(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__ListRecipientsRequest *r =
        (const Payments__V1__ListRecipientsRequest *)request;
    Payments__V1__ListRecipientsResponse answer = PAYMENTS__V1__LIST_RECIPIENTS_RESPONSE__INIT;
    recipient_list l = {.s = service};
    arena *a = rpc_arena(call);
    const int64_t deadline = rpc_deadline_mono_ms(call);
    const str filters = str_of(r->merchant_id);
    err e = {0};
    memset(l.before.b, 0xff, sizeof l.before.b);
    bool ok = rule_merchant_id(filters, "merchant_id", &e) &&
              page_size_of(r->page_size, &l.size, &e) &&
              (r->page_token[0] == '\0' ||
               page_token_read(r->page_token, filters, l.before.b, sizeof l.before.b, &e));
    if (ok) {
        l.m = merchant_find(l.s->merchants, filters, deadline, &e);
        ok = l.m != NULL && db_read(l.s->o.pool, deadline, a, list_tx, &l, &e);
    }
    if (!ok) {
        rpc_fail(call, &e);
        return;
    }
    answer.recipients = l.out;
    answer.n_recipients = l.n > (size_t)l.size ? (size_t)l.size : l.n;
    if (l.n > answer.n_recipients) {
        answer.next_page_token = page_token_make(a, filters, l.last.b, sizeof l.last.b);
    }
    rpc_reply(call, &answer.base);
}

const rpc_method RECIPIENT_METHODS[] = {
    {.name = "CreateRecipient", .unary = handle_create_recipient},
    {.name = "BulkCreateRecipients", .unary = handle_bulk_create_recipients},
    {.name = "GetRecipient", .unary = handle_get_recipient},
    {.name = "ListRecipients", .unary = handle_list_recipients},
};
const size_t N_RECIPIENT_METHODS = sizeof RECIPIENT_METHODS / sizeof RECIPIENT_METHODS[0];
