#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
// cmocka wants the four above first.
#include <cmocka.h>

#include "faults/faults.h"

enum { ITEMS = 20000, FEWER_ITEMS = 4000 };

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

// For each rolled fault of an instant payment: its setting, and whether the plan has exactly this fault.
static bool is_slow(const faults_instant *p) {
    return p->slow_ms == 11;
}
static bool is_500(const faults_instant *p) {
    return p->http_status == 500;
}
static bool is_refused(const faults_instant *p) {
    return p->refuse;
}
static bool is_dropped(const faults_instant *p) {
    return p->drop_answer;
}
static bool is_told_twice(const faults_instant *p) {
    return p->webhooks == 2;
}
static bool is_told_late(const faults_instant *p) {
    return p->webhooks == 1 && p->webhook_delay_ms == 22;
}
static bool is_never_told(const faults_instant *p) {
    return p->webhooks == 0;
}
static bool comes_back(const faults_instant *p) {
    return p->return_later && strcmp(p->return_code, "AC04") == 0;
}
static bool is_undisturbed(const faults_instant *p) {
    return p->http_status == 0 && !p->refuse && !p->drop_answer && p->slow_ms == 0 &&
           p->webhooks == 1 && p->webhook_delay_ms == 0 && !p->return_later &&
           p->oddity == FAULTS_TOLD_WELL;
}

static const struct {
    const char *name;
    bool (*has)(const faults_instant *p);
} DICE[] = {
    {"slow_pct", is_slow},
    {"http_500_pct", is_500},
    {"refuse_pct", is_refused},
    {"drop_answer_pct", is_dropped},
    {"answer_twice_pct", is_told_twice},
    {"webhook_late_pct", is_told_late},
    {"webhook_missing_pct", is_never_told},
    {"return_after_settlement_pct", comes_back},
};

static void test_faults_plan__each_instant_dice__never_always_or_its_percent(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(DICE) / sizeof(DICE[0]); i++) {
        for (int64_t pct = 0; pct <= 100; pct += 50) {
            faults_config c = {.seed = 3, .slow_ms = 11, .webhook_late_ms = 22};
            err e = {0};
            assert_true(faults_config_set(&c, DICE[i].name, pct, &e));
            faults *f = faults_create(&c);
            char buffer[32];
            int hits = 0;
            for (int n = 0; n < FEWER_ITEMS; n++) {
                faults_instant p = faults_plan_instant(f, item(buffer, n), 100, 0, 0);
                assert_int_not_equal(DICE[i].has(&p), is_undisturbed(&p));
                hits += DICE[i].has(&p) ? 1 : 0;
            }
            assert_in_range(hits, pct == 50 ? FEWER_ITEMS * 46 / 100 : FEWER_ITEMS * pct / 100,
                            pct == 50 ? FEWER_ITEMS * 54 / 100 : FEWER_ITEMS * pct / 100);
            faults_destroy(f);
        }
    }
}

static void test_faults_plan__instant_dice_together__what_excludes_what(void **state) {
    (void)state;
    faults_config c = {.refuse_pct = 100,
                       .return_after_settlement_pct = 100,
                       .answer_twice_pct = 100,
                       .webhook_missing_pct = 100};
    faults *f = faults_create(&c);
    faults_instant p = faults_plan_instant(f, STR("k"), 100, 0, 0);
    assert_true(p.refuse);
    assert_false(p.return_later); // an unpaid payment does not come back
    assert_int_equal(p.webhooks, 0);
    c.http_500_pct = 100;
    faults_replace(f, &c);
    p = faults_plan_instant(f, STR("k"), 100, 0, 0);
    assert_int_equal(p.http_status, 500);
    assert_false(p.refuse); // nothing was taken, so nothing can be refused
    faults_destroy(f);
}

static bool is_credit_return(const char *code) {
    static const char *const CODES[] = {"R02", "R03", "R04", "R16", "R20"};
    for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
        if (strcmp(code, CODES[i]) == 0) {
            return true;
        }
    }
    return false;
}

