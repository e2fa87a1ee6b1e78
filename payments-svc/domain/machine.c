#include "domain/machine.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fsm.h"
#include "domain/machine_internal.h"

// --- The diagram -----------------------------------------------------------------------------------------------------

enum { TO_HELD = STEP_COUNT }; // not a step: held at the present step
enum { LEGS_MAX = 100 };       // ledger ids that one step may burn

#define EDGES(table) (table), sizeof(table) / sizeof((table)[0])

// The next step after our own action: (step acted on, its outcome) → next step. RULE: an unknown submission is resolved. It is never
// repeated as new and never voided (promise UNKNOWN-IS-A-STATE): no edge leads from UNKNOWN to EXECUTE or VOID.
static const fsm_edge OUTCOME_EDGES[] = {
    {STEP_RESERVE, OUT_DONE, STEP_EXECUTE},
    {STEP_RESERVE, OUT_REFUSED, STEP_DONE}, // FAILED
    {STEP_RESERVE, OUT_RETRY, STEP_RESERVE},
    {STEP_RESERVE, OUT_BURNED, STEP_RESERVE},
    {STEP_RESERVE, OUT_BROKEN, TO_HELD},

    {STEP_EXECUTE, OUT_ACCEPTED, STEP_AWAIT},
    {STEP_EXECUTE, OUT_SETTLED, STEP_CONFIRM},
    {STEP_EXECUTE, OUT_REFUSED, STEP_VOID}, // RESOLVE if the attempt was once unknown
    {STEP_EXECUTE, OUT_RETURNED, STEP_VOID},
    {STEP_EXECUTE, OUT_RETRY, STEP_EXECUTE}, // the same attempt
    {STEP_EXECUTE, OUT_AGAIN,
     STEP_EXECUTE}, // a new attempt; VOID after too many attempts; RESOLVE as above
    {STEP_EXECUTE, OUT_UNKNOWN, STEP_RESOLVE},
    {STEP_EXECUTE, OUT_HANDED_OVER, STEP_AWAIT},
    {STEP_EXECUTE, OUT_BROKEN, TO_HELD}, // before RESOLVE: the outcome is unknown

    {STEP_RESOLVE, OUT_ACCEPTED, STEP_AWAIT},
    {STEP_RESOLVE, OUT_SETTLED, STEP_CONFIRM},
    {STEP_RESOLVE, OUT_REFUSED, STEP_VOID},
    {STEP_RESOLVE, OUT_RETURNED, STEP_VOID},
    {STEP_RESOLVE, OUT_RETRY,
     STEP_EXECUTE}, // the rail does not have it; HELD if the rail had accepted or refused it before
    {STEP_RESOLVE, OUT_AGAIN, STEP_EXECUTE},
    {STEP_RESOLVE, OUT_UNKNOWN, STEP_RESOLVE},
    {STEP_RESOLVE, OUT_HANDED_OVER, STEP_AWAIT},
    {STEP_RESOLVE, OUT_BROKEN, TO_HELD},

    {STEP_CONFIRM, OUT_DONE, STEP_DONE}, // SETTLED
    {STEP_CONFIRM, OUT_RETRY, STEP_CONFIRM},
    {STEP_CONFIRM, OUT_BURNED, STEP_CONFIRM},
    {STEP_CONFIRM, OUT_BROKEN, TO_HELD},

    {STEP_VOID, OUT_DONE, STEP_DONE}, // FAILED or RETURNED, by the outlook
    {STEP_VOID, OUT_RETRY, STEP_VOID},
    {STEP_VOID, OUT_BURNED, STEP_VOID},
    {STEP_VOID, OUT_BROKEN, TO_HELD},

    {STEP_CANCEL, OUT_DONE, STEP_DONE}, // CANCELED
    {STEP_CANCEL, OUT_RETRY, STEP_CANCEL},
    {STEP_CANCEL, OUT_BURNED, STEP_CANCEL},
    {STEP_CANCEL, OUT_BROKEN, TO_HELD},

    {STEP_RETURN, OUT_DONE, STEP_DONE}, // RETURNED; SETTLED if a part stays paid
    {STEP_RETURN, OUT_RETRY, STEP_RETURN},
    {STEP_RETURN, OUT_BURNED, STEP_RETURN},
    {STEP_RETURN, OUT_BROKEN, TO_HELD},
};
static const fsm OUTCOMES = {"saga.outcome", EDGES(OUTCOME_EDGES), NULL, NULL};

