// Every combination of step, phase, state, outcome, message and order either moves along a drawn edge or is refused.
#include "domain/machine_test_kit.h"

static const saga_state ENDS[] = {STATE_SETTLED, STATE_FAILED, STATE_RETURNED, STATE_CANCELED};
enum { N_ENDS = sizeof ENDS / sizeof ENDS[0] };

static saga_state state_before(saga_step step) {
    switch (step) {
    case STEP_GATE:
    case STEP_RESERVE: return STATE_PENDING;
    case STEP_CANCEL:
    case STEP_EXECUTE:
    case STEP_RESOLVE: return STATE_PROCESSING;
    case STEP_DONE:
    case STEP_RETURN: return STATE_SETTLED;
    case STEP_NONE:
    case STEP_AWAIT:
    case STEP_CONFIRM:
    case STEP_VOID: break;
    }
    return STATE_SENT;
}

// The edges of the picture in machine.h, written a second time.
static bool drawn(saga_step from, saga_outcome outcome) {
    switch (from) {
    case STEP_RESERVE:
        return outcome == OUT_DONE || outcome == OUT_REFUSED || outcome == OUT_RETRY ||
               outcome == OUT_BURNED || outcome == OUT_BROKEN;
    case STEP_EXECUTE:
    case STEP_RESOLVE: return outcome >= OUT_REFUSED && outcome <= OUT_HANDED_OVER;
    case STEP_CONFIRM:
    case STEP_VOID:
    case STEP_CANCEL:
    case STEP_RETURN:
        return outcome == OUT_DONE || outcome == OUT_RETRY || outcome == OUT_BURNED ||
               outcome == OUT_BROKEN;
    case STEP_NONE:
    case STEP_AWAIT:
    case STEP_GATE:
    case STEP_DONE: break;
    }
    return false;
}

static void check_states_after(const saga *before, const saga *s, saga_outcome outcome) {
    const saga_step step = before->step;
    if (s->state == before->state) {
        return;
    }
    if (s->state == STATE_FAILED || s->state == STATE_RETURNED || s->state == STATE_CANCELED) {
        // Only when the money is free or back.
        assert_true(step == STEP_VOID || step == STEP_RETURN || step == STEP_RESERVE ||
                    step == STEP_CANCEL);
        assert_true(outcome == OUT_DONE || step == STEP_RESERVE);
    }
    if (s->state == STATE_SETTLED) {
        assert_true(step == STEP_CONFIRM && outcome == OUT_DONE);
    }
}

static void check_outcome(saga s, saga_outcome outcome, saga_word w) {
    const saga before = s;
    const bool moved = come(&s, outcome, w);
    assert_int_equal(moved, before.phase == PHASE_ACTING && drawn(before.step, outcome));
    if (!moved) {
        assert_memory_equal(&s, &before, sizeof s);
        return;
    }
    assert_sane(&s);
    assert_int_equal(s.phase, PHASE_READY);
    assert_int_equal(s.attempt, before.attempt);
    assert_int_equal(s.hold[0] != '\0',
                     outcome == OUT_BROKEN ||
                         (outcome == OUT_RETRY && before.step == STEP_RESOLVE &&
                          (before.state == STATE_SENT || before.doubt == DOUBT_REFUSED)));
    if (s.hold[0] != '\0') { // beside the step, which does not change
        assert_held(&s, before.step == STEP_EXECUTE ? STEP_RESOLVE : before.step, s.hold);
        assert_int_equal(s.state, before.state);
        return;
    }
    if (outcome == OUT_UNKNOWN) { // promise UNKNOWN-IS-A-STATE
        assert_int_equal(s.step, STEP_RESOLVE);
        assert_true(s.doubt != DOUBT_NONE);
    }
    if ((outcome == OUT_RETRY || outcome == OUT_BURNED) && before.step != STEP_RESOLVE) {
        assert_int_equal(s.step, before.step);
    }
    assert_int_equal(s.leg > before.leg, outcome == OUT_BURNED || before.moving > 0 ||
                                             (before.step == STEP_RETURN && outcome == OUT_DONE));
    if (before.step == STEP_EXECUTE && before.doubt != DOUBT_NONE) {
        assert_true(s.step != STEP_VOID || outcome == OUT_RETURNED);
        assert_true(s.step != STEP_EXECUTE || outcome == OUT_RETRY);
    }
    check_states_after(&before, &s, outcome);
    if (outcome == OUT_HANDED_OVER) { // only its submission's events move it
        assert_int_equal(s.step, STEP_AWAIT);
        assert_int_equal(s.state, before.state);
        assert_true(s.due_at_us == SAGA_NEVER);
    }
    if (s.step != STEP_DONE && s.step != STEP_AWAIT) {
        assert_true(s.due_at_us >= CLOCK.now_us); // never forgotten
    }
}

