// Digests, the envelope and webhook signatures.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "crypto/crypto.h"

#define KEY_A "k2026a 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY_B "k2026b f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffe0e1e2e3e4e5e6e7e8e9eaebecedeeef\n"

// What is left of KEY_B for MACs: HMAC-SHA-256 of "disburse mac 1" under it.
#define KEY_B_MAC "k2026b mac 354a43d70eaa6214591a6ed8c61f0f452970a168f0abcefacbb732016e83b6e4\n"

static arena *mem;

static int setup(void **state) {
    (void)state;
    mem = arena_create(8 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    return 0;
}

static crypto_keyring *ring_of(const char *text, err *e) {
    char path[] = "/tmp/disburse-keys.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    crypto_keyring *k = crypto_keyring_load(path, e);
    (void)unlink(path);
    return k;
}

static void assert_hex(const uint8_t *bytes, const char *hex) {
    char text[65];
    str_hex(bytes, 32, text);
    assert_string_equal(text, hex);
}

static void test_sha256__known_answers__match(void **state) {
    (void)state;
    uint8_t out[32];
    crypto_sha256("abc", 3, out);
    assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256(NULL, 0, out);
    assert_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_hmac__rfc4231__match(void **state) {
    (void)state;
    uint8_t out[32];
    crypto_hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), out);
    assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    crypto_hmac_sha256(STR(""), STR(""), out);
    assert_hex(out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_equal__any_difference__false(void **state) {
    (void)state;
    assert_true(crypto_equal("abc", "abc", 3));
    assert_false(crypto_equal("abc", "abd", 3));
    assert_true(crypto_equal("x", "y", 0));
}

// --- The envelope ----------------------------------------------------------------------------------------------------

static void test_seal__opened__same_value(void **state) {
    (void)state;
    err e = {0};
    crypto_keyring *k = ring_of(KEY_A, &e);
    assert_non_null(k);
    str values[] = {STR(""), STR("a"), STR("DE89370400440532013000")};
    for (size_t i = 0; i < 3; i++) {
        str sealed, again, plain;
        assert_true(crypto_seal(k, STR("place"), values[i], mem, &sealed, &e));
        assert_true(crypto_seal(k, STR("place"), values[i], mem, &again, &e));
        assert_false(str_eq(sealed, again)); // another nonce
        assert_int_equal(sealed.len, 2 + 6 + 12 + values[i].len + 16);
        assert_true(values[i].len < 4 || memmem(sealed.ptr, sealed.len, values[i].ptr, 4) == NULL);
        assert_true(crypto_open(k, STR("place"), sealed, mem, &plain, &e));
        assert_true(str_eq(plain, values[i]));
        assert_non_null(plain.ptr);
    }
    crypto_keyring_destroy(k);
}

static void test_open__any_bit_flipped_or_cut__data_loss(void **state) {
    (void)state;
    err e = {0};
    crypto_keyring *k = ring_of(KEY_A KEY_B, &e);
    str sealed, plain = {NULL, 0};
    assert_true(crypto_seal(k, STR("place"), STR("021000021"), mem, &sealed, &e));
    char *copy = arena_alloc(mem, sealed.len);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        memcpy(copy, sealed.ptr, sealed.len);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        assert_false(crypto_open(k, STR("place"), (str){copy, sealed.len}, mem, &plain, &e));
        assert_int_equal(e.code, ERR_DATA_LOSS);
    }
    for (size_t len = 0; len < sealed.len; len++) {
        assert_false(crypto_open(k, STR("place"), (str){sealed.ptr, len}, mem, &plain, &e));
        assert_int_equal(e.code, ERR_DATA_LOSS);
    }
    assert_null(plain.ptr);
    crypto_keyring_destroy(k);
}

static void test_open__another_place__data_loss(void **state) {
    (void)state;
    err e = {0};
    crypto_keyring *k = ring_of(KEY_A, &e);
    str sealed, plain;
    const str places[] = {STR("recipient|bank_account|b1|r2"), STR(""),
                          STR("recipient|bank_account|b1|r1 ")};
    assert_true(crypto_seal(k, STR("recipient|bank_account|b1|r1"), STR("x"), mem, &sealed, &e));
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        assert_false(crypto_open(k, places[i], sealed, mem, &plain, &e));
        assert_int_equal(e.code, ERR_DATA_LOSS);
    }
    crypto_keyring_destroy(k);
}

