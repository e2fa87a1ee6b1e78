#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "domain/ids.h"
#include "domain/rules.h"

static const rule_rail RAILS[] = {{1, 1, true, "ach", "USD", 9999999999, NULL},
                                  {2, 2, true, "instant", "INR,USD", 100000000, NULL}};

static void refused(bool ok, const err *e, const char *reason, const char *field) {
    assert_false(ok);
    assert_int_equal(e->code, ERR_INVALID_ARGUMENT);
    assert_string_equal(e->reason, reason);
    assert_string_equal(e->field, field);
}

static void test_aba_check_digit__known_numbers(void **state) {
    (void)state;
    assert_true(aba_check_digit_ok(STR("021000021")));
    assert_true(aba_check_digit_ok(STR("011401533")));
    assert_true(aba_check_digit_ok(STR("091000019")));
    assert_false(aba_check_digit_ok(STR("021000022")));
    assert_false(aba_check_digit_ok(STR("000000000")));
    assert_false(aba_check_digit_ok(STR("02100002")));
    assert_false(aba_check_digit_ok(STR("02100002x")));
}

static void test_aba_check_digit__any_single_digit_changed__refused(void **state) {
    (void)state;
    for (int at = 0; at < 9; at++) {
        for (char d = '0'; d <= '9'; d++) {
            char text[10] = "021000021";
            const bool same = text[at] == d;
            text[at] = d;
            assert_int_equal(aba_check_digit_ok((str){text, 9}), same);
        }
    }
}

static void test_routing_code__by_currency(void **state) {
    (void)state;
    err e = {0};
    assert_true(rule_routing_code(STR("021000021"), STR("USD"), "", &e));
    assert_true(rule_routing_code(STR("HDFC0001234"), STR("INR"), "", &e));
    refused(rule_routing_code(STR("021000020"), STR("USD"), "bank_account.", &e), &e,
            "ROUTING_NUMBER_INVALID", "bank_account.routing_code");
    refused(rule_routing_code(STR("HDFC1001234"), STR("INR"), "", &e), &e, "IFSC_INVALID",
            "routing_code");
    refused(rule_routing_code(STR("hdfc0001234"), STR("INR"), "", &e), &e, "IFSC_INVALID",
            "routing_code");
    refused(rule_routing_code(STR("021000021"), STR("EUR"), "", &e), &e, "CURRENCY_NOT_SUPPORTED",
            "currency");
}

static void test_rail_carries__currency_and_limit(void **state) {
    (void)state;
    err e = {0};
    assert_true(rule_rail_carries(RAILS, 2, 1, STR("USD"), 9999999999, "", &e));
    refused(rule_rail_carries(RAILS, 2, 1, STR("USD"), 10000000000, "payout.", &e), &e,
            "AMOUNT_TOO_LARGE", "payout.amount_minor");
    refused(rule_rail_carries(RAILS, 2, 1, STR("INR"), 1, "", &e), &e,
            "CURRENCY_NOT_SUPPORTED_BY_RAIL", "currency");
}

static void test_fees__by_currency_and_merchant(void **state) {
    (void)state;
    static const rule_rail some[] = {{.id = 1, .fees = "USD 0.25, INR 3, acme USD 0.10,free USD 0"},
                                     {.id = 2, .fees = ""}};
    assert_int_equal(rule_fee(some, 2, 1, STR("other"), STR("USD")), 25);
    assert_int_equal(rule_fee(some, 2, 1, STR("other"), STR("INR")), 300);
    assert_int_equal(rule_fee(some, 2, 1, STR("acme"), STR("USD")), 10);
    assert_int_equal(rule_fee(some, 2, 1, STR("acme"), STR("INR")), 300);
    assert_int_equal(rule_fee(some, 2, 1, STR("free"), STR("USD")), 0);
    assert_int_equal(rule_fee(some, 2, 1, STR("other"), STR("EUR")), 0);
    assert_int_equal(rule_fee(some, 2, 2, STR("other"), STR("USD")), 0);
    assert_int_equal(rule_fee(some, 2, 9, STR("other"), STR("USD")), 0);
    assert_true(rule_fees(NULL, "INR,USD"));
    assert_true(rule_fees("", "INR,USD"));
    assert_true(rule_fees(some[0].fees, "INR,USD"));
    static const char *const wrong[] = {
        "USD",         "0.25",       "USD -1",         "USD 0.255",      "usd 0.25",
        "USD 0.25,",   ", USD 0.25", "USD 0.25 USD 1", "USD 1e3",        "JPY 0.5",
        "Acme! USD 1", "a b USD 1",  "USD 0.25;",      "USD 99999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(rule_fees(wrong[i], "INR,USD"));
    }
    assert_false(rule_fees("INR 3.00", "USD")); // nobody would pay this fee
    assert_false(rule_fees("USD 0.25, acme EUR 1.00", "INR,USD"));
}

