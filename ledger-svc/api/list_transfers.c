// ListTransfers and ListAccountBalances: the same pages, as transfers or as one account's balances after them.
#include "api/lists_internal.h"

#include "base/assert.h"

typedef struct transfers_read {
    journal *journal;
    query_transfers q;
} transfers_read;

static bool read_transfers(db_conn *c, arena *a, void *arg, err *e) {
    transfers_read *r = arg;
    return query_transfers_read(r->journal, c, a, &r->q, e);
}

// The parts of a request that both calls have.
typedef struct list_request {
    int64_t book_id;
    const Ledger__V1__TransferFilter *filter;
    Ledger__V1__ListOrder order;
    uint32_t page_size;
    const char *page_token;
    page_token token; // with the request
} list_request;

static bool decode(rpc_call *call, list_request *r, query_transfers *q, err *e) {
    q->book_id = r->book_id;
    r->token.n = 1;
    r->token.ranges[0] = (page_range)PAGE_POSITION;
    if (!api_book_id_check(r->book_id, e) || !api_transfer_filter_decode(r->filter, q, e) ||
        !api_order(r->order, &q->newest_first, e) ||
        !api_page_size(r->page_size, &q->page_size, e)) {
        return false;
    }
    if (r->page_token[0] == '\0') {
        return true;
    }
    const bool ok = api_page_token_read(rpc_arena(call), r->page_token, &r->token, e);
    q->after = r->token.place[0];
    return ok;
}

static bool run(rpc_call *call, const ledger_api *api, list_request *r, query_transfers *q,
                char **next_page_token, err *e) {
    transfers_read read = {.journal = api->journal, .q = *q};
    if (!db_read(api->pool, rpc_deadline_mono_ms(call), rpc_arena(call), read_transfers, &read,
                 e)) {
        return false;
    }
    *q = read.q;
    if (!api_found(q->book_exists, q->account_exists, "filter.account_id", e)) {
        return false;
    }
    if (q->more) {
        r->token.place[0] = q->position;
        *next_page_token = api_page_token_make(rpc_arena(call), &r->token, e);
        return *next_page_token != NULL;
    }
    return true;
}

// --- ListTransfers ---------------------------------------------------------------------------------------------------

static bool encode_transfers(arena *a, const query_transfers *q,
                             Ledger__V1__ListTransfersResponse *response, err *e) {
    response->transfers = api_array(a, q->n, sizeof *response->transfers, e);
    if (response->transfers == NULL) {
        return false;
    }
    for (size_t i = 0; i < q->n; i++) {
        Ledger__V1__Transfer *m = api_transfer_encode(a, &q->rows[i], e);
        if (m == NULL || !api_transfer_outcome_encode(a, m, &q->rows[i], e)) {
            return false;
        }
        response->transfers[i] = m;
    }
    response->n_transfers = q->n;
    response->sequence = q->sequence;
    return true;
}

void api_list_transfers(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__ListTransfersRequest *m = (const Ledger__V1__ListTransfersRequest *)request;
    Ledger__V1__ListTransfersRequest bound = *m;
    bound.page_size = 0;
    bound.page_token = (char *)protobuf_c_empty_string;
    list_request r = {m->book_id,   m->filter,     m->order,
                      m->page_size, m->page_token, {.request = &bound.base}};
    Ledger__V1__ListTransfersResponse response = LEDGER__V1__LIST_TRANSFERS_RESPONSE__INIT;
    query_transfers q = {0};
    err e = {0};
    if (decode(call, &r, &q, &e) && run(call, service, &r, &q, &response.next_page_token, &e) &&
        encode_transfers(rpc_arena(call), &q, &response, &e)) {
        rpc_reply(call, &response.base);
    } else {
        rpc_fail(call, &e);
    }
}

// --- ListAccountBalances ---------------------------------------------------------------------------------------------

typedef struct balance_block {
    Ledger__V1__AccountBalance m;
    Ledger__V1__Balances balances;
    char transfer_id[UUID_TEXT_LEN + 1];
} balance_block;

static void encode_balance(const query_transfers *q, const ledger_row *row, balance_block *b) {
    const bool is_debit = uuid_eq(row->debit_account_id, q->filter.account_id);
    ledger__v1__account_balance__init(&b->m);
    b->balances = api_balances(is_debit ? &row->debit_after : &row->credit_after);
    b->m.sequence = row->sequence;
    b->m.timestamp_us = row->timestamp_us;
    b->m.effective_us = row->effective_us;
    if (!uuid_is_nil(row->id)) {
        uuid_format(row->id, b->transfer_id);
    }
    b->m.transfer_id = b->transfer_id;
    b->m.side = is_debit ? LEDGER__V1__ENTRY_SIDE__ENTRY_SIDE_DEBIT
                         : LEDGER__V1__ENTRY_SIDE__ENTRY_SIDE_CREDIT;
    b->m.balances = &b->balances;
}

static bool encode_balances(arena *a, const query_transfers *q,
                            Ledger__V1__ListAccountBalancesResponse *response, err *e) {
    balance_block *blocks = api_array(a, q->n, sizeof *blocks, e);
    response->balances = api_array(a, q->n, sizeof *response->balances, e);
    if (blocks == NULL || response->balances == NULL) {
        return false;
    }
    for (size_t i = 0; i < q->n; i++) {
        encode_balance(q, &q->rows[i], &blocks[i]);
        response->balances[i] = &blocks[i].m;
    }
    response->n_balances = q->n;
    response->sequence = q->sequence;
    return true;
}

static bool account_given(const Ledger__V1__TransferFilter *filter, err *e) {
    return (filter != NULL && filter->account_id[0] != '\0') ||
           api_refuse_field(e, "INVALID_FILTER", "filter.account_id",
                            "must be given: the history is that of one account");
}

void api_list_account_balances(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__ListAccountBalancesRequest *m =
        (const Ledger__V1__ListAccountBalancesRequest *)request;
    Ledger__V1__ListAccountBalancesRequest bound = *m;
    bound.page_size = 0;
    bound.page_token = (char *)protobuf_c_empty_string;
    list_request r = {m->book_id,   m->filter,     m->order,
                      m->page_size, m->page_token, {.request = &bound.base}};
    Ledger__V1__ListAccountBalancesResponse response =
        LEDGER__V1__LIST_ACCOUNT_BALANCES_RESPONSE__INIT;
    query_transfers q = {0};
    err e = {0};
    if (decode(call, &r, &q, &e) && account_given(m->filter, &e) &&
        run(call, service, &r, &q, &response.next_page_token, &e) &&
        encode_balances(rpc_arena(call), &q, &response, &e)) {
        rpc_reply(call, &response.base);
    } else {
        rpc_fail(call, &e);
    }
}
