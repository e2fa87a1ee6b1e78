// MerchantService: merchants, deposits, balances.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "command/idempotency.h"
#include "domain/ids.h"
#include "ledger/ledger_client.h"

enum { RACES_MAX = 8, N_RAILS = 2 };
static const int RAILS[N_RAILS] = {PAYMENTS__V1__RAIL__RAIL_ACH, PAYMENTS__V1__RAIL__RAIL_INSTANT};

static int64_t ledger_deadline(const payments_service *s, const rpc_call *call) {
    const int64_t own = clock_mono_ms(clock_system()) + s->o.ledger_timeout_ms;
    const int64_t asked = rpc_deadline_mono_ms(call);
    return own < asked ? own : asked;
}

// The service's currencies are those that a rail carries.
static bool currency_is_carried(const payments_service *s, str code) {
    for (size_t i = 0; i < s->o.n_rails; i++) {
        if (list_has(s->o.rails[i].currencies, code)) {
            return true;
        }
    }
    return false;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// What can be compared with a merchant that is there already: sorted, without repetition, comma-separated.
static bool join_currencies(char **codes, size_t n, char *out, size_t out_len, err *e) {
    if (n == 0 || n > RULE_CURRENCIES_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_MISSING", "currencies",
                             "give 1 to %d currencies", RULE_CURRENCIES_MAX);
    }
    const char *sorted[RULE_CURRENCIES_MAX];
    for (size_t i = 0; i < n; i++) {
        sorted[i] = codes[i];
        if (currency_find(str_of(codes[i])) == NULL) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "CURRENCY_UNKNOWN", "currencies",
                                 "currencies[%zu] must be an ISO 4217 code such as USD", i);
        }
    }
    qsort(sorted, n, sizeof sorted[0], by_text);
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(sorted[i], sorted[i - 1]) != 0) {
            len +=
                (size_t)snprintf(out + len, out_len - len, "%s%s", len == 0 ? "" : ",", sorted[i]);
            ASSERT(len < out_len);
        }
    }
    return true;
}

// What only a merchant that is new must meet: one that is there answers a repeat, whatever has changed since.
static bool new_merchant_validate(const payments_service *s,
                                  const Payments__V1__CreateMerchantRequest *r, err *e) {
    for (size_t i = 0; i < r->n_currencies; i++) {
        if (!currency_is_carried(s, str_of(r->currencies[i]))) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "CURRENCY_NOT_SUPPORTED", "currencies",
                                 "no rail carries %.3s", r->currencies[i]);
        }
    }
    return pb_is_known(&r->base, "", e);
}

static Payments__V1__Merchant *merchant_to_pb(const merchant *m, arena *a) {
    Payments__V1__Merchant *out = ARENA_NEW(a, Payments__V1__Merchant);
    payments__v1__merchant__init(out);
    out->merchant_id = pb_text(a, str_of(m->id));
    out->name = pb_text(a, str_of(m->name));
    out->book_id = m->book_id;
    out->create_time = pb_time(a, m->created_us);
    out->currencies = arena_must(a, RULE_CURRENCIES_MAX * sizeof *out->currencies);
    for (const char *at = m->currencies; *at != '\0';
         at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        out->currencies[out->n_currencies++] = pb_text(a, (str){at, strcspn(at, ",")});
    }
    return out;
}

static void answer_merchant(rpc_call *call, const merchant *m) {
    Payments__V1__CreateMerchantResponse answer = PAYMENTS__V1__CREATE_MERCHANT_RESPONSE__INIT;
    answer.merchant = merchant_to_pb(m, rpc_arena(call));
    rpc_reply(call, &answer.base);
}

static size_t add_account(ledger_account *accounts, size_t n, uuid id, uint32_t code,
                          uint32_t flags, str ccy) {
    accounts[n] = (ledger_account){.id = id, .code = code, .flags = flags};
    memcpy(accounts[n].currency, ccy.ptr, 3);
    return n + 1;
}

