// Assertions that stay on in production: for what must be true. A broken one prints where and aborts (crash-only).
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include "base/err.h"

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            assert_failed(#condition, ERR_SITE);                                                   \
        }                                                                                          \
    } while (0)

_Noreturn void assert_failed(const char *condition, const char *site);

#endif
