#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/log.h"
#include "rails/inbox_mask.h"
#include "rails/instant/instant_internal.h"
#include "rails/rail_time.h"

enum { ACCOUNT_SAVINGS = 2, REQUEST_LEN_MAX = 16 * 1024 };

static bool bad(err *e, const char *member, const char *why) {
    return err_set_field(e, ERR_INVALID_ARGUMENT, "BAD_ANSWER", member, "%s %s", member, why);
}

// --- Parsing ---------------------------------------------------------------------------------------------------------

// An optional string, cut at a character's start to the length that we keep.
static str text_of(json_t *object, const char *member, arena *a) {
    json_t *value = json_object_get(object, member);
    const str text =
        str_clip((str){json_string_value(value), json_string_length(value)}, INSTANT_TEXT_MAX);
    if (text.len == 0) {
        return (str){"", 0};
    }
    // An escaped NUL is no text for the database.
    char *copy = str_is_text(text.ptr, text.len) ? arena_strndup(a, text.ptr, text.len) : NULL;
    return copy == NULL ? (str){"", 0} : (str){copy, text.len};
}

// A bank's words for people may name an account, and are kept in many places.
static str words_of(json_t *object, const char *member, arena *a) {
    const str words = text_of(object, member, a);
    char *copy = words.len == 0 ? NULL : arena_strndup(a, words.ptr, words.len);
    if (copy == NULL) {
        return (str){"", 0};
    }
    inbox_hide_digits(copy, words.len);
    return (str){copy, words.len};
}

static bool is_currency(const json_t *value) {
    const char *text = json_string_value(value);
    bool letters = json_string_length(value) == 3;
    for (size_t i = 0; letters && i < 3; i++) {
        letters = text[i] >= 'A' && text[i] <= 'Z';
    }
    return letters;
}

static bool status_of(json_t *object, payment_status *out) {
    static const struct {
        const char *name;
        payment_status status;
    } NAMES[] = {{"accepted", PAYMENT_ACCEPTED},
                 {"settled", PAYMENT_SETTLED},
                 {"refused", PAYMENT_REFUSED},
                 {"returned", PAYMENT_RETURNED}};
    const char *name = json_string_value(json_object_get(object, "status"));
    for (size_t i = 0; name != NULL && i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strcmp(name, NAMES[i].name) == 0) {
            *out = NAMES[i].status;
            return true;
        }
    }
    return false;
}

// True for a member with a value: a bank may also write empty members.
static bool is_told(const json_t *value) {
    return value != NULL && !json_is_null(value);
}

static bool payment_of(json_t *object, arena *a, payment *out, err *e) {
    *out = (payment){0};
    json_t *key = json_object_get(object, "key"), *currency = json_object_get(object, "currency");
    json_t *amount = json_object_get(object, "amount"),
           *retriable = json_object_get(object, "retriable");
    if (!json_is_object(object)) {
        return bad(e, "payment", "must be an object");
    }
    if (!status_of(object, &out->status)) {
        return bad(e, "status", "is none that we know");
    }
    if (json_string_length(key) != 64) {
        return bad(e, "key", "must have 64 characters");
    }
    if (!is_currency(currency)) {
        return bad(e, "currency", "must be three capital letters");
    }
    if (!json_is_integer(amount) || json_integer_value(amount) <= 0) {
        return bad(e, "amount", "must be a whole number greater than zero");
    }
    if (is_told(retriable) && !json_is_boolean(retriable)) {
        return bad(e, "retriable", "must be true or false");
    }
    memcpy(out->key, json_string_value(key), 64);
    memcpy(out->currency, json_string_value(currency), 3);
    out->amount = json_integer_value(amount);
    json_t *returned = json_object_get(object, "returned_amount");
    if (is_told(returned) && (!json_is_integer(returned) || json_integer_value(returned) < 0)) {
        return bad(e, "returned_amount", "must be a whole number, and not less than zero");
    }
    // A bank writes zero for "no such sum". "Returned" without a sum is a contradiction, and not a return of the whole.
    if (out->status == PAYMENT_RETURNED && is_told(returned) && json_integer_value(returned) == 0) {
        return bad(e, "returned_amount", "must not be zero where money came back");
    }
    out->returned = json_integer_value(returned);
    out->retriable = json_is_true(retriable);
    out->payment_id = text_of(object, "payment_id", a);
    out->code = words_of(object, "code", a);
    out->text = words_of(object, "text", a);
    out->reference = text_of(object, "reference", a);
    return true;
}

