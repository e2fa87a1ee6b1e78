#include "recon/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { AMOUNT = 1250 };

static const recon_figures NOTHING = {0, 0, 0, 0};
static const recon_figures RESERVED = {AMOUNT, 0, 0, 0};
static const recon_figures PAID = {0, AMOUNT, 0, AMOUNT};

static size_t judge(saga_step step, saga_state state, recon_figures found,
                    recon_deviation out[RECON_FIGURES]) {
    const recon_saga s = {.step = step, .state = state, .amount = AMOUNT};
    return recon_judge(&s, &found, out);
}

static bool is_right(recon_saga s, recon_figures found) {
    recon_deviation out[RECON_FIGURES];
    s.amount = AMOUNT;
    return recon_judge(&s, &found, out) == 0;
}

// Which of the three places is right for a saga.
static void assert_places(saga_step step, saga_state state, bool nothing, bool reserved,
                          bool paid) {
    recon_deviation out[RECON_FIGURES];
    assert_int_equal(judge(step, state, NOTHING, out) == 0, nothing);
    assert_int_equal(judge(step, state, RESERVED, out) == 0, reserved);
    assert_int_equal(judge(step, state, PAID, out) == 0, paid);
}

static void test_places__by_step_and_state(void **state) {
    (void)state;
    assert_places(STEP_RESERVE, STATE_PENDING, true, true, false);
    assert_places(STEP_EXECUTE, STATE_PROCESSING, false, true, false);
    assert_places(STEP_RESOLVE, STATE_PROCESSING, false, true, false);
    assert_places(STEP_AWAIT, STATE_SENT, false, true, false);
    assert_places(STEP_CONFIRM, STATE_SENT, false, true, true);
    assert_places(STEP_VOID, STATE_SENT, true, true, false);
    assert_places(STEP_RETURN, STATE_SETTLED, true, false, true);
    assert_places(STEP_DONE, STATE_SETTLED, false, false, true);
    assert_places(STEP_DONE, STATE_FAILED, true, false, false);
    assert_places(STEP_DONE, STATE_RETURNED, true, false, false);
    assert_places(STEP_DONE, STATE_CANCELED, true, false, false);
    assert_places(STEP_GATE, STATE_PENDING, true, false, false);
    assert_places(STEP_CANCEL, STATE_PROCESSING, true, true, false);
}

static void test_partly_returned__the_rest_stays_paid(void **state) {
    (void)state;
    const recon_saga rests = {.step = STEP_DONE, .state = STATE_SETTLED, .returned = 300};
    assert_true(is_right(rests, (recon_figures){0, 950, 0, 950}));
    assert_false(is_right(rests, PAID));
    const recon_saga moves = {
        .step = STEP_RETURN, .state = STATE_SETTLED, .returned = 300, .moving = 200};
    assert_true(is_right(moves, (recon_figures){0, 950, 0, 950}));
    assert_true(is_right(moves, (recon_figures){0, 750, 0, 750}));
    assert_false(is_right(moves, NOTHING));
}

static void test_paid_again__without_a_reservation(void **state) {
    (void)state;
    const recon_saga s = {.step = STEP_CONFIRM, .state = STATE_FAILED, .moving = AMOUNT};
    assert_true(is_right(s, NOTHING));
    assert_true(is_right(s, PAID));
    assert_false(is_right(s, RESERVED));
}

static void test_written_off__suspense_bears_it(void **state) {
    (void)state;
    const recon_figures bank_only = {0, 0, 0, AMOUNT};
    const recon_saga moves = {
        .step = STEP_CONFIRM, .state = STATE_FAILED, .outlook = STATE_FAILED, .moving = AMOUNT};
    assert_true(is_right(moves, NOTHING));
    assert_true(is_right(moves, bank_only));
    assert_false(is_right(moves, PAID));
    const recon_saga rests = {.step = STEP_DONE, .state = STATE_FAILED, .written_off = AMOUNT};
    assert_true(is_right(rests, bank_only));
    assert_false(is_right(rests, NOTHING));
}

static void test_later_version__money_is_in_one_place(void **state) {
    (void)state;
    recon_deviation out[RECON_FIGURES];
    assert_places((saga_step)77, STATE_SENT, true, true, true);
    assert_places(STEP_DONE, (saga_state)77, true, true, true);
    assert_true(judge((saga_step)77, STATE_SENT, (recon_figures){0, AMOUNT, AMOUNT, 0}, out) > 0);
}

static void test_paid_twice__names_what_was_expected_and_found(void **state) {
    (void)state;
    recon_deviation out[RECON_FIGURES];
    assert_int_equal(
        judge(STEP_DONE, STATE_SETTLED, (recon_figures){0, AMOUNT, -AMOUNT, 2 * AMOUNT}, out), 2);
    assert_string_equal(out[0].figure, "TRANSIT");
    assert_int_equal(out[0].expected, 0);
    assert_int_equal(out[0].found, -AMOUNT);
    assert_string_equal(out[1].figure, "AT_BANK");
    assert_int_equal(out[1].expected, AMOUNT);
    assert_int_equal(out[1].found, 2 * AMOUNT);
}

static void test_settled_and_never_paid__both_sides_are_named(void **state) {
    (void)state;
    recon_deviation out[RECON_FIGURES];
    assert_int_equal(judge(STEP_DONE, STATE_SETTLED, NOTHING, out), 2);
    assert_string_equal(out[0].figure, "FROM_MERCHANT");
    assert_string_equal(out[1].figure, "AT_BANK");
}

static void test_several_are_right__the_nearest_is_expected(void **state) {
    (void)state;
    recon_deviation out[RECON_FIGURES];
    // One cent too much was paid while it was being confirmed: not "should still be reserved".
    assert_int_equal(
        judge(STEP_CONFIRM, STATE_SENT, (recon_figures){0, AMOUNT, -1, AMOUNT + 1}, out), 2);
    assert_string_equal(out[1].figure, "AT_BANK");
    assert_int_equal(out[1].expected, AMOUNT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places__by_step_and_state),
        cmocka_unit_test(test_partly_returned__the_rest_stays_paid),
        cmocka_unit_test(test_paid_again__without_a_reservation),
        cmocka_unit_test(test_written_off__suspense_bears_it),
        cmocka_unit_test(test_later_version__money_is_in_one_place),
        cmocka_unit_test(test_paid_twice__names_what_was_expected_and_found),
        cmocka_unit_test(test_settled_and_never_paid__both_sides_are_named),
        cmocka_unit_test(test_several_are_right__the_nearest_is_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
