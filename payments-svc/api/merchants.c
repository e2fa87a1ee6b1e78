// MerchantService: merchants and balances. Deposits are in deposits.c.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "command/audit.h"
#include "domain/ids.h"
#include "ledger/ledger_client.h"

static int64_t ledger_deadline(const payments_service *s, const rpc_call *call) {
    const int64_t own = clock_mono_ms(clock_system()) + s->o.ledger_timeout_ms;
    const int64_t asked = rpc_deadline_mono_ms(call);
    return own < asked ? own : asked;
}

// The service has the currencies that a rail carries.
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
                                  const Payments__V1__CreateMerchantRequest *r,
                                  merchant_defaults *first, err *e) {
    if (strcmp(r->merchant_id, AUTHZ_ALL_MERCHANTS) == 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "MERCHANT_ID_RESERVED", "merchant_id",
                             "%s stands for all merchants in the policy", AUTHZ_ALL_MERCHANTS);
    }
    for (size_t i = 0; i < r->n_currencies; i++) {
        if (!currency_is_carried(s, str_of(r->currencies[i]))) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "CURRENCY_NOT_SUPPORTED", "currencies",
                                 "no rail carries %.3s", r->currencies[i]);
        }
    }
    return defaults_read(s, r->default_connections, r->n_default_connections, first, e) &&
           pb_is_known(&r->base, "", e);
}

// The connection that has its rail's own name: most payouts go through it.
static bool is_of_its_rail(const connection_info *k) {
    return strcmp(k->name, k->scheme) == 0;
}

// A connection that is switched off today may be switched on tomorrow, and then finds its account.
static bool may_carry(const connection_info *k, str ccy) {
    return !k->on || list_has(k->currencies, ccy);
}

// The book and the accounts that the merchant's money mostly touches: any other is made on its first use.
static bool make_ledger_accounts(const payments_service *s, const merchant *m, int64_t deadline,
                                 arena *a, err *e) {
    enum { OF_CURRENCY = 3 + CONNECTIONS_MAX, MAX = RULE_CURRENCIES_MAX * OF_CURRENCY };
    ledger_account *accounts = ARENA_ARRAY(a, ledger_account, MAX);
    size_t n_known = 0;
    const connection_info *known = connections_all(s->o.connections, &n_known);
    if (accounts == NULL) {
        return out_of_memory(e);
    }
    const int64_t book = m->book_id;
    size_t n = 0;
    for (const char *at = m->currencies; *at != '\0';
         at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
        const str ccy = {at, strcspn(at, ",")};
        ASSERT(n + OF_CURRENCY <= MAX);
        accounts[n++] = account_of_merchant(book, str_of(m->id), ccy);
        accounts[n++] = account_of_bank(book, STR(BANK_ACCOUNT_MAIN), ccy);
        accounts[n++] = account_of_fees(book, ccy);
        for (size_t i = 0; i < n_known; i++) {
            if (is_of_its_rail(&known[i]) && may_carry(&known[i], ccy)) {
                accounts[n++] = account_of_transit(book, known[i].id, ccy);
            }
        }
    }
    return ledger_accounts_ensure(s->accounts, book, accounts, n, deadline, a, e);
}

// first: the default connections with which the existing merchant was made.
static bool same_merchant(const payments_service *s, const merchant *there,
                          const merchant_defaults *first, const merchant *wanted,
                          const Payments__V1__CreateMerchantRequest *r, arena *a, err *e) {
    if (strcmp(there->name, wanted->name) != 0 ||
        strcmp(there->currencies, wanted->currencies) != 0 ||
        !defaults_are(s, first, r->default_connections, r->n_default_connections, a)) {
        return err_set_field(e, ERR_ALREADY_EXISTS, "MERCHANT_EXISTS_WITH_DIFFERENT_FIELDS",
                             "merchant_id",
                             "the merchant exists, and was made with another name, other "
                             "currencies or other default connections");
    }
    return true;
}

static int64_t book_of_new_merchant(const payments_service *s, str merchant_id) {
    const uuid h = uuid_derive(&merchant_id, 1);
    uint64_t n = 0;
    memcpy(&n, h.b, sizeof h.b[0] * 6);
    return 1 + (int64_t)(n % (uint64_t)s->o.books.count);
}

bool merchant_audited(db_conn *c, const merchant *m, const actor_info *by, int64_t now_us, arena *a,
                      err *e) {
    const str id = str_of(m->id);
    return audit_write_one(c, m->book_id, by, id, "merchant", id, STR(""), now_us, a, e);
}

