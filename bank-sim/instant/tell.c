// Moves a payment to its next status, and tells it: correctly, or in an odd way of the faults.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/uuid.h"
#include "instant/instant_internal.h"

void instant_payment_json(const books_payment *p, books_status shown, strbuf *out) {
    char created[32];
    time_format_rfc3339(p->created_us, created, sizeof(created));
    strbuf_printf(out, "{\"payment_id\":\"%s\",\"key\":\"%s\",\"reference\":", p->payment_id,
                  p->key);
    strbuf_add_json(out, str_of(p->reference));
    // The code belongs to the shown status: the first answer of a payment that came back later has no code.
    bool with_code = shown == BOOKS_REFUSED || shown == BOOKS_RETURNED;
    strbuf_printf(out, ",\"status\":\"%s\",\"code\":", books_status_name(shown));
    strbuf_add_json(out, str_of(with_code ? p->code : ""));
    strbuf_add_c(out, ",\"text\":");
    strbuf_add_json(out, str_of(with_code ? p->text : ""));
    strbuf_printf(out, ",\"retriable\":%s,\"amount\":%" PRId64 ",\"currency\":\"%s\"",
                  shown == BOOKS_REFUSED && p->retriable ? "true" : "false", p->amount,
                  p->currency);
    if (shown == BOOKS_RETURNED && p->returned != p->amount) {
        strbuf_printf(out, ",\"returned_amount\":%" PRId64, p->returned);
    }
    strbuf_printf(out, ",\"created_at\":\"%s\"}", created);
}

void instant_message_id(const books_payment *p, char out[INSTANT_MESSAGE_ID_MAX]) {
    // Each event has its own message id, so a repeated delivery keeps its id. The rest of a split return is a later event.
    bool rest = p->status == BOOKS_RETURNED && p->returns == FAULTS_RETURN_HALVES &&
                p->returned == p->amount;
    (void)snprintf(out, INSTANT_MESSAGE_ID_MAX, "msg_%s_%s%s", p->payment_id + strlen("pay_"),
                   books_status_name(p->status), rest ? "_rest" : "");
}

static bool queue_one(books_tx *tx, const books_payment *p, const char *id, int64_t now_us,
                      err *e) {
    char memory[INSTANT_JSON_MAX], at[32];
    strbuf body;
    strbuf_init_fixed(&body, memory, sizeof(memory));
    time_format_rfc3339(now_us, at, sizeof(at));
    strbuf_printf(&body, "{\"type\":\"payment.%s\",\"timestamp\":\"%s\",\"data\":",
                  books_status_name(p->status), at);
    instant_payment_json(p, p->status, &body);
    strbuf_add_char(&body, '}');
    if (!strbuf_ok(&body)) {
        return err_set(e, ERR_INTERNAL, "WEBHOOK", "the webhook is too long");
    }
    return books_webhook_insert(tx, id, now_us + p->webhook_delay_us, strbuf_str(&body), e);
}

// Queues an extra webhook with good signature and form, whose key and reference nobody has used.
static bool queue_stranger(instant *i, books_tx *tx, const books_payment *p, int64_t now_us,
                           err *e) {
    books_payment other = *p;
    char id[INSTANT_MESSAGE_ID_MAX], hex[33], text[UUID_TEXT_LEN + 1];
    uuid made = uuid_v7(i->o.clock);
    str_hex(made.b, sizeof(made.b), hex);
    uuid_format(made, text);
    (void)snprintf(other.payment_id, sizeof(other.payment_id), "pay_%s", hex);
    (void)snprintf(other.key, sizeof(other.key), "%s%s", hex, hex);
    (void)snprintf(other.reference, sizeof(other.reference), "1/%s", text);
    instant_message_id(&other, id);
    return queue_one(tx, &other, id, now_us, e);
}

static bool queue_webhooks(instant *i, books_tx *tx, const books_payment *p, int64_t part,
                           int64_t now_us, err *e) {
    char id[INSTANT_MESSAGE_ID_MAX], again[INSTANT_MESSAGE_ID_MAX + 8];
    books_payment said = *p;
    instant_message_id(p, id);
    if (p->status == BOOKS_RETURNED) {
        if (p->oddity == FAULTS_RETURN_LOST) {
            return true;
        }
        said.amount = said.returned = part; // the part that this message tells
    } else if (p->status == BOOKS_SETTLED && p->oddity == FAULTS_OTHER_AMOUNT) {
        said.amount++;
    } else if (p->status == BOOKS_SETTLED && p->oddity == FAULTS_OTHER_CURRENCY) {
        (void)snprintf(said.currency, sizeof(said.currency), "%s",
                       strcmp(p->currency, "USD") == 0 ? "INR" : "USD");
    } else if (p->status == BOOKS_SETTLED && p->oddity == FAULTS_UNKNOWN_REFERENCE &&
               !queue_stranger(i, tx, p, now_us, e)) {
        return false;
    }
    for (int n = 0; n < p->webhooks; n++) {
        if (!queue_one(tx, &said, id, now_us, e)) {
            return false;
        }
    }
    // Tells the same return under another id, like a bank that works through a day's list again.
    bool twice = p->status == BOOKS_RETURNED && p->returns == FAULTS_RETURN_TWICE;
    (void)snprintf(again, sizeof(again), "%s_again", id);
    return !twice || queue_one(tx, &said, again, now_us, e);
}

bool instant_enter(instant *i, books_tx *tx, books_payment *p, int64_t now_us, err *e) {
    books_move m = {.rail = BOOKS_RAIL_INSTANT,
                    .item = p->id,
                    .part = 1,
                    .amount = p->amount,
                    .currency = p->currency,
                    .at_us = now_us};
    if (p->status == BOOKS_SETTLED) {
        m.kind = BOOKS_CREDIT;
    } else if (p->status == BOOKS_RETURNED) {
        bool parts = p->returns == FAULTS_RETURN_PART || p->returns == FAULTS_RETURN_HALVES;
        m.kind = BOOKS_RETURN;
        m.part = p->returned == 0 ? 1 : 2;
        m.amount = p->returned == 0 && parts ? p->amount / 2 : p->amount - p->returned;
        p->returned += m.amount;
    }
    if (m.kind != 0 && !books_movement(tx, &m, e)) {
        return false;
    }
    bool told = p->status != BOOKS_REFUSED || i->o.webhook_on_refusal;
    return !told || queue_webhooks(i, tx, p, m.amount, now_us, e);
}
