// RecipientService: the people and companies that are paid. Bank details are sealed before they reach the database.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/map.h"
#include "store/idempotency.h"
#include "store/payments_sql.h"

// The memory of the transaction is not the call's: a try that is repeated takes its memory once more.
enum { RACES_MAX = 8, RECIPIENTS_ARENA_MAX = 256u << 20 };

typedef struct new_recipient {
    const Payments__V1__NewRecipient *wanted;
    idem_entry entry;
    uuid id;
    str name_sealed, account_sealed;
    str answer; // packed: it names the recipient, so entry.response is this, sealed
    const struct new_recipient *same_key; // an earlier one of this call
    const err *refused;
} new_recipient;

typedef struct recipient_batch {
    payments_service *s;
    const merchant *m;
    new_recipient *items;
    idem_entry **entries; // of the items that are valid and first with their key
    size_t n, n_entries;
    arena *work; // of the transaction and the answer
} recipient_batch;

static const err *keep_err(arena *a, const err *e) {
    err *kept = ARENA_NEW(a, err);
    *kept = *e;
    return kept;
}

static bool recipient_validate(const merchant *m, const Payments__V1__NewRecipient *w,
                               const char *path, err *e) {
    char account[64];
    const currency *ccy = NULL;
    (void)snprintf(account, sizeof account, "%sbank_account.", path);
    if (!rule_key(str_of(w->idempotency_key), path, e) ||
        !rule_text(str_of(w->name), 1, RULE_NAME_MAX, path, "name", e)) {
        return false;
    }
    if (w->holder_type != PAYMENTS__V1__HOLDER_TYPE__HOLDER_TYPE_INDIVIDUAL &&
        w->holder_type != PAYMENTS__V1__HOLDER_TYPE__HOLDER_TYPE_COMPANY) {
        char field[96];
        (void)snprintf(field, sizeof field, "%sholder_type", path);
        return err_set_field(e, ERR_INVALID_ARGUMENT, "HOLDER_TYPE_INVALID", field,
                             "%s must be INDIVIDUAL or COMPANY", field);
    }
    const Payments__V1__BankAccount *b = w->bank_account;
    if (b == NULL) {
        char field[96];
        (void)snprintf(field, sizeof field, "%sbank_account", path);
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_MISSING", field, "%s is missing",
                             field);
    }
    if (b->account_type != PAYMENTS__V1__BANK_ACCOUNT_TYPE__BANK_ACCOUNT_TYPE_CHECKING &&
        b->account_type != PAYMENTS__V1__BANK_ACCOUNT_TYPE__BANK_ACCOUNT_TYPE_SAVINGS) {
        char field[96];
        (void)snprintf(field, sizeof field, "%saccount_type", account);
        return err_set_field(e, ERR_INVALID_ARGUMENT, "ACCOUNT_TYPE_INVALID", field,
                             "%s must be CHECKING or SAVINGS", field);
    }
    if (!rule_currency(str_of(b->currency), account, &ccy, e) ||
        !rule_routing_code(str_of(b->routing_code), str_of(b->currency), account, e) ||
        !rule_account_number(str_of(b->account_number), account, e)) {
        return false;
    }
    if (!list_has(m->currencies, str_of(b->currency))) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "CURRENCY_NOT_HELD",
                             "bank_account.currency", "the merchant holds %s only", m->currencies);
    }
    return true;
}

static bool seal_field(payments_service *s, int64_t book_id, const new_recipient *it,
                       const char *field, str plain, arena *a, str *sealed, err *e) {
    char id[UUID_TEXT_LEN + 1], aad[128];
    uuid_format(it->id, id);
    const int len = snprintf(aad, sizeof aad, "recipient|%s|%" PRId64 "|%s", field, book_id, id);
    return crypto_seal(s->o.keys, (str){aad, (size_t)len}, plain, a, sealed, e);
}

