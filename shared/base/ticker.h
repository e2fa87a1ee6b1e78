// A thread that calls a function again and again, with a pause after each call, until it is stopped.
#ifndef BASE_TICKER_H
#define BASE_TICKER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ticker ticker;

// Calls fn(arg) at once, and then pause_ms (> 0) after each return. NULL when no thread can be made.
ticker *ticker_start(int64_t pause_ms, void (*fn)(void *arg), void *arg);
// The same for work that arrives from outside: fn says whether it found any. After a call with work the pause is the least. After each call
// without work it grows by an eighth, up to pause_max_ms, so that an idle ticker costs next to nothing.
ticker *ticker_start_lazy(int64_t pause_ms, int64_t pause_max_ms, bool (*fn)(void *arg), void *arg);
// There may be work: calls fn at once, and restarts with the least pause. Any thread.
void ticker_wake(ticker *t);
// Work may come soon: restarts with the least pause, which the present pause becomes, too. fn is never called before that pause is over.
// Any thread.
void ticker_hurry(ticker *t);
// Waits for a running call; afterwards fn is not called any more. Accepts NULL.
void ticker_stop(ticker *t);

#endif
