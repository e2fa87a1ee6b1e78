// InboxService: what banks wrote, and what a person does about it.
#include <stdio.h>
#include <string.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "books/books.h"
#include "cases/cases.h"
#include "payments/v1/inbox_service.pb-c.h"
#include "rails/inbox_desk.h"
#include "rails/inbox_mask.h"

enum {
    CONTENT_READ_MAX = 16 * 1024 * 1024, // more is not opened to be shown
    CONTENT_SHOWN_MAX = 95 * 30000,      // an answer stays below 4 MiB
    RAW_SHOWN_MAX = 1000,                // of a line
    EXCEPTIONS_PAGE_MAX = 500,           // of 4 KiB each, with room for the rest
    PART_MAX = 3000000,                  // of a repair, in one message
    SCRATCH_MAX = 128 * 1024 * 1024,
    POSITION_LEN = 8 + 16 + 4 + 4
};

static char *hex_of(arena *a, str hash) {
    char *hex = arena_must(a, 2 * hash.len + 1);
    str_hex((const uint8_t *)hash.ptr, hash.len, hex);
    return hex;
}

static Payments__V1__InboxItem *item_to_pb(const connections *k, const inbox_row *row, arena *a) {
    Payments__V1__InboxItem *out = ARENA_NEW(a, Payments__V1__InboxItem);
    ASSERT(out != NULL);
    payments__v1__inbox_item__init(out);
    out->book_id = row->book_id;
    out->inbox_id = uuid_text(a, row->inbox_id);
    out->rail = pb_rail(k, row->connection);
    out->connection = pb_connection(k, row->connection, a);
    out->kind = (Payments__V1__InboxKind)row->kind;
    out->name = pb_text(a, row->name);
    out->size_bytes = row->size;
    out->sha256 = hex_of(a, row->sha256);
    out->state = (Payments__V1__InboxState)row->state;
    out->version = row->version;
    out->about = pb_text(a, row->about);
    out->line_count = row->lines;
    out->event_count = row->events;
    out->exception_count = row->exceptions;
    out->reason = pb_text(a, row->reason);
    out->reason_text = pb_text(a, row->reason_text);
    out->tries = row->tries;
    out->seen_count = row->seen;
    out->said_time = pb_time(a, row->said_us);
    out->receive_time = pb_time(a, row->received_us);
    out->update_time = pb_time(a, row->updated_us);
    return out;
}

// An item is named by its book and its id.
static bool item_name(int64_t book_id, const char *id, uuid *out, err *e) {
    if (book_id < 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "BOOK_INVALID", "book_id",
                             "book_id must not be negative");
    }
    return rule_uuid(str_of(id), "", "inbox_id", out, e);
}

// --- listing -------------------------------------------------------------------------------------------------------------

typedef struct inbox_listing {
    const connections *k;
    inbox_filter filter;
    int16_t connections[CONNECTIONS_MAX];
    int16_t states[INBOX_STATES_END];
    Payments__V1__InboxItem **out;
    size_t n;
    int64_t size;
    uuid last; // of the page
} inbox_listing;

static bool list_tx(db_conn *c, arena *a, void *arg, err *e) {
    inbox_listing *l = arg;
    inbox_row *rows = NULL;
    int64_t *books = NULL;
    if (!books_list(c, BOOKS_OF_INBOX, &books, &l->filter.n_books, a, e)) {
        return false;
    }
    l->filter.books = books;
    if (!inbox_list(c, &l->filter, &rows, &l->n, a, e)) {
        return false;
    }
    l->out = ARENA_ARRAY(a, Payments__V1__InboxItem *, l->n + 1);
    if (l->out == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < l->n; i++) {
        l->out[i] = item_to_pb(l->k, &rows[i], a);
        l->last = (int64_t)i < l->size ? rows[i].inbox_id : l->last;
    }
    return true;
}

