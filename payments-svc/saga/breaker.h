// The circuit breaker of a connection. When no try gets an answer, the connection as a whole is left alone for a while: not every payout
// needs to find this out. Pure: time and tries are parameters. Guarded by its owner's mutex.
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
    uuid tried[SAGA_BREAKER_TRIES]; // different payouts since the last answer
    size_t n_tried;
    bool open;
    bool probing;          // one batch finds out whether the bank is back
    int opened;            // times in a row, for the backoff
    int64_t until_mono_ms; // while open: no try before this time
} saga_breaker;

typedef enum saga_breaker_says {
    BREAKER_GO, // no known trouble
    // go with one payout; until its result is told, further asks get WAIT
    BREAKER_PROBE,
    BREAKER_WAIT // not before *until_mono_ms
} saga_breaker_says;

saga_breaker_says saga_breaker_ask(saga_breaker *b, int64_t now_mono_ms, int64_t *until_mono_ms);
// A batch has come back: its payouts without an answer, and the number with one, whatever it said. Opens or closes the breaker.
void saga_breaker_tell(saga_breaker *b, const uuid *fruitless, size_t n_fruitless,
                       size_t n_answered, int64_t base_ms, int64_t cap_ms,
                       const clock_source *clock);

#endif
