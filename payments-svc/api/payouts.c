// PayoutService: reading payouts. Taking them in is in create_payouts.c, watching them in watch.c.
#include <stdio.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "connections/pause.h"
#include "domain/machine.h"
#include "submissions/submissions.h"

enum { TIMELINE_MAX = 2000 };

static const merchant *merchant_of(payments_service *s, rpc_call *call, const char *merchant_id,
                                   err *e) {
    if (!rule_merchant_id(str_of(merchant_id), "merchant_id", e)) {
        return NULL;
    }
    return merchant_find(s->merchants, str_of(merchant_id), rpc_deadline_mono_ms(call), e);
}

// --- reading one -----------------------------------------------------------------------------------------------------------

typedef struct payout_read {
    const connections *k;
    controls controls;
    const merchant *m;
    uuid id;
    bool with_timeline;
    int connection; // number
    Payments__V1__Payout *payout;
    Payments__V1__WrittenBy *created_by;
    Payments__V1__TimelineEntry **entries;
    size_t n_entries;
    char *submission_id; // of the present attempt; empty when it is in none
    bool prepared;       // and that submission has not left
    Payments__V1__Pause *pause;
} payout_read;

// What a later version has written has no name here: it is told by its number.
static char *name_or_number(arena *a, const char *name, int number) {
    return strcmp(name, "?") == 0 ? arena_printf(a, "%d", number) : pb_text(a, str_of(name));
}

// Outcomes of steps, and kinds of events (events/events.h), stand in the same column.
static char *outcome_text(arena *a, int kind, int outcome) {
    if (kind == PAYOUT_ENTRY_EVENT) {
        return name_or_number(a, saga_event_name(outcome), outcome);
    }
    return outcome == OUT_NONE ? pb_text(a, STR(""))
                               : name_or_number(a, saga_outcome_name(outcome), outcome);
}

// The control that has refused or held the payout, by its reason: before money moves, only controls speak.
static const char *control_name(controls t, int step, int kind, str reason) {
    const control *by = kind == PAYOUT_ENTRY_OUTCOME && (step == STEP_GATE || step == STEP_RESERVE)
                            ? control_of_reason(t, reason)
                            : NULL;
    return by == NULL ? "" : by->name;
}

static Payments__V1__TimelineEntry *timeline_entry(controls known, const payout_entry *x,
                                                   arena *a) {
    static const char *const KINDS[] = {"", "INTENT", "OUTCOME", "EVENT"};
    Payments__V1__TimelineEntry *t = ARENA_NEW(a, Payments__V1__TimelineEntry);
    payments__v1__timeline_entry__init(t);
    const bool event = x->kind == PAYOUT_ENTRY_EVENT;
    const bool ordered = x->outcome >= EVENT_RELEASE && x->outcome <= EVENT_CANCEL;
    const bool named = x->kind >= PAYOUT_ENTRY_INTENT && x->kind <= PAYOUT_ENTRY_EVENT;
    t->time = pb_time(a, x->at_us);
    t->sequence = x->sequence;
    t->step = event ? pb_text(a, ordered ? STR("ORDER") : STR("RAIL"))
                    : name_or_number(a, saga_step_name(x->step), x->step);
    t->kind = name_or_number(a, named ? KINDS[x->kind] : "?", x->kind);
    t->outcome = outcome_text(a, x->kind, x->outcome);
    t->attempt = x->attempt;
    t->reason = pb_text(a, x->reason);
    t->detail = pb_text(a, x->detail);
    t->rail_reference = pb_text(a, x->rail_reference);
    if (!uuid_is_nil(x->transfer)) {
        t->ledger_transfer_id = uuid_text(a, x->transfer);
    }
    if (!uuid_is_nil(x->worker)) {
        t->worker = uuid_text(a, x->worker);
    }
    t->epoch = x->epoch;
    t->actor = pb_text(a, x->actor);
    t->amount_minor = x->amount;
    t->control = pb_text(a, str_of(control_name(known, x->step, x->kind, x->reason)));
    return t;
}

static bool read_submission(db_conn *c, arena *a, payout_read *r, err *e) {
    submission_place place = {0};
    const int32_t attempt = r->payout->attempts;
    r->submission_id = pb_text(a, STR(""));
    if (attempt == 0) {
        return true;
    }
    if (!submission_places(c, r->m->book_id, &r->id, &attempt, 1, &place, a, e)) {
        return false;
    }
    r->submission_id = place.known ? uuid_text(a, place.submission_id) : r->submission_id;
    r->prepared = place.known && place.state == SUBMISSION_PREPARED;
    return true;
}

