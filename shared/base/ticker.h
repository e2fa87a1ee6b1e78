// A thread that calls a function again and again, with a pause after each call, until it is stopped.
#ifndef BASE_TICKER_H
#define BASE_TICKER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ticker ticker;

// Calls fn(arg) at once, and then pause_ms (> 0) after each return. NULL when there is no thread for it.
ticker *ticker_start(int64_t pause_ms, void (*fn)(void *arg), void *arg);
// The same for work that comes from outside: fn says whether it found any. The pause is the least one after a call that did, and
// grows by an eighth after each that did not, up to pause_max_ms: what is idle costs next to nothing.
ticker *ticker_start_lazy(int64_t pause_ms, int64_t pause_max_ms, bool (*fn)(void *arg), void *arg);
// There may be work: the next call comes at once, and the pauses begin with the least again. Any thread.
void ticker_wake(ticker *t);
// Waits for the call under way, if there is one; then fn is not called any more. Accepts NULL.
void ticker_stop(ticker *t);

#endif
