// The paths of a saga, its attempts and times, and a rail's own words.
#include "domain/machine_test_kit.h"

// --- Paths -----------------------------------------------------------------------------------------------------------

static void test_path__all_well__settled(void **state) {
    (void)state;
    saga s = settled();
    assert_int_equal(s.step, STEP_DONE);
    assert_int_equal(s.attempt, 1);
    assert_string_equal(s.reason, "");
    assert_true(s.due_at_us == SAGA_NEVER);
}

static void test_path__settled_at_once__no_await(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_SETTLED);
    act(&s, STEP_CONFIRM, OUT_DONE);
    assert_int_equal(s.state, STATE_SETTLED);
}

static void test_path__no_money__failed_without_rail(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_REFUSED);
    assert_int_equal(s.step, STEP_DONE);
    assert_int_equal(s.state, STATE_FAILED);
    assert_int_equal(s.attempt, 0);
    assert_string_equal(s.reason, "AM04");
}

static void test_path__refused__voided_and_failed(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_REFUSED);
    assert_int_equal(s.step, STEP_VOID);
    assert_int_equal(s.state, STATE_PROCESSING); // not FAILED before the money is free again
    act(&s, STEP_VOID, OUT_DONE);
    assert_int_equal(s.state, STATE_FAILED);
    assert_string_equal(s.reason, "AM04");
    assert_string_equal(s.reason_text, "not now");
}

static void test_path__returned_while_waiting__voided_and_returned(void **state) {
    (void)state;
    saga s = sent();
    const saga_event events[] = {event(1, EVENT_RETURNED)};
    assert_int_equal(claim_events(&s, events, 1), STEP_VOID);
    assert_true(come(&s, OUT_DONE, WORD_RETURNED));
    assert_int_equal(s.state, STATE_RETURNED);
    assert_string_equal(s.reason, "R03");
}

static void test_path__returned_after_settlement__moved_back(void **state) {
    (void)state;
    saga s = settled();
    const saga_event events[] = {event(1, EVENT_SETTLED), event(1, EVENT_RETURNED)};
    assert_int_equal(claim_events(&s, events, 2), STEP_RETURN);
    assert_int_equal(s.state, STATE_SETTLED);
    assert_true(come(&s, OUT_DONE, WORD_SETTLED_RETURNED));
    assert_int_equal(s.state, STATE_RETURNED);
    assert_int_equal(s.step, STEP_DONE);
    assert_string_equal(s.reason, "R03");
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE); // and not again
    assert_int_equal(s.state, STATE_RETURNED);
}

static void test_path__query_says_returned__voided_and_returned(void **state) {
    (void)state;
    saga s = sent();
    act(&s, STEP_RESOLVE, OUT_RETURNED);
    act(&s, STEP_VOID, OUT_DONE);
    assert_int_equal(s.state, STATE_RETURNED);
}

// --- Attempts, tries and time ----------------------------------------------------------------------------------------

static void test_attempts__refused_for_now__new_attempt_until_exhausted(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    for (int32_t i = 1; i <= POLICY.attempts_max; i++) {
        assert_int_equal(s.step, STEP_EXECUTE);
        assert_int_equal(claim(&s), STEP_EXECUTE);
        assert_int_equal(s.attempt, i);
        assert_true(come(&s, OUT_AGAIN, WORD_NONE));
    }
    assert_int_equal(s.step, STEP_VOID);
    assert_string_equal(s.reason, "ATTEMPTS_EXHAUSTED");
    assert_string_equal(s.reason_text, "after 3 attempts: AM04 not now");
    act(&s, STEP_VOID, OUT_DONE);
    assert_int_equal(s.state, STATE_FAILED);
}

static void test_attempts__not_sent__same_attempt(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    for (int i = 0; i < 20; i++) {
        act(&s, STEP_EXECUTE, OUT_RETRY);
        assert_int_equal(s.attempt, 1);
    }
    act(&s, STEP_EXECUTE, OUT_AGAIN);
    assert_int_equal(claim(&s), STEP_EXECUTE);
    assert_int_equal(s.attempt, 2);
}

