// The inbox's reader for the instant bank: webhooks, and answers to repeated questions.
//
// A delivery is not a movement: the bank may tell of one payment under any number of ids. So an event's id derives from the movement, and
// returns count by their total. The first message about a return is believed. After it nobody can tell a second part from a second
// delivery, so the bank is asked for the total (promise NO-DOUBLE).
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "domain/ids.h"
#include "domain/machine.h"
#include "events/events.h"
#include "rails/instant/instant_internal.h"

enum { EVENT_ID_LEN_MAX = 200, ATTEMPTS_MAX = 1000 };
#define US_PER_DAY (INT64_C(24) * 3600 * 1000000)

typedef struct reading {
    instant_rail *r;
    const inbox_item *item;
    inbox_said *out;
    arena *a;
    payment payment;
    int64_t at_us, book_id;
    uuid intent_id;
    bool known;   // the type is known
    bool pending; // instant_also decides its part of the returned sum
    // of its payout
    bool found;
    uuid payout_id;
    int64_t amount, created_us;
    str currency;
    int32_t attempt;
} reading;

// The result of a question.
typedef struct asked {
    int64_t total; // the returned total
    bool settled;  // the bank shows the payment as settled
    str payment_id;
} asked;

// The attempt of this key; 0: not the payout's. Only we can have made the key, so the bank may speak of any attempt, even one that this
// database has forgotten.
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

// The known movements of this attempt.
typedef struct known {
    int64_t returned;  // in total
    int64_t limit;     // the paid amount: no more can come back
    int64_t settled;   // in total
    int64_t movements; // movements and refusals of all attempts
} known;

static bool find_known(const reading *x, db_conn *c, known *out, err *e) {
    db_params *p = db_params_create(x->a);
    db_rows *rows = NULL;
    db_i64(p, x->book_id);
    db_uuid(p, x->payout_id);
    db_i32(p, x->attempt);
    if (!db_exec(c, &INSTANT_SQL[INSTANT_SQL_MOVED], p, x->a, &rows, NULL, e)) {
        return false;
    }
    const int64_t settled = db_get_i64(rows, 0, 2);
    out->settled = settled;
    out->returned = db_get_i64(rows, 0, 1) > 0 ? x->amount : db_get_i64(rows, 0, 0);
    out->limit = settled > x->amount ? settled : x->amount;
    out->movements = db_get_i64(rows, 0, 3);
    return true;
}

// True when only the bank can explain this message: a return whose two amounts differ, a second message about a return, or a settlement
// after a return. Banks that send the whole payment give the returned part apart (returned_amount).
static bool must_ask(const reading *x, const known *k) {
    const payment *p = &x->payment;
    const bool unclear = p->returned > 0 && p->returned != p->amount;
    return x->item->kind == INBOX_MESSAGE &&
           ((p->status == PAYMENT_RETURNED && k->returned < k->limit &&
             (unclear || k->returned > 0)) ||
            (p->status == PAYMENT_SETTLED && k->returned > 0));
}

static int64_t total_of(const payment *p) {
    return p->returned > 0 ? p->returned : p->status == PAYMENT_RETURNED ? p->amount : 0;
}

// The same word about the same payment has the same id, in any delivery. The id includes the bank's payment id: a payment that the bank
// makes anew under our key is a new movement.
static bool movement_id(const reading *x, const char *word, str *out, err *e) {
    const str id = x->payment.payment_id;
    bool plain = id.len <= EVENT_ID_LEN_MAX - 40;
    for (size_t i = 0; i < id.len; i++) {
        plain = plain && id.ptr[i] > 0x20 && id.ptr[i] < 0x7f;
    }
    char digest[65] = "";
    if (!plain) {
        uint8_t hash[32];
        crypto_sha256(id.ptr, id.len, hash);
        for (size_t i = 0; i < sizeof hash; i++) {
            (void)snprintf(digest + 2 * i, 3, "%02x", hash[i]);
        }
    }
    const char *text = arena_printf(x->a, "%s:%" PRId32 ":%.*s%s", word, x->attempt,
                                    plain ? (int)id.len : 0, plain ? id.ptr : "", digest);
    *out = str_of(text);
    return text != NULL || err_no_memory(e, "a message");
}

