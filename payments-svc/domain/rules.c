#include "domain/rules.h"

#include <string.h>

#include "base/assert.h"

typedef struct field_path {
    char text[64];
} field_path;

// Built by hand: every field of every payout passes here, and a formatter costs more than the check itself.
static field_path path_of(const char *path, const char *name) {
    field_path f;
    const size_t room = sizeof f.text - 1;
    const size_t first = strnlen(path, room), second = strnlen(name, room - first);
    memcpy(f.text, path, first);
    memcpy(f.text + first, name, second);
    f.text[first + second] = '\0';
    return f;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}

static bool all_digits(str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool list_has(const char *comma_list, str item) {
    const char *at = comma_list;
    while (*at != '\0') {
        const size_t len = strcspn(at, ",");
        if (len == item.len && memcmp(at, item.ptr, len) == 0) {
            return true;
        }
        at += len + (at[len] == ',' ? 1 : 0);
    }
    return false;
}

bool rule_merchant_id(str id, const char *field, err *e) {
    if (id.len == 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_MISSING", field, "%s is missing",
                             field);
    }
    bool ok = id.len <= 64 && (is_lower(id.ptr[0]) || is_digit(id.ptr[0]));
    for (size_t i = 0; ok && i < id.len; i++) {
        const char c = id.ptr[i];
        ok = is_lower(c) || is_digit(c) || c == '-' || c == '_';
    }
    if (!ok) {
        return err_set_field(
            e, ERR_INVALID_ARGUMENT, "MERCHANT_ID_INVALID", field,
            "%s must be 1 to 64 of a-z, 0-9, '-' and '_', beginning with a letter or digit", field);
    }
    return true;
}

bool rule_bank_account(str label) {
    enum { LABEL_MAX = 32 };
    bool ok = label.len >= 1 && label.len <= LABEL_MAX;
    for (size_t i = 0; ok && i < label.len; i++) {
        const char c = label.ptr[i];
        ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    }
    return ok;
}

bool rule_key(str key, const char *path, err *e) {
    const field_path f = path_of(path, "idempotency_key");
    if (key.len == 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "IDEMPOTENCY_KEY_MISSING", f.text,
                             "%s is missing", f.text);
    }
    if (key.len > RULE_KEY_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_TOO_LONG", f.text,
                             "%s is longer than %d bytes", f.text, RULE_KEY_MAX);
    }
    return true;
}

bool rule_text(str s, size_t min, size_t max, const char *path, const char *name, err *e) {
    const field_path f = path_of(path, name);
    if (s.len < min) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_MISSING", f.text, "%s is missing",
                             f.text);
    }
    if (s.len > max) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_TOO_LONG", f.text,
                             "%s is longer than %zu bytes", f.text, max);
    }
    return str_is_plain(s.ptr, s.len) ||
           err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_INVALID", f.text,
                         "%s has a control character", f.text);
}

bool rule_uuid(str s, const char *path, const char *name, uuid *out, err *e) {
    const field_path f = path_of(path, name);
    if (s.len == 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_MISSING", f.text, "%s is missing",
                             f.text);
    }
    if (!uuid_parse(s, out)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "UUID_INVALID", f.text, "%s is not a UUID",
                             f.text);
    }
    return true;
}

bool rule_currency(str s, const char *path, const currency **out, err *e) {
    const field_path f = path_of(path, "currency");
    *out = currency_find(s);
    if (*out == NULL) {
        return err_set_field(e, ERR_INVALID_ARGUMENT,
                             s.len == 0 ? "FIELD_MISSING" : "CURRENCY_UNKNOWN", f.text,
                             "%s must be an ISO 4217 code such as USD", f.text);
    }
    return true;
}

bool rule_amount(int64_t amount_minor, const char *path, err *e) {
    const field_path f = path_of(path, "amount_minor");
    if (amount_minor <= 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "AMOUNT_NOT_POSITIVE", f.text,
                             "%s must be above 0", f.text);
    }
    return true;
}

// True when the payout asks for this connection.
static bool is_meant(const rule_rail *r, int rail, str connection, int preferred) {
    if (connection.len > 0) {
        return str_eq_c(connection, r->name);
    }
    return r->scheme == rail && (preferred != 0 ? r->id == preferred : r->is_default);
}

