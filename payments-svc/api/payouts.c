// PayoutService: reading payouts. Taking them in is in create_payouts.c, watching them in watch.c.
#include <stdio.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "connections/pause.h"
#include "domain/machine.h"
#include "store/payments_sql.h"
#include "submissions/submissions.h"

enum {
    KIND_OUTCOME = 2,
    KIND_EVENT = 3, // beside step_log.kind 1 and 2: a row of rail_event
    TIMELINE_MAX = 2000
};

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

// Outcomes of steps, and kinds of rail events (rails/rail.h), stand in the same column.
static char *outcome_text(arena *a, int kind, int outcome) {
    if (kind == KIND_EVENT) {
        return name_or_number(a, saga_event_name(outcome), outcome);
    }
    return outcome == OUT_NONE ? pb_text(a, STR(""))
                               : name_or_number(a, saga_outcome_name(outcome), outcome);
}

// The control that has refused or held the payout, by its reason: before money moves, only controls speak.
static const char *control_name(controls t, int step, int kind, str reason) {
    const control *by = kind == KIND_OUTCOME && (step == STEP_GATE || step == STEP_RESERVE)
                            ? control_of_reason(t, reason)
                            : NULL;
    return by == NULL ? "" : by->name;
}

static Payments__V1__TimelineEntry *timeline_entry(controls known, const db_rows *rows, size_t i,
                                                   arena *a) {
    static const char *const KINDS[] = {"", "INTENT", "OUTCOME", "EVENT"};
    Payments__V1__TimelineEntry *t = ARENA_NEW(a, Payments__V1__TimelineEntry);
    payments__v1__timeline_entry__init(t);
    const int kind = db_get_i16(rows, i, 3);
    const int step = db_get_i16(rows, i, 2), outcome = db_get_i16(rows, i, 4);
    t->time = pb_time(a, db_get_time(rows, i, 0));
    t->sequence = db_get_i32(rows, i, 1);
    const bool ordered = outcome >= EVENT_RELEASE && outcome <= EVENT_CANCEL;
    t->step = kind == KIND_EVENT ? pb_text(a, ordered ? STR("ORDER") : STR("RAIL"))
                                 : name_or_number(a, saga_step_name(step), step);
    t->kind = name_or_number(a, kind >= 1 && kind <= KIND_EVENT ? KINDS[kind] : "?", kind);
    t->outcome = outcome_text(a, kind, outcome);
    t->attempt = db_get_i32(rows, i, 5);
    t->reason = pb_text(a, db_get_str(rows, i, 6));
    t->detail = pb_text(a, db_get_str(rows, i, 7));
    t->rail_reference = pb_text(a, db_get_str(rows, i, 8));
    if (!db_is_null(rows, i, 9)) {
        t->ledger_transfer_id = uuid_text(a, db_get_uuid(rows, i, 9));
    }
    if (!db_is_null(rows, i, 10)) {
        t->worker = uuid_text(a, db_get_uuid(rows, i, 10));
    }
    t->epoch = db_get_i64(rows, i, 11);
    t->actor = pb_text(a, db_get_str(rows, i, 12));
    t->amount_minor = db_get_i64(rows, i, 13);
    t->control = pb_text(a, str_of(control_name(known, step, kind, db_get_str(rows, i, 6))));
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
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    r->pause = NULL;
    if (payout_is_terminal(r->payout->state) ||
        r->payout->state == PAYMENTS__V1__PAYOUT_STATE__PAYOUT_STATE_HELD) {
        return true;
    }
    db_i64(p, r->m->book_id);
    db_uuid(p, r->id);
    if (!pause_read(c, &set, a, e) ||
        (set.n > 0 && !db_exec(c, payments_stmt(SQL_PAYOUT_ATTEMPT), p, a, &rows, NULL, e))) {
        return false;
    }
    if (set.n == 0 || db_count(rows) == 0) {
        return true;
    }
    const int step = db_get_i16(rows, 0, 0);
    const bool to_begin = step == STEP_GATE || step == STEP_RESERVE || step == STEP_EXECUTE;
    if (to_begin || (step == STEP_AWAIT && r->prepared)) {
        const pause_row *row =
            pause_over(&set, r->m->book_id, r->connection, to_begin ? str_of(r->m->id) : STR(""));
        r->pause = row == NULL ? NULL : pb_pause(r->k, row, a);
    }
    return true;
}

