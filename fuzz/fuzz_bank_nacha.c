// The bank's reader of NACHA files: the first byte says whether the file has returns. An accepted file adds up.
#include "ach/nacha.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const nacha_rules rules = {
        .destination = "091000019", .origin_prefix = "", .returns = (data[0] & 1) != 0};
    arena *a = arena_create(FUZZ_ARENA_MAX);
    nacha_file file;
    nacha_fault fault;
    if (nacha_check(fuzz_str(data + 1, size - 1), &rules, a, &file, &fault)) {
        int64_t sum = 0;
        for (size_t i = 0; i < file.n_entries; i++) {
            sum += file.entries[i].amount;
        }
        ASSERT(sum == file.credits || rules.returns);
    } else {
        ASSERT(fault.reason[0] != '\0' && fault.line >= 0);
    }
    arena_destroy(a);
    return 0;
}
