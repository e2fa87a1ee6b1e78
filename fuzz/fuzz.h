// What the targets share: the one function that libFuzzer calls, and an arena for one input.
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/str.h"

enum { FUZZ_ARENA_MAX = 64 * 1024 * 1024 };

// Any bytes at all. What must hold of them is an ASSERT.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline str fuzz_str(const uint8_t *data, size_t size) {
    return (str){(const char *)data, size};
}

// A refusal must say what is wrong, and must be the caller's fault: nothing that comes from outside is an error of ours.
static inline void fuzz_check_refusal(const err *e) {
    ASSERT(e->code != ERR_OK && e->code != ERR_INTERNAL && e->code != ERR_UNKNOWN);
    ASSERT(e->reason[0] != '\0' && e->message[0] != '\0');
}

#endif
