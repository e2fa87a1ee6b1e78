#include "domain/machine.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fsm.h"

// --- The diagram -----------------------------------------------------------------------------------------------------

enum { TO_HELD = STEP_COUNT }; // not a step: DONE in state HELD
enum { TRIES_MAX = 1000 };     // the backoff reached its cap long before

static const char *const STEP_NAMES[] = {"NONE",    "RESERVE", "EXECUTE", "RESOLVE", "AWAIT",
                                         "CONFIRM", "VOID",    "RETURN",  "DONE"};
static const char *const OUTCOME_NAMES[] = {"NONE",    "DONE",     "REFUSED",    "RETRY",
                                            "AGAIN",   "ACCEPTED", "SETTLED",    "RETURNED",
                                            "UNKNOWN", "BROKEN",   "HANDED_OVER"};
static const char *const WORD_NAMES[] = {"NOTHING",       "ACCEPTED", "REFUSED",
                                         "SETTLED",       "RETURNED", "SETTLED and RETURNED",
                                         "contradictory", "NOT_TAKEN"};
static const char *const STATE_NAMES[] = {
    "NONE",    "PENDING_APPROVAL", "SCHEDULED", "PENDING",  "PROCESSING", "SENT",
    "SETTLED", "FAILED",           "RETURNED",  "CANCELED", "HELD"};

#define EDGES(table) (table), sizeof(table) / sizeof((table)[0])

// What follows from what we did: (step acted on, its outcome) → next step.
// RULE: an unknown submission is resolved, never repeated as new and never voided (promise UNKNOWN-IS-A-STATE): there is no
// edge UNKNOWN → EXECUTE or UNKNOWN → VOID.
static const fsm_edge OUTCOME_EDGES[] = {
    {STEP_RESERVE, OUT_DONE, STEP_EXECUTE},
    {STEP_RESERVE, OUT_REFUSED, STEP_DONE}, // FAILED
    {STEP_RESERVE, OUT_RETRY, STEP_RESERVE},
    {STEP_RESERVE, OUT_BROKEN, TO_HELD},

    {STEP_EXECUTE, OUT_ACCEPTED, STEP_AWAIT},
    {STEP_EXECUTE, OUT_SETTLED, STEP_CONFIRM},
    {STEP_EXECUTE, OUT_REFUSED, STEP_VOID},
    {STEP_EXECUTE, OUT_RETURNED, STEP_VOID},
    {STEP_EXECUTE, OUT_RETRY, STEP_EXECUTE}, // the same attempt
    {STEP_EXECUTE, OUT_AGAIN, STEP_EXECUTE}, // a new attempt; VOID when there were enough
    {STEP_EXECUTE, OUT_UNKNOWN, STEP_RESOLVE},
    {STEP_EXECUTE, OUT_BROKEN, TO_HELD},
    {STEP_EXECUTE, OUT_HANDED_OVER, STEP_AWAIT},

    {STEP_RESOLVE, OUT_ACCEPTED, STEP_AWAIT},
    {STEP_RESOLVE, OUT_SETTLED, STEP_CONFIRM},
    {STEP_RESOLVE, OUT_REFUSED, STEP_VOID},
    {STEP_RESOLVE, OUT_RETURNED, STEP_VOID},
    {STEP_RESOLVE, OUT_RETRY,
     STEP_EXECUTE}, // the rail has not got it; HELD when it had accepted it before
    {STEP_RESOLVE, OUT_AGAIN, STEP_EXECUTE},
    {STEP_RESOLVE, OUT_UNKNOWN, STEP_RESOLVE},
    {STEP_RESOLVE, OUT_HANDED_OVER, STEP_AWAIT},
    {STEP_RESOLVE, OUT_BROKEN, TO_HELD},

    {STEP_CONFIRM, OUT_DONE, STEP_DONE}, // SETTLED
    {STEP_CONFIRM, OUT_RETRY, STEP_CONFIRM},
    {STEP_CONFIRM, OUT_BROKEN, TO_HELD},

    {STEP_VOID, OUT_DONE, STEP_DONE}, // FAILED or RETURNED: the outlook
    {STEP_VOID, OUT_RETRY, STEP_VOID},
    {STEP_VOID, OUT_BROKEN, TO_HELD},

    {STEP_RETURN, OUT_DONE, STEP_DONE}, // RETURNED
    {STEP_RETURN, OUT_RETRY, STEP_RETURN},
    {STEP_RETURN, OUT_BROKEN, TO_HELD},
};
static const fsm OUTCOMES = {"saga.outcome", EDGES(OUTCOME_EDGES), STEP_NAMES, OUTCOME_NAMES};

