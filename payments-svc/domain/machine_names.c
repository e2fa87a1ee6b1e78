// The log's rules about tries, and the names of a saga's values.
#include "domain/machine_internal.h"

enum {
    LOGGED_FIRST = 3, // the log tells the first tries one by one
    LOGGED_EVERY = 10
};

// --- The log ---------------------------------------------------------------------------------------------------------

bool saga_try_is_logged(const saga *before) {
    return before->phase == PHASE_ACTING || before->tries < LOGGED_FIRST ||
           (before->tries % LOGGED_EVERY == 0 && before->tries < SAGA_TRIES_MAX);
}

bool saga_is_repeat(const saga *before, saga_step acting) {
    return acting == before->step || (before->step == STEP_AWAIT && acting == STEP_RESOLVE);
}

bool saga_is_progress(const saga *before, const saga *after, saga_outcome outcome) {
    const bool still_waits = outcome == OUT_ACCEPTED && before->state == STATE_SENT;
    return (outcome != OUT_RETRY && outcome != OUT_UNKNOWN && !still_waits) ||
           after->hold[0] != '\0';
}

// --- Names -----------------------------------------------------------------------------------------------------------

bool saga_state_is_final(saga_state state) {
    return state == STATE_SETTLED || state == STATE_FAILED || state == STATE_RETURNED ||
           state == STATE_CANCELED;
}

saga_state saga_public_state(const saga *s) {
    return s->hold[0] != '\0' ? STATE_HELD : s->state;
}

#define NAME(name, number)                                                                         \
    case number: return #name;

const char *saga_step_name(int step) {
    switch (step) {
        SAGA_STEPS(NAME)
    default: return "?";
    }
}

const char *saga_outcome_name(int outcome) {
    switch (outcome) {
        SAGA_OUTCOMES(NAME)
    default: return "?";
    }
}

const char *saga_state_name(int state) {
    switch (state) {
        SAGA_STATES(NAME)
    default: return "?";
    }
}

const char *saga_word_name(int word) {
    switch (word) {
        SAGA_WORDS(NAME)
    default: return "?";
    }
}

const char *saga_event_name(int kind) {
    switch (kind) {
        SAGA_EVENT_KINDS(NAME)
    default: return "?";
    }
}
