// A thread that calls a function again and again, with a pause after each call, until it is stopped.
#ifndef BASE_TICKER_H
#define BASE_TICKER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ticker ticker;

// Calls fn(arg) at once, and then pause_ms (> 0) after each return. NULL when there is no thread for it.
ticker *ticker_start(int64_t pause_ms, void (*fn)(void *arg), void *arg);
// Waits for the call under way, if there is one; then fn is not called any more. Accepts NULL.
void ticker_stop(ticker *t);

#endif