// What to act on when a worker takes the saga: (step, the rail's word) → step. An EXECUTE whose worker died is a RESOLVE.
// The ledger's own steps are not here: nothing that the rail says changes them while they run; it is judged before and after.
static const fsm_edge CLAIM_EDGES[] = {
    {STEP_RESERVE, WORD_NONE, STEP_RESERVE},
    {STEP_RESERVE, WORD_ACCEPTED, TO_HELD}, // a word about an attempt that was never made
    {STEP_RESERVE, WORD_REFUSED, TO_HELD},
    {STEP_RESERVE, WORD_SETTLED, TO_HELD},
    {STEP_RESERVE, WORD_RETURNED, TO_HELD},
    {STEP_RESERVE, WORD_SETTLED_RETURNED, TO_HELD},
    {STEP_RESERVE, WORD_CONTRADICTION, TO_HELD},
    {STEP_RESERVE, WORD_NOT_TAKEN, TO_HELD},

    {STEP_EXECUTE, WORD_NONE, STEP_EXECUTE},
    {STEP_EXECUTE, WORD_ACCEPTED, STEP_AWAIT},
    {STEP_EXECUTE, WORD_REFUSED, STEP_VOID},
    {STEP_EXECUTE, WORD_SETTLED, STEP_CONFIRM},
    {STEP_EXECUTE, WORD_RETURNED, STEP_VOID},
    {STEP_EXECUTE, WORD_SETTLED_RETURNED, STEP_CONFIRM}, // then RETURN
    {STEP_EXECUTE, WORD_CONTRADICTION, TO_HELD},
    {STEP_EXECUTE, WORD_NOT_TAKEN, STEP_EXECUTE}, // a new attempt

    {STEP_RESOLVE, WORD_NONE, STEP_RESOLVE},
    {STEP_RESOLVE, WORD_ACCEPTED, STEP_RESOLVE},
    {STEP_RESOLVE, WORD_REFUSED, STEP_VOID},
    {STEP_RESOLVE, WORD_SETTLED, STEP_CONFIRM},
    {STEP_RESOLVE, WORD_RETURNED, STEP_VOID},
    {STEP_RESOLVE, WORD_SETTLED_RETURNED, STEP_CONFIRM},
    {STEP_RESOLVE, WORD_CONTRADICTION, TO_HELD},
    {STEP_RESOLVE, WORD_NOT_TAKEN, STEP_EXECUTE},

    {STEP_AWAIT, WORD_NONE, STEP_RESOLVE}, // waited long enough; AWAIT when the policy says never
    {STEP_AWAIT, WORD_ACCEPTED, STEP_RESOLVE},
    {STEP_AWAIT, WORD_REFUSED, STEP_VOID},
    {STEP_AWAIT, WORD_SETTLED, STEP_CONFIRM},
    {STEP_AWAIT, WORD_RETURNED, STEP_VOID},
    {STEP_AWAIT, WORD_SETTLED_RETURNED, STEP_CONFIRM},
    {STEP_AWAIT, WORD_CONTRADICTION, TO_HELD},
    {STEP_AWAIT, WORD_NOT_TAKEN, STEP_EXECUTE},
};
static const fsm CLAIMS = {"saga.claim", EDGES(CLAIM_EDGES), STEP_NAMES, WORD_NAMES};