static void test_unknown__is_asked__and_repeated_only_under_its_own_key(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_UNKNOWN);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(s.step, STEP_RESOLVE);
        assert_int_equal(s.state, STATE_PROCESSING);
        act(&s, STEP_RESOLVE, OUT_UNKNOWN);
    }
    act(&s, STEP_RESOLVE, OUT_RETRY); // certainly absent
    assert_int_equal(claim(&s), STEP_EXECUTE);
    assert_int_equal(s.attempt, 1);
}

static void test_orphan__worker_died_while_executing__asks_first(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    assert_int_equal(claim(&s), STEP_EXECUTE);
    assert_int_equal(claim(&s), STEP_RESOLVE); // claimed again, still acting
    assert_int_equal(s.attempt, 1);
    assert_int_equal(claim(&s), STEP_RESOLVE);
    assert_true(come(&s, OUT_ACCEPTED, WORD_NONE));
    assert_int_equal(s.step, STEP_AWAIT);
}

static void test_orphan__worker_died_at_the_ledger__same_step_again(void **state) {
    (void)state;
    const saga_step steps[] = {STEP_RESERVE, STEP_CONFIRM, STEP_VOID, STEP_RETURN};
    for (size_t i = 0; i < 4; i++) {
        saga s = at(steps[i], PHASE_ACTING, STATE_SENT, steps[i] == STEP_RESERVE ? 0 : 1);
        assert_int_equal(claim(&s), steps[i]);
        assert_int_equal(s.phase, PHASE_ACTING);
    }
}

// The largest of many draws: full jitter is uniform up to its ceiling.
static int64_t latest_wait_ms(int32_t tries, int64_t *least_ms) {
    int64_t most_ms = 0;
    *least_ms = INT64_MAX;
    for (int i = 0; i < 400; i++) {
        saga s = at(STEP_CONFIRM, PHASE_ACTING, STATE_SENT, 1);
        s.tries = tries;
        assert_true(come(&s, OUT_RETRY, WORD_NONE));
        assert_int_equal(s.tries, tries + 1);
        const int64_t wait_ms = (s.due_at_us - CLOCK.now_us) / 1000;
        most_ms = wait_ms > most_ms ? wait_ms : most_ms;
        *least_ms = wait_ms < *least_ms ? wait_ms : *least_ms;
    }
    return most_ms;
}

static void test_backoff__grows_with_jitter_up_to_the_cap(void **state) {
    (void)state;
    int64_t ceiling_ms = 200;
    for (int32_t tries = 0; tries < 14; tries++) {
        int64_t least_ms = 0;
        const int64_t most_ms = latest_wait_ms(tries, &least_ms);
        assert_true(most_ms <= ceiling_ms);
        assert_true(most_ms > ceiling_ms * 9 / 10);
        assert_true(least_ms < ceiling_ms / 10 + 1);
        ceiling_ms =
            ceiling_ms * 2 > POLICY.backoff_cap_ms ? POLICY.backoff_cap_ms : ceiling_ms * 2;
    }
    saga s = at(STEP_CONFIRM, PHASE_ACTING, STATE_SENT, 1);
    s.tries = 1000000;
    assert_true(come(&s, OUT_RETRY, WORD_NONE));
    assert_int_equal(s.tries, 1000000); // bounded
}

static void test_await__rail_that_answers__asked_after_a_while(void **state) {
    (void)state;
    saga s = sent();
    assert_true(s.due_at_us == CLOCK.now_us + 5000 * 1000);
    act(&s, STEP_RESOLVE, OUT_ACCEPTED);
    assert_int_equal(s.step, STEP_AWAIT);
    assert_int_equal(s.state, STATE_SENT);
    assert_int_equal(s.tries, 1);
    assert_true(s.due_at_us >= CLOCK.now_us + 5000 * 1000);
}

