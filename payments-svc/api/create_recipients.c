// Registering recipients: known keys before everything else, then fields; bank details are sealed before they reach the database.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/map.h"
#include "command/audit.h"
#include "command/idempotency.h"
#include "formats/nacha/nacha_text.h"
#include "parties/recipients.h"

// The memory of the transaction is not the call's: a try that is repeated takes its memory once more.
enum { RACES_MAX = 8, RECIPIENTS_ARENA_MAX = 256u << 20 };

typedef struct new_recipient {
    const Payments__V1__NewRecipient *wanted;
    const char *path;
    idem_entry entry;
    uuid id;
    recipient_new row;
    str answer; // packed: it names the recipient, so entry.answer is this, sealed
    // An earlier one of this call with the same key: if the key is new, its answer is this one's.
    const struct new_recipient *same_key;
    bool unreadable;    // has no key that could be looked up
    const err *invalid; // the fault of a new request; a known key's does not count
} new_recipient;

typedef struct recipient_batch {
    payments_service *s;
    const merchant *m;
    const actor_info *by; // NULL where they are only looked at
    new_recipient *items;
    idem_entry **entries; // of the items that can be looked up
    size_t n, n_entries;
    arena *work; // of the transaction and the answer
} recipient_batch;

// --- Rules -----------------------------------------------------------------------------------------------------------

static bool account_validate(const merchant *m, const Payments__V1__BankAccount *b,
                             const char *path, err *e) {
    char account[64], field[96];
    const currency *ccy = NULL;
    (void)snprintf(account, sizeof account, "%sbank_account.", path);
    if (b->account_type != PAYMENTS__V1__BANK_ACCOUNT_TYPE__BANK_ACCOUNT_TYPE_CHECKING &&
        b->account_type != PAYMENTS__V1__BANK_ACCOUNT_TYPE__BANK_ACCOUNT_TYPE_SAVINGS) {
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

static bool recipient_validate(const merchant *m, const Payments__V1__NewRecipient *w,
                               const char *path, err *e) {
    char field[96];
    if (!pb_is_known(&w->base, path, e) ||
        !rule_text(str_of(w->name), 1, RULE_NAME_MAX, path, "name", e)) {
        return false;
    }
    if (w->holder_type != PAYMENTS__V1__HOLDER_TYPE__HOLDER_TYPE_INDIVIDUAL &&
        w->holder_type != PAYMENTS__V1__HOLDER_TYPE__HOLDER_TYPE_COMPANY) {
        (void)snprintf(field, sizeof field, "%sholder_type", path);
        return err_set_field(e, ERR_INVALID_ARGUMENT, "HOLDER_TYPE_INVALID", field,
                             "%s must be INDIVIDUAL or COMPANY", field);
    }
    if (w->bank_account == NULL) {
        (void)snprintf(field, sizeof field, "%sbank_account", path);
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_MISSING", field, "%s is missing",
                             field);
    }
    // A dollar account may be paid by ACH, whose records must be able to carry the name.
    return account_validate(m, w->bank_account, path, e) &&
           (strcmp(w->bank_account->currency, "USD") != 0 ||
            nacha_name_check(str_of(w->name), path, e));
}

// --- Sealing ---------------------------------------------------------------------------------------------------------

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
                           : crypto_seal(b->s->o.keys, aad, it->answer, a, &it->entry.answer, e);
}

static bool open_answers(const recipient_batch *b, arena *a, err *e) {
    bool ok = true;
    for (size_t i = 0; ok && i < b->n; i++) {
        new_recipient *it = &b->items[i];
        if (it->entry.known && it->entry.same) {
            const str aad = answer_aad(b, it, a);
            ok = aad.ptr == NULL
                     ? out_of_memory(e)
                     : crypto_open(b->s->o.keys, aad, it->entry.kept_answer, a, &it->answer, e);
        }
    }
    return ok;
}

