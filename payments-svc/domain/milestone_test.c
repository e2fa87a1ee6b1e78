// A payout's progress over the whole life of a saga.
#include "domain/machine_test_kit.h"
#include "domain/milestone.h"

static void assert_judged(const saga *s, int reserved, int sent_, int final) {
    assert_int_equal(milestone_judge(MILESTONE_RESERVED, s), reserved);
    assert_int_equal(milestone_judge(MILESTONE_SENT, s), sent_);
    assert_int_equal(milestone_judge(MILESTONE_FINAL, s), final);
}

enum { AHEAD = MILESTONE_AHEAD, REACHED = MILESTONE_REACHED, MISSED = MILESTONE_MISSED };

static void test_milestone__paid__one_after_the_other(void **state) {
    (void)state;
    saga s = fresh();
    assert_judged(&s, AHEAD, AHEAD, AHEAD);
    assert_int_equal(claim(&s), STEP_RESERVE);
    assert_int_equal(s.state, STATE_PROCESSING);
    assert_judged(&s, AHEAD, AHEAD, AHEAD); // tried, with unknown result
    assert_true(come(&s, OUT_DONE, WORD_NONE));
    assert_judged(&s, REACHED, AHEAD, AHEAD);
    act(&s, STEP_EXECUTE, OUT_UNKNOWN);
    assert_judged(&s, REACHED, AHEAD, AHEAD);
    act(&s, STEP_RESOLVE, OUT_ACCEPTED);
    assert_judged(&s, REACHED, REACHED, AHEAD);
    s = settled();
    assert_judged(&s, REACHED, REACHED, REACHED);
}

static void test_milestone__no_funds__will_never_be_reserved(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_REFUSED);
    assert_judged(&s, MISSED, MISSED, REACHED);
}

static void test_milestone__refused__missed_before_the_money_is_free(void **state) {
    (void)state;
    saga s = at(STEP_EXECUTE, PHASE_READY, STATE_PROCESSING, 0);
    act(&s, STEP_EXECUTE, OUT_REFUSED);
    assert_int_equal(s.step, STEP_VOID);
    assert_judged(&s, MISSED, MISSED, AHEAD);
    act(&s, STEP_VOID, OUT_DONE);
    assert_judged(&s, MISSED, MISSED, REACHED);
}

static void test_milestone__canceled__missed(void **state) {
    (void)state;
    saga s = at(STEP_CANCEL, PHASE_READY, STATE_PROCESSING, 0);
    s.outlook = STATE_CANCELED;
    assert_judged(&s, MISSED, MISSED, AHEAD);
    act(&s, STEP_CANCEL, OUT_DONE);
    assert_int_equal(s.state, STATE_CANCELED);
    assert_judged(&s, MISSED, MISSED, REACHED);
}

static void test_milestone__returned__was_sent(void **state) {
    (void)state;
    saga s = at(STEP_VOID, PHASE_READY, STATE_SENT, 1);
    s.outlook = STATE_RETURNED;
    assert_judged(&s, REACHED, REACHED, AHEAD);
    act(&s, STEP_VOID, OUT_DONE);
    assert_int_equal(s.state, STATE_RETURNED);
    assert_judged(&s, REACHED, REACHED, REACHED);
}

// A hold stands beside the step: a reached milestone stays reached, and the end comes only after a person has looked.
static void test_milestone__held__not_at_its_end(void **state) {
    (void)state;
    saga s = settled();
    s.hold[0] = '!';
    assert_judged(&s, REACHED, REACHED, AHEAD);
    s = sent();
    s.hold[0] = '!';
    assert_judged(&s, REACHED, REACHED, AHEAD);
}

// Rows of a later version.
static void test_milestone__unknown_values__ahead(void **state) {
    (void)state;
    const saga s = at((saga_step)77, PHASE_READY, (saga_state)78, 0);
    assert_judged(&s, AHEAD, AHEAD, AHEAD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_milestone__paid__one_after_the_other, setup),
        cmocka_unit_test_setup(test_milestone__no_funds__will_never_be_reserved, setup),
        cmocka_unit_test_setup(test_milestone__refused__missed_before_the_money_is_free, setup),
        cmocka_unit_test_setup(test_milestone__canceled__missed, setup),
        cmocka_unit_test_setup(test_milestone__returned__was_sent, setup),
        cmocka_unit_test_setup(test_milestone__held__not_at_its_end, setup),
        cmocka_unit_test_setup(test_milestone__unknown_values__ahead, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
