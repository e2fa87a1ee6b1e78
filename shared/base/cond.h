// Waiting for a condition with an end: condition variables whose waits measure monotonic time, which nobody steps.
#ifndef BASE_COND_H
#define BASE_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

// For cond_wait_until. The end of its life is pthread_cond_destroy, as for every condition variable.
void cond_init(pthread_cond_t *cond);
// The time `ms` milliseconds from now; now, when that is not positive.
struct timespec cond_after_ms(int64_t ms);
// The time at which clock_mono_ms of clock_system will be `mono_ms`.
struct timespec cond_at_ms(int64_t mono_ms);
// Waits for a signal with the lock held, as pthread_cond_wait does: the caller looks again what it waits for. False: the time is over.
// `cond` was made by cond_init.
bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until);

#endif
