// The rules for a payment: every field is there, of the right type, and no other field.
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/money.h"
#include "instant/instant_internal.h"

static bool wrong(err *e, const char *field, const char *why) {
    return err_set_field(e, ERR_INVALID_ARGUMENT, "INVALID", field, "%s", why);
}

static bool is_alnum(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// Text of 1 (or 0) to max characters without control characters. Counts bytes, which is never less: near enough for a bank.
static bool is_line(str s, size_t min, size_t max) {
    if (s.len < min || s.len > max) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f) {
            return false;
        }
    }
    return s.len == 0 || (s.ptr[0] != ' ' && s.ptr[s.len - 1] != ' ');
}

static bool is_aba(str s) {
    static const int WEIGHTS[] = {3, 7, 1, 3, 7, 1, 3, 7, 1};
    int sum = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.len != 9 || !is_digit(s.ptr[i])) {
            return false;
        }
        sum += WEIGHTS[i] * (s.ptr[i] - '0');
    }
    return s.len == 9 && sum > 0 && sum % 10 == 0;
}

// Four capitals, a zero, six capitals or digits.
static bool is_ifsc(str s) {
    for (size_t i = 0; i < s.len; i++) {
        bool capital = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z';
        if (s.len != 11 || (i < 4 && !capital) || (i == 4 && s.ptr[i] != '0') ||
            (i > 4 && !capital && !is_digit(s.ptr[i]))) {
            return false;
        }
    }
    return s.len == 11;
}

static bool is_account(str s, const char *ccy) {
    bool inr = strcmp(ccy, "INR") == 0;
    for (size_t i = 0; i < s.len; i++) {
        if (!(inr ? is_digit(s.ptr[i]) : is_alnum(s.ptr[i]) || s.ptr[i] == '-')) {
            return false;
        }
    }
    return inr ? s.len >= 6 && s.len <= 18 : s.len >= 1 && s.len <= 17;
}

static bool is_reference(str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.ptr[i]) && strchr("/_-.", s.ptr[i]) == NULL) {
            return false;
        }
    }
    return s.len >= 1 && s.len <= BOOKS_REFERENCE_MAX;
}

// The member as text. A missing member, or one that is no string, is empty, which every rule refuses.
static str text_of(const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? (str){json_string_value(v), json_string_length(v)} : (str){"", 0};
}

static bool only_known(json_t *object, const char *prefix, const char *const *names, size_t n,
                       err *e) {
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value) {
        bool known = false;
        for (size_t i = 0; i < n; i++) {
            known = known || strcmp(key, names[i]) == 0;
        }
        if (!known) {
            char field[64];
            (void)snprintf(field, sizeof(field), "%s%.40s", prefix, key);
            return wrong(e, field, "is not a field of a payment");
        }
    }
    return true;
}

static void keep(char *out, size_t size, str text) {
    (void)snprintf(out, size, "%.*s", (int)text.len, text.ptr);
}

static bool check_creditor(const json_t *root, const char *ccy, instant_request *out, err *e) {
    static const char *const NAMES[] = {"name", "routing_code", "account_number", "account_type"};
    json_t *creditor = json_object_get(root, "creditor");
    if (!json_is_object(creditor)) {
        return wrong(e, "creditor", "must be an object");
    }
    if (!only_known(creditor, "creditor.", NAMES, sizeof(NAMES) / sizeof(NAMES[0]), e)) {
        return false;
    }
    if (!is_line(text_of(creditor, "name"), 1, INSTANT_NAME_MAX)) {
        return wrong(e, "creditor.name",
                     "must be 1 to 140 bytes of text without control characters");
    }
    str routing = text_of(creditor, "routing_code");
    if (strcmp(ccy, "USD") == 0 && !is_aba(routing)) {
        return wrong(e, "creditor.routing_code", "must be nine digits with a right check digit");
    }
    if (strcmp(ccy, "INR") == 0 && !is_ifsc(routing)) {
        return wrong(e, "creditor.routing_code",
                     "must be an IFSC: four letters, a zero, six letters or digits");
    }
    if (!is_account(text_of(creditor, "account_number"), ccy)) {
        return wrong(e, "creditor.account_number", "is not an account number of this currency");
    }
    str type = text_of(creditor, "account_type");
    if (!str_eq_c(type, "checking") && !str_eq_c(type, "savings")) {
        return wrong(e, "creditor.account_type", "must be checking or savings");
    }
    keep(out->name, sizeof(out->name), text_of(creditor, "name"));
    keep(out->routing, sizeof(out->routing), routing);
    keep(out->account, sizeof(out->account), text_of(creditor, "account_number"));
    out->savings = str_eq_c(type, "savings");
    return true;
}

static bool check_root(json_t *root, int64_t amount_max, instant_request *out, err *e) {
    static const char *const NAMES[] = {"amount", "currency", "creditor", "reference",
                                        "description"};
    const json_t *amount = json_object_get(root, "amount");
    const json_t *description = json_object_get(root, "description");
    if (!only_known(root, "", NAMES, sizeof(NAMES) / sizeof(NAMES[0]), e)) {
        return false;
    }
    if (!json_is_integer(amount) || json_integer_value(amount) <= 0 ||
        json_integer_value(amount) > amount_max) {
        (void)wrong(
            e, "amount",
            "must be a whole number of minor units, greater than zero and within the limit");
        return false;
    }
    str ccy = text_of(root, "currency"), reference = text_of(root, "reference");
    if (!str_eq_c(ccy, "USD") && !str_eq_c(ccy, "INR")) {
        return wrong(e, "currency", "must be USD or INR");
    }
    if (!is_reference(reference)) {
        return wrong(e, "reference", "must be 1 to 64 letters, digits and / _ - .");
    }
    if (description != NULL &&
        (!json_is_string(description) ||
         !is_line(text_of(root, "description"), 0, INSTANT_DESCRIPTION_MAX))) {
        return wrong(e, "description",
                     "must be at most 140 bytes of text without control characters");
    }
    out->amount = json_integer_value(amount);
    (void)snprintf(out->currency, sizeof(out->currency), "%s", ccy.ptr);
    keep(out->reference, sizeof(out->reference), reference);
    keep(out->description, sizeof(out->description), text_of(root, "description"));
    return check_creditor(root, out->currency, out, e);
}

bool instant_request_parse(str body, int64_t amount_max, instant_request *out, err *e) {
    json_error_t why;
    json_t *root =
        json_loadb(body.len == 0 ? "" : body.ptr, body.len, JSON_REJECT_DUPLICATES, &why);
    bool ok = false;
    if (root == NULL || !json_is_object(root)) {
        ok = wrong(e, "body", "must be a JSON object");
    } else {
        ok = check_root(root, amount_max, out, e);
    }
    json_decref(root);
    return ok;
}

bool instant_is_key(str key) {
    for (size_t i = 0; i < key.len; i++) {
        if (!is_digit(key.ptr[i]) && !(key.ptr[i] >= 'a' && key.ptr[i] <= 'f')) {
            return false;
        }
    }
    return key.len == BOOKS_KEY_LEN;
}