static void test_await__files__never_asked(void **state) {
    (void)state;
    saga s = at(STEP_EXECUTE, PHASE_ACTING, STATE_PROCESSING, 1);
    const saga_answer answer = {.outcome = OUT_ACCEPTED};
    const saga_said none = {.word = WORD_NONE}, accepted = {.word = WORD_ACCEPTED};
    assert_true(saga_on_outcome(&s, &answer, &none, &FILES, &CLOCK.source));
    assert_true(s.due_at_us == SAGA_NEVER);
    assert_int_equal(saga_on_claim(&s, &accepted, &FILES, &CLOCK.source, &note), STEP_NONE);
    assert_int_equal(s.step, STEP_AWAIT);
    assert_true(s.due_at_us == SAGA_NEVER);
}

// --- Rails that hand over --------------------------------------------------------------------------------------------

static saga_step claim_file(saga *s, saga_event_kind kind) {
    const saga_event events[] = {event(1, kind)};
    const saga_said said = hear(s, events, 1);
    return saga_on_claim(s, &said, &FILES, &CLOCK.source, &note);
}

static void test_handed_over__its_submission_is_at_the_bank__sent(void **state) {
    (void)state;
    saga s = handed_over();
    assert_int_equal(claim_file(&s, EVENT_ACCEPTED), STEP_NONE);
    assert_int_equal(s.step, STEP_AWAIT);
    assert_int_equal(s.state, STATE_SENT);
    assert_true(s.due_at_us == SAGA_NEVER);
    assert_int_equal(claim_file(&s, EVENT_SETTLED), STEP_CONFIRM);
}

static void test_handed_over__never_taken__new_attempt(void **state) {
    (void)state;
    saga s = handed_over();
    assert_int_equal(claim_file(&s, EVENT_NOT_TAKEN), STEP_NONE);
    assert_int_equal(s.step, STEP_EXECUTE);
    assert_int_equal(s.attempt, 1);
    assert_true(s.due_at_us == CLOCK.now_us);
    // the word is about the previous attempt
    assert_int_equal(claim_file(&s, EVENT_NOT_TAKEN), STEP_EXECUTE);
    assert_int_equal(s.attempt, 2);
    // If money moves for it all the same, a person decides.
    assert_true(come(&s, OUT_HANDED_OVER, WORD_NONE));
    assert_int_equal(claim_file(&s, EVENT_SETTLED), STEP_NONE);
    assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
}

// Promise NO-DOUBLE: the bank rejected a file, and then processed it all the same, in whatever words.
static void test_NO_DOUBLE_handed_over__moved_after_it_was_never_taken__held(void **state) {
    (void)state;
    const saga_event_kind moves[] = {EVENT_RETURNED, EVENT_SETTLED};
    const saga_event_kind dead[] = {EVENT_NOT_TAKEN, EVENT_REFUSED};
    for (size_t i = 0; i < 4; i++) {
        saga s = handed_over();
        assert_int_equal(claim_file(&s, EVENT_NOT_TAKEN), STEP_NONE);
        assert_int_equal(claim_file(&s, EVENT_NOT_TAKEN), STEP_EXECUTE);
        assert_true(come(&s, OUT_HANDED_OVER, WORD_NONE));
        // The same with both messages: a payment that went out and came back is no less wrong.
        const saga_event events[] = {event(1, dead[i / 2]), event(1, moves[i % 2]),
                                     event(1, EVENT_RETURNED)};
        const saga_said said = hear(&s, events, 3);
        assert_int_equal(saga_on_claim(&s, &said, &FILES, &CLOCK.source, &note), STEP_NONE);
        assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
    }
}