static void test_rotation__new_key_appended__old_values_open(void **state) {
    (void)state;
    err e = {0};
    crypto_keyring *before = ring_of(KEY_A, &e);
    crypto_keyring *after = ring_of(KEY_A KEY_B, &e);
    str old, new, plain;
    assert_true(crypto_seal(before, STR("p"), STR("old"), mem, &old, &e));
    assert_true(crypto_seal(after, STR("p"), STR("new"), mem, &new, &e));
    assert_memory_equal(new.ptr + 2, "k2026b", 6);
    assert_true(crypto_open(after, STR("p"), old, mem, &plain, &e));
    assert_true(str_eq_c(plain, "old"));
    assert_false(crypto_open(before, STR("p"), new, mem, &plain, &e)); // an unknown key id
    assert_int_equal(e.code, ERR_DATA_LOSS);
    assert_non_null(strstr(e.detail, "not in the ring"));
    crypto_keyring_destroy(before);
    crypto_keyring_destroy(after);
}

static void test_rotation__current_line__says_which_key_seals(void **state) {
    (void)state;
    err e = {0};
    crypto_keyring *k = ring_of(KEY_A KEY_B "current k2026a\n", &e);
    crypto_key_info keys[CRYPTO_KEYS_MAX];
    size_t current = 9;
    str sealed;
    assert_int_equal(crypto_keyring_keys(k, keys, &current), 2);
    assert_int_equal(current, 0);
    assert_string_equal(keys[1].id, "k2026b");
    assert_true(keys[1].opens);
    assert_true(crypto_seal(k, STR("p"), STR("x"), mem, &sealed, &e));
    assert_memory_equal(sealed.ptr + 2, "k2026a", 6);
    crypto_keyring_destroy(k);
}

static void test_rotation__ring_exchanged__counts_for_the_next_call(void **state) {
    (void)state;
    err e = {0};
    crypto_keyring *k = ring_of(KEY_A, &e);
    str old, fresh, plain;
    assert_true(crypto_seal(k, STR("p"), STR("old"), mem, &old, &e));
    crypto_keyring_take(k, ring_of(KEY_A KEY_B, &e));
    assert_true(crypto_seal(k, STR("p"), STR("new"), mem, &fresh, &e));
    assert_memory_equal(fresh.ptr + 2, "k2026b", 6);
    assert_true(crypto_open(k, STR("p"), old, mem, &plain, &e));
    crypto_keyring_take(k, ring_of(KEY_B, &e));
    assert_false(crypto_open(k, STR("p"), old, mem, &plain, &e));
    crypto_keyring_destroy(k);
}

// A key that opens nothing any more may still be needed to compare.
static void test_mac_line__compares_and_opens_nothing(void **state) {
    (void)state;
    err e = {0};
    crypto_keyring *before = ring_of(KEY_B, &e), *after = ring_of(KEY_B_MAC KEY_A, &e);
    const str data = STR("a request");
    crypto_mac mac;
    str sealed, plain;
    bool matches = false;
    crypto_mac_make(before, "p", &data, 1, &mac);
    assert_true(crypto_seal(before, STR("p"), STR("x"), mem, &sealed, &e));
    assert_true(crypto_mac_matches(after, "p", &data, 1, (str){(const char *)mac.bytes, mac.len},
                                   &matches, &e));
    assert_true(matches);
    assert_false(crypto_open(after, STR("p"), sealed, mem, &plain, &e));
    assert_non_null(strstr(e.detail, "not in the ring"));
    // What is left of a key is known for the same key, and not for another one.
    crypto_key_info whole[CRYPTO_KEYS_MAX], left[CRYPTO_KEYS_MAX];
    size_t current;
    assert_int_equal(crypto_keyring_keys(before, whole, &current), 1);
    assert_int_equal(crypto_keyring_keys(after, left, &current), 2);
    assert_memory_equal(left[0].check, whole[0].check, CRYPTO_CHECK_LEN);
    assert_memory_not_equal(left[1].check, whole[0].check, CRYPTO_CHECK_LEN);
    crypto_keyring_destroy(before);
    crypto_keyring_destroy(after);
}

static bool mac_matches(const crypto_keyring *k, const char *purpose, str data,
                        const crypto_mac *mac) {
    bool matches = false;
    err e = {0};
    const str kept = {(const char *)mac->bytes, mac->len};
    assert_true(crypto_mac_matches(k, purpose, &data, 1, kept, &matches, &e));
    return matches;
}

