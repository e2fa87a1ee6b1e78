// Errors that are logged at most once a second.
#include "base/clock.h"
#include "base/log.h"
#include "saga/saga_internal.h"

bool saga_may_complain(saga_complaint *c) {
    const int64_t now_ms = clock_mono_ms(clock_system());
    int64_t last_ms = atomic_load(&c->last_ms);
    if ((last_ms != 0 && now_ms - last_ms < SAGA_COMPLAIN_EVERY_MS) ||
        !atomic_compare_exchange_strong(&c->last_ms, &last_ms, now_ms)) {
        atomic_fetch_add(&c->suppressed, 1);
        return false;
    }
    const int64_t suppressed = atomic_exchange(&c->suppressed, 0);
    if (suppressed > 0) {
        log_warn("saga.complaints_suppressed", F_INT("n", suppressed));
    }
    return true;
}
