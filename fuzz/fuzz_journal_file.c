// An exported journal as ledger-verify reads it. An accepted row has exactly one canonical form: its own bytes.
#include <stdio.h>
#include <string.h>

#include "audit/journal_file.h"
#include "fuzz.h"

static void check_row(const journal_record *record) {
    static uint8_t again[LEDGER_LEAF_LEN_MAX];
    int64_t book_id = 0;
    ledger_row row;
    if (ledger_leaf_decode(record->form, record->len, &book_id, &row)) {
        MUST(ledger_leaf_encode(book_id, &row, again) == record->len);
        ASSERT(memcmp(again, record->form, record->len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static journal_record record;
    if (size == 0) {
        return 0;
    }
    FILE *file = fmemopen((void *)(uintptr_t)data, size, "rb");
    ASSERT(file != NULL);
    int64_t book_id = 0;
    if (journal_file_open(file, &book_id)) {
        while (journal_file_next(file, &record) == JOURNAL_READ_ROW) {
            check_row(&record);
        }
    }
    MUST(fclose(file) == 0);
    return 0;
}
