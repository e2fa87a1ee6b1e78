// A payout's progress, for callers that wait for it.
#ifndef DOMAIN_MILESTONE_H
#define DOMAIN_MILESTONE_H

#include "domain/machine.h"

// payments.v1.PayoutMilestone
typedef enum milestone {
    MILESTONE_RESERVED = 1, // its money is reserved
    MILESTONE_SENT = 2,     // its bank has it
    MILESTONE_FINAL = 3     // SETTLED, FAILED, RETURNED or CANCELED
} milestone;

// payments.v1.AwaitOutcome
typedef enum milestone_answer {
    MILESTONE_AHEAD = 0, // not yet
    MILESTONE_REACHED = 1,
    // as far as known it will never come: the money is free again, or soon will be
    MILESTONE_MISSED = 2
} milestone_answer;

// Judges the saga by its row: step, state, outlook and hold. Unknown values of a later version count as ahead.
milestone_answer milestone_judge(milestone wanted, const saga *s);

#endif
