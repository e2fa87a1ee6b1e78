// CreateBook, CreateAccounts, CreateTransfers.
#include <string.h>

#include "api/api_internal.h"
#include "base/log.h"

// --- CreateBook ------------------------------------------------------------------------------------------------------

typedef struct book_creation {
    const ledger_api *api;
    int64_t book_id;
    str name;
    store_book book;
} book_creation;

static bool book_create(db_conn *c, arena *a, void *arg, err *e) {
    book_creation *b = arg;
    return store_book_create(c, a, b->book_id, b->name, clock_wall_us(b->api->clock), &b->book, e);
}

static bool book_name_check(str name, err *e) {
    if (name.len == 0 || name.len > API_BOOK_NAME_MAX || !str_is_text(name.ptr, name.len)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID_NAME", "name",
                             "name must be 1 to %d bytes of text", API_BOOK_NAME_MAX);
    }
    return true;
}

// Making a book is idempotent, so a lost answer to COMMIT is settled by making the book again.
static bool book_create_certainly(rpc_call *call, book_creation *b, err *e) {
    const ledger_api *api = b->api;
    if (db_transact(api->pool, rpc_deadline_mono_ms(call), rpc_arena(call), book_create, b, e)) {
        return true;
    }
    if ((e->flags & ERR_COMMIT_UNKNOWN) == 0) {
        return false;
    }
    err_clear(e);
    return db_transact(api->pool, rpc_deadline_mono_ms(call), rpc_arena(call), book_create, b, e);
}

void api_create_book(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Ledger__V1__CreateBookRequest *r = (const Ledger__V1__CreateBookRequest *)request;
    book_creation b = {.api = service, .book_id = r->book_id, .name = str_of(r->name)};
    err e = {0};
    if (!api_book_id_check(r->book_id, &e) || !book_name_check(b.name, &e) ||
        !book_create_certainly(call, &b, &e)) {
        rpc_fail(call, &e);
        return;
    }
    if (!str_eq(b.book.name, b.name)) {
        (void)err_set_field(&e, ERR_ALREADY_EXISTS, "BOOK_EXISTS_WITH_DIFFERENT_NAME", "name",
                            "the book exists with another name");
        rpc_fail(call, &e);
        return;
    }
    Ledger__V1__Book book = LEDGER__V1__BOOK__INIT;
    book.book_id = b.book.book_id;
    book.name = r->name;
    book.created_us = b.book.created_us;
    book.last_sequence = b.book.sequence;
    Ledger__V1__CreateBookResponse response = LEDGER__V1__CREATE_BOOK_RESPONSE__INIT;
    response.book = &book;
    rpc_reply(call, &response.base);
}

// --- CreateAccounts --------------------------------------------------------------------------------------------------

// A call that waits in the journal. All memory, also of the answer, is taken before the hand-over: after the commit nothing can fail.
typedef struct accounts_call {
    journal_request request;
    rpc_call *call;
    Ledger__V1__CreateAccountResult *results;
    Ledger__V1__CreateAccountResult **pointers;
} accounts_call;

static void accounts_done(journal_request *request, const err *failure) {
    accounts_call *c = request->owner;
    if (failure != NULL) {
        rpc_fail(c->call, failure);
        return;
    }
    for (size_t i = 0; i < request->n; i++) {
        ledger__v1__create_account_result__init(&c->results[i]);
        c->results[i].status = (Ledger__V1__CreateAccountStatus)request->account_results[i].status;
        c->results[i].timestamp_us = request->account_results[i].timestamp_us;
        c->pointers[i] = &c->results[i];
    }
    Ledger__V1__CreateAccountsResponse response = LEDGER__V1__CREATE_ACCOUNTS_RESPONSE__INIT;
    response.n_results = request->n;
    response.results = c->pointers;
    rpc_reply(c->call, &response.base);
}

static accounts_call *accounts_call_create(rpc_call *call,
                                           const Ledger__V1__CreateAccountsRequest *r, err *e) {
    arena *a = rpc_arena(call);
    const size_t n = r->n_accounts;
    ledger_account_event *events = NULL;
    accounts_call *c = api_array(a, 1, sizeof *c, e);
    if (c == NULL || !api_accounts_decode(a, r, &events, e)) {
        return NULL;
    }
    c->call = call;
    c->results = api_array(a, n, sizeof *c->results, e);
    c->pointers = api_array(a, n, sizeof *c->pointers, e);
    c->request = (journal_request){
        .book_id = r->book_id,
        .deadline_mono_ms = rpc_deadline_mono_ms(call),
        .n = n,
        .accounts = events,
        .account_results = api_array(a, n, sizeof *c->request.account_results, e),
        .done = accounts_done,
        .owner = c,
    };
    return c->results != NULL && c->pointers != NULL && c->request.account_results != NULL ? c
                                                                                           : NULL;
}