static bool filter_states(const Payments__V1__ListInboxRequest *r, inbox_listing *l, err *e) {
    inbox_filter *f = &l->filter;
    for (size_t i = 0; i < r->n_states; i++) {
        const int state = (int)r->states[i];
        if (state < 1 || state >= INBOX_STATES_END || f->n_states == INBOX_STATES_END) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "STATE_UNKNOWN", "states",
                                 "states[%zu] is not one of InboxState", i);
        }
        // One that is given twice counts once: each is looked for by itself.
        bool given = false;
        for (size_t k = 0; k < f->n_states; k++) {
            given = given || l->states[k] == state;
        }
        l->states[f->n_states] = (int16_t)state;
        f->n_states += given ? 0 : 1;
    }
    for (int16_t state = 1; r->n_states == 0 && state < INBOX_STATES_END; state++) {
        l->states[f->n_states++] = state;
    }
    f->states = l->states;
    return true;
}

// Each is looked for by itself, so all of them are named.
static bool filter_connections(const payments_service *s, Payments__V1__Rail scheme,
                               const char *name, inbox_listing *l, err *e) {
    inbox_filter *f = &l->filter;
    size_t n = 0;
    l->k = s->o.connections;
    const connection_info *known = connections_all(s->o.connections, &n);
    f->connections = l->connections;
    if (!pb_connections_of(s->o.connections, scheme, name, l->connections, &f->n_connections, e)) {
        return false;
    }
    for (size_t i = 0; f->n_connections == 0 && i < n; i++) {
        l->connections[i] = (int16_t)known[i].id;
    }
    f->n_connections = f->n_connections == 0 ? n : f->n_connections;
    return true;
}

static bool filter_times(const Payments__V1__ListInboxRequest *r, inbox_listing *l, err *e) {
    int64_t from_us = 0, to_us = 0;
    if ((r->from_time != NULL && !pb_time_us(r->from_time, "from_time", &from_us, e)) ||
        (r->to_time != NULL && !pb_time_us(r->to_time, "to_time", &to_us, e))) {
        return false;
    }
    inbox_filter *f = &l->filter;
    f->from = from_us > 0 ? payout_lowest_id(from_us / 1000) : (uuid){{0}};
    memset(f->before.b, 0xff, sizeof f->before.b);
    f->before = r->to_time != NULL ? payout_lowest_id(to_us > 0 ? to_us / 1000 : 0) : f->before;
    return true;
}

static bool filter_of(const payments_service *s, const Payments__V1__ListInboxRequest *r,
                      inbox_listing *l, err *e) {
    if (!filter_connections(s, r->rail, r->connection, l, e)) {
        return false;
    }
    l->filter.limit = (size_t)l->size + 1;
    return filter_states(r, l, e) && filter_times(r, l, e);
}

// What a page token is bound to: the request without its page.
static bool list_hash(const Payments__V1__ListInboxRequest *r, arena *a, str *filters, err *e) {
    Payments__V1__ListInboxRequest copy = *r;
    copy.page_size = 0;
    copy.page_token = (char *)protobuf_c_empty_string;
    *filters = pb_pack(a, &copy.base, e);
    return filters->ptr != NULL;
}

