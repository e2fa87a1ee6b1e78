// ReverseTransfers. In the journal a reversal is a transfer like others, and a group is a linked chain of reversals. The members of a group
// are read before: journal rows never change, so the members cannot be wrong at commit.
#include <string.h>

#include "api/api_internal.h"

typedef struct reversal_answer {
    Ledger__V1__Reversal m;
    Ledger__V1__Balances debit, credit;
    char id[UUID_TEXT_LEN + 1], reverses_id[UUID_TEXT_LEN + 1];
} reversal_answer;

// One requested reversal: a single event, or the events of a group, one after another.
typedef struct asked {
    // of a group: the events' common fields, with the given id
    ledger_transfer_event event;
    bool whole_group;
    size_t first, n;
} asked;

typedef struct reversals_call {
    journal_request request;
    rpc_call *call;
    asked *asked;
    size_t n_asked;
    Ledger__V1__ReverseTransferResult *results;
    Ledger__V1__ReverseTransferResult **pointers;
    char (*transfer_ids)[UUID_TEXT_LEN + 1]; // of the results
    reversal_answer *answers;                // one for each event
    Ledger__V1__Reversal **answer_pointers;
} reversals_call;

// --- What came -------------------------------------------------------------------------------------------------------

static bool reversal_decode(arena *a, const Ledger__V1__TransferReversal *m, size_t i, bool force,
                            asked *out, err *e) {
    ledger_transfer_event *t = &out->event;
    *t = (ledger_transfer_event){
        .user_data_64 = m->user_data_64,
        .user_data_32 = m->user_data_32,
        .code = m->code,
        .flags = force ? LEDGER_TRANSFER_FLAG_FORCED : 0,
    };
    out->whole_group = m->whole_group;
    if (!api_id_decode(m->id, &t->id, "reversals", i, "id", e) ||
        !api_id_decode(m->transfer_id, &t->reverses_id, "reversals", i, "transfer_id", e) ||
        !api_id_decode(m->user_data_128, &t->user_data_128, "reversals", i, "user_data_128", e) ||
        !api_labels_decode(a, m->external_reference, m->metadata, m->n_metadata, "reversals", i,
                           &t->external_reference, &t->metadata, e)) {
        return false;
    }
    return !uuid_is_nil(t->reverses_id) ||
           api_refuse(e, "NO_TRANSFER", "reversals", i, "transfer_id", "must name a transfer");
}

// --- The groups ------------------------------------------------------------------------------------------------------

typedef struct group_read {
    int64_t book_id;
    store_ids ids;
    bool exists;
    store_group *groups;
} group_read;

static bool read_groups(db_conn *c, arena *a, void *arg, err *e) {
    group_read *g = arg;
    return store_read_groups(c, a, g->book_id, g->ids, &g->exists, &g->groups, e);
}

// Finds the groups of the requests that name one, in order. Without such a request this costs nothing.
static bool groups_find(const ledger_api *api, rpc_call *call, const reversals_call *c,
                        group_read *g, err *e) {
    uuid *ids = api_array(rpc_arena(call), c->n_asked, sizeof *ids, e);
    if (ids == NULL) {
        return false;
    }
    g->ids = (store_ids){ids, 0};
    for (size_t i = 0; i < c->n_asked; i++) {
        if (c->asked[i].whole_group) {
            ids[g->ids.n++] = c->asked[i].event.reverses_id;
        }
    }
    if (g->ids.n == 0) {
        return true;
    }
    if (!db_read(api->pool, rpc_deadline_mono_ms(call), rpc_arena(call), read_groups, g, e)) {
        return false;
    }
    return g->exists ||
           err_set_field(e, ERR_NOT_FOUND, "BOOK_NOT_FOUND", "book_id", "there is no such book");
}

