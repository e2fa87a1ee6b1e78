// Page tokens of payments.v1: taken only with the filters that they were made for. The first byte is the length of the filters.
#include <string.h>

#include "api/service_internal.h"
#include "fuzz.h"

enum { POSITION_LEN = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    arena *a = arena_create(FUZZ_ARENA_MAX);
    const size_t n = data[0] < size ? data[0] : size - 1;
    const str filters = fuzz_str(data + 1, n);
    const char *token = arena_strndup(a, (const char *)data + 1 + n, size - 1 - n);
    uint8_t position[POSITION_LEN] = {0};
    err e = {0};
    if (page_token_read(token, filters, position, sizeof position, &e)) {
        char *again = page_token_make(a, filters, position, sizeof position);
        uint8_t read[POSITION_LEN];
        MUST(page_token_read(again, filters, read, sizeof read, &e));
        ASSERT(memcmp(read, position, sizeof read) == 0);
    } else {
        fuzz_check_refusal(&e);
    }
    // A token of ours is taken with its filters, and with no others.
    char *made = page_token_make(a, filters, position, sizeof position);
    err_clear(&e);
    MUST(page_token_read(made, filters, position, sizeof position, &e));
    MUST(n == 0 || !page_token_read(made, STR(""), position, sizeof position, &e));
    arena_destroy(a);
    return 0;
}
