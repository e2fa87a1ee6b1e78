// UTF-8 for the rest of base; not for other rooms.
#ifndef BASE_STR_INTERNAL_H
#define BASE_STR_INTERNAL_H

#include <stddef.h>

// The length of the well-formed UTF-8 sequence (RFC 3629) at p, or 0 when there is none within len bytes.
size_t str_utf8_len(const char *p, size_t len);
// Removes a cut sequence from the end of text. text[len] is its NUL.
void str_utf8_trim(char *text, size_t len);

#endif
