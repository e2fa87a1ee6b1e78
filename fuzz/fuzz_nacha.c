// Our reader of NACHA files, strict for files that we write and lenient for files of banks. An accepted file adds up.
#include "formats/nacha/nacha_inbound.h"
#include "formats/nacha/nacha_read.h"
#include "fuzz.h"

static void strict(str bytes) {
    arena *a = arena_create(FUZZ_ARENA_MAX);
    nacha_fault fault;
    nacha_file *f = nacha_read(bytes, a, &fault);
    int64_t sum = 0;
    for (size_t i = 0; f != NULL && i < f->n_entries; i++) {
        sum += f->entries[i].amount_cents;
    }
    ASSERT(f == NULL || sum == f->debit_cents + f->credit_cents);
    arena_destroy(a);
}

static void lenient(str bytes) {
    arena *a = arena_create(FUZZ_ARENA_MAX);
    nacha_inbound f;
    nacha_inbound_fault fault;
    if (nacha_inbound_read(bytes, a, &f, &fault)) {
        int64_t sum = 0;
        for (size_t i = 0; i < f.n_entries; i++) {
            const nacha_told *t = &f.entries[i];
            sum += t->amount_cents;
            ASSERT(t->batch < f.n_batches &&
                   (t->fault != NULL) == (t->word == NACHA_WORD_UNREADABLE));
            ASSERT(t->raw.ptr >= bytes.ptr && t->raw.ptr + t->raw.len <= bytes.ptr + bytes.len);
            if (t->word == NACHA_WORD_CHANGE) {
                ASSERT(nacha_corrected(t->code, t->info).account.len <= NACHA_ACCOUNT_LEN);
            }
        }
        ASSERT(sum == f.debit_cents + f.credit_cents);
    } else {
        ASSERT(fault.line >= 1 && fault.reason[0] != '\0');
    }
    arena_destroy(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    strict(fuzz_str(data, size));
    lenient(fuzz_str(data, size));
    return 0;
}
