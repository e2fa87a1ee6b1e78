// Our reading of NACHA files. What is accepted adds up.
#include "fuzz.h"
#include "rails/ach/nacha_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena *a = arena_create(FUZZ_ARENA_MAX);
    nacha_fault fault;
    nacha_file *f = nacha_read(fuzz_str(data, size), a, &fault);
    int64_t sum = 0;
    for (size_t i = 0; f != NULL && i < f->n_entries; i++) {
        sum += f->entries[i].amount_cents;
    }
    ASSERT(f == NULL || sum == f->debit_cents + f->credit_cents);
    arena_destroy(a);
    return 0;
}
