// AuditService: who wrote what.
#include <string.h>

#include "api/service_internal.h"
#include "authz/authz.h"
#include "books/books.h"
#include "command/audit.h"
#include "payments/v1/audit_service.pb-c.h"

enum { BOOKS_OF_MERCHANT = 2, METHOD_MAX = 200, SUBJECT_MAX = 200, REQUEST_MAX = 128 };

typedef struct listing {
    const merchant *m; // NULL: of all
    audit_filter filter;
    int64_t of_merchant[BOOKS_OF_MERCHANT];
    int64_t size;
    Payments__V1__AuditEntry **out;
    size_t n;
    uuid last;    // of the page
    uuid reached; // nil: there is nothing beyond
} listing;

static Payments__V1__AuditEntry *entry_to_pb(const audit_row *x, arena *a) {
    Payments__V1__AuditEntry *out = ARENA_NEW(a, Payments__V1__AuditEntry);
    payments__v1__audit_entry__init(out);
    out->entry_id = uuid_text(a, x->id);
    out->time = pb_time(a, x->at_us);
    out->method = pb_text(a, x->method);
    out->program = pb_text(a, x->program);
    out->person = pb_text(a, x->person);
    out->person_stated = x->stated;
    out->request_id = pb_text(a, x->request_id);
    out->trace_id = pb_trace(a, x->trace);
    out->merchant_id = pb_text(a, x->merchant_id);
    out->book_id = x->book_id;
    out->subject_type = pb_text(a, x->subject);
    out->subject_id = pb_text(a, x->subject_id);
    out->last_subject_id = pb_text(a, x->last_id);
    out->subject_count = x->n;
    out->what = pb_text(a, x->what);
    return out;
}

// What is about a merchant stands in its book; what was done to it beside a book, such as a pause, in book 0.
static bool find_books(db_conn *c, listing *l, arena *a, err *e) {
    int64_t *books = NULL;
    if (l->m != NULL) {
        l->of_merchant[0] = 0;
        l->of_merchant[1] = l->m->book_id;
        l->filter.books = l->of_merchant;
        l->filter.n_books = BOOKS_OF_MERCHANT;
        return true;
    }
    // Also books without a merchant, in which a case was resolved.
    if (!books_list(c, BOOKS_OF_MERCHANTS, &books, &l->filter.n_books, a, e) ||
        !books_more(c, BOOKS_OF_AUDIT, books, BOOKS_MAX, &l->filter.n_books, a, e)) {
        return false;
    }
    l->filter.books = books;
    return true;
}

static bool list_tx(db_conn *c, arena *a, void *arg, err *e) {
    listing *l = arg;
    audit_row *rows = NULL;
    if (!find_books(c, l, a, e) || !audit_list(c, &l->filter, &rows, &l->n, &l->reached, a, e)) {
        return false;
    }
    l->out = ARENA_ARRAY(a, Payments__V1__AuditEntry *, l->n + 1);
    if (l->out == NULL) {
        return out_of_memory(e);
    }
    for (size_t i = 0; i < l->n; i++) {
        l->out[i] = entry_to_pb(&rows[i], a);
        if ((int64_t)i < l->size) {
            l->last = rows[i].id;
        }
    }
    return true;
}

static bool filter_of(const Payments__V1__ListAuditRequest *r, audit_filter *f, arena *a, err *e) {
    const int64_t end_of_9999_us = INT64_C(253402300799999999);
    f->merchant_id = str_of(r->merchant_id);
    f->program = str_of(r->program);
    f->person = str_of(r->person);
    f->method = str_of(r->method);
    f->subject_id = str_of(r->subject_id);
    f->request_id = str_of(r->request_id);
    f->to_us = end_of_9999_us;
    memset(f->before.b, 0xff, sizeof f->before.b);
    if (uuid_parse(f->subject_id, &f->subject)) {
        f->subject_id = str_of(uuid_text(a, f->subject)); // in lower case, as it is kept
    } else {
        f->subject = (uuid){{0}};
    }
    return rule_text(f->program, 0, AUTHZ_IDENTITY_MAX, "", "program", e) &&
           rule_text(f->person, 0, AUTHZ_PERSON_MAX, "", "person", e) &&
           rule_text(f->method, 0, METHOD_MAX, "", "method", e) &&
           rule_text(f->subject_id, 0, SUBJECT_MAX, "", "subject_id", e) &&
           rule_text(f->request_id, 0, REQUEST_MAX, "", "request_id", e) &&
           (r->from_time == NULL || pb_time_us(r->from_time, "from_time", &f->from_us, e)) &&
           (r->to_time == NULL || pb_time_us(r->to_time, "to_time", &f->to_us, e));
}

// What a page token is bound to: the request without its page.
static bool page_of(const Payments__V1__ListAuditRequest *r, arena *a, str *filters, listing *l,
                    err *e) {
    Payments__V1__ListAuditRequest copy = *r;
    copy.page_size = 0;
    copy.page_token = (char *)protobuf_c_empty_string;
    *filters = pb_pack(a, &copy.base, e);
    if (filters->ptr == NULL || !page_size_of(r->page_size, &l->size, e)) {
        return false;
    }
    l->filter.limit = (size_t)l->size + 1; // one more tells whether there is a next page
    return r->page_token[0] == '\0' || page_token_read(r->page_token, *filters, l->filter.before.b,
                                                       sizeof l->filter.before.b, e);
}

static bool find_merchant(payments_service *s, const rpc_call *call, const char *id, listing *l,
                          err *e) {
    if (id[0] == '\0') {
        return true;
    }
    if (!rule_merchant_id(str_of(id), "merchant_id", e)) {
        return false;
    }
    l->m = merchant_find(s->merchants, str_of(id), rpc_deadline_mono_ms(call), e);
    return l->m != NULL;
}

static void handle_list_audit(rpc_call *call, void *service, const ProtobufCMessage *request) {
    payments_service *s = service;
    const Payments__V1__ListAuditRequest *r = (const Payments__V1__ListAuditRequest *)request;
    Payments__V1__ListAuditResponse answer = PAYMENTS__V1__LIST_AUDIT_RESPONSE__INIT;
    arena *a = rpc_arena(call);
    listing l = {.m = NULL};
    str filters = {0};
    err e = {0};
    if (!filter_of(r, &l.filter, a, &e) || !page_of(r, a, &filters, &l, &e) ||
        !find_merchant(s, call, r->merchant_id, &l, &e) ||
        !db_read(s->o.pool, rpc_deadline_mono_ms(call), a, list_tx, &l, &e)) {
        rpc_fail(call, &e);
        return;
    }
    answer.entries = l.out;
    answer.n_entries = l.n > (size_t)l.size ? (size_t)l.size : l.n;
    if (l.n > answer.n_entries) {
        answer.next_page_token = page_token_make(a, filters, l.last.b, sizeof l.last.b);
    } else if (!uuid_is_nil(l.reached)) {
        answer.next_page_token = page_token_make(a, filters, l.reached.b, sizeof l.reached.b);
    }
    rpc_reply(call, &answer.base);
}

const rpc_method AUDIT_METHODS[] = {{.name = "ListAudit", .unary = handle_list_audit}};
const size_t N_AUDIT_METHODS = sizeof AUDIT_METHODS / sizeof AUDIT_METHODS[0];