static void test_handed_over__no_room_now__comes_back_when_told(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    assert_int_equal(claim(&s), STEP_EXECUTE);
    const saga_answer later = {OUT_RETRY, {0}, {0}, CLOCK.now_us + 77};
    const saga_said none = {.word = WORD_NONE};
    assert_true(saga_on_outcome(&s, &later, &none, &FILES, &CLOCK.source));
    assert_int_equal(s.step, STEP_EXECUTE);
    assert_true(s.due_at_us == CLOCK.now_us + 77);
    assert_int_equal(claim(&s), STEP_EXECUTE);
    assert_int_equal(s.attempt, 1);
}

// --- What the rail says ----------------------------------------------------------------------------------------------

static void test_hear__order_and_repeats_do_not_matter(void **state) {
    (void)state;
    const saga s = sent();
    const saga_event events[] = {event(1, EVENT_RETURNED), event(1, EVENT_ACCEPTED),
                                 event(1, EVENT_SETTLED), event(1, EVENT_SETTLED)};
    assert_int_equal(hear(&s, events, 0).word, WORD_NONE);
    assert_int_equal(hear(&s, events, 1).word, WORD_RETURNED);
    assert_int_equal(hear(&s, events, 2).word, WORD_RETURNED);
    assert_int_equal(hear(&s, events, 4).word, WORD_SETTLED_RETURNED);
    assert_int_equal(hear(&s, events + 1, 1).word, WORD_ACCEPTED);
    assert_int_equal(hear(&s, events + 1, 3).word, WORD_SETTLED);
    const saga_event both[] = {event(1, EVENT_SETTLED), event(1, EVENT_REFUSED)};
    assert_int_equal(hear(&s, both, 2).word, WORD_CONTRADICTION);
}

static void test_hear__reason_is_of_the_message_that_decides(void **state) {
    (void)state;
    const saga s = sent();
    const saga_event events[] = {
        {.attempt = 1, .kind = EVENT_RETURNED, .code = STR("R01"), .text = STR("no funds")},
        {.attempt = 1, .kind = EVENT_SETTLED, .reference = STR("pay_1")}};
    const saga_said said = hear(&s, events, 2);
    assert_true(str_eq_c(said.code, "R01"));
    assert_true(str_eq_c(said.text, "no funds"));
    assert_true(str_eq_c(said.reference, "pay_1")); // of any message with one
}

static void test_hear__reference_of_a_superseded_attempt__is_not_taken(void **state) {
    (void)state;
    saga s = sent();
    s.attempt = 2;
    const saga_event old = {
        .attempt = 1, .kind = EVENT_REFUSED, .code = STR("AM04"), .reference = STR("pay_1")};
    const saga_said said = hear(&s, &old, 1);
    assert_int_equal(said.word, WORD_NONE);
    assert_int_equal(said.reference.len, 0);
}

static void test_hear__superseded_attempt(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_AGAIN);
    // Attempt 1 was refused for now; attempt 2 is not out yet. The refusal arrives again, late: it is known.
    const saga_event refused = event(1, EVENT_REFUSED), paid = event(1, EVENT_SETTLED);
    assert_int_equal(hear(&s, &refused, 1).word, WORD_NONE);
    assert_int_equal(hear(&s, &paid, 1).word, WORD_CONTRADICTION);
    saga later = s;
    assert_int_equal(claim_events(&later, &refused, 1), STEP_EXECUTE);
    assert_int_equal(later.attempt, 2);
    assert_int_equal(claim_events(&s, &paid, 1), STEP_NONE);
    assert_held(&s, STEP_EXECUTE, "RAIL_CONTRADICTION");
}

static void test_hear__attempt_that_was_never_made__held(void **state) {
    (void)state;
    saga s = fresh();
    const saga_event paid = event(1, EVENT_SETTLED);
    assert_int_equal(claim_events(&s, &paid, 1), STEP_NONE);
    assert_held(&s, STEP_RESERVE, "RAIL_CONTRADICTION");
}

