// SubmissionService for single calls: the attempts of a payout that is sent singly, in the words of submissions.
#include "api/service_internal.h"
#include "base/assert.h"
#include "books/books.h"
#include "domain/ids.h"
#include "submissions/single_call.h"

bool pb_submission_state(const Payments__V1__ListSubmissionsRequest *r, size_t i, int *state,
                         err *e) {
    *state = (int)r->states[i];
    return (*state >= 1 && *state < SUBMISSION_STATES_END) ||
           err_set_field(e, ERR_INVALID_ARGUMENT, "STATE_UNKNOWN", "states",
                         "states[%zu] is not one of SubmissionState", i);
}

// --- One call as a message ---------------------------------------------------------------------------------------------

// True when payouts of the connection are sent one by one.
static bool carries_calls(const connections *k, int number) {
    const connection_info *info = connections_of(k, number);
    return info != NULL && !info->in_files;
}

static bool is_of(const single_call_row *row, int32_t attempt) {
    return row->attempt == attempt &&
           (row->kind == CALL_EVENT || row->step == STEP_EXECUTE || row->step == STEP_RESOLVE);
}

// Fills times, the bank's name and the refusal from the rows of the attempt.
static void fill_from_rows(Payments__V1__Submission *out, const single_call *c, int32_t attempt,
                           arena *a) {
    for (size_t i = 0; i < c->n_rows; i++) {
        const single_call_row *row = &c->rows[i];
        if (!is_of(row, attempt)) {
            continue;
        }
        if (out->create_time == NULL) {
            out->create_time = pb_time(a, row->at_us);
        }
        out->update_time = pb_time(a, row->at_us);
        if (out->send_time == NULL && single_call_shows_it_sent(row)) {
            out->send_time = out->update_time;
        }
        if (row->reference.len > 0) {
            out->bank_reference = pb_text(a, row->reference);
        }
        if (single_call_refuses(row)) {
            out->reason = pb_text(a, row->reason);
            out->reason_text = pb_text(a, row->text);
        }
    }
}

static Payments__V1__Submission *call_to_pb(const connections *k, const single_call *c,
                                            int32_t attempt, arena *a) {
    Payments__V1__Submission *out = ARENA_NEW(a, Payments__V1__Submission);
    char key[65];
    ASSERT(out != NULL);
    payments__v1__submission__init(out);
    attempt_key(c->intent_id, attempt, key);
    out->submission_id = single_call_id_text(c->merchant_id, c->payout_id, attempt, a);
    out->kind = PAYMENTS__V1__SUBMISSION_KIND__SUBMISSION_KIND_CALL;
    out->book_id = c->book_id;
    out->rail = pb_rail(k, c->connection);
    out->connection = pb_connection(k, c->connection, a);
    out->name = pb_text(a, str_of(key));
    out->state = (Payments__V1__SubmissionState)single_call_state(c, attempt);
    out->item_count = 1;
    out->total_minor = c->amount;
    out->currency = pb_text(a, c->currency);
    out->generation = attempt;
    fill_from_rows(out, c, attempt, a);
    if (attempt == single_call_newest(c)) {
        const bool at_rail =
            c->step == STEP_EXECUTE || c->step == STEP_RESOLVE || c->step == STEP_AWAIT;
        if (c->hold.len > 0) {
            out->reason = pb_text(a, c->hold);
            out->reason_text = pb_text(a, c->hold_text);
        } else if (out->state != PAYMENTS__V1__SUBMISSION_STATE__SUBMISSION_STATE_REJECTED ||
                   out->reason[0] == '\0') {
            out->reason = pb_text(a, c->reason);
            out->reason_text = pb_text(a, c->reason_text);
        }
        out->tries = at_rail ? c->tries : 0;
        out->due_time = at_rail && c->due_us != INT64_MIN ? pb_time(a, c->due_us) : NULL;
    }
    if (out->create_time == NULL) {
        out->create_time = pb_time(a, c->since_us);
        out->update_time = pb_time(a, c->changed_us);
    }
    return out;
}

