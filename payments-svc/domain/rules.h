// The rules that a request must meet before it is money: field by field, without I/O. Each function fills *e with
// INVALID_ARGUMENT, the reason, and the field's path (`path` is what stands before the field's name, such as "payout.").
#ifndef DOMAIN_RULES_H
#define DOMAIN_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/money.h"
#include "base/str.h"
#include "base/uuid.h"

enum {
    RULE_KEY_MAX = 128,
    RULE_NAME_MAX = 140,
    RULE_MERCHANT_NAME_MAX = 200,
    RULE_REFERENCE_MAX = 128,
    RULE_DESCRIPTION_MAX = 10, // NACHA: company entry description is ten characters
    RULE_ACCOUNT_MAX = 17,     // NACHA: DFI account number is seventeen characters
    RULE_CURRENCIES_MAX = 16
};

// What a connection can carry; filled from those that are switched on.
typedef struct rule_rail {
    int id;          // its number
    int scheme;      // payments.v1.Rail
    bool is_default; // of its scheme: carries what names no connection
    const char *name;
    const char *currencies; // comma-separated
    int64_t amount_max;
    const char *fees; // as rule_fees takes it; NULL or "": none
} rule_rail;

// Fees of a connection: "USD 0.25, INR 3.00, some-merchant USD 0.10", in currencies that it carries, comma-separated. The line of a
// merchant stands above the line of all.
bool rule_fees(const char *fees, const char *currencies);
// Minor units that a payout of this merchant costs through the connection id; 0: nothing.
int64_t rule_fee(const rule_rail *rails, size_t n_rails, int id, str merchant_id,
                 str currency_code);

bool rule_merchant_id(str id, const char *field, err *e) WARN_UNUSED;
bool rule_key(str key, const char *path, err *e) WARN_UNUSED;
// The label of an account at a bank: 1 to 32 of a-z, 0-9, '-' and '_'.
bool rule_bank_account(str label);
// Text of min…max bytes, without control characters.
bool rule_text(str s, size_t min, size_t max, const char *path, const char *name,
               err *e) WARN_UNUSED;
bool rule_uuid(str s, const char *path, const char *name, uuid *out, err *e) WARN_UNUSED;
bool rule_currency(str s, const char *path, const currency **out, err *e) WARN_UNUSED;
bool rule_amount(int64_t amount_minor, const char *path, err *e) WARN_UNUSED;
// What carries a payout that names a rail (0: none), a connection (empty: none), or both: *id is its number. Both must agree, and it
// must be switched on. preferred: the number of the connection that the merchant has for this rail, which carries what names only the
// rail; 0: none, and the rail's own one does.
bool rule_connection(const rule_rail *rails, size_t n_rails, int rail, str connection,
                     int preferred, const char *path, int *id, err *e) WARN_UNUSED;
// The connection id, which is one of these, carries the currency, and the amount is within its limit.
bool rule_rail_carries(const rule_rail *rails, size_t n_rails, int id, str currency_code,
                       int64_t amount_minor, const char *path, err *e) WARN_UNUSED;
// ABA routing number with its check digit (USD), or IFSC (INR).
bool rule_routing_code(str code, str currency_code, const char *path, err *e) WARN_UNUSED;
bool rule_account_number(str s, const char *path, err *e) WARN_UNUSED;
// Up to ten printable ASCII characters.
bool rule_description(str s, const char *path, err *e) WARN_UNUSED;

// Weights 3 7 1 over nine digits, sum divisible by ten (reference: NACHA check digit).
bool aba_check_digit_ok(str nine_digits);
// True when the comma-separated list has the item.
bool list_has(const char *comma_list, str item);

#endif