static Payments__V1__Recipient *recipient_answer(const recipient_batch *b, const new_recipient *it,
                                                 int64_t now_us, arena *a) {
    Payments__V1__Recipient *r = ARENA_NEW(a, Payments__V1__Recipient);
    payments__v1__recipient__init(r);
    if (!uuid_is_nil(it->id)) { // else it was only checked
        r->recipient_id = uuid_text(a, it->id);
        r->create_time = pb_time(a, now_us);
    }
    r->merchant_id = pb_text(a, str_of(b->m->id));
    r->name = it->wanted->name;
    r->holder_type = it->wanted->holder_type;
    r->currency = it->wanted->bank_account->currency;
    r->routing_code = it->wanted->bank_account->routing_code;
    r->account_last4 =
        pb_text(a, recipient_last4(str_of(it->wanted->bank_account->account_number)));
    return r;
}

static bool prepare_new(const recipient_batch *b, new_recipient *it, int64_t now_us, arena *a,
                        err *e) {
    Payments__V1__CreateRecipientResponse answer = PAYMENTS__V1__CREATE_RECIPIENT_RESPONSE__INIT;
    it->id = uuid_v7(clock_system());
    const Payments__V1__BankAccount *account = it->wanted->bank_account;
    it->row = (recipient_new){.recipient_id = it->id,
                              .holder_type = (int)it->wanted->holder_type,
                              .account_type = (int)account->account_type,
                              .currency = str_of(account->currency),
                              .routing_code = str_of(account->routing_code),
                              .account_number = str_of(account->account_number),
                              .name = str_of(it->wanted->name)};
    if (!recipient_seal(b->s->o.keys, b->m->book_id, &it->row, a, e)) {
        return false;
    }
    answer.recipient = recipient_answer(b, it, now_us, a);
    it->answer = pb_pack(a, &answer.base, e);
    return it->answer.ptr != NULL && seal_answer(b, it, a, e);
}

// New, valid, and the first of its key: to be written.
static bool is_fresh(const new_recipient *it) {
    return !it->entry.known && it->invalid == NULL && it->same_key == NULL;
}

static bool look_up(const recipient_batch *b, db_conn *c, arena *a, err *e) {
    return idem_lookup(c, b->s->o.keys, b->m->book_id, IDEM_RECIPIENT, b->entries, b->n_entries, a,
                       e);
}

static bool write_fresh(db_conn *c, const recipient_batch *b, int64_t now_us, arena *a, err *e) {
    recipient_new *rows = ARENA_ARRAY(a, recipient_new, b->n);
    size_t n = 0;
    if (rows == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < b->n; i++) {
        if (is_fresh(&b->items[i])) {
            rows[n++] = b->items[i].row;
        }
    }
    return recipients_write(c, b->m->book_id, str_of(b->m->id), rows, n, b->by, now_us, a, e);
}

// Their ids ascend, as they are made in this order.
static bool audit_fresh(db_conn *c, const recipient_batch *b, size_t n_fresh, int64_t now_us,
                        arena *a, err *e) {
    char first[UUID_TEXT_LEN + 1] = "", last[UUID_TEXT_LEN + 1] = "";
    for (size_t i = 0; i < b->n; i++) {
        if (is_fresh(&b->items[i])) {
            uuid_format(b->items[i].id, first[0] == '\0' ? first : last);
        }
    }
    const audit_entry entry = {.by = b->by,
                               .merchant_id = str_of(b->m->id),
                               .subject = "recipients",
                               .subject_id = str_of(first),
                               .last_id = str_of(last[0] == '\0' ? first : last),
                               .n = (int32_t)n_fresh};
    return audit_write(c, b->m->book_id, &entry, 1, now_us, a, e);
}

static bool recipients_tx(db_conn *c, arena *a, void *arg, err *e) {
    recipient_batch *b = arg;
    const int64_t now_us = clock_wall_us(clock_system());
    idem_entry **fresh = ARENA_ARRAY(a, idem_entry *, b->n_entries);
    size_t n_fresh = 0;
    if (fresh == NULL) {
        return out_of_memory(e);
    }
    if (!look_up(b, c, a, e)) {
        return false;
    }
    for (size_t i = 0; i < b->n; i++) {
        new_recipient *it = &b->items[i];
        if (is_fresh(it)) {
            if (!prepare_new(b, it, now_us, a, e)) {
                return false;
            }
            fresh[n_fresh++] = &it->entry;
        }
    }
    if (n_fresh == 0) {
        return true;
    }
    return write_fresh(c, b, now_us, a, e) && audit_fresh(c, b, n_fresh, now_us, a, e) &&
           idem_insert(c, b->m->book_id, IDEM_RECIPIENT, fresh, n_fresh, now_us, e);
}

