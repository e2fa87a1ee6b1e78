// The table of controls: its contents, and the order of its decisions.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/control.h"
#include "control/funds/rules.h"
#include "control/recipient/rules.h"

static void test_table__a_reason_says_which_control(void **state) {
    (void)state;
    const controls t = controls_table();
    assert_true(t.n > 0 && t.n <= CONTROLS_MAX);
    for (size_t i = 0; i < t.n; i++) {
        assert_non_null(t.of[i]->rule);
        assert_non_null(t.of[i]->reasons[0]);
        assert_null(t.of[i]->reasons[CONTROL_REASONS_MAX - 1]);
        for (size_t r = 0; t.of[i]->reasons[r] != NULL; r++) {
            assert_ptr_equal(control_of_reason(t, str_of(t.of[i]->reasons[r])), t.of[i]);
        }
    }
    assert_null(control_of_reason(t, STR("R03")));
    assert_null(control_of_reason(t, STR("")));
}

static control_verdict recipient_says(const char *owner, const char *held, const char *beside) {
    const control_payout p = {
        .merchant_id = STR("m"), .currency = "USD", .amount = 1, .recipient_currency = beside};
    const recipient_facts f = {owner != NULL, str_of(owner == NULL ? "" : owner), str_of(held)};
    control_verdict v = {.answer = CONTROL_PASS};
    recipient_rule(&p, &f, &v);
    return v;
}

static void test_recipient__not_theirs_or_in_another_currency__refused(void **state) {
    (void)state;
    assert_int_equal(recipient_says("m", "USD", NULL).answer, CONTROL_PASS);
    assert_int_equal(recipient_says(NULL, "", "USD").answer, CONTROL_PASS);
    const control_verdict none = recipient_says(NULL, "", NULL);
    const control_verdict foreign = recipient_says("other", "USD", NULL);
    const control_verdict currency = recipient_says("m", "EUR", NULL);
    const control_verdict beside = recipient_says(NULL, "", "EUR");
    assert_string_equal(none.reason, RECIPIENT_NOT_FOUND);
    assert_int_equal(none.code, ERR_NOT_FOUND);
    // another control's reason tells nothing
    assert_memory_equal(&none.text, &foreign.text, sizeof none.text);
    assert_string_equal(foreign.reason, none.reason);
    assert_string_equal(currency.reason, RECIPIENT_CURRENCY);
    assert_int_equal(currency.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(beside.reason, RECIPIENT_CURRENCY);
}

static void test_funds__the_ledger_says_no__refused(void **state) {
    (void)state;
    const control_payout p = {.merchant_id = STR("m"), .currency = "USD", .amount = 1};
    const struct {
        funds_facts facts;
        const char *reason;
    } CASES[] = {{{FUNDS_THERE, false}, NULL},
                 {{FUNDS_TOO_LOW, true}, FUNDS_INSUFFICIENT},
                 {{FUNDS_CLOSED, false}, FUNDS_ACCOUNT_CLOSED}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        control_verdict v = {.answer = CONTROL_PASS};
        funds_rule(&p, &CASES[i].facts, &v);
        assert_int_equal(v.answer, CASES[i].reason == NULL ? CONTROL_PASS : CONTROL_REFUSE);
        assert_true(CASES[i].reason == NULL || strcmp(v.reason, CASES[i].reason) == 0);
    }
}

// --- The order -------------------------------------------------------------------------------------------------------

static size_t asked_first, asked_second;

static void refuses_odd(const control_payout *p, const void *facts, control_verdict *out) {
    asked_first++;
    assert_null(facts);
    if (p->amount % 2 == 1) {
        control_say(out, CONTROL_REFUSE, "ODD", "it is odd");
    }
}

static bool load_square(db_conn *c, int64_t book_id, const control_payout *payouts, size_t n,
                        const void **facts, arena *a, err *e) {
    (void)c, (void)book_id, (void)e;
    int64_t *of = ARENA_ARRAY(a, int64_t, n);
    for (size_t i = 0; i < n; i++) {
        of[i] = payouts[i].amount * payouts[i].amount;
        facts[i] = &of[i];
    }
    return true;
}

static void waits_from_16(const control_payout *p, const void *facts, control_verdict *out) {
    asked_second++;
    assert_int_equal(*(const int64_t *)facts, p->amount * p->amount);
    if (*(const int64_t *)facts >= 16) {
        control_say(out, CONTROL_WAIT, "LARGE", "it is large");
        out->until_us = 7;
    }
}

static const control FIRST = {.name = "first", .reasons = {"ODD"}, .rule = refuses_odd};
static const control SECOND = {.name = "second",
                               .at_gate = true,
                               .reasons = {"LARGE"},
                               .load = load_square,
                               .rule = waits_from_16};
static const control THIRD = {.name = "third", .at_reserve = true, .reasons = {"NEVER"}};

static void test_ask__the_first_that_does_not_pass_decides(void **state) {
    (void)state;
    const control *const table[] = {&FIRST, &SECOND, &THIRD};
    const controls t = {table, 3};
    arena *a = arena_create(1 << 20);
    const control_verdict *v[4];
    control_payout payouts[4];
    err e = {0};
    for (int64_t i = 0; i < 4; i++) {
        payouts[i] = (control_payout){.amount = i + 2};
    }
    asked_first = asked_second = 0;
    assert_true(controls_ask(t, CONTROL_INTAKE, NULL, 1, payouts, 4, v, a, &e));
    assert_int_equal(asked_first, 4);
    assert_int_equal(asked_second, 2); // only those that passed the first
    assert_null(v[0]);
    assert_string_equal(v[1]->reason, "ODD");
    assert_int_equal(v[2]->answer, CONTROL_WAIT);
    assert_int_equal(v[2]->until_us, 7);
    assert_string_equal(v[3]->reason, "ODD");
    // At the gate, only controls whose facts can change.
    assert_true(controls_ask(t, CONTROL_GATE, NULL, 1, payouts, 4, v, a, &e));
    assert_int_equal(asked_first, 4);
    assert_null(v[1]);
    assert_string_equal(v[3]->reason, "LARGE");
    assert_true(controls_any(t, CONTROL_GATE));
    const controls without = {table, 1};
    assert_false(controls_any(without, CONTROL_GATE));
    arena_destroy(a);
}

static const control GATELESS = {
    .name = "gateless", .reasons = {"LARGE"}, .load = load_square, .rule = waits_from_16};

static void test_ask__it_waits_and_is_not_asked_at_the_gate__fails(void **state) {
    (void)state;
    const control *const table[] = {&GATELESS};
    arena *a = arena_create(1 << 20);
    const control_verdict *v[1];
    const control_payout large = {.amount = 4}, small = {.amount = 3};
    err e = {0};
    assert_true(controls_ask((controls){table, 1}, CONTROL_INTAKE, NULL, 1, &small, 1, v, a, &e));
    assert_false(controls_ask((controls){table, 1}, CONTROL_INTAKE, NULL, 1, &large, 1, v, a, &e));
    assert_int_equal(e.code, ERR_INTERNAL);
    arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__a_reason_says_which_control),
        cmocka_unit_test(test_recipient__not_theirs_or_in_another_currency__refused),
        cmocka_unit_test(test_funds__the_ledger_says_no__refused),
        cmocka_unit_test(test_ask__the_first_that_does_not_pass_decides),
        cmocka_unit_test(test_ask__it_waits_and_is_not_asked_at_the_gate__fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
