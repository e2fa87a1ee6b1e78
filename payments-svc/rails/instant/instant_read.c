// How the inbox reads what the instant bank sends: webhooks, and answers to questions that were asked again.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "domain/ids.h"
#include "rails/instant/instant_internal.h"

enum { EVENT_ID_LEN_MAX = 200, ATTEMPTS_MAX = 1000 };
#define US_PER_DAY (INT64_C(24) * 3600 * 1000000)

typedef struct reading {
    const instant_rail *r;
    const inbox_item *item;
    inbox_said *out;
    arena *a;
    payment payment;
    int64_t at_us, book_id;
    uuid intent_id;
    // of the payout that it is about
    bool found;
    uuid payout_id;
    int64_t amount, created_us;
    str currency;
    int32_t attempt;
} reading;

static bool no_memory(err *e) {
    return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_LARGE", "no memory for a message");
}

// The attempt whose key this is; 0 when it is none of the payout's. Only we can have made the key, so the bank may speak of any
// attempt, be it one that this database has forgotten.
static int32_t find_attempt(uuid intent_id, const char *key) {
    char candidate[65];
    for (int32_t attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
        attempt_key(intent_id, attempt, candidate);
        if (strcmp(candidate, key) == 0) {
            return attempt;
        }
    }
    return 0;
}

static bool find_payout(reading *x, db_conn *c, err *e) {
    db_params *p = db_params_create(x->a);
    db_rows *rows = NULL;
    db_i64(p, x->book_id);
    db_uuid(p, x->intent_id);
    if (!db_exec(c, &INSTANT_SQL[INSTANT_SQL_FIND_PAYOUT], p, x->a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 1 && db_get_i16(rows, 0, 3) == x->r->base.id) {
        x->found = true;
        x->payout_id = db_get_uuid(rows, 0, 0);
        x->amount = db_get_i64(rows, 0, 1);
        x->currency = db_get_str(rows, 0, 2);
        x->created_us = db_get_time(rows, 0, 4);
        x->attempt = find_attempt(x->intent_id, x->payment.key);
    }
    return true;
}

static void set_aside(reading *x, const char *reason, const char *text) {
    const payment *p = &x->payment;
    const char *compared =
        arena_printf(x->a, "reference %.*s; payment %.*s; key %.8s…; amount %" PRId64 " %s%s", //
                     (int)p->reference.len, p->reference.ptr, (int)p->payment_id.len,
                     p->payment_id.ptr, p->key, p->amount, p->currency,
                     x->found ? arena_printf(x->a, ", ours %" PRId64 " %.*s", x->amount,
                                             (int)x->currency.len, x->currency.ptr)
                              : "");
    inbox_odd *o = &x->out->odd[x->out->n_odd++];
    *o = (inbox_odd){.line = 1,
                     .reason = reason,
                     .text = text,
                     .compared = compared == NULL ? "" : compared,
                     .raw = x->item->bytes,
                     .about_book_id = x->found ? x->book_id : 0,
                     .payout_id = x->payout_id,
                     .amount = p->amount,
                     .case_kind = "INBOX_LINE"};
    memcpy(o->currency, p->currency, sizeof o->currency);
}

static void add_event(reading *x, rail_event_kind kind, str event_id, int64_t amount) {
    inbox_event *v = &x->out->events[x->out->n_events++];
    *v = (inbox_event){.book_id = x->book_id,
                       .line = 1,
                       .raw = x->item->bytes,
                       .event = {.payout_id = x->payout_id,
                                 .attempt = x->attempt,
                                 .kind = kind,
                                 .event_id = event_id,
                                 .code = x->payment.code,
                                 .text = x->payment.text,
                                 .reference = x->payment.payment_id,
                                 .at_us = x->at_us,
                                 .amount = amount,
                                 .source = RAIL_SOURCE_BANK}};
    memcpy(v->event.currency, x->payment.currency, sizeof v->event.currency);
    if (kind == RAIL_EVENT_RETURNED &&
        x->at_us - x->created_us > x->r->settings.returns_days * US_PER_DAY) {
        x->out->remarks[x->out->n_remarks] = (inbox_remark){
            .book_id = x->book_id,
            .line = 1,
            .code = "LATE_RETURN",
            .text = "the money came back after the time that returns have; the return is booked",
            .amount = amount};
        memcpy(x->out->remarks[x->out->n_remarks++].currency, x->payment.currency, 4);
    }
}

// What is known of this attempt's returns: in all, and by asking.
static bool known_returns(const reading *x, db_conn *c, int64_t *all, int64_t *asked, err *e) {
    db_params *p = db_params_create(x->a);
    db_rows *rows = NULL;
    db_i64(p, x->book_id);
    db_uuid(p, x->payout_id);
    db_i32(p, x->attempt);
    if (!db_exec(c, &INSTANT_SQL[INSTANT_SQL_RETURNED], p, x->a, &rows, NULL, e)) {
        return false;
    }
    *all = db_get_i64(rows, 0, 2) > 0 ? x->amount : db_get_i64(rows, 0, 0);
    *asked = db_get_i64(rows, 0, 1);
    return true;
}

// A message tells what came back by it; the answer to a question tells all that has come back so far. So the one must not be
// counted beside the other.
static bool add_return(reading *x, db_conn *c, err *e) {
    int64_t all = 0, asked = 0;
    if (!known_returns(x, c, &all, &asked, e)) {
        return false;
    }
    if (x->item->kind == INBOX_MESSAGE) {
        if (x->payment.amount > asked) {
            add_event(x, RAIL_EVENT_RETURNED, x->item->name, x->payment.amount);
        }
        return true;
    }
    const int64_t total = x->payment.returned > 0 ? x->payment.returned : x->payment.amount;
    if (total > all) {
        const char *id = arena_printf(x->a, "answer:%" PRId32 ":%" PRId64, x->attempt, total);
        if (id == NULL) {
            return no_memory(e);
        }
        add_event(x, RAIL_EVENT_RETURNED, str_of(id), total - all);
    }
    return true;
}

static bool judge(reading *x, db_conn *c, err *e) {
    const payment *p = &x->payment;
    if (!x->found) {
        set_aside(x, "UNKNOWN_PAYMENT", "no payout of ours has this reference");
        return true;
    }
    if (x->attempt == 0) {
        set_aside(x, "OTHER_KEY", "the key is none of the payout's");
        return true;
    }
    if (!str_eq_c(x->currency, p->currency)) {
        set_aside(x, "OTHER_CURRENCY", "the currency is not the payout's");
        return true;
    }
    // Of a message about a return: what came back by it, which may be a part.
    const bool part = p->status == PAYMENT_RETURNED && x->item->kind == INBOX_MESSAGE;
    if (p->amount > x->amount || (p->amount != x->amount && !part) || p->returned > x->amount) {
        set_aside(x, "OTHER_AMOUNT", "the amount is not the payout's");
        return true;
    }
    switch (p->status) {
    case PAYMENT_RETURNED: return add_return(x, c, e);
    case PAYMENT_SETTLED: add_event(x, RAIL_EVENT_SETTLED, x->item->name, p->amount); break;
    case PAYMENT_REFUSED: add_event(x, RAIL_EVENT_REFUSED, x->item->name, 0); break;
    case PAYMENT_ACCEPTED: break; // nothing that we did not know
    }
    return true;
}

// It goes into the key of the event.
static bool is_event_id(str id) {
    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] <= 0x20 || id.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return id.len >= 1 && id.len <= EVENT_ID_LEN_MAX;
}