// What waits to be reserved or sent waits for a pause of its merchant, too; a submission is stopped as a whole.
static bool read_pause(db_conn *c, arena *a, payout_read *r, err *e) {
    pause_set set;
    payout_place place;
    bool found = false;
    r->pause = NULL;
    if (payout_is_terminal(r->payout->state) ||
        r->payout->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_HELD) {
        return true;
    }
    if (!pause_read(c, &set, a, e) ||
        (set.n > 0 && !payout_place_of(c, r->m->book_id, r->id, &place, &found, a, e))) {
        return false;
    }
    if (!found) {
        return true;
    }
    const int step = place.step;
    const bool to_begin = step == STEP_GATE || step == STEP_RESERVE || step == STEP_EXECUTE;
    if (to_begin || (step == STEP_AWAIT && r->prepared)) {
        const pause_row *row =
            pause_over(&set, r->m->book_id, r->connection, to_begin ? str_of(r->m->id) : STR(""));
        r->pause = row == NULL ? NULL : pb_pause(r->k, row, a);
    }
    return true;
}

// NULL: it is older than that.
static Payments__V1__WrittenBy *written_by(const payout_view *x, arena *a) {
    if (x->actor.ptr == NULL) {
        return NULL;
    }
    Payments__V1__WrittenBy *by = ARENA_NEW(a, Payments__V1__WrittenBy);
    payments__v1__written_by__init(by);
    by->actor = pb_text(a, x->actor);
    by->request_id = pb_text(a, x->request_id);
    by->trace_id = pb_trace(a, x->trace);
    return by;
}

static bool read_timeline(db_conn *c, arena *a, payout_read *r, err *e) {
    payout_entry *entries = NULL;
    if (!payout_timeline(c, r->m->book_id, r->id, TIMELINE_MAX, &entries, &r->n_entries, a, e)) {
        return false;
    }
    r->entries = ARENA_ARRAY(a, Payments__V1__TimelineEntry *, r->n_entries + 1);
    if (r->entries == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < r->n_entries; i++) {
        r->entries[i] = timeline_entry(r->controls, &entries[i], a);
    }
    return true;
}

static bool read_tx(db_conn *c, arena *a, void *arg, err *e) {
    payout_read *r = arg;
    payout_view row;
    bool found = false;
    if (!payout_find(c, r->m->book_id, r->id, str_of(r->m->id), &row, &found, a, e)) {
        return false;
    }
    if (!found) {
        return err_set_field(e, ERR_NOT_FOUND, "PAYOUT_NOT_FOUND", "payout_id",
                             "the merchant has no such payout");
    }
    r->payout = payout_from_row(r->k, &row, a);
    r->created_by = written_by(&row, a);
    r->connection = row.connection;
    return !r->with_timeline ||
           (read_timeline(c, a, r, e) && read_submission(c, a, r, e) && read_pause(c, a, r, e));
}

static bool read_one(payments_service *s, rpc_call *call, const char *merchant_id,
                     const char *payout_id, payout_read *r, err *e) {
    if (!rule_uuid(str_of(payout_id), "", "payout_id", &r->id, e)) {
        return false;
    }
    r->k = s->o.connections;
    r->controls = s->o.controls;
    r->m = merchant_of(s, call, merchant_id, e);
    return r->m != NULL &&
           db_read(s->o.pool, rpc_deadline_mono_ms(call), rpc_arena(call), read_tx, r, e);
}