static void test_mac__only_of_the_same_data_purpose_and_key(void **state) {
    (void)state;
    err e = {0};
    crypto_keyring *k = ring_of(KEY_A, &e);
    const str data = STR("abc");
    const str parts[] = {STR("a"), STR("bc")};
    crypto_mac mac, again;
    crypto_mac_make(k, "test", &data, 1, &mac);
    assert_int_equal(mac.len, 2 + 6 + 32);
    assert_memory_equal(mac.bytes, "\1\6k2026a", 8);
    assert_true(mac_matches(k, "test", data, &mac));
    assert_false(mac_matches(k, "test", STR("abd"), &mac));
    assert_false(mac_matches(k, "tes", data, &mac));
    crypto_mac_make(k, "test", parts, 2, &again);
    assert_int_equal(again.len, mac.len);
    assert_memory_equal(again.bytes, mac.bytes, mac.len);
    // What is kept for ever: it must be the same in every version to come.
    assert_hex(mac.bytes + 8, "7270c23e43d581333ec5eee1d6ebb32c154d2a54b4ff281bfd1872f6830cde3e");
    crypto_keyring_destroy(k);
}

static void test_mac__key_rotated_or_missing(void **state) {
    (void)state;
    err e = {0};
    crypto_keyring *before = ring_of(KEY_A, &e), *after = ring_of(KEY_A KEY_B, &e);
    const str data = STR("abc");
    crypto_mac old, new;
    crypto_mac_make(before, "test", &data, 1, &old);
    crypto_mac_make(after, "test", &data, 1, &new);
    assert_memory_not_equal(old.bytes, new.bytes, old.len);
    assert_true(mac_matches(after, "test", data, &old));
    assert_true(mac_matches(after, "test", data, &new));
    bool matches = true;
    assert_false(crypto_mac_matches(before, "test", &data, 1,
                                    (str){(const char *)new.bytes, new.len}, &matches, &e));
    assert_int_equal(e.code, ERR_DATA_LOSS);
    assert_false(matches);
    for (size_t len = 0; len < old.len; len++) {
        assert_false(crypto_mac_matches(before, "test", &data, 1,
                                        (str){(const char *)old.bytes, len}, &matches, &e));
    }
    crypto_keyring_destroy(before);
    crypto_keyring_destroy(after);
}

static void test_keyring__bad_files__refused_without_quoting(void **state) {
    (void)state;
    err e = {0};
    const char *const bad[] = {
        "k1\n",
        "k1 0001\n",
        KEY_A KEY_A,
        "bad/id 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n",
        " 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n",
        "k1 zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n",
        KEY_A "\n" KEY_B,
        "\n",
        KEY_A "current k2026b\n",
        KEY_A "current k2026a\ncurrent k2026a\n",
        "k2026a mac 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n",
        KEY_A "k2 mac 0102\n",
        KEY_A KEY_B_MAC "current k2026b\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(ring_of(bad[i], &e));
        assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
        assert_null(strstr(e.message, "0102"));
        assert_null(strstr(e.detail, "0102"));
    }
    assert_null(crypto_keyring_load("/nonexistent/keys", &e));
    crypto_keyring_destroy(NULL);
}

static void test_seal__arena_full__resource_exhausted(void **state) {
    (void)state;
    err e = {0};
    static const char block[64 << 10];
    crypto_keyring *k = ring_of(KEY_A, &e);
    arena *tiny = arena_create(16 << 10);
    str sealed;
    assert_false(crypto_seal(k, STR("p"), (str){block, sizeof(block)}, tiny, &sealed, &e));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    arena_destroy(tiny);
    crypto_keyring_destroy(k);
}

// --- Webhooks --------------------------------------------------------------------------------------------------------

#define V1_SECRET STR("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
#define V1_ID STR("msg_p5jXN8AQM9LWM0D4loKWxJek")
#define V1_BODY STR("{\"test\": 2432232314}")
#define V1_SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
enum { V1_TIME = 1614265330 };