// The id of a group member's reversal. A forbidden id is kept as it is, to be refused.
static uuid group_member_id(uuid id, uuid reverses_id) {
    if (uuid_is_nil(id) || uuid_is_max(id)) {
        return id;
    }
    const str parts[] = {STR("reversal"),
                         {(const char *)id.b, sizeof id.b},
                         {(const char *)reverses_id.b, sizeof reverses_id.b}};
    return uuid_derive(parts, sizeof parts / sizeof parts[0]);
}

// The last transfer of the group is reversed first, so that money goes back along its way.
static size_t group_events(const asked *one, const store_group *group, ledger_transfer_event *out) {
    const size_t n = group->n == 0 ? 1 : group->n; // unknown group: the posting rules decide
    for (size_t k = 0; k < n; k++) {
        out[k] = one->event;
        out[k].reverses_id = group->n == 0 ? one->event.reverses_id : group->ids[n - 1 - k];
        out[k].id = group_member_id(one->event.id, out[k].reverses_id);
        out[k].flags |= k + 1 < n ? LEDGER_TRANSFER_FLAG_LINKED : 0;
    }
    return n;
}

static bool events_build(reversals_call *c, arena *a, const group_read *g, err *e) {
    size_t n_events = c->n_asked - g->ids.n;
    for (size_t i = 0; i < g->ids.n; i++) {
        n_events += g->groups[i].n == 0 ? 1 : g->groups[i].n;
    }
    ledger_transfer_event *events = NULL;
    if (!api_count_check(n_events, LEDGER_BATCH_MAX, "reversals", e) ||
        (events = api_array(a, n_events, sizeof *events, e)) == NULL) {
        return false;
    }
    size_t n = 0;
    size_t n_groups = 0;
    for (size_t i = 0; i < c->n_asked; i++) {
        asked *one = &c->asked[i];
        one->first = n;
        if (one->whole_group) {
            one->n = group_events(one, &g->groups[n_groups++], events + n);
        } else {
            events[n] = one->event;
            one->n = 1;
        }
        n += one->n;
    }
    c->request.transfers = events;
    c->request.n = n;
    return true;
}

// --- The answer ------------------------------------------------------------------------------------------------------

static void reversal_fill(reversal_answer *out, const ledger_row *row) {
    ledger__v1__reversal__init(&out->m);
    out->debit = api_balances(&row->debit_after);
    out->credit = api_balances(&row->credit_after);
    uuid_format(row->id, out->id);
    uuid_format(row->reverses_id, out->reverses_id);
    out->m.id = out->id;
    out->m.reverses_id = out->reverses_id;
    out->m.sequence = row->sequence;
    out->m.timestamp_us = row->timestamp_us;
    out->m.amount = row->amount;
    out->m.debit_balances = &out->debit;
    out->m.credit_balances = &out->credit;
}

// The event that answers for a group: the event that broke it, else the first.
static size_t speaker(const asked *one, const ledger_transfer_result *results) {
    for (size_t i = one->first; i < one->first + one->n; i++) {
        if (results[i].status != LEDGER_TRANSFER_CREATED &&
            results[i].status != LEDGER_TRANSFER_EXISTS &&
            results[i].status != LEDGER_TRANSFER_LINKED_EVENT_FAILED) {
            return i;
        }
    }
    return one->first;
}

static void result_fill(reversals_call *c, size_t index) {
    const asked *one = &c->asked[index];
    const ledger_transfer_result *results = c->request.transfer_results;
    Ledger__V1__ReverseTransferResult *m = &c->results[index];
    const size_t speaks = speaker(one, results);
    const ledger_transfer_status status = results[speaks].status;
    ledger__v1__reverse_transfer_result__init(m);
    m->status = (Ledger__V1__CreateTransferStatus)status;
    const bool done = status == LEDGER_TRANSFER_CREATED || status == LEDGER_TRANSFER_EXISTS;
    uuid_format(done ? one->event.reverses_id : c->request.transfers[speaks].reverses_id,
                c->transfer_ids[index]);
    m->transfer_id = c->transfer_ids[index];
    m->reversals = c->answer_pointers + one->first;
    for (size_t i = one->first; i < one->first + one->n; i++) {
        const ledger_row *row = results[i].row;
        if (row != NULL && (done || i == speaks)) {
            reversal_fill(&c->answers[i], row);
            m->reversals[m->n_reversals++] = &c->answers[i].m;
        }
    }
}

