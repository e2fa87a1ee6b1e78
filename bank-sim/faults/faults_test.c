#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
// cmocka wants the four above first.
#include <cmocka.h>

#include "faults/faults.h"

enum { ITEMS = 20000 };

static str item(char buffer[32], int n) {
    int len = snprintf(buffer, 32, "item-%d", n);
    return (str){buffer, (size_t)len};
}

static void test_faults_plan__same_seed__same_faults_in_any_order(void **state) {
    (void)state;
    faults_config c = {
        .seed = 7, .slow_pct = 10, .refuse_pct = 20, .http_500_pct = 5, .slow_ms = 100};
    faults *a = faults_create(&c), *b = faults_create(&c);
    char buffer[32];
    static faults_instant forward[ITEMS];
    for (int n = 0; n < ITEMS; n++) {
        forward[n] = faults_plan_instant(a, item(buffer, n), 100, 0, 0);
    }
    for (int n = ITEMS - 1; n >= 0; n--) {
        faults_instant p = faults_plan_instant(b, item(buffer, n), 100, 0, 0);
        assert_int_equal(p.refuse, forward[n].refuse);
        assert_int_equal(p.slow_ms, forward[n].slow_ms);
        assert_int_equal(p.http_status, forward[n].http_status);
        assert_int_equal(p.retriable, forward[n].retriable);
    }
    faults_destroy(a);
    faults_destroy(b);
}

static int count_refused(int64_t seed, int64_t pct) {
    faults_config c = {.seed = seed, .refuse_pct = pct};
    faults *f = faults_create(&c);
    char buffer[32];
    int n = 0;
    for (int i = 0; i < ITEMS; i++) {
        n += faults_plan_instant(f, item(buffer, i), 100, 0, 0).refuse ? 1 : 0;
    }
    faults_destroy(f);
    return n;
}

static void test_faults_plan__percent__is_kept_and_the_seed_matters(void **state) {
    (void)state;
    assert_int_equal(count_refused(1, 0), 0);
    assert_int_equal(count_refused(1, 100), ITEMS);
    assert_in_range(count_refused(1, 20), ITEMS * 18 / 100, ITEMS * 22 / 100);
    assert_int_not_equal(count_refused(1, 20), count_refused(2, 20));
}

static void test_faults_plan__http_500__does_not_stick_to_a_key(void **state) {
    (void)state;
    faults_config c = {.seed = 1, .http_500_pct = 50};
    faults *f = faults_create(&c);
    int tries = 0;
    while (tries < 64 && faults_plan_instant(f, STR("one key"), 100, tries, 0).http_status != 0) {
        tries++;
    }
    assert_true(tries < 64);
    faults_destroy(f);
}

static void test_faults_plan__by_amount__as_the_table_says(void **state) {
    (void)state;
    // By amount goes before the dice, which would refuse everything here.
    faults_config c = {.by_amount = true,
                       .refuse_pct = 100,
                       .ach_return_pct = 100,
                       .slow_ms = 11,
                       .webhook_late_ms = 22};
    faults *f = faults_create(&c);
    str k = STR("k");
    faults_instant p = faults_plan_instant(f, k, 5801, 0, 0);
    assert_true(p.refuse && !p.retriable);
    assert_string_equal(p.code, "AC04");
    p = faults_plan_instant(f, k, 802, 0, 1);
    assert_true(p.refuse && p.retriable);
    assert_string_equal(p.code, "AM04");
    assert_false(faults_plan_instant(f, k, 802, 0, 2).refuse);
    assert_true(faults_plan_instant(f, k, 803, 0, 0).drop_answer);
    assert_int_equal(faults_plan_instant(f, k, 804, 1, 0).http_status, 503);
    assert_int_equal(faults_plan_instant(f, k, 804, 2, 0).http_status, 0);
    assert_int_equal(faults_plan_instant(f, k, 805, 0, 0).slow_ms, 11);
    assert_int_equal(faults_plan_instant(f, k, 806, 0, 0).webhook_delay_ms, 22);
    assert_int_equal(faults_plan_instant(f, k, 807, 0, 0).webhooks, 0);
    assert_int_equal(faults_plan_instant(f, k, 808, 0, 0).webhooks, 2);
    assert_true(faults_plan_instant(f, k, 1809, 0, 0).return_later);
    assert_true(faults_plan_instant(f, k, 810, 0, 0).refuse); // not in the table: the dice
    static const struct {
        int64_t amount;
        const char *code;
        bool after;
    } ACH[] = {{901, "R01", false},    {902, "R02", false}, {903, "R03", false},
               {904, "R04", false},    {910, "R10", false}, {916, "R16", false},
               {100920, "R20", false}, {951, "R03", true}};
    for (size_t i = 0; i < sizeof(ACH) / sizeof(ACH[0]); i++) {
        faults_ach q = faults_plan_ach(f, k, ACH[i].amount);
        assert_string_equal(q.code, ACH[i].code);
        assert_int_equal(q.after_settlement, ACH[i].after);
    }
    faults_destroy(f);
}

static void test_faults_config_set__bad_values__are_refused(void **state) {
    (void)state;
    faults_config c = {0};
    err e = {0};
    assert_true(faults_config_set(&c, "slow_pct", 100, &e));
    assert_int_equal(c.slow_pct, 100);
    assert_false(faults_config_set(&c, "slow_pct", 101, &e));
    assert_string_equal(e.field, "slow_pct");
    assert_false(faults_config_set(&c, "slow_pct", -1, &e));
    assert_false(faults_config_set(&c, "by_amount", 2, &e));
    assert_false(faults_config_set(&c, "nonsense", 1, &e));
    assert_string_equal(e.reason, "UNKNOWN_FAULT");
    assert_true(faults_config_set(&c, "by_amount", 1, &e));
    assert_true(c.by_amount);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_plan__same_seed__same_faults_in_any_order),
        cmocka_unit_test(test_faults_plan__percent__is_kept_and_the_seed_matters),
        cmocka_unit_test(test_faults_plan__http_500__does_not_stick_to_a_key),
        cmocka_unit_test(test_faults_plan__by_amount__as_the_table_says),
        cmocka_unit_test(test_faults_config_set__bad_values__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
