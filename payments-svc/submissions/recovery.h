// What submissions have to do with a recovery (guard/guard.h): each that is open may have been sent by what the database has forgotten, so
// its bank is asked before anything is sent.
#ifndef SUBMISSIONS_RECOVERY_H
#define SUBMISSIONS_RECOVERY_H

#include "guard/guard.h"
#include "rails/rail.h"

typedef struct submission_recovery {
    rail *const *rails; // those that are switched on
    size_t n_rails;
} submission_recovery;

// @borrows r until guard_unwatch.
guard_part submission_recovery_part(submission_recovery *r);

#endif
