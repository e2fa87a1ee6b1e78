// SubmissionService: units that are or were sent to a bank.
#include <stdio.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "books/books.h"
#include "submissions/mask.h"
#include "submissions/single_call.h"
#include "submissions/submissions.h"

enum {
    CONTENT_SHOWN_MAX = 95 * 30000 // whole lines; an answer stays below 4 MiB
};

static Payments__V1__Submission *submission_to_pb(const connections *k, const submission_row *s,
                                                  arena *a) {
    Payments__V1__Submission *out = ARENA_NEW(a, Payments__V1__Submission);
    char *hex = arena_alloc(a, 2 * s->sha256.len + 1);
    ASSERT(out != NULL && hex != NULL);
    payments__v1__submission__init(out);
    str_hex((const uint8_t *)s->sha256.ptr, s->sha256.len, hex);
    out->submission_id = uuid_text(a, s->id);
    out->book_id = s->book_id;
    out->rail = pb_rail(k, s->connection);
    out->connection = pb_connection(k, s->connection, a);
    out->name = pb_text(a, s->name);
    out->origin = pb_text(a, s->origin);
    out->kind = (Payments__V1__SubmissionKind)s->kind;
    out->state = (Payments__V1__SubmissionState)s->state;
    out->reason = pb_text(a, s->reason);
    out->reason_text = pb_text(a, s->reason_text);
    out->item_count = s->items;
    out->total_minor = s->total;
    out->currency = pb_text(a, s->currency);
    out->size_bytes = s->size;
    out->sha256 = hex;
    out->generation = s->generation;
    out->tries = s->tries;
    out->create_time = pb_time(a, s->created_us);
    out->update_time = pb_time(a, s->changed_us);
    out->send_time = s->sent_us == INT64_MIN ? NULL : pb_time(a, s->sent_us);
    out->due_time = s->due_us == INT64_MIN ? NULL : pb_time(a, s->due_us);
    out->stale_time = pb_time(a, s->stale_us);
    return out;
}

// --- listing -------------------------------------------------------------------------------------------------------------

typedef struct submission_listing {
    const connections *k;
    submission_filter filter;
    int16_t states[SUBMISSION_STATES_END];
    int16_t connections[CONNECTIONS_MAX];
    Payments__V1__Submission **out;
    size_t n;
    int64_t size;
    uuid last; // the page's last
} submission_listing;

static bool list_tx(db_conn *c, arena *a, void *arg, err *e) {
    submission_listing *l = arg;
    submission_row *rows = NULL;
    int64_t *books = NULL;
    if (!books_list(c, BOOKS_OF_MERCHANTS, &books, &l->filter.n_books, a, e)) {
        return false;
    }
    l->filter.books = books;
    if (!submission_list(c, &l->filter, &rows, &l->n, a, e)) {
        return false;
    }
    l->out = ARENA_ARRAY(a, Payments__V1__Submission *, l->n + 1);
    if (l->out == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < l->n; i++) {
        l->out[i] = submission_to_pb(l->k, &rows[i], a);
        l->last = (int64_t)i < l->size ? rows[i].id : l->last;
    }
    return true;
}

// The lowest id of a time: ids are UUIDv7, which begin with their time.
static uuid id_of_time(int64_t wall_us) {
    uuid id = {{0}};
    uint64_t ms = (uint64_t)(wall_us / 1000);
    for (size_t i = 6; i > 0; i--) {
        id.b[i - 1] = (uint8_t)ms;
        ms >>= 8;
    }
    return id;
}

