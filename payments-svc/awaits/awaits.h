// Callers wait for a payout to reach a state: one thread looks for all of them. The engine of this process feeds it. Rare looks find the
// changes of other processes.
#ifndef AWAITS_AWAITS_H
#define AWAITS_AWAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/err.h"
#include "base/uuid.h"

typedef struct awaits awaits;

enum { AWAITS_LOOK_MAX = 1000 }; // waits per look

// One wait. The caller fills the first block. Lives until `done` was called for it.
typedef struct payout_await {
    int64_t book_id;
    uuid payout_id;
    const char *client;  // its waits are counted together
    int64_t end_mono_ms; // then it is answered with the payout's present state
    void *owner;

    // Filled by awaits_look_fn.
    bool over;    // the wait can end
    void *answer; // the payout's state, in the arena of the look; NULL: none

    // Private.
    struct payout_await *same; // the payout's next wait
    struct awaits_client *counted;
    size_t place; // in the list of all
    int64_t next_look_ms, pause_ms;
    bool told;
} payout_await;

// Looks at n waits of one book, in one statement: fills over and answer of each. False: no result.
typedef bool (*awaits_look_fn)(void *arg, int64_t book_id, payout_await *const *waits, size_t n,
                               int64_t deadline_mono_ms, arena *a, err *e);
// The end of a wait: over, or its time is up; w->answer has the payout's state. failed: the look failed, the caller is gone, or the process
// stops. On the looks' thread; must not wait. The wait is not touched afterwards.
typedef void (*awaits_done_fn)(payout_await *w, const err *failed);
// True when the caller is gone.
typedef bool (*awaits_gone_fn)(void *owner);

typedef struct awaits_calls {
    awaits_look_fn look;
    void *look_arg;
    awaits_done_fn done;
    awaits_gone_fn gone;
} awaits_calls;

typedef struct awaits_settings {
    int64_t max, client_max; // calls that may wait at once: all, and of one client
} awaits_settings;
extern const config_part AWAITS_SETTINGS;

// max: limit of waits; client_max: limit per client.
awaits *awaits_create(size_t max, size_t client_max);
// Starts the thread; before it, awaits_add refuses. Once.
void awaits_start(awaits *w, const awaits_calls *calls);

// Adds a wait; done will be called, perhaps before this returns. False (done will not be called): RESOURCE_EXHAUSTED, with a time to try
// again, or UNAVAILABLE when the process stops. Any thread.
bool awaits_add(awaits *w, payout_await *one, err *e) WARN_UNUSED;
// True when any call waits: one read of memory. Accepts NULL.
bool awaits_any(awaits *w);
// A commit about these payouts may end a wait. Cheap; any thread.
void awaits_tell(awaits *w, int64_t book_id, const uuid *payout_ids, size_t n);
// The same for a book, if its payouts are not known: its waits are looked at soon, as far as looks are not too frequent. Accepts NULL.
void awaits_heard(awaits *w, int64_t book_id);

// Answers all with UNAVAILABLE and takes no more. Returns when all are answered. May be called again; accepts NULL.
void awaits_close(awaits *w);
// After awaits_close, or without awaits_start. No other call may run or follow. Accepts NULL.
void awaits_destroy(awaits *w);

#endif