void api_create_accounts(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const ledger_api *api = service;
    const Ledger__V1__CreateAccountsRequest *r = (const Ledger__V1__CreateAccountsRequest *)request;
    err e = {0};
    accounts_call *c = accounts_call_create(call, r, &e);
    if (c != NULL && r->n_accounts == 0) {
        Ledger__V1__CreateAccountsResponse empty = LEDGER__V1__CREATE_ACCOUNTS_RESPONSE__INIT;
        rpc_reply(call, &empty.base);
        return;
    }
    if (c == NULL || !journal_submit(api->journal, &c->request, &e)) {
        rpc_fail(call, &e);
    }
}

// --- CreateTransfers -------------------------------------------------------------------------------------------------

typedef struct transfer_answer {
    Ledger__V1__CreateTransferResult m;
    Ledger__V1__Balances debit, credit;
} transfer_answer;

typedef struct transfers_call {
    journal_request request;
    rpc_call *call;
    transfer_answer *answers;
    Ledger__V1__CreateTransferResult **pointers;
} transfers_call;

static void transfer_answer_fill(transfer_answer *out, const ledger_transfer_result *result) {
    ledger__v1__create_transfer_result__init(&out->m);
    out->m.status = (Ledger__V1__CreateTransferStatus)result->status;
    const ledger_row *row = result->row;
    if (row != NULL) {
        out->debit = api_balances(&row->debit_after);
        out->credit = api_balances(&row->credit_after);
        out->m.sequence = row->sequence;
        out->m.timestamp_us = row->timestamp_us;
        out->m.amount = row->amount;
        out->m.debit_balances = &out->debit;
        out->m.credit_balances = &out->credit;
    }
}

static void transfers_done(journal_request *request, const err *failure) {
    transfers_call *c = request->owner;
    if (failure != NULL) {
        rpc_fail(c->call, failure);
        return;
    }
    for (size_t i = 0; i < request->n; i++) {
        transfer_answer_fill(&c->answers[i], &request->transfer_results[i]);
        c->pointers[i] = &c->answers[i].m;
    }
    Ledger__V1__CreateTransfersResponse response = LEDGER__V1__CREATE_TRANSFERS_RESPONSE__INIT;
    response.n_results = request->n;
    response.results = c->pointers;
    rpc_reply(c->call, &response.base);
}

static transfers_call *transfers_call_create(rpc_call *call,
                                             const Ledger__V1__CreateTransfersRequest *r, err *e) {
    arena *a = rpc_arena(call);
    const size_t n = r->n_transfers;
    ledger_transfer_event *events = NULL;
    transfers_call *c = api_array(a, 1, sizeof *c, e);
    if (c == NULL || !api_transfers_decode(a, r, &events, e)) {
        return NULL;
    }
    c->call = call;
    c->answers = api_array(a, n, sizeof *c->answers, e);
    c->pointers = api_array(a, n, sizeof *c->pointers, e);
    c->request = (journal_request){
        .book_id = r->book_id,
        .deadline_mono_ms = rpc_deadline_mono_ms(call),
        .n = n,
        .transfers = events,
        .transfer_results = api_array(a, n, sizeof *c->request.transfer_results, e),
        .done = transfers_done,
        .owner = c,
    };
    return c->answers != NULL && c->pointers != NULL && c->request.transfer_results != NULL ? c
                                                                                            : NULL;
}

void api_create_transfers(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const ledger_api *api = service;
    const Ledger__V1__CreateTransfersRequest *r =
        (const Ledger__V1__CreateTransfersRequest *)request;
    err e = {0};
    transfers_call *c = transfers_call_create(call, r, &e);
    if (c != NULL && r->n_transfers == 0) {
        Ledger__V1__CreateTransfersResponse empty = LEDGER__V1__CREATE_TRANSFERS_RESPONSE__INIT;
        rpc_reply(call, &empty.base);
        return;
    }
    if (c == NULL || !journal_submit(api->journal, &c->request, &e)) {
        rpc_fail(call, &e);
    }
}
