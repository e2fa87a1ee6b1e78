#include "base/cond.h"

#include <errno.h>

#include "base/assert.h"

// Longer than any machine runs, and far below the end of time_t.
static const int64_t LAST_MS = INT64_C(1000) * 1000 * 1000 * 1000 * 1000;
enum { MS_PER_S = 1000, NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

void cond_init(pthread_cond_t *cond) {
    pthread_condattr_t monotonic;
    MUST(pthread_condattr_init(&monotonic) == 0);
    MUST(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    MUST(pthread_cond_init(cond, &monotonic) == 0);
    MUST(pthread_condattr_destroy(&monotonic) == 0);
}

struct timespec cond_at_ms(int64_t mono_ms) {
    mono_ms = mono_ms < LAST_MS ? mono_ms : LAST_MS;
    return (struct timespec){.tv_sec = mono_ms / MS_PER_S,
                             .tv_nsec = mono_ms % MS_PER_S * NS_PER_MS};
}

struct timespec cond_after_ms(int64_t ms) {
    struct timespec at;
    MUST(clock_gettime(CLOCK_MONOTONIC, &at) == 0);
    ms = ms < 0 ? 0 : ms;
    at.tv_sec += ms / MS_PER_S;
    at.tv_nsec += ms % MS_PER_S * NS_PER_MS;
    at.tv_sec += at.tv_nsec / NS_PER_S;
    at.tv_nsec %= NS_PER_S;
    return at;
}

bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until) {
    const int rc = pthread_cond_timedwait(cond, lock, until);
    ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}
