#include "base/money.h"

#include "base/test_support.h"

static void test_ck__edges__overflow_is_false(void **state) {
    (void)state;
    int64_t v = 0;
    assert_true(ck_add_i64(INT64_MAX - 1, 1, &v));
    assert_int_equal(v, INT64_MAX);
    assert_false(ck_add_i64(INT64_MAX, 1, &v));
    assert_true(ck_sub_i64(INT64_MIN + 1, 1, &v));
    assert_false(ck_sub_i64(INT64_MIN, 1, &v));
    assert_true(ck_mul_i64(3037000499, 3037000499, &v));
    assert_false(ck_mul_i64(3037000500, 3037000500, &v));
    assert_false(ck_mul_i64(INT64_MIN, -1, &v));
}

static void test_currency_find__codes__active_only(void **state) {
    (void)state;
    static const struct {
        const char *code;
        int exponent;
    } KNOWN[] = {{"USD", 2}, {"EUR", 2}, {"JPY", 0}, {"KWD", 3}, {"CLF", 4},
                 {"AED", 2}, {"ZWG", 2}, {"ISK", 0}, {"TND", 3}, {"XOF", 0}};
    for (size_t i = 0; i < N_OF(KNOWN); i++) {
        const currency *c = currency_find(str_of(KNOWN[i].code));
        assert_non_null(c);
        assert_string_equal(c->code, KNOWN[i].code);
        assert_int_equal(c->exponent, KNOWN[i].exponent);
    }
    static const char *const UNKNOWN[] = {"",    "US",  "USDX", "usd", "DEM",
                                          "BGN", "XXX", "XAU",  "ZZZ", "AAA"};
    for (size_t i = 0; i < N_OF(UNKNOWN); i++) {
        assert_null(currency_find(str_of(UNKNOWN[i])));
    }
}

// The search needs a sorted table: tries all codes of the alphabet, and each one found must be itself.
static void test_currency_find__whole_alphabet__finds_each_row(void **state) {
    (void)state;
    int n = 0;
    char code[4] = "AAA";
    for (code[0] = 'A'; code[0] <= 'Z'; code[0]++) {
        for (code[1] = 'A'; code[1] <= 'Z'; code[1]++) {
            for (code[2] = 'A'; code[2] <= 'Z'; code[2]++) {
                const currency *c = currency_find((str){code, 3});
                n += c != NULL ? 1 : 0;
                assert_true(c == NULL || memcmp(c->code, code, 3) == 0);
            }
        }
    }
    assert_int_equal(n, 165);
}

static void assert_formats(int64_t minor, const char *code, const char *want) {
    char text[32];
    money_format(minor, currency_find(str_of(code)), text, sizeof(text));
    assert_string_equal(text, want);
}

static void test_money_format__exponents_and_signs__exact(void **state) {
    (void)state;
    assert_formats(123450, "USD", "1234.50");
    assert_formats(5, "USD", "0.05");
    assert_formats(-5, "USD", "-0.05");
    assert_formats(0, "USD", "0.00");
    assert_formats(-1234, "JPY", "-1234");
    assert_formats(1, "KWD", "0.001");
    assert_formats(INT64_MAX, "CLF", "922337203685477.5807");
    assert_formats(INT64_MIN, "USD", "-92233720368547758.08");
    assert_formats(INT64_MIN, "JPY", "-9223372036854775808");
}

static void assert_parses(const char *text, const char *code, int64_t want) {
    int64_t minor = -1;
    assert_true(money_parse(str_of(text), currency_find(str_of(code)), &minor));
    assert_int_equal(minor, want);
}

static void test_money_parse__amounts__exact(void **state) {
    (void)state;
    assert_parses("1234.50", "USD", 123450);
    assert_parses("1234.5", "USD", 123450);
    assert_parses("1234", "USD", 123400);
    assert_parses("0.01", "USD", 1);
    assert_parses("007", "USD", 700);
    assert_parses("1234", "JPY", 1234);
    assert_parses("1.001", "KWD", 1001);
    assert_parses("92233720368547758.07", "USD", INT64_MAX);
    static const char *const BAD[] = {"",
                                      ".",
                                      "1.",
                                      ".5",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1.234",
                                      "1,00",
                                      "1..0",
                                      "1.0.0",
                                      "1e2",
                                      "0x1",
                                      "92233720368547758.08",
                                      "92233720368547759",
                                      "99999999999999999999999999",
                                      "1.-5",
                                      "\xd9\xa1"};
    for (size_t i = 0; i < N_OF(BAD); i++) {
        int64_t minor = 77;
        assert_false(money_parse(str_of(BAD[i]), currency_find(STR("USD")), &minor));
        assert_int_equal(minor, 77);
    }
    int64_t minor = 0;
    assert_false(money_parse(STR("1.0"), currency_find(STR("JPY")), &minor));
    assert_false(money_parse(STR("1."), currency_find(STR("JPY")), &minor));
}

static void test_money__format_then_parse__same_amount(void **state) {
    (void)state;
    static const char *const CODES[] = {"JPY", "USD", "KWD", "UYW"};
    for (size_t i = 0; i < N_OF(CODES); i++) {
        const currency *c = currency_find(str_of(CODES[i]));
        uint64_t v = 1;
        for (int k = 0; k < 2000; k++) {
            v = v * UINT64_C(6364136223846793005) + 1442695040888963407;
            int64_t minor = (int64_t)(v >> (1 + k % 63)), back = -1;
            char text[32];
            money_format(minor, c, text, sizeof(text));
            assert_true(money_parse(str_of(text), c, &back));
            assert_int_equal(back, minor);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ck__edges__overflow_is_false),
        cmocka_unit_test(test_currency_find__codes__active_only),
        cmocka_unit_test(test_currency_find__whole_alphabet__finds_each_row),
        cmocka_unit_test(test_money_format__exponents_and_signs__exact),
        cmocka_unit_test(test_money_parse__amounts__exact),
        cmocka_unit_test(test_money__format_then_parse__same_amount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