// A rail that is switched off today may be switched on tomorrow, and then finds its account: a reservation that misses it would
// burn its id in the ledger.
static bool may_carry(const payments_service *s, int rail_id, str ccy) {
    for (size_t i = 0; i < s->o.n_rails; i++) {
        if (s->o.rails[i].id == rail_id) {
            return list_has(s->o.rails[i].currencies, ccy);
        }
    }
    return true;
}

// The book and every account that the merchant's money can touch. All of it is idempotent.
static bool make_ledger_accounts(const payments_service *s, const merchant *m, int64_t deadline,
                                 arena *a, err *e) {
    ledger_account accounts[RULE_CURRENCIES_MAX * 8];
    size_t n = 0;
    char name[32];
    (void)snprintf(name, sizeof name, "payments book %" PRId64, m->book_id);
    for (const char *at = m->currencies; *at != '\0';
         at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        const str ccy = {at, strcspn(at, ",")};
        ASSERT(n + 3 + N_RAILS <= sizeof accounts / sizeof accounts[0]);
        n = add_account(accounts, n, account_merchant_available(m->book_id, str_of(m->id), ccy),
                        ACCOUNT_MERCHANT_AVAILABLE,
                        LEDGER__V1__ACCOUNT_FLAG__ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS, ccy);
        n = add_account(accounts, n, account_bank(m->book_id, ccy), ACCOUNT_BANK, 0, ccy);
        n = add_account(accounts, n, account_fees(m->book_id, ccy), ACCOUNT_FEES, 0, ccy);
        for (size_t i = 0; i < N_RAILS; i++) {
            if (may_carry(s, RAILS[i], ccy)) {
                n = add_account(accounts, n, account_clearing(m->book_id, RAILS[i], ccy),
                                ACCOUNT_CLEARING, 0, ccy);
            }
        }
    }
    return ledger_create_book(s->o.ledger, m->book_id, name, deadline, a, e) &&
           ledger_create_accounts(s->o.ledger, m->book_id, accounts, n, deadline, a, e);
}

static bool same_merchant(const merchant *a, const merchant *b, err *e) {
    if (strcmp(a->name, b->name) != 0 || strcmp(a->currencies, b->currencies) != 0) {
        return err_set_field(e, ERR_ALREADY_EXISTS, "MERCHANT_EXISTS_WITH_DIFFERENT_FIELDS",
                             "merchant_id",
                             "the merchant exists with another name or other currencies");
    }
    return true;
}

static int64_t book_of_new_merchant(const payments_service *s, str merchant_id) {
    const uuid h = uuid_derive(&merchant_id, 1);
    uint64_t n = 0;
    memcpy(&n, h.b, sizeof h.b[0] * 6);
    return 1 + (int64_t)(n % (uint64_t)s->o.books_count);
}

// Finds the merchant, or makes it: ledger first, so that a merchant that can be seen can be paid from.
static const merchant *find_or_create(payments_service *s, const rpc_call *call,
                                      const Payments__V1__CreateMerchantRequest *r,
                                      const merchant *wanted, err *e) {
    const int64_t deadline = rpc_deadline_mono_ms(call);
    arena *a = arena_create(1u << 20);
    const merchant *found = merchant_find(s->merchants, str_of(wanted->id), deadline, e);
    if (found == NULL && e->code == ERR_NOT_FOUND) {
        err_clear(e);
        bool ok = new_merchant_validate(s, r, e) &&
                  make_ledger_accounts(s, wanted, ledger_deadline(s, call), a, e);
        CRASH_POINT("merchant.ledger.done");
        ok = ok && (merchant_insert(s->merchants, wanted, deadline, a, e) ||
                    e->code == ERR_ALREADY_EXISTS || (e->flags & ERR_COMMIT_UNKNOWN) != 0);
        if (ok) { // ours, or that of a faster instance: what the table says
            err_clear(e);
            found = merchant_find(s->merchants, str_of(wanted->id), deadline, e);
            if (found == NULL && e->code == ERR_NOT_FOUND) {
                // A COMMIT whose answer was lost, and that is not to be seen yet: it may come (promise DEFINITE-ERRORS).
                err_set(e, ERR_UNAVAILABLE, "COMMIT_UNKNOWN",
                        "it is not known whether the merchant was created: ask again");
            }
        }
    }
    if (found != NULL && !same_merchant(found, wanted, e)) {
        found = NULL;
    }
    arena_destroy(a);
    return found;
}

