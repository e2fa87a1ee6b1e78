// The circuit breaker of a connection: when nothing that is tried there gets an answer, it is left alone as a whole for a while, and not
// found out by each payout. Pure: time and tries come in as parameters. Guarded by its owner's mutex.
#ifndef SAGA_BREAKER_H
#define SAGA_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/uuid.h"

// So many different payouts in a row without any answer: the connection is down.
enum { SAGA_BREAKER_TRIES = 5 };

typedef struct saga_breaker {
    uuid tried[SAGA_BREAKER_TRIES]; // different payouts, since the last answer
    size_t n_tried;
    bool open;
    bool probing;          // one batch finds out whether it is back
    int opened;            // times in a row, for the backoff
    int64_t until_mono_ms; // not tried before, while open
} saga_breaker;

typedef enum saga_breaker_says {
    BREAKER_GO, // nothing is known against it
    // go with one payout; the next ask is answered with WAIT until its result is told
    BREAKER_PROBE,
    BREAKER_WAIT // not before *until_mono_ms
} saga_breaker_says;

saga_breaker_says saga_breaker_ask(saga_breaker *b, int64_t now_mono_ms, int64_t *until_mono_ms);
// A batch has come back: payouts without an answer, and how many got one, whatever it said. Opens or closes the breaker.
void saga_breaker_tell(saga_breaker *b, const uuid *fruitless, size_t n_fruitless,
                       size_t n_answered, int64_t base_ms, int64_t cap_ms,
                       const clock_source *clock);

#endif
