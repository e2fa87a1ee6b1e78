#include "rails/ach/nacha.h"

#include <string.h>

#include "base/assert.h"

char nacha_check_digit(const char routing8[8]) {
    static const int WEIGHTS[8] = {3, 7, 1, 3, 7, 1, 3, 7};
    int sum = 0;
    for (size_t i = 0; i < 8; i++) {
        ASSERT(routing8[i] >= '0' && routing8[i] <= '9');
        sum += WEIGHTS[i] * (routing8[i] - '0');
    }
    return (char)('0' + (10 - sum % 10) % 10);
}

bool nacha_is_digits(str s, size_t len) {
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return false;
        }
    }
    return s.len == len;
}

char nacha_modifier(int index) {
    ASSERT(index >= 0 && index < NACHA_MODIFIERS);
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[index];
}

// --- Transliteration -------------------------------------------------------------------------------------------------

// U+00C0 … U+017F: Latin-1 Supplement and Latin Extended-A, one string each.
static const char *const LATIN[] = {
    // 00C0
    "A",
    "A",
    "A",
    "A",
    "A",
    "A",
    "AE",
    "C",
    "E",
    "E",
    "E",
    "E",
    "I",
    "I",
    "I",
    "I",
    "D",
    "N",
    "O",
    "O",
    "O",
    "O",
    "O",
    "X",
    "O",
    "U",
    "U",
    "U",
    "U",
    "Y",
    "TH",
    "SS",
    "A",
    "A",
    "A",
    "A",
    "A",
    "A",
    "AE",
    "C",
    "E",
    "E",
    "E",
    "E",
    "I",
    "I",
    "I",
    "I",
    "D",
    "N",
    "O",
    "O",
    "O",
    "O",
    "O",
    "/",
    "O",
    "U",
    "U",
    "U",
    "U",
    "Y",
    "TH",
    "Y",
    // 0100
    "A",
    "A",
    "A",
    "A",
    "A",
    "A",
    "C",
    "C",
    "C",
    "C",
    "C",
    "C",
    "C",
    "C",
    "D",
    "D",
    "D",
    "D",
    "E",
    "E",
    "E",
    "E",
    "E",
    "E",
    "E",
    "E",
    "E",
    "E",
    "G",
    "G",
    "G",
    "G",
    "G",
    "G",
    "G",
    "G",
    "H",
    "H",
    "H",
    "H",
    "I",
    "I",
    "I",
    "I",
    "I",
    "I",
    "I",
    "I",
    "I",
    "I",
    "IJ",
    "IJ",
    "J",
    "J",
    "K",
    "K",
    "K",
    "L",
    "L",
    "L",
    "L",
    "L",
    "L",
    "L",
    "L",
    "L",
    "L",
    "N",
    "N",
    "N",
    "N",
    "N",
    "N",
    "N",
    "N",
    "N",
    "O",
    "O",
    "O",
    "O",
    "O",
    "O",
    "OE",
    "OE",
    "R",
    "R",
    "R",
    "R",
    "R",
    "R",
    "S",
    "S",
    "S",
    "S",
    "S",
    "S",
    "S",
    "S",
    "T",
    "T",
    "T",
    "T",
    "T",
    "T",
    "U",
    "U",
    "U",
    "U",
    "U",
    "U",
    "U",
    "U",
    "U",
    "U",
    "U",
    "U",
    "W",
    "W",
    "Y",
    "Y",
    "Y",
    "Z",
    "Z",
    "Z",
    "Z",
    "Z",
    "Z",
    "S",
};
enum { LATIN_FIRST = 0xc0, LATIN_LAST = 0x17f };
_Static_assert(sizeof LATIN / sizeof LATIN[0] == LATIN_LAST - LATIN_FIRST + 1, "one string each");

