// Shared by the targets: the one function that libFuzzer calls, and an arena for one input.
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/str.h"

enum { FUZZ_ARENA_MAX = 64 * 1024 * 1024 };

// data: any bytes. What must hold is an ASSERT.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline str fuzz_str(const uint8_t *data, size_t size) {
    return (str){(const char *)data, size};
}

// A refusal must say what is wrong, and must blame the caller: no input is an internal error.
static inline void fuzz_check_refusal(const err *e) {
    ASSERT(e->code != ERR_OK && e->code != ERR_INTERNAL && e->code != ERR_UNKNOWN);
    ASSERT(e->reason[0] != '\0' && e->message[0] != '\0');
}

#endif
