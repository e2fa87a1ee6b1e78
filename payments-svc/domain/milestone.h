// How far a payout has come, for whoever waits for it.
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
    // as far as is known it will never be: its money is free again, or about to be
    MILESTONE_MISSED = 2
} milestone_answer;

// The saga as its row says, which a later version may have written: what is not known is ahead. Of the saga count step, state, outlook
// and whether it is held.
milestone_answer milestone_judge(milestone wanted, const saga *s);

#endif
