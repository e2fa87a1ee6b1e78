// LookupAccounts, LookupTransfers, GetTrialBalance, CheckAccounts: one statement each, on the worker thread.
#include <string.h>

#include "api/api_internal.h"
#include "base/map.h"
#include "journal/entries.h"

// A read's request and results; one struct for all reads, since db_read passes one pointer.
typedef struct lookup {
    journal *journal;
    int64_t book_id;
    uuid *ids;
    size_t n_ids;
    bool exists;
    int64_t sequence;
    size_t n;
    ledger_account *accounts;
    ledger_row *rows;
    store_totals *totals;
    store_check *checks;
} lookup;

static bool read_accounts(db_conn *c, arena *a, void *arg, err *e) {
    lookup *l = arg;
    const store_ids ids = {l->ids, l->n_ids};
    return journal_read_accounts(l->journal, c, a, l->book_id, ids, &l->exists, &l->sequence,
                                 &l->accounts, &l->n, e);
}

static bool read_transfers(db_conn *c, arena *a, void *arg, err *e) {
    lookup *l = arg;
    const store_ids ids = {l->ids, l->n_ids};
    return store_lookup_transfers(c, a, l->book_id, ids, &l->exists, &l->rows, &l->n, e);
}

static bool read_totals(db_conn *c, arena *a, void *arg, err *e) {
    lookup *l = arg;
    return journal_trial_balance(l->journal, c, a, l->book_id, &l->exists, &l->sequence, &l->totals,
                                 &l->n, e);
}

static bool read_checks(db_conn *c, arena *a, void *arg, err *e) {
    lookup *l = arg;
    const store_ids ids = {l->ids, l->n_ids};
    return store_check_accounts(c, a, l->book_id, ids, &l->exists, &l->sequence, &l->checks, &l->n,
                                e);
}

// Runs the read. False when the book does not exist, or the database failed.
static bool run(rpc_call *call, const ledger_api *api, db_tx_fn fn, lookup *l, err *e) {
    l->journal = api->journal;
    if (!db_read(api->pool, rpc_deadline_mono_ms(call), rpc_arena(call), fn, l, e)) {
        return false;
    }
    return l->exists ||
           err_set_field(e, ERR_NOT_FOUND, "BOOK_NOT_FOUND", "book_id", "there is no such book");
}

static bool decode_ids(rpc_call *call, char *const *texts, size_t n, size_t max, lookup *l,
                       err *e) {
    return api_book_id_check(l->book_id, e) &&
           api_ids_decode(rpc_arena(call), texts, n, max, "ids", &l->ids, &l->n_ids, e);
}

// Puts found messages, by id, into the order of the request. Ids that were not found are left out.
static size_t in_order(const lookup *l, map *by_id, void **out) {
    size_t n = 0;
    for (size_t i = 0; i < l->n_ids; i++) {
        void *found = map_get(by_id, l->ids[i]);
        if (found != NULL) {
            out[n++] = found;
        }
    }
    return n;
}

// --- LookupAccounts --------------------------------------------------------------------------------------------------

static bool encode_accounts(arena *a, const lookup *l, Ledger__V1__LookupAccountsResponse *response,
                            err *e) {
    bool ok = true;
    response->accounts = api_array(a, l->n, sizeof *response->accounts, e);
    map *by_id = map_create(l->n, l->n + 1);
    ok = response->accounts != NULL;
    for (size_t i = 0; ok && i < l->n; i++) {
        Ledger__V1__Account *account = api_account_encode(a, &l->accounts[i], e);
        ok = account != NULL && map_put(by_id, l->accounts[i].id, account);
    }
    if (ok) {
        response->n_accounts = in_order(l, by_id, (void **)response->accounts);
        response->sequence = l->sequence;
    }
    map_destroy(by_id);
    return ok;
}

void api_lookup_accounts(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__LookupAccountsRequest *r = (const Ledger__V1__LookupAccountsRequest *)request;
    Ledger__V1__LookupAccountsResponse response = LEDGER__V1__LOOKUP_ACCOUNTS_RESPONSE__INIT;
    lookup l = {.book_id = r->book_id};
    err e = {0};
    if (decode_ids(call, r->ids, r->n_ids, API_LOOKUP_MAX, &l, &e) &&
        run(call, service, read_accounts, &l, &e) &&
        encode_accounts(rpc_arena(call), &l, &response, &e)) {
        rpc_reply(call, &response.base);
    } else {
        rpc_fail(call, &e);
    }
}

// --- LookupTransfers -------------------------------------------------------------------------------------------------

static bool encode_transfers(arena *a, const lookup *l,
                             Ledger__V1__LookupTransfersResponse *response, err *e) {
    response->transfers = api_array(a, l->n, sizeof *response->transfers, e);
    map *by_id = map_create(l->n, l->n + 1);
    bool ok = response->transfers != NULL;
    for (size_t i = 0; ok && i < l->n; i++) {
        Ledger__V1__Transfer *transfer = api_transfer_encode(a, &l->rows[i], e);
        ok = transfer != NULL && api_transfer_outcome_encode(a, transfer, &l->rows[i], e) &&
             map_put(by_id, l->rows[i].id, transfer);
    }
    if (ok) {
        response->n_transfers = in_order(l, by_id, (void **)response->transfers);
    }
    map_destroy(by_id);
    return ok;
}

