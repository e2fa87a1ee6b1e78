#include "recon/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { AMOUNT = 1250 };

static const recon_figures NOTHING = {.transit = 0};
static const recon_figures RESERVED = {.reserved = AMOUNT};
static const recon_figures PAID = {.from_merchant = AMOUNT, .at_bank = AMOUNT};

static recon_figures moved(int64_t from_merchant, int64_t transit, int64_t at_bank) {
    return (recon_figures){.from_merchant = from_merchant, .transit = transit, .at_bank = at_bank};
}

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

// Asserts which of the three places are right for a saga.
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
    assert_true(is_right(rests, moved(950, 0, 950)));
    assert_false(is_right(rests, PAID));
    const recon_saga moves = {
        .step = STEP_RETURN, .state = STATE_SETTLED, .returned = 300, .moving = 200};
    assert_true(is_right(moves, moved(950, 0, 950)));
    assert_true(is_right(moves, moved(750, 0, 750)));
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
    const recon_figures bank_only = {.at_bank = AMOUNT};
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
    assert_true(judge((saga_step)77, STATE_SENT, moved(AMOUNT, AMOUNT, 0), out) > 0);
}

static void test_paid_twice__names_what_was_expected_and_found(void **state) {
    (void)state;
    recon_deviation out[RECON_FIGURES];
    assert_int_equal(judge(STEP_DONE, STATE_SETTLED, moved(AMOUNT, -AMOUNT, 2 * AMOUNT), out), 2);
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

static void test_fee__stands_where_the_money_of_the_merchant_stands(void **state) {
    (void)state;
    const recon_figures reserved = {.reserved = AMOUNT, .fee_reserved = 25};
    const recon_figures paid = {.from_merchant = AMOUNT, .at_bank = AMOUNT, .fee = 25};
    const recon_saga waits = {.step = STEP_AWAIT, .state = STATE_SENT, .fee = 25};
    assert_true(is_right(waits, reserved));
    assert_false(is_right(waits, RESERVED));
    const recon_saga rests = {.step = STEP_DONE, .state = STATE_SETTLED, .fee = 25};
    assert_true(is_right(rests, paid));
    assert_false(is_right(rests, PAID));
    recon_saga part = rests;
    part.returned = 300;
    assert_true(is_right(
        part, (recon_figures){.from_merchant = AMOUNT - 300, .at_bank = AMOUNT - 300, .fee = 25}));
    const recon_saga back = {
        .step = STEP_RETURN, .state = STATE_SETTLED, .moving = AMOUNT, .fee = 25};
    assert_true(is_right(back, paid));
    assert_true(is_right(back, NOTHING));
    assert_false(is_right(back, (recon_figures){.fee = 25}));
    const recon_saga free_of_it = {.step = STEP_DONE, .state = STATE_RETURNED, .fee = 25};
    assert_true(is_right(free_of_it, NOTHING));
    // Suspense bears the returned amount: the merchant has paid, and its fee too.
    const recon_saga off = {
        .step = STEP_DONE, .state = STATE_SETTLED, .written_off = -AMOUNT, .fee = 25};
    assert_true(is_right(off, (recon_figures){.from_merchant = AMOUNT, .fee = 25}));
}

static void test_several_are_right__the_nearest_is_expected(void **state) {
    (void)state;
    recon_deviation out[RECON_FIGURES];
    // One cent too much was paid during CONFIRM: not "should still be reserved".
    assert_int_equal(judge(STEP_CONFIRM, STATE_SENT, moved(AMOUNT, -1, AMOUNT + 1), out), 2);
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
        cmocka_unit_test(test_fee__stands_where_the_money_of_the_merchant_stands),
        cmocka_unit_test(test_several_are_right__the_nearest_is_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
