// The sagas' part of a recovery (guard/guard.h): each saga of which a bank may know more than the database is resolved by its key before
// anything is sent.
#ifndef SAGA_RECOVERY_H
#define SAGA_RECOVERY_H

#include "guard/guard.h"
#include "rails/rail.h"

typedef struct saga_recovery {
    db_pool *pool; // for the list of books
    rail *const *rails;
    size_t n_rails;
} saga_recovery;

// @borrows r until guard_unwatch.
guard_part saga_recovery_part(saga_recovery *r);

#endif