static bool judge(reading *x, err *e) {
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
    // A message about a return has the returned amount, which may be a part.
    const bool part = p->status == PAYMENT_RETURNED && x->item->kind == INBOX_MESSAGE;
    if (p->amount > x->amount || (p->amount != x->amount && !part) || p->returned > x->amount) {
        set_aside(x, "OTHER_AMOUNT", "the amount is not the payout's");
        return true;
    }
    str id;
    switch (p->status) {
    case PAYMENT_RETURNED: x->pending = true; return true;
    case PAYMENT_SETTLED:
        x->pending = true;
        if (x->item->kind == INBOX_MESSAGE) {
            return movement_id(x, "settled", &id, e) &&
                   (add_event(x, RAIL_EVENT_SETTLED, id, p->amount), true);
        }
        return true;
    case PAYMENT_REFUSED:
        return movement_id(x, "refused", &id, e) && (add_event(x, RAIL_EVENT_REFUSED, id, 0), true);
    case PAYMENT_ACCEPTED:
        if (x->item->kind != INBOX_MESSAGE) { // the asker has booked it as paid
            set_aside(x, "NOT_SETTLED", "the bank settled it, and now says that it is on its way");
        }
        return true;
    case PAYMENT_OF_OTHER_TYPE: return true; // not judged here
    }
    return true;
}

// The id goes into the key of the event.
static bool is_event_id(str id) {
    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] <= 0x20 || id.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return id.len >= 1 && id.len <= EVENT_ID_LEN_MAX;
}

static bool parse(reading *x, err *e) {
    if (x->item->kind != INBOX_MESSAGE) {
        x->known = true;
        x->at_us = x->item->received_us;
        return payment_parse(x->item->bytes, x->a, &x->payment, e);
    }
    if (!is_event_id(x->item->name)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_ANSWER", "the message's id is none");
    }
    if (!webhook_parse(x->item->bytes, x->a, &x->known, &x->payment, &x->at_us, e)) {
        return false;
    }
    x->at_us = x->at_us != 0 ? x->at_us : x->item->received_us;
    return true;
}

static bool find_payment(reading *x, db_conn *c, err *e) {
    return !reference_parse(x->payment.reference, &x->book_id, &x->intent_id) ||
           find_payout(x, c, e);
}

// A message of an unknown type. If it is about a payment, or a payout of ours, a person reads it.
static void judge_unknown(reading *x) {
    if (x->found || x->payment.status == PAYMENT_OF_OTHER_TYPE) {
        set_aside(x, "UNKNOWN_TYPE", "a message about a payment, of a type that we do not know");
    } else {
        x->out->about = "another type"; // that we did not ask for
    }
}

bool instant_read(void *self, db_conn *c, const inbox_item *item, inbox_said *out, arena *a,
                  err *e) {
    reading *x = ARENA_ARRAY(a, reading, 1);
    err why = {0};
    out->about = item->kind == INBOX_MESSAGE ? "payment message" : "payment answer";
    out->events = ARENA_ARRAY(a, inbox_event, 1);
    out->odd = ARENA_ARRAY(a, inbox_odd, 1);
    out->remarks = ARENA_ARRAY(a, inbox_remark, 1);
    out->odd_max = 1;
    if (x == NULL || out->events == NULL || out->odd == NULL || out->remarks == NULL) {
        return err_no_memory(e, "a message");
    }
    *x = (reading){.r = self, .item = item, .out = out, .a = a};
    out->own = x;
    if (!parse(x, &why)) {
        out->refused = "BAD_MESSAGE";
        out->refused_text = arena_strdup(a, why.message);
        return out->refused_text != NULL || err_no_memory(e, "a message");
    }
    if (!find_payment(x, c, e)) {
        return false;
    }
    if (!x->known) {
        judge_unknown(x);
        out->lines = (int32_t)out->n_odd;
        return true;
    }
    out->lines = 1;
    return judge(x, e);
}

// --- Returns ---------------------------------------------------------------------------------------------------------

// A bank may tell of a return cent by cent, so their number is limited.
static bool set_aside_beyond(reading *x, err *e) {
    char id[UUID_TEXT_LEN + 1];
    uuid_format(x->payout_id, id);
    x->out->n_events = x->out->n_remarks = x->out->n_odd = 0;
    set_aside(x, "TOO_MANY_MOVEMENTS", INBOX_TOO_MANY_MOVEMENTS);
    const char *subject = arena_printf(x->a, "movements:%s", id);
    x->out->odd[0].case_subject = subject;
    return subject != NULL || err_no_memory(e, "a message");
}

static bool add_return(reading *x, const known *k, int64_t total, int64_t amount, err *e) {
    if (k->movements >= SAGA_MOVEMENTS_MAX) {
        return set_aside_beyond(x, e);
    }
    // a new id for each total
    const char *id = arena_printf(x->a, "returned:%" PRId32 ":%" PRId64, x->attempt, total);
    if (id == NULL) {
        return err_no_memory(e, "a message");
    }
    x->out->n_events = x->out->n_remarks = 0;
    add_event(x, RAIL_EVENT_RETURNED, str_of(id), amount);
    x->out->events[0].event.inbox_id = x->item->inbox_id;
    x->out->events[0].event.inbox_line = 1;
    return true;
}

