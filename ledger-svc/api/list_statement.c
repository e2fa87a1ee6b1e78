// GetAccountStatement.
#include <string.h>

#include "api/lists_internal.h"

typedef struct statement_read {
    journal *journal;
    query_statement q;
} statement_read;

static bool read_statement(db_conn *c, arena *a, void *arg, err *e) {
    statement_read *r = arg;
    return query_statement_read(r->journal, c, a, &r->q, e);
}

// --- The place of a page, as numbers ---------------------------------------------------------------------------------

enum { PLACE_NUMBERS = 7 };

#define BALANCE                                                                                    \
    { 0, LEDGER_AMOUNT_MAX }
// In the order of place_put. A statement from the beginning has the time -1 before it.
static const page_range PLACE_RANGES[PLACE_NUMBERS] = {
    PAGE_POSITION, {-1, INT64_MAX}, PAGE_POSITION, BALANCE, BALANCE, BALANCE, BALANCE,
};

static void place_put(const query_place *place, page_token *token) {
    const int64_t numbers[PLACE_NUMBERS] = {
        place->known_at,
        place->effective_us,
        place->sequence,
        place->running.debits_pending,
        place->running.debits_posted,
        place->running.credits_pending,
        place->running.credits_posted,
    };
    for (size_t i = 0; i < PLACE_NUMBERS; i++) {
        token->place[i] = numbers[i];
    }
}

static query_place place_get(const page_token *token) {
    const int64_t *n = token->place;
    return (query_place){n[0], n[1], n[2], {n[3], n[4], n[5], n[6]}};
}

// --- The call --------------------------------------------------------------------------------------------------------

static bool basis_decode(Ledger__V1__TimeBasis basis, bool *effective, err *e) {
    *effective = basis == LEDGER__V1__TIME_BASIS__TIME_BASIS_EFFECTIVE;
    return basis <= LEDGER__V1__TIME_BASIS__TIME_BASIS_EFFECTIVE ||
           api_refuse_field(e, "INVALID_BASIS", "basis", "must be COMMITTED or EFFECTIVE");
}

static bool decode(rpc_call *call, const Ledger__V1__GetAccountStatementRequest *m,
                   page_token *token, query_statement *q, err *e) {
    q->book_id = m->book_id;
    q->from_us = m->from_us;
    q->to_us = m->to_us;
    q->known_at_sequence = m->known_at_sequence;
    if (!api_book_id_check(m->book_id, e) || !basis_decode(m->basis, &q->effective, e) ||
        !api_times_check(m->from_us, m->to_us, "from_us", "to_us", e) ||
        !api_page_size(m->page_size, &q->page_size, e)) {
        return false;
    }
    if (!uuid_parse(str_of(m->account_id), &q->account_id)) {
        return api_refuse_field(e, "INVALID_UUID", "account_id", "is not a UUID");
    }
    if (m->known_at_sequence < 0) {
        return api_refuse_field(e, "INVALID_SEQUENCE", "known_at_sequence", "must not be negative");
    }
    q->resumed = m->page_token[0] != '\0';
    if (q->resumed && !api_page_token_read(rpc_arena(call), m->page_token, token, e)) {
        return false;
    }
    q->after = place_get(token);
    return true;
}

typedef struct entry_block {
    Ledger__V1__StatementEntry m;
    Ledger__V1__Balances balances;
} entry_block;

static bool encode_entry(arena *a, const query_statement *q, size_t i, entry_block *b, err *e) {
    const ledger_row *row = &q->rows[i];
    ledger__v1__statement_entry__init(&b->m);
    b->balances = api_balances(&q->balances[i]);
    b->m.balances = &b->balances;
    b->m.side = uuid_eq(row->debit_account_id, q->account_id)
                    ? LEDGER__V1__ENTRY_SIDE__ENTRY_SIDE_DEBIT
                    : LEDGER__V1__ENTRY_SIDE__ENTRY_SIDE_CREDIT;
    b->m.transfer = api_transfer_encode(a, row, e);
    return b->m.transfer != NULL && api_transfer_outcome_encode(a, b->m.transfer, row, e);
}

static bool encode(arena *a, const query_statement *q, page_token *token,
                   Ledger__V1__GetAccountStatementResponse *response, err *e) {
    Ledger__V1__Balances *frame = api_array(a, 2, sizeof *frame, e);
    entry_block *blocks = api_array(a, q->n, sizeof *blocks, e);
    response->entries = api_array(a, q->n, sizeof *response->entries, e);
    response->account = api_account_encode(a, &q->account, e);
    if (frame == NULL || blocks == NULL || response->entries == NULL || response->account == NULL) {
        return false;
    }
    for (size_t i = 0; i < q->n; i++) {
        if (!encode_entry(a, q, i, &blocks[i], e)) {
            return false;
        }
        response->entries[i] = &blocks[i].m;
    }
    frame[0] = api_balances(&q->opening);
    frame[1] = api_balances(&q->closing);
    response->n_entries = q->n;
    response->opening = &frame[0];
    response->closing = &frame[1];
    response->sequence = q->sequence;
    if (q->more) {
        place_put(&q->place, token);
        response->next_page_token = api_page_token_make(a, token, e);
        return response->next_page_token != NULL;
    }
    return true;
}

void api_get_account_statement(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const ledger_api *api = service;
    const Ledger__V1__GetAccountStatementRequest *m =
        (const Ledger__V1__GetAccountStatementRequest *)request;
    Ledger__V1__GetAccountStatementRequest bound = *m;
    bound.page_size = 0;
    bound.page_token = (char *)protobuf_c_empty_string;
    page_token token = {.request = &bound.base, .n = PLACE_NUMBERS};
    memcpy(token.ranges, PLACE_RANGES, sizeof PLACE_RANGES);
    Ledger__V1__GetAccountStatementResponse response =
        LEDGER__V1__GET_ACCOUNT_STATEMENT_RESPONSE__INIT;
    statement_read r = {.journal = api->journal};
    err e = {0};
    if (decode(call, m, &token, &r.q, &e) &&
        db_read(api->pool, rpc_deadline_mono_ms(call), rpc_arena(call), read_statement, &r, &e) &&
        api_found(r.q.book_exists, r.q.account_exists, "account_id", &e) &&
        encode(rpc_arena(call), &r.q, &token, &response, &e)) {
        rpc_reply(call, &response.base);
    } else {
        rpc_fail(call, &e);
    }
}