// Where the sealed answer of a key belongs. The key comes last: it alone may hold a bar.
static str answer_aad(const recipient_batch *b, const new_recipient *it, arena *a) {
    const str merchant_id = it->entry.merchant_id, key = it->entry.key;
    const char *aad = arena_printf(a, "idempotency|response|%" PRId64 "|%.*s|%.*s", b->m->book_id,
                                   (int)merchant_id.len, merchant_id.ptr, (int)key.len, key.ptr);
    return aad == NULL ? (str){0} : str_of(aad);
}

static bool seal_answer(const recipient_batch *b, new_recipient *it, arena *a, err *e) {
    const str aad = answer_aad(b, it, a);
    return aad.ptr == NULL ? out_of_memory(e)
                           : crypto_seal(b->s->o.keys, aad, it->answer, a, &it->entry.response, e);
}

static bool open_answers(const recipient_batch *b, arena *a, err *e) {
    bool ok = true;
    for (size_t i = 0; ok && i < b->n; i++) {
        new_recipient *it = &b->items[i];
        if (it->refused == NULL && it->same_key == NULL && it->entry.known) {
            const str aad = answer_aad(b, it, a);
            ok = aad.ptr == NULL
                     ? out_of_memory(e)
                     : crypto_open(b->s->o.keys, aad, it->entry.response, a, &it->answer, e);
        }
    }
    return ok;
}

// The last four characters, so that a person can tell accounts apart; of a very short number only the last one.
static str last4(str account) {
    const size_t n = account.len > 4 ? 4 : 1;
    return (str){account.ptr + account.len - n, n};
}

static Payments__V1__Recipient *recipient_answer(const recipient_batch *b, const new_recipient *it,
                                                 int64_t now_us, arena *a) {
    Payments__V1__Recipient *r = ARENA_NEW(a, Payments__V1__Recipient);
    payments__v1__recipient__init(r);
    r->recipient_id = uuid_text(a, it->id);
    r->merchant_id = pb_text(a, str_of(b->m->id));
    r->name = it->wanted->name;
    r->holder_type = it->wanted->holder_type;
    r->currency = it->wanted->bank_account->currency;
    r->routing_code = it->wanted->bank_account->routing_code;
    r->account_last4 = pb_text(a, last4(str_of(it->wanted->bank_account->account_number)));
    r->create_time = pb_time(a, now_us);
    return r;
}

static bool prepare_new(const recipient_batch *b, new_recipient *it, int64_t now_us, arena *a,
                        err *e) {
    Payments__V1__CreateRecipientResponse answer = PAYMENTS__V1__CREATE_RECIPIENT_RESPONSE__INIT;
    it->id = uuid_v7(clock_system());
    if (!seal_field(b->s, b->m->book_id, it, "name", str_of(it->wanted->name), a, &it->name_sealed,
                    e) ||
        !seal_field(b->s, b->m->book_id, it, "account",
                    str_of(it->wanted->bank_account->account_number), a, &it->account_sealed, e)) {
        return false;
    }
    answer.recipient = recipient_answer(b, it, now_us, a);
    it->answer = pb_pack(a, &answer.base, e);
    return it->answer.ptr != NULL && seal_answer(b, it, a, e);
}

static void copy_recipient(db_copy *w, const recipient_batch *b, const new_recipient *it,
                           int64_t now_us) {
    const Payments__V1__BankAccount *account = it->wanted->bank_account;
    db_copy_row(w);
    db_copy_i64(w, b->m->book_id);
    db_copy_uuid(w, it->id);
    db_copy_text(w, str_of(b->m->id));
    db_copy_i16(w, (int16_t)it->wanted->holder_type);
    db_copy_i16(w, (int16_t)account->account_type);
    db_copy_text(w, str_of(account->currency));
    db_copy_text(w, str_of(account->routing_code));
    db_copy_text(w, last4(str_of(account->account_number)));
    db_copy_bytes(w, it->name_sealed.ptr, it->name_sealed.len);
    db_copy_bytes(w, it->account_sealed.ptr, it->account_sealed.len);
    db_copy_time(w, now_us);
}

