#include "domain/milestone.h"

// The payout ends, or has ended, unpaid, and its money is given back.
static bool gives_up(const saga *s) {
    return (s->step == STEP_DONE && (s->state == STATE_FAILED || s->state == STATE_CANCELED)) ||
           s->step == STEP_CANCEL || (s->step == STEP_VOID && s->outlook == STATE_FAILED);
}

// PROCESSING begins before the reservation is made, so the step tells whether it is.
static bool is_reserved(const saga *s) {
    return s->step == STEP_EXECUTE || s->step == STEP_RESOLVE || s->step == STEP_AWAIT ||
           s->step == STEP_CONFIRM || s->step == STEP_VOID || s->step == STEP_RETURN ||
           s->step == STEP_DONE;
}

static bool is_sent(const saga *s) {
    return s->state == STATE_SENT || s->state == STATE_SETTLED || s->state == STATE_RETURNED;
}

milestone_answer milestone_judge(milestone wanted, const saga *s) {
    bool reached = false;
    switch (wanted) {
    case MILESTONE_RESERVED: reached = is_reserved(s); break;
    case MILESTONE_SENT: reached = is_sent(s); break;
    case MILESTONE_FINAL:
        reached = saga_state_is_final(s->state) && s->hold[0] == '\0';
        return reached ? MILESTONE_REACHED : MILESTONE_AHEAD;
    }
    return gives_up(s) ? MILESTONE_MISSED : reached ? MILESTONE_REACHED : MILESTONE_AHEAD;
}