// The step to act on when a worker takes the saga: (step, the rail's word) → step. An EXECUTE whose worker died is a RESOLVE. The ledger's
// own steps are not here: no word of the rail changes a running one; it is weighed before and after.
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
    {STEP_EXECUTE, WORD_SETTLED_RETURNED, STEP_CONFIRM}, // followed by RETURN
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

    {STEP_AWAIT, WORD_NONE, STEP_RESOLVE}, // the wait is over; AWAIT if the policy waits for ever
    {STEP_AWAIT, WORD_ACCEPTED, STEP_RESOLVE},
    {STEP_AWAIT, WORD_REFUSED, STEP_VOID},
    {STEP_AWAIT, WORD_SETTLED, STEP_CONFIRM},
    {STEP_AWAIT, WORD_RETURNED, STEP_VOID},
    {STEP_AWAIT, WORD_SETTLED_RETURNED, STEP_CONFIRM},
    {STEP_AWAIT, WORD_CONTRADICTION, TO_HELD},
    {STEP_AWAIT, WORD_NOT_TAKEN, STEP_EXECUTE},
};
static const fsm CLAIMS = {"saga.claim", EDGES(CLAIM_EDGES), NULL, NULL};

// --- Small parts -----------------------------------------------------------------------------------------------------

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
    // The first time exactly by the policy, then with growing patience.
    const int64_t more_ms =
        s->tries == 0 ? 0
                      : clock_backoff_ms(clock, p->backoff_base_ms, p->backoff_cap_ms, s->tries);
    return after_ms(clock, p->resolve_after_ms + more_ms);
}

static int64_t returned_after(const saga *s) {
    return s->moving == 0 ? s->amount : s->returned + s->moving;
}

bool saga_writes_off(const saga *s) {
    return s->outlook != STATE_NONE && (s->step == STEP_CONFIRM || s->step == STEP_RETURN);
}

// The terminal state at the end of a ledger step.
static saga_state goal_of(const saga *s) {
    switch (s->step) {
    case STEP_RESERVE: return STATE_FAILED; // only its refusal ends the saga
    case STEP_CONFIRM: return s->outlook != STATE_NONE ? s->outlook : STATE_SETTLED;
    case STEP_VOID:
    case STEP_CANCEL: return s->outlook;
    case STEP_RETURN:
        return s->outlook != STATE_NONE         ? s->outlook
               : returned_after(s) >= s->amount ? STATE_RETURNED
                                                : STATE_SETTLED;
    case STEP_NONE:
    case STEP_EXECUTE:
    case STEP_RESOLVE:
    case STEP_AWAIT:
    case STEP_DONE:
    case STEP_GATE: break;
    }
    ASSERT(!"a step that ends the saga");
    return STATE_NONE;
}

// The value of saga.returned after the step.
static int64_t goal_returned(const saga *s) {
    if (saga_writes_off(s)) {
        return s->returned;
    }
    if (s->step == STEP_RETURN) {
        return returned_after(s);
    }
    if (s->step == STEP_CONFIRM && s->moving > 0) {
        return (s->state == STATE_SETTLED ? s->returned : s->amount) - s->moving;
    }
    return s->returned;
}

static void begin(saga *s, saga_step step) {
    if (step == STEP_EXECUTE && saga_next_attempt_is_new(s)) {
        s->attempt++;
        s->doubt = DOUBT_NONE;
    }
    if (step == STEP_RESERVE || step == STEP_EXECUTE) {
        s->state = STATE_PROCESSING;
    }
    if (step != STEP_RESOLVE) {
        s->absent_since_us = 0; // it is submitted again, or its outcome is known
    }
    s->step = step;
    s->phase = PHASE_ACTING;
}

// --- A claim ---------------------------------------------------------------------------------------------------------