static void check_outcomes_of(saga s) {
    for (int outcome = OUT_NONE; outcome < OUT_COUNT; outcome++) {
        for (int w = WORD_NONE; w < WORD_COUNT; w++) {
            for (int doubt = DOUBT_NONE; doubt <= DOUBT_REFUSED; doubt++) {
                s.doubt = (saga_doubt)doubt;
                s.phase = PHASE_READY;
                check_outcome(s, (saga_outcome)outcome, (saga_word)w);
                s.phase = PHASE_ACTING;
                check_outcome(s, (saga_outcome)outcome, (saga_word)w);
            }
        }
    }
}

static void test_all__outcomes__drawn_or_refused(void **state) {
    (void)state;
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        saga s = at((saga_step)step, PHASE_ACTING, state_before((saga_step)step),
                    step == STEP_RESERVE ? 0 : 1);
        memcpy(s.reason, "R03", 4);
        check_outcomes_of(s);
    }
    // One refusal is final: RESOLVE of an attempt that the rail has accepted.
    saga s = at(STEP_RESOLVE, PHASE_ACTING, STATE_SENT, 1);
    check_outcomes_of(s);
}

// --- Claims ----------------------------------------------------------------------------------------------------------

static void check_unknown_is_a_state(const saga *before, const saga *s, saga_step acting,
                                     const saga_said *said) {
    const bool orphan = before->step == STEP_EXECUTE && before->phase == PHASE_ACTING;
    if (before->step != STEP_RESOLVE && !orphan) {
        return;
    }
    // Promise UNKNOWN-IS-A-STATE: without the rail's word it is neither sent again nor voided.
    assert_true(acting != STEP_EXECUTE);
    assert_true(s->step != STEP_EXECUTE || said->word == WORD_NOT_TAKEN);
    assert_true(acting != STEP_VOID || said->word == WORD_REFUSED || said->word == WORD_RETURNED);
    assert_int_equal(s->attempt, before->attempt);
    if (orphan && said->word == WORD_NONE) {
        assert_int_equal(acting, STEP_RESOLVE);
        assert_true(s->doubt != DOUBT_NONE);
    }
}

static void check_final(const saga *before, const saga *s, saga_step acting) {
    // An ended payout moves only where the bank's money moved; a contradiction is for a person.
    assert_int_equal(s->state, before->state);
    assert_true(acting == STEP_NONE || acting == STEP_RETURN || acting == STEP_CONFIRM);
    if (acting == STEP_RETURN) {
        assert_int_equal(before->state, STATE_SETTLED);
        assert_true(s->moving > 0 && s->moving <= AMOUNT - before->returned);
    }
    if (acting == STEP_CONFIRM) {
        assert_true(before->state == STATE_SETTLED || before->state == STATE_RETURNED);
        assert_true(s->moving > 0 && s->moving <= AMOUNT);
    }
}

static void check_claim(saga s, const saga_event *events, size_t n) {
    const saga before = s;
    const saga_said said = hear(&s, events, n);
    const saga_step acting = claim_events(&s, events, n);
    assert_sane(&s);
    if (acting != STEP_NONE) {
        assert_int_equal(s.step, acting);
        assert_int_equal(s.phase, PHASE_ACTING);
        assert_true(acting != STEP_AWAIT && acting != STEP_DONE && acting != STEP_GATE);
        assert_true(s.hold[0] == '\0');
    } else if (s.hold[0] == '\0' && s.step != STEP_DONE && s.step != STEP_AWAIT) {
        assert_true(s.due_at_us == CLOCK.now_us); // goes on at once
    }
    check_unknown_is_a_state(&before, &s, acting, &said);
    if (before.step == STEP_AWAIT && said.word == WORD_NOT_TAKEN) {
        assert_int_equal(s.step, STEP_EXECUTE);
        assert_int_equal(s.tries, 0); // the next attempt is a new one
    }
    if (acting == STEP_VOID && before.step != STEP_VOID) {
        assert_true(said.word == WORD_REFUSED || said.word == WORD_RETURNED);
    }
    if (before.step == STEP_DONE) {
        check_final(&before, &s, acting);
    }
    if (said.word == WORD_CONTRADICTION && acting == STEP_NONE) {
        assert_true(s.hold[0] != '\0'); // never silently
        assert_int_equal(s.step, before.step == STEP_EXECUTE && before.phase == PHASE_ACTING
                                     ? STEP_RESOLVE
                                     : before.step);
    }
    if (before.hold[0] != '\0' && s.hold[0] == '\0') { // only a clear word ends a hold
        assert_int_equal(note.outcome, OUT_RELEASED);
        assert_true(said.word != WORD_NONE && said.word != WORD_CONTRADICTION);
        assert_int_equal(acting, STEP_NONE);
    }
    if (before.hold[0] != '\0' && s.hold[0] != '\0') {
        assert_int_equal(acting, STEP_NONE);
        assert_string_equal(s.hold, before.hold); // nothing is overwritten
    }
}