static void handle_create_merchant(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__CreateMerchantRequest *r =
        (const Payments__V1__CreateMerchantRequest *)request;
    merchant wanted = {.created_us = clock_wall_us(clock_system())};
    err e = {0};
    const merchant *m = NULL;
    if (rule_merchant_id(str_of(r->merchant_id), "merchant_id", &e) &&
        rule_text(str_of(r->name), 1, RULE_MERCHANT_NAME_MAX, "", "name", &e) &&
        join_currencies(r->currencies, r->n_currencies, wanted.currencies, sizeof wanted.currencies,
                        &e)) {
        (void)snprintf(wanted.id, sizeof wanted.id, "%s", r->merchant_id);
        (void)snprintf(wanted.name, sizeof wanted.name, "%s", r->name);
        wanted.book_id = book_of_new_merchant(s, str_of(wanted.id));
        m = find_or_create(s, call, r, &wanted, &e);
    }
    if (m != NULL) {
        answer_merchant(call, m);
    } else {
        rpc_fail(call, &e);
    }
}

static void handle_get_merchant(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__GetMerchantRequest *r = (const Payments__V1__GetMerchantRequest *)request;
    err e = {0};
    const merchant *m = NULL;
    if (rule_merchant_id(str_of(r->merchant_id), "merchant_id", &e)) {
        m = merchant_find(s->merchants, str_of(r->merchant_id), rpc_deadline_mono_ms(call), &e);
    }
    if (m == NULL) {
        rpc_fail(call, &e);
        return;
    }
    Payments__V1__GetMerchantResponse answer = PAYMENTS__V1__GET_MERCHANT_RESPONSE__INIT;
    answer.merchant = merchant_to_pb(m, rpc_arena(call));
    rpc_reply(call, &answer.base);
}

static void handle_list_merchants(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListMerchantsRequest *r =
        (const Payments__V1__ListMerchantsRequest *)request;
    Payments__V1__ListMerchantsResponse answer = PAYMENTS__V1__LIST_MERCHANTS_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    merchant *list = NULL;
    int64_t size = 0;
    size_t n = 0;
    err e = {0};
    // The token is the last id: merchants are never removed, and the order is that of the ids.
    const str after = str_of(r->page_token);
    bool ok = page_size_of(r->page_size, &size, &e);
    ok = ok && (after.len == 0 || rule_merchant_id(after, "page_token", &e));
    ok = ok &&
         merchant_list(s->merchants, after, size + 1, rpc_deadline_mono_ms(call), a, &list, &n, &e);
    if (!ok) {
        rpc_fail(call, &e);
        return;
    }
    const size_t shown = n > (size_t)size ? (size_t)size : n;
    answer.merchants = arena_must(a, (shown + 1) * sizeof *answer.merchants);
    for (size_t i = 0; i < shown; i++) {
        answer.merchants[answer.n_merchants++] = merchant_to_pb(&list[i], a);
    }
    if (n > shown) {
        answer.next_page_token = list[shown - 1].id;
    }
    rpc_reply(call, &answer.base);
}

// --- deposits --------------------------------------------------------------------------------------------------------------

typedef struct deposit {
    payments_service *s;
    const merchant *m;
    idem_entry entry;
    bool write; // the second transaction: keep the answer
} deposit;

static bool deposit_tx(db_conn *c, arena *a, void *arg, err *e) {
    deposit *d = arg;
    idem_entry *one = &d->entry;
    if (d->write) {
        return idem_insert(c, d->m->book_id, IDEM_DEPOSIT, &one, 1, clock_wall_us(clock_system()),
                           e);
    }
    return idem_lookup(c, d->s->o.keys, d->m->book_id, IDEM_DEPOSIT, &one, 1, a, e);
}

