#include "cases/kinds.h"

#include <stddef.h>

#include "base/assert.h"

#define HOUR_US ((int64_t)3600 * 1000000)

static const case_order ORDERS[CASE_N_RESOLUTIONS] = {
#define ORDER_ROW(name, event, moves_money, meaning) {#name, event, moves_money, meaning},
    CASE_RESOLUTIONS(ORDER_ROW)
#undef ORDER_ROW
};

static const case_kind KINDS[] = {
#define KIND_ROW(name, subject, hours, allowed, meaning, next_step)                                \
    {#name, subject, (hours)*HOUR_US, allowed, meaning, next_step},
    CASE_KINDS(KIND_ROW)
#undef KIND_ROW
};
enum { N_KINDS = sizeof KINDS / sizeof KINDS[0] };

static const case_kind UNKNOWN = {
    "",
    "",
    4 * HOUR_US,
    CASE_NOTES_ONLY,
    "A newer or older version of the service opened it.",
    "Read what the case says. This version knows no more of its kind."};

const case_kind *case_kind_of(str name) {
    for (size_t i = 0; i < N_KINDS; i++) {
        if (str_eq_c(name, KINDS[i].name)) {
            return &KINDS[i];
        }
    }
    return &UNKNOWN;
}

bool case_kind_is_known(str name) {
    return case_kind_of(name) != &UNKNOWN;
}

const char *case_kind_names(void) {
#define KIND_NAME(name, subject, hours, allowed, meaning, next_step) ", " #name
    static const char NAMES[] = CASE_KINDS(KIND_NAME);
#undef KIND_NAME
    return NAMES + sizeof ", " - 1;
}

const case_order *case_order_of(str name) {
    for (size_t i = 0; i < CASE_N_RESOLUTIONS; i++) {
        if (str_eq_c(name, ORDERS[i].name)) {
            return &ORDERS[i];
        }
    }
    return NULL;
}

const char *case_order_names(void) {
#define ORDER_NAME(name, event, moves_money, meaning) ", " #name
    static const char NAMES[] = CASE_RESOLUTIONS(ORDER_NAME);
#undef ORDER_NAME
    return NAMES + sizeof ", " - 1;
}

const case_order *case_order_at(case_resolution which) {
    ASSERT((int)which >= 0 && which < CASE_N_RESOLUTIONS);
    return &ORDERS[which];
}

uint32_t case_order_bit(const case_order *o) {
    const ptrdiff_t at = o - ORDERS;
    ASSERT(at >= 0 && at < CASE_N_RESOLUTIONS);
    return 1u << at;
}

const case_kind *case_kind_at(size_t index) {
    return index < N_KINDS ? &KINDS[index] : NULL;
}