// What a word of the rail means for a payout that is in a terminal state: (state, word) → DONE (leave it), RETURN, or HELD
// because the rail's money and ours may disagree.
static const fsm_edge DONE_EDGES[] = {
    {STATE_SETTLED, WORD_NONE, STEP_DONE},
    {STATE_SETTLED, WORD_ACCEPTED, STEP_DONE},
    {STATE_SETTLED, WORD_SETTLED, STEP_DONE},
    {STATE_SETTLED, WORD_RETURNED, STEP_RETURN},
    {STATE_SETTLED, WORD_SETTLED_RETURNED, STEP_RETURN},
    {STATE_SETTLED, WORD_REFUSED, TO_HELD},
    {STATE_SETTLED, WORD_CONTRADICTION, TO_HELD},
    {STATE_SETTLED, WORD_NOT_TAKEN, TO_HELD},

    {STATE_FAILED, WORD_NONE, STEP_DONE},
    {STATE_FAILED, WORD_ACCEPTED, STEP_DONE},
    {STATE_FAILED, WORD_REFUSED, STEP_DONE},
    {STATE_FAILED, WORD_RETURNED, STEP_DONE}, // nothing was paid, for whatever reason
    {STATE_FAILED, WORD_SETTLED, TO_HELD},
    {STATE_FAILED, WORD_SETTLED_RETURNED, TO_HELD},
    {STATE_FAILED, WORD_CONTRADICTION, TO_HELD},
    {STATE_FAILED, WORD_NOT_TAKEN, STEP_DONE},

    {STATE_RETURNED, WORD_NONE, STEP_DONE},
    {STATE_RETURNED, WORD_ACCEPTED, STEP_DONE},
    {STATE_RETURNED, WORD_REFUSED, STEP_DONE},
    {STATE_RETURNED, WORD_SETTLED, STEP_DONE}, // the settlement's message came after the return's
    {STATE_RETURNED, WORD_RETURNED, STEP_DONE},
    {STATE_RETURNED, WORD_SETTLED_RETURNED, STEP_DONE},
    {STATE_RETURNED, WORD_CONTRADICTION, TO_HELD},
    {STATE_RETURNED, WORD_NOT_TAKEN, STEP_DONE},

    {STATE_HELD, WORD_NONE, STEP_DONE}, // a person has it
    {STATE_HELD, WORD_ACCEPTED, STEP_DONE},
    {STATE_HELD, WORD_REFUSED, STEP_DONE},
    {STATE_HELD, WORD_SETTLED, STEP_DONE},
    {STATE_HELD, WORD_RETURNED, STEP_DONE},
    {STATE_HELD, WORD_SETTLED_RETURNED, STEP_DONE},
    {STATE_HELD, WORD_CONTRADICTION, STEP_DONE},
    {STATE_HELD, WORD_NOT_TAKEN, STEP_DONE},
};
static const fsm DONES = {"saga.done", EDGES(DONE_EDGES), STATE_NAMES, WORD_NAMES};

// --- Small parts -----------------------------------------------------------------------------------------------------

// What fits, never cut inside a UTF-8 character: the database would refuse the half.
static str clip(str text, size_t len_max) {
    size_t len = text.len < len_max ? text.len : len_max;
    while (len > 0 && len < text.len && ((unsigned char)text.ptr[len] & 0xC0) == 0x80) {
        len--;
    }
    return (str){text.ptr, len};
}

static void copy_text(char *to, size_t size, str from) {
    const str text = clip(from, size - 1);
    if (text.len > 0) {
        memcpy(to, text.ptr, text.len);
    }
    to[text.len] = '\0';
}

static void set_reason(saga *s, str code, str text) {
    copy_text(s->reason, sizeof s->reason, code);
    copy_text(s->reason_text, sizeof s->reason_text, text);
}

static int64_t after_ms(const clock_source *clock, int64_t ms) {
    return clock_wall_us(clock) + ms * 1000;
}

static int64_t backoff_at(const saga_policy *p, const clock_source *clock, int32_t try_number) {
    return after_ms(clock,
                    clock_backoff_ms(clock, p->backoff_base_ms, p->backoff_cap_ms, try_number));
}

static int64_t await_at(const saga *s, const saga_policy *p, const clock_source *clock) {
    if (p->resolve_after_ms == 0) {
        return SAGA_NEVER;
    }
    // The first time exactly as the policy says; then ever more patient.
    const int64_t more_ms =
        s->tries == 0 ? 0
                      : clock_backoff_ms(clock, p->backoff_base_ms, p->backoff_cap_ms, s->tries);
    return after_ms(clock, p->resolve_after_ms + more_ms);
}

// The attempt that the rail may speak of. After "refused for now" the old attempt is superseded, though the next one has
// no number yet.
static bool next_attempt_is_new(const saga *s) {
    return s->step == STEP_EXECUTE && s->phase == PHASE_READY && s->tries == 0;
}

static void hold(saga *s, str code, str text) {
    s->step = STEP_DONE;
    s->phase = PHASE_READY;
    s->state = STATE_HELD;
    s->outlook = STATE_NONE;
    s->tries = 0;
    s->due_at_us = SAGA_NEVER;
    set_reason(s, code, text);
}

