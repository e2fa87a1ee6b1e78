// CaseService: what a person must look at, and the orders that a person gives.
#include <stdio.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "cases/cases.h"
#include "command/audit.h"
#include "domain/machine.h"
#include "events/events.h"
#include "payments/v1/case_service.pb-c.h"
#include "rails/inbox_desk.h"
#include "saga/orders.h"
#include "submissions/decide.h"

static Payments__V1__Case *case_to_pb(const case_row *k, arena *a) {
    Payments__V1__Case *out = ARENA_NEW(a, Payments__V1__Case);
    payments__v1__case__init(out);
    out->book_id = k->book_id;
    out->case_id = uuid_text(a, k->case_id);
    out->kind = pb_text(a, k->kind);
    out->subject_type = pb_text(a, k->subject_type);
    out->subject_id = pb_text(a, k->subject_id);
    out->merchant_id = pb_text(a, k->merchant_id);
    out->code = pb_text(a, k->code);
    out->text = pb_text(a, k->text);
    out->amount_minor = k->amount;
    out->currency = pb_text(a, k->currency);
    out->state = (Payments__V1__CaseState)k->state;
    out->owner = pb_text(a, k->owner);
    out->resolution = pb_text(a, k->resolution);
    out->seen_count = k->seen;
    out->open_time = pb_time(a, k->opened_us);
    out->due_time = pb_time(a, k->due_us);
    out->seen_time = pb_time(a, k->seen_us);
    out->resolve_time = k->resolved_us == 0 ? NULL : pb_time(a, k->resolved_us);
    return out;
}

// A case is named by its book and its id.
static bool case_name(int64_t book_id, const char *id, uuid *out, err *e) {
    if (book_id < 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BOOK_INVALID", "book_id",
                             "book_id must not be negative");
    }
    return rule_uuid(str_of(id), "", "case_id", out, e);
}

// --- listing -------------------------------------------------------------------------------------------------------------

typedef struct case_listing {
    const payments_service *s;
    case_filter filter;
    Payments__V1__Case **out;
    size_t n;
    int64_t size;
    uuid last; // of the page
} case_listing;

static bool list_tx(db_conn *c, arena *a, void *arg, err *e) {
    case_listing *l = arg;
    case_row *rows = NULL;
    size_t n = 0;
    if (!cases_list(c, &l->filter, a, &rows, &n, e)) {
        return false;
    }
    // Where nothing is, a book that there is not is told from one in which all is well.
    if (n == 0 && l->filter.in_book &&
        !pb_book_exists(l->s, c, l->filter.book_id, "book_ids", a, e)) {
        return false;
    }
    l->n = n;
    l->out = ARENA_ARRAY(a, Payments__V1__Case *, n + 1);
    if (l->out == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        l->out[i] = case_to_pb(&rows[i], a);
        if ((int64_t)i < l->size) {
            l->last = rows[i].case_id;
        }
    }
    return true;
}

static bool filter_states(const Payments__V1__ListCasesRequest *r, case_filter *f, err *e) {
    f->open = r->n_states == 0;
    for (size_t i = 0; i < r->n_states; i++) {
        switch ((int)r->states[i]) {
        case PAYMENTS__V1__CASE_STATE__CASE_STATE_OPEN: f->open = true; break;
        case PAYMENTS__V1__CASE_STATE__CASE_STATE_RESOLVED: f->resolved = true; break;
        default:
            return err_set_field(e, ERR_INVALID_ARGUMENT, "STATE_UNKNOWN", "states",
                                 "states[%zu] is not one of CaseState", i);
        }
    }
    return true;
}

