#include "base/money.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

bool ck_add_i64(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

bool ck_sub_i64(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_sub_overflow(a, b, out);
}

bool ck_mul_i64(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

// ISO 4217 list one as of November 2026 (BGN went with the euro, ANG became XCG, ZWL became ZWG), sorted by code.
// Metals, bond units and test codes are missing: they have no minor unit, so no payment can use them.
static const currency CURRENCIES[] = {
    {"AED", 2}, {"AFN", 2}, {"ALL", 2}, {"AMD", 2}, {"AOA", 2}, {"ARS", 2}, {"AUD", 2}, {"AWG", 2},
    {"AZN", 2}, {"BAM", 2}, {"BBD", 2}, {"BDT", 2}, {"BHD", 3}, {"BIF", 0}, {"BMD", 2}, {"BND", 2},
    {"BOB", 2}, {"BOV", 2}, {"BRL", 2}, {"BSD", 2}, {"BTN", 2}, {"BWP", 2}, {"BYN", 2}, {"BZD", 2},
    {"CAD", 2}, {"CDF", 2}, {"CHE", 2}, {"CHF", 2}, {"CHW", 2}, {"CLF", 4}, {"CLP", 0}, {"CNY", 2},
    {"COP", 2}, {"COU", 2}, {"CRC", 2}, {"CUP", 2}, {"CVE", 2}, {"CZK", 2}, {"DJF", 0}, {"DKK", 2},
    {"DOP", 2}, {"DZD", 2}, {"EGP", 2}, {"ERN", 2}, {"ETB", 2}, {"EUR", 2}, {"FJD", 2}, {"FKP", 2},
    {"GBP", 2}, {"GEL", 2}, {"GHS", 2}, {"GIP", 2}, {"GMD", 2}, {"GNF", 0}, {"GTQ", 2}, {"GYD", 2},
    {"HKD", 2}, {"HNL", 2}, {"HTG", 2}, {"HUF", 2}, {"IDR", 2}, {"ILS", 2}, {"INR", 2}, {"IQD", 3},
    {"IRR", 2}, {"ISK", 0}, {"JMD", 2}, {"JOD", 3}, {"JPY", 0}, {"KES", 2}, {"KGS", 2}, {"KHR", 2},
    {"KMF", 0}, {"KPW", 2}, {"KRW", 0}, {"KWD", 3}, {"KYD", 2}, {"KZT", 2}, {"LAK", 2}, {"LBP", 2},
    {"LKR", 2}, {"LRD", 2}, {"LSL", 2}, {"LYD", 3}, {"MAD", 2}, {"MDL", 2}, {"MGA", 2}, {"MKD", 2},
    {"MMK", 2}, {"MNT", 2}, {"MOP", 2}, {"MRU", 2}, {"MUR", 2}, {"MVR", 2}, {"MWK", 2}, {"MXN", 2},
    {"MXV", 2}, {"MYR", 2}, {"MZN", 2}, {"NAD", 2}, {"NGN", 2}, {"NIO", 2}, {"NOK", 2}, {"NPR", 2},
    {"NZD", 2}, {"OMR", 3}, {"PAB", 2}, {"PEN", 2}, {"PGK", 2}, {"PHP", 2}, {"PKR", 2}, {"PLN", 2},
    {"PYG", 0}, {"QAR", 2}, {"RON", 2}, {"RSD", 2}, {"RUB", 2}, {"RWF", 0}, {"SAR", 2}, {"SBD", 2},
    {"SCR", 2}, {"SDG", 2}, {"SEK", 2}, {"SGD", 2}, {"SHP", 2}, {"SLE", 2}, {"SOS", 2}, {"SRD", 2},
    {"SSP", 2}, {"STN", 2}, {"SVC", 2}, {"SYP", 2}, {"SZL", 2}, {"THB", 2}, {"TJS", 2}, {"TMT", 2},
    {"TND", 3}, {"TOP", 2}, {"TRY", 2}, {"TTD", 2}, {"TWD", 2}, {"TZS", 2}, {"UAH", 2}, {"UGX", 0},
    {"USD", 2}, {"USN", 2}, {"UYI", 0}, {"UYU", 2}, {"UYW", 4}, {"UZS", 2}, {"VED", 2}, {"VES", 2},
    {"VND", 0}, {"VUV", 0}, {"WST", 2}, {"XAD", 2}, {"XAF", 0}, {"XCD", 2}, {"XCG", 2}, {"XOF", 0},
    {"XPF", 0}, {"YER", 2}, {"ZAR", 2}, {"ZMW", 2}, {"ZWG", 2},
};

enum { CODE_LEN = 3, EXPONENT_MAX = 4 };

static int compare_code(const void *code, const void *entry) {
    return memcmp(code, ((const currency *)entry)->code, CODE_LEN);
}

const currency *currency_find(str code) {
    if (code.len != CODE_LEN) {
        return NULL;
    }
    return bsearch(code.ptr, CURRENCIES, sizeof(CURRENCIES) / sizeof(CURRENCIES[0]),
                   sizeof(CURRENCIES[0]), compare_code);
}

static uint64_t power_of_ten(int exponent) {
    static const uint64_t POWERS[EXPONENT_MAX + 1] = {1, 10, 100, 1000, 10000};
    ASSERT(exponent >= 0 && exponent <= EXPONENT_MAX);
    return POWERS[exponent];
}

void money_format(int64_t minor, const currency *ccy, char *out, size_t out_len) {
    // Unsigned, because the magnitude of INT64_MIN has no signed form.
    uint64_t magnitude = minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor;
    const char *sign = minor < 0 ? "-" : "";
    uint64_t scale = power_of_ten(ccy->exponent);
    int n = 0;
    if (ccy->exponent == 0) {
        n = snprintf(out, out_len, "%s%llu", sign, (unsigned long long)magnitude);
    } else {
        n = snprintf(out, out_len, "%s%llu.%0*llu", sign, (unsigned long long)(magnitude / scale),
                     ccy->exponent, (unsigned long long)(magnitude % scale));
    }
    ASSERT(n > 0 && (size_t)n < out_len);
}

bool money_parse(str text, const currency *ccy, int64_t *minor) {
    int64_t value = 0;
    size_t n_whole = 0;
    int n_fraction = -1; // -1: no point yet
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && n_fraction < 0 && n_whole > 0) {
            n_fraction = 0;
            continue;
        }
        if (c < '0' || c > '9' || n_fraction >= ccy->exponent || !ck_mul_i64(value, 10, &value) ||
            !ck_add_i64(value, c - '0', &value)) {
            return false;
        }
        if (n_fraction < 0) {
            n_whole++;
        } else {
            n_fraction++;
        }
    }
    if (n_whole == 0 || n_fraction == 0) {
        return false; // no digits, or none after the point
    }
    int missing = ccy->exponent - (n_fraction < 0 ? 0 : n_fraction);
    if (!ck_mul_i64(value, (int64_t)power_of_ten(missing), &value)) {
        return false;
    }
    *minor = value;
    return true;
}