static bool fill_evidence(const single_call *c, int32_t attempt,
                          Payments__V1__GetSubmissionResponse *answer, arena *a, err *e) {
    answer->evidence = ARENA_ARRAY(a, Payments__V1__SubmissionEvidence *, c->n_rows + 1);
    if (answer->evidence == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < c->n_rows; i++) {
        const single_call_row *row = &c->rows[i];
        if (!is_of(row, attempt)) {
            continue;
        }
        Payments__V1__SubmissionEvidence *v = ARENA_NEW(a, Payments__V1__SubmissionEvidence);
        ASSERT(v != NULL);
        payments__v1__submission_evidence__init(v);
        v->kind = pb_text(a, str_of(single_call_evidence(row)));
        v->time = pb_time(a, row->at_us);
        v->epoch = row->epoch;
        v->detail = arena_printf(a, "%.*s%s%.*s", (int)row->reason.len, row->reason.ptr,
                                 row->reason.len > 0 && row->text.len > 0 ? " " : "",
                                 (int)row->text.len, row->text.ptr);
        if (!uuid_is_nil(row->owner)) {
            v->sender = uuid_text(a, row->owner);
        }
        if (!uuid_is_nil(row->inbox_id)) {
            v->inbox_id = uuid_text(a, row->inbox_id);
        }
        answer->evidence[answer->n_evidence++] = v;
    }
    return true;
}

// --- Reading one payout ------------------------------------------------------------------------------------------------

typedef struct call_reading {
    const merchant *m;
    uuid payout_id;
    bool found;
    single_call call;
} call_reading;

static bool read_tx(db_conn *c, arena *a, void *arg, err *e) {
    call_reading *x = arg;
    return single_call_get(c, x->m->book_id, str_of(x->m->id), x->payout_id, &x->found, &x->call, a,
                           e);
}

static bool read_calls(payments_service *s, rpc_call *call, str merchant_id, call_reading *x,
                       err *e) {
    if (!rule_merchant_id(merchant_id, "merchant_id", e)) {
        return false;
    }
    x->m = merchant_find(s->merchants, merchant_id, rpc_deadline_mono_ms(call), e);
    return x->m != NULL &&
           db_read(s->o.pool, rpc_deadline_mono_ms(call), rpc_arena(call), read_tx, x, e);
}

static bool fill_item(const single_call *c, int32_t attempt,
                      Payments__V1__GetSubmissionResponse *answer, arena *a, err *e) {
    Payments__V1__SubmissionItem *item = ARENA_NEW(a, Payments__V1__SubmissionItem);
    answer->items = ARENA_ARRAY(a, Payments__V1__SubmissionItem *, 1);
    if (item == NULL || answer->items == NULL) {
        return out_of_memory(e);
    }
    payments__v1__submission_item__init(item);
    item->payout_id = uuid_text(a, c->payout_id);
    item->attempt = attempt;
    item->number = 1;
    item->amount_minor = c->amount;
    answer->items[answer->n_items++] = item;
    return true;
}

static bool get_call(payments_service *s, rpc_call *call,
                     const Payments__V1__GetSubmissionRequest *r,
                     Payments__V1__GetSubmissionResponse *answer, err *e) {
    single_call_id id;
    call_reading x = {0};
    arena *a = rpc_arena(call);
    int64_t size = 0;
    if (!single_call_id_read(str_of(r->submission_id), &id)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "SUBMISSION_ID_INVALID", "submission_id",
                             "submission_id must be a UUID, or MERCHANT/PAYOUT:ATTEMPT");
    }
    x.payout_id = id.payout_id;
    if (!page_size_of(r->item_page_size, &size, e) || !read_calls(s, call, id.merchant_id, &x, e)) {
        return false;
    }
    if (!x.found || !carries_calls(s->o.connections, x.call.connection) ||
        id.attempt > single_call_newest(&x.call)) {
        return err_set_field(e, ERR_NOT_FOUND, "SUBMISSION_NOT_FOUND", "submission_id",
                             "there is no such submission");
    }
    answer->submission = call_to_pb(s->o.connections, &x.call, id.attempt, a);
    if (r->with_content) {
        answer->content_missing = "the content of a single call is not kept";
    }
    return fill_evidence(&x.call, id.attempt, answer, a, e) &&
           (r->after_number >= 1 || fill_item(&x.call, id.attempt, answer, a, e));
}