static bool filter_of(const Payments__V1__ListSubmissionsRequest *r, submission_listing *l,
                      err *e) {
    submission_filter *f = &l->filter;
    int64_t from_us = 0, to_us = 0;
    for (size_t i = 0; i < r->n_states; i++) {
        int state = 0;
        if (!pb_submission_state(r, i, &state, e)) {
            return false;
        }
        // A repeated state counts once: each is read separately.
        bool given = false;
        for (size_t k = 0; k < f->n_states; k++) {
            given = given || l->states[k] == state;
        }
        l->states[f->n_states] = (int16_t)state;
        f->n_states += given ? 0 : 1;
    }
    for (int16_t state = 1; r->n_states == 0 && state < SUBMISSION_STATES_END; state++) {
        l->states[f->n_states++] = state;
    }
    if (!pb_connections_of(l->k, r->rail, r->connection, l->connections, &f->n_connections, e) ||
        (r->from_time != NULL && !pb_time_us(r->from_time, "from_time", &from_us, e)) ||
        (r->to_time != NULL && !pb_time_us(r->to_time, "to_time", &to_us, e))) {
        return false;
    }
    f->states = l->states;
    f->connections = l->connections;
    f->from = from_us > 0 ? id_of_time(from_us) : (uuid){{0}};
    memset(f->before.b, 0xff, sizeof f->before.b);
    f->before = r->to_time != NULL ? id_of_time(to_us > 0 ? to_us : 0) : f->before;
    f->limit = (size_t)l->size + 1;
    return true;
}

// The hash that binds a page token: of the request without its page.
static bool filter_hash(const Payments__V1__ListSubmissionsRequest *r, arena *a, str *filters,
                        err *e) {
    Payments__V1__ListSubmissionsRequest copy = *r;
    copy.page_size = 0;
    copy.page_token = (char *)protobuf_c_empty_string;
    *filters = pb_pack(a, &copy.base, e);
    return filters->ptr != NULL;
}

static bool is_of_files(const Payments__V1__ListSubmissionsRequest *r, err *e) {
    if ((int)r->kind > PAYMENTS__V1__SUBMISSION_KIND__SUBMISSION_KIND_FILE || (int)r->kind < 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "KIND_UNKNOWN", "kind",
                             "kind is not one of SubmissionKind");
    }
    if (r->payout_id[0] != '\0' || r->merchant_id[0] != '\0') {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FILTER_NOT_FOR_FILES", "payout_id",
                             "only single calls are listed by payout: set kind");
    }
    return true;
}