static json_t *load(str json, err *e) {
    json_error_t fault;
    json_t *root = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &fault);
    if (root == NULL) {
        bad(e, "body", "is not JSON");
    }
    return root;
}

bool payment_parse(str json, arena *a, payment *out, err *e) {
    json_t *root = load(json, e);
    bool ok = root != NULL && payment_of(root, a, out, e);
    json_decref(root);
    return ok;
}

// True when any member, however deep, has a name of a payment or a sum. Searches the bytes, as a bank's own types have their own forms; at
// worst a person reads a harmless message.
static bool speaks_of_money(str json) {
    static const char *const NAMES[] = {"\"payment_id\"", "\"reference\"", "\"key\"",
                                        "\"amount\"",     "\"currency\"",  "\"returned_amount\""};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (memmem(json.ptr, json.len, NAMES[i], strlen(NAMES[i])) != NULL) {
            return true;
        }
    }
    return false;
}

// For a message of an unknown type: reads the payment's name, as far as it has the usual form.
static void name_payment(const char *type, str json, json_t *data, arena *a, payment *out) {
    json_t *key = json_object_get(data, "key"), *amount = json_object_get(data, "amount"),
           *currency = json_object_get(data, "currency");
    const bool money = strncasecmp(type, "payment.", 8) == 0 || speaks_of_money(json);
    *out = (payment){.status = money ? PAYMENT_OF_OTHER_TYPE : 0};
    if (json_string_length(key) == 64) {
        memcpy(out->key, json_string_value(key), 64);
    }
    if (is_currency(currency)) {
        memcpy(out->currency, json_string_value(currency), 3);
    }
    if (json_is_integer(amount) && json_integer_value(amount) > 0) {
        out->amount = json_integer_value(amount);
    }
    out->payment_id = text_of(data, "payment_id", a);
    out->reference = text_of(data, "reference", a);
}

bool webhook_parse(str json, arena *a, bool *known, payment *out, int64_t *at_us, err *e) {
    static const struct {
        const char *type;
        payment_status status;
    } TYPES[] = {{"payment.accepted", PAYMENT_ACCEPTED},
                 {"payment.settled", PAYMENT_SETTLED},
                 {"payment.refused", PAYMENT_REFUSED},
                 {"payment.returned", PAYMENT_RETURNED}};
    json_t *root = load(json, e);
    const char *type = json_string_value(json_object_get(root, "type"));
    const char *timestamp = json_string_value(json_object_get(root, "timestamp"));
    payment_status status = 0;
    bool ok = false;
    *known = false;
    if (root == NULL) {
        goto out;
    }
    if (type == NULL) {
        bad(e, "type", "must be a text");
        goto out;
    }
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (strcmp(type, TYPES[i].type) == 0) {
            *known = true;
            status = TYPES[i].status;
        }
    }
    if (!*known) {
        name_payment(type, json, json_object_get(root, "data"), a, out);
        ok = true;
        goto out;
    }
    if (timestamp == NULL || !rail_time_parse(str_of(timestamp), at_us)) {
        *at_us = 0; // no money depends on the time
    }
    if (!payment_of(json_object_get(root, "data"), a, out, e)) {
        goto out;
    }
    if (out->status != status) {
        bad(e, "status", "is not the one of the type");
        goto out;
    }
    ok = true;
out:
    json_decref(root);
    return ok;
}

// --- Requests --------------------------------------------------------------------------------------------------------

