// Assertions of invariants; they stay on in production. A broken one prints its place and aborts (crash-only).
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include "base/err.h"

// States an invariant. The condition has no effect: without the line the program does the same. The lint (assert-effect) checks this.
#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            assert_failed(#condition, ERR_SITE);                                                   \
        }                                                                                          \
    } while (0)

// Evaluates an expression that must succeed: for calls whose failure the program cannot survive.
#define MUST(success)                                                                              \
    do {                                                                                           \
        if (__builtin_expect(!(success), 0)) {                                                     \
            assert_failed(#success, ERR_SITE);                                                     \
        }                                                                                          \
    } while (0)

_Noreturn void assert_failed(const char *condition, const char *site);

#endif