void api_lookup_transfers(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__LookupTransfersRequest *r =
        (const Ledger__V1__LookupTransfersRequest *)request;
    Ledger__V1__LookupTransfersResponse response = LEDGER__V1__LOOKUP_TRANSFERS_RESPONSE__INIT;
    lookup l = {.book_id = r->book_id};
    err e = {0};
    if (decode_ids(call, r->ids, r->n_ids, API_LOOKUP_MAX, &l, &e) &&
        run(call, service, read_transfers, &l, &e) &&
        encode_transfers(rpc_arena(call), &l, &response, &e)) {
        rpc_reply(call, &response.base);
    } else {
        rpc_fail(call, &e);
    }
}

// --- GetTrialBalance -------------------------------------------------------------------------------------------------

static bool encode_totals(arena *a, const lookup *l, Ledger__V1__GetTrialBalanceResponse *response,
                          err *e) {
    Ledger__V1__TrialBalanceLine *lines = api_array(a, l->n, sizeof *lines, e);
    response->lines = api_array(a, l->n, sizeof *response->lines, e);
    if (lines == NULL || response->lines == NULL) {
        return false;
    }
    response->balanced = true;
    for (size_t i = 0; i < l->n; i++) {
        const store_totals *t = &l->totals[i];
        ledger__v1__trial_balance_line__init(&lines[i]);
        lines[i].currency = t->currency;
        lines[i].debits_pending = t->debits_pending;
        lines[i].debits_posted = t->debits_posted;
        lines[i].credits_pending = t->credits_pending;
        lines[i].credits_posted = t->credits_posted;
        lines[i].accounts = t->accounts;
        response->lines[i] = &lines[i];
        // Decimal integers in canonical form: equal numbers are equal texts.
        response->balanced = response->balanced &&
                             strcmp(t->debits_pending, t->credits_pending) == 0 &&
                             strcmp(t->debits_posted, t->credits_posted) == 0;
    }
    response->n_lines = l->n;
    response->sequence = l->sequence;
    return true;
}

void api_get_trial_balance(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__GetTrialBalanceRequest *r =
        (const Ledger__V1__GetTrialBalanceRequest *)request;
    Ledger__V1__GetTrialBalanceResponse response = LEDGER__V1__GET_TRIAL_BALANCE_RESPONSE__INIT;
    lookup l = {.book_id = r->book_id};
    err e = {0};
    if (api_book_id_check(r->book_id, &e) && run(call, service, read_totals, &l, &e) &&
        encode_totals(rpc_arena(call), &l, &response, &e)) {
        rpc_reply(call, &response.base);
    } else {
        rpc_fail(call, &e);
    }
}

// --- CheckAccounts ---------------------------------------------------------------------------------------------------

typedef struct check_block {
    Ledger__V1__AccountCheck m;
    Ledger__V1__Balances kept, recomputed;
} check_block;

static bool encode_checks(arena *a, const lookup *l, Ledger__V1__CheckAccountsResponse *response,
                          err *e) {
    check_block *blocks = api_array(a, l->n, sizeof *blocks, e);
    response->checks = api_array(a, l->n, sizeof *response->checks, e);
    if (blocks == NULL || response->checks == NULL) {
        return false;
    }
    map *by_id = map_create(l->n, l->n + 1);
    bool ok = true;
    for (size_t i = 0; ok && i < l->n; i++) {
        const store_check *check = &l->checks[i];
        check_block *b = &blocks[i];
        ledger__v1__account_check__init(&b->m);
        b->kept = api_balances(&check->kept);
        b->recomputed = api_balances(&check->recomputed);
        b->m.kept = &b->kept;
        b->m.recomputed = &b->recomputed;
        b->m.entries = check->entries;
        b->m.equal = memcmp(&check->kept, &check->recomputed, sizeof check->kept) == 0;
        b->m.id = uuid_text(a, check->account_id);
        ok = b->m.id != NULL && map_put(by_id, check->account_id, &b->m);
    }
    if (ok) {
        response->n_checks = in_order(l, by_id, (void **)response->checks);
        response->sequence = l->sequence;
    } else {
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "CALL_TOO_LARGE",
                      "the call needs more memory than one call may have");
    }
    map_destroy(by_id);
    return ok;
}

static bool at_least_one(size_t n, err *e) {
    return n != 0 || err_set_field(e, ERR_INVALID_ARGUMENT, "NO_IDS", "ids",
                                   "ids must name at least one account");
}

void api_check_accounts(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__CheckAccountsRequest *r = (const Ledger__V1__CheckAccountsRequest *)request;
    Ledger__V1__CheckAccountsResponse response = LEDGER__V1__CHECK_ACCOUNTS_RESPONSE__INIT;
    lookup l = {.book_id = r->book_id};
    err e = {0};
    if (at_least_one(r->n_ids, &e) && decode_ids(call, r->ids, r->n_ids, API_CHECK_MAX, &l, &e) &&
        run(call, service, read_checks, &l, &e) &&
        encode_checks(rpc_arena(call), &l, &response, &e)) {
        rpc_reply(call, &response.base);
    } else {
        rpc_fail(call, &e);
    }
}