void handle_get_call(rpc_call *call, void *service, const ProtobufCMessage *request) {
    Payments__V1__GetSubmissionResponse answer = PAYMENTS__V1__GET_SUBMISSION_RESPONSE__INIT;
    err e = {0};
    if (get_call(service, call, (const Payments__V1__GetSubmissionRequest *)request, &answer, &e)) {
        rpc_reply(call, &answer.base);
    } else {
        rpc_fail(call, &e);
    }
}

// --- Listing -----------------------------------------------------------------------------------------------------------

typedef struct call_listing {
    payments_service *s;
    const Payments__V1__ListSubmissionsRequest *r;
    int64_t size;
    bool states[SUBMISSION_STATES_END]; // the requested states
    int16_t connections[CONNECTIONS_MAX];
    single_call_filter filter;
    Payments__V1__ListSubmissionsResponse answer;
} call_listing;

static bool room_for(call_listing *l, size_t n, arena *a, err *e) {
    l->answer.n_submissions = 0;
    l->answer.submissions = ARENA_ARRAY(a, Payments__V1__Submission *, n + 1);
    return l->answer.submissions != NULL || out_of_memory(e);
}

static void add_call(call_listing *l, const single_call *c, int32_t attempt, arena *a) {
    const int state = (int)single_call_state(c, attempt);
    if (l->states[state] && (int64_t)l->answer.n_submissions < l->size) {
        l->answer.submissions[l->answer.n_submissions++] =
            call_to_pb(l->s->o.connections, c, attempt, a);
    }
}

