#include "formats/nacha/nacha_text.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

// One letter for each code point; '*' is spelt below, '?' has no counterpart.
// clang-format off
// U+00C0 to U+024F: Latin-1 Supplement, Latin Extended-A and -B.
static const char LATIN_1[] =
    "AAAAAA*CEEEEIIIIDNOOOOOXOUUUUY**AAAAAA*CEEEEIIIIDNOOOOO/OUUUUY*Y"
    "AAAAAACCCCCCCCDDDDEEEEEEEEEEGGGGGGGGHHHHIIIIIIIIII**JJKKKLLLLLLL"
    "LLLNNNNNNNNNOOOOOO**RRRRRRSSSSSSSSTTTTTTUUUUUUUUUUUUWWYYYZZZZZZS"
    "BBBB??OCCDDDD?EEEFFGG*IIKKLLMNNOOO**PPR??S?TTTTUUUVYYZZZ???????W"
    "????*********AAIIOOUUUUUUUUUUEAAAA**GGGGKKOOOOZZJ***GG*WNNAA**OO"
    "AAAAEEEEIIIIOOOORRRRUUUUSSTTYYHHND**ZZAAEEOOOOOOOOYYLNTJ**ACCLTS"
    "Z??BUVEEJJQQRRYY";
// U+1E00 to U+1EFF: Latin Extended Additional, which Vietnamese needs.
static const char LATIN_2[] =
    "AABBBBBBCCDDDDDDDDDDEEEEEEEEEEFFGGHHHHHHHHHHIIIIKKKKKKLLLLLLLLMM"
    "MMMMNNNNNNNNOOOOOOOOPPPPRRRRRRRRSSSSSSSSSSTTTTTTTTUUUUUUUUUUVVVV"
    "WWWWWWWWWWXXXXYYZZZZZZHTWY*SSS*DAAAAAAAAAAAAAAAAAAAAAAAAEEEEEEEE"
    "EEEEEEEEIIIIOOOOOOOOOOOOOOOOOOOOOOOOUUUUUUUUUUUUUUYYYYYYYY**VVYY";

typedef struct spelling {
    uint32_t first, last;
    const char *text;
} spelling;
// By code point. An empty text stands for what is not seen: marks that join a letter, joiners, marks of direction.
static const spelling SPELLINGS[] = {
    {0x00a0, 0x00a0, " "}, {0x00a1, 0x00a1, "!"}, {0x00a8, 0x00a8, ""}, {0x00aa, 0x00aa, "A"},
    {0x00ab, 0x00ab, "\""}, {0x00ad, 0x00ad, ""}, {0x00af, 0x00af, ""}, {0x00b2, 0x00b2, "2"},
    {0x00b3, 0x00b3, "3"}, {0x00b4, 0x00b4, "'"}, {0x00b5, 0x00b5, "U"}, {0x00b7, 0x00b7, "."},
    {0x00b8, 0x00b8, ""}, {0x00b9, 0x00b9, "1"}, {0x00ba, 0x00ba, "O"}, {0x00bb, 0x00bb, "\""},
    {0x00c6, 0x00c6, "AE"}, {0x00de, 0x00de, "TH"}, {0x00df, 0x00df, "SS"}, {0x00e6, 0x00e6, "AE"},
    {0x00fe, 0x00fe, "TH"}, {0x0132, 0x0133, "IJ"}, {0x0152, 0x0153, "OE"}, {0x0195, 0x0195, "HV"},
    {0x01a2, 0x01a3, "OI"}, {0x01c4, 0x01c6, "DZ"}, {0x01c7, 0x01c9, "LJ"}, {0x01ca, 0x01cc, "NJ"},
    {0x01e2, 0x01e3, "AE"}, {0x01f1, 0x01f3, "DZ"}, {0x01f6, 0x01f6, "HV"}, {0x01fc, 0x01fd, "AE"},
    {0x0222, 0x0223, "OU"}, {0x0238, 0x0238, "DB"}, {0x0239, 0x0239, "QP"}, {0x02b9, 0x02bf, "'"},
    {0x02c8, 0x02c8, "'"}, {0x02ca, 0x02cb, "'"}, {0x0300, 0x036f, ""}, {0x061c, 0x061c, ""},
    {0x180b, 0x180f, ""}, {0x1ab0, 0x1aff, ""}, {0x1dc0, 0x1dff, ""}, {0x1e9a, 0x1e9a, "A'"},
    {0x1e9e, 0x1e9e, "SS"}, {0x1efa, 0x1efb, "LL"}, {0x2000, 0x200a, " "}, {0x200b, 0x200f, ""},
    {0x2010, 0x2015, "-"}, {0x2018, 0x201b, "'"}, {0x201c, 0x201f, "\""}, {0x2026, 0x2026, "..."},
    {0x2028, 0x2029, " "}, {0x202a, 0x202e, ""}, {0x202f, 0x202f, " "}, {0x2032, 0x2032, "'"},
    {0x2033, 0x2033, "\""}, {0x2035, 0x2035, "'"}, {0x2039, 0x203a, "'"}, {0x2044, 0x2044, "/"},
    {0x205f, 0x205f, " "}, {0x2060, 0x206f, ""}, {0x20ac, 0x20ac, "EUR"}, {0x20d0, 0x20ff, ""},
    {0x2116, 0x2116, "NO"}, {0x2122, 0x2122, "TM"}, {0x2212, 0x2212, "-"}, {0x3000, 0x3000, " "},
    {0xfb00, 0xfb00, "FF"}, {0xfb01, 0xfb01, "FI"}, {0xfb02, 0xfb02, "FL"}, {0xfb03, 0xfb03, "FFI"},
    {0xfb04, 0xfb04, "FFL"}, {0xfb05, 0xfb06, "ST"}, {0xfe00, 0xfe0f, ""}, {0xfe20, 0xfe2f, ""},
    {0xfeff, 0xfeff, ""}, {0xe0100, 0xe01ef, ""},
};
// clang-format on
enum { LATIN_1_FIRST = 0xc0, LATIN_2_FIRST = 0x1e00, WIDE_FIRST = 0xff01, WIDE_LAST = 0xff5e };
_Static_assert(sizeof LATIN_1 - 1 == 0x24f - 0xc0 + 1, "one letter each");
_Static_assert(sizeof LATIN_2 - 1 == 0x1eff - 0x1e00 + 1, "one letter each");

