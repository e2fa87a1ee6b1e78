// RecipientService: the people and companies that are paid. Registering them is in create_recipients.c.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/service_internal.h"
#include "store/payments_sql.h"

typedef struct recipient_read {
    payments_service *s;
    const merchant *m;
    uuid id;
    Payments__V1__Recipient *found;
} recipient_read;

static bool recipient_tx(db_conn *c, arena *a, void *arg, err *e) {
    recipient_read *r = arg;
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    char aad[128], id[UUID_TEXT_LEN + 1];
    str name = {0};
    db_i64(p, r->m->book_id);
    db_uuid(p, r->id);
    db_text(p, str_of(r->m->id));
    if (!db_exec(c, payments_stmt(SQL_RECIPIENT_GET), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return err_set_field(e, ERR_NOT_FOUND, "RECIPIENT_NOT_FOUND", "recipient_id",
                             "the merchant has no such recipient");
    }
    uuid_format(r->id, id);
    const int len = snprintf(aad, sizeof aad, "recipient|name|%" PRId64 "|%s", r->m->book_id, id);
    if (!crypto_open(r->s->o.keys, (str){aad, (size_t)len}, db_get_str(rows, 0, 6), a, &name, e)) {
        return false;
    }
    r->found = ARENA_NEW(a, Payments__V1__Recipient);
    payments__v1__recipient__init(r->found);
    r->found->recipient_id = uuid_text(a, r->id);
    r->found->merchant_id = pb_text(a, db_get_str(rows, 0, 1));
    r->found->holder_type = (Payments__V1__HolderType)db_get_i16(rows, 0, 2);
    r->found->currency = pb_text(a, db_get_str(rows, 0, 3));
    r->found->routing_code = pb_text(a, db_get_str(rows, 0, 4));
    r->found->account_last4 = pb_text(a, db_get_str(rows, 0, 5));
    r->found->name = pb_text(a, name);
    r->found->create_time = pb_time(a, db_get_time(rows, 0, 7));
    return true;
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

const rpc_method RECIPIENT_METHODS[] = {
    {.name = "CreateRecipient", .unary = handle_create_recipient},
    {.name = "BulkCreateRecipients", .unary = handle_bulk_create_recipients},
    {.name = "GetRecipient", .unary = handle_get_recipient},
};
const size_t N_RECIPIENT_METHODS = sizeof RECIPIENT_METHODS / sizeof RECIPIENT_METHODS[0];
