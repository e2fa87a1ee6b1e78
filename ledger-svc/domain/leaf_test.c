// The canonical form: fixed for ever, one row one form, and no field without weight.
#include "domain/leaf.h"

#include <string.h>

#include "base/str.h"
#include "base/test_support.h"

static uuid id_of(uint8_t first) {
    uuid id;
    for (size_t i = 0; i < sizeof id.b; i++) {
        id.b[i] = (uint8_t)(first + i);
    }
    return id;
}

static ledger_row sample(void) {
    return (ledger_row){
        .kind = LEDGER_KIND_POST,
        .id = id_of(0x10),
        .debit_account_id = id_of(0x20),
        .credit_account_id = id_of(0x30),
        .pending_id = id_of(0x40),
        .user_data_128 = id_of(0x50),
        .user_data_64 = 0x0102030405060708,
        .user_data_32 = 0x090a0b0c,
        .timeout_s = 7,
        .code = 65535,
        .flags = LEDGER_TRANSFER_FLAG_POST,
        .currency = ledger_currency_pack(STR("USD")),
        .amount = LEDGER_AMOUNT_MAX,
        .released = 12,
        .expires_us = 13,
        .sequence = 14,
        .timestamp_us = 15,
        .effective_us = 16,
        .debit_after = {17, 18, 19, 20},
        .credit_after = {21, 22, 23, 24},
        .debit_state_after = 1,
        .credit_state_after = 2,
        .reverses_id = id_of(0x60),
        .external_reference = STR("invoice 7"),
        .metadata = STR("\x01k\0\x01v"),
    };
}

// A change of this form makes every signed head false: make a new version instead.
static void test_leaf__the_form_is_fixed(void **state) {
    const ledger_row row = sample();
    uint8_t bytes[LEDGER_LEAF_LEN_MAX], hash[LEDGER_LEAF_HASH_LEN];
    char hex[65];
    assert_int_equal(ledger_leaf_encode(3, &row, bytes), LEDGER_LEAF_FIXED_LEN + 9 + 5);
    ledger_leaf_hash(3, &row, hash);
    str_hex(hash, sizeof hash, hex);
    assert_string_equal(hex, "0ef98681ee711a5eb8d662594297720a8ce1a578586b3250f16e68db6fff2021");
    (void)state;
}

static void test_leaf__a_form_is_a_row_and_a_row_is_a_form(void **state) {
    const ledger_row row = sample();
    uint8_t bytes[LEDGER_LEAF_LEN_MAX], again[LEDGER_LEAF_LEN_MAX];
    ledger_row read;
    int64_t book_id;
    const size_t len = ledger_leaf_encode(3, &row, bytes);
    assert_true(ledger_leaf_decode(bytes, len, &book_id, &read));
    assert_int_equal(book_id, 3);
    assert_int_equal(ledger_leaf_encode(book_id, &read, again), len);
    assert_memory_equal(bytes, again, len);
    assert_true(uuid_eq(read.reverses_id, row.reverses_id));
    assert_memory_equal(&read.credit_after, &row.credit_after, sizeof row.credit_after);
    (void)state;
}

// Flip any bit: the bytes are canonical no more, or they are another row's.
static void test_leaf__every_bit_has_weight(void **state) {
    const ledger_row row = sample();
    uint8_t bytes[LEDGER_LEAF_LEN_MAX], again[LEDGER_LEAF_LEN_MAX];
    const size_t len = ledger_leaf_encode(3, &row, bytes);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        ledger_row read;
        int64_t book_id;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (ledger_leaf_decode(bytes, len, &book_id, &read)) {
            assert_int_equal(ledger_leaf_encode(book_id, &read, again), len);
            assert_memory_equal(bytes, again, len);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    (void)state;
}

static void test_leaf__other_lengths__refused(void **state) {
    const ledger_row row = sample();
    uint8_t bytes[LEDGER_LEAF_LEN_MAX + 1] = {0};
    ledger_row read;
    int64_t book_id;
    const size_t len = ledger_leaf_encode(3, &row, bytes);
    for (size_t other = 0; other <= LEDGER_LEAF_LEN_MAX + 1; other++) {
        assert_int_equal(ledger_leaf_decode(bytes, other, &book_id, &read), other == len);
    }
    (void)state;
}

// Texts of the largest size have room.
static void test_leaf__the_largest_row__fits(void **state) {
    static char text[LEDGER_METADATA_MAX];
    uint8_t bytes[LEDGER_LEAF_LEN_MAX];
    ledger_row row = sample(), read;
    int64_t book_id;
    row.external_reference = (str){text, LEDGER_EXTERNAL_REFERENCE_MAX};
    row.metadata = (str){text, LEDGER_METADATA_MAX};
    assert_int_equal(ledger_leaf_encode(INT64_MAX, &row, bytes), LEDGER_LEAF_LEN_MAX);
    assert_true(ledger_leaf_decode(bytes, LEDGER_LEAF_LEN_MAX, &book_id, &read));
    assert_int_equal(read.metadata.len, LEDGER_METADATA_MAX);
    (void)state;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaf__the_form_is_fixed),
        cmocka_unit_test(test_leaf__a_form_is_a_row_and_a_row_is_a_form),
        cmocka_unit_test(test_leaf__every_bit_has_weight),
        cmocka_unit_test(test_leaf__other_lengths__refused),
        cmocka_unit_test(test_leaf__the_largest_row__fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