static bool recipients_tx(db_conn *c, arena *a, void *arg, err *e) {
    recipient_batch *b = arg;
    const int64_t now_us = clock_wall_us(clock_system());
    idem_entry **fresh = ARENA_ARRAY(a, idem_entry *, b->n_entries);
    size_t n_fresh = 0;
    if (fresh == NULL) {
        return out_of_memory(e);
    }
    if (!idem_lookup(c, b->m->book_id, b->entries, b->n_entries, a, e)) {
        return false;
    }
    for (size_t i = 0; i < b->n; i++) {
        new_recipient *it = &b->items[i];
        if (it->refused == NULL && it->same_key == NULL && !it->entry.known) {
            if (!prepare_new(b, it, now_us, a, e)) {
                return false;
            }
            fresh[n_fresh++] = &it->entry;
        }
    }
    if (n_fresh == 0) {
        return true;
    }
    db_copy *w = db_copy_begin(
        c, "recipient",
        "book_id, recipient_id, merchant_id, holder_type, account_type, currency, routing_code, "
        "account_last4, name_sealed, account_sealed, created_at",
        11, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < b->n; i++) {
        const new_recipient *it = &b->items[i];
        if (it->refused == NULL && it->same_key == NULL && !it->entry.known) {
            copy_recipient(w, b, it, now_us);
        }
    }
    return db_copy_end(w, NULL, e) &&
           idem_insert(c, b->m->book_id, IDEM_RECIPIENT, fresh, n_fresh, now_us, e);
}

static bool recipients_commit(recipient_batch *b, int64_t deadline, arena *a, err *e) {
    bool ok = false;
    bool again = true;
    for (int i = 0; again && i < RACES_MAX; i++) {
        err_clear(e);
        ok = db_transact(b->s->o.pool, deadline, a, recipients_tx, b, e);
        again = !ok && idem_should_look_again(e);
    }
    CRASH_POINT("recipients.committed");
    return ok || idem_give_up(e);
}

static bool batch_fill(recipient_batch *b, Payments__V1__NewRecipient *const *wanted, bool single,
                       arena *a, err *e) {
    b->items = ARENA_ARRAY(a, new_recipient, b->n);
    b->entries = ARENA_ARRAY(a, idem_entry *, b->n);
    if (b->items == NULL || b->entries == NULL) {
        return out_of_memory(e);
    }
    map *keys = map_create(b->n, BULK_MAX);
    bool ok = true;
    for (size_t i = 0; ok && i < b->n; i++) {
        new_recipient *it = &b->items[i];
        char path[48];
        err why = {0};
        (void)snprintf(path, sizeof path, single ? "recipient." : "recipients[%zu].", i);
        it->wanted = wanted[i];
        if (!recipient_validate(b->m, wanted[i], path, &why)) {
            it->refused = keep_err(b->work, &why);
            continue;
        }
        const str content = pb_pack(a, &wanted[i]->base, e);
        ok = content.ptr != NULL;
        if (ok) {
            it->entry.merchant_id = str_of(b->m->id);
            it->entry.key = str_of(wanted[i]->idempotency_key);
            idem_hash(IDEM_RECIPIENT, it->entry.merchant_id, content, it->entry.hash);
            const uuid key = uuid_derive(&it->entry.key, 1);
            it->same_key = map_get(keys, key);
            if (it->same_key == NULL) {
                const bool put = map_put(keys, key, it);
                ASSERT(put);
                b->entries[b->n_entries++] = &it->entry;
            }
        }
    }
    map_destroy(keys);
    return ok;
}

static bool item_outcome(const new_recipient *it, const char *path, str *packed, err *e) {
    const new_recipient *first = it->same_key != NULL ? it->same_key : it;
    if (it->refused != NULL) {
        *e = *it->refused;
        return false;
    }
    if (!idem_is_same(&first->entry, it->entry.hash)) {
        return idem_conflict(path, e);
    }
    *packed = first->answer;
    return true;
}