static bool hear_answer(reading *x, const known *k, err *e) {
    const int64_t total = total_of(&x->payment);
    x->out->n_odd = 0; // this may be a repeated transaction
    if (total == 0 && k->returned > 0) {
        set_aside(x, "SETTLED_AGAIN",
                  "the bank told that it came back, and shows it as settled: look whether it was "
                  "paid once more");
        return true;
    }
    if (total < k->returned) {
        set_aside(x, "RETURNED_LESS",
                  "the bank told that more came back than it shows now: look what came back");
        return true;
    }
    return total == k->returned || add_return(x, k, total, total - k->returned, e);
}

// A further settlement, told after a return under a new id, is another payment only if the bank shows it so. The first settlement may come
// after its return.
static void judge_settled_again(reading *x, const known *k, const asked *answer) {
    const bool shown = answer->settled && str_eq(answer->payment_id, x->payment.payment_id);
    if (x->out->n_events > 0 && k->settled > 0 && !shown) {
        x->out->n_events = x->out->n_odd = 0;
        set_aside(x, "SETTLED_AGAIN",
                  "a message tells of a settlement after a return, and the bank does not show this "
                  "payment as settled: look whether it was paid once more");
    }
}

static bool hear_message(reading *x, const known *k, err *e) {
    const asked *answer = x->item->asked;
    if (must_ask(x, k)) {
        if (answer == NULL) {
            return err_set(e, ERR_FAILED_PRECONDITION, "MUST_ASK",
                           "the bank must be asked for the total of what came back");
        }
        if (x->payment.status == PAYMENT_SETTLED) {
            judge_settled_again(x, k, answer);
            return true;
        }
        // The answer is an item of its own, and counts what came back.
        return answer->total > 0 ||
               err_set(e, ERR_FAILED_PRECONDITION, "BANK_LAGS",
                       "the bank told of a return, and its answer does not show one yet");
    }
    return x->payment.status != PAYMENT_RETURNED || k->returned > 0 ||
           add_return(x, k, x->payment.amount, x->payment.amount, e);
}

// Under the lock of the payout's saga: of two messages about a return at once, the second sees the first one's count.
bool instant_also(void *self, db_conn *c, const inbox_item *item, inbox_said *said, arena *a,
                  err *e) {
    reading *x = said->own;
    (void)self;
    known k;
    if (!x->pending) {
        return true;
    }
    x->out = said;
    db_params *p = db_params_create(a);
    db_i64(p, x->book_id);
    db_uuid(p, x->payout_id);
    return db_exec(c, &INSTANT_SQL[INSTANT_SQL_LOCK], p, a, NULL, NULL, e) &&
           find_known(x, c, &k, e) &&
           (item->kind == INBOX_MESSAGE ? hear_message(x, &k, e) : hear_answer(x, &k, e));
}

// --- Asking ----------------------------------------------------------------------------------------------------------

typedef struct question {
    reading *x;
    known k;
} question;

static bool look(db_conn *c, arena *a, void *arg, err *e) {
    question *q = arg;
    (void)a;
    return find_payment(q->x, c, e) &&
           (!q->x->found || q->x->attempt == 0 || find_known(q->x, c, &q->k, e));
}

bool instant_ask(void *self, const inbox_item *item, const void **out, arena *a, err *e) {
    reading *x = ARENA_ARRAY(a, reading, 1);
    asked *answer = ARENA_ARRAY(a, asked, 1);
    err why = {0};
    if (x == NULL || answer == NULL) {
        return err_no_memory(e, "a message");
    }
    *x = (reading){.r = self, .item = item, .a = a};
    question q = {.x = x};
    if (item->kind != INBOX_MESSAGE || !parse(x, &why) || !x->known) {
        return true; // instant_read reports the fault
    }
    const int64_t deadline_ms = clock_mono_ms(x->r->clock) + INSTANT_DB_TIMEOUT_MS;
    if (!db_read(x->r->pool, deadline_ms, a, look, &q, e)) {
        return false;
    }
    if (!must_ask(x, &q.k)) {
        return true;
    }
    payment said;
    if (!instant_ask_one(x->r, x->book_id, x->payment.key, &said, a, e)) {
        return false;
    }
    *answer = (asked){total_of(&said), said.status == PAYMENT_SETTLED, said.payment_id};
    *out = answer;
    return true;
}