// Holds because of what the rail said of a payout that is, or is about to be, in a state.
static void hold_contradiction(saga *s, saga_state state, const saga_said *said) {
    char text[SAGA_TEXT_MAX];
    const str more = clip(said->text, 60);
    const int len =
        snprintf(text, sizeof text, "the rail's word is %s while the payout is %s%s%.*s",
                 saga_word_name((int)said->word), saga_state_name((int)state),
                 more.len > 0 ? ": " : "", (int)more.len, more.len > 0 ? more.ptr : "");
    ASSERT(len > 0 && (size_t)len < sizeof text);
    hold(s, STR("RAIL_CONTRADICTION"), str_of(text));
}

// The terminal state that a step of the ledger leads to.
static saga_state goal_of(const saga *s) {
    switch (s->step) {
    case STEP_RESERVE: return STATE_FAILED; // only its refusal ends the saga
    case STEP_CONFIRM: return STATE_SETTLED;
    case STEP_VOID: return s->outlook;
    case STEP_RETURN: return STATE_RETURNED;
    case STEP_NONE:
    case STEP_EXECUTE:
    case STEP_RESOLVE:
    case STEP_AWAIT:
    case STEP_DONE: break;
    }
    ASSERT(!"a step that ends the saga");
    return STATE_NONE;
}

static int judge(saga_state state, const saga_said *said) {
    int to = TO_HELD;
    ASSERT(fsm_next(&DONES, (int)state, (int)said->word, &to));
    return to;
}

static void begin(saga *s, saga_step step) {
    if (step == STEP_EXECUTE && next_attempt_is_new(s)) {
        s->attempt++;
    }
    if (step == STEP_RESERVE || step == STEP_EXECUTE) {
        s->state = STATE_PROCESSING;
    }
    s->step = step;
    s->phase = PHASE_ACTING;
}

// The reservation will be released: remember where that leads, and why.
static void head_for_void(saga *s, saga_state outlook, str code, str text) {
    ASSERT(outlook == STATE_FAILED || outlook == STATE_RETURNED);
    s->outlook = outlook;
    set_reason(s, code.len > 0 ? code : str_of(saga_state_name((int)outlook)), text);
}

// Arrives at DONE in a terminal state. What the rail has said meanwhile is taken up by the next claim, at once.
static void finish(saga *s, saga_state state, const saga_said *said, const clock_source *clock) {
    s->step = STEP_DONE;
    s->state = state;
    s->outlook = STATE_NONE;
    s->tries = 0;
    s->due_at_us = judge(state, said) == STEP_DONE ? SAGA_NEVER : clock_wall_us(clock);
    if (state == STATE_SETTLED) {
        set_reason(s, (str){0}, (str){0});
    }
}

// --- Hearing the rail ------------------------------------------------------------------------------------------------

static saga_word word_of(const bool *heard) {
    if (heard[EVENT_SETTLED]) {
        return heard[EVENT_REFUSED] || heard[EVENT_NOT_TAKEN] ? WORD_CONTRADICTION
               : heard[EVENT_RETURNED]                        ? WORD_SETTLED_RETURNED
                                                              : WORD_SETTLED;
    }
    if (heard[EVENT_RETURNED]) {
        return heard[EVENT_NOT_TAKEN] ? WORD_CONTRADICTION : WORD_RETURNED;
    }
    return heard[EVENT_REFUSED]     ? WORD_REFUSED
           : heard[EVENT_NOT_TAKEN] ? WORD_NOT_TAKEN
           : heard[EVENT_ACCEPTED]  ? WORD_ACCEPTED
                                    : WORD_NONE;
}

saga_said saga_hear(const saga *s, const saga_event *events, size_t n) {
    const int32_t present = s->attempt + (next_attempt_is_new(s) ? 1 : 0);
    bool heard[EVENT_NOT_TAKEN + 1] = {false};
    saga_said said = {.word = WORD_NONE};
    saga_event_kind decisive = EVENT_ACCEPTED;
    for (size_t i = 0; i < n; i++) {
        const saga_event *event = &events[i];
        const bool moved = event->kind == EVENT_SETTLED || event->kind == EVENT_RETURNED;
        if (event->kind < EVENT_ACCEPTED || event->kind > EVENT_NOT_TAKEN) {
            // Said by a later version, or a kind that this one cannot follow: a person must look.
            return (saga_said){WORD_CONTRADICTION, event->code, event->text, {"", 0}};
        }
        if (event->attempt > present || (event->attempt < present && moved)) {
            return (saga_said){WORD_CONTRADICTION, event->code, event->text, {"", 0}};
        }
        if (event->attempt < present) {
            continue; // that this one was refused is why there is a later one
        }
        heard[event->kind] = true;
        said.reference = event->reference.len > 0 ? event->reference : said.reference;
        if (event->kind >= decisive && event->kind != EVENT_NOT_TAKEN) {
            decisive = event->kind;
            said.code = event->code;
            said.text = event->text;
        }
    }
    said.word = word_of(heard);
    return said;
}