// Values that this version can follow. A later version may have written others.
static bool is_known(const saga *s) {
    if (s->step < STEP_RESERVE || (int)s->step >= STEP_COUNT || s->phase < PHASE_READY ||
        s->phase > PHASE_ACTING || s->state < STATE_PENDING_APPROVAL || s->state >= STATE_HELD ||
        s->amount <= 0) {
        return false;
    }
    switch (s->step) {
    case STEP_VOID: return s->outlook == STATE_FAILED || s->outlook == STATE_RETURNED;
    case STEP_CANCEL: return s->outlook == STATE_CANCELED;
    case STEP_DONE: return saga_state_is_final(s->state);
    case STEP_CONFIRM:
    case STEP_RETURN: return s->outlook == STATE_NONE || saga_state_is_final(s->outlook);
    case STEP_NONE:
    case STEP_RESERVE:
    case STEP_EXECUTE:
    case STEP_RESOLVE:
    case STEP_AWAIT:
    case STEP_GATE: break;
    }
    return true;
}

static saga_note hold_note(const saga *s) {
    return (saga_note){OUT_BROKEN, str_of(s->hold), str_of(s->hold_text)};
}

static saga_step claim_done(saga *s, const saga_said *said, saga_note *note) {
    const saga_balance balance = saga_balance_of(s, s->state, s->returned, said);
    s->tries = 0;
    switch (balance.tilt) {
    case TILT_BACK:
        saga_set_reason(s, said->code.len > 0 ? said->code : STR("RETURNED"), said->text);
        s->moving = balance.amount;
        begin(s, STEP_RETURN);
        return STEP_RETURN;
    case TILT_AGAIN:
        s->moving = balance.amount;
        begin(s, STEP_CONFIRM);
        return STEP_CONFIRM;
    case TILT_ODD:
        saga_hold_contradiction(s, s->state, said);
        *note = hold_note(s);
        return STEP_NONE;
    case TILT_EVEN: break;
    }
    return saga_rest(s, SAGA_NEVER);
}

// CONFIRM, VOID, CANCEL and RETURN. Before the first try a contradiction stops them. Once they may have happened they are first completed,
// with the same ids, and judged after.
static saga_step claim_ledger_step(saga *s, const saga_said *said, saga_note *note) {
    const saga_state goal = goal_of(s);
    if (s->phase == PHASE_READY && s->tries == 0 &&
        saga_balance_of(s, goal, goal_returned(s), said).tilt == TILT_ODD) {
        saga_hold_contradiction(s, goal, said);
        *note = hold_note(s);
        return STEP_NONE;
    }
    begin(s, s->step);
    return s->step;
}

// EXECUTE, RESOLVE and AWAIT: the step that the rail's word leads to. TO_HELD: only a person can go on.
static int led_by(const saga *s, const saga_said *said) {
    // Its worker died between intent and outcome: nobody knows whether the rail has it.
    const bool orphan = s->step == STEP_EXECUTE && s->phase == PHASE_ACTING;
    int to = TO_HELD;
    const bool drawn =
        fsm_next(&CLAIMS, (int)(orphan ? STEP_RESOLVE : s->step), (int)said->word, &to);
    return drawn ? to : TO_HELD;
}

// The word is about the next attempt: it was made, and its number forgotten.
static void count_attempt(saga *s, int to) {
    if (saga_next_attempt_is_new(s) &&
        (to == STEP_CONFIRM || to == STEP_VOID || to == STEP_AWAIT)) {
        s->attempt++;
        s->doubt = DOUBT_NONE;
    }
}

static void head_by_word(saga *s, const saga_said *said) {
    saga_head_for_void(s, said->word == WORD_RETURNED ? STATE_RETURNED : STATE_FAILED, said->code,
                       said->text);
}

// A contradiction of a held payout: the first reason stays, and the new one is added.
static void say_so(saga *s, const saga_said *said, saga_note *note) {
    saga now = *s;
    saga_hold_contradiction(&now, s->state, said);
    if (strstr(s->hold_text, now.hold_text) != NULL) {
        return; // already noted
    }
    if (strcmp(s->hold, now.hold) == 0 || s->hold_text[0] == '\0') {
        saga_copy_text(s->hold_text, sizeof s->hold_text, str_of(now.hold_text));
    } else {
        char text[2 * SAGA_TEXT_MAX + 2];
        (void)snprintf(text, sizeof text, "%s; %s", s->hold_text, now.hold_text);
        saga_copy_text(s->hold_text, sizeof s->hold_text, str_of(text));
    }
    *note = hold_note(s);
}