static bool filter_texts(const Payments__V1__ListCasesRequest *r, case_filter *f, err *e) {
    f->kind = str_of(r->kind);
    f->owner = str_of(r->owner);
    f->merchant_id = str_of(r->merchant_id);
    f->subject_type = str_of(r->subject_type);
    f->subject_id = str_of(r->subject_id);
    if ((f->subject_type.len == 0) != (f->subject_id.len == 0)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "SUBJECT_INCOMPLETE", "subject_id",
                             "give subject_type and subject_id, or none of them");
    }
    if (f->kind.len > 0 && !case_kind_is_known(f->kind)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "KIND_UNKNOWN", "kind",
                             "kind must be one of %s", case_kind_names());
    }
    return rule_text(f->owner, 0, CASE_PERSON_MAX, "", "owner", e) &&
           rule_text(f->subject_type, 0, 32, "", "subject_type", e) &&
           rule_text(f->subject_id, 0, 200, "", "subject_id", e) &&
           (f->merchant_id.len == 0 || rule_merchant_id(f->merchant_id, "merchant_id", e));
}

// The book: given, or the merchant's. The history of all books is not to be had at once.
static bool filter_book(payments_service *s, const rpc_call *call,
                        const Payments__V1__ListCasesRequest *r, case_filter *f, err *e) {
    if (r->n_book_ids > 1 || (r->n_book_ids == 1 && r->book_ids[0] < 0)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BOOK_INVALID", "book_ids",
                             "give one book at most, not negative");
    }
    f->in_book = r->n_book_ids == 1;
    f->book_id = f->in_book ? r->book_ids[0] : 0;
    if (f->merchant_id.len > 0) {
        const merchant *m =
            merchant_find(s->merchants, f->merchant_id, rpc_deadline_mono_ms(call), e);
        if (m == NULL) {
            return false;
        }
        // A caller with one merchant learns nothing of other books.
        if (f->in_book && f->book_id != m->book_id) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "BOOK_OF_ANOTHER_MERCHANT", "book_ids",
                                 "the merchant is in book %lld", (long long)m->book_id);
        }
        f->in_book = true;
        f->book_id = m->book_id;
    }
    if (!f->in_book && (f->resolved || f->subject_type.len > 0)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BOOK_MISSING", "book_ids",
                             "with resolved cases or a subject give a book or a merchant");
    }
    return true;
}

// What a page token is bound to: the request without its page.
static bool filter_hash(const Payments__V1__ListCasesRequest *r, arena *a, str *filters, err *e) {
    Payments__V1__ListCasesRequest copy = *r;
    copy.page_size = 0;
    copy.page_token = (char *)protobuf_c_empty_string;
    *filters = pb_pack(a, &copy.base, e);
    return filters->ptr != NULL;
}

