// ListAccounts and GetAccountBalances: accounts as of now, and balances as of a moment.
#include "api/lists_internal.h"

// --- ListAccounts ----------------------------------------------------------------------------------------------------

typedef struct accounts_read {
    journal *journal;
    query_accounts q;
} accounts_read;

static bool read_accounts(db_conn *c, arena *a, void *arg, err *e) {
    accounts_read *r = arg;
    return query_accounts_read(r->journal, c, a, &r->q, e);
}

static bool decode_accounts(rpc_call *call, const Ledger__V1__ListAccountsRequest *m,
                            page_token *token, query_accounts *q, err *e) {
    q->book_id = m->book_id;
    if (!api_book_id_check(m->book_id, e) || !api_account_filter_decode(m->filter, q, e) ||
        !api_order(m->order, &q->newest_first, e) ||
        !api_page_size(m->page_size, &q->page_size, e)) {
        return false;
    }
    if (m->page_token[0] == '\0') {
        return true;
    }
    const bool ok = api_page_token_read(rpc_arena(call), m->page_token, token, e);
    q->after = token->place[0];
    return ok;
}

static bool encode_accounts(arena *a, const query_accounts *q, page_token *token,
                            Ledger__V1__ListAccountsResponse *response, err *e) {
    response->accounts = api_array(a, q->n, sizeof *response->accounts, e);
    if (response->accounts == NULL) {
        return false;
    }
    for (size_t i = 0; i < q->n; i++) {
        response->accounts[i] = api_account_encode(a, &q->accounts[i], e);
        if (response->accounts[i] == NULL) {
            return false;
        }
    }
    response->n_accounts = q->n;
    response->sequence = q->sequence;
    if (q->more) {
        token->place[0] = q->position;
        response->next_page_token = api_page_token_make(a, token, e);
        return response->next_page_token != NULL;
    }
    return true;
}

void api_list_accounts(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const ledger_api *api = service;
    const Ledger__V1__ListAccountsRequest *m = (const Ledger__V1__ListAccountsRequest *)request;
    Ledger__V1__ListAccountsRequest bound = *m;
    bound.page_size = 0;
    bound.page_token = (char *)protobuf_c_empty_string;
    page_token token = {.request = &bound.base, .ranges = {PAGE_POSITION}, .n = 1};
    Ledger__V1__ListAccountsResponse response = LEDGER__V1__LIST_ACCOUNTS_RESPONSE__INIT;
    accounts_read r = {.journal = api->journal};
    err e = {0};
    if (decode_accounts(call, m, &token, &r.q, &e) &&
        db_read(api->pool, rpc_deadline_mono_ms(call), rpc_arena(call), read_accounts, &r, &e) &&
        api_found(r.q.book_exists, true, "", &e) &&
        encode_accounts(rpc_arena(call), &r.q, &token, &response, &e)) {
        rpc_reply(call, &response.base);
    } else {
        rpc_fail(call, &e);
    }
}

// --- GetAccountBalances ----------------------------------------------------------------------------------------------

typedef struct balances_read {
    journal *journal;
    query_balances q;
} balances_read;

static bool read_balances(db_conn *c, arena *a, void *arg, err *e) {
    balances_read *r = arg;
    return query_balances_read(r->journal, c, a, &r->q, e);
}

static bool moment_decode(const Ledger__V1__Moment *m, query_balances *q, err *e) {
    if (m == NULL) {
        return true;
    }
    q->known_at_us = m->known_at_us;
    q->known_at_sequence = m->known_at_sequence;
    q->effective_at_us = m->effective_at_us;
    const char *field = m->known_at_us < 0         ? "as_of.known_at_us"
                        : m->known_at_sequence < 0 ? "as_of.known_at_sequence"
                        : m->effective_at_us < 0   ? "as_of.effective_at_us"
                                                   : NULL;
    if (field != NULL) {
        return api_refuse_field(e, "INVALID_MOMENT", field, "must not be negative");
    }
    return m->known_at_us == 0 || m->known_at_sequence == 0 ||
           api_refuse_field(e, "INVALID_MOMENT", "as_of.known_at_us",
                            "and as_of.known_at_sequence exclude each other");
}

static bool decode_balances(rpc_call *call, const Ledger__V1__GetAccountBalancesRequest *m,
                            query_balances *q, err *e) {
    q->book_id = m->book_id;
    if (!api_book_id_check(m->book_id, e)) {
        return false;
    }
    if (m->n_account_ids == 0) {
        return api_refuse_field(e, "NO_IDS", "account_ids", "must name at least one account");
    }
    uuid *ids = NULL;
    const bool ok = api_ids_decode(rpc_arena(call), m->account_ids, m->n_account_ids,
                                   QUERY_BALANCES_MAX, "account_ids", &ids, &q->ids.n, e);
    q->ids.ids = ids;
    return ok && moment_decode(m->as_of, q, e);
}

typedef struct balance_block {
    Ledger__V1__AccountBalanceAsOf m;
    Ledger__V1__Balances balances;
    char account_id[UUID_TEXT_LEN + 1];
} balance_block;

static bool encode_balances(arena *a, const query_balances *q,
                            Ledger__V1__GetAccountBalancesResponse *response, err *e) {
    balance_block *blocks = api_array(a, q->n, sizeof *blocks, e);
    response->balances = api_array(a, q->n, sizeof *response->balances, e);
    if (blocks == NULL || response->balances == NULL) {
        return false;
    }
    for (size_t i = 0; i < q->n; i++) {
        ledger__v1__account_balance_as_of__init(&blocks[i].m);
        blocks[i].balances = api_balances(&q->balances[i].balances);
        uuid_format(q->balances[i].account_id, blocks[i].account_id);
        blocks[i].m.account_id = blocks[i].account_id;
        blocks[i].m.balances = &blocks[i].balances;
        response->balances[i] = &blocks[i].m;
    }
    response->n_balances = q->n;
    response->sequence = q->sequence;
    return true;
}

void api_get_account_balances(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const ledger_api *api = service;
    const Ledger__V1__GetAccountBalancesRequest *m =
        (const Ledger__V1__GetAccountBalancesRequest *)request;
    Ledger__V1__GetAccountBalancesResponse response =
        LEDGER__V1__GET_ACCOUNT_BALANCES_RESPONSE__INIT;
    balances_read r = {.journal = api->journal};
    err e = {0};
    if (decode_balances(call, m, &r.q, &e) &&
        db_read(api->pool, rpc_deadline_mono_ms(call), rpc_arena(call), read_balances, &r, &e) &&
        api_found(r.q.book_exists, true, "", &e) &&
        encode_balances(rpc_arena(call), &r.q, &response, &e)) {
        rpc_reply(call, &response.base);
    } else {
        rpc_fail(call, &e);
    }
}
