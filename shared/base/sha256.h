// SHA-256, for values that derive from content.
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_LEN = 32 };
// data may be NULL when len is 0. Any thread.
void sha256(const void *data, size_t len, uint8_t out[SHA256_LEN]);

#endif