// The single letter that stands for c; '*' where only SPELLINGS has the answer.
static char letter(uint32_t c) {
    if (c >= LATIN_1_FIRST && c < LATIN_1_FIRST + sizeof LATIN_1 - 1) {
        return LATIN_1[c - LATIN_1_FIRST];
    }
    if (c >= LATIN_2_FIRST && c < LATIN_2_FIRST + sizeof LATIN_2 - 1) {
        return LATIN_2[c - LATIN_2_FIRST];
    }
    if (c >= WIDE_FIRST && c <= WIDE_LAST) { // full-width forms of printable ASCII
        c = c - WIDE_FIRST + 0x21;
    }
    if (c < 0x20 || c == 0x7f) {
        return ' ';
    }
    if (c < 0x7f) {
        return (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    return '*';
}

static const char *spell(uint32_t c) {
    size_t low = 0, high = sizeof SPELLINGS / sizeof SPELLINGS[0];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (c < SPELLINGS[middle].first) {
            high = middle;
        } else if (c > SPELLINGS[middle].last) {
            low = middle + 1;
        } else {
            return SPELLINGS[middle].text;
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
    char one[2] = {0, 0};
    for (size_t i = 0, used; i < in.len && n + 1 < out_len; i += used) {
        const uint32_t c = decode(in.ptr + i, in.len - i, &used);
        one[0] = letter(c);
        const char *text = c >= 0x7f && one[0] == '*' ? spell(c) : one;
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

bool nacha_says_something(const char *text) {
    return text[strspn(text, " 0")] != '\0';
}

bool nacha_name_check(str name, const char *path, err *e) {
    char text[NACHA_NAME_LEN + 1], field[64];
    nacha_transliterate(name, text, sizeof text);
    if (strpbrk(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ123456789") != NULL) {
        return true;
    }
    (void)snprintf(field, sizeof field, "%sname", path);
    return err_set_field(e, ERR_INVALID_ARGUMENT, "NAME_NOT_LATIN", field,
                         "%s needs a Latin letter or a digit other than zero: ACH has no others",
                         field);
}

void nacha_description(str in, char out[NACHA_DESCRIPTION_LEN + 1]) {
    static const char *const RESERVED[] = {"REVERSAL", "RETRY PYMT", "ACCTVERIFY"};
    nacha_transliterate(in, out, NACHA_DESCRIPTION_LEN + 1);
    bool ours = nacha_says_something(out);
    for (size_t i = 0; i < sizeof RESERVED / sizeof RESERVED[0]; i++) {
        ours = ours && strcmp(out, RESERVED[i]) != 0;
    }
    if (!ours) {
        memcpy(out, "PAYOUT", sizeof "PAYOUT");
    }
}