// The ledger transfer's id is derived from the key, so it happens once however often this is repeated.
static bool deposit_in_ledger(const deposit *d, const Payments__V1__CreateDepositRequest *r,
                              int64_t deadline, arena *a, uuid *id, ledger_result *result, err *e) {
    const str ccy = str_of(r->currency);
    const int64_t book = d->m->book_id;
    *id = transfer_of_deposit(book, str_of(d->m->id), d->entry.key);
    ledger_transfer t = {.id = *id,
                         .debit = account_bank(book, ccy),
                         .amount = r->amount_minor,
                         .code = TRANSFER_DEPOSIT};
    t.credit = account_merchant_available(book, str_of(d->m->id), ccy);
    memcpy(t.currency, ccy.ptr, 3);
    if (!ledger_create_transfers(d->s->o.ledger, book, &t, 1, result, deadline, a, e)) {
        return false;
    }
    switch ((int)result->status) {
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_CREATED:
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_EXISTS: return true;
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_AMOUNT:
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_LEDGER:
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID:
        return idem_conflict("", e);
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_OVERFLOWS_CREDITS_POSTED:
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_OVERFLOWS_DEBITS_POSTED:
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_OVERFLOWS_CREDITS:
    case LEDGER__V1__CREATE_TRANSFER_STATUS__CREATE_TRANSFER_STATUS_OVERFLOWS_DEBITS:
        return err_set_field(e, ERR_INVALID_ARGUMENT, "AMOUNT_TOO_LARGE", "amount_minor",
                             "the balance would pass the largest amount there is");
    default:
        return err_set(e, ERR_FAILED_PRECONDITION, "DEPOSIT_REFUSED",
                       "the ledger refused the deposit: %s", ledger_status_name(result->status));
    }
}

// Of a new key.
static bool deposit_validate(const merchant *m, const Payments__V1__CreateDepositRequest *r,
                             err *e) {
    const currency *ccy = NULL;
    if (!pb_is_known(&r->base, "", e) || !rule_amount(r->amount_minor, "", e) ||
        !rule_currency(str_of(r->currency), "", &ccy, e) ||
        !rule_text(str_of(r->reference), 0, RULE_NAME_MAX, "", "reference", e)) {
        return false;
    }
    if (!list_has(m->currencies, str_of(r->currency))) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "CURRENCY_NOT_HELD", "currency",
                             "the merchant holds %s only", m->currencies);
    }
    return true;
}

// Look the key up; when it is new, move the money and keep the answer. A race is settled by looking again.
static bool deposit_run(deposit *d, rpc_call *call, const Payments__V1__CreateDepositRequest *r,
                        err *e) {
    arena *a = rpc_arena(call);
    const int64_t deadline = rpc_deadline_mono_ms(call);
    bool again = true;
    for (int i = 0; again && i < RACES_MAX; i++) {
        Payments__V1__CreateDepositResponse answer = PAYMENTS__V1__CREATE_DEPOSIT_RESPONSE__INIT;
        ledger_result result = {0};
        uuid id = {0};
        err_clear(e);
        d->write = false;
        if (!db_read(d->s->o.pool, deadline, a, deposit_tx, d, e)) {
            return false;
        }
        if (!d->entry.same) {
            return idem_conflict("", e);
        }
        if (d->entry.known) {
            d->entry.answer = d->entry.kept_answer;
            return true;
        }
        if (!deposit_validate(d->m, r, e) ||
            !deposit_in_ledger(d, r, ledger_deadline(d->s, call), a, &id, &result, e)) {
            return false;
        }
        CRASH_POINT("deposit.ledger.done");
        answer.transfer_id = uuid_text(a, id);
        answer.amount_minor = r->amount_minor;
        answer.currency = r->currency;
        answer.create_time = pb_time(a, result.timestamp_us);
        d->entry.answer = pb_pack(a, &answer.base, e);
        d->write = true;
        if (d->entry.answer.ptr != NULL &&
            db_transact(d->s->o.pool, deadline, a, deposit_tx, d, e)) {
            CRASH_POINT("deposit.kept");
            return true;
        }
        again = idem_should_look_again(e);
    }
    return idem_give_up(e);
}