// A kind of a later version: no reader aborts, and the payout is held.
static void test_hear__kind_that_is_not_known__held(void **state) {
    (void)state;
    static const int KINDS[] = {-1, 0, 6, 19, 26, 77, INT16_MAX};
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        saga s = at(STEP_AWAIT, PHASE_READY, STATE_SENT, 1);
        const saga_event event = {.attempt = 1, .kind = (saga_event_kind)KINDS[i]};
        assert_string_equal(saga_event_name(KINDS[i]), "?");
        assert_int_equal(claim_events(&s, &event, 1), STEP_NONE);
        assert_int_equal(saga_public_state(&s), STATE_HELD);
    }
}

static void test_word__before_the_answer_of_a_dead_worker__decides(void **state) {
    (void)state;
    saga s = at(STEP_EXECUTE, PHASE_ACTING, STATE_PROCESSING, 1);
    const saga_event paid = event(1, EVENT_SETTLED);
    assert_int_equal(claim_events(&s, &paid, 1), STEP_CONFIRM);
    assert_int_equal(s.attempt, 1);
}

static void test_word__return_before_settlement__once_settled_late_nothing(void **state) {
    (void)state;
    saga s = sent();
    const saga_event events[] = {event(1, EVENT_RETURNED), event(1, EVENT_SETTLED)};
    assert_int_equal(claim_events(&s, events, 1), STEP_VOID);
    assert_true(come(&s, OUT_DONE, WORD_RETURNED));
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(s.state, STATE_RETURNED);
    assert_true(s.due_at_us == SAGA_NEVER);
}

static void test_word__settled_and_returned_while_waiting__both_are_booked(void **state) {
    (void)state;
    saga s = sent();
    const saga_event events[] = {event(1, EVENT_RETURNED), event(1, EVENT_SETTLED)};
    assert_int_equal(claim_events(&s, events, 2), STEP_CONFIRM);
    assert_true(come(&s, OUT_DONE, WORD_SETTLED_RETURNED));
    assert_int_equal(s.state, STATE_SETTLED);
    assert_true(s.due_at_us == CLOCK.now_us); // at once
    assert_int_equal(claim_events(&s, events, 2), STEP_RETURN);
    assert_true(come(&s, OUT_DONE, WORD_SETTLED_RETURNED));
    assert_int_equal(s.state, STATE_RETURNED);
}

static void test_word__refused_after_settled__held(void **state) {
    (void)state;
    saga s = settled();
    const saga_event events[] = {event(1, EVENT_SETTLED), event(1, EVENT_REFUSED)};
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
}

static void test_word__settled_after_void__held(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_REFUSED);
    saga before = s;
    const saga_event paid = event(1, EVENT_SETTLED);
    assert_int_equal(claim_events(&before, &paid, 1), STEP_NONE); // not even voided
    assert_held(&before, STEP_VOID, "RAIL_CONTRADICTION");

    saga during = s;
    assert_int_equal(claim(&during), STEP_VOID);
    // the void may have happened: complete it
    assert_int_equal(claim_events(&during, &paid, 1), STEP_VOID);
    assert_true(come(&during, OUT_DONE, WORD_SETTLED));
    assert_int_equal(during.state, STATE_FAILED);
    assert_true(during.due_at_us == CLOCK.now_us);
    assert_int_equal(claim_events(&during, &paid, 1), STEP_NONE);
    assert_held(&during, STEP_DONE, "RAIL_CONTRADICTION");

    act(&s, STEP_VOID, OUT_DONE);
    assert_int_equal(claim_events(&s, &paid, 1), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
}

static void test_rail__denies_what_it_accepted__held(void **state) {
    (void)state;
    saga s = sent();
    act(&s, STEP_RESOLVE, OUT_RETRY);
    assert_held(&s, STEP_RESOLVE, "RAIL_LOST_PAYMENT");
}

