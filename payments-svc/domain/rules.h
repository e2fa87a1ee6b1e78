// The rules for a request, field by field, without I/O. On a breach each function fills *e with INVALID_ARGUMENT, the reason, and the
// field's path. `path` is the part before the field's name, such as "payout.".
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

// The limits of a connection, for each one that is switched on.
typedef struct rule_rail {
    int id;          // its number
    int scheme;      // payments.v1.Rail
    bool is_default; // of its scheme: takes payouts that name no connection
    const char *name;
    const char *currencies; // comma-separated
    int64_t amount_max;
    const char *fees; // as rule_fees takes it; NULL or "": none
} rule_rail;

// Checks the fees of a connection: "USD 0.25, INR 3.00, some-merchant USD 0.10", comma-separated, in its currencies. A merchant's own line
// goes before the common one.
bool rule_fees(const char *fees, const char *currencies);
// The fee of this merchant's payout through the connection id, in minor units; 0: none.
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
// Finds the connection of a payout that names a rail (0: none), a connection (empty: none), or both: *id is its number. Both must agree,
// and it must be switched on. preferred: the number of the merchant's connection for this rail, used when only the rail is named; 0: the
// rail's own default.
bool rule_connection(const rule_rail *rails, size_t n_rails, int rail, str connection,
                     int preferred, const char *path, int *id, err *e) WARN_UNUSED;
// Checks that the connection id, one of these, carries the currency, and that the amount is within its limit.
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