static void add_member(strbuf *b, const char *name, str value) {
    strbuf_printf(b, "\"%s\":", name);
    strbuf_add_json(b, value);
}

str payment_request(int64_t book_id, const rail_item *item, arena *a) {
    char *memory = arena_alloc(a, REQUEST_LEN_MAX), id[UUID_TEXT_LEN + 1];
    strbuf b;
    if (memory == NULL) {
        return (str){0};
    }
    strbuf_init_fixed(&b, memory, REQUEST_LEN_MAX);
    uuid_format(item->intent_id, id);
    strbuf_printf(&b, "{\"amount\":%" PRId64 ",", item->amount);
    add_member(&b, "currency", str_of(item->currency));
    strbuf_add_c(&b, ",\"creditor\":{");
    add_member(&b, "name", item->recipient_name);
    strbuf_add_char(&b, ',');
    add_member(&b, "routing_code", item->routing_code);
    strbuf_add_char(&b, ',');
    add_member(&b, "account_number", item->account_number);
    strbuf_printf(&b, ",\"account_type\":\"%s\"}",
                  item->account_type == ACCOUNT_SAVINGS ? "savings" : "checking");
    strbuf_printf(&b, ",\"reference\":\"%" PRId64 "/%s\",", book_id, id);
    add_member(&b, "description", item->description);
    strbuf_add_char(&b, '}');
    return strbuf_ok(&b) ? strbuf_str(&b) : (str){0};
}

bool reference_parse(str reference, int64_t *book_id, uuid *intent_id) {
    const char *slash = reference.len == 0 ? NULL : memchr(reference.ptr, '/', reference.len);
    if (slash == NULL) {
        return false;
    }
    size_t book_len = (size_t)(slash - reference.ptr);
    return str_to_i64((str){reference.ptr, book_len}, 1, INT64_MAX, book_id) &&
           uuid_parse((str){slash + 1, reference.len - book_len - 1}, intent_id);
}

// --- Answers ---------------------------------------------------------------------------------------------------------

static void decide(rail_item *item, rail_verdict verdict, str code, str text) {
    item->verdict = verdict;
    item->code = code;
    item->text = text;
}

// The object speaks of this attempt, and of the amount that we asked for.
static bool is_of_item(const payment *p, const rail_item *item) {
    return strcmp(p->key, item->key) == 0 && p->amount == item->amount &&
           strcmp(p->currency, item->currency) == 0;
}

// A payment object → verdict. Anything odd is UNKNOWN: whether money moves is never guessed.
static void from_payment(const http_exchange *x, rail_item *item, bool querying, arena *a) {
    payment p;
    err e = {0};
    if (!payment_parse(x->response, a, &p, &e)) {
        log_error("instant.answer.malformed", F_INT("status", x->status), F_STR("why", e.message));
        decide(item, RAIL_UNKNOWN, STR("BAD_ANSWER"),
               STR("the bank's answer cannot be understood"));
        return;
    }
    if (!is_of_item(&p, item)) {
        log_error("instant.answer.mismatch", F_STR("key", item->key),
                  F_INT("amount", item->amount));
        decide(item, RAIL_UNKNOWN, STR("ANSWER_MISMATCH"),
               STR("the bank's answer is about another payment"));
        return;
    }
    item->reference = p.payment_id;
    switch (p.status) {
    case PAYMENT_ACCEPTED: decide(item, RAIL_ACCEPTED, p.code, p.text); break;
    case PAYMENT_SETTLED: decide(item, RAIL_SETTLED, p.code, p.text); break;
    case PAYMENT_REFUSED:
        decide(item, p.retriable ? RAIL_REFUSED_RETRY : RAIL_REFUSED, p.code, p.text);
        break;
    case PAYMENT_RETURNED:
        // A submit has no such verdict: the query that follows says it. Where a part came back, the rest is settled, and the
        // part is told by a message of its own, or by asking again.
        decide(item,
               !querying                                 ? RAIL_UNKNOWN
               : p.returned > 0 && p.returned < p.amount ? RAIL_SETTLED
                                                         : RAIL_RETURNED,
               p.code, p.text);
        break;
    case PAYMENT_OF_OTHER_TYPE: break; // of messages only
    }
}