// A held payout goes on if the rail's word is clear: a payment of the bank is posted, whatever question a person had. An unclear word is
// noted, and the payout stays held.
static saga_step claim_held(saga *s, const saga_said *said, const clock_source *clock,
                            saga_note *note) {
    const bool at_rail =
        s->step == STEP_EXECUTE || s->step == STEP_RESOLVE || s->step == STEP_AWAIT;
    const int to = at_rail ? led_by(s, said) : TO_HELD;
    bool clear = to == STEP_CONFIRM || to == STEP_VOID;
    bool odd = said->word == WORD_CONTRADICTION;
    if (s->step == STEP_DONE) {
        const saga_tilt tilt = saga_balance_of(s, s->state, s->returned, said).tilt;
        odd = tilt == TILT_ODD;
        clear = said->word != WORD_NONE && !odd;
    }
    if (clear) {
        saga_unhold(s);
        *note = (saga_note){OUT_RELEASED, str_of(saga_word_name((int)said->word)), said->text};
        count_attempt(s, to);
        if (to == STEP_VOID) {
            head_by_word(s, said);
        }
        s->state = to == STEP_CONFIRM ? STATE_SENT : s->state;
        s->tries = at_rail ? 0 : s->tries;
        s->step = at_rail ? (saga_step)to : s->step;
        return saga_rest(s, clock_wall_us(clock));
    }
    if (s->step == STEP_AWAIT && said->left) {
        s->state = STATE_SENT; // whatever else is odd
    }
    if (at_rail && said->word == WORD_NOT_TAKEN) {
        saga_head_for_attempt(s); // still held
    } else if (said->word == WORD_ACCEPTED && (s->step == STEP_AWAIT || to == STEP_AWAIT)) {
        count_attempt(s, to);
        s->step = STEP_AWAIT;
        s->state = STATE_SENT;
    } else if (odd) {
        say_so(s, said, note);
    }
    return saga_rest(s, SAGA_NEVER);
}

static saga_step claim_at_rail(saga *s, const saga_said *said, const saga_policy *p,
                               const clock_source *clock, saga_note *note) {
    const bool asks = saga_cancel_asks(s, said);
    const bool orphan = asks || (s->step == STEP_EXECUTE && s->phase == PHASE_ACTING);
    const saga_step from = orphan ? STEP_RESOLVE : s->step;
    const int to = asks ? STEP_RESOLVE : led_by(s, said);
    if (to == TO_HELD) {
        saga_hold_contradiction(s, s->state, said);
        *note = hold_note(s);
        return STEP_NONE;
    }
    if (said->word == WORD_NOT_TAKEN) {
        saga_head_for_attempt(s);
        return saga_rest(s, after_ms(clock, p->rebuild_ms));
    }
    if (from == STEP_AWAIT && to == STEP_RESOLVE && p->resolve_after_ms == 0) {
        s->state = said->word == WORD_ACCEPTED ? STATE_SENT : s->state;
        return saga_rest(s, SAGA_NEVER);
    }
    count_attempt(s, to);
    if (to == STEP_AWAIT) {
        s->step = STEP_AWAIT;
        s->state = STATE_SENT;
        return saga_rest(s, await_at(s, p, clock));
    }
    if (to == STEP_VOID) {
        head_by_word(s, said);
    }
    if (to != (int)from) {
        s->tries = to == STEP_RESOLVE ? s->tries : 0;
    }
    if (orphan && to == STEP_RESOLVE) {
        saga_head_for_question(s);
    }
    begin(s, (saga_step)to);
    return s->step;
}

// A control that names a time which has come would be asked again and again without a pause.
enum { GATE_WAIT_MIN_US = 1000000 };

static int64_t wait_until(int64_t asked_us, const clock_source *clock) {
    const int64_t soonest_us = clock_wall_us(clock) + GATE_WAIT_MIN_US;
    return asked_us > soonest_us ? asked_us : soonest_us;
}