bool rule_connection(const rule_rail *rails, size_t n_rails, int rail, str connection,
                     int preferred, const char *path, int *id, err *e) {
    const field_path f_rail = path_of(path, "rail");
    const field_path f_connection = path_of(path, "connection");
    const rule_rail *found = NULL;
    for (size_t i = 0; i < n_rails; i++) {
        found = is_meant(&rails[i], rail, connection, preferred) ? &rails[i] : found;
    }
    if (found == NULL && connection.len > 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "CONNECTION_NOT_AVAILABLE", f_connection.text,
                             "%s must name a connection that is switched on", f_connection.text);
    }
    if (found == NULL && preferred != 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "CONNECTION_NOT_AVAILABLE", f_rail.text,
                             "the merchant's default connection of this rail is not switched on: "
                             "name another one, or change the default");
    }
    if (found == NULL) {
        return err_set_field(e, ERR_INVALID_ARGUMENT,
                             rail == 0 ? "FIELD_MISSING" : "RAIL_NOT_AVAILABLE", f_rail.text,
                             "%s must name a rail that is switched on", f_rail.text);
    }
    if (rail != 0 && rail != found->scheme) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "CONNECTION_OF_ANOTHER_RAIL",
                             f_connection.text, "connection %s is of another rail", found->name);
    }
    *id = found->id;
    return true;
}

bool rule_rail_carries(const rule_rail *rails, size_t n_rails, int id, str currency_code,
                       int64_t amount_minor, const char *path, err *e) {
    const field_path f_currency = path_of(path, "currency");
    const field_path f_amount = path_of(path, "amount_minor");
    const rule_rail *found = NULL;
    for (size_t i = 0; i < n_rails; i++) {
        found = rails[i].id == id ? &rails[i] : found;
    }
    ASSERT(found != NULL);
    if (!list_has(found->currencies, currency_code)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "CURRENCY_NOT_SUPPORTED_BY_RAIL",
                             f_currency.text, "rail %s carries %s only", found->name,
                             found->currencies);
    }
    if (amount_minor > found->amount_max) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "AMOUNT_TOO_LARGE", f_amount.text,
                             "%s is above the limit of rail %s, %lld minor units", f_amount.text,
                             found->name, (long long)found->amount_max);
    }
    return true;
}

bool aba_check_digit_ok(str s) {
    static const int WEIGHTS[9] = {3, 7, 1, 3, 7, 1, 3, 7, 1};
    if (s.len != 9 || !all_digits(s)) {
        return false;
    }
    int sum = 0;
    for (size_t i = 0; i < 9; i++) {
        sum += WEIGHTS[i] * (s.ptr[i] - '0');
    }
    return sum % 10 == 0 && sum > 0;
}

// IFSC: four letters of the bank, a zero, six letters or digits of the branch.
static bool ifsc_ok(str s) {
    bool ok = s.len == 11 && s.ptr[4] == '0';
    for (size_t i = 0; ok && i < s.len; i++) {
        ok = is_upper(s.ptr[i]) || (i >= 4 && is_digit(s.ptr[i]));
    }
    return ok;
}

bool rule_routing_code(str code, str currency_code, const char *path, err *e) {
    const field_path f = path_of(path, "routing_code");
    if (code.len == 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_MISSING", f.text, "%s is missing",
                             f.text);
    }
    if (str_eq_c(currency_code, "USD") && !aba_check_digit_ok(code)) {
        return err_set_field(
            e, ERR_INVALID_ARGUMENT, "ROUTING_NUMBER_INVALID", f.text,
            "%s must be nine digits with a right check digit, since the currency is USD", f.text);
    }
    if (str_eq_c(currency_code, "INR") && !ifsc_ok(code)) {
        return err_set_field(
            e, ERR_INVALID_ARGUMENT, "IFSC_INVALID", f.text,
            "%s must be an IFSC (four letters, a zero, six letters or digits), since the "
            "currency is INR: a payout by ACH is in USD",
            f.text);
    }
    if (!str_eq_c(currency_code, "USD") && !str_eq_c(currency_code, "INR")) {
        const field_path f_currency = path_of(path, "currency");
        return err_set_field(e, ERR_INVALID_ARGUMENT, "CURRENCY_NOT_SUPPORTED", f_currency.text,
                             "%s must be USD or INR", f_currency.text);
    }
    return true;
}

