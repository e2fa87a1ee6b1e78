// Strings with a length, for everything from outside, and a bounded string builder.
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

typedef struct str {
    const char *ptr; // not NUL-terminated unless said so
    size_t len;
} str;

#define STR(literal) ((str){(literal), sizeof(literal) - 1})
str str_of(const char *c_string); // NULL gives the empty string
bool str_eq(str a, str b);
bool str_eq_c(str a, const char *c_string);
// FNV-1a of the bytes, 32 bits, the same in every process. An attacker who chooses the bytes chooses the hash.
uint32_t str_hash(str s);
// The first bytes of the text, at most len_max; never cuts a character of UTF-8. Bytes that are no text are cut anywhere.
str str_clip(str text, size_t len_max);
// Valid UTF-8 (RFC 3629: no surrogates, no overlong forms) without U+0000.
bool str_is_text(const char *bytes, size_t len);
// True for text that cannot steer a terminal or show otherwise than it reads: valid UTF-8 without control characters (C0, DEL, C1) and
// without characters that change the direction of writing.
bool str_is_plain(const char *bytes, size_t len);
// Makes it plain in place: each wrong sequence becomes one '?', except the characters of `keep` (line ends, tabs). Returns the new length,
// which is not larger.
size_t str_make_plain(char *bytes, size_t len, const char *keep);
// Whole decimal integer with optional '-', no blanks, in [min, max].
bool str_to_i64(str s, int64_t min, int64_t max, int64_t *out) WARN_UNUSED;
void str_hex(const uint8_t *bytes, size_t len, char *out); // writes 2*len characters and a NUL
bool str_unhex(str s, uint8_t *out, size_t out_len) WARN_UNUSED; // s.len must be 2*out_len
// Standard base64 with padding (RFC 4648, 4). out must hold 4*((len+2)/3)+1.
void str_base64(const uint8_t *bytes, size_t len, char *out);
bool str_unbase64(str s, uint8_t *out, size_t out_max, size_t *out_len) WARN_UNUSED;

// A string builder with a maximum. After a failed append it stays failed: check once at the end with strbuf_ok.
typedef struct strbuf {
    char *ptr; // NUL-terminated
    size_t len, cap, max;
    bool failed;
    bool fixed; // ptr is the caller's memory
} strbuf;

void strbuf_init(strbuf *b, size_t max); // heap; no allocation until the first append
// A builder on the caller's memory. size, which counts the NUL, is the maximum; the memory must outlive the builder. For places that must
// not allocate.
void strbuf_init_fixed(strbuf *b, char *memory, size_t size);
void strbuf_deinit(strbuf *b);
void strbuf_clear(strbuf *b); // keeps the memory; forgets a failure
void strbuf_add(strbuf *b, const void *bytes, size_t len);
void strbuf_add_c(strbuf *b, const char *c_string);
void strbuf_add_char(strbuf *b, char c);
void strbuf_printf(strbuf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
// Quoted and escaped; bytes that are not UTF-8 become U+FFFD.
void strbuf_add_json(strbuf *b, str s);
bool strbuf_ok(const strbuf *b);
str strbuf_str(const strbuf *b);

#endif