// --- The two movers --------------------------------------------------------------------------------------------------

static saga_step rest(saga *s, int64_t due_at_us) {
    s->phase = PHASE_READY;
    s->due_at_us = due_at_us;
    return STEP_NONE;
}

static saga_step claim_done(saga *s, const saga_said *said) {
    const int to = judge(s->state, said);
    if (to == STEP_RETURN) {
        set_reason(s, said->code.len > 0 ? said->code : STR("RETURNED"), said->text);
        begin(s, STEP_RETURN);
        return STEP_RETURN;
    }
    if (to == TO_HELD) {
        hold_contradiction(s, s->state, said);
        return STEP_NONE;
    }
    return rest(s, SAGA_NEVER);
}

// CONFIRM, VOID and RETURN. Before the first try a contradiction stops them; once they may have happened they are completed
// first, with the same ids, and judged after.
static saga_step claim_ledger_step(saga *s, const saga_said *said) {
    const saga_state goal = goal_of(s);
    if (s->phase == PHASE_READY && s->tries == 0 && judge(goal, said) == TO_HELD) {
        hold_contradiction(s, goal, said);
        return STEP_NONE;
    }
    begin(s, s->step);
    return s->step;
}

saga_step saga_on_claim(saga *s, const saga_said *said, const saga_policy *p,
                        const clock_source *clock) {
    ASSERT(s->step >= STEP_RESERVE && s->step <= STEP_DONE);
    if (s->step == STEP_DONE) {
        return claim_done(s, said);
    }
    if (s->step == STEP_CONFIRM || s->step == STEP_VOID || s->step == STEP_RETURN) {
        return claim_ledger_step(s, said);
    }
    // Its worker died between the intent and the outcome: nobody knows whether the rail got it.
    const bool orphan = s->step == STEP_EXECUTE && s->phase == PHASE_ACTING;
    const saga_step from = orphan ? STEP_RESOLVE : s->step;
    int to = TO_HELD;
    ASSERT(fsm_next(&CLAIMS, (int)from, (int)said->word, &to));
    if (to == TO_HELD) {
        hold_contradiction(s, s->state, said);
        return STEP_NONE;
    }
    if (said->word == WORD_NOT_TAKEN) {
        s->step = STEP_EXECUTE;
        s->state = STATE_PROCESSING;
        s->tries = 0; // so that the attempt is a new one
        return rest(s, clock_wall_us(clock));
    }
    if (from == STEP_AWAIT && to == STEP_RESOLVE && p->resolve_after_ms == 0) {
        s->state = said->word == WORD_ACCEPTED ? STATE_SENT : s->state;
        return rest(s, SAGA_NEVER);
    }
    if (to == STEP_AWAIT) {
        s->step = STEP_AWAIT;
        s->state = STATE_SENT;
        return rest(s, await_at(s, p, clock));
    }
    if (to == STEP_VOID) {
        head_for_void(s, said->word == WORD_RETURNED ? STATE_RETURNED : STATE_FAILED, said->code,
                      said->text);
    }
    if (to != (int)from) {
        s->tries = to == STEP_RESOLVE ? s->tries : 0;
    }
    begin(s, (saga_step)to);
    return s->step;
}

// Enough submissions: the last refusal is kept for the person who asks why.
static void exhausted(saga *s, const saga_answer *answer) {
    char text[SAGA_TEXT_MAX];
    const str code = clip(answer->code, 32), more = clip(answer->text, 80);
    const int len =
        snprintf(text, sizeof text, "after %d attempts: %.*s%s%.*s", (int)s->attempt, (int)code.len,
                 code.len > 0 ? code.ptr : "", code.len > 0 && more.len > 0 ? " " : "",
                 (int)more.len, more.len > 0 ? more.ptr : "");
    ASSERT(len > 0 && (size_t)len < sizeof text);
    head_for_void(s, STATE_FAILED, STR("ATTEMPTS_EXHAUSTED"), str_of(text));
}

