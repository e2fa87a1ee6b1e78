// The bank's reading of a payment request.
#include <string.h>

#include "fuzz.h"
#include "instant/instant_internal.h"

enum { AMOUNT_MAX = 1000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    instant_request request;
    err e = {0};
    if (instant_request_parse(fuzz_str(data, size), AMOUNT_MAX, &request, &e)) {
        ASSERT(request.amount > 0 && request.amount <= AMOUNT_MAX && strlen(request.currency) == 3);
    } else {
        fuzz_check_refusal(&e);
    }
    ASSERT(!instant_is_key(fuzz_str(data, size)) || size == 64);
    return 0;
}
