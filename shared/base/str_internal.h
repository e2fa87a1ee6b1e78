// UTF-8 as the rest of base needs it; not for other rooms.
#ifndef BASE_STR_INTERNAL_H
#define BASE_STR_INTERNAL_H

#include <stddef.h>

// Bytes of the well-formed UTF-8 sequence (RFC 3629) at the start of p, or 0 when there is none within len bytes.
size_t str_utf8_len(const char *p, size_t len);
// Takes a sequence that was cut off the end of text away. text[len] is its NUL.
void str_utf8_trim(char *text, size_t len);

#endif
