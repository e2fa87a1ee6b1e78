// The connections of payments-svc to its database, apart by what they are for: who reads much, or is called from outside, cannot keep
// the engine from its claims, the keeper from its leases, or a webhook from being recorded.
#ifndef POOLS_H
#define POOLS_H

#include "daemon/daemon.h"
#include "db/db.h"

typedef struct pools {
    db_pool *engine; // workers and what they hand to
    db_pool *keeper; // renewals of leases, nothing else
    // what is due and what is over, the clock, what calls wait for: few statements, planned once (SAGA_LOOK_SESSION)
    db_pool *look;
    db_pool *intake;  // payouts that come in
    db_pool *streams; // WatchPayouts
    db_pool *inbound; // what banks say: webhooks, files
} pools;

typedef struct pools_sizes {
    int64_t engine, intake, streams, inbound;
} pools_sizes;

// Connects lazily, as db_pool_create. False: none is left open.
bool pools_open(pools *p, const daemon_common *c, const pools_sizes *sizes, err *e);
// All connections must be back. A zeroed one is fine.
void pools_close(pools *p);

#endif