// Looks only: what is new is answered as it would be, without an id.
static bool check_tx(db_conn *c, arena *a, void *arg, err *e) {
    const recipient_batch *b = arg;
    return look_up(b, c, a, e);
}

static bool answer_checked(const recipient_batch *b, err *e) {
    bool ok = true;
    for (size_t i = 0; ok && i < b->n; i++) {
        new_recipient *it = &b->items[i];
        Payments__V1__CreateRecipientResponse answer =
            PAYMENTS__V1__CREATE_RECIPIENT_RESPONSE__INIT;
        if (is_fresh(it)) {
            answer.recipient = recipient_answer(b, it, 0, b->work);
            it->answer = pb_pack(b->work, &answer.base, e);
            ok = it->answer.ptr != NULL;
        }
    }
    return ok;
}

static bool recipients_commit(recipient_batch *b, int64_t deadline, err *e) {
    bool ok = false;
    bool again = true;
    for (int i = 0; again && i < RACES_MAX; i++) {
        err_clear(e);
        ok = db_transact(b->s->o.pool, deadline, b->work, recipients_tx, b, e);
        again = !ok && idem_should_look_again(e);
    }
    CRASH_POINT("recipients.committed");
    return ok || idem_give_up(e);
}

// --- The batch -------------------------------------------------------------------------------------------------------

// fault: of the request as a whole.
static bool item_fill(const recipient_batch *b, new_recipient *it, const err *fault, map *keys,
                      arena *a, err *e) {
    err why = {0};
    it->entry.merchant_id = str_of(b->m->id);
    it->entry.key = str_of(it->wanted->idempotency_key);
    it->entry.content = pb_pack(a, &it->wanted->base, e);
    if (it->entry.content.ptr == NULL) {
        return false;
    }
    it->unreadable = !rule_key(it->entry.key, it->path, &why);
    if (it->unreadable || !recipient_validate(b->m, it->wanted, it->path, &why)) {
        it->invalid = pb_keep_err(b->work, &why);
    } else if (fault != NULL) {
        it->invalid = fault;
    } else {
        const uuid key = uuid_derive(&it->entry.key, 1);
        it->same_key = map_get(keys, key);
        if (it->same_key == NULL) {
            const bool put = map_put(keys, key, it);
            ASSERT(put);
        }
        idem_hash(b->s->o.keys, IDEM_RECIPIENT, &it->entry);
    }
    return true;
}

// Where the items of a request stand: "recipient.", "recipients[3]." or "items[3].recipient.".
typedef struct path_shape {
    const char *list, *member;
} path_shape;

static const char *path_of(const path_shape *shape, size_t i, arena *a) {
    return shape->list == NULL ? shape->member
                               : arena_printf(a, "%s[%zu].%s", shape->list, i, shape->member);
}

// wanted[i] may be NULL: then there is nothing to do for i.
static bool batch_fill(recipient_batch *b, Payments__V1__NewRecipient *const *wanted,
                       const path_shape *shape, const err *fault, arena *a, err *e) {
    b->items = ARENA_ARRAY(a, new_recipient, b->n);
    b->entries = ARENA_ARRAY(a, idem_entry *, b->n);
    if (b->items == NULL || b->entries == NULL) {
        return out_of_memory(e);
    }
    map *keys = map_create(b->n, BULK_MAX);
    bool ok = true;
    for (size_t i = 0; ok && i < b->n; i++) {
        new_recipient *it = &b->items[i];
        it->wanted = wanted[i];
        it->unreadable = true;
        if (wanted[i] == NULL) {
            continue;
        }
        it->path = path_of(shape, i, a);
        ok = it->path == NULL ? out_of_memory(e) : item_fill(b, it, fault, keys, a, e);
        if (ok && !it->unreadable) {
            b->entries[b->n_entries++] = &it->entry;
        }
    }
    map_destroy(keys);
    return ok;
}

