#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "formats/nacha/nacha_text.h"

static void test_description__of_a_payout__fits_the_batch_header(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } CASES[] = {
        {"Invoice 7", "INVOICE 7"},
        {"", "PAYOUT"},
        {"   ", "PAYOUT"},
        {"Rückzahlung", "RUCKZAHLUN"},
        {"Payroll", "PAYROLL"},
        {"reversal", "PAYOUT"},
        {"Reversals", "REVERSALS"},
        {"Retry Pymt", "PAYOUT"},
        {"RETRY PYMT 2", "PAYOUT"},
        {"AcctVerify", "PAYOUT"},
        {" a \t b ", "A B"},
        {"12345678901", "1234567890"},
        {"123456789 1", "123456789"},
        {"0000000", "PAYOUT"},
        {"0 0 0", "PAYOUT"},
        {"0x1", "0X1"},
        {"\xe2\x80\x8b", "PAYOUT"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char out[NACHA_DESCRIPTION_LEN + 1];
        nacha_description(str_of(CASES[i].in), out);
        assert_string_equal(out, CASES[i].out);
    }
}

static void test_transliterate__names_of_the_world__printable_ascii(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } CASES[] = {
        {"Łukasz Żółć", "LUKASZ ZOLC"},
        {"Søren Kierkegård", "SOREN KIERKEGARD"},
        {"Æsop œuvre", "AESOP OEUVRE"},
        {"O’Neil — Sons", "O'NEIL - SONS"},
        {"  many \t\n blanks  ", "MANY BLANKS"},
        {"e\xcc\x81t\xc3\xa9", "ETE"},
        {"आशा", "???"},
        {"李 Wang", "? WANG"},
        {"bad \xff\xfe bytes", "BAD ?? BYTES"},
        {"cut \xe2\x82", "CUT ??"},
        {"Nguyễn Thị Ơn", "NGUYEN THI ON"},
        {"Trần Hưng Đạo ạẢỹỸ", "TRAN HUNG DAO AAYY"},
        {"O\u00b4Brien", "O'BRIEN"},
        {"\ufb01ne o\ufb03ce \ufb02at \ufb06", "FINE OFFICE FLAT ST"},
        {"\uff21\uff43\uff4d\uff45 \uff17", "ACME 7"},
        {"a\u200bb\u00adc\ufe0f\u2060", "ABC"},
        {"\u200b\u200b", ""},
        {"ẞtraße ǆ Ǿ", "SSTRASSE DZ O"},
        {"Ðuro Þór İşık", "DURO THOR ISIK"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char out[64];
        nacha_transliterate(str_of(CASES[i].in), out, sizeof out);
        assert_string_equal(out, CASES[i].out);
    }
    char small[5];
    nacha_transliterate(STR("Straße"), small, sizeof small);
    assert_string_equal(small, "STRA");
}

// Every code point becomes printable ASCII, whatever it is, and so does every pair of bytes.
static void test_transliterate__anything__printable_ascii(void **state) {
    (void)state;
    char out[8];
    for (uint32_t c = 0x80; c < 0x110000; c++) {
        char in[4] = {0};
        size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        in[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c >> (6 * (n - 1)));
        for (size_t i = 1; i < n; i++) {
            in[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
        }
        nacha_transliterate((str){in, n}, out, sizeof out);
        for (size_t i = 0; out[i] != '\0'; i++) {
            if (out[i] < 0x20 || out[i] > 0x7e || (out[i] >= 'a' && out[i] <= 'z')) {
                fail_msg("U+%04X", (unsigned)c);
            }
        }
    }
}

static void test_name__what_ach_can_write__and_nothing_else(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool good;
    } CASES[] = {
        {"Ada Lovelace", true},
        {"7", true},
        {"Иван Smith", true},
        {"Đỗ Ưu", true},
        {"", false},
        {" \t\u00a0", false},
        {"0", false},
        {"0000 000", false},
        {"\u200b\u200b", false},
        {"\u202eI\u202c", true},
        {"李小龍", false},
        {"Иван Петров", false},
        {"आशा", false},
        {"....--''", false},
        {"\xff\xfe", false},
        {"Очень длинное имя без латиницы ACME", false}, // the letters come too late for the field
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        err e = {0};
        if (nacha_name_check(str_of(CASES[i].name), "recipient.", &e) != CASES[i].good) {
            fail_msg("%s", CASES[i].name);
        }
        if (!CASES[i].good) {
            assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
            assert_string_equal(e.reason, "NAME_NOT_LATIN");
            assert_string_equal(e.field, "recipient.name");
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_description__of_a_payout__fits_the_batch_header),
        cmocka_unit_test(test_transliterate__names_of_the_world__printable_ascii),
        cmocka_unit_test(test_transliterate__anything__printable_ascii),
        cmocka_unit_test(test_name__what_ach_can_write__and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