// 400: the bank will never take it as it is; says which field.
static void from_invalid(const http_exchange *x, rail_item *item, arena *a) {
    err e = {0};
    json_t *root = load(x->response, &e);
    const char *error = json_string_value(json_object_get(root, "error"));
    if (error == NULL || strcmp(error, "invalid") != 0) {
        // Not the bank's own refusal: perhaps a gateway's.
        decide(item, RAIL_UNKNOWN, STR("BAD_ANSWER"),
               STR("the bank's answer cannot be understood"));
    } else {
        str field = text_of(root, "field", a), message = text_of(root, "message", a);
        char *text =
            arena_printf(a, "%.*s: %.*s", (int)field.len, field.ptr, (int)message.len, message.ptr);
        decide(item, RAIL_REFUSED, STR("INVALID"), str_of(text));
    }
    json_decref(root);
}

void answer_to_submit(const http_exchange *x, rail_item *item, arena *a) {
    if (x->too_late) {
        decide(item, RAIL_NOT_SENT, STR("NOT_OURS"), STR("its lease was over before it left"));
        return;
    }
    if (x->outcome == HTTP_NOT_SENT) {
        decide(item, RAIL_NOT_SENT, STR("RAIL_UNREACHABLE"), STR("the bank could not be reached"));
        return;
    }
    if (x->outcome != HTTP_ANSWERED) {
        decide(item, RAIL_UNKNOWN, STR("NO_ANSWER"), STR("the bank did not answer"));
        return;
    }
    switch (x->status) {
    case 200:
    case 201: from_payment(x, item, false, a); break;
    case 400: from_invalid(x, item, a); break;
    case 401:
    case 403:
        log_error("instant.key_refused", F_INT("status", x->status));
        decide(item, RAIL_NOT_SENT, STR("RAIL_UNAUTHORIZED"), STR("the bank refused our API key"));
        break;
    case 409:
        // Intent and attempt determine the key and the body, so this is a bug, here or there.
        log_error("instant.key_reused", F_STR("key", item->key));
        decide(item, RAIL_UNKNOWN, STR("KEY_REUSED"),
               STR("the bank knows this key with another payment"));
        break;
    default:
        log_warn("instant.submit.unexpected", F_INT("status", x->status));
        decide(item, RAIL_UNKNOWN, STR("NO_ANSWER"), STR("the bank failed to answer"));
        break;
    }
}

bool answer_says_not_found(const http_exchange *x) {
    err e = {0};
    if (x->outcome != HTTP_ANSWERED || x->status != 404) {
        return false;
    }
    json_t *root = load(x->response, &e);
    const char *error = json_string_value(json_object_get(root, "error"));
    bool yes = error != NULL && strcmp(error, "not_found") == 0;
    json_decref(root);
    return yes;
}

bool answer_names_payment(const http_exchange *x) {
    // An otherwise malformed object is still about a payment.
    json_t *root = json_loadb(x->response.ptr, x->response.len, 0, NULL);
    const bool yes = json_string_length(json_object_get(root, "key")) > 0;
    json_decref(root);
    return yes;
}

void answer_to_query(const http_exchange *x, rail_item *item, arena *a) {
    if (x->outcome == HTTP_ANSWERED && x->status == 200) {
        from_payment(x, item, true, a);
    } else if (answer_says_not_found(x)) {
        decide(item, RAIL_NOT_SENT, STR("NOT_FOUND"), STR("the bank has not got it"));
    } else {
        if (x->outcome == HTTP_ANSWERED) {
            log_error("instant.query.unexpected", F_INT("status", x->status));
        }
        decide(item, RAIL_UNKNOWN, STR("NO_ANSWER"), STR("the bank could not be asked"));
    }
}