static void handle_list(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListSubmissionsRequest *r =
        (const Payments__V1__ListSubmissionsRequest *)request;
    Payments__V1__ListSubmissionsResponse answer = PAYMENTS__V1__LIST_SUBMISSIONS_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    submission_listing *l = ARENA_NEW(a, submission_listing);
    str filters = {0};
    err e = {0};
    if (r->kind == PAYMENTS__V1__SUBMISSION_KIND__SUBMISSION_KIND_CALL) {
        handle_list_calls(call, service, request);
        return;
    }
    if (l == NULL) {
        out_of_memory(&e);
        rpc_fail(call, &e);
        return;
    }
    l->k = s->o.connections;
    const bool ok =
        is_of_files(r, &e) && page_size_of(r->page_size, &l->size, &e) && filter_of(r, l, &e) &&
        filter_hash(r, a, &filters, &e) &&
        (r->page_token[0] == '\0' || page_token_read(r->page_token, filters, l->filter.before.b,
                                                     sizeof l->filter.before.b, &e));
    if (!ok || !db_read(s->o.pool, rpc_deadline_mono_ms(call), a, list_tx, l, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.submissions = l->out;
    answer.n_submissions = l->n > (size_t)l->size ? (size_t)l->size : l->n;
    if (l->n > answer.n_submissions) {
        answer.next_page_token = page_token_make(a, filters, l->last.b, sizeof l->last.b);
    }
    rpc_reply(call, &answer.base);
}

// --- one -----------------------------------------------------------------------------------------------------------------

typedef struct submission_reading {
    uuid id;
    int64_t size, after;
    bool with_content;
    submission_row row;
    str sealed, seal, sha256;
    Payments__V1__GetSubmissionResponse answer;
} submission_reading;

static bool read_evidence(db_conn *c, arena *a, submission_reading *x, err *e) {
    submission_step *steps = NULL;
    size_t n = 0;
    if (!submission_steps(c, x->row.book_id, x->id, &steps, &n, a, e)) {
        return false;
    }
    x->answer.n_evidence = 0;
    x->answer.evidence = ARENA_ARRAY(a, Payments__V1__SubmissionEvidence *, n + 1);
    if (x->answer.evidence == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        Payments__V1__SubmissionEvidence *v = ARENA_NEW(a, Payments__V1__SubmissionEvidence);
        ASSERT(v != NULL);
        payments__v1__submission_evidence__init(v);
        v->kind = pb_text(a, str_of(submission_evidence_name(steps[i].kind)));
        v->time = pb_time(a, steps[i].at_us);
        v->epoch = steps[i].epoch;
        v->detail = pb_text(a, steps[i].detail);
        if (!uuid_is_nil(steps[i].owner)) {
            v->sender = uuid_text(a, steps[i].owner);
        }
        if (!uuid_is_nil(steps[i].inbox_id)) {
            v->inbox_id = uuid_text(a, steps[i].inbox_id);
        }
        x->answer.evidence[x->answer.n_evidence++] = v;
    }
    return true;
}

static bool read_items(db_conn *c, arena *a, submission_reading *x, err *e) {
    submission_member *members = NULL;
    size_t n = 0;
    if (!submission_members(c, x->row.book_id, x->id, x->after, (size_t)x->size, &members, &n, a,
                            e)) {
        return false;
    }
    x->answer.n_items = 0;
    x->answer.items = ARENA_ARRAY(a, Payments__V1__SubmissionItem *, n + 1);
    if (x->answer.items == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        Payments__V1__SubmissionItem *item = ARENA_NEW(a, Payments__V1__SubmissionItem);
        ASSERT(item != NULL);
        payments__v1__submission_item__init(item);
        item->payout_id = uuid_text(a, members[i].payout_id);
        item->attempt = members[i].attempt;
        item->number = members[i].number;
        item->amount_minor = members[i].amount;
        x->answer.items[x->answer.n_items++] = item;
    }
    return true;
}

static bool get_tx(db_conn *c, arena *a, void *arg, err *e) {
    submission_reading *x = arg;
    return submission_get(c, x->id, &x->row, a, e) && read_evidence(c, a, x, e) &&
           read_items(c, a, x, e) &&
           (!x->with_content ||
            submission_content(c, x->row.book_id, x->id, &x->sealed, &x->seal, &x->sha256, a, e));
}

// The masked content for a person; the opened content is overwritten.
static void show_content(const payments_service *s, submission_reading *x, arena *a) {
    str content = {0};
    char *seal = arena_strndup(a, x->seal.ptr, x->seal.len);
    err e = {0};
    if (seal == NULL ||
        !submission_open(s->o.keys, seal, x->row.book_id, x->id, x->sealed, a, &content, &e)) {
        x->answer.content_missing = "it cannot be opened with the keys that are there";
        return;
    }
    char *bytes = (char *)(uintptr_t)content.ptr;
    if (!submission_mask_nacha(bytes, content.len)) {
        explicit_bzero(bytes, content.len);
        x->answer.content_missing = "it has a form whose account numbers cannot be masked";
        return;
    }
    const size_t len = content.len < CONTENT_SHOWN_MAX ? content.len : CONTENT_SHOWN_MAX;
    x->answer.content = pb_text(a, (str){bytes, len});
    x->answer.content_cut = len < content.len;
}

static void handle_get(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__GetSubmissionRequest *r =
        (const Payments__V1__GetSubmissionRequest *)request;
    submission_reading x = {.after = r->after_number, .with_content = r->with_content};
    payments__v1__get_submission_response__init(&x.answer);
    arena *a = rpc_arena(call);
    err e = {0};
    if (single_call_id_is(str_of(r->submission_id))) {
        handle_get_call(call, service, request);
        return;
    }
    if (!rule_uuid(str_of(r->submission_id), "", "submission_id", &x.id, &e) ||
        !page_size_of(r->item_page_size, &x.size, &e) ||
        !db_read(s->o.pool, rpc_deadline_mono_ms(call), a, get_tx, &x, &e)) {
        rpc_fail(call, &e);
        return;
    }
    x.answer.submission = submission_to_pb(s->o.connections, &x.row, a);
    if (x.with_content) {
        show_content(s, &x, a);
    }
    rpc_reply(call, &x.answer.base);
}

const rpc_method SUBMISSION_METHODS[] = {
    {"ListSubmissions", .unary = handle_list},
    {"GetSubmission", .unary = handle_get},
};
const size_t N_SUBMISSION_METHODS = sizeof SUBMISSION_METHODS / sizeof SUBMISSION_METHODS[0];
