// grpc.health.v1, for load balancers and orchestrators.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/rpc_internal.h"

enum { HEALTH_SERVICES_MAX = 40, WATCH_WAIT_MS = 60 * 1000 };

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;
#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

struct health {
    pthread_mutex_t lock; // guards serving, draining
    struct {
        const char *name; // static. The first is "", the server as a whole
        bool serving;
    } services[HEALTH_SERVICES_MAX];
    size_t n;
    bool draining;
    atomic_uint version; // grows with each change
};

health *health_create(const rpc_server_options *o) {
    health *h = calloc(1, sizeof(*h));
    ASSERT(h != NULL);
    pthread_mutex_init(&h->lock, NULL);
    h->services[h->n].name = "";
    h->services[h->n++].serving = true;
    for (size_t i = 0; i < o->n_services; i++) {
        ASSERT(h->n < HEALTH_SERVICES_MAX);
        h->services[h->n].name = o->services[i].descriptor->name;
        h->services[h->n++].serving = true;
    }
    return h;
}

void health_destroy(health *h) {
    if (h != NULL) {
        pthread_mutex_destroy(&h->lock);
        free(h);
    }
}

bool health_set(health *h, const char *service, bool serving) {
    bool changed = false, known = false;
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->n; i++) {
        if (strcmp(h->services[i].name, service) == 0) {
            known = true;
            changed = h->services[i].serving != serving;
            h->services[i].serving = serving;
        }
    }
    if (!known) {
        ASSERT(h->n < HEALTH_SERVICES_MAX);
        h->services[h->n].name = service;
        h->services[h->n++].serving = serving;
        changed = true;
    }
    pthread_mutex_unlock(&h->lock);
    if (changed) {
        atomic_fetch_add(&h->version, 1);
    }
    return changed;
}

void health_set_draining(health *h) {
    pthread_mutex_lock(&h->lock);
    h->draining = true;
    pthread_mutex_unlock(&h->lock);
    atomic_fetch_add(&h->version, 1);
}

// A service is SERVING when the service and the whole server are.
static serving_status status_of(health *h, const char *service) {
    serving_status status = STATUS(SERVICE_UNKNOWN);
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->n; i++) {
        if (strcmp(h->services[i].name, service) == 0) {
            bool serving = h->services[0].serving && h->services[i].serving && !h->draining;
            status = serving ? STATUS(SERVING) : STATUS(NOT_SERVING);
        }
    }
    pthread_mutex_unlock(&h->lock);
    return status;
}

void health_check(rpc_call *c, void *self, const ProtobufCMessage *request) {
    const Grpc__Health__V1__HealthCheckRequest *req = (const void *)request;
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = status_of(self, req->service);
    if (response.status == STATUS(SERVICE_UNKNOWN)) {
        err e = {0};
        err_set_field(&e, ERR_NOT_FOUND, "SERVICE_NOT_FOUND", "service",
                      "there is no such service");
        rpc_fail(c, &e);
        return;
    }
    rpc_reply(c, &response.base);
}

void health_watch(rpc_call *c, void *self, const ProtobufCMessage *request) {
    health *h = self;
    const Grpc__Health__V1__HealthCheckRequest *req = (const void *)request;
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    serving_status told = STATUS(UNKNOWN);
    for (bool last = false;;) {
        unsigned seen = atomic_load(&h->version);
        response.status = status_of(h, req->service);
        if (response.status != told) {
            told = response.status;
            if (!stream_write(c, &response.base)) {
                break;
            }
        }
        if (last) {
            break;
        }
        // and then once more: NOT_SERVING is the last word
        last = !stream_wait(c, WATCH_WAIT_MS, &h->version, seen);
    }
    rpc_stream_end(c);
}