// Counts items that come back before their settlement, and after it.
static void count_ach(int64_t before_pct, int64_t after_pct, int *before, int *after) {
    faults_config c = {
        .seed = 5, .ach_return_pct = before_pct, .return_after_settlement_pct = after_pct};
    faults *f = faults_create(&c);
    char buffer[32];
    *before = *after = 0;
    for (int n = 0; n < ITEMS; n++) {
        faults_ach p = faults_plan_ach(f, item(buffer, n), 100);
        assert_true(p.code != NULL || !p.after_settlement);
        assert_true(p.code == NULL || is_credit_return(p.code));
        *before += p.code != NULL && !p.after_settlement ? 1 : 0;
        *after += p.after_settlement ? 1 : 0;
    }
    faults_destroy(f);
}

static void test_faults_plan__ach_dice__before_or_after_settlement(void **state) {
    (void)state;
    int before = 0, after = 0;
    count_ach(0, 0, &before, &after);
    assert_int_equal(before + after, 0);
    count_ach(100, 0, &before, &after);
    assert_int_equal(before, ITEMS);
    count_ach(0, 100, &before, &after);
    assert_int_equal(after, ITEMS);
    count_ach(100, 100, &before, &after); // an entry that never settled cannot come back later
    assert_int_equal(before, ITEMS);
    count_ach(20, 0, &before, &after);
    assert_in_range(before, ITEMS * 18 / 100, ITEMS * 22 / 100);
    assert_int_equal(after, 0);
    count_ach(0, 20, &before, &after);
    assert_in_range(after, ITEMS * 18 / 100, ITEMS * 22 / 100);
    assert_int_equal(before, 0);
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
    // The amount goes before the dice; the dice alone would refuse everything here.
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
    for (int refusals = 0; refusals < 2; refusals++) {
        p = faults_plan_instant(f, k, 802, 0, refusals);
        assert_true(p.refuse && p.retriable);
        assert_string_equal(p.code, "AM04");
    }
    assert_false(faults_plan_instant(f, k, 802, 0, 2).refuse);
    assert_true(faults_plan_instant(f, k, 803, 0, 0).drop_answer);
    assert_int_equal(faults_plan_instant(f, k, 804, 0, 0).http_status, 503);
    assert_int_equal(faults_plan_instant(f, k, 804, 1, 0).http_status, 503);
    assert_int_equal(faults_plan_instant(f, k, 804, 2, 0).http_status, 0);
    assert_int_equal(faults_plan_instant(f, k, 805, 0, 0).slow_ms, 11);
    assert_int_equal(faults_plan_instant(f, k, 806, 0, 0).webhook_delay_ms, 22);
    assert_int_equal(faults_plan_instant(f, k, 807, 0, 0).webhooks, 0);
    assert_int_equal(faults_plan_instant(f, k, 808, 0, 0).webhooks, 2);
    p = faults_plan_instant(f, k, 1809, 0, 0);
    assert_true(comes_back(&p));
    assert_true(faults_plan_instant(f, k, 817, 0, 0).refuse); // not in the table: the dice decide
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
    // not in the table: the dice decide
    assert_true(is_credit_return(faults_plan_ach(f, k, 905).code));
    faults_destroy(f);
}

