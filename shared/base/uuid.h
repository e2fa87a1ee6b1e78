// UUIDs (RFC 9562): 16 bytes in network order, version 7 for new ids, name-derived ids for steps.
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

typedef struct uuid {
    uint8_t b[16];
} uuid;
enum { UUID_TEXT_LEN = 36 };

// Time-ordered, monotonic within the process. Thread-safe.
uuid uuid_v7(const clock_source *c);
// The time in an id of version 7: milliseconds since 1970.
int64_t uuid_v7_ms(uuid id);
// Forgets the last id, so that a restarted simulation makes the same ids again. For tests only.
void test_uuid_v7_reset(void);
// A version 8 id: the SHA-256 of the parts, each prefixed with its length. The same parts give the same id.
uuid uuid_derive(const str *parts, size_t n_parts);
bool uuid_is_nil(uuid id);
bool uuid_is_max(uuid id);
bool uuid_eq(uuid a, uuid b);
int uuid_cmp(uuid a, uuid b);
uint64_t uuid_hash(uuid id); // seeded per process (no hash flooding)
// Canonical 8-4-4-4-12 form, either case; nothing else.
bool uuid_parse(str s, uuid *out) WARN_UNUSED;
void uuid_format(uuid id, char out[UUID_TEXT_LEN + 1]); // lower case
char *uuid_text(arena *a, uuid id);                     // @arena

#endif
