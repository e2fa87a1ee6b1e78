// The masking of a bank's bytes before a person sees them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rails/inbox_mask.h"

static char text[2048];

static const char *masked(const char *bytes) {
    memset(text, 0, sizeof text);
    const size_t len = strlen(bytes);
    assert_true(len < sizeof text);
    memcpy(text, bytes, len);
    inbox_mask(text, strlen(text));
    return text;
}

#define ENTRY                                                                                      \
    "621091000019445566778899     0000001000000000000000001ANN EXAMPLE             "               \
    "1021000020000001"
#define HIDDEN                                                                                     \
    "621091000019********8899     0000001000000000000000001ANN EXAMPLE             "               \
    "1021000020000001"
#define CONTROL                                                                                    \
    "9000001000001000000010009100001000000000000000000001000                                     " \
    "  "

static void test_records__whatever_their_line_end__account_hidden(void **state) {
    (void)state;
    assert_int_equal(strlen(ENTRY), 94);
    assert_string_equal(masked(ENTRY "\n" CONTROL "\n"), HIDDEN "\n" CONTROL "\n");
    assert_string_equal(masked(ENTRY "\r\n" CONTROL), HIDDEN "\r\n" CONTROL);
    assert_string_equal(masked(ENTRY ENTRY), HIDDEN HIDDEN);
}

static void test_records__columns_out_of_place__all_hidden(void **state) {
    (void)state;
    assert_null(strstr(masked("101 \n62109100001445566778899     0000001000\n"), "5566"));
    assert_null(strstr(masked("101 \nX445566778899\n"), "5566"));
    assert_non_null(strstr(text, "101 "));
}

static void test_records__corrected_data__hidden(void **state) {
    (void)state;
    const char *line =
        "798C01121042880000001      09100001445566778899                             "
        "021000020000001";
    assert_null(strstr(masked(line), "44556677"));
}

static void test_message__named_account__hidden(void **state) {
    (void)state;
    assert_string_equal(masked("{\"id\":\"p-1\",\"account_number\":\"445566778899\",\"amount\":5}"),
                        "{\"id\":\"p-1\",\"account_number\":\"********8899\",\"amount\":5}");
    assert_string_equal(masked("H,name,1\nD,121042880000001,1000,SETTLED,now\n"),
                        "H,name,1\nD,121042880000001,1000,SETTLED,now\n");
}

static void test_message__escaped_or_nested__hidden(void **state) {
    (void)state;
    assert_null(strstr(masked("{\"text\":\"\\u0034\\u0034\\u0035\\u0035\\u0036\"}"), "0034"));
    assert_string_equal(masked("{\"type\":\"a\",\"data\":{\"payment_id\":\"1234567\",\"iban\":"
                               "\"GB29NWBK60161331926819\",\"id\":{\"id\":\"1234567\"}}}"),
                        "{\"type\":\"a\",\"data\":{\"payment_id\":\"1234567\",\"iban\":"
                        "\"GB29NWBK**********6819\",\"id\":{\"id\":\"*******\"}}}");
}

static const char *hidden(const char *words) {
    const size_t len = strlen(words);
    assert_true(len < sizeof text);
    memcpy(text, words, len + 1);
    inbox_hide_digits(text, len);
    return text;
}

// People write numbers in groups, with anything between.
static void test_words__number_in_groups__hidden(void **state) {
    (void)state;
    static const char *const BETWEEN[] = {
        " ",        "-",  ".",   "/", "  ",          " - ", "_", ":", ", ", "\t", "\xe2\x80\x93",
        "\xc2\xa0", "??", "...", "*", "\xe2\x80\xaf"};
    for (size_t i = 0; i < sizeof BETWEEN / sizeof BETWEEN[0]; i++) {
        char words[80], wanted[80];
        snprintf(words, sizeof words, "no 0001%s2345%s6789 is here", BETWEEN[i], BETWEEN[i]);
        snprintf(wanted, sizeof wanted, "no ****%s****%s6789 is here", BETWEEN[i], BETWEEN[i]);
        assert_string_equal(hidden(words), wanted);
    }
    assert_string_equal(hidden("0001.23.4567"), "****.**.4567");
    assert_string_equal(hidden("0001.23, 4567"), "****.**, 4567");
    assert_string_equal(hidden("12:34:56:78"), "**:**:56:78");
    assert_string_equal(hidden("1,234,5678"), "*,***,5678");
    assert_string_equal(hidden("2026-11-30-12345678"), "2026-11-30-****5678");
    assert_string_equal(hidden("1234:5678"), "****:5678");
    assert_string_equal(hidden("445,566,778,899"), "***,***,**8,899");
    assert_string_equal(hidden("10:15:59.1234567"), "**:**:**.***4567");
    assert_string_equal(hidden("10:15:59-05:301"), "**:**:**-*5:301");
    assert_string_equal(hidden("12,345,678"), "**,**5,678");
    assert_string_equal(hidden("445566778899;10.00"), "************;10.00");
    assert_string_equal(hidden("10.00 10.00 445566778899"), "**.** **.** ********8899");
}

static void test_words__amounts_dates_and_times__shown(void **state) {
    (void)state;
    static const char *const SHOWN[] = {
        "paid 1000.00 USD, of 1,000.00",
        "1,234,567.89",
        "1,000.00 2026-11-30",
        "2026-11-30 10:15:59, 10:15:59 and 2026-11-30T10:15:59Z",
        "R03 and C01 in line 12 of 345",
        "12,500 entries",
        "0.50 of 9.99",
        "1234\n5678",
        "2026-11-30T10:15:59.123456Z",
        "2026-11-30 10:15:59.25+05:30, 5.00",
    };
    for (size_t i = 0; i < sizeof SHOWN / sizeof SHOWN[0]; i++) {
        assert_string_equal(hidden(SHOWN[i]), SHOWN[i]);
    }
}

