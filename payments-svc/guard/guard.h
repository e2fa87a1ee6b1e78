// What must hold before payments-svc takes up work that may move money. Today: its machine's clock is not a day or more away from the
// database's. A clock like that makes certificates, signatures and files of a wrong date, whatever time the service itself goes by.
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H

#include <stdbool.h>

#include "base/err.h"
#include "db/db.h"

typedef struct guard guard;

// The name of the engine in the health service (grpc.health.v1): not serving while nothing may be claimed.
#define GUARD_HEALTH_NAME "payments.engine"

// Reads the database's clock and gives the process its time (db_clock). Refuses a machine whose clock is more than a day away:
// FAILED_PRECONDITION, CLOCK_JUMP. A database that is not there yet is no error. @borrows the pool until guard_stop. One in a process.
guard *guard_start(db_pool *pool, err *e);
void guard_stop(guard *g); // accepts NULL

// Told of each change of guard_may_claim, on the thread that noticed it. NULL: nobody; returns when nobody is being told any more.
void guard_tell(guard *g, void (*changed)(void *arg, bool may_claim), void *arg);

// May work be taken up now? Cheap; any thread. A change is logged, and told.
bool guard_may_claim(guard *g);

#endif