static void handle_list_cases(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListCasesRequest *r = (const Payments__V1__ListCasesRequest *)request;
    Payments__V1__ListCasesResponse answer = PAYMENTS__V1__LIST_CASES_RESPONSE__INIT;
    case_listing l = {.s = s};
    arena *a = rpc_arena(call);
    str filters = {0};
    err e = {0};
    bool ok = page_size_of(r->page_size, &l.size, &e) && filter_states(r, &l.filter, &e) &&
              filter_texts(r, &l.filter, &e) && filter_hash(r, a, &filters, &e) &&
              (r->page_token[0] == '\0' || page_token_read(r->page_token, filters, l.filter.after.b,
                                                           sizeof l.filter.after.b, &e)) &&
              filter_book(s, call, r, &l.filter, &e);
    l.filter.limit = l.size + 1;
    if (!ok || !db_read(s->o.pool, rpc_deadline_mono_ms(call), a, list_tx, &l, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.cases = l.out;
    answer.n_cases = l.n > (size_t)l.size ? (size_t)l.size : l.n;
    if (l.n > answer.n_cases) {
        answer.next_page_token = page_token_make(a, filters, l.last.b, sizeof l.last.b);
    }
    rpc_reply(call, &answer.base);
}

// --- orders ------------------------------------------------------------------------------------------------------------

// The bytes of a method's answer; .ptr NULL and *e on failure.
typedef str (*case_packing)(Payments__V1__Case *k, arena *a, err *e);

typedef struct case_changing {
    payments_service *s;
    case_change change;
    case_changed changed;
    actor_info by;
    saga_slots held; // for the order, locked before the case
    case_packing pack;
} case_changing;

static bool actor_of(const case_change *in, arena *a, str *actor, err *e) {
    const actor_info by = {.program = in->program, .person = in->person, .stated = in->stated};
    *actor = str_of(actor_text(&by, a));
    return actor->len > 0 || out_of_memory(e);
}

// The attempt was never taken: said before the order, so that the order is possible.
static bool record_gone(db_conn *c, int64_t book_id, const rail_event *order, int32_t attempt,
                        arena *a, err *e) {
    const rail_event gone = {.payout_id = order->payout_id,
                             .attempt = attempt,
                             .kind = RAIL_EVENT_NOT_TAKEN,
                             .event_id = str_of(arena_printf(a, "gone/%d", (int)attempt)),
                             .at_us = order->at_us,
                             .source = RAIL_SOURCE_SUBMISSION};
    return gone.event_id.len == 0 ? out_of_memory(e)
                                  : rail_events_record(c, book_id, &gone, 1, a, e);
}

typedef enum how { HOW_FOR_GOOD, HOW_LOOK } how;

static bool take_out(db_conn *c, int64_t book_id, const rail_event *order, int32_t attempt,
                     bool *gone, arena *a, err *e) {
    const char *why = arena_printf(a, "%.*s by %.*s", (int)order->code.len, order->code.ptr,
                                   (int)order->actor.len, order->actor.ptr);
    return why == NULL ? out_of_memory(e)
                       : submission_make_way(c, book_id, order->payout_id, attempt, str_of(why),
                                             gone, a, e);
}

// What waits in a submission is taken out before it is ordered otherwise; what may have left is not. *never_taken: the attempt of which
// this is recorded before the order; 0: none. HOW_LOOK: only finds out what would be done.
static bool make_way(db_conn *c, how h, int64_t book_id, const rail_event *order,
                     int32_t *never_taken, arena *a, err *e) {
    payout_place place;
    bool found = false, gone = false;
    *never_taken = 0;
    if (order->kind != RAIL_EVENT_RETRY && order->kind != RAIL_EVENT_GIVE_BACK &&
        order->kind != RAIL_EVENT_MARK_PAID && order->kind != RAIL_EVENT_CANCEL) {
        return true;
    }
    if (!payout_place_of(c, book_id, order->payout_id, &place, &found, a, e)) {
        return false;
    }
    if (!found || place.step != STEP_AWAIT) {
        return true;
    }
    const int32_t attempt = place.attempt;
    if (!(h == HOW_LOOK ? submission_way_look(c, book_id, order->payout_id, attempt, &gone, a, e)
                        : take_out(c, book_id, order, attempt, &gone, a, e))) {
        return false;
    }
    if (order->kind == RAIL_EVENT_RETRY && !gone && !str_eq_c(order->code, SAGA_SEND_AGAIN)) {
        return err_set(e, ERR_FAILED_PRECONDITION, "ATTEMPT_AT_BANK",
                       "the bank has this attempt, or may have it, so another one may pay twice: "
                       "resolve with " SAGA_SEND_AGAIN
                       " and evidence that the bank has not got it");
    }
    *never_taken = gone && order->kind != RAIL_EVENT_MARK_PAID ? attempt : 0;
    return true;
}

// The order that a resolution gives to a payout, as an event of a person.
static bool order_of(const case_changing *x, rail_event *order, arena *a, err *e) {
    const case_change *in = &x->change;
    const case_row *k = &x->changed.row;
    *order = (rail_event){
        .kind = (rail_event_kind)x->changed.order->event_kind,
        .code = str_of(x->changed.order->name),
        .text = in->evidence.len > 0 ? in->evidence : in->text,
        .at_us = in->now_us,
        .source = RAIL_SOURCE_PERSON,
    };
    if (!uuid_parse(k->subject_id, &order->payout_id)) {
        return err_set(e, ERR_FAILED_PRECONDITION, "SUBJECT_UNREADABLE",
                       "the case is not about a payout that can be given an order");
    }
    // One order for a case: its id makes it once-only.
    order->event_id = str_of(arena_printf(a, "case/%s", uuid_text(a, k->case_id)));
    return order->event_id.len == 0 ? out_of_memory(e) : actor_of(in, a, &order->actor, e);
}

static bool name_cancel(db_conn *c, const case_changing *x, rail_event *order, arena *a, err *e) {
    return order->kind != RAIL_EVENT_CANCEL ||
           saga_cancel_code(x->s->o.engine, x->s->o.guard, c, x->changed.row.book_id,
                            order->payout_id, &order->code, a, e);
}

static bool give_order(db_conn *c, const case_changing *x, arena *a, err *e) {
    const int64_t book_id = x->changed.row.book_id;
    saga_engine *g = x->s->o.engine;
    rail_event order;
    int32_t never_taken = 0;
    return order_of(x, &order, a, e) &&
           make_way(c, HOW_FOR_GOOD, book_id, &order, &never_taken, a, e) &&
           (never_taken == 0 || record_gone(c, book_id, &order, never_taken, a, e)) &&
           name_cancel(c, x, &order, a, e) &&
           saga_order_check(c, book_id, order.payout_id, order.kind, order.code, a, e) &&
           rail_events_record(c, book_id, &order, 1, a, e) &&
           saga_orders_take(g, c, book_id, order.payout_id, &x->held, a, e);
}

// Whether give_order would give it as the payout stands, with the same errors. Reads only.
static bool look_at_order(db_conn *c, const case_changing *x, arena *a, err *e) {
    const int64_t book_id = x->changed.row.book_id;
    rail_event order;
    int32_t never_taken = 0;
    return order_of(x, &order, a, e) &&
           make_way(c, HOW_LOOK, book_id, &order, &never_taken, a, e) &&
           name_cancel(c, x, &order, a, e) &&
           saga_order_look(c, book_id, order.payout_id, never_taken, order.kind, order.code, a, e);
}

static bool decide_submission(db_conn *c, how h, const case_changing *x, bool bank_has_it, arena *a,
                              err *e) {
    uuid id;
    submission_decision d = {.bank_has_it = bank_has_it,
                             .contradicted = submission_is_contradiction(x->changed.row.code),
                             .evidence = x->change.evidence,
                             .now_us = x->change.now_us};
    if (!uuid_parse(x->changed.row.subject_id, &id)) {
        return err_set(e, ERR_FAILED_PRECONDITION, "SUBJECT_UNREADABLE",
                       "the case is not about a submission that can be decided about");
    }
    return actor_of(&x->change, a, &d.actor, e) &&
           (h == HOW_LOOK ? submission_decide_look(c, x->changed.row.book_id, id, &d, a, e)
                          : submission_decide(c, x->changed.row.book_id, id, &d, a, e));
}

// What the case was about in the inbox is dealt with, too.
static bool close_inbox(db_conn *c, const case_changing *x, arena *a, err *e) {
    const case_row *k = &x->changed.row;
    const case_change *in = &x->change;
    str actor;
    if (!str_eq_c(k->subject_type, "inbox")) {
        return true;
    }
    const str reason = in->text.len > 0       ? in->text
                       : in->evidence.len > 0 ? in->evidence
                                              : STR("its case was resolved");
    return actor_of(in, a, &actor, e) &&
           inbox_case_resolved(c, k->book_id, k->subject_id, actor, reason, in->now_us, a, e);
}

static bool is_decision(const case_order *order) {
    return order == case_order_at(CASE_BANK_HAS_IT) || order == case_order_at(CASE_BANK_HAS_IT_NOT);
}

// What follows from a resolution, besides the case's own rows.
static bool follow(db_conn *c, const case_changing *x, arena *a, err *e) {
    const case_order *order = x->changed.order;
    if (is_decision(order)) {
        return decide_submission(c, HOW_FOR_GOOD, x, order == case_order_at(CASE_BANK_HAS_IT), a,
                                 e);
    }
    return order->event_kind == 0 ? close_inbox(c, x, a, e) : give_order(c, x, a, e);
}

// Whether `follow` would carry the order out now, with the same errors. Each reader of a case may ask this at any rate, so it neither
// writes nor locks. An order about the inbox, or about nothing, is never refused.
static bool look_ahead(db_conn *c, const case_changing *x, arena *a, err *e) {
    const case_order *order = x->changed.order;
    if (is_decision(order)) {
        return decide_submission(c, HOW_LOOK, x, order == case_order_at(CASE_BANK_HAS_IT), a, e);
    }
    return order->event_kind == 0 || look_at_order(c, x, a, e);
}

// --- one -----------------------------------------------------------------------------------------------------------------

typedef struct case_reading {
    const connections *known;
    int64_t book_id;
    uuid case_id;
    case_row row;
    Payments__V1__GetCaseResponse answer;
} case_reading;

static bool read_payout(db_conn *c, const case_row *k, arena *a, case_reading *x, err *e) {
    uuid id;
    if (!str_eq_c(k->subject_type, "payout") || !uuid_parse(k->subject_id, &id)) {
        return true;
    }
    payout_view row;
    bool found = false;
    if (!payout_find(c, k->book_id, id, k->merchant_id, &row, &found, a, e)) {
        return false;
    }
    x->answer.payout = found ? payout_from_row(x->known, &row, a) : NULL;
    return true;
}

static bool read_notes(db_conn *c, arena *a, case_reading *x, err *e) {
    case_note *notes = NULL;
    size_t n = 0;
    if (!cases_history(c, x->book_id, x->case_id, a, &notes, &n, e)) {
        return false;
    }
    x->answer.n_notes = 0;
    x->answer.notes = ARENA_ARRAY(a, Payments__V1__CaseNote *, n + 1);
    if (x->answer.notes == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        Payments__V1__CaseNote *note = ARENA_NEW(a, Payments__V1__CaseNote);
        payments__v1__case_note__init(note);
        note->time = pb_time(a, notes[i].at_us);
        note->kind = pb_text(a, str_of(notes[i].kind));
        note->program = pb_text(a, notes[i].program);
        note->person = pb_text(a, notes[i].person);
        note->text = pb_text(a, notes[i].text);
        note->resolution = pb_text(a, notes[i].resolution);
        note->evidence = pb_text(a, notes[i].evidence);
        x->answer.notes[x->answer.n_notes++] = note;
    }
    return true;
}

// What the kind of the case says, in plain words.
static void tell_kind(arena *a, case_reading *x) {
    const case_kind *kind = case_kind_of(x->row.kind);
    x->answer.meaning = pb_text(a, str_of(kind->meaning));
    if (x->row.state == CASE_STATE_OPEN) {
        x->answer.next_step = pb_text(a, str_of(kind->next_step));
    }
}

static bool get_tx(db_conn *c, arena *a, void *arg, err *e) {
    case_reading *x = arg;
    if (!cases_get(c, x->book_id, x->case_id, a, &x->row, e) || !read_notes(c, a, x, e) ||
        !read_payout(c, &x->row, a, x, e)) {
        return false;
    }
    x->answer.case_ = case_to_pb(&x->row, a);
    tell_kind(a, x);
    return true;
}

static void tell_possible(const case_order *order, arena *a, case_reading *x) {
    Payments__V1__CaseResolution *out = ARENA_NEW(a, Payments__V1__CaseResolution);
    payments__v1__case_resolution__init(out);
    out->name = pb_text(a, str_of(order->name));
    out->meaning = pb_text(a, str_of(order->meaning));
    out->needs_evidence = order->moves_money;
    x->answer.resolutions[x->answer.n_resolutions++] = out;
}

static void tell_refused(const case_order *order, const err *why, arena *a, case_reading *x) {
    Payments__V1__CaseRefusal *out = ARENA_NEW(a, Payments__V1__CaseRefusal);
    payments__v1__case_refusal__init(out);
    out->name = pb_text(a, str_of(order->name));
    out->why = pb_text(a, str_of(why->message));
    x->answer.refused[x->answer.n_refused++] = out;
}

typedef struct case_judging {
    payments_service *s;
    case_reading *x;
} case_judging;

static bool is_offered(const case_reading *x, const case_order *order) {
    return x->row.state == CASE_STATE_OPEN &&
           (case_kind_of(x->row.kind)->allowed & case_order_bit(order)) != 0;
}

static bool judge_one(db_conn *c, const case_judging *j, const case_order *order, arena *a,
                      err *e) {
    const case_changing trial = {.s = j->s,
                                 .change = {.act = CASE_ACT_RESOLVE,
                                            .program = STR("payments-svc"),
                                            .person = STR("nobody"),
                                            .evidence = STR("a look at what is possible"),
                                            .now_us = clock_wall_us(clock_system())},
                                 .changed = {.row = j->x->row, .order = order}};
    err why = {0};
    if (look_ahead(c, &trial, a, &why)) {
        tell_possible(order, a, j->x);
        return true;
    }
    if (why.code == ERR_FAILED_PRECONDITION || why.code == ERR_NOT_FOUND ||
        strcmp(why.reason, "RECOVERING") == 0) {
        tell_refused(order, &why, a, j->x);
        return true;
    }
    *e = why;
    return false;
}

static bool judge_tx(db_conn *c, arena *a, void *arg, err *e) {
    const case_judging *j = arg;
    j->x->answer.n_resolutions = j->x->answer.n_refused = 0; // it may run again
    for (int i = 0; i < CASE_N_RESOLUTIONS; i++) {
        const case_order *order = case_order_at((case_resolution)i);
        if (is_offered(j->x, order) && !judge_one(c, j, order, a, e)) {
            return false;
        }
    }
    return true;
}

// What would be accepted now. Where that cannot be found out, all that the kind knows: ResolveCase decides in any case.
static void tell_resolutions(payments_service *s, rpc_call *call, case_reading *x) {
    arena *a = rpc_arena(call);
    case_judging j = {s, x};
    err e = {0};
    x->answer.resolutions = arena_must(a, CASE_N_RESOLUTIONS * sizeof *x->answer.resolutions);
    x->answer.refused = arena_must(a, CASE_N_RESOLUTIONS * sizeof *x->answer.refused);
    if (x->row.state != CASE_STATE_OPEN ||
        db_read(s->o.pool, rpc_deadline_mono_ms(call), a, judge_tx, &j, &e)) {
        return;
    }
    log_err(LOG_DEBUG, "case.not_judged", &e);
    x->answer.n_resolutions = x->answer.n_refused = 0;
    for (int i = 0; i < CASE_N_RESOLUTIONS; i++) {
        const case_order *order = case_order_at((case_resolution)i);
        if (is_offered(x, order)) {
            tell_possible(order, a, x);
        }
    }
}

static void handle_get_case(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__GetCaseRequest *r = (const Payments__V1__GetCaseRequest *)request;
    case_reading x = {.known = s->o.connections,
                      .book_id = r->book_id,
                      .answer = PAYMENTS__V1__GET_CASE_RESPONSE__INIT};
    err e = {0};
    if (!case_name(r->book_id, r->case_id, &x.case_id, &e) ||
        !db_read(s->o.pool, rpc_deadline_mono_ms(call), rpc_arena(call), get_tx, &x, &e)) {
        rpc_fail(call, &e);
        return;
    }
    tell_resolutions(s, call, &x);
    rpc_reply(call, &x.answer.base);
}

// --- changing ------------------------------------------------------------------------------------------------------------

// What follows from a resolution locks, besides the case, what workers and senders have locked when they write a case. So it is locked
// before the case, in their order: the slot, the submission, the sagas, the case. Where nothing follows, nothing is locked.
static bool lock_ahead(db_conn *c, case_changing *x, arena *a, err *e) {
    const case_order *order = case_order_of(x->change.resolution);
    const int64_t book_id = x->change.book_id;
    case_row k;
    uuid id;
    if (x->change.act != CASE_ACT_RESOLVE || order == NULL) {
        return true;
    }
    if (!cases_get(c, book_id, x->change.case_id, a, &k, e)) {
        return false;
    }
    if (k.state != CASE_STATE_OPEN ||
        (case_kind_of(k.kind)->allowed & case_order_bit(order)) == 0) {
        return true;
    }
    if (str_eq_c(k.subject_type, "inbox")) {
        return inbox_case_lock(c, book_id, k.subject_id, a, e);
    }
    if (!uuid_parse(k.subject_id, &id)) {
        return true;
    }
    return is_decision(order) ? submission_lock(c, book_id, id, a, e)
           : order->event_kind == 0
               ? true
               : saga_orders_lock(x->s->o.engine, c, book_id, id,
                                  (rail_event_kind)order->event_kind, &x->held, a, e);
}

static bool audit_change(db_conn *c, const case_changing *x, arena *a, err *e) {
    const case_change *in = &x->change;
    const str what = in->act == CASE_ACT_ASSIGN    ? in->text
                     : in->act == CASE_ACT_RESOLVE ? in->resolution
                                                   : STR("");
    return audit_write_id(c, in->book_id, &x->by, x->changed.row.merchant_id, "case", in->case_id,
                          what, in->now_us, a, e);
}

static bool change_tx(db_conn *c, arena *a, void *arg, err *e) {
    case_changing *x = arg;
    x->held = (saga_slots){.has = {false}};
    if (!lock_ahead(c, x, a, e) || !cases_change(c, &x->change, a, &x->changed, e)) {
        return false;
    }
    CRASH_POINT("case.noted");
    return (x->changed.order == NULL || follow(c, x, a, e)) &&
           (!x->changed.written || audit_change(c, x, a, e));
}

static str answer_of(void *arg, const case_row *row, arena *a, err *e) {
    const case_changing *x = arg;
    return x->pack(case_to_pb(row, a), a, e);
}

// Finds who asks. A known key is answered whatever is wrong with the request now, so a fault is only kept in `wrong` (false). The person
// who asks becomes a part of the request's bytes, named or not: nobody repeats a request in the name of somebody else.
static bool read_asker(rpc_call *call, ProtobufCMessage *asked, char **person, actor_info *by,
                       err *wrong) {
    const bool fine = pb_actor(call, *person, 1, by, wrong) && pb_is_known(asked, "", wrong);
    *person = pb_text(rpc_arena(call), by->person);
    return fine;
}

// `asked` is a copy of the request, whose field `person` is at *person.
static void change(payments_service *s, rpc_call *call, ProtobufCMessage *asked, char **person,
                   const char *case_id, case_packing pack, case_change what) {
    case_changing x = {.s = s, .change = what, .pack = pack};
    arena *a = rpc_arena(call);
    err e = {0}, wrong = {0};
    x.change.refusal = read_asker(call, asked, person, &x.by, &wrong) ? NULL : &wrong;
    x.change.program = x.by.program;
    x.change.person = x.by.person;
    x.change.stated = x.by.stated;
    x.change.content = pb_pack(a, asked, &e);
    x.change.keys = s->o.keys;
    x.change.answer = answer_of;
    x.change.arg = &x;
    x.change.now_us = clock_wall_us(clock_system());
    if (x.change.content.ptr == NULL || !case_name(what.book_id, case_id, &x.change.case_id, &e) ||
        !rule_key(x.change.key, "", &e) ||
        !db_transact(s->o.pool, rpc_deadline_mono_ms(call), a, change_tx, &x, &e)) {
        rpc_fail(call, &e);
        return;
    }
    CRASH_POINT("case.changed");
    if (x.changed.order != NULL) {
        saga_engine_heard(s->o.engine, what.book_id, SAGA_ANY_RAIL);
    }
    const str answer =
        x.changed.answer.ptr != NULL ? x.changed.answer : answer_of(&x, &x.changed.row, a, &e);
    if (answer.ptr == NULL) {
        rpc_fail(call, &e);
    } else {
        rpc_reply_packed(call, answer.ptr, answer.len);
    }
}

static str pack_assigned(Payments__V1__Case *k, arena *a, err *e) {
    Payments__V1__AssignCaseResponse answer = PAYMENTS__V1__ASSIGN_CASE_RESPONSE__INIT;
    answer.case_ = k;
    return pb_pack(a, &answer.base, e);
}

static void handle_assign_case(rpc_call *call, void *service, const ProtobufCMessage *request) {
    Payments__V1__AssignCaseRequest r = *(const Payments__V1__AssignCaseRequest *)request;
    change(service, call, &r.base, &r.person, r.case_id, pack_assigned,
           (case_change){.act = CASE_ACT_ASSIGN,
                         .book_id = r.book_id,
                         .text = str_of(r.owner),
                         .key = str_of(r.idempotency_key)});
}

static str pack_commented(Payments__V1__Case *k, arena *a, err *e) {
    Payments__V1__CommentCaseResponse answer = PAYMENTS__V1__COMMENT_CASE_RESPONSE__INIT;
    answer.case_ = k;
    return pb_pack(a, &answer.base, e);
}

static void handle_comment_case(rpc_call *call, void *service, const ProtobufCMessage *request) {
    Payments__V1__CommentCaseRequest r = *(const Payments__V1__CommentCaseRequest *)request;
    change(service, call, &r.base, &r.person, r.case_id, pack_commented,
           (case_change){.act = CASE_ACT_COMMENT,
                         .book_id = r.book_id,
                         .text = str_of(r.comment),
                         .key = str_of(r.idempotency_key)});
}

static str pack_resolved(Payments__V1__Case *k, arena *a, err *e) {
    Payments__V1__ResolveCaseResponse answer = PAYMENTS__V1__RESOLVE_CASE_RESPONSE__INIT;
    answer.case_ = k;
    return pb_pack(a, &answer.base, e);
}

static void handle_resolve_case(rpc_call *call, void *service, const ProtobufCMessage *request) {
    Payments__V1__ResolveCaseRequest r = *(const Payments__V1__ResolveCaseRequest *)request;
    change(service, call, &r.base, &r.person, r.case_id, pack_resolved,
           (case_change){.act = CASE_ACT_RESOLVE,
                         .book_id = r.book_id,
                         .text = str_of(r.comment),
                         .resolution = str_of(r.resolution),
                         .evidence = str_of(r.evidence),
                         .key = str_of(r.idempotency_key)});
}

const rpc_method CASE_METHODS[] = {
    {.name = "ListCases", .unary = handle_list_cases},
    {.name = "GetCase", .unary = handle_get_case},
    {.name = "AssignCase", .unary = handle_assign_case},
    {.name = "CommentCase", .unary = handle_comment_case},
    {.name = "ResolveCase", .unary = handle_resolve_case},
};
const size_t N_CASE_METHODS = sizeof CASE_METHODS / sizeof CASE_METHODS[0];
