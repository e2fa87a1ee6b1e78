// Callers who wait for a payout to get somewhere: one thread looks for all of them. Fed by the engine of this process; what another
// process does is found by a sparse look.
#ifndef AWAITS_AWAITS_H
#define AWAITS_AWAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"

typedef struct awaits awaits;

enum { AWAITS_LOOK_MAX = 1000 }; // waits of one look

// One caller. The first block is the caller's to fill. Lives until `done` was called for it.
typedef struct payout_await {
    int64_t book_id;
    uuid payout_id;
    const char *client;  // whose waits are counted together
    int64_t end_mono_ms; // when it is answered as the payout stands then
    void *owner;

    // Filled by awaits_look_fn.
    bool over;    // there is nothing left to wait for
    void *answer; // how the payout stands, in the arena of the look; NULL: there is none

    // Private.
    struct payout_await *same; // the next one of the same payout
    struct awaits_client *counted;
    size_t place; // among all
    int64_t next_look_ms, pause_ms;
    bool told;
} payout_await;

// Looks at n waits of one book, in one statement: fills over and answer of each. False: nothing is known.
typedef bool (*awaits_look_fn)(void *arg, int64_t book_id, payout_await *const *waits, size_t n,
                               int64_t deadline_mono_ms, arena *a, err *e);
// The end of a wait: over, or its time is up; w->answer says how the payout stands. failed: it could not be looked at, the caller
// is gone, or the process stops. On the thread of the looks; must not wait. The wait is not touched afterwards.
typedef void (*awaits_done_fn)(payout_await *w, const err *failed);
// Whether the caller is gone.
typedef bool (*awaits_gone_fn)(void *owner);

typedef struct awaits_calls {
    awaits_look_fn look;
    void *look_arg;
    awaits_done_fn done;
    awaits_gone_fn gone;
} awaits_calls;

// max: waits at once; client_max: of one client.
awaits *awaits_create(size_t max, size_t client_max);
// Starts the thread; before that awaits_add refuses. Once.
void awaits_start(awaits *w, const awaits_calls *calls);

// done will be called for the wait, perhaps before this returns. False (and it will not be): RESOURCE_EXHAUSTED, with a time to try
// again, or UNAVAILABLE when the process stops. Any thread.
bool awaits_add(awaits *w, payout_await *one, err *e) WARN_UNUSED;
// Whether anybody waits at all: one read of memory. Accepts NULL.
bool awaits_any(awaits *w);
// What has been committed about these payouts may be what somebody waits for. Cheap; any thread.
void awaits_tell(awaits *w, int64_t book_id, const uuid *payout_ids, size_t n);
// The same of a book, when it is not known of which payouts: its waits are looked at soon, as far as looks are not too frequent.
// Accepts NULL.
void awaits_heard(awaits *w, int64_t book_id);

// Answers all with UNAVAILABLE and takes no more. Returns when all were answered. May be called again; accepts NULL.
void awaits_close(awaits *w);
// After awaits_close, or without awaits_start. Nobody calls any more. Accepts NULL.
void awaits_destroy(awaits *w);

#endif
