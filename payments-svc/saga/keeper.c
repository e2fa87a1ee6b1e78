// Renews the leases of long batches. A process that is stopped (SIGSTOP, a dead machine) stops this thread too, so its leases run out as
// they must.
#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/cond.h"
#include "saga/saga_internal.h"

enum { LEASES_MAX = SAGA_LEASES_MAX };

struct saga_lease {
    bool used, renewing;
    bool gone; // only for the keeper's thread
    saga_batch *batch;
    saga_renewal renewal;
};

struct saga_keeper {
    db_pool *pool;
    const clock_source *clock;
    int64_t lease_ms;
    arena *a;
    pthread_t thread;
    pthread_mutex_t mutex; // guards stopping and leases[].{used,renewing}; never held across SQL
    pthread_cond_t changed;
    bool stopping;
    bool sleeping; // no lease for a while: it waits to be woken
    saga_lease leases[LEASES_MAX];
};

static void renew(saga_keeper *k, saga_lease *l) {
    static saga_complaint complaint;
    err e = {0};
    const int64_t now_ms = clock_mono_ms(k->clock), from_ms = clock_boot_ms(k->clock);
    bool kept = false;
    const bool ok = saga_store_renew(&l->renewal, &kept, now_ms + k->lease_ms / 3, k->a, &e);
    arena_reset(k->a);
    if (!ok) {
        if (saga_may_complain(&complaint)) {
            log_err(LOG_WARN, "saga.lease_not_renewed", &e);
        }
        return;
    }
    if (kept) {
        atomic_store(&l->batch->until_boot_ms, from_ms + k->lease_ms);
    } else if (!l->gone) {
        l->gone = true; // taken away: the batch sends nothing more
        atomic_store(&l->batch->until_boot_ms, 0);
    }
}

// True when more than a third of the lease is gone.
static bool wants_renewal(const saga_keeper *k, const saga_lease *l) {
    const int64_t left_ms = atomic_load(&l->batch->until_boot_ms) - clock_boot_ms(k->clock);
    return left_ms < k->lease_ms * 2 / 3;
}

static void renew_all(saga_keeper *k) {
    for (size_t i = 0; i < LEASES_MAX; i++) {
        saga_lease *l = &k->leases[i];
        if (!l->used || l->gone || !wants_renewal(k, l)) {
            continue;
        }
        l->renewing = true;
        pthread_mutex_unlock(&k->mutex);
        renew(k, l);
        pthread_mutex_lock(&k->mutex);
        l->renewing = false;
        pthread_cond_broadcast(&k->changed);
    }
}

static void wait_ms(saga_keeper *k, int64_t ms) {
    const struct timespec until = cond_after_ms(ms);
    (void)cond_wait_until(&k->changed, &k->mutex, &until);
}

static bool has_leases(const saga_keeper *k) {
    for (size_t i = 0; i < LEASES_MAX; i++) {
        if (k->leases[i].used) {
            return true;
        }
    }
    return false;
}

// With the mutex held. While there are leases, the keeper wakes by itself.
static void wake(saga_keeper *k) {
    if (k->sleeping) {
        k->sleeping = false;
        pthread_cond_broadcast(&k->changed);
    }
}

static void *keep(void *arg) {
    saga_keeper *k = arg;
    pthread_mutex_lock(&k->mutex);
    while (!k->stopping) {
        renew_all(k);
        const bool had_some = has_leases(k);
        wait_ms(k, k->lease_ms / 12 + 1);
        k->sleeping = !had_some && !has_leases(k) && !k->stopping;
        while (k->sleeping) {
            (void)pthread_cond_wait(&k->changed, &k->mutex);
        }
    }
    pthread_mutex_unlock(&k->mutex);
    return NULL;
}

saga_keeper *saga_keeper_start(db_pool *pool, const clock_source *clock, int64_t lease_ms) {
    saga_keeper *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    k->pool = pool;
    k->clock = clock;
    k->lease_ms = lease_ms;
    k->a = arena_create(SAGA_ARENA_MAX);
    MUST(pthread_mutex_init(&k->mutex, NULL) == 0);
    cond_init(&k->changed);
    MUST(pthread_create(&k->thread, NULL, keep, k) == 0);
    return k;
}

void saga_keeper_stop(saga_keeper *k) {
    pthread_mutex_lock(&k->mutex);
    k->stopping = true;
    k->sleeping = false;
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->mutex);
    MUST(pthread_join(k->thread, NULL) == 0);
    for (size_t i = 0; i < LEASES_MAX; i++) {
        ASSERT(!k->leases[i].used);
    }
    MUST(pthread_cond_destroy(&k->changed) == 0);
    MUST(pthread_mutex_destroy(&k->mutex) == 0);
    arena_destroy(k->a);
    free(k);
}

saga_lease *saga_lease_begin(saga_keeper *k, saga_batch *b) {
    const saga_renewal r = {.pool = k->pool,
                            .book_id = b->from.book_id,
                            .lease_id = b->lease_id,
                            .owner = b->from.owner,
                            .lease_ms = k->lease_ms};
    saga_lease *found = NULL;
    pthread_mutex_lock(&k->mutex);
    for (size_t i = 0; found == NULL && i < LEASES_MAX; i++) {
        if (!k->leases[i].used) {
            found = &k->leases[i];
            *found = (saga_lease){true, false, false, b, r};
        }
    }
    wake(k);
    pthread_mutex_unlock(&k->mutex);
    ASSERT(found != NULL); // each worker has one
    return found;
}

void saga_lease_end(saga_keeper *k, saga_lease *l) {
    pthread_mutex_lock(&k->mutex);
    while (l->renewing) {
        pthread_cond_wait(&k->changed, &k->mutex);
    }
    l->used = false;
    pthread_mutex_unlock(&k->mutex);
}
