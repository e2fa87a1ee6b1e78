// The submissions' part of a recovery (guard/guard.h). A forgotten upload may have sent any open submission, so its bank is asked before
// anything is sent.
#ifndef SUBMISSIONS_RECOVERY_H
#define SUBMISSIONS_RECOVERY_H

#include "guard/guard.h"
#include "rails/rail.h"

typedef struct submission_recovery {
    rail *const *rails; // the rails that are switched on
    size_t n_rails;
} submission_recovery;

// @borrows r until guard_unwatch.
guard_part submission_recovery_part(submission_recovery *r);

#endif