// Messages of the previous, the present and the next attempt: with the whole amount, a part, and no amount.
enum { KINDS = 5, AMOUNTS = 2, ATTEMPTS = 3, PICKS = KINDS * AMOUNTS * ATTEMPTS + 1 };

static saga_event picked(const saga *s, int pick) {
    saga_event e = event(s->attempt - 1 + pick / (KINDS * AMOUNTS),
                         (saga_event_kind)(EVENT_ACCEPTED + pick % KINDS));
    const bool moves = e.kind == EVENT_SETTLED || e.kind == EVENT_RETURNED;
    e.amount = moves && pick / KINDS % AMOUNTS == 1 ? AMOUNT / 2 : 0;
    return e;
}

static void check_runs_of(saga s) {
    saga_event events[3];
    for (int code = 0; code < PICKS * PICKS * PICKS; code++) {
        size_t n = 0;
        for (int rest = code, i = 0; i < 3; i++, rest /= PICKS) {
            if (rest % PICKS != 0) {
                events[n++] = picked(&s, rest % PICKS - 1);
            }
        }
        check_claim(s, events, n);
    }
}

static void check_claims_of(saga s) {
    check_runs_of(s);
    if (s.phase == PHASE_READY) {
        memcpy(s.hold, "A_REASON", sizeof "A_REASON");
        memcpy(s.hold_text, "of before", sizeof "of before");
        check_runs_of(s);
    }
}

static void test_all__claims__with_every_run_of_messages(void **state) {
    (void)state;
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        for (int phase = 0; phase < 2; phase++) {
            for (int32_t tries = 0; tries < 2; tries++) {
                saga s = at((saga_step)step, (saga_phase)phase, state_before((saga_step)step), 2);
                s.tries = tries;
                memcpy(s.reason, "X", 2);
                const bool never_acts =
                    step == STEP_AWAIT || step == STEP_DONE || step == STEP_GATE;
                if (phase == PHASE_READY || !never_acts) {
                    check_claims_of(s);
                }
                if (step == STEP_VOID) {
                    s.outlook = STATE_RETURNED;
                    check_claims_of(s);
                }
            }
        }
    }
    for (size_t i = 0; i < N_ENDS; i++) {
        saga s = at(STEP_DONE, PHASE_READY, ENDS[i], 2);
        memcpy(s.reason, "X", 2);
        check_claims_of(s);
        s.returned = ENDS[i] == STATE_SETTLED ? AMOUNT / 2 : 0;
        check_claims_of(s);
    }
}

// --- Orders ----------------------------------------------------------------------------------------------------------

// The steps at which an order can be possible.
static bool may_be_ordered(saga_step step, saga_event_kind kind) {
    switch ((int)kind) {
    case EVENT_RELEASE: return true;
    case EVENT_RETRY: return step == STEP_EXECUTE || step == STEP_RESOLVE || step == STEP_AWAIT;
    case EVENT_MARK_PAID: return step != STEP_RESERVE && step != STEP_RETURN && step != STEP_GATE;
    case EVENT_GIVE_BACK: return step != STEP_GATE;
    case EVENT_WRITE_OFF: return step == STEP_DONE;
    case EVENT_CANCEL:
        return step == STEP_GATE || step == STEP_RESERVE || step == STEP_EXECUTE ||
               step == STEP_RESOLVE || step == STEP_AWAIT;
    default: return false;
    }
}

