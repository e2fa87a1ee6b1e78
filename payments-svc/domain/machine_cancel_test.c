// Orders to cancel an attempt that the bank may have: the bank is first asked about this very attempt, and the asking ends.
#include "domain/machine_test_kit.h"

// The first attempt's outcome is unknown; then the bank says "refused for now".
static saga refused_for_now_after_unknown(void) {
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_UNKNOWN);
    act(&s, STEP_RESOLVE, OUT_AGAIN);
    assert_int_equal(s.step, STEP_EXECUTE);
    return s;
}

static void test_cancel__unknown_then_refused_for_now__canceled_at_once(void **state) {
    (void)state;
    saga s = refused_for_now_after_unknown();
    const saga_event order = ordered(EVENT_CANCEL, 1);
    assert_int_equal(claim_events(&s, &order, 1), STEP_NONE); // the bank has told the outcome
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(claim_events(&s, &order, 1), STEP_CANCEL);
    assert_true(come_events(&s, OUT_DONE, &order, 1));
    assert_int_equal(s.state, STATE_CANCELED);
    assert_int_equal(s.attempt, 1);
}

// The order came before the bank's answer: it is carried out right after it.
static void test_cancel__before_the_answer__refused_for_now__canceled(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_UNKNOWN);
    const saga_event order = ordered(EVENT_CANCEL, 1);
    assert_int_equal(claim_events(&s, &order, 1), STEP_RESOLVE);
    assert_true(come_events(&s, OUT_AGAIN, &order, 1));
    assert_int_equal(claim_events(&s, &order, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(s.step, STEP_CANCEL);
}

// A leftover doubt would turn the next attempt's refusal into a question about the old attempt.
static void test_refused_for_now__ends_the_doubt_about_its_attempt(void **state) {
    (void)state;
    const saga s = refused_for_now_after_unknown();
    assert_int_equal(s.doubt, DOUBT_NONE);
    assert_int_equal(s.absent_since_us, 0);
    saga repeated = fresh(); // its repeat was refused for now, and so was the first, says the bank
    act(&repeated, STEP_RESERVE, OUT_DONE);
    act(&repeated, STEP_EXECUTE, OUT_UNKNOWN);
    act(&repeated, STEP_RESOLVE, OUT_RETRY);
    act(&repeated, STEP_EXECUTE, OUT_AGAIN);
    assert_int_equal(repeated.doubt, DOUBT_REFUSED);
    act(&repeated, STEP_RESOLVE, OUT_AGAIN);
    assert_int_equal(repeated.doubt, DOUBT_NONE);
    const saga_event order = ordered(EVENT_CANCEL, 1);
    assert_int_equal(claim_events(&repeated, &order, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
}

// --- Orders that wait, when their wait ends otherwise -------------------------------------------------------------------

// The outcome is "handed over", so only an event would wake the payout: the order is answered at once.
static void test_cancel__waits_for_the_rail__handed_over__answered(void **state) {
    (void)state;
    const saga_outcome outcomes[] = {OUT_HANDED_OVER, OUT_ACCEPTED};
    for (size_t i = 0; i < 2; i++) {
        saga s = at(STEP_RESOLVE, PHASE_READY, STATE_PROCESSING, 1);
        const saga_event order = ordered(EVENT_CANCEL, 1);
        const saga_said said = hear(&s, &order, 1);
        const saga_answer answer = {outcomes[i], STR(""), STR(""), 0};
        assert_int_equal(saga_on_claim(&s, &said, &FILES, &CLOCK.source, &note), STEP_RESOLVE);
        assert_true(saga_on_outcome(&s, &answer, &said, &FILES, &CLOCK.source));
        assert_int_equal(s.step, STEP_AWAIT);
        assert_true(s.due_at_us != SAGA_NEVER);
        assert_int_equal(claim_events(&s, &order, 1), STEP_NONE);
        assert_int_equal(note.outcome, OUT_NOT_ORDERED);
    }
}

// The order waits while the step ends in a hold, or the rail's word does not add up.
static void test_cancel__waits_and_the_payout_is_held__taken_up(void **state) {
    (void)state;
    const saga_event events[] = {ordered(EVENT_CANCEL, 1), event(7, EVENT_SETTLED)};
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_RETRY);
    assert_int_equal(claim_events(&s, events, 1), STEP_RESERVE);
    assert_true(come_events(&s, OUT_BROKEN, events, 1));
    assert_true(s.hold[0] != '\0' && s.due_at_us != SAGA_NEVER);
    assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(s.step, STEP_CANCEL);
    saga odd = at(STEP_RESOLVE, PHASE_READY, STATE_PROCESSING, 1);
    assert_int_equal(claim_events(&odd, events, 2), STEP_NONE);
    assert_true(odd.hold[0] != '\0' && odd.due_at_us != SAGA_NEVER);
    assert_int_equal(claim_events(&odd, events, 2), STEP_NONE);
    assert_int_equal(odd.orders, 1);
}

// The bank gives no useful answer: an earlier cancel must not delay a person who knows more.
static void test_cancel__waits_without_an_end__gives_way_to_what_a_person_says(void **state) {
    (void)state;
    const saga_event_kind kinds[] = {EVENT_MARK_PAID, EVENT_GIVE_BACK};
    for (size_t i = 0; i < 2; i++) {
        const saga_event events[] = {ordered(EVENT_CANCEL, 1), ordered(EVENT_CANCEL, 2),
                                     ordered(kinds[i], 3)};
        saga s = fresh();
        act(&s, STEP_RESERVE, OUT_DONE);
        act(&s, STEP_EXECUTE, OUT_UNKNOWN);
        for (int n = 0; n < 3; n++) {
            assert_int_equal(claim_events(&s, events, 2), STEP_RESOLVE);
            assert_true(come_events(&s, OUT_UNKNOWN, events, 2));
        }
        for (int n = 1; n <= 2; n++) {
            assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
            assert_int_equal(note.outcome, OUT_NOT_ORDERED);
            assert_int_equal(s.orders, n);
        }
        assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
        assert_int_equal(note.outcome, OUT_ORDERED);
        assert_int_equal(s.step, i == 0 ? STEP_CONFIRM : STEP_VOID);
    }
}

// An order that would come to nothing, or is not about the rail's attempt, leaves the waiting cancel in place: a person still wants it.
static void test_NO_LOSS_cancel__waits__what_is_not_possible_comes_behind_it(void **state) {
    (void)state;
    const saga_event_kind kinds[] = {EVENT_RELEASE, EVENT_WRITE_OFF, EVENT_RETRY};
    for (size_t i = 0; i < 3; i++) {
        const saga_event events[] = {ordered(EVENT_CANCEL, 1), ordered(kinds[i], 2)};
        saga s = fresh();
        act(&s, STEP_RESERVE, OUT_DONE);
        act(&s, STEP_EXECUTE, OUT_UNKNOWN);
        assert_int_equal(claim_events(&s, events, 1), STEP_RESOLVE);
        assert_true(come_events(&s, OUT_UNKNOWN, events, 2));
        assert_int_equal(claim_events(&s, events, 2), STEP_RESOLVE);
        assert_int_equal(s.orders, 0);
        assert_true(come_events(&s, OUT_RETRY, events, 2)); // the bank does not have it
        test_clock_advance(&CLOCK, POLICY.cancel_wait_ms * 1000);
        assert_int_equal(claim_events(&s, events, 2), STEP_RESOLVE);
        assert_true(come_events(&s, OUT_RETRY, events, 2)); // still not
        assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
        assert_int_equal(note.outcome, OUT_ORDERED);
        assert_int_equal(s.step, STEP_CANCEL);
    }
}

// An impossible order replaces nothing, and a second cancel waits like the first.
static void test_cancel__waits__another_cancel_behind_it__still_waits(void **state) {
    (void)state;
    const saga_event events[] = {ordered(EVENT_CANCEL, 1), ordered(EVENT_CANCEL, 2)};
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_UNKNOWN);
    assert_int_equal(claim_events(&s, events, 2), STEP_RESOLVE);
    assert_int_equal(s.orders, 0);
}

// --- After a restore -------------------------------------------------------------------------------------------------

static saga_event ordered_after_a_restore(void) {
    saga_event order = ordered(EVENT_CANCEL, 1);
    order.code = STR(SAGA_CANCEL_ASKED);
    return order;
}

// All attempts were refused for now, as the bank has repeated since. The next attempt may be forgotten.
static saga refused_for_now(int32_t attempts) {
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    for (int32_t i = 0; i < attempts; i++) {
        act(&s, STEP_EXECUTE, OUT_AGAIN);
    }
    assert_int_equal(s.step, STEP_EXECUTE);
    assert_int_equal(s.attempt, attempts);
    return s;
}

// The bank says twice, with time between, that it does not have the attempt: then it is canceled.
static void assert_canceled_after_two_answers(saga *s, const saga_event *order) {
    assert_true(come_events(s, OUT_RETRY, order, 1));
    assert_int_equal(s->step, STEP_RESOLVE);
    test_clock_advance(&CLOCK, POLICY.cancel_wait_ms * 1000);
    assert_int_equal(claim_events(s, order, 1), STEP_RESOLVE);
    assert_true(come_events(s, OUT_RETRY, order, 1));
    assert_int_equal(claim_events(s, order, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(s->step, STEP_CANCEL);
}

static void test_NO_DOUBLE_cancel__after_a_restore__the_next_attempt_is_asked_for(void **state) {
    (void)state;
    const saga_event order = ordered_after_a_restore();
    for (int32_t attempts = 0; attempts < POLICY.attempts_max; attempts++) {
        saga s = refused_for_now(attempts);
        assert_int_equal(claim_events(&s, &order, 1), STEP_RESOLVE);
        assert_int_equal(s.attempt, attempts + 1);
        saga paid = s;
        assert_canceled_after_two_answers(&s, &order);
        assert_int_equal(s.attempt, attempts + 1);
        assert_true(come_events(&paid, OUT_SETTLED, &order, 1));
        assert_int_equal(paid.step, STEP_CONFIRM);
    }
}

// It was sent again to a bank that could not be reached: this attempt has its number.
static void test_NO_DOUBLE_cancel__after_a_restore__attempt_that_will_be_repeated(void **state) {
    (void)state;
    const saga_event order = ordered_after_a_restore();
    for (int32_t attempts = 0; attempts < POLICY.attempts_max; attempts++) {
        saga s = refused_for_now(attempts);
        act(&s, STEP_EXECUTE, OUT_RETRY);
        assert_int_equal(claim_events(&s, &order, 1), STEP_RESOLVE);
        assert_int_equal(s.attempt, attempts + 1);
        assert_canceled_after_two_answers(&s, &order);
    }
}

// Each answer leads to the question about the next attempt, up to the limit.
static void test_cancel__after_a_restore__all_were_refused_for_now__ends(void **state) {
    (void)state;
    const saga_event order = ordered_after_a_restore();
    saga s = refused_for_now(0);
    for (int32_t attempt = 1; attempt <= POLICY.attempts_max; attempt++) {
        assert_int_equal(claim_events(&s, &order, 1), STEP_RESOLVE);
        assert_int_equal(s.attempt, attempt);
        assert_true(come_events(&s, OUT_AGAIN, &order, 1));
    }
    assert_int_equal(s.step, STEP_VOID);
    assert_string_equal(s.reason, "ATTEMPTS_EXHAUSTED");
}

// The absence of one attempt says nothing about the next.
static void
test_cancel__after_a_restore__absence_of_the_attempt_before__means_nothing(void **state) {
    (void)state;
    const saga_event order = ordered_after_a_restore();
    saga_policy late = POLICY;
    late.absence_ms = 5000;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_UNKNOWN);
    assert_int_equal(claim(&s), STEP_RESOLVE);
    const saga_said nothing = word(WORD_NONE);
    const saga_answer absent = {OUT_RETRY, STR(""), STR(""), 0};
    assert_true(saga_on_outcome(&s, &absent, &nothing, &late, &CLOCK.source));
    assert_true(s.absent_since_us != 0);
    saga_event again = ordered(EVENT_RETRY, 1); // a person has evidence
    again.code = STR(SAGA_SEND_AGAIN);
    assert_int_equal(claim_events(&s, &again, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    saga_event cancel = order;
    cancel.order = 2;
    assert_int_equal(claim_events(&s, &cancel, 1), STEP_RESOLVE);
    assert_int_equal(s.attempt, 2);
}

// A worker that dies while it asks leaves the question about the same attempt.
static void test_cancel__after_a_restore__worker_died_asking__asked_once_more(void **state) {
    (void)state;
    const saga_event order = ordered_after_a_restore();
    const saga before = refused_for_now(2);
    saga s = before, heir = before;
    assert_int_equal(claim_events(&s, &order, 1), STEP_RESOLVE);
    const saga_intent intent = {.step = STEP_RESOLVE, .attempt = s.attempt};
    saga_take_over(&heir, &intent, &POLICY, &CLOCK.source);
    assert_int_equal(heir.attempt, 3);
    assert_int_equal(claim_events(&heir, &order, 1), STEP_RESOLVE);
    assert_int_equal(heir.attempt, 3);
    assert_canceled_after_two_answers(&heir, &order);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel__waits_without_an_end__gives_way_to_what_a_person_says),
        cmocka_unit_test(test_NO_LOSS_cancel__waits__what_is_not_possible_comes_behind_it),
        cmocka_unit_test(test_cancel__waits__another_cancel_behind_it__still_waits),
        cmocka_unit_test(test_cancel__waits_for_the_rail__handed_over__answered),
        cmocka_unit_test(test_cancel__waits_and_the_payout_is_held__taken_up),
        cmocka_unit_test(test_NO_DOUBLE_cancel__after_a_restore__the_next_attempt_is_asked_for),
        cmocka_unit_test(test_NO_DOUBLE_cancel__after_a_restore__attempt_that_will_be_repeated),
        cmocka_unit_test(test_cancel__after_a_restore__all_were_refused_for_now__ends),
        cmocka_unit_test(
            test_cancel__after_a_restore__absence_of_the_attempt_before__means_nothing),
        cmocka_unit_test(test_cancel__after_a_restore__worker_died_asking__asked_once_more),
        cmocka_unit_test(test_cancel__unknown_then_refused_for_now__canceled_at_once),
        cmocka_unit_test(test_cancel__before_the_answer__refused_for_now__canceled),
        cmocka_unit_test(test_refused_for_now__ends_the_doubt_about_its_attempt),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