static void handle_list(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListInboxRequest *r = (const Payments__V1__ListInboxRequest *)request;
    Payments__V1__ListInboxResponse answer = PAYMENTS__V1__LIST_INBOX_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    inbox_listing *l = arena_must(a, sizeof *l);
    memset(l, 0, sizeof *l);
    str filters = {0};
    err e = {0};
    const bool ok =
        page_size_of(r->page_size, &l->size, &e) && filter_of(s, r, l, &e) &&
        list_hash(r, a, &filters, &e) &&
        (r->page_token[0] == '\0' || page_token_read(r->page_token, filters, l->filter.before.b,
                                                     sizeof l->filter.before.b, &e));
    if (!ok || !db_read(s->o.pool, rpc_deadline_mono_ms(call), a, list_tx, l, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.items = l->out;
    answer.n_items = l->n > (size_t)l->size ? (size_t)l->size : l->n;
    answer.books_left_out = l->filter.n_books == BOOKS_MAX;
    if (l->n > answer.n_items) {
        answer.next_page_token = page_token_make(a, filters, l->last.b, sizeof l->last.b);
    }
    rpc_reply(call, &answer.base);
}

// --- one -----------------------------------------------------------------------------------------------------------------

typedef struct inbox_reading {
    const payments_service *service;
    int64_t book_id;
    uuid id;
    int32_t version;
    bool with_content;
    inbox_row row;
    arena *kept; // of the call
    Payments__V1__GetInboxResponse answer;
} inbox_reading;

static bool read_versions(db_conn *c, arena *a, inbox_reading *x, err *e) {
    inbox_version_row *rows = NULL;
    size_t n = 0;
    if (!inbox_versions(c, x->book_id, x->id, &rows, &n, a, e)) {
        return false;
    }
    Payments__V1__GetInboxResponse *out = &x->answer;
    out->n_versions = 0;
    out->versions = arena_must(x->kept, n * sizeof *out->versions);
    for (size_t i = 0; i < n; i++) {
        Payments__V1__InboxVersion *v = ARENA_NEW(x->kept, Payments__V1__InboxVersion);
        ASSERT(v != NULL);
        payments__v1__inbox_version__init(v);
        v->version = rows[i].version;
        v->size_bytes = rows[i].size;
        v->sha256 = hex_of(x->kept, rows[i].sha256);
        v->actor = pb_text(x->kept, rows[i].actor);
        v->reason = pb_text(x->kept, rows[i].reason);
        v->time = pb_time(x->kept, rows[i].at_us);
        out->versions[out->n_versions++] = v;
    }
    return true;
}

// The bytes for a person's eyes; what was opened is overwritten.
static bool read_content(db_conn *c, arena *a, inbox_reading *x, err *e) {
    str bytes = {0};
    int64_t size = -1;
    const int32_t version = x->version == 0 ? x->row.version : x->version;
    for (size_t i = 0; i < x->answer.n_versions; i++) {
        size = x->answer.versions[i]->version == version ? x->answer.versions[i]->size_bytes : size;
    }
    if (size < 0) {
        return err_set_field(e, ERR_NOT_FOUND, "VERSION_NOT_FOUND", "version",
                             "there are no bytes of this version");
    }
    if (size > CONTENT_READ_MAX) {
        x->answer.content_missing = "it is too large to be shown";
        return true;
    }
    err why = {0};
    if (!inbox_content(c, x->service->o.keys, x->book_id, x->id, version, &bytes, a, &why)) {
        if (why.code == ERR_UNAVAILABLE || why.code == ERR_DEADLINE_EXCEEDED) {
            *e = why;
            return false;
        }
        x->answer.content_missing = "it cannot be opened with the keys that are there";
        return true;
    }
    char *open = (char *)(uintptr_t)bytes.ptr;
    inbox_mask(open, bytes.len);
    const size_t len = str_clip(bytes, CONTENT_SHOWN_MAX).len;
    x->answer.content = pb_text(x->kept, (str){bytes.ptr, len});
    x->answer.content_cut = len < bytes.len;
    explicit_bzero(open, bytes.len);
    return true;
}

static bool get_tx(db_conn *c, arena *a, void *arg, err *e) {
    inbox_reading *x = arg;
    if (!inbox_get(c, x->book_id, x->id, &x->row, a, e) || !read_versions(c, a, x, e) ||
        (x->with_content && !read_content(c, a, x, e))) {
        return false;
    }
    x->answer.item = item_to_pb(x->service->o.connections, &x->row, x->kept);
    return true;
}

static void handle_get(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__GetInboxRequest *r = (const Payments__V1__GetInboxRequest *)request;
    inbox_reading x = {.service = s,
                       .book_id = r->book_id,
                       .version = r->version,
                       .with_content = r->with_content,
                       .kept = rpc_arena(call),
                       .answer = PAYMENTS__V1__GET_INBOX_RESPONSE__INIT};
    arena *a = arena_create(SCRATCH_MAX);
    err e = {0};
    if (item_name(r->book_id, r->inbox_id, &x.id, &e) &&
        db_read(s->o.pool, rpc_deadline_mono_ms(call), a, get_tx, &x, &e)) {
        rpc_reply(call, &x.answer.base);
    } else {
        rpc_fail(call, &e);
    }
    arena_destroy(a);
}

// --- exceptions ----------------------------------------------------------------------------------------------------------

typedef struct exception_listing {
    const payments_service *service;
    arena *kept; // of the call
    int16_t connections[CONNECTIONS_MAX];
    inbox_exception_filter filter;
    Payments__V1__InboxException **out;
    size_t n;
    int64_t size;
    uint8_t last[POSITION_LEN]; // of the page
} exception_listing;

static Payments__V1__InboxException *
exception_to_pb(const payments_service *s, const inbox_exception_row *x, arena *scratch, arena *a) {
    Payments__V1__InboxException *out = ARENA_NEW(a, Payments__V1__InboxException);
    ASSERT(out != NULL);
    payments__v1__inbox_exception__init(out);
    str raw = {0};
    err unread = {0};
    if (inbox_line_open(s->o.keys, x, &raw, scratch, &unread)) {
        char *open = (char *)(uintptr_t)raw.ptr;
        inbox_mask(open, raw.len);
        const size_t len = str_clip(raw, RAW_SHOWN_MAX).len;
        out->raw = pb_text(a, (str){raw.ptr, len});
        out->raw_cut = len < raw.len;
        explicit_bzero(open, raw.len);
    }
    out->book_id = x->book_id;
    out->inbox_id = uuid_text(a, x->inbox_id);
    out->version = x->version;
    out->line = x->line;
    out->reason = pb_text(a, x->reason);
    out->reason_text = pb_text(a, x->reason_text);
    out->compared = pb_text(a, x->compared);
    out->about_book_id = x->about_book_id;
    if (!uuid_is_nil(x->payout_id)) {
        out->payout_id = uuid_text(a, x->payout_id);
    }
    out->amount_minor = x->amount;
    out->currency = pb_text(a, x->currency);
    out->state = (Payments__V1__ExceptionState)x->state;
    out->closed_by = pb_text(a, x->closed_by);
    out->closed_reason = pb_text(a, x->closed_reason);
    out->create_time = pb_time(a, x->at_us);
    out->close_time = x->closed_us == INT64_MIN ? NULL : pb_time(a, x->closed_us);
    return out;
}

static void position_of(const inbox_exception_row *x, uint8_t out[POSITION_LEN]) {
    memcpy(out, &x->book_id, 8);
    memcpy(out + 8, x->inbox_id.b, 16);
    memcpy(out + 24, &x->version, 4);
    memcpy(out + 28, &x->line, 4);
}

// Whose payouts they are, by one look into each book. A payout that is archived has no merchant here.
static bool tell_merchants(db_conn *c, const exception_listing *l, const inbox_exception_row *rows,
                           arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, l->n + 1);
    if (ids == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < l->n; i++) {
        const int64_t book = rows[i].about_book_id;
        bool before = uuid_is_nil(rows[i].payout_id);
        for (size_t k = 0; !before && k < i; k++) {
            before = rows[k].about_book_id == book && !uuid_is_nil(rows[k].payout_id);
        }
        size_t n = 0;
        for (size_t k = i; !before && k < l->n; k++) {
            if (rows[k].about_book_id == book && !uuid_is_nil(rows[k].payout_id)) {
                ids[n++] = rows[k].payout_id;
            }
        }
        payout_owner *found = NULL;
        size_t n_found = 0;
        if (!payouts_owners(c, book, ids, n, &found, &n_found, a, e)) {
            return false;
        }
        for (size_t f = 0; f < n_found; f++) {
            for (size_t k = i; k < l->n; k++) {
                if (rows[k].about_book_id == book &&
                    uuid_eq(rows[k].payout_id, found[f].payout_id)) {
                    l->out[k]->merchant_id = pb_text(l->kept, found[f].merchant_id);
                }
            }
        }
    }
    return true;
}

static bool exceptions_tx(db_conn *c, arena *a, void *arg, err *e) {
    exception_listing *l = arg;
    inbox_exception_row *rows = NULL;
    if (!inbox_exceptions(c, &l->filter, &rows, &l->n, a, e)) {
        return false;
    }
    if (l->n == 0 &&
        !pb_book_exists(l->service, c, l->filter.about_book_id, "about_book_id", a, e)) {
        return false;
    }
    l->out = ARENA_ARRAY(l->kept, Payments__V1__InboxException *, l->n + 1);
    if (l->out == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < l->n; i++) {
        l->out[i] = exception_to_pb(l->service, &rows[i], a, l->kept);
        if ((int64_t)i < l->size) {
            position_of(&rows[i], l->last);
        }
    }
    return tell_merchants(c, l, rows, a, e);
}

static bool exception_filter_of(const connections *k, const Payments__V1__ListExceptionsRequest *r,
                                int16_t *numbers, inbox_exception_filter *f, err *e) {
    f->of_item = r->inbox_id[0] != '\0';
    f->closed = r->with_closed;
    f->book_id = r->book_id;
    f->reason = str_of(r->reason);
    f->about_book_id = r->about_book_id;
    f->connections = numbers;
    if (!pb_connections_of(k, r->rail, r->connection, numbers, &f->n_connections, e)) {
        return false;
    }
    if (f->of_item ? f->n_connections > 0 : r->with_closed || r->book_id != 0) {
        return err_set_field(
            e, ERR_INVALID_ARGUMENT, "FILTERS_MIXED", "inbox_id",
            "book_id and with_closed go with inbox_id, rail and connection without it");
    }
    return rule_text(f->reason, 0, 64, "", "reason", e) &&
           (!f->of_item || item_name(r->book_id, r->inbox_id, &f->inbox_id, e));
}

static bool exception_page(const Payments__V1__ListExceptionsRequest *r, arena *a, str *filters,
                           inbox_exception_filter *f, err *e) {
    uint8_t at[POSITION_LEN];
    Payments__V1__ListExceptionsRequest copy = *r;
    copy.page_size = 0;
    copy.page_token = (char *)protobuf_c_empty_string;
    *filters = pb_pack(a, &copy.base, e);
    if (filters->ptr == NULL || r->page_token[0] == '\0') {
        return filters->ptr != NULL;
    }
    if (!page_token_read(r->page_token, *filters, at, sizeof at, e)) {
        return false;
    }
    memcpy(&f->after_book_id, at, 8);
    memcpy(f->after_inbox_id.b, at + 8, 16);
    memcpy(&f->after_version, at + 24, 4);
    memcpy(&f->after_line, at + 28, 4);
    return true;
}

static void handle_exceptions(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListExceptionsRequest *r =
        (const Payments__V1__ListExceptionsRequest *)request;
    Payments__V1__ListExceptionsResponse answer = PAYMENTS__V1__LIST_EXCEPTIONS_RESPONSE__INIT;
    arena *a = rpc_arena(call), *scratch = arena_create(SCRATCH_MAX);
    exception_listing l = {.service = s, .kept = a};
    str filters = {0};
    err e = {0};
    const bool ok = page_size_of(r->page_size, &l.size, &e) &&
                    exception_filter_of(s->o.connections, r, l.connections, &l.filter, &e) &&
                    exception_page(r, a, &filters, &l.filter, &e);
    l.size = l.size > EXCEPTIONS_PAGE_MAX ? EXCEPTIONS_PAGE_MAX : l.size;
    l.filter.limit = (size_t)l.size + 1;
    const bool read =
        ok && db_read(s->o.pool, rpc_deadline_mono_ms(call), scratch, exceptions_tx, &l, &e);
    arena_destroy(scratch);
    if (!read) {
        rpc_fail(call, &e);
        return;
    }
    answer.exceptions = l.out;
    answer.n_exceptions = l.n > (size_t)l.size ? (size_t)l.size : l.n;
    if (l.n > answer.n_exceptions) {
        answer.next_page_token = page_token_make(a, filters, l.last, sizeof l.last);
    }
    rpc_reply(call, &answer.base);
}

// --- orders --------------------------------------------------------------------------------------------------------------

// Who orders it, checked; a field that is not known refuses the order.
static bool order_of(rpc_call *call, const ProtobufCMessage *request, int64_t book_id,
                     const char *id, const char *person, const char *reason, actor_info *by,
                     inbox_order *out, err *e) {
    if (!pb_is_known(request, "", e) || !item_name(book_id, id, &out->inbox_id, e) ||
        !pb_actor(call, person, 1, by, e) || !pb_actor_text(call, by, &out->actor, e) ||
        (reason != NULL && !rule_text(str_of(reason), 1, INBOX_REASON_MAX, "", "reason", e))) {
        return false;
    }
    out->by = by;
    out->book_id = book_id;
    out->reason = str_of(reason == NULL ? "" : reason);
    return true;
}

// The item as it stands after an order; NULL when the call has failed, and was answered.
static Payments__V1__InboxItem *item_now(payments_service *s, rpc_call *call,
                                         const inbox_order *o) {
    inbox_reading x = {
        .service = s, .book_id = o->book_id, .id = o->inbox_id, .kept = rpc_arena(call)};
    err e = {0};
    if (!db_read(s->o.pool, rpc_deadline_mono_ms(call), rpc_arena(call), get_tx, &x, &e)) {
        rpc_fail(call, &e);
        return NULL;
    }
    return x.answer.item;
}

static char *why_not(arena *a, const err *e) {
    return e->code == ERR_OK ? (char *)protobuf_c_empty_string : pb_text(a, str_of(e->message));
}

static void handle_apply(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ApplyInboxRequest *r = (const Payments__V1__ApplyInboxRequest *)request;
    Payments__V1__ApplyInboxResponse answer = PAYMENTS__V1__APPLY_INBOX_RESPONSE__INIT;
    inbox_order o = {0};
    actor_info by;
    err e = {0}, not_applied = {0};
    if (!order_of(call, request, r->book_id, r->inbox_id, r->person, NULL, &by, &o, &e) ||
        !inbox_again(s->o.inbox, &o, &not_applied, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.not_applied = why_not(rpc_arena(call), &not_applied);
    answer.item = item_now(s, call, &o);
    if (answer.item != NULL) {
        rpc_reply(call, &answer.base);
    }
}

static void handle_dismiss(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__DismissExceptionRequest *r =
        (const Payments__V1__DismissExceptionRequest *)request;
    Payments__V1__DismissExceptionResponse answer = PAYMENTS__V1__DISMISS_EXCEPTION_RESPONSE__INIT;
    inbox_order o = {0};
    actor_info by;
    err e = {0};
    if (!order_of(call, request, r->book_id, r->inbox_id, r->person, r->reason, &by, &o, &e) ||
        !inbox_dismiss(s->o.inbox, &o, r->line, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.item = item_now(s, call, &o);
    if (answer.item != NULL) {
        rpc_reply(call, &answer.base);
    }
}

static bool check_part(const Payments__V1__RepairInboxRequest *r, err *e) {
    if (r->content.len == 0 || r->content.len > PART_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "CONTENT_INVALID", "content",
                             "content has 1 to %d bytes", PART_MAX);
    }
    if (r->total_bytes < 0 || r->total_bytes > INBOX_BYTES_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "CONTENT_INVALID", "total_bytes",
                             "all parts together have at most %d bytes", INBOX_BYTES_MAX);
    }
    if (r->offset_bytes < 0 || r->offset_bytes > r->total_bytes) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "CONTENT_INVALID", "offset_bytes",
                             "the part must lie within the whole");
    }
    return true;
}

typedef struct repairable {
    const inbox_order *order;
    bool replace_applied;
} repairable;

static bool repairable_tx(db_conn *c, arena *a, void *arg, err *e) {
    const repairable *x = arg;
    inbox_row row;
    // Of an item that was repaired, these may be the same bytes once more: that is only known when all of them are there.
    return inbox_get(c, x->order->book_id, x->order->inbox_id, &row, a, e) &&
           inbox_may_be_repaired(&row, x->replace_applied || row.version > 1, e);
}

// Of parts: *whole is empty when there are more to come. To be freed.
static bool gather(payments_service *s, rpc_call *call, const Payments__V1__RepairInboxRequest *r,
                   const inbox_order *o, str *whole, err *e) {
    repairable x = {o, r->replace_applied != 0};
    // Before the first part, so that nobody's upload ends for what cannot be repaired.
    if (r->offset_bytes == 0 &&
        !db_read(s->o.pool, rpc_deadline_mono_ms(call), rpc_arena(call), repairable_tx, &x, e)) {
        return false;
    }
    const inbox_part part = {.inbox_id = o->inbox_id,
                             .actor = o->actor,
                             .bytes = {(const char *)r->content.data, r->content.len},
                             .offset = (size_t)r->offset_bytes,
                             .total = (size_t)r->total_bytes};
    return inbox_upload_add(s->repairs, &part, whole, e);
}

static void handle_repair(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__RepairInboxRequest *r = (const Payments__V1__RepairInboxRequest *)request;
    Payments__V1__RepairInboxResponse answer = PAYMENTS__V1__REPAIR_INBOX_RESPONSE__INIT;
    const bool parts = r->total_bytes > 0;
    str whole = {0};
    inbox_order o = {0};
    actor_info by;
    err e = {0}, not_applied = {0};
    if (!check_part(r, &e) ||
        !order_of(call, request, r->book_id, r->inbox_id, r->person, r->reason, &by, &o, &e) ||
        (parts && !gather(s, call, r, &o, &whole, &e))) {
        rpc_fail(call, &e);
        return;
    }
    if (parts && whole.len == 0) {
        rpc_reply(call, &answer.base);
        return;
    }
    const str bytes = parts ? whole : (str){(const char *)r->content.data, r->content.len};
    const bool ok = inbox_repair(s->o.inbox, &o, bytes, r->replace_applied, &not_applied, &e);
    inbox_upload_free(whole);
    if (!ok) {
        rpc_fail(call, &e);
        return;
    }
    answer.not_applied = why_not(rpc_arena(call), &not_applied);
    answer.item = item_now(s, call, &o);
    if (answer.item != NULL) {
        rpc_reply(call, &answer.base);
    }
}

const rpc_method INBOX_METHODS[] = {
    {.name = "ListInbox", .unary = handle_list},
    {.name = "GetInbox", .unary = handle_get},
    {.name = "ListExceptions", .unary = handle_exceptions},
    {.name = "ApplyInbox", .unary = handle_apply},
    {.name = "DismissException", .unary = handle_dismiss},
    {.name = "RepairInbox", .unary = handle_repair},
};
const size_t N_INBOX_METHODS = sizeof INBOX_METHODS / sizeof INBOX_METHODS[0];