// A bank whose query lags behind its intake.
static bool absent(saga *s, const saga_policy *lag) {
    const saga_answer answer = {OUT_RETRY, STR("NOT_FOUND"), STR("it has not got it"), 0};
    const saga_said nothing = word(WORD_NONE);
    assert_int_equal(saga_on_claim(s, &nothing, lag, &CLOCK.source, &note), STEP_RESOLVE);
    assert_true(saga_on_outcome(s, &answer, &nothing, lag, &CLOCK.source));
    return s->step == STEP_RESOLVE && s->hold[0] == '\0';
}

static void test_UNKNOWN_IS_A_STATE_absence__proves_nothing_while_the_query_may_lag(void **state) {
    (void)state;
    saga_policy lag = POLICY;
    lag.absence_ms = 3000;
    for (int accepted = 0; accepted < 2; accepted++) {
        saga s = sent();
        if (!accepted) {
            s = fresh();
            act(&s, STEP_RESERVE, OUT_DONE);
            act(&s, STEP_EXECUTE, OUT_UNKNOWN);
        }
        const int64_t first_us = CLOCK.now_us;
        assert_true(absent(&s, &lag));
        assert_true(s.due_at_us >= first_us && s.due_at_us <= first_us + 3000000);
        CLOCK.now_us = first_us + 2999999;
        assert_true(absent(&s, &lag)); // however often it is asked
        // and again as soon as the answer proves something
        assert_true(s.due_at_us <= first_us + 3000000);
        CLOCK.now_us = first_us + 3000000;
        assert_false(absent(&s, &lag));
        if (accepted) {
            assert_held(&s, STEP_RESOLVE, "RAIL_LOST_PAYMENT");
        } else {
            assert_int_equal(s.step, STEP_EXECUTE);
            assert_int_equal(s.attempt, 1);
        }
    }
}

static void test_absence__is_counted_from_the_last_submission(void **state) {
    (void)state;
    saga_policy lag = POLICY;
    lag.absence_ms = 3000;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_UNKNOWN);
    assert_true(absent(&s, &lag));
    CLOCK.now_us += 3000000;
    assert_false(absent(&s, &lag));
    act(&s, STEP_EXECUTE, OUT_UNKNOWN); // the same attempt again
    assert_true(absent(&s, &lag));
    // It is found, and later missing.
    act(&s, STEP_RESOLVE, OUT_ACCEPTED);
    CLOCK.now_us += 3000000;
    assert_true(absent(&s, &lag));
}

static void test_broken__every_acting_step__held(void **state) {
    (void)state;
    const saga_step steps[] = {STEP_RESERVE, STEP_EXECUTE, STEP_RESOLVE,
                               STEP_CONFIRM, STEP_VOID,    STEP_RETURN};
    for (size_t i = 0; i < 6; i++) {
        saga s = at(steps[i], PHASE_ACTING, STATE_PROCESSING, 1);
        assert_true(come(&s, OUT_BROKEN, WORD_NONE));
        assert_held(&s, steps[i] == STEP_EXECUTE ? STEP_RESOLVE : steps[i], "AM04");
    }
}

static void test_reason__is_cut_between_characters(void **state) {
    (void)state;
    char text[400];
    for (size_t i = 0; i < sizeof text; i += 2) {
        memcpy(text + i, "\xc3\xa9", 2);
    }
    for (size_t skip = 0; skip < 2; skip++) {
        const saga_answer answers[] = {{OUT_REFUSED, STR("X"), {text, sizeof text}, 0},
                                       {OUT_AGAIN, {text, sizeof text}, {text, sizeof text}, 0},
                                       {OUT_BROKEN, {text, sizeof text}, {text, sizeof text}, 0}};
        for (size_t i = 0; i < 3; i++) {
            saga s = at(STEP_EXECUTE, PHASE_ACTING, STATE_PROCESSING, 3);
            const saga_said none = {.word = WORD_NONE};
            assert_true(saga_on_outcome(&s, &answers[i], &none, &POLICY, &CLOCK.source));
            assert_true(str_is_text(s.reason, strlen(s.reason)));
            assert_true(str_is_text(s.reason_text, strlen(s.reason_text)));
        }
    }
    saga s = settled();
    saga_said said = word(WORD_REFUSED);
    said.text = (str){text, sizeof text};
    assert_int_equal(claim_with(&s, said), STEP_NONE);
    assert_true(str_is_text(s.hold_text, strlen(s.hold_text)));
}