static bool item_outcome(const new_recipient *it, str *packed, err *e) {
    const new_recipient *first = it->same_key != NULL ? it->same_key : it;
    if (it->unreadable || (!it->entry.known && it->invalid != NULL)) {
        *e = *it->invalid;
        return false;
    }
    const bool same =
        it->entry.known ? it->entry.same : str_eq(it->entry.content, first->entry.content);
    if (!same) {
        return idem_conflict(it->path, e);
    }
    *packed = it->entry.known ? it->answer : first->answer;
    return true;
}

// --- Calls -----------------------------------------------------------------------------------------------------------

typedef struct create_args {
    const ProtobufCMessage *request; // as a whole
    const char *merchant_id;
    Payments__V1__NewRecipient *const *recipients;
    path_shape shape;
    bool validate_only;
} create_args;

static bool batch_check(recipient_batch *b, int64_t deadline, err *e) {
    return (b->n_entries == 0 || db_read(b->s->o.pool, deadline, b->work, check_tx, b, e)) &&
           answer_checked(b, e);
}

// The part that both calls share: find the merchant, fill, commit. False: the whole call failed.
static bool recipients_run(recipient_batch *b, rpc_call *call, const create_args *x, err *e) {
    const int64_t deadline = rpc_deadline_mono_ms(call);
    err fault = {0};
    if (!rule_merchant_id(str_of(x->merchant_id), "merchant_id", e)) {
        return false;
    }
    b->m = merchant_find(b->s->merchants, str_of(x->merchant_id), deadline, e);
    const actor_info by = rpc_actor(call);
    b->by = &by;
    const err *whole = pb_is_known_here(x->request, "", &fault) ? NULL : &fault;
    if (b->m == NULL || !batch_fill(b, x->recipients, &x->shape, whole, rpc_arena(call), e)) {
        return false;
    }
    const bool ok = x->validate_only    ? batch_check(b, deadline, e)
                    : b->n_entries == 0 ? true
                                        : recipients_commit(b, deadline, e);
    return ok && open_answers(b, b->work, e);
}

void handle_create_recipient(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__CreateRecipientRequest *r =
        (const Payments__V1__CreateRecipientRequest *)request;
    const create_args x = {
        request, r->merchant_id, &r->recipient, {NULL, "recipient."}, r->validate_only != 0};
    recipient_batch b = {.s = service, .n = 1, .work = arena_create(RECIPIENTS_ARENA_MAX)};
    err e = {0};
    str packed = {0};
    bool ok = r->recipient != NULL || err_set_field(&e, ERR_INVALID_ARGUMENT, "FIELD_MISSING",
                                                    "recipient", "recipient is missing");
    ok = ok && recipients_run(&b, call, &x, &e) && item_outcome(&b.items[0], &packed, &e);
    if (ok) {
        rpc_reply_packed(call, packed.ptr, packed.len);
    } else {
        rpc_fail(call, &e);
    }
    arena_destroy(b.work);
}

static bool fill_result(const new_recipient *it, Payments__V1__RecipientResult *result, arena *a,
                        err *e) {
    ProtobufCAllocator in_arena = pb_allocator(a);
    err why = {0};
    str packed = {0};
    payments__v1__recipient_result__init(result);
    if (!item_outcome(it, &packed, &why)) {
        result->outcome_case = PAYMENTS__V1__RECIPIENT_RESULT__OUTCOME_ERROR;
        result->error = pb_item_error(a, &why);
        return true;
    }
    const Payments__V1__CreateRecipientResponse *one =
        payments__v1__create_recipient_response__unpack(&in_arena, packed.len,
                                                        (const uint8_t *)packed.ptr);
    if (one == NULL) {
        return out_of_memory(e);
    }
    result->outcome_case = PAYMENTS__V1__RECIPIENT_RESULT__OUTCOME_RECIPIENT;
    result->recipient = one->recipient;
    return true;
}

