// The policy in force. A call holds the policy that admitted it, so a new policy waits for no call.
#include <pthread.h>
#include <stdlib.h>

#include "authz/authz_internal.h"
#include "base/assert.h"

struct authz_current {
    pthread_mutex_t lock; // guards policy
    authz_policy *policy;
    atomic_uint_fast64_t generation;
};

authz_current *authz_current_create(authz_policy *p) {
    authz_current *c = calloc(1, sizeof *c);
    ASSERT(c != NULL && p != NULL);
    pthread_mutex_init(&c->lock, NULL);
    c->policy = p;
    atomic_init(&c->generation, 1);
    return c;
}

void authz_current_destroy(authz_current *c) {
    if (c != NULL) {
        authz_policy_release(c->policy);
        pthread_mutex_destroy(&c->lock);
        free(c);
    }
}

void authz_current_set(authz_current *c, authz_policy *p) {
    ASSERT(p != NULL);
    pthread_mutex_lock(&c->lock);
    authz_policy *before = c->policy;
    c->policy = p;
    atomic_fetch_add(&c->generation, 1);
    pthread_mutex_unlock(&c->lock);
    authz_policy_release(before);
}

authz_policy *authz_current_hold(authz_current *c, uint64_t *generation) {
    pthread_mutex_lock(&c->lock);
    authz_policy *p = c->policy;
    atomic_fetch_add(&p->refs, 1);
    if (generation != NULL) {
        *generation = atomic_load(&c->generation);
    }
    pthread_mutex_unlock(&c->lock);
    return p;
}

uint64_t authz_current_generation(const authz_current *c) {
    return atomic_load_explicit(&c->generation, memory_order_acquire);
}
