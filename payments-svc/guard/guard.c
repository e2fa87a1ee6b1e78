#include "guard/guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/metrics.h"

enum { CLOCK_EVERY_MS = 5000 };
static const int64_t GAP_MAX_US = INT64_C(86400) * 1000000;

struct guard {
    db_clock *clock;
    metric *stopped;
    _Atomic bool may_claim; // as it was told last
    pthread_mutex_t mutex;  // guards changed and arg; held while somebody is told
    void (*changed)(void *arg, bool may_claim);
    void *arg;
};

static bool clocks_agree(const guard *g) {
    const int64_t gap_us = db_clock_gap_us(g->clock);
    return gap_us <= GAP_MAX_US && gap_us >= -GAP_MAX_US;
}

guard *guard_start(db_pool *pool, err *e) {
    guard *g = calloc(1, sizeof *g);
    ASSERT(g != NULL);
    ASSERT(pthread_mutex_init(&g->mutex, NULL) == 0);
    g->clock = db_clock_start(pool, CLOCK_EVERY_MS);
    g->stopped = metric_gauge("engine_stopped", "reason=\"clock\"",
                              "1 while no payout is taken up, for this reason.");
    atomic_store(&g->may_claim, true);
    if (!clocks_agree(g)) {
        (void)err_set(e, ERR_FAILED_PRECONDITION, "CLOCK_JUMP",
                      "this machine's clock is %lld s away from the database's: set it right first",
                      (long long)(db_clock_gap_us(g->clock) / 1000000));
        guard_stop(g);
        return NULL;
    }
    return g;
}

void guard_stop(guard *g) {
    if (g == NULL) {
        return;
    }
    db_clock_stop(g->clock);
    ASSERT(pthread_mutex_destroy(&g->mutex) == 0);
    free(g);
}

void guard_tell(guard *g, void (*changed)(void *arg, bool may_claim), void *arg) {
    pthread_mutex_lock(&g->mutex);
    g->changed = changed;
    g->arg = arg;
    if (changed != NULL) {
        changed(arg, atomic_load(&g->may_claim));
    }
    pthread_mutex_unlock(&g->mutex);
}

static void tell(guard *g, bool may_claim) {
    pthread_mutex_lock(&g->mutex);
    if (atomic_load(&g->may_claim) != may_claim) { // nobody was faster
        atomic_store(&g->may_claim, may_claim);
        metric_set(g->stopped, may_claim ? 0 : 1);
        if (may_claim) {
            log_warn("guard.clock_right_again");
        } else {
            log_error("guard.clock_jump", F_INT("ahead_s", db_clock_gap_us(g->clock) / 1000000),
                      F_STR("text", "the machine's clock is more than a day away from the "
                                    "database's: no payout is taken up until it is right"));
        }
        if (g->changed != NULL) {
            g->changed(g->arg, may_claim);
        }
    }
    pthread_mutex_unlock(&g->mutex);
}

bool guard_may_claim(guard *g) {
    const bool may_claim = clocks_agree(g);
    if (may_claim != atomic_load(&g->may_claim)) {
        tell(g, may_claim);
    }
    return may_claim;
}