// The part that both calls share: find the merchant, fill, commit. False: the whole call failed.
static bool recipients_run(recipient_batch *b, rpc_call *call, const char *merchant_id,
                           Payments__V1__NewRecipient *const *wanted, bool single, err *e) {
    if (!rule_merchant_id(str_of(merchant_id), "merchant_id", e)) {
        return false;
    }
    b->m = merchant_find(b->s->merchants, str_of(merchant_id), rpc_deadline_mono_ms(call), e);
    if (b->m == NULL || !batch_fill(b, wanted, single, rpc_arena(call), e)) {
        return false;
    }
    return b->n_entries == 0 || (recipients_commit(b, rpc_deadline_mono_ms(call), b->work, e) &&
                                 open_answers(b, b->work, e));
}

static void handle_create_recipient(rpc_call *call, void *service,
                                    const ProtobufCMessage *request) {
    const Payments__V1__CreateRecipientRequest *r =
        (const Payments__V1__CreateRecipientRequest *)request;
    recipient_batch b = {.s = service, .n = 1, .work = arena_create(RECIPIENTS_ARENA_MAX)};
    err e = {0};
    str packed = {0};
    bool ok = r->recipient != NULL || err_set_field(&e, ERR_INVALID_ARGUMENT, "FIELD_MISSING",
                                                    "recipient", "recipient is missing");
    ok = ok && recipients_run(&b, call, r->merchant_id, &r->recipient, true, &e);
    ok = ok && item_outcome(&b.items[0], "recipient.", &packed, &e);
    if (ok) {
        rpc_reply_packed(call, packed.ptr, packed.len);
    } else {
        rpc_fail(call, &e);
    }
    arena_destroy(b.work);
}

static void handle_bulk_create_recipients(rpc_call *call, void *service,
                                          const ProtobufCMessage *request) {
    const Payments__V1__BulkCreateRecipientsRequest *r =
        (const Payments__V1__BulkCreateRecipientsRequest *)request;
    Payments__V1__BulkCreateRecipientsResponse answer =
        PAYMENTS__V1__BULK_CREATE_RECIPIENTS_RESPONSE__INIT;
    recipient_batch b = {
        .s = service, .n = r->n_recipients, .work = arena_create(RECIPIENTS_ARENA_MAX)};
    arena *a = b.work;
    err e = {0};
    bool ok = (b.n >= 1 && b.n <= BULK_MAX) ||
              err_set_field(&e, ERR_INVALID_ARGUMENT, "BATCH_SIZE_INVALID", "recipients",
                            "give 1 to %d recipients", BULK_MAX);
    ok = ok && recipients_run(&b, call, r->merchant_id, r->recipients, false, &e);
    Payments__V1__RecipientResult *results =
        ok ? ARENA_ARRAY(a, Payments__V1__RecipientResult, b.n) : NULL;
    answer.results = ok ? ARENA_ARRAY(a, Payments__V1__RecipientResult *, b.n) : NULL;
    if (ok && (results == NULL || answer.results == NULL)) {
        (void)out_of_memory(&e);
        ok = false;
    }
    ProtobufCAllocator in_arena = pb_allocator(a);
    for (size_t i = 0; ok && i < b.n; i++) {
        err why = {0};
        str packed = {0};
        char path[48];
        (void)snprintf(path, sizeof path, "recipients[%zu].", i);
        payments__v1__recipient_result__init(&results[i]);
        answer.results[answer.n_results++] = &results[i];
        if (!item_outcome(&b.items[i], path, &packed, &why)) {
            results[i].outcome_case = PAYMENTS__V1__RECIPIENT_RESULT__OUTCOME_ERROR;
            results[i].error = pb_item_error(a, &why);
            continue;
        }
        const Payments__V1__CreateRecipientResponse *one =
            payments__v1__create_recipient_response__unpack(&in_arena, packed.len,
                                                            (const uint8_t *)packed.ptr);
        if (one == NULL) {
            ok = out_of_memory(&e);
            break;
        }
        results[i].outcome_case = PAYMENTS__V1__RECIPIENT_RESULT__OUTCOME_RECIPIENT;
        results[i].recipient = one->recipient;
    }
    if (ok) {
        rpc_reply(call, &answer.base);
    } else {
        rpc_fail(call, &e);
    }
    arena_destroy(b.work);
}

// --- reading ---------------------------------------------------------------------------------------------------------------

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