static saga_step claim_gate(saga *s, const saga_said *said, const clock_source *clock,
                            saga_note *note) {
    if (said->word != WORD_NONE) { // about an attempt that was never made
        saga_hold_contradiction(s, s->state, said);
        *note = hold_note(s);
        return STEP_NONE;
    }
    s->tries = 0;
    switch (said->gate.answer) {
    case GATE_PASS: break;
    case GATE_WAIT:
        saga_set_reason(s, said->gate.code, said->gate.text);
        return saga_rest(s, wait_until(said->gate.until_us, clock));
    case GATE_HOLD:
        saga_hold(s, said->gate.code, said->gate.text);
        *note = hold_note(s);
        return STEP_NONE;
    case GATE_REFUSE:
        saga_set_reason(s, said->gate.code, said->gate.text);
        saga_finish(s, STATE_FAILED, said, clock);
        *note = (saga_note){OUT_REFUSED, str_of(s->reason), str_of(s->reason_text)};
        return STEP_NONE;
    }
    saga_set_reason(s, (str){0}, (str){0}); // why it waited
    begin(s, STEP_RESERVE);
    return s->step;
}

// The next claim takes up an order that waited for the step's end: at the present step no order has to wait.
static void mind_order(saga *s, const saga_said *said, const clock_source *clock) {
    if (s->due_at_us == SAGA_NEVER && said->order.order > s->orders) {
        s->due_at_us = clock_wall_us(clock);
    }
}

static saga_step claim_step(saga *s, const saga_said *said, const saga_policy *p,
                            const clock_source *clock, saga_note *note) {
    if (s->hold[0] != '\0') {
        return claim_held(s, said, clock, note);
    }
    switch (s->step) {
    case STEP_DONE: return claim_done(s, said, note);
    case STEP_CONFIRM:
    case STEP_VOID:
    case STEP_CANCEL:
    case STEP_RETURN: return claim_ledger_step(s, said, note);
    case STEP_GATE: return claim_gate(s, said, clock, note);
    case STEP_NONE:
    case STEP_RESERVE:
    case STEP_EXECUTE:
    case STEP_RESOLVE:
    case STEP_AWAIT: break;
    }
    return claim_at_rail(s, said, p, clock, note);
}

saga_step saga_on_claim(saga *s, const saga_said *said, const saga_policy *p,
                        const clock_source *clock, saga_note *note) {
    *note = (saga_note){.outcome = OUT_NONE};
    if (!is_known(s)) {
        if (s->hold[0] == '\0') {
            saga_hold(s, STR("VALUE_NOT_KNOWN"),
                      STR("a later version has written what this one cannot follow"));
            *note = hold_note(s);
        }
        return saga_rest(s, SAGA_NEVER);
    }
    if (saga_take_order(s, said, clock, note)) {
        return STEP_NONE;
    }
    const saga_step acting = claim_step(s, said, p, clock, note);
    mind_order(s, said, clock);
    return acting;
}

// --- A worker that died ----------------------------------------------------------------------------------------------

static bool has_reason(saga_step step) {
    return step == STEP_VOID || step == STEP_CANCEL || step == STEP_RETURN;
}

void saga_take_over(saga *s, const saga_intent *intent, const saga_policy *p,
                    const clock_source *clock) {
    if (intent != NULL && (intent->step < STEP_RESERVE || (int)intent->step >= STEP_COUNT)) {
        saga_hold(s, STR("VALUE_NOT_KNOWN"),
                  STR("a later version was about to do what this one does not know"));
    } else if (intent == NULL) {
        const saga_said nothing = {.word = WORD_NONE};
        saga_note note;
        const saga_step acting = saga_on_claim(s, &nothing, p, clock, &note);
        (void)acting; // its phase already says that it acts
    } else {
        const bool orphan = s->step == STEP_EXECUTE && s->phase == PHASE_ACTING;
        if (orphan && intent->step == STEP_RESOLVE && s->doubt == DOUBT_NONE) {
            s->doubt = DOUBT_UNKNOWN;
        }
        s->tries = intent->step == s->step || intent->step == STEP_RESOLVE ? s->tries : 0;
        s->doubt = intent->attempt != s->attempt ? DOUBT_NONE : s->doubt;
        begin(s, intent->step);
        s->attempt = intent->attempt;
        s->outlook = intent->outlook;
        s->moving = intent->moving;
        if (has_reason(intent->step)) {
            saga_set_reason(s, intent->code, intent->text);
        }
    }
    s->due_at_us = s->hold[0] == '\0' ? clock_wall_us(clock) : SAGA_NEVER;
}