static void test_faults_plan__amounts_of_odd_tellings__as_the_table_says(void **state) {
    (void)state;
    static const struct {
        int64_t amount;
        faults_returns returns;
        faults_oddity oddity;
        bool comes_back;
    } INSTANT[] = {
        {809, FAULTS_RETURN_WHOLE, FAULTS_TOLD_WELL, true},
        {810, FAULTS_RETURN_PART, FAULTS_TOLD_WELL, true},
        {811, FAULTS_RETURN_HALVES, FAULTS_TOLD_WELL, true},
        {812, FAULTS_RETURN_WHOLE, FAULTS_OTHER_AMOUNT, false},
        {817, FAULTS_RETURN_WHOLE, FAULTS_OTHER_CURRENCY, false},
        {813, FAULTS_RETURN_WHOLE, FAULTS_UNKNOWN_REFERENCE, false},
        {814, FAULTS_RETURN_WHOLE, FAULTS_TOLD_BEFORE, false},
        {815, FAULTS_RETURN_WHOLE, FAULTS_RETURN_LOST, true},
        {816, FAULTS_RETURN_TWICE, FAULTS_TOLD_WELL, true},
    };
    static const struct {
        int64_t amount;
        const char *code;
        faults_returns returns;
    } ACH[] = {{951, "R03", FAULTS_RETURN_WHOLE},  {952, "R03", FAULTS_RETURN_PART},
               {953, "R03", FAULTS_RETURN_HALVES}, {954, "R03", FAULTS_RETURN_TWICE},
               {955, "R93", FAULTS_RETURN_WHOLE},  {960, "C01", FAULTS_RETURN_WHOLE}};
    faults_config c = {.by_amount = true, .odd_amounts = true};
    faults *f = faults_create(&c);
    for (size_t i = 0; i < sizeof(INSTANT) / sizeof(INSTANT[0]); i++) {
        faults_instant p = faults_plan_instant(f, STR("k"), 1000 + INSTANT[i].amount, 0, 0);
        assert_int_equal(p.returns, INSTANT[i].returns);
        assert_int_equal(p.oddity, INSTANT[i].oddity);
        assert_int_equal(p.return_later, INSTANT[i].comes_back);
        assert_int_equal(p.webhooks, 1);
    }
    for (size_t i = 0; i < sizeof(ACH) / sizeof(ACH[0]); i++) {
        faults_ach p = faults_plan_ach(f, STR("k"), 1000 + ACH[i].amount);
        assert_string_equal(p.code, ACH[i].code);
        assert_int_equal(p.returns, ACH[i].returns);
        assert_true(p.after_settlement);
        assert_int_equal(p.refusal, FAULTS_TAKEN);
    }
    static const faults_refusal REFUSED[] = {FAULTS_REFUSED, FAULTS_REFUSED_AND_PAID,
                                             FAULTS_REFUSED_TWICE};
    for (int64_t i = 0; i < 3; i++) {
        faults_ach p = faults_plan_ach(f, STR("k"), 1970 + i);
        assert_string_equal(p.code, "R03"); // a bank that names no entry returns it instead
        assert_false(p.after_settlement);
        assert_int_equal(p.refusal, REFUSED[i]);
    }
    faults_destroy(f);
}

static void
test_faults_plan__no_dice__only_the_amounts_of_its_rail_and_only_when_asked(void **state) {
    (void)state;
    for (int on = 0; on <= 3; on++) {
        faults_config c = {.by_amount = (on & 1) != 0,
                           .odd_amounts = (on & 2) != 0,
                           .slow_ms = 11,
                           .webhook_late_ms = 22};
        faults *f = faults_create(&c);
        for (int64_t amount = 1; amount < 1000; amount++) {
            const bool instant = amount >= 801 && amount <= (c.odd_amounts ? 817 : 809);
            const bool odd = (amount >= 952 && amount <= 955) || amount == 960 ||
                             (amount >= 970 && amount <= 972);
            const bool ach = (amount >= 901 && amount <= 904) || amount == 910 || amount == 916 ||
                             amount == 920 || amount == 951 || (odd && c.odd_amounts);
            faults_instant p = faults_plan_instant(f, STR("k"), amount, 0, 0);
            assert_int_equal(is_undisturbed(&p), !(instant && c.by_amount));
            assert_int_equal(faults_plan_ach(f, STR("k"), amount).code != NULL, ach && c.by_amount);
        }
        faults_destroy(f);
    }
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
        cmocka_unit_test(test_faults_plan__each_instant_dice__never_always_or_its_percent),
        cmocka_unit_test(test_faults_plan__instant_dice_together__what_excludes_what),
        cmocka_unit_test(test_faults_plan__ach_dice__before_or_after_settlement),
        cmocka_unit_test(test_faults_plan__http_500__does_not_stick_to_a_key),
        cmocka_unit_test(test_faults_plan__by_amount__as_the_table_says),
        cmocka_unit_test(test_faults_plan__amounts_of_odd_tellings__as_the_table_says),
        cmocka_unit_test(
            test_faults_plan__no_dice__only_the_amounts_of_its_rail_and_only_when_asked),
        cmocka_unit_test(test_faults_config_set__bad_values__are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
