#include "domain/machine_test_kit.h"

const saga_policy POLICY = {.attempts_max = 3,
                            .backoff_base_ms = 200,
                            .backoff_cap_ms = 60000,
                            .resolve_after_ms = 5000,
                            .cancel_wait_ms = 15000};
const saga_policy FILES = {
    .attempts_max = 3, .backoff_base_ms = 200, .backoff_cap_ms = 60000, .resolve_after_ms = 0};
test_clock CLOCK;
saga_note note;

int setup(void **state) {
    (void)state;
    test_clock_init(&CLOCK, INT64_C(1764000000000000), 7);
    return 0;
}

saga at(saga_step step, saga_phase phase, saga_state state, int32_t attempt) {
    saga s = {.step = step,
              .phase = phase,
              .state = state,
              .attempt = attempt,
              .amount = AMOUNT,
              .leg = 1,
              .reserve_leg = 1};
    if (step == STEP_VOID || step == STEP_CANCEL) {
        s.outlook = step == STEP_VOID ? STATE_FAILED : STATE_CANCELED;
    }
    return s;
}

saga fresh(void) {
    return at(STEP_RESERVE, PHASE_READY, STATE_PENDING, 0);
}

saga sent(void) {
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_ACCEPTED);
    assert_int_equal(s.step, STEP_AWAIT);
    assert_int_equal(s.state, STATE_SENT);
    return s;
}

saga settled(void) {
    saga s = sent();
    const saga_event events[] = {event(1, EVENT_SETTLED)};
    assert_int_equal(claim_events(&s, events, 1), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_DONE, events, 1));
    assert_int_equal(s.state, STATE_SETTLED);
    return s;
}

saga handed_over(void) {
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_HANDED_OVER);
    assert_int_equal(s.step, STEP_AWAIT);
    assert_int_equal(s.state, STATE_PROCESSING);
    assert_true(s.due_at_us == SAGA_NEVER);
    return s;
}

saga failed(void) {
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_REFUSED);
    act(&s, STEP_VOID, OUT_DONE);
    assert_int_equal(s.state, STATE_FAILED);
    return s;
}

saga_said word(saga_word w) {
    const bool paid = w == WORD_SETTLED || w == WORD_SETTLED_RETURNED;
    const bool back = w == WORD_RETURNED || w == WORD_SETTLED_RETURNED;
    return (saga_said){.word = w,
                       .code = STR("R03"),
                       .text = STR("no account"),
                       .settled = paid ? AMOUNT : 0,
                       .returned = back ? AMOUNT : 0,
                       .refused = w == WORD_REFUSED,
                       .heard = w == WORD_NONE ? 0 : 1};
}

saga_event event(int32_t attempt, saga_event_kind kind) {
    return (saga_event){
        .attempt = attempt, .kind = kind, .code = STR("R03"), .text = STR("no account")};
}

saga_event moved(saga_event_kind kind, int64_t amount) {
    saga_event e = event(1, kind);
    e.amount = amount;
    return e;
}

saga_event ordered(saga_event_kind kind, int32_t number) {
    return (saga_event){.kind = kind, .text = STR("case 7"), .order = number};
}

saga_said hear(const saga *s, const saga_event *events, size_t n) {
    return saga_hear(s, events, n, (int32_t)n);
}

saga_step claim_with(saga *s, saga_said said) {
    return saga_on_claim(s, &said, &POLICY, &CLOCK.source, &note);
}

saga_step claim(saga *s) {
    return claim_with(s, word(WORD_NONE));
}

saga_step claim_events(saga *s, const saga_event *events, size_t n) {
    return claim_with(s, hear(s, events, n));
}

static bool come_said(saga *s, saga_outcome outcome, saga_said said) {
    const saga_answer answer = {outcome, STR("AM04"), STR("not now"), 0};
    return saga_on_outcome(s, &answer, &said, &POLICY, &CLOCK.source);
}

bool come(saga *s, saga_outcome outcome, saga_word w) {
    return come_said(s, outcome, word(w));
}

bool come_events(saga *s, saga_outcome outcome, const saga_event *events, size_t n) {
    return come_said(s, outcome, hear(s, events, n));
}

void act(saga *s, saga_step expected, saga_outcome outcome) {
    assert_int_equal(claim(s), expected);
    assert_int_equal(s->phase, PHASE_ACTING);
    assert_true(come(s, outcome, WORD_NONE));
    assert_int_equal(s->phase, PHASE_READY);
}

void assert_held(const saga *s, saga_step step, const char *hold) {
    assert_int_equal(s->step, step);
    assert_int_equal(s->phase, PHASE_READY);
    assert_int_equal(saga_public_state(s), STATE_HELD);
    assert_true(s->due_at_us == SAGA_NEVER);
    assert_string_equal(s->hold, hold);
}

void assert_sane(const saga *s) {
    assert_true(s->step >= STEP_RESERVE && (int)s->step < STEP_COUNT);
    assert_true(s->state >= STATE_PENDING && s->state < STATE_HELD);
    assert_int_equal(s->amount, AMOUNT);
    if (s->step == STEP_DONE) {
        assert_int_equal(s->phase, PHASE_READY);
        assert_true(saga_state_is_final(s->state));
        assert_int_equal(s->moving, 0);
    } else if (saga_state_is_final(s->state)) { // money moves again
        assert_true(s->step == STEP_RETURN || s->step == STEP_CONFIRM);
    }
    if (s->step == STEP_VOID || s->step == STEP_CANCEL) {
        assert_true(s->outlook == STATE_FAILED || s->outlook == STATE_RETURNED ||
                    s->outlook == STATE_CANCELED);
    } else if (s->outlook != STATE_NONE) {
        assert_true(saga_writes_off(s) && s->moving > 0);
    }
    assert_true(s->attempt >= 0 && s->tries >= 0 && s->leg >= 1 && s->moving >= 0);
    assert_true(s->returned >= 0 && s->returned <= s->amount);
    if (s->state == STATE_FAILED || s->state == STATE_RETURNED || s->state == STATE_CANCELED) {
        assert_true(s->reason[0] != '\0');
    }
    if (s->hold[0] != '\0') {
        assert_int_equal(s->phase, PHASE_READY);
    }
}
