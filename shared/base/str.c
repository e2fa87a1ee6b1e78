#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/str_internal.h"

str str_of(const char *c_string) {
    return c_string == NULL ? (str){"", 0} : (str){c_string, strlen(c_string)};
}

bool str_eq(str a, str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool str_eq_c(str a, const char *c_string) {
    return str_eq(a, str_of(c_string));
}

uint32_t str_hash(str s) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < s.len; i++) {
        hash = (hash ^ (uint8_t)s.ptr[i]) * 16777619u;
    }
    return hash;
}

static bool is_continuation(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

size_t str_utf8_len(const char *p, size_t len) {
    const uint8_t *b = (const uint8_t *)p;
    if (len == 0) {
        return 0;
    }
    if (b[0] < 0x80) {
        return 1;
    }
    if (b[0] >= 0xc2 && b[0] <= 0xdf) {
        return len >= 2 && is_continuation(b[1]) ? 2 : 0;
    }
    if ((b[0] & 0xf0) == 0xe0) {
        // E0 must not be overlong, ED must not be a surrogate.
        bool second = len >= 3 && is_continuation(b[1]) && (b[0] != 0xe0 || b[1] >= 0xa0) &&
                      (b[0] != 0xed || b[1] <= 0x9f);
        return second && is_continuation(b[2]) ? 3 : 0;
    }
    if (b[0] >= 0xf0 && b[0] <= 0xf4) {
        // F0 must not be overlong, F4 must not pass U+10FFFF.
        bool second = len >= 4 && is_continuation(b[1]) && (b[0] != 0xf0 || b[1] >= 0x90) &&
                      (b[0] != 0xf4 || b[1] <= 0x8f);
        return second && is_continuation(b[2]) && is_continuation(b[3]) ? 4 : 0;
    }
    return 0;
}

void str_utf8_trim(char *text, size_t len) {
    size_t start = len;
    while (start > 0 && len - start < 3 && is_continuation((uint8_t)text[start - 1])) {
        start--;
    }
    if (start > 0 && ((uint8_t)text[start - 1] & 0x80) != 0 &&
        str_utf8_len(text + start - 1, len - (start - 1)) == 0) {
        text[start - 1] = '\0';
    }
}

str str_clip(str text, size_t len_max) {
    size_t len = text.len < len_max ? text.len : len_max;
    while (len > 0 && len < text.len && is_continuation((uint8_t)text.ptr[len])) {
        len--;
    }
    return (str){text.ptr, len};
}

bool str_is_text(const char *bytes, size_t len) {
    size_t i = 0;
    while (i < len) {
        size_t n = str_utf8_len(bytes + i, len - i);
        if (n == 0 || bytes[i] == '\0') {
            return false;
        }
        i += n;
    }
    return true;
}

// True for a character (n bytes) in U+0080 to U+009F, U+202A to U+202E, U+2066 to U+2069.
static bool is_steering(const char *bytes, size_t n) {
    const unsigned char *c = (const unsigned char *)bytes;
    if (n == 1) {
        return c[0] < 0x20 || c[0] == 0x7f;
    }
    if (n == 2) {
        return c[0] == 0xc2 && c[1] < 0xa0;
    }
    return n == 3 && c[0] == 0xe2 &&
           ((c[1] == 0x80 && c[2] >= 0xaa && c[2] <= 0xae) ||
            (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9));
}

bool str_is_plain(const char *bytes, size_t len) {
    for (size_t i = 0; i < len;) {
        const size_t n = str_utf8_len(bytes + i, len - i);
        if (n == 0 || is_steering(bytes + i, n)) {
            return false;
        }
        i += n;
    }
    return true;
}

size_t str_make_plain(char *bytes, size_t len, const char *keep) {
    size_t out = 0;
    for (size_t i = 0; i < len;) {
        const size_t n = str_utf8_len(bytes + i, len - i);
        const bool kept = bytes[i] != '\0' && strchr(keep, bytes[i]) != NULL;
        if (n == 0 || (is_steering(bytes + i, n) && !kept)) {
            bytes[out++] = '?';
            i += n == 0 ? 1 : n;
            continue;
        }
        memmove(bytes + out, bytes + i, n);
        out += n;
        i += n;
    }
    return out;
}

bool str_to_i64(str s, int64_t min, int64_t max, int64_t *out) {
    bool negative = s.len > 0 && s.ptr[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == s.len) {
        return false;
    }
    int64_t value = 0; // built as a negative number, whose range is larger
    for (; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, s.ptr[i] - '0', &value)) {
            return false;
        }
    }
    if (!negative && __builtin_sub_overflow((int64_t)0, value, &value)) {
        return false;
    }
    if (value < min || value > max) {
        return false;
    }
    *out = value;
    return true;
}