// --- An outcome ------------------------------------------------------------------------------------------------------

// Too many attempts: the last refusal is kept for a person.
static void exhausted(saga *s, const saga_answer *answer) {
    char text[SAGA_TEXT_MAX];
    const str code = str_clip(answer->code, 32), more = str_clip(answer->text, 80);
    const int len =
        snprintf(text, sizeof text, "after %d attempts: %.*s%s%.*s", (int)s->attempt, (int)code.len,
                 code.len > 0 ? code.ptr : "", code.len > 0 && more.len > 0 ? " " : "",
                 (int)more.len, more.len > 0 ? more.ptr : "");
    ASSERT(len > 0 && (size_t)len < sizeof text);
    saga_head_for_void(s, STATE_FAILED, STR("ATTEMPTS_EXHAUSTED"), str_of(text));
}

// After a fruitless try the next one comes later each time, with full jitter.
static void come_back(saga *s, const saga_answer *answer, const saga_policy *p,
                      const clock_source *clock) {
    s->due_at_us = answer->retry_at_us != 0 && answer->outcome == OUT_RETRY
                       ? answer->retry_at_us
                       : backoff_at(p, clock, s->tries);
    if (s->tries < SAGA_TRIES_MAX) {
        s->tries++;
    }
    if (!has_reason(s->step)) {
        saga_set_reason(s, answer->code, answer->text);
    }
}

// Moves to the next step.
static void arrive(saga *s, saga_step from, saga_step to, const saga_answer *answer,
                   const saga_policy *p, const clock_source *clock) {
    const saga_outcome outcome = answer->outcome;
    const bool in_vain = outcome == OUT_RETRY || outcome == OUT_UNKNOWN || outcome == OUT_BURNED ||
                         (from == STEP_EXECUTE && to == STEP_RESOLVE);
    s->step = to;
    s->due_at_us = clock_wall_us(clock);
    if (in_vain) {
        come_back(s, answer, p, clock);
        return;
    }
    if (to != STEP_VOID) {
        saga_set_reason(s, (str){0}, (str){0});
    }
    if (to == STEP_AWAIT) {
        s->absent_since_us = 0;
        s->tries = from == STEP_RESOLVE && s->state == STATE_SENT ? s->tries + 1 : 0;
        s->doubt = DOUBT_NONE;
        if (outcome == OUT_HANDED_OVER) {
            s->due_at_us = SAGA_NEVER; // the submission's events move it, not the time
        } else {
            s->state = STATE_SENT;
            s->due_at_us = await_at(s, p, clock);
        }
        return;
    }
    s->tries = 0;
    if (to == STEP_CONFIRM) {
        s->state = STATE_SENT;
    }
    if (outcome == OUT_AGAIN && to == STEP_EXECUTE) {
        s->due_at_us = backoff_at(p, clock, s->attempt > 0 ? s->attempt - 1 : 0);
    }
}

// The rail says that it does not have it. That may be too early: the rail may not find a fresh submission yet, or a worker that was
// presumed dead may be about to send. The first such answer comes after the submission, so an answer that holds for this time is true.
// Until then the rail is asked again.
static bool may_be_late(saga *s, const saga_answer *answer, const saga_said *said,
                        const saga_policy *p, const clock_source *clock) {
    const int64_t wait_ms = saga_wants_cancel(said) && p->cancel_wait_ms > p->absence_ms
                                ? p->cancel_wait_ms
                                : p->absence_ms;
    if (s->step != STEP_RESOLVE || answer->outcome != OUT_RETRY || wait_ms == 0) {
        return false;
    }
    const int64_t now_us = clock_wall_us(clock);
    s->absent_since_us = s->absent_since_us == 0 ? now_us : s->absent_since_us;
    const int64_t until_us = s->absent_since_us + wait_ms * 1000;
    if (now_us >= until_us) {
        return false;
    }
    come_back(s, answer, p, clock);
    s->due_at_us = s->due_at_us < until_us ? s->due_at_us : until_us;
    return true;
}

