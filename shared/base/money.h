// Money: int64 minor units and an ISO 4217 currency. No floating point anywhere.
#ifndef BASE_MONEY_H
#define BASE_MONEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

// Overflow-checked; false when the result does not fit.
bool ck_add_i64(int64_t a, int64_t b, int64_t *out) WARN_UNUSED;
bool ck_sub_i64(int64_t a, int64_t b, int64_t *out) WARN_UNUSED;
bool ck_mul_i64(int64_t a, int64_t b, int64_t *out) WARN_UNUSED;

typedef struct currency {
    char code[4];    // ISO 4217, upper case, NUL-terminated
    int8_t exponent; // digits after the point: USD 2, JPY 0, KWD 3
} currency;

// NULL when the code is not an active ISO 4217 currency. The pointer is static.
const currency *currency_find(str code);
// "1234.50" with the currency's digits, no grouping; out holds at least 32 bytes.
void money_format(int64_t minor, const currency *ccy, char *out, size_t out_len);
// Decimal text to minor units: digits, at most one point, at most `exponent` digits after it, no sign, no blanks,
// no exponent notation. False on anything else or overflow.
bool money_parse(str text, const currency *ccy, int64_t *minor) WARN_UNUSED;

#endif