static void handle_create_deposit(rpc_call *call, void *service, const ProtobufCMessage *request) {
    deposit d = {.s = service};
    const Payments__V1__CreateDepositRequest *r =
        (const Payments__V1__CreateDepositRequest *)request;
    err e = {0};
    bool ok = rule_merchant_id(str_of(r->merchant_id), "merchant_id", &e) &&
              rule_key(str_of(r->idempotency_key), "", &e);
    if (ok) {
        d.m = merchant_find(d.s->merchants, str_of(r->merchant_id), rpc_deadline_mono_ms(call), &e);
        ok = d.m != NULL;
    }
    if (ok) {
        const str content = pb_pack(rpc_arena(call), request, &e);
        ok = content.ptr != NULL;
        if (ok) {
            d.entry.merchant_id = str_of(d.m->id);
            d.entry.key = str_of(r->idempotency_key);
            d.entry.content = content;
            idem_hash(d.s->o.keys, IDEM_DEPOSIT, &d.entry);
        }
    }
    ok = ok && deposit_run(&d, call, r, &e);
    if (ok) {
        rpc_reply_packed(call, d.entry.answer.ptr, d.entry.answer.len);
    } else {
        rpc_fail(call, &e);
    }
}

// --- balances --------------------------------------------------------------------------------------------------------------

static void handle_get_balance(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__GetBalanceRequest *r = (const Payments__V1__GetBalanceRequest *)request;
    Payments__V1__GetBalanceResponse answer = PAYMENTS__V1__GET_BALANCE_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    ledger_account accounts[RULE_CURRENCIES_MAX];
    size_t n = 0;
    int64_t sequence = 0;
    err e = {0};
    const merchant *m = NULL;
    if (rule_merchant_id(str_of(r->merchant_id), "merchant_id", &e)) {
        m = merchant_find(s->merchants, str_of(r->merchant_id), rpc_deadline_mono_ms(call), &e);
    }
    bool ok = m != NULL;
    for (const char *at = ok ? m->currencies : ""; *at != '\0';
         at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        const str ccy = {at, strcspn(at, ",")};
        ASSERT(n < RULE_CURRENCIES_MAX);
        n = add_account(accounts, n, account_merchant_available(m->book_id, str_of(m->id), ccy), 0,
                        0, ccy);
    }
    ok = ok && ledger_lookup_accounts(s->o.ledger, m->book_id, accounts, n, r->prove != 0,
                                      &sequence, ledger_deadline(s, call), a, &e);
    if (!ok) {
        rpc_fail(call, &e);
        return;
    }
    answer.lines = arena_must(a, n * sizeof *answer.lines);
    for (size_t i = 0; i < n; i++) {
        Payments__V1__BalanceLine *line = ARENA_NEW(a, Payments__V1__BalanceLine);
        payments__v1__balance_line__init(line);
        line->currency = pb_text(a, str_of(accounts[i].currency));
        // NO-OVERDRAFT keeps all three from overflowing: debits never pass credits.
        line->held_minor = accounts[i].debits_pending;
        line->total_minor = accounts[i].credits_posted - accounts[i].debits_posted;
        line->available_minor = line->total_minor - line->held_minor;
        ASSERT(line->available_minor >= 0);
        line->ledger_sequence = sequence;
        line->proven = accounts[i].checked && accounts[i].equal;
        line->entries = accounts[i].entries;
        answer.lines[answer.n_lines++] = line;
    }
    rpc_reply(call, &answer.base);
}

const rpc_method MERCHANT_METHODS[] = {
    {.name = "CreateMerchant", .unary = handle_create_merchant},
    {.name = "GetMerchant", .unary = handle_get_merchant},
    {.name = "ListMerchants", .unary = handle_list_merchants},
    {.name = "CreateDeposit", .unary = handle_create_deposit},
    {.name = "GetBalance", .unary = handle_get_balance},
};
const size_t N_MERCHANT_METHODS = sizeof MERCHANT_METHODS / sizeof MERCHANT_METHODS[0];