// Finds the merchant, or makes it: ledger first, so that a merchant that can be seen can be paid from.
static const merchant *find_or_create(payments_service *s, const rpc_call *call,
                                      const Payments__V1__CreateMerchantRequest *r,
                                      const merchant *wanted, err *e) {
    const int64_t deadline = rpc_deadline_mono_ms(call);
    arena *a = arena_create(1u << 20);
    const actor_info who = rpc_actor(call);
    merchant_defaults first;
    const merchant *found = merchant_find(s->merchants, str_of(wanted->id), deadline, e);
    if (found == NULL && e->code == ERR_NOT_FOUND) {
        err_clear(e);
        bool ok = new_merchant_validate(s, r, &first, e) &&
                  make_ledger_accounts(s, wanted, ledger_deadline(s, call), a, e);
        CRASH_POINT("merchant.ledger.done");
        ok = ok && (merchant_insert(s->merchants, wanted, &first, &who, merchant_audited, deadline,
                                    a, e) ||
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
    if (found != NULL && (!merchant_defaults_first(s->merchants, found, deadline, &first, e) ||
                          !same_merchant(s, found, &first, wanted, r, a, e))) {
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
    merchant_defaults d;
    if (m == NULL || !merchant_defaults_find(s->merchants, m, rpc_deadline_mono_ms(call), &d, &e)) {
        rpc_fail(call, &e);
        return;
    }
    Payments__V1__CreateMerchantResponse answer = PAYMENTS__V1__CREATE_MERCHANT_RESPONSE__INIT;
    answer.merchant = merchant_to_pb(s, m, &d, rpc_arena(call));
    rpc_reply(call, &answer.base);
}

static void handle_get_merchant(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__GetMerchantRequest *r = (const Payments__V1__GetMerchantRequest *)request;
    err e = {0};
    const merchant *m = NULL;
    if (rule_merchant_id(str_of(r->merchant_id), "merchant_id", &e)) {
        m = merchant_find(s->merchants, str_of(r->merchant_id), rpc_deadline_mono_ms(call), &e);
    }
    merchant_defaults d;
    if (m == NULL || !merchant_defaults_find(s->merchants, m, rpc_deadline_mono_ms(call), &d, &e)) {
        rpc_fail(call, &e);
        return;
    }
    Payments__V1__GetMerchantResponse answer = PAYMENTS__V1__GET_MERCHANT_RESPONSE__INIT;
    answer.merchant = merchant_to_pb(s, m, &d, rpc_arena(call));
    rpc_reply(call, &answer.base);
}

static void handle_list_merchants(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListMerchantsRequest *r =
        (const Payments__V1__ListMerchantsRequest *)request;
    Payments__V1__ListMerchantsResponse answer = PAYMENTS__V1__LIST_MERCHANTS_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    merchant_listed *list = NULL;
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
        answer.merchants[answer.n_merchants++] =
            merchant_to_pb(s, &list[i].m, &list[i].defaults, a);
    }
    if (n > shown) {
        answer.next_page_token = list[shown - 1].m.id;
    }
    rpc_reply(call, &answer.base);
}

// --- balances --------------------------------------------------------------------------------------------------------------

static Payments__V1__BalanceLine *balance_line(const ledger_account *available,
                                               const ledger_account *receivable, int64_t sequence,
                                               arena *a) {
    Payments__V1__BalanceLine *line = ARENA_NEW(a, Payments__V1__BalanceLine);
    payments__v1__balance_line__init(line);
    line->currency = pb_text(a, str_of(available->currency));
    // A reversal by force takes an account below zero: what the ledger says is shown, whatever it is.
    line->held_minor = available->debits_pending;
    line->total_minor = available->credits_posted - available->debits_posted;
    if (__builtin_sub_overflow(line->total_minor, line->held_minor, &line->available_minor)) {
        line->available_minor = INT64_MIN;
    }
    line->owed_minor = account_owed(receivable);
    line->ledger_sequence = sequence;
    // A merchant that never owed anything has no account for it.
    line->proven =
        available->checked && available->equal && (receivable->equal || !receivable->checked);
    line->entries = available->entries + receivable->entries;
    return line;
}

static void handle_get_balance(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__GetBalanceRequest *r = (const Payments__V1__GetBalanceRequest *)request;
    Payments__V1__GetBalanceResponse answer = PAYMENTS__V1__GET_BALANCE_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    ledger_account accounts[2 * RULE_CURRENCIES_MAX] = {
        {.id = {{0}}}}; // what it has and what it owes, in turn
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
        ASSERT(n + 1 < 2 * RULE_CURRENCIES_MAX);
        accounts[n++] = account_of_merchant(m->book_id, str_of(m->id), ccy);
        accounts[n++] = account_of_receivable(m->book_id, str_of(m->id), ccy);
    }
    ok = ok && ledger_lookup_accounts_if_any(s->o.ledger, m->book_id, accounts, n, r->prove != 0,
                                             &sequence, ledger_deadline(s, call), a, &e);
    if (!ok) {
        rpc_fail(call, &e);
        return;
    }
    answer.lines = arena_must(a, n * sizeof *answer.lines);
    for (size_t i = 0; i < n; i += 2) {
        answer.lines[answer.n_lines++] = balance_line(&accounts[i], &accounts[i + 1], sequence, a);
    }
    rpc_reply(call, &answer.base);
}

const rpc_method MERCHANT_METHODS[] = {
    {.name = "CreateMerchant", .unary = handle_create_merchant},
    {.name = "UpdateMerchant", .unary = handle_update_merchant},
    {.name = "GetMerchant", .unary = handle_get_merchant},
    {.name = "ListMerchants", .unary = handle_list_merchants},
    {.name = "CreateDeposit", .unary = handle_create_deposit},
    {.name = "GetDeposit", .unary = handle_get_deposit},
    {.name = "ListDeposits", .unary = handle_list_deposits},
    {.name = "TakeBackDeposit", .unary = handle_take_back_deposit},
    {.name = "GetBalance", .unary = handle_get_balance},
};
const size_t N_MERCHANT_METHODS = sizeof MERCHANT_METHODS / sizeof MERCHANT_METHODS[0];
