#include "saga/breaker.h"

saga_breaker_says saga_breaker_ask(saga_breaker *b, int64_t now_mono_ms, int64_t *until_mono_ms) {
    if (!b->open) {
        return BREAKER_GO;
    }
    if (!b->probing && now_mono_ms >= b->until_mono_ms) {
        b->probing = true;
        return BREAKER_PROBE;
    }
    // A running probe tells its result, which ends the wait.
    *until_mono_ms = b->probing ? INT64_MAX : b->until_mono_ms;
    return BREAKER_WAIT;
}

static bool is_known(const saga_breaker *b, uuid id) {
    for (size_t i = 0; i < b->n_tried; i++) {
        if (uuid_eq(b->tried[i], id)) {
            return true;
        }
    }
    return false;
}

void saga_breaker_tell(saga_breaker *b, const uuid *fruitless, size_t n_fruitless,
                       size_t n_answered, int64_t base_ms, int64_t cap_ms,
                       const clock_source *clock) {
    const bool probed = b->probing;
    b->probing = false;
    if (n_answered > 0) {
        *b = (saga_breaker){0};
        return;
    }
    if (n_fruitless == 0) {
        return; // nothing was tried
    }
    for (size_t i = 0; i < n_fruitless && b->n_tried < SAGA_BREAKER_TRIES; i++) {
        if (!is_known(b, fruitless[i])) {
            b->tried[b->n_tried++] = fruitless[i];
        }
    }
    const bool down = b->n_tried == SAGA_BREAKER_TRIES;
    // A batch that was under way when the breaker opened tells nothing new. A probe without an answer does.
    if (down && (!b->open || probed)) {
        b->open = true;
        b->until_mono_ms =
            clock_mono_ms(clock) + base_ms + clock_backoff_ms(clock, base_ms, cap_ms, b->opened);
        b->opened += b->opened < 30 ? 1 : 0;
    }
}