bool rule_account_number(str s, const char *path, err *e) {
    const field_path f = path_of(path, "account_number");
    if (s.len == 0) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_MISSING", f.text, "%s is missing",
                             f.text);
    }
    bool ok = s.len <= RULE_ACCOUNT_MAX;
    for (size_t i = 0; ok && i < s.len; i++) {
        const char c = s.ptr[i];
        ok = is_digit(c) || is_upper(c) || is_lower(c);
    }
    if (!ok) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "ACCOUNT_NUMBER_INVALID", f.text,
                             "%s must be 1 to %d letters or digits", f.text, RULE_ACCOUNT_MAX);
    }
    return true;
}

bool rule_description(str s, const char *path, err *e) {
    const field_path f = path_of(path, "description");
    if (s.len > RULE_DESCRIPTION_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_TOO_LONG", f.text,
                             "%s is longer than %d characters", f.text, RULE_DESCRIPTION_MAX);
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e) {
            return err_set_field(e, ERR_INVALID_ARGUMENT, "FIELD_INVALID", f.text,
                                 "%s must be printable ASCII", f.text);
        }
    }
    return true;
}

// --- Fees ------------------------------------------------------------------------------------------------------------

enum { FEE_MAX = 1000000000 }; // minor units: a larger fee is a typing error

typedef struct fee_line {
    str merchant_id; // empty: all merchants without a line of their own
    const currency *ccy;
    int64_t amount;
} fee_line;

// The next word of the text, ended by a blank or the text's end; empty when there is none.
static str next_word(str *rest) {
    while (rest->len > 0 && rest->ptr[0] == ' ') {
        rest->ptr++;
        rest->len--;
    }
    str word = {rest->ptr, 0};
    while (word.len < rest->len && rest->ptr[word.len] != ' ') {
        word.len++;
    }
    rest->ptr += word.len;
    rest->len -= word.len;
    return word;
}

// Takes the text before the next comma.
static bool read_fee_line(str *rest, fee_line *out) {
    str line = {rest->ptr, 0};
    err unused = {0};
    while (line.len < rest->len && rest->ptr[line.len] != ',') {
        line.len++;
    }
    const size_t taken = line.len < rest->len ? line.len + 1 : line.len;
    rest->ptr += taken;
    rest->len -= taken;
    str words[3] = {next_word(&line), next_word(&line), next_word(&line)};
    const size_t at = words[2].len > 0 ? 1 : 0;
    *out = (fee_line){.merchant_id = at == 1 ? words[0] : STR(""), .ccy = currency_find(words[at])};
    return next_word(&line).len == 0 && out->ccy != NULL &&
           (at == 0 || rule_merchant_id(words[0], "merchant_id", &unused)) &&
           money_parse(words[at + 1], out->ccy, &out->amount) && out->amount <= FEE_MAX;
}

bool rule_fees(const char *fees, const char *currencies) {
    str rest = str_of(fees);
    fee_line line;
    bool ok = true;
    while (ok && rest.len > 0) {
        ok = rest.ptr[rest.len - 1] != ',' && read_fee_line(&rest, &line) &&
             list_has(currencies, str_of(line.ccy->code));
    }
    return ok;
}

int64_t rule_fee(const rule_rail *rails, size_t n_rails, int id, str merchant_id,
                 str currency_code) {
    int64_t of_all = 0;
    for (size_t i = 0; i < n_rails; i++) {
        str rest = str_of(rails[i].id == id ? rails[i].fees : NULL);
        fee_line line;
        while (rest.len > 0 && read_fee_line(&rest, &line)) {
            if (!str_eq_c(currency_code, line.ccy->code)) {
                continue;
            }
            if (line.merchant_id.len > 0 && str_eq(line.merchant_id, merchant_id)) {
                return line.amount;
            }
            of_all = line.merchant_id.len == 0 ? line.amount : of_all;
        }
    }
    return of_all;
}