void str_hex(const uint8_t *bytes, size_t len, char *out) {
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = DIGITS[bytes[i] >> 4];
        out[2 * i + 1] = DIGITS[bytes[i] & 0x0f];
    }
    out[2 * len] = '\0';
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool str_unhex(str s, uint8_t *out, size_t out_len) {
    if (s.len % 2 != 0 || s.len / 2 != out_len) {
        return false;
    }
    for (size_t i = 0; i < out_len; i++) {
        int high = hex_digit(s.ptr[2 * i]);
        int low = hex_digit(s.ptr[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void str_base64(const uint8_t *bytes, size_t len, char *out) {
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= n > 2 ? (uint32_t)bytes[i + 2] : 0;
        *out++ = DIGITS[group >> 18];
        *out++ = DIGITS[group >> 12 & 63];
        *out++ = n > 1 ? DIGITS[group >> 6 & 63] : '=';
        *out++ = n > 2 ? DIGITS[group & 63] : '=';
    }
    *out = '\0';
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+') {
        return 62;
    }
    return c == '/' ? 63 : -1;
}

bool str_unbase64(str s, uint8_t *out, size_t out_max, size_t *out_len) {
    if (s.len % 4 != 0) {
        return false;
    }
    size_t digits = s.len;
    while (digits > 0 && s.len - digits < 2 && s.ptr[digits - 1] == '=') {
        digits--;
    }
    size_t len = digits / 4 * 3 + (digits % 4 == 0 ? 0 : digits % 4 - 1);
    if (len > out_max) {
        return false;
    }
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = base64_digit(s.ptr[i]);
        if (digit < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (uint8_t)(bits >> n_bits);
            bits &= (1u << n_bits) - 1;
        }
    }
    // Left-over bits must be zero: one value has one encoding.
    if (bits != 0) {
        return false;
    }
    *out_len = len;
    return true;
}

// --- The builder -----------------------------------------------------------------------------------------------------

enum { STRBUF_CAP_MIN = 64 };
static char EMPTY[1] = ""; // text of a builder without memory; never written

void strbuf_init(strbuf *b, size_t max) {
    ASSERT(max < SIZE_MAX / 2);
    *b = (strbuf){.ptr = EMPTY, .max = max};
}

void strbuf_init_fixed(strbuf *b, char *memory, size_t size) {
    ASSERT(size > 0);
    memory[0] = '\0';
    *b = (strbuf){.ptr = memory, .cap = size, .max = size - 1, .fixed = true};
}

void strbuf_deinit(strbuf *b) {
    if (b->cap > 0 && !b->fixed) {
        free(b->ptr);
    }
    *b = (strbuf){.ptr = EMPTY};
}

void strbuf_clear(strbuf *b) {
    b->len = 0;
    b->failed = false;
    if (b->cap > 0) {
        b->ptr[0] = '\0';
    }
}

// Makes room for len more bytes and the NUL. Beyond the maximum: false, and failed for good.
static bool reserve(strbuf *b, size_t len) {
    if (b->failed || len > b->max - b->len) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + len + 1;
    if (need <= b->cap) {
        return true;
    }
    size_t cap = b->cap < STRBUF_CAP_MIN ? STRBUF_CAP_MIN : b->cap;
    while (cap < need) {
        cap *= 2;
    }
    if (cap > b->max + 1) {
        cap = b->max + 1;
    }
    char *grown = realloc(b->cap > 0 ? b->ptr : NULL, cap);
    if (grown == NULL) {
        b->failed = true;
        return false;
    }
    b->ptr = grown;
    b->cap = cap;
    return true;
}

void strbuf_add(strbuf *b, const void *bytes, size_t len) {
    if (len > 0 && reserve(b, len)) {
        memcpy(b->ptr + b->len, bytes, len);
        b->len += len;
        b->ptr[b->len] = '\0';
    }
}

void strbuf_add_c(strbuf *b, const char *c_string) {
    strbuf_add(b, c_string, strlen(c_string));
}

void strbuf_add_char(strbuf *b, char c) {
    strbuf_add(b, &c, 1);
}

void strbuf_printf(strbuf *b, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    // Mostly there is room already.
    const size_t room = b->failed || b->cap == 0 ? 0 : b->cap - b->len;
    const int n = vsnprintf(room == 0 ? NULL : b->ptr + b->len, room, fmt, args);
    if (n < 0) {
        b->failed = true;
    } else if (n > 0 && reserve(b, (size_t)n)) {
        if ((size_t)n >= room) {
            vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, again);
        }
        b->len += (size_t)n;
    }
    if (b->failed && room > 0) {
        b->ptr[b->len] = '\0'; // cuts off the part that did not fit
    }
    va_end(again);
    va_end(args);
}

static void add_json_escape(strbuf *b, char c) {
    switch (c) {
    case '"': strbuf_add_c(b, "\\\""); break;
    case '\\': strbuf_add_c(b, "\\\\"); break;
    case '\n': strbuf_add_c(b, "\\n"); break;
    case '\r': strbuf_add_c(b, "\\r"); break;
    case '\t': strbuf_add_c(b, "\\t"); break;
    default: strbuf_printf(b, "\\u%04x", (unsigned)(uint8_t)c); break;
    }
}

void strbuf_add_json(strbuf *b, str s) {
    strbuf_add_char(b, '"');
    size_t plain = 0; // start of the text that can be copied unchanged
    size_t i = 0;
    while (i < s.len) {
        size_t n = str_utf8_len(s.ptr + i, s.len - i);
        bool escape = n == 1 && ((uint8_t)s.ptr[i] < 0x20 || s.ptr[i] == '"' || s.ptr[i] == '\\');
        if (n > 0 && !escape) {
            i += n;
            continue;
        }
        strbuf_add(b, s.ptr + plain, i - plain);
        if (escape) {
            add_json_escape(b, s.ptr[i]);
        } else {
            strbuf_add_c(b, "\xef\xbf\xbd");
        }
        i++;
        plain = i;
    }
    if (s.len > plain) {
        strbuf_add(b, s.ptr + plain, s.len - plain);
    }
    strbuf_add_char(b, '"');
}

bool strbuf_ok(const strbuf *b) {
    return !b->failed;
}

str strbuf_str(const strbuf *b) {
    return (str){b->ptr, b->len};
}