static bool read_tx(db_conn *c, arena *a, void *arg, err *e) {
    payout_read *r = arg;
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, r->m->book_id);
    db_uuid(p, r->id);
    db_text(p, str_of(r->m->id));
    if (!db_exec(c, payments_stmt(SQL_PAYOUT_GET), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return err_set_field(e, ERR_NOT_FOUND, "PAYOUT_NOT_FOUND", "payout_id",
                             "the merchant has no such payout");
    }
    r->payout = payout_from_row(r->k, rows, 0, a);
    r->connection = db_get_i16(rows, 0, 5);
    if (!r->with_timeline) {
        return true;
    }
    p = db_params_create(a);
    db_i64(p, r->m->book_id);
    db_uuid(p, r->id);
    db_i64(p, TIMELINE_MAX);
    if (!db_exec(c, payments_stmt(SQL_TIMELINE), p, a, &rows, NULL, e)) {
        return false;
    }
    r->n_entries = 0;
    r->entries = ARENA_ARRAY(a, Payments__V1__TimelineEntry *, db_count(rows) + 1);
    if (r->entries == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        r->entries[r->n_entries++] = timeline_entry(r->controls, rows, i, a);
    }
    return read_submission(c, a, r, e) && read_pause(c, a, r, e);
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

static void param_text_or_null(db_params *p, const char *text) {
    if (text[0] == '\0') {
        db_null(p, OID_TEXT);
    } else {
        db_text(p, str_of(text));
    }
}

static void param_time_or_null(db_params *p, const Google__Protobuf__Timestamp *given, int64_t us) {
    if (given == NULL) {
        db_null(p, OID_TIMESTAMPTZ);
    } else {
        db_time(p, us);
    }
}

static db_params *list_params(const payout_list *l, arena *a) {
    const Payments__V1__ListPayoutsRequest *r = l->r;
    db_params *p = db_params_create(a);
    db_i64(p, l->m->book_id);
    db_text(p, str_of(l->m->id));
    db_uuid(p, l->before);
    if (r->n_states == 0) {
        db_null(p, OID_INT2_ARRAY);
    } else {
        db_i16_array(p, l->states, r->n_states);
    }
    if (l->n_connections == 0) {
        db_null(p, OID_INT2_ARRAY);
    } else {
        db_i16_array(p, l->connections, l->n_connections);
    }
    param_text_or_null(p, r->currency);
    if (r->recipient_id[0] == '\0') {
        db_null(p, OID_UUID);
    } else {
        db_uuid(p, l->recipient);
    }
    param_text_or_null(p, r->external_reference);
    param_time_or_null(p, r->create_time_from, l->from_us);
    param_time_or_null(p, r->create_time_to, l->to_us);
    db_i64(p, l->size + 1);
    db_uuid(p, l->from);
    return p;
}

// Whether all states that are asked for are among these. False when none is asked for, which means all.
static bool states_are_among(const payout_list *l, const int16_t *wanted, size_t n) {
    bool all = l->r->n_states > 0;
    for (size_t i = 0; i < l->r->n_states; i++) {
        bool found = false;
        for (size_t k = 0; k < n; k++) {
            found = found || l->states[i] == wanted[k];
        }
        all = all && found;
    }
    return all;
}

// By the filter that leaves the fewest: its index finds them without a walk through all of the merchant's payouts.
static payments_sql list_statement(const payout_list *l) {
    static const int16_t OPEN[] = {1, 2, STATE_PENDING, STATE_PROCESSING, STATE_SENT, STATE_HELD};
    static const int16_t ENDED_BADLY[] = {STATE_FAILED, STATE_RETURNED, STATE_CANCELED};
    if (l->r->external_reference[0] != '\0') {
        return SQL_PAYOUT_LIST_REFERENCE;
    }
    if (l->r->recipient_id[0] != '\0') {
        return SQL_PAYOUT_LIST_RECIPIENT;
    }
    if (states_are_among(l, OPEN, sizeof OPEN / sizeof OPEN[0])) {
        return SQL_PAYOUT_LIST_OPEN;
    }
    return states_are_among(l, ENDED_BADLY, sizeof ENDED_BADLY / sizeof ENDED_BADLY[0])
               ? SQL_PAYOUT_LIST_ENDED_BADLY
               : SQL_PAYOUT_LIST;
}

static bool list_tx(db_conn *c, arena *a, void *arg, err *e) {
    payout_list *l = arg;
    db_rows *rows = NULL;
    if (!db_exec(c, payments_stmt(list_statement(l)), list_params(l, a), a, &rows, NULL, e)) {
        return false;
    }
    l->n = db_count(rows);
    l->out = ARENA_ARRAY(a, Payments__V1__Payout *, l->n + 1);
    if (l->out == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < l->n; i++) {
        l->out[i] = payout_from_row(l->k, rows, i, a);
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
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, x->m->book_id);
    db_text(p, str_of(x->m->id));
    if (!db_exec(c, payments_stmt(SQL_PAYOUT_SUMMARY), p, a, &rows, NULL, e)) {
        return false;
    }
    x->answer.n_lines = 0;
    // states x connections x currencies: few
    x->answer.lines = arena_must(a, (db_count(rows) + 1) * sizeof *x->answer.lines);
    for (size_t i = 0; i < db_count(rows); i++) {
        Payments__V1__PayoutSummaryLine *line = ARENA_NEW(a, Payments__V1__PayoutSummaryLine);
        payments__v1__payout_summary_line__init(line);
        line->state = (Payments__V1__PayoutState)db_get_i16(rows, i, 0);
        line->rail = pb_rail(x->k, db_get_i16(rows, i, 1));
        line->connection = pb_connection(x->k, db_get_i16(rows, i, 1), a);
        line->currency = pb_text(a, db_get_str(rows, i, 2));
        line->count = db_get_i64(rows, i, 3);
        line->sum_minor = pb_text(a, db_get_str(rows, i, 4));
        x->answer.lines[x->answer.n_lines++] = line;
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