void handle_bulk_create_recipients(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__BulkCreateRecipientsRequest *r =
        (const Payments__V1__BulkCreateRecipientsRequest *)request;
    const create_args x = {
        request, r->merchant_id, r->recipients, {"recipients", ""}, r->validate_only != 0};
    Payments__V1__BulkCreateRecipientsResponse answer =
        PAYMENTS__V1__BULK_CREATE_RECIPIENTS_RESPONSE__INIT;
    recipient_batch b = {
        .s = service, .n = r->n_recipients, .work = arena_create(RECIPIENTS_ARENA_MAX)};
    arena *a = b.work;
    err e = {0};
    bool ok = (b.n >= 1 && b.n <= BULK_MAX) ||
              err_set_field(&e, ERR_INVALID_ARGUMENT, "BATCH_SIZE_INVALID", "recipients",
                            "give 1 to %d recipients", BULK_MAX);
    ok = ok && recipients_run(&b, call, &x, &e);
    Payments__V1__RecipientResult *results =
        ok ? ARENA_ARRAY(a, Payments__V1__RecipientResult, b.n) : NULL;
    answer.results = ok ? ARENA_ARRAY(a, Payments__V1__RecipientResult *, b.n) : NULL;
    if (ok && (results == NULL || answer.results == NULL)) {
        ok = out_of_memory(&e);
    }
    for (size_t i = 0; ok && i < b.n; i++) {
        answer.results[answer.n_results++] = &results[i];
        ok = fill_result(&b.items[i], &results[i], a, &e);
    }
    if (ok) {
        rpc_reply(call, &answer.base);
    } else {
        rpc_fail(call, &e);
    }
    arena_destroy(b.work);
}

// The id that an answer names. @arena
static bool id_of(str packed, const char **id, arena *a, err *e) {
    ProtobufCAllocator memory = pb_allocator(a);
    const Payments__V1__CreateRecipientResponse *known =
        payments__v1__create_recipient_response__unpack(&memory, packed.len,
                                                        (const uint8_t *)packed.ptr);
    if (known == NULL || known->recipient == NULL) {
        return out_of_memory(e); // nothing else: the bytes are our own, and authentic
    }
    *id = known->recipient->recipient_id;
    return true;
}

static bool recipients_do(payments_service *s, const recipients_asked *x, bool enter,
                          int64_t deadline, arena *a, err *e) {
    static const path_shape shape = {"items", "recipient."};
    recipient_batch b = {
        .s = s, .m = x->m, .by = x->by, .n = x->n, .work = arena_create(RECIPIENTS_ARENA_MAX)};
    bool ok = batch_fill(&b, x->wanted, &shape, NULL, a, e);
    if (ok && b.n_entries > 0) {
        ok = enter ? recipients_commit(&b, deadline, e)
                   : db_read(s->o.pool, deadline, b.work, check_tx, &b, e);
    }
    ok = ok && open_answers(&b, b.work, e);
    for (size_t i = 0; ok && i < x->n; i++) {
        const new_recipient *it = &b.items[i];
        err why = {0};
        str packed = {0};
        x->faults[i] = NULL;
        x->ids[i] = NULL;
        if (x->wanted[i] == NULL) {
            continue;
        }
        if (!item_outcome(it, &packed, &why)) {
            x->faults[i] = pb_keep_err(a, &why);
        } else if (enter || it->entry.known) {
            ok = id_of(packed, &x->ids[i], a, e);
        }
    }
    arena_destroy(b.work);
    return ok;
}

bool recipients_look(payments_service *s, const recipients_asked *x, int64_t deadline_mono_ms,
                     arena *a, err *e) {
    return recipients_do(s, x, false, deadline_mono_ms, a, e);
}

bool recipients_enter(payments_service *s, const recipients_asked *x, int64_t deadline_mono_ms,
                      arena *a, err *e) {
    return recipients_do(s, x, true, deadline_mono_ms, a, e);
}
