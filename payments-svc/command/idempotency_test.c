// A key's content without the database: the hash of a request, and the meaning of errors about a key.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "command/idempotency.h"

static crypto_keyring *ring_of(const char *text) {
    char path[] = "/tmp/disburse-keys.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    err e = {0};
    crypto_keyring *k = crypto_keyring_load(path, &e);
    (void)unlink(path);
    assert_non_null(k);
    return k;
}

#define KEY_A "a 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY_B "b f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffe0e1e2e3e4e5e6e7e8e9eaebecedeeef\n"

static idem_entry entry_of(str merchant, str content) {
    return (idem_entry){.merchant_id = merchant, .key = STR("k"), .content = content};
}

static bool matches(const crypto_keyring *keys, idem_operation op, str merchant, str content,
                    str kept) {
    const idem_entry entry = entry_of(merchant, content);
    bool same = false;
    err e = {0};
    assert_true(idem_hash_matches(keys, op, &entry, kept, &same, &e));
    return same;
}

// kept is of (IDEM_PAYOUT, "m1", "abc").
static void expect_only_its_own(const crypto_keyring *keys, str kept) {
    assert_true(matches(keys, IDEM_PAYOUT, STR("m1"), STR("abc"), kept));
    assert_false(matches(keys, IDEM_RECIPIENT, STR("m1"), STR("abc"), kept));
    assert_false(matches(keys, IDEM_DEPOSIT, STR("m1"), STR("abc"), kept));
    assert_false(matches(keys, IDEM_PAYOUT, STR("m2"), STR("abc"), kept));
    assert_false(matches(keys, IDEM_PAYOUT, STR("m1"), STR("abd"), kept));
    assert_false(matches(keys, IDEM_PAYOUT, STR("m1"), STR("ab"), kept));
    assert_false(matches(keys, IDEM_PAYOUT, STR("m1"), STR(""), kept));
    // The boundary between two parts counts.
    assert_false(matches(keys, IDEM_PAYOUT, STR("m1a"), STR("bc"), kept));
    assert_false(matches(keys, IDEM_PAYOUT, STR("m"), STR("1abc"), kept));
}

// The first version's rows have a hash without a key, kept for ever: its computation must never change.
static void test_plain_hash__of_the_first_version__still_known(void **state) {
    (void)state;
    crypto_keyring *keys = ring_of(KEY_A);
    uint8_t hash[IDEM_PLAIN_HASH_LEN];
    idem_plain_hash(IDEM_PAYOUT, STR("m1"), STR("abc"), hash);
    char hex[65];
    str_hex(hash, sizeof hash, hex);
    // SHA-256 of 01 02 "m1abc"
    assert_string_equal(hex, "6b4c412321f1d8b78e41ff8da9c7acd88f29bded58225d348cad19eb501db776");
    expect_only_its_own(keys, (str){(const char *)hash, sizeof hash});
    crypto_keyring_destroy(keys);
}

static void test_hash__has_a_key__everything_counts(void **state) {
    (void)state;
    crypto_keyring *a = ring_of(KEY_A), *b = ring_of(KEY_B), *both = ring_of(KEY_A KEY_B);
    idem_entry entry = entry_of(STR("m1"), STR("abc")), other = entry;
    idem_hash(a, IDEM_PAYOUT, &entry);
    idem_hash(b, IDEM_PAYOUT, &other);
    assert_int_equal(entry.hash.len, 2 + 1 + 32); // never mistaken for the first version's
    assert_memory_not_equal(entry.hash.bytes + 3, other.hash.bytes + 3, 32);
    const str kept = {(const char *)entry.hash.bytes, entry.hash.len};
    expect_only_its_own(a, kept);
    expect_only_its_own(both, kept); // after a rotation
    bool same = true;
    err e = {0};
    assert_false(idem_hash_matches(b, IDEM_PAYOUT, &entry, kept, &same, &e));
    assert_false(same);
    assert_false(err_is_definite(e.code)); // the request may have been accepted
    crypto_keyring_destroy(a);
    crypto_keyring_destroy(b);
    crypto_keyring_destroy(both);
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
    e = exists("payout_intent");
    assert_true(idem_should_look_again(&e));
    e = exists("payout_pkey"); // not a caller's key
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
    // ALREADY_EXISTS would say that the request never had a result
    assert_int_equal(e.code, ERR_ABORTED);
    assert_string_equal(e.reason, "KEY_RACE");
    assert_false(err_is_definite(e.code));
    e = (err){0};
    (void)err_set(&e, ERR_FAILED_PRECONDITION, "CURRENCY_NOT_HELD", "no");
    assert_false(idem_give_up(&e));
    assert_string_equal(e.reason, "CURRENCY_NOT_HELD"); // other errors stay
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_hash__of_the_first_version__still_known),
        cmocka_unit_test(test_hash__has_a_key__everything_counts),
        cmocka_unit_test(test_conflict__names_the_field),
        cmocka_unit_test(test_look_again__a_lost_race_or_a_lost_answer),
        cmocka_unit_test(test_DEFINITE_ERRORS__a_race_lost_for_good_says_ask_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
