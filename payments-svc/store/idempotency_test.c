// What a key stands for, without the database: the hash of a request, and what the errors around a key mean.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/idempotency.h"

static void expect_different(const uint8_t a[32], idem_operation op, str merchant, str content) {
    uint8_t b[32];
    idem_hash(op, merchant, content, b);
    assert_memory_not_equal(a, b, 32);
}

// Hashes are stored for ever: the same request must have the same hash in every version to come.
static void test_hash__is_the_stored_one(void **state) {
    (void)state;
    uint8_t hash[32];
    idem_hash(IDEM_PAYOUT, STR("m1"), STR("abc"), hash);
    char hex[65];
    str_hex(hash, sizeof hash, hex);
    assert_string_equal(
        hex,
        "6b4c412321f1d8b78e41ff8da9c7acd88f29bded58225d348cad19eb501db776"); // SHA-256 of 01 02 "m1abc"
}

static void test_hash__everything_counts(void **state) {
    (void)state;
    uint8_t hash[32], again[32];
    idem_hash(IDEM_PAYOUT, STR("m1"), STR("abc"), hash);
    idem_hash(IDEM_PAYOUT, STR("m1"), STR("abc"), again);
    assert_memory_equal(hash, again, 32);
    expect_different(hash, IDEM_RECIPIENT, STR("m1"), STR("abc"));
    expect_different(hash, IDEM_DEPOSIT, STR("m1"), STR("abc"));
    expect_different(hash, IDEM_PAYOUT, STR("m2"), STR("abc"));
    expect_different(hash, IDEM_PAYOUT, STR("m1"), STR("abd"));
    expect_different(hash, IDEM_PAYOUT, STR("m1"), STR("ab"));
    expect_different(hash, IDEM_PAYOUT, STR("m1"), STR(""));
    expect_different(hash, IDEM_PAYOUT, STR("m1a"),
                     STR("bc")); // where one ends and the other begins
    expect_different(hash, IDEM_PAYOUT, STR("m"), STR("1abc"));
}

static void test_same__the_first_request_decides(void **state) {
    (void)state;
    idem_entry first = {.known = true};
    memset(first.stored, 7, sizeof first.stored);
    uint8_t hash[32];
    memset(hash, 7, sizeof hash);
    assert_true(idem_is_same(&first, hash));
    hash[31] ^= 1;
    assert_false(idem_is_same(&first, hash));
}

static void test_conflict__names_the_field(void **state) {
    (void)state;
    err e = {0};
    assert_false(idem_conflict("payouts[3].", &e));
    assert_int_equal(e.code, ERR_ALREADY_EXISTS);
    assert_string_equal(e.reason, "IDEMPOTENCY_KEY_REUSED");
    assert_string_equal(e.field, "payouts[3].idempotency_key");
}

static err exists(const char *constraint) {
    err e = {0};
    (void)err_set(&e, ERR_ALREADY_EXISTS, "ALREADY_EXISTS", "already exists");
    (void)snprintf(e.constraint, sizeof e.constraint, "%s", constraint);
    return e;
}

static void test_look_again__a_lost_race_or_a_lost_answer(void **state) {
    (void)state;
    err e = exists("idempotency_pkey");
    assert_true(idem_should_look_again(&e));
    e = exists("payout_pkey"); // not a key of a caller's
    assert_false(idem_should_look_again(&e));
    e = (err){0};
    (void)err_set(&e, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "gone");
    assert_false(idem_should_look_again(&e));
    e.flags |= ERR_COMMIT_UNKNOWN;
    assert_true(idem_should_look_again(&e));
}

static void test_DEFINITE_ERRORS__a_race_lost_for_good_says_ask_again(void **state) {
    (void)state;
    err e = exists("idempotency_pkey");
    assert_false(idem_give_up(&e));
    assert_int_equal(e.code, ERR_ABORTED); // ALREADY_EXISTS would say that nothing ever came of it
    assert_string_equal(e.reason, "KEY_RACE");
    assert_false(err_is_definite(e.code));
    e = (err){0};
    (void)err_set(&e, ERR_FAILED_PRECONDITION, "CURRENCY_NOT_HELD", "no");
    assert_false(idem_give_up(&e));
    assert_string_equal(e.reason, "CURRENCY_NOT_HELD"); // others stay as they are
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash__is_the_stored_one),
        cmocka_unit_test(test_hash__everything_counts),
        cmocka_unit_test(test_same__the_first_request_decides),
        cmocka_unit_test(test_conflict__names_the_field),
        cmocka_unit_test(test_look_again__a_lost_race_or_a_lost_answer),
        cmocka_unit_test(test_DEFINITE_ERRORS__a_race_lost_for_good_says_ask_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