static bool list_tx(db_conn *c, arena *a, void *arg, err *e) {
    call_listing *l = arg;
    single_call *calls = NULL;
    int64_t *books = NULL;
    size_t n = 0;
    if (!books_list(c, BOOKS_OF_MERCHANTS, &books, &l->filter.n_books, a, e)) {
        return false;
    }
    l->filter.books = books;
    if (!single_call_open(c, &l->filter, &calls, &n, a, e) || !room_for(l, n, a, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t newest = single_call_newest(&calls[i]);
        if (newest > 0) {
            add_call(l, &calls[i], newest, a);
        }
    }
    return true;
}

static bool states_of(call_listing *l, err *e) {
    const Payments__V1__ListSubmissionsRequest *r = l->r;
    for (size_t i = 0; i < r->n_states; i++) {
        int state = 0;
        if (!pb_submission_state(r, i, &state, e)) {
            return false;
        }
        l->states[state] = true;
    }
    for (size_t state = 1; r->n_states == 0 && state < SUBMISSION_STATES_END; state++) {
        l->states[state] = true;
    }
    return true;
}

// The steps at which a call in a requested state can be.
static void steps_of(call_listing *l) {
    const bool *wanted = l->states, held = wanted[SUBMISSION_DISPUTED];
    bool *steps = l->filter.steps;
    steps[STEP_EXECUTE] = wanted[SUBMISSION_PREPARED] || wanted[SUBMISSION_SENDING] ||
                          wanted[SUBMISSION_UNKNOWN] || held;
    steps[STEP_RESOLVE] = wanted[SUBMISSION_UNKNOWN] || wanted[SUBMISSION_SENT] || held;
    steps[STEP_AWAIT] = wanted[SUBMISSION_SENT] || wanted[SUBMISSION_UNKNOWN] || held;
}

// The requested connections that carry calls.
static bool connections_for(call_listing *l, err *e) {
    const connections *k = l->s->o.connections;
    int16_t asked[CONNECTIONS_MAX];
    size_t n_asked = 0, n_known = 0;
    const connection_info *known = connections_all(k, &n_known);
    if (!pb_connections_of(k, l->r->rail, l->r->connection, asked, &n_asked, e)) {
        return false;
    }
    for (size_t i = 0; i < n_known && l->filter.n_connections < CONNECTIONS_MAX; i++) {
        bool wanted = n_asked == 0;
        for (size_t j = 0; j < n_asked; j++) {
            wanted = wanted || asked[j] == known[i].id;
        }
        if (wanted && !known[i].in_files) {
            l->connections[l->filter.n_connections++] = (int16_t)known[i].id;
        }
    }
    l->filter.connections = l->connections;
    // Only a filter by state needs to look at more payouts than the page.
    l->filter.limit = l->r->n_states == 0 ? (size_t)l->size : CALL_LOOKED_MAX;
    return true;
}

// The attempts of one payout, from the first on; if a page is too small, the newest.
static bool list_payout(call_listing *l, rpc_call *call, err *e) {
    call_reading x = {0};
    arena *a = rpc_arena(call);
    if (!rule_uuid(str_of(l->r->payout_id), "", "payout_id", &x.payout_id, e) ||
        !read_calls(l->s, call, str_of(l->r->merchant_id), &x, e)) {
        return false;
    }
    if (!x.found) {
        return err_set_field(e, ERR_NOT_FOUND, "PAYOUT_NOT_FOUND", "payout_id",
                             "the merchant has no such payout");
    }
    bool wanted = false; // requested, and carries calls
    for (size_t i = 0; i < l->filter.n_connections; i++) {
        wanted = wanted || l->connections[i] == x.call.connection;
    }
    const int32_t newest = wanted ? single_call_newest(&x.call) : 0;
    const int32_t first = newest > l->size ? newest - (int32_t)l->size + 1 : 1;
    if (!room_for(l, (size_t)(newest - first + 1), a, e)) {
        return false;
    }
    for (int32_t attempt = first; attempt <= newest; attempt++) {
        add_call(l, &x.call, attempt, a);
    }
    return true;
}

static bool list_calls(call_listing *l, rpc_call *call, err *e) {
    const Payments__V1__ListSubmissionsRequest *r = l->r;
    if (r->page_token[0] != '\0' || r->from_time != NULL || r->to_time != NULL) {
        return err_set_field(
            e, ERR_INVALID_ARGUMENT, "FILTER_NOT_FOR_CALLS",
            r->page_token[0] != '\0' ? "page_token"
            : r->from_time != NULL   ? "from_time"
                                     : "to_time",
            "single calls are listed without pages and times: give a payout, or see what is open");
    }
    if ((r->payout_id[0] != '\0') != (r->merchant_id[0] != '\0')) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_MISSING",
                             r->payout_id[0] != '\0' ? "merchant_id" : "payout_id",
                             "payout_id and merchant_id go together");
    }
    if (!page_size_of(r->page_size, &l->size, e) || !states_of(l, e) || !connections_for(l, e)) {
        return false;
    }
    if (r->payout_id[0] != '\0') {
        return list_payout(l, call, e);
    }
    steps_of(l);
    return db_read(l->s->o.pool, rpc_deadline_mono_ms(call), rpc_arena(call), list_tx, l, e);
}

void handle_list_calls(rpc_call *call, void *service, const ProtobufCMessage *request) {
    call_listing l = {.s = service, .r = (const Payments__V1__ListSubmissionsRequest *)request};
    payments__v1__list_submissions_response__init(&l.answer);
    err e = {0};
    if (list_calls(&l, call, &e)) {
        rpc_reply(call, &l.answer.base);
    } else {
        rpc_fail(call, &e);
    }
}