static void test_sign__published_vectors__match(void **state) {
    (void)state;
    char out[48];
    assert_true(crypto_webhook_sign(V1_SECRET, V1_ID, V1_TIME, V1_BODY, out, sizeof(out)));
    assert_string_equal(out, V1_SIGNATURE);
    assert_true(crypto_webhook_sign(STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), V1_ID, V1_TIME,
                                    V1_BODY, out, sizeof(out)));
    assert_string_equal(out, V1_SIGNATURE);
    assert_true(crypto_webhook_sign(
        STR("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"), STR("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
        1649367553, STR("{\"email\":\"test@example.com\",\"username\":\"test_user\"}"), out,
        sizeof(out)));
    assert_string_equal(out, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
}

static void test_sign__bad_input__refused(void **state) {
    (void)state;
    char out[48];
    assert_false(crypto_webhook_sign(STR(""), V1_ID, V1_TIME, V1_BODY, out, sizeof(out)));
    assert_false(crypto_webhook_sign(STR("whsec_"), V1_ID, V1_TIME, V1_BODY, out, sizeof(out)));
    assert_false(crypto_webhook_sign(STR("c2hvcnQ="), V1_ID, V1_TIME, V1_BODY, out, sizeof(out)));
    assert_false(crypto_webhook_sign(STR("!!!!"), V1_ID, V1_TIME, V1_BODY, out, sizeof(out)));
    assert_false(crypto_webhook_sign(V1_SECRET, STR("a.b"), V1_TIME, V1_BODY, out, sizeof(out)));
    assert_false(crypto_webhook_sign(V1_SECRET, V1_ID, V1_TIME, V1_BODY, out, 47));
}

static bool verify_at(str signatures, int64_t now_s) {
    err e = {0};
    bool ok =
        crypto_webhook_verify(V1_SECRET, V1_ID, STR("1614265330"), signatures, V1_BODY, now_s, &e);
    assert_int_equal(e.code, ok ? ERR_OK : ERR_UNAUTHENTICATED);
    return ok;
}

static void test_verify__tolerance__five_minutes_both_ways(void **state) {
    (void)state;
    assert_true(verify_at(STR(V1_SIGNATURE), V1_TIME));
    assert_true(verify_at(STR(V1_SIGNATURE), V1_TIME + 300));
    assert_false(verify_at(STR(V1_SIGNATURE), V1_TIME + 301));
    assert_true(verify_at(STR(V1_SIGNATURE), V1_TIME - 300));
    assert_false(verify_at(STR(V1_SIGNATURE), V1_TIME - 301));
}

static void test_verify__list_of_signatures__any_may_match(void **state) {
    (void)state;
    assert_true(verify_at(STR("v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= v2,whatever "
                              "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5= " V1_SIGNATURE),
                          V1_TIME));
    assert_true(verify_at(STR(V1_SIGNATURE " v9,x"), V1_TIME));
    assert_false(verify_at(STR("v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), V1_TIME));
    assert_false(verify_at(STR("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), V1_TIME));
    assert_false(verify_at(STR("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1O"), V1_TIME));
    assert_false(verify_at(STR(""), V1_TIME));
    assert_false(verify_at(STR("   "), V1_TIME));
}

static void test_verify__anything_changed__unauthenticated(void **state) {
    (void)state;
    err e = {0};
    str good = STR(V1_SIGNATURE);
    assert_false(crypto_webhook_verify(V1_SECRET, STR("msg_other"), STR("1614265330"), good,
                                       V1_BODY, V1_TIME, &e));
    assert_int_equal(e.code, ERR_UNAUTHENTICATED);
    assert_false(
        crypto_webhook_verify(V1_SECRET, V1_ID, STR("1614265331"), good, V1_BODY, V1_TIME, &e));
    assert_false(crypto_webhook_verify(V1_SECRET, V1_ID, STR(""), good, V1_BODY, V1_TIME, &e));
    assert_false(
        crypto_webhook_verify(V1_SECRET, V1_ID, STR("16142653e0"), good, V1_BODY, V1_TIME, &e));
    assert_false(crypto_webhook_verify(V1_SECRET, V1_ID, STR("1614265330"), good,
                                       STR("{\"test\": 2432232315}"), V1_TIME, &e));
    assert_false(crypto_webhook_verify(STR("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"), V1_ID,
                                       STR("1614265330"), good, V1_BODY, V1_TIME, &e));
    assert_int_equal(e.code, ERR_UNAUTHENTICATED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    log_init("crypto-test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        T(test_sha256__known_answers__match),
        T(test_hmac__rfc4231__match),
        T(test_equal__any_difference__false),
        T(test_seal__opened__same_value),
        T(test_open__any_bit_flipped_or_cut__data_loss),
        T(test_open__another_place__data_loss),
        T(test_rotation__new_key_appended__old_values_open),
        T(test_rotation__current_line__says_which_key_seals),
        T(test_rotation__ring_exchanged__counts_for_the_next_call),
        T(test_mac_line__compares_and_opens_nothing),
        T(test_mac__only_of_the_same_data_purpose_and_key),
        T(test_mac__key_rotated_or_missing),
        T(test_keyring__bad_files__refused_without_quoting),
        T(test_seal__arena_full__resource_exhausted),
        T(test_sign__published_vectors__match),
        T(test_sign__bad_input__refused),
        T(test_verify__tolerance__five_minutes_both_ways),
        T(test_verify__list_of_signatures__any_may_match),
        T(test_verify__anything_changed__unauthenticated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