static void handle_get_payout(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__GetPayoutRequest *r = (const Payments__V1__GetPayoutRequest *)request;
    Payments__V1__GetPayoutResponse answer = PAYMENTS__V1__GET_PAYOUT_RESPONSE__INIT;
    payout_read read = {0};
    err e = {0};
    if (!read_one(service, call, r->merchant_id, r->payout_id, &read, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.payout = read.payout;
    answer.created_by = read.created_by;
    rpc_reply(call, &answer.base);
}

static void handle_get_timeline(rpc_call *call, void *service, const ProtobufCMessage *request) {
    const Payments__V1__GetPayoutTimelineRequest *r =
        (const Payments__V1__GetPayoutTimelineRequest *)request;
    Payments__V1__GetPayoutTimelineResponse answer =
        PAYMENTS__V1__GET_PAYOUT_TIMELINE_RESPONSE__INIT;
    payout_read read = {.with_timeline = true};
    err e = {0};
    if (!read_one(service, call, r->merchant_id, r->payout_id, &read, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.payout = read.payout;
    answer.entries = read.entries;
    answer.n_entries = read.n_entries;
    answer.submission_id = read.submission_id;
    answer.pause = read.pause;
    answer.created_by = read.created_by;
    if (answer.pause != NULL && !authz_who_has_all(rpc_caller(call))) {
        answer.pause->reason = answer.pause->actor = (char *)protobuf_c_empty_string;
    }
    rpc_reply(call, &answer.base);
}

// --- listing ---------------------------------------------------------------------------------------------------------------

typedef struct payout_list {
    const connections *k;
    const merchant *m;
    const Payments__V1__ListPayoutsRequest *r;
    int64_t size;
    uuid before; // payouts with smaller ids come next
    uuid from;   // and none with a smaller one than this is wanted
    uuid recipient;
    int16_t *states;
    int16_t connections[CONNECTIONS_MAX];
    size_t n_connections; // 0: all
    int64_t from_us, to_us;
    Payments__V1__Payout **out;
    size_t n;
} payout_list;

static payout_filter list_filter(const payout_list *l) {
    const Payments__V1__ListPayoutsRequest *r = l->r;
    return (payout_filter){.book_id = l->m->book_id,
                           .merchant_id = str_of(l->m->id),
                           .before = l->before,
                           .from = l->from,
                           .states = l->states,
                           .n_states = r->n_states,
                           .connections = l->connections,
                           .n_connections = l->n_connections,
                           .currency = str_of(r->currency),
                           .external_reference = str_of(r->external_reference),
                           .of_recipient = r->recipient_id[0] != '\0',
                           .recipient = l->recipient,
                           .has_from = r->create_time_from != NULL,
                           .has_to = r->create_time_to != NULL,
                           .from_us = l->from_us,
                           .to_us = l->to_us,
                           .limit = l->size + 1};
}

static bool list_tx(db_conn *c, arena *a, void *arg, err *e) {
    payout_list *l = arg;
    payout_view *rows = NULL;
    const payout_filter filter = list_filter(l);
    if (!payouts_list(c, &filter, &rows, &l->n, a, e)) {
        return false;
    }
    l->out = ARENA_ARRAY(a, Payments__V1__Payout *, l->n + 1);
    if (l->out == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < l->n; i++) {
        l->out[i] = payout_from_row(l->k, &rows[i], a);
    }
    return true;
}

// What a page token is bound to: the request without its page.
static bool list_filters(const Payments__V1__ListPayoutsRequest *r, arena *a, str *filters,
                         err *e) {
    Payments__V1__ListPayoutsRequest copy = *r;
    copy.page_size = 0;
    copy.page_token = (char *)protobuf_c_empty_string;
    *filters = pb_pack(a, &copy.base, e);
    return filters->ptr != NULL;
}

// An id begins with the time at which it was made, and that is what created_at says. Rows of the first version read the clock twice,
// some time apart: so the range is wider, and the statement compares created_at as well.
static void list_range(payout_list *l) {
    enum { MARGIN_MS = 10 * 60 * 1000, US_PER_MS = 1000 };
    const int64_t from_ms = l->from_us / US_PER_MS - MARGIN_MS;
    memset(l->before.b, 0xff, sizeof l->before.b);
    if (l->r->create_time_from != NULL && from_ms > 0) {
        l->from = payout_lowest_id(from_ms);
    }
    if (l->r->create_time_to != NULL) {
        l->before = payout_lowest_id(l->to_us / US_PER_MS + MARGIN_MS);
    }
}

static bool list_validate(payout_list *l, arena *a, str filters, err *e) {
    const Payments__V1__ListPayoutsRequest *r = l->r;
    const currency *ccy = NULL;
    if (!page_size_of(r->page_size, &l->size, e) ||
        (r->currency[0] != '\0' && !rule_currency(str_of(r->currency), "", &ccy, e)) ||
        (r->recipient_id[0] != '\0' &&
         !rule_uuid(str_of(r->recipient_id), "", "recipient_id", &l->recipient, e)) ||
        (r->create_time_from != NULL &&
         !pb_time_us(r->create_time_from, "create_time_from", &l->from_us, e)) ||
        (r->create_time_to != NULL &&
         !pb_time_us(r->create_time_to, "create_time_to", &l->to_us, e))) {
        return false;
    }
    if (!pb_connections_of(l->k, r->rail, r->connection, l->connections, &l->n_connections, e)) {
        return false;
    }
    l->states = ARENA_ARRAY(a, int16_t, r->n_states + 1);
    if (l->states == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < r->n_states; i++) {
        if ((int)r->states[i] < 1 || (int)r->states[i] > STATE_HELD) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "STATE_UNKNOWN", "states",
                                 "states[%zu] is not one of PayoutState", i);
        }
        l->states[i] = (int16_t)r->states[i];
    }
    list_range(l);
    uuid at = l->before;
    if (r->page_token[0] != '\0' &&
        !page_token_read(r->page_token, filters, at.b, sizeof at.b, e)) {
        return false;
    }
    l->before = uuid_cmp(at, l->before) < 0 ? at : l->before;
    return true;
}

static void handle_list_payouts(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    payout_list l = {.k = s->o.connections, .r = (const Payments__V1__ListPayoutsRequest *)request};
    Payments__V1__ListPayoutsResponse answer = PAYMENTS__V1__LIST_PAYOUTS_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    str filters = {0};
    err e = {0};
    bool ok = list_filters(l.r, a, &filters, &e) && list_validate(&l, a, filters, &e);
    if (ok) {
        l.m = merchant_of(s, call, l.r->merchant_id, &e);
        ok = l.m != NULL && db_read(s->o.pool, rpc_deadline_mono_ms(call), a, list_tx, &l, &e);
    }
    if (!ok) {
        rpc_fail(call, &e);
        return;
    }
    answer.payouts = l.out;
    answer.n_payouts = l.n > (size_t)l.size ? (size_t)l.size : l.n;
    if (l.n > answer.n_payouts) {
        uuid last = {0};
        const bool parsed = uuid_parse(str_of(l.out[answer.n_payouts - 1]->payout_id), &last);
        ASSERT(parsed);
        answer.next_page_token = page_token_make(a, filters, last.b, sizeof last.b);
    }
    rpc_reply(call, &answer.base);
}

// --- summary ---------------------------------------------------------------------------------------------------------------

typedef struct payout_summary {
    const connections *k;
    const merchant *m;
    Payments__V1__SummarizePayoutsResponse answer;
} payout_summary;

static bool summary_tx(db_conn *c, arena *a, void *arg, err *e) {
    payout_summary *x = arg;
    payout_sum *sums = NULL;
    size_t n = 0;
    if (!payouts_sums(c, x->m->book_id, str_of(x->m->id), &sums, &n, a, e)) {
        return false;
    }
    x->answer.lines = arena_must(a, (n + 1) * sizeof *x->answer.lines);
    x->answer.n_lines = n;
    for (size_t i = 0; i < n; i++) {
        Payments__V1__PayoutSummaryLine *line = ARENA_NEW(a, Payments__V1__PayoutSummaryLine);
        payments__v1__payout_summary_line__init(line);
        line->state = (Payments__V1__PayoutState)sums[i].state;
        line->rail = pb_rail(x->k, sums[i].connection);
        line->connection = pb_connection(x->k, sums[i].connection, a);
        line->currency = pb_text(a, sums[i].currency);
        line->count = sums[i].count;
        line->sum_minor = pb_text(a, sums[i].sum);
        x->answer.lines[i] = line;
    }
    return true;
}

static void handle_summarize(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__SummarizePayoutsRequest *r =
        (const Payments__V1__SummarizePayoutsRequest *)request;
    payout_summary x = {.k = s->o.connections,
                        .answer = PAYMENTS__V1__SUMMARIZE_PAYOUTS_RESPONSE__INIT};
    err e = {0};
    x.m = merchant_of(s, call, r->merchant_id, &e);
    if (x.m == NULL ||
        !db_read(s->o.pool, rpc_deadline_mono_ms(call), rpc_arena(call), summary_tx, &x, &e)) {
        rpc_fail(call, &e);
        return;
    }
    rpc_reply(call, &x.answer.base);
}

const rpc_method PAYOUT_METHODS[] = {
    {.name = "CreatePayout", .unary = handle_create_payout},
    {.name = "BulkCreatePayouts", .unary = handle_bulk_create_payouts},
    {.name = "ValidatePayouts", .unary = handle_validate_payouts},
    {.name = "GetPayout", .unary = handle_get_payout},
    {.name = "ListPayouts", .unary = handle_list_payouts},
    {.name = "SummarizePayouts", .unary = handle_summarize},
    {.name = "GetPayoutTimeline", .unary = handle_get_timeline},
    {.name = "CancelPayout", .unary = handle_cancel_payout},
    {.name = "AwaitPayout", .unary = handle_await_payout},
    {.name = "WatchPayouts", .stream = handle_watch_payouts},
};
const size_t N_PAYOUT_METHODS = sizeof PAYOUT_METHODS / sizeof PAYOUT_METHODS[0];