static void check_order(saga s, saga_event_kind kind, const saga_event *events, size_t n) {
    saga_event all[2];
    memcpy(all, events, n * sizeof events[0]);
    all[n] = ordered(kind, 3);
    s.orders = 1; // the second order was lost, or never written
    const saga before = s;
    const saga_said said = hear(&s, all, n + 1);
    assert_int_equal(said.order.order, 3);
    const saga_step acting = claim_events(&s, all, n + 1);
    assert_sane(&s);
    // the order waits for a reservation, or for an attempt that may be at the bank
    if (acting != STEP_NONE) {
        const bool asks = before.step == STEP_RESOLVE || before.phase == PHASE_ACTING;
        assert_true(kind == EVENT_CANCEL && before.hold[0] == '\0');
        assert_true(before.step == STEP_RESERVE || asks);
        assert_int_equal(s.orders, 1);
        return;
    }
    const char *why = NULL;
    const bool possible = saga_takes_order(&before, &said, kind, &why);
    if (s.orders == 1) {
        assert_true(kind == EVENT_CANCEL && (before.step == STEP_RESERVE || s.step == STEP_AWAIT ||
                                             before.step == STEP_RESOLVE ||
                                             before.phase == PHASE_ACTING)); // through a message
        return;
    }
    assert_int_equal(s.orders, 3); // taken up once, whatever its result
    assert_int_equal(note.outcome, possible ? OUT_ORDERED : OUT_NOT_ORDERED);
    if (possible) {
        assert_true(may_be_ordered(before.step, kind));
        assert_true(s.hold[0] == '\0');
        assert_true(s.judged == (int32_t)n + 1 || s.judged == 0);
    } else {
        assert_true(why != NULL && why[0] != '\0');
        assert_int_equal(s.step, before.step);
        assert_string_equal(s.hold, before.hold);
    }
    // No attempt at the bank is forgotten, and no attempt that may be there is made again.
    if (kind == EVENT_CANCEL && possible) {
        assert_true(before.step != STEP_RESOLVE || said.word == WORD_NOT_TAKEN);
        assert_true(before.step != STEP_AWAIT || said.word == WORD_NOT_TAKEN);
        assert_true(before.phase == PHASE_READY || said.word == WORD_NOT_TAKEN);
    }
    if (said.word == WORD_SETTLED && before.step != STEP_DONE && possible &&
        before.step != STEP_RETURN) {
        assert_true(kind != EVENT_RETRY && kind != EVENT_GIVE_BACK);
    }
    assert_true(s.due_at_us != SAGA_NEVER || s.step == STEP_DONE);
}

static void check_orders_of(saga s) {
    for (int kind = EVENT_RELEASE; kind <= EVENT_CANCEL; kind++) {
        for (int pick = 0; pick < PICKS; pick++) {
            const saga_event said = pick == 0 ? event(1, EVENT_ACCEPTED) : picked(&s, pick - 1);
            check_order(s, (saga_event_kind)kind, &said, pick == 0 ? 0 : 1);
        }
    }
}

static void test_all__orders__possible_or_refused_with_a_reason(void **state) {
    (void)state;
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        for (int held = 0; held < 2; held++) {
            for (int phase = 0; phase < 2 - held; phase++) {
                for (int32_t tries = 0; tries < 2; tries++) {
                    saga s =
                        at((saga_step)step, (saga_phase)phase, state_before((saga_step)step), 2);
                    s.tries = tries;
                    memcpy(s.reason, "X", 2);
                    memcpy(s.hold, held ? "H" : "", held ? 2 : 1);
                    const bool acts = step != STEP_AWAIT && step != STEP_DONE && step != STEP_GATE;
                    if (phase == PHASE_READY || acts) {
                        check_orders_of(s);
                    }
                }
            }
        }
    }
    for (size_t i = 0; i < N_ENDS; i++) {
        saga s = at(STEP_DONE, PHASE_READY, ENDS[i], 2);
        memcpy(s.reason, "X", 2);
        check_orders_of(s);
        memcpy(s.hold, "H", 2);
        check_orders_of(s);
    }
}

// Values of a later version: never an abort, always held, nothing overwritten.
static void test_all__unknown_values__held(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++) {
        saga s = sent();
        s.step = i == 0 ? (saga_step)77 : i == 1 ? STEP_VOID : i == 2 ? STEP_DONE : s.step;
        s.phase = i == 3 ? (saga_phase)2 : s.phase;
        s.state = i == 4 ? (saga_state)11 : s.state;
        s.amount = i == 5 ? 0 : s.amount; // its payout is not in the database
        const saga before = s;
        assert_int_equal(claim(&s), STEP_NONE);
        assert_string_equal(s.hold, "VALUE_NOT_KNOWN");
        assert_int_equal(note.outcome, OUT_BROKEN);
        assert_int_equal(s.step, before.step);
        assert_int_equal(s.state, before.state);
        assert_int_equal(claim(&s), STEP_NONE);
        assert_int_equal(note.outcome, OUT_NONE); // told once
    }
}