static bool parse(reading *x, bool *known, err *e) {
    if (x->item->kind != INBOX_MESSAGE) {
        *known = true;
        x->at_us = x->item->received_us;
        return payment_parse(x->item->bytes, x->a, &x->payment, e);
    }
    if (!is_event_id(x->item->name)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_ANSWER", "the message's id is none");
    }
    return webhook_parse(x->item->bytes, x->a, known, &x->payment, &x->at_us, e);
}

bool instant_read(void *self, db_conn *c, const inbox_item *item, inbox_said *out, arena *a,
                  err *e) {
    reading x = {.r = self, .item = item, .out = out, .a = a};
    err why = {0};
    bool known = false;
    out->about = item->kind == INBOX_MESSAGE ? "payment message" : "payment answer";
    out->events = ARENA_ARRAY(a, inbox_event, 1);
    out->odd = ARENA_ARRAY(a, inbox_odd, 1);
    out->remarks = ARENA_ARRAY(a, inbox_remark, 1);
    out->odd_max = 1;
    if (out->events == NULL || out->odd == NULL || out->remarks == NULL) {
        return no_memory(e);
    }
    if (!parse(&x, &known, &why)) {
        out->refused = "BAD_MESSAGE";
        out->refused_text = arena_strdup(a, why.message);
        return out->refused_text != NULL || no_memory(e);
    }
    if (!known) {
        out->about = "another type"; // that we did not ask for
        return true;
    }
    out->lines = 1;
    return (!reference_parse(x.payment.reference, &x.book_id, &x.intent_id) ||
            find_payout(&x, c, e)) &&
           judge(&x, c, e);
}
