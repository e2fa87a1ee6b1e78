// The pools of connections to the database, separated by purpose. So heavy readers and outside callers cannot keep the engine from its
// claims, the keeper from its leases, or a webhook from being recorded.
#ifndef POOLS_H
#define POOLS_H

#include "base/config.h"
#include "daemon/daemon.h"
#include "db/db.h"

typedef struct pools {
    db_pool *engine; // workers and their helpers
    db_pool *keeper; // only renewals of leases
    // due sagas, ended leases, the clock, waiting calls: few statements, planned once (SAGA_LOOK_SESSION)
    db_pool *look;
    db_pool *intake;  // incoming payouts
    db_pool *streams; // WatchPayouts
    db_pool *inbound; // banks' words: webhooks, files
} pools;

typedef struct pools_settings {
    int64_t intake_size, stream_size, inbound_size; // connections
} pools_settings;
extern const config_part POOLS_SETTINGS;

// engine: connections of the engine's pool. Connects lazily, like db_pool_create. False: none is left open.
bool pools_open(pools *p, const daemon_common *c, const pools_settings *settings, int64_t engine,
                err *e);
// All connections must be back. Accepts a zeroed one.
void pools_close(pools *p);

#endif