static void test_connection__is_named_or_its_rails_own(void **state) {
    (void)state;
    static const rule_rail some[] = {{3, 1, false, "wells", "USD", 100, NULL},
                                     {4, 1, true, "chase", "USD", 100, NULL},
                                     {2, 2, true, "instant", "USD", 100, NULL},
                                     {7, 2, false, "fast", "USD", 100, NULL}};
    static const struct {
        int rail;
        const char *connection;
        int id;
        const char *reason, *field;
        int preferred;
    } CASES[] = {
        {1, "", 3, NULL, NULL, 3},
        {1, "", 4, NULL, NULL, 4},
        {2, "fast", 7, NULL, NULL, 2}, // the named connection counts
        {1, "", 0, "CONNECTION_NOT_AVAILABLE", "rail", 55},
        {1, "", 0, "CONNECTION_NOT_AVAILABLE", "rail", 2}, // of another rail
        {1, "", 4, NULL, NULL, 0},
        {2, "", 2, NULL, NULL, 0},
        {1, "wells", 3, NULL, NULL, 0},
        {0, "wells", 3, NULL, NULL, 0},
        {0, "fast", 7, NULL, NULL, 0},
        {0, "", 0, "FIELD_MISSING", "rail", 0},
        {9, "", 0, "RAIL_NOT_AVAILABLE", "rail", 0},
        {1, "ach", 0, "CONNECTION_NOT_AVAILABLE", "connection", 0},
        {0, "Wells", 0, "CONNECTION_NOT_AVAILABLE", "connection", 0},
        {2, "wells", 0, "CONNECTION_OF_ANOTHER_RAIL", "connection", 0},
        {9, "fast", 0, "CONNECTION_OF_ANOTHER_RAIL", "connection", 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int id = 0;
        err e = {0};
        const bool ok = rule_connection(some, 4, CASES[i].rail, str_of(CASES[i].connection),
                                        CASES[i].preferred, "", &id, &e);
        if (CASES[i].reason == NULL) {
            assert_true(ok);
            assert_int_equal(id, CASES[i].id);
        } else {
            refused(ok, &e, CASES[i].reason, CASES[i].field);
        }
    }
    // The rail's own default is switched off: no other one takes its place.
    int id = 0;
    err e = {0};
    refused(rule_connection(some, 1, 1, STR(""), 0, "", &id, &e), &e, "RAIL_NOT_AVAILABLE", "rail");
}

static void test_amount__zero_and_negative__refused(void **state) {
    (void)state;
    err e = {0};
    assert_true(rule_amount(1, "", &e));
    refused(rule_amount(0, "", &e), &e, "AMOUNT_NOT_POSITIVE", "amount_minor");
    refused(rule_amount(INT64_MIN, "", &e), &e, "AMOUNT_NOT_POSITIVE", "amount_minor");
}

static void test_merchant_id__shape(void **state) {
    (void)state;
    err e = {0};
    assert_true(rule_merchant_id(STR("acme-books_2"), "merchant_id", &e));
    refused(rule_merchant_id(STR(""), "merchant_id", &e), &e, "FIELD_MISSING", "merchant_id");
    refused(rule_merchant_id(STR("-acme"), "merchant_id", &e), &e, "MERCHANT_ID_INVALID",
            "merchant_id");
    refused(rule_merchant_id(STR("Acme"), "merchant_id", &e), &e, "MERCHANT_ID_INVALID",
            "merchant_id");
}

static void test_text__limits_and_control_characters(void **state) {
    (void)state;
    err e = {0};
    assert_true(rule_text(STR("Zo\xc3\xab"), 1, 140, "", "name", &e));
    refused(rule_text(STR(""), 1, 140, "", "name", &e), &e, "FIELD_MISSING", "name");
    refused(rule_text(STR("abcd"), 1, 3, "", "name", &e), &e, "FIELD_TOO_LONG", "name");
    refused(rule_text(STR("a\nb"), 1, 9, "", "name", &e), &e, "FIELD_INVALID", "name");
    refused(rule_text(STR("a\xc2\x9b"
                          "b"),
                      1, 9, "", "name", &e),
            &e, "FIELD_INVALID", "name");
    refused(rule_text(STR("a\xe2\x80\xae"
                          "b"),
                      1, 9, "", "name", &e),
            &e, "FIELD_INVALID", "name");
}

static void test_ids__same_input_same_id__other_input_other_id(void **state) {
    (void)state;
    const uuid p = {{1, 2, 3}};
    const uuid q = {{1, 2, 4}};
    assert_true(uuid_eq(transfer_of_step(p, "reserve", 1), transfer_of_step(p, "reserve", 1)));
    assert_false(uuid_eq(transfer_of_step(p, "reserve", 1), transfer_of_step(q, "reserve", 1)));
    assert_false(uuid_eq(transfer_of_step(p, "reserve", 1), transfer_of_step(p, "confirm", 1)));
    assert_false(uuid_eq(transfer_of_step(p, "reserve", 1), transfer_of_step(p, "reserve", 2)));
    assert_false(uuid_eq(account_bank(1, STR("main"), STR("USD")), account_fees(1, STR("USD"))));
    assert_false(uuid_eq(account_transit(1, 1, STR("USD")), account_transit(1, 2, STR("USD"))));
    assert_false(uuid_eq(account_bank(1, STR("main"), STR("USD")),
                         account_bank(2, STR("main"), STR("USD"))));
    assert_false(uuid_eq(account_bank(1, STR("main"), STR("USD")),
                         account_bank(1, STR("payroll"), STR("USD"))));
    assert_true(rule_bank_account(STR("main")) && rule_bank_account(STR("a_1-b")));
    assert_false(rule_bank_account(STR("")) || rule_bank_account(STR("Main")) ||
                 rule_bank_account(STR("a|b")));
    char a[65], b[65];
    attempt_key(p, 1, a);
    attempt_key(p, 2, b);
    assert_int_equal(strlen(a), 64);
    assert_string_not_equal(a, b);
}

// Banks and ledgers keep what they were told for ever: the same request must give the same intent in every later version.
static void assert_uuid(uuid id, const char *text) {
    char found[UUID_TEXT_LEN + 1];
    uuid_format(id, found);
    assert_string_equal(found, text);
}

// Existing ledgers have these accounts.
static void test_accounts__are_those_that_were_given_out(void **state) {
    (void)state;
    const str usd = STR("USD");
    assert_uuid(account_merchant_available(1, STR("acme"), usd),
                "0a4b7ddb-448d-8caa-9bcf-6fa36e006b87");
    assert_uuid(account_transit(1, 1, usd), "d65f734e-b638-8674-97a0-604b776d672f");
    assert_uuid(account_transit(1, 2, usd), "50875290-2109-8c4b-9a03-149c921f6095");
    assert_uuid(account_bank(1, STR("main"), usd), "5b3a4501-697c-8e5c-8fc2-38b6dc298abc");
    assert_uuid(account_fees(1, usd), "b4014b92-46c8-82e1-bbeb-977416081dab");
    assert_uuid(account_suspense(1, usd), "0e46160d-1bcd-80d2-994d-9a4d0130e75b");
}

static void test_intent__is_the_one_that_was_given_out(void **state) {
    (void)state;
    char text[UUID_TEXT_LEN + 1];
    uuid_format(payout_intent(7, STR("shop"), STR("key-1")), text);
    assert_string_equal(text, "fee8c79b-b9b6-8dfd-b33d-36c034d96a5e");
    assert_false(uuid_eq(payout_intent(7, STR("shop"), STR("key-1")),
                         payout_intent(8, STR("shop"), STR("key-1"))));
    assert_false(uuid_eq(payout_intent(7, STR("shop"), STR("key-1")),
                         payout_intent(7, STR("shopk"), STR("ey-1"))));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aba_check_digit__known_numbers),
        cmocka_unit_test(test_aba_check_digit__any_single_digit_changed__refused),
        cmocka_unit_test(test_routing_code__by_currency),
        cmocka_unit_test(test_rail_carries__currency_and_limit),
        cmocka_unit_test(test_fees__by_currency_and_merchant),
        cmocka_unit_test(test_connection__is_named_or_its_rails_own),
        cmocka_unit_test(test_amount__zero_and_negative__refused),
        cmocka_unit_test(test_merchant_id__shape),
        cmocka_unit_test(test_text__limits_and_control_characters),
        cmocka_unit_test(test_ids__same_input_same_id__other_input_other_id),
        cmocka_unit_test(test_accounts__are_those_that_were_given_out),
        cmocka_unit_test(test_intent__is_the_one_that_was_given_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