// The signs between two groups may be written as an escape, which has its own letters and digits.
static void test_message__number_in_groups_with_escapes__hidden(void **state) {
    (void)state;
    static const char *const BETWEEN[] = {
        "\\t",   "\\n",      "\\r\\n",     "\\/",        "\\\\",        "\\u0020 ",
        "\\\\n", "\\\\\\n",  "\\\\r\\\\n", "\\\\\\\\t",  "\\\\/",       "\\\\\\\"",
        "\\",    "\\u00A0 ", "-\\u2013 ",  "\\\\u0020 ", "\\\\\\u0020 "};
    for (size_t i = 0; i < sizeof BETWEEN / sizeof BETWEEN[0]; i++) {
        char words[160], wanted[160];
        snprintf(words, sizeof words, "{\"text\":\"no 0001%s2345%s6789\"}", BETWEEN[i], BETWEEN[i]);
        snprintf(wanted, sizeof wanted, "{\"text\":\"no ****%s****%s6789\"}", BETWEEN[i],
                 BETWEEN[i]);
        assert_string_equal(masked(words), wanted);
    }
    assert_string_equal(masked("{\"text\":\"12\\u0061 34 and\\tline 345\"}"),
                        "{\"text\":\"12\\u0061 34 and\\tline 345\"}");
    assert_string_equal(masked("{\"text\":\"12\\u002"), "{\"text\":\"**\\u***");
}

// A bank's text may have backslashes that are no escapes: digits behind one are digits, and so may be those of an escape that more digits
// follow.
static void test_message__digits_in_what_looks_like_an_escape__hidden(void **state) {
    (void)state;
    static const char *const PAIRS[][2] = {
        {"acct \\1\\2\\3\\4\\5\\6\\7\\8\\9", "acct \\*\\*\\*\\*\\*\\6\\7\\8\\9"},
        {"acct \\\\1\\\\2\\\\3\\\\4\\\\5", "acct \\\\*\\\\*\\\\*\\\\*\\\\*"},
        {"acct \\u12345678", "acct \\u****5678"},
        {"acct \\\\u123456789012", "acct \\\\u********9012"},
        {"0001\\u00202345\\u00206789", "****\\u********\\u****6789"},
        {"0001\\u00A02345\\u00A06789", "****\\u**A*****\\u**A*****"},
        {"12\\u006134 and", "**\\u**6134 and"},
        {"0001\\u0020-\\u00202345\\u0020-\\u00206789",
         "****\\u0020-\\u********\\u0020-\\u****6789"},
    };
    for (size_t i = 0; i < sizeof PAIRS / sizeof PAIRS[0]; i++) {
        char words[160], wanted[160];
        snprintf(words, sizeof words, "{\"text\":\"%s\"}", PAIRS[i][0]);
        snprintf(wanted, sizeof wanted, "{\"text\":\"%s\"}", PAIRS[i][1]);
        assert_string_equal(masked(words), wanted);
    }
}

static void test_message__amounts_and_times_of_members__shown(void **state) {
    (void)state;
    static const char *const SHOWN[] = {
        "{\"id\":\"e1\",\"amount\":123456.78,\"at\":\"2026-11-30T10:15:59Z\"}",
        "{\"total\":1234567890}",
        "{\"data\":{\"returned_amount\":100000.00}}",
    };
    for (size_t i = 0; i < sizeof SHOWN / sizeof SHOWN[0]; i++) {
        assert_string_equal(masked(SHOWN[i]), SHOWN[i]);
    }
    assert_string_equal(masked("{\"amount\":1234.5678.9012}"), "{\"amount\":****.****.9012}");
    assert_string_equal(masked("{\"other\":123456.78}"), "{\"other\":****56.78}");
}

// A long value may be anything, also under the name "code".
static void test_message__code_that_is_long__hidden(void **state) {
    (void)state;
    assert_string_equal(masked("{\"data\":{\"code\":\"acct 000123456789\"}}"),
                        "{\"data\":{\"code\":\"acct ********6789\"}}");
    assert_string_equal(masked("{\"data\":{\"code\":\"AC06\"}}"), "{\"data\":{\"code\":\"AC06\"}}");
    assert_string_equal(masked("{\"code\":\"12345678\"}"), "{\"code\":\"****5678\"}");
}

static void test_bytes__not_printable__readable(void **state) {
    (void)state;
    assert_string_equal(masked("H\x01\xff\x1b[0m\n"), "H???[0m\n");
    inbox_mask(text, 0);
    char nul[] = "{\0\0 445566778899";
    inbox_mask(nul, sizeof nul - 1);
    assert_string_equal(nul, "{?? ********8899");
    assert_string_equal(masked("{\"file"), "{\"file");
    assert_string_equal(masked("{\"\\"), "{\"\\");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records__whatever_their_line_end__account_hidden),
        cmocka_unit_test(test_records__columns_out_of_place__all_hidden),
        cmocka_unit_test(test_records__corrected_data__hidden),
        cmocka_unit_test(test_message__named_account__hidden),
        cmocka_unit_test(test_message__escaped_or_nested__hidden),
        cmocka_unit_test(test_words__number_in_groups__hidden),
        cmocka_unit_test(test_words__amounts_dates_and_times__shown),
        cmocka_unit_test(test_message__number_in_groups_with_escapes__hidden),
        cmocka_unit_test(test_message__digits_in_what_looks_like_an_escape__hidden),
        cmocka_unit_test(test_message__amounts_and_times_of_members__shown),
        cmocka_unit_test(test_message__code_that_is_long__hidden),
        cmocka_unit_test(test_bytes__not_printable__readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