// The rail denies a submission that it must have. True when this holds the payout.
static bool is_denial(saga *s, const saga_answer *answer) {
    if (s->step != STEP_RESOLVE || answer->outcome != OUT_RETRY) {
        return false;
    }
    if (s->state == STATE_SENT) {
        saga_hold(s, STR("RAIL_LOST_PAYMENT"),
                  STR("the rail accepted it and now says that it has not got it"));
        return true;
    }
    if (s->doubt == DOUBT_REFUSED) {
        saga_hold(s, STR("REFUSED_AFTER_UNKNOWN"),
                  STR("the first try is unknown, a repeat was refused, and the rail says it has "
                      "neither"));
        return true;
    }
    return false;
}

// Ends a ledger step.
static void end_ledger_step(saga *s, const saga_answer *answer, const saga_said *said,
                            const clock_source *clock) {
    const saga_state state = goal_of(s);
    if (s->step == STEP_RESERVE) {
        saga_set_reason(s, answer->code, answer->text);
    }
    if (saga_writes_off(s)) {
        s->written_off += s->step == STEP_CONFIRM ? s->moving : -s->moving;
    }
    if (s->step == STEP_RETURN || s->moving > 0) {
        s->leg++; // the next movement has its own ids
    }
    s->returned = goal_returned(s);
    saga_finish(s, state, said, clock);
}

// Nothing was booked under this number of the ledger's ids, and never will be.
static void next_leg(saga *s) {
    s->leg++;
    if (s->leg > LEGS_MAX) {
        saga_hold(s, STR("LEDGER_IDS"), STR("too many ids of this step have failed in the ledger"));
    }
}

static void submission_came_out(saga *s, saga_step *to, const saga_answer *answer,
                                const saga_policy *p) {
    const bool refused = answer->outcome == OUT_REFUSED || answer->outcome == OUT_AGAIN;
    if (s->step == STEP_EXECUTE && refused && s->doubt != DOUBT_NONE) {
        *to = STEP_RESOLVE; // the repeat was refused; the first is still unknown
        s->doubt = DOUBT_REFUSED;
        return;
    }
    if (answer->outcome == OUT_UNKNOWN && s->doubt == DOUBT_NONE) {
        s->doubt = DOUBT_UNKNOWN;
    } else if (answer->outcome == OUT_AGAIN) { // the outcome of this attempt is known now
        s->doubt = DOUBT_NONE;
        s->absent_since_us = 0;
    }
    if (answer->outcome == OUT_AGAIN && s->attempt >= p->attempts_max) {
        *to = STEP_VOID;
        exhausted(s, answer);
    } else if (*to == STEP_VOID) {
        saga_head_for_void(s, answer->outcome == OUT_RETURNED ? STATE_RETURNED : STATE_FAILED,
                           answer->code, answer->text);
    }
}

// The action has an outcome, and leads to a step.
static void come_out(saga *s, saga_step to, const saga_answer *answer, const saga_said *said,
                     const saga_policy *p, const clock_source *clock) {
    const saga_step from = s->step;
    s->phase = PHASE_READY;
    if (may_be_late(s, answer, said, p, clock) || is_denial(s, answer)) {
        return;
    }
    if (to == STEP_DONE) {
        end_ledger_step(s, answer, said, clock);
        return;
    }
    if (from == STEP_EXECUTE || from == STEP_RESOLVE) {
        submission_came_out(s, &to, answer, p);
    }
    if (from == STEP_RESERVE && answer->outcome == OUT_DONE) {
        s->reserve_leg = s->leg;
    }
    arrive(s, from, to, answer, p, clock);
    if (from == STEP_RESOLVE && answer->outcome == OUT_RETRY && saga_wants_cancel(said)) {
        s->doubt = DOUBT_NONE; // the rail did not have it before the wait, nor after it
        s->due_at_us = clock_wall_us(clock);
    }
    if (answer->outcome == OUT_BURNED) {
        next_leg(s);
    }
}

bool saga_on_outcome(saga *s, const saga_answer *answer, const saga_said *said,
                     const saga_policy *p, const clock_source *clock) {
    int edge = TO_HELD;
    if (s->phase != PHASE_ACTING ||
        !fsm_next(&OUTCOMES, (int)s->step, (int)answer->outcome, &edge)) {
        return false;
    }
    if (edge == TO_HELD) {
        saga_hold(s, answer->code, answer->text);
    } else {
        come_out(s, (saga_step)edge, answer, said, p, clock);
    }
    mind_order(s, said, clock);
    return true;
}