// When a try bore no fruit, the next one is later each time, and at a time of its own (full jitter).
static void come_back(saga *s, const saga_answer *answer, const saga_policy *p,
                      const clock_source *clock) {
    s->due_at_us = answer->retry_at_us != 0 && answer->outcome == OUT_RETRY
                       ? answer->retry_at_us
                       : backoff_at(p, clock, s->tries);
    if (s->tries < TRIES_MAX) {
        s->tries++;
    }
}

// Stands before the next step.
static void arrive(saga *s, saga_step from, saga_step to, const saga_answer *answer,
                   const saga_policy *p, const clock_source *clock) {
    const saga_outcome outcome = answer->outcome;
    s->step = to;
    s->due_at_us = clock_wall_us(clock);
    if (outcome == OUT_RETRY || outcome == OUT_UNKNOWN) {
        come_back(s, answer, p, clock);
    } else if (to == STEP_AWAIT) {
        s->tries = from == STEP_RESOLVE && s->state == STATE_SENT ? s->tries + 1 : 0;
        if (outcome == OUT_HANDED_OVER) {
            s->due_at_us = SAGA_NEVER; // the submission's events move it, not the time
        } else {
            s->state = STATE_SENT;
            s->due_at_us = await_at(s, p, clock);
        }
    } else {
        s->tries = 0;
        if (to == STEP_CONFIRM) {
            s->state = STATE_SENT;
        }
        if (outcome == OUT_AGAIN && to == STEP_EXECUTE) {
            s->due_at_us = backoff_at(p, clock, s->attempt > 0 ? s->attempt - 1 : 0);
        }
    }
}

bool saga_on_outcome(saga *s, const saga_answer *answer, const saga_said *said,
                     const saga_policy *p, const clock_source *clock) {
    int to = TO_HELD;
    if (s->phase != PHASE_ACTING || !fsm_next(&OUTCOMES, (int)s->step, (int)answer->outcome, &to)) {
        return false;
    }
    const saga_step from = s->step;
    s->phase = PHASE_READY;
    if (from == STEP_RESOLVE && answer->outcome == OUT_RETRY && s->state == STATE_SENT) {
        hold(s, STR("RAIL_LOST_PAYMENT"),
             STR("the rail accepted it and now says that it has not got it"));
        return true;
    }
    if (to == TO_HELD) {
        hold(s, answer->code, answer->text);
        return true;
    }
    if (answer->outcome == OUT_AGAIN && s->attempt >= p->attempts_max) {
        to = STEP_VOID;
        exhausted(s, answer);
    } else if (to == STEP_VOID && from != STEP_VOID) {
        head_for_void(s, answer->outcome == OUT_RETURNED ? STATE_RETURNED : STATE_FAILED,
                      answer->code, answer->text);
    }
    if (to != STEP_DONE) {
        arrive(s, from, (saga_step)to, answer, p, clock);
        return true;
    }
    if (from == STEP_RESERVE) {
        set_reason(s, answer->code, answer->text);
    }
    finish(s, goal_of(s), said, clock);
    return true;
}

// --- Names -----------------------------------------------------------------------------------------------------------

bool saga_state_is_final(saga_state state) {
    return state == STATE_SETTLED || state == STATE_FAILED || state == STATE_RETURNED;
}

static const char *name_of(const char *const *names, size_t n, int i) {
    return i >= 0 && (size_t)i < n ? names[i] : "?";
}

const char *saga_step_name(int step) {
    return name_of(STEP_NAMES, sizeof STEP_NAMES / sizeof STEP_NAMES[0], step);
}

const char *saga_outcome_name(int outcome) {
    return name_of(OUTCOME_NAMES, sizeof OUTCOME_NAMES / sizeof OUTCOME_NAMES[0], outcome);
}

const char *saga_state_name(int state) {
    return name_of(STATE_NAMES, sizeof STATE_NAMES / sizeof STATE_NAMES[0], state);
}

const char *saga_word_name(int word) {
    return name_of(WORD_NAMES, sizeof WORD_NAMES / sizeof WORD_NAMES[0], word);
}

const char *saga_event_name(int kind) {
    switch (kind) {
#define X(name, number)                                                                            \
    case number: return #name;
        SAGA_EVENT_KINDS(X)
#undef X
    default: return "?";
    }
}