typedef struct spelling {
    uint32_t first, last;
    const char *text;
} spelling;
static const spelling SPELLINGS[] = {
    {0x00a0, 0x00a0, " "},  {0x0218, 0x0219, "S"},   {0x021a, 0x021b, "T"},   {0x0300, 0x036f, ""},
    {0x1e9e, 0x1e9e, "SS"}, {0x2000, 0x200a, " "},   {0x200b, 0x200f, ""},    {0x2010, 0x2015, "-"},
    {0x2018, 0x201b, "'"},  {0x201c, 0x201f, "\""},  {0x2026, 0x2026, "..."}, {0x202f, 0x202f, " "},
    {0x2032, 0x2032, "'"},  {0x20ac, 0x20ac, "EUR"}, {0x2122, 0x2122, "TM"},  {0xfeff, 0xfeff, ""},
};

static const char *spell(uint32_t c) {
    if (c >= LATIN_FIRST && c <= LATIN_LAST) {
        return LATIN[c - LATIN_FIRST];
    }
    for (size_t i = 0; i < sizeof SPELLINGS / sizeof SPELLINGS[0]; i++) {
        if (c >= SPELLINGS[i].first && c <= SPELLINGS[i].last) {
            return SPELLINGS[i].text;
        }
    }
    return "?";
}

// One code point at p; *used is at least 1. Bytes that are not UTF-8 give U+FFFD.
static uint32_t decode(const char *p, size_t len, size_t *used) {
    const uint8_t *b = (const uint8_t *)p;
    size_t n = b[0] < 0x80 ? 1 : b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : b[0] >= 0xc2 ? 2 : 0;
    if (n == 0 || n > len || !str_is_text(p, n)) {
        *used = 1;
        return b[0] == 0 ? 0 : 0xfffd;
    }
    *used = n;
    static const uint32_t MASK[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = b[0] & MASK[n];
    for (size_t i = 1; i < n; i++) {
        c = c << 6 | (b[i] & 0x3fu);
    }
    return c;
}

void nacha_transliterate(str in, char *out, size_t out_len) {
    ASSERT(out_len > 0);
    size_t n = 0;
    char ascii[2] = {0, 0};
    for (size_t i = 0, used; i < in.len && n + 1 < out_len; i += used) {
        uint32_t c = decode(in.ptr + i, in.len - i, &used);
        const char *text = ascii;
        if (c < 0x20 || c == 0x7f) {
            ascii[0] = ' ';
        } else if (c < 0x7f) {
            ascii[0] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        } else {
            text = spell(c);
        }
        for (; *text != '\0' && n + 1 < out_len; text++) {
            if (*text != ' ' || (n > 0 && out[n - 1] != ' ')) {
                out[n++] = *text;
            }
        }
    }
    while (n > 0 && out[n - 1] == ' ') {
        n--;
    }
    out[n] = '\0';
}

void nacha_description(str in, char out[NACHA_DESCRIPTION_LEN + 1]) {
    static const char *const RESERVED[] = {"", "REVERSAL", "RETRY PYMT", "ACCTVERIFY"};
    nacha_transliterate(in, out, NACHA_DESCRIPTION_LEN + 1);
    for (size_t i = 0; i < sizeof RESERVED / sizeof RESERVED[0]; i++) {
        if (strcmp(out, RESERVED[i]) == 0) {
            memcpy(out, "PAYOUT", sizeof "PAYOUT");
            return;
        }
    }
}

// --- Return codes ----------------------------------------------------------------------------------------------------

const char *nacha_return_text(str code) {
    static const struct {
        const char *code, *text;
    } TEXTS[] = {
        {"R01", "insufficient funds"},
        {"R02", "account closed"},
        {"R03", "no account, or unable to locate it"},
        {"R04", "invalid account number"},
        {"R10", "advised unauthorized"},
        {"R12", "account sold to another bank"},
        {"R13", "invalid routing number"},
        {"R14", "representative payee deceased or unable to continue"},
        {"R15", "beneficiary or account holder deceased"},
        {"R16", "account frozen"},
        {"R17", "file record edit criteria"},
        {"R20", "not a transaction account"},
        {"R23", "credit entry refused by receiver"},
        {"R24", "duplicate entry"},
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        if (str_eq_c(code, TEXTS[i].code)) {
            return TEXTS[i].text;
        }
    }
    return "return";
}
