// Assertions that stay on in production: for what must be true. A broken one prints where and aborts (crash-only).
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include "base/err.h"

// Says what is true. The condition has no effect: without the line the program does the same. The lint (assert-effect) holds to it.
#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            assert_failed(#condition, ERR_SITE);                                                   \
        }                                                                                          \
    } while (0)

// Does what the expression says, which must succeed: for calls whose failure this program cannot outlive.
#define MUST(success)                                                                              \
    do {                                                                                           \
        if (__builtin_expect(!(success), 0)) {                                                     \
            assert_failed(#success, ERR_SITE);                                                     \
        }                                                                                          \
    } while (0)

_Noreturn void assert_failed(const char *condition, const char *site);

#endif