static void reversals_done(journal_request *request, const err *failure) {
    reversals_call *c = request->owner;
    if (failure != NULL) {
        rpc_fail(c->call, failure);
        return;
    }
    for (size_t i = 0; i < c->n_asked; i++) {
        result_fill(c, i);
        c->pointers[i] = &c->results[i];
    }
    Ledger__V1__ReverseTransfersResponse response = LEDGER__V1__REVERSE_TRANSFERS_RESPONSE__INIT;
    response.n_results = c->n_asked;
    response.results = c->pointers;
    rpc_reply(c->call, &response.base);
}

// --- The call --------------------------------------------------------------------------------------------------------

static reversals_call *reversals_decode(rpc_call *call,
                                        const Ledger__V1__ReverseTransfersRequest *r, err *e) {
    arena *a = rpc_arena(call);
    if (!api_book_id_check(r->book_id, e) ||
        !api_count_check(r->n_reversals, LEDGER_BATCH_MAX, "reversals", e)) {
        return NULL;
    }
    reversals_call *c = api_array(a, 1, sizeof *c, e);
    asked *all = c == NULL ? NULL : api_array(a, r->n_reversals, sizeof *all, e);
    if (all == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < r->n_reversals; i++) {
        if (!reversal_decode(a, r->reversals[i], i, r->force, &all[i], e)) {
            return NULL;
        }
    }
    c->call = call;
    c->asked = all;
    c->n_asked = r->n_reversals;
    return c;
}

// Takes all memory of the answer before the hand-over: after the commit nothing can fail.
static bool answer_prepare(reversals_call *c, arena *a, err *e) {
    const size_t n = c->request.n;
    return (c->results = api_array(a, c->n_asked, sizeof *c->results, e)) != NULL &&
           (c->pointers = api_array(a, c->n_asked, sizeof *c->pointers, e)) != NULL &&
           (c->transfer_ids = api_array(a, c->n_asked, sizeof *c->transfer_ids, e)) != NULL &&
           (c->answers = api_array(a, n, sizeof *c->answers, e)) != NULL &&
           (c->answer_pointers = api_array(a, n, sizeof(Ledger__V1__Reversal *), e)) != NULL &&
           (c->request.transfer_results =
                api_array(a, n, sizeof *c->request.transfer_results, e)) != NULL;
}

void api_reverse_transfers(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const ledger_api *api = service;
    const Ledger__V1__ReverseTransfersRequest *r =
        (const Ledger__V1__ReverseTransfersRequest *)request;
    arena *a = rpc_arena(call);
    group_read groups = {.book_id = r->book_id};
    err e = {0};
    reversals_call *c = reversals_decode(call, r, &e);
    if (c != NULL && c->n_asked == 0) {
        Ledger__V1__ReverseTransfersResponse empty = LEDGER__V1__REVERSE_TRANSFERS_RESPONSE__INIT;
        rpc_reply(call, &empty.base);
        return;
    }
    if (c == NULL || !groups_find(api, call, c, &groups, &e) || !events_build(c, a, &groups, &e) ||
        !answer_prepare(c, a, &e)) {
        rpc_fail(call, &e);
        return;
    }
    c->request.book_id = r->book_id;
    c->request.deadline_mono_ms = rpc_deadline_mono_ms(call);
    c->request.done = reversals_done;
    c->request.owner = c;
    if (!journal_submit(api->journal, &c->request, &e)) {
        rpc_fail(call, &e);
    }
}
