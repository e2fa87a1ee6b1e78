// Orders to cancel what the bank may have: it is asked first, about the attempt that it may have, and the asking comes to an end.
#include "domain/machine_test_kit.h"

// Nobody knows what became of the first attempt; then the bank says that it was refused for now.
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
    assert_int_equal(claim_events(&s, &order, 1), STEP_NONE); // the bank has said what became of it
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

// What is left of the doubt would turn the refusal of the next attempt into a question about it.
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel__unknown_then_refused_for_now__canceled_at_once),
        cmocka_unit_test(test_cancel__before_the_answer__refused_for_now__canceled),
        cmocka_unit_test(test_refused_for_now__ends_the_doubt_about_its_attempt),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