// --- Taking over -----------------------------------------------------------------------------------------------------

// From the row and the intent beyond it, the machine must rebuild the saga of the claim.
static void check_take_over(saga s, const saga_event *events, size_t n) {
    saga claimed = s;
    const saga_step acting = claim_events(&claimed, events, n);
    if (acting == STEP_NONE) {
        return;
    }
    const saga_intent intent = {.step = acting,
                                .attempt = claimed.attempt,
                                .outlook = claimed.outlook,
                                .moving = claimed.moving,
                                .code = str_of(claimed.reason),
                                .text = str_of(claimed.reason_text)};
    saga taken = s;
    saga_take_over(&taken, &intent, &POLICY, &CLOCK.source);
    taken.due_at_us = claimed.due_at_us;
    assert_memory_equal(&taken, &claimed, sizeof taken);
    if (n == 0 && !saga_try_is_logged(&s)) { // a repeat has no intent of its own
        taken = s;
        saga_take_over(&taken, NULL, &POLICY, &CLOCK.source);
        assert_true(taken.due_at_us == CLOCK.now_us);
        taken.due_at_us = claimed.due_at_us;
        assert_memory_equal(&taken, &claimed, sizeof taken);
    }
}

static void test_all__take_over__is_what_the_claim_had_made(void **state) {
    (void)state;
    for (int step = STEP_RESERVE; step < STEP_COUNT; step++) {
        for (int phase = 0; phase < 2; phase++) {
            for (int32_t tries = 0; tries < 12; tries++) {
                saga s = at((saga_step)step, (saga_phase)phase, state_before((saga_step)step), 2);
                s.tries = tries;
                if (phase == PHASE_ACTING &&
                    (step == STEP_AWAIT || step == STEP_DONE || step == STEP_GATE)) {
                    continue;
                }
                for (int pick = 0; pick < PICKS; pick++) {
                    const saga_event e =
                        pick == 0 ? event(1, EVENT_ACCEPTED) : picked(&s, pick - 1);
                    check_take_over(s, &e, pick == 0 ? 0 : 1);
                }
            }
        }
    }
    saga s = sent();
    const saga_intent later = {.step = (saga_step)77, .attempt = 1};
    saga_take_over(&s, &later, &POLICY, &CLOCK.source);
    assert_held(&s, STEP_AWAIT, "VALUE_NOT_KNOWN");
}

static void test_log__first_tries_and_every_tenth(void **state) {
    (void)state;
    saga s = at(STEP_EXECUTE, PHASE_READY, STATE_PROCESSING, 1);
    int logged = 0;
    for (s.tries = 0; s.tries < 100; s.tries++) {
        logged += saga_try_is_logged(&s) ? 1 : 0;
    }
    assert_int_equal(logged, 3 + 9);
    assert_true(saga_is_repeat(&s, STEP_EXECUTE));
    assert_false(saga_is_repeat(&s, STEP_CONFIRM)); // the tries were for another step
    s.step = STEP_AWAIT;
    assert_true(saga_is_repeat(&s, STEP_RESOLVE));
    s.step = STEP_EXECUTE;
    s.tries = 5;
    s.phase = PHASE_ACTING; // interrupted: told in any case
    assert_true(saga_try_is_logged(&s));
    saga after = s;
    assert_false(saga_is_progress(&s, &after, OUT_RETRY));
    assert_false(saga_is_progress(&s, &after, OUT_UNKNOWN));
    assert_true(saga_is_progress(&s, &after, OUT_ACCEPTED));
    s.state = STATE_SENT;
    assert_false(saga_is_progress(&s, &after, OUT_ACCEPTED)); // it still waits
    saga_hold(&after, STR("H"), STR("h"));
    assert_true(saga_is_progress(&s, &after, OUT_RETRY));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all__outcomes__drawn_or_refused),
        cmocka_unit_test(test_all__claims__with_every_run_of_messages),
        cmocka_unit_test(test_all__orders__possible_or_refused_with_a_reason),
        cmocka_unit_test(test_all__unknown_values__held),
        cmocka_unit_test(test_all__take_over__is_what_the_claim_had_made),
        cmocka_unit_test(test_log__first_tries_and_every_tenth),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
