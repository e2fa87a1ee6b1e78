// The gate against a real PostgreSQL: what the controls say before the reservation is what becomes of a payout, in the same transaction.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "testing/saga_test_worker.h"

enum { PASSES = 100, WAITS = 200, HELD = 300, REFUSED = 400 };
static int64_t asked;
static bool relents; // the control has changed its mind
static int64_t wait_us = 60 * INT64_C(1000000);

static void rule(const control_payout *p, const void *facts, control_verdict *out) {
    (void)facts;
    asked++;
    assert_true(p->merchant_id.len > 0 && !uuid_is_nil(p->recipient_id) && p->connection > 0);
    if (relents || p->amount == PASSES) {
        return;
    }
    if (p->amount == WAITS) {
        control_say(out, CONTROL_WAIT, "TEST_WAITS", "for a minute");
        out->until_us = clock_wall_us(clock_system()) + wait_us;
    } else {
        control_say(out, p->amount == HELD ? CONTROL_HOLD : CONTROL_REFUSE,
                    p->amount == HELD ? "TEST_HELD" : "TEST_REFUSED", "because it is a test");
    }
}

static const control ONE = {.name = "one",
                            .at_gate = true,
                            .reasons = {"TEST_WAITS", "TEST_HELD", "TEST_REFUSED"},
                            .case_kind = "PAYOUT_UNREADABLE",
                            .rule = rule};
static const control *const TABLE[] = {&ONE};

static saga_batch at_gate(uint8_t owner) {
    saga_batch b = batch(STEP_GATE, owner, 60000);
    b.from.controls = (controls){TABLE, 1};
    return b;
}

static void set(const char *sql) {
    char out[8];
    fixture_sql(sql, out, sizeof out);
}

static int64_t count_of(int64_t amount, const char *what) {
    return world_count("SELECT count(*) FROM saga s JOIN payout p USING (book_id, payout_id) "
                       "WHERE p.amount = %lld AND %s",
                       (long long)amount, what);
}

static void test_gate__each_becomes_what_its_control_says(void **state) {
    (void)state;
    const int64_t amounts[] = {PASSES, WAITS, HELD, REFUSED};
    for (size_t i = 0; i < 4; i++) {
        world_payouts(RAIL_INSTANT, 1, amounts[i], NULL);
    }
    set("UPDATE saga SET step = 9");
    asked = 0;
    relents = false;
    saga_batch b = at_gate(1);
    assert_int_equal(claim(&b), 4);
    assert_int_equal(asked, 4);
    size_t acting = 0;
    for (size_t i = 0; i < b.n; i++) {
        acting += b.items[i].acting == STEP_RESERVE ? 1 : 0;
        assert_true(b.items[i].acting == STEP_NONE || b.items[i].amount == PASSES);
    }
    assert_int_equal(acting, 1); // in the claim that has asked: the gate costs no transaction
    finish_all(&b, OUT_DONE);
    assert_int_equal(written(&b), 1);
    assert_int_equal(count_of(PASSES, "s.step = 2 AND s.reason = ''"), 1);
    assert_int_equal(count_of(WAITS, "s.step = 9 AND s.hold = '' AND s.reason = 'TEST_WAITS' AND "
                                     "s.due_at > now() + interval '30 seconds'"),
                     1);
    assert_int_equal(count_of(HELD, "s.step = 9 AND s.hold = 'TEST_HELD' AND s.due_at IS NULL"), 1);
    assert_int_equal(count_of(REFUSED, "s.step = 8 AND s.state = 7 AND s.reason = 'TEST_REFUSED' "
                                       "AND s.due_at IS NULL"),
                     1);
    assert_int_equal(
        world_count("SELECT count(*) FROM payment_case WHERE kind = 'PAYOUT_UNREADABLE'"), 1);
    // What stands in the log names the control by its reason.
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE step = 9 AND kind = 2 AND "
                                 "reason IN ('TEST_HELD', 'TEST_REFUSED')"),
                     2);
}

static void test_gate__asked_again__what_has_changed_passes(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, WAITS, NULL);
    set("UPDATE saga SET step = 9");
    relents = false;
    saga_batch b = at_gate(1);
    assert_int_equal(claim(&b), 1);
    assert_int_equal(count_of(WAITS, "s.reason = 'TEST_WAITS'"), 1);
    set("UPDATE saga SET due_at = now() - interval '1 second'");
    relents = true;
    b = at_gate(2);
    assert_int_equal(claim(&b), 1);
    assert_int_equal(b.items[0].acting, STEP_RESERVE);
    assert_string_equal(b.items[0].now.reason, "");
}

static void test_gate__waits_for_a_time_that_has_come__asked_after_a_pause(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, WAITS, NULL);
    set("UPDATE saga SET step = 9");
    relents = false;
    wait_us = -INT64_C(1000000);
    saga_batch b = at_gate(1);
    assert_int_equal(claim(&b), 1);
    wait_us = 60 * INT64_C(1000000);
    assert_int_equal(count_of(WAITS, "s.due_at >= s.updated_at + interval '900 ms'"), 1);
}

static void test_gate__no_control_is_asked_there__passes(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, HELD, NULL);
    set("UPDATE saga SET step = 9");
    asked = 0;
    saga_batch b = batch(STEP_GATE, 1, 60000);
    assert_int_equal(claim(&b), 1);
    assert_int_equal(asked, 0);
    assert_int_equal(b.items[0].acting, STEP_RESERVE);
}

static void test_gate__its_merchant_is_paused__not_reserved(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 1, PASSES, NULL);
    set("UPDATE saga SET step = 9");
    set("INSERT INTO pause SELECT book_id, rail, '', 'why', 'ada', now() FROM saga");
    saga_batch b = at_gate(1);
    assert_int_equal(claim(&b), 0);
    set("DELETE FROM pause");
    b = at_gate(2);
    assert_int_equal(claim(&b), 1);
    assert_int_equal(b.items[0].acting, STEP_RESERVE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_gate__each_becomes_what_its_control_says, fresh),
        cmocka_unit_test_setup(test_gate__asked_again__what_has_changed_passes, fresh),
        cmocka_unit_test_setup(test_gate__waits_for_a_time_that_has_come__asked_after_a_pause,
                               fresh),
        cmocka_unit_test_setup(test_gate__no_control_is_asked_there__passes, fresh),
        cmocka_unit_test_setup(test_gate__its_merchant_is_paused__not_reserved, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