static void test_names__in_and_out_of_range(void **state) {
    (void)state;
    assert_string_equal(saga_step_name(STEP_RETURN), "RETURN");
    assert_string_equal(saga_step_name(11), "?");
    assert_string_equal(saga_outcome_name(OUT_BROKEN), "BROKEN");
    assert_string_equal(saga_outcome_name(-1), "?");
    assert_string_equal(saga_state_name(STATE_HELD), "HELD");
    assert_string_equal(saga_word_name(WORD_CONTRADICTION), "CONTRADICTION");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path__all_well__settled),
        cmocka_unit_test(test_path__settled_at_once__no_await),
        cmocka_unit_test(test_path__no_money__failed_without_rail),
        cmocka_unit_test(test_path__refused__voided_and_failed),
        cmocka_unit_test(test_path__returned_while_waiting__voided_and_returned),
        cmocka_unit_test(test_path__returned_after_settlement__moved_back),
        cmocka_unit_test(test_path__query_says_returned__voided_and_returned),
        cmocka_unit_test(test_attempts__refused_for_now__new_attempt_until_exhausted),
        cmocka_unit_test(test_attempts__not_sent__same_attempt),
        cmocka_unit_test(test_unknown__is_asked__and_repeated_only_under_its_own_key),
        cmocka_unit_test(test_orphan__worker_died_while_executing__asks_first),
        cmocka_unit_test(test_orphan__worker_died_at_the_ledger__same_step_again),
        cmocka_unit_test(test_backoff__grows_with_jitter_up_to_the_cap),
        cmocka_unit_test(test_await__rail_that_answers__asked_after_a_while),
        cmocka_unit_test(test_await__files__never_asked),
        cmocka_unit_test(test_handed_over__its_submission_is_at_the_bank__sent),
        cmocka_unit_test(test_handed_over__never_taken__new_attempt),
        cmocka_unit_test(test_NO_DOUBLE_handed_over__moved_after_it_was_never_taken__held),
        cmocka_unit_test(test_handed_over__no_room_now__comes_back_when_told),
        cmocka_unit_test(test_hear__order_and_repeats_do_not_matter),
        cmocka_unit_test(test_hear__reason_is_of_the_message_that_decides),
        cmocka_unit_test(test_hear__reference_of_a_superseded_attempt__is_not_taken),
        cmocka_unit_test(test_hear__superseded_attempt),
        cmocka_unit_test(test_hear__attempt_that_was_never_made__held),
        cmocka_unit_test(test_hear__kind_that_is_not_known__held),
        cmocka_unit_test(test_word__before_the_answer_of_a_dead_worker__decides),
        cmocka_unit_test(test_word__return_before_settlement__once_settled_late_nothing),
        cmocka_unit_test(test_word__settled_and_returned_while_waiting__both_are_booked),
        cmocka_unit_test(test_word__refused_after_settled__held),
        cmocka_unit_test(test_word__settled_after_void__held),
        cmocka_unit_test(test_rail__denies_what_it_accepted__held),
        cmocka_unit_test(test_UNKNOWN_IS_A_STATE_absence__proves_nothing_while_the_query_may_lag),
        cmocka_unit_test(test_absence__is_counted_from_the_last_submission),
        cmocka_unit_test(test_broken__every_acting_step__held),
        cmocka_unit_test(test_reason__is_cut_between_characters),
        cmocka_unit_test(test_names__in_and_out_of_range),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
