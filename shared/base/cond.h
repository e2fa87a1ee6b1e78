// Waits that end: condition variables whose waits use monotonic time, which nobody steps.
#ifndef BASE_COND_H
#define BASE_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

// Makes a condition variable for cond_wait_until. Ended by pthread_cond_destroy, like any other.
void cond_init(pthread_cond_t *cond);
// The time `ms` milliseconds from now; now if ms is not positive.
struct timespec cond_after_ms(int64_t ms);
// The time at which clock_mono_ms of clock_system will be `mono_ms`.
struct timespec cond_at_ms(int64_t mono_ms);
// Waits for a signal with the lock held, like pthread_cond_wait: the caller must check its condition again. False: the time is over. `cond`
// was made by cond_init.
bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until);

#endif
