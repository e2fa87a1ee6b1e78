// The reader of payout files, which merchants' programs write. Whatever it makes of the bytes: no row stands for two lines, every row
// can be handed in, and each complaint names a line of the file.
#include <string.h>

#include "fuzz.h"
#include "payout_file/payout_file.h"

enum { ARENA_MAX = 64 << 20 };

static size_t lines_of(str text) {
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == '\n' || text.ptr[i] == '\r' ? 1 : 0;
    }
    return n;
}

static void check_row(const payout_row *row, size_t n_lines) {
    ASSERT(row->line > 1 && row->line <= n_lines);
    ASSERT(row->amount_minor > 0);
    ASSERT(row->reference[0] != '\0' && row->merchant_id[0] != '\0' && row->currency[0] != '\0');
    ASSERT(row->recipient_name != NULL && row->routing_code != NULL && row->account_number != NULL);
    ASSERT(row->description != NULL && row->connection != NULL);
    MUST(memchr(row->recipient_key, '\0', sizeof row->recipient_key) != NULL);
    ASSERT(row->recipient_key[0] != '\0');
}

static void check_complaint(const payout_complaint *c, size_t n_lines) {
    ASSERT(c->line <= n_lines);
    MUST(memchr(c->field, '\0', sizeof c->field) != NULL);
    MUST(memchr(c->reason, '\0', sizeof c->reason) != NULL);
    MUST(memchr(c->text, '\0', sizeof c->text) != NULL);
    ASSERT(c->reason[0] != '\0');
    MUST(payout_file_column_of(c->field) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const str text = fuzz_str(data, size);
    const size_t n_lines = lines_of(text);
    arena *a = arena_create(ARENA_MAX);
    payout_file f = {0};
    err e = {0};
    if (payout_file_parse(text, a, &f, &e)) {
        for (size_t i = 0; i < f.n; i++) {
            check_row(&f.rows[i], n_lines);
            ASSERT(i == 0 || f.rows[i].line > f.rows[i - 1].line);
        }
        payout_file_sort_complaints(&f);
        for (size_t i = 0; i < f.bad; i++) {
            check_complaint(&f.complaints[i], n_lines);
            ASSERT(i == 0 || f.complaints[i].line >= f.complaints[i - 1].line);
        }
    } else {
        ASSERT(e.code != ERR_OK && e.reason[0] != '\0');
    }
    payout_file_free(&f);
    arena_destroy(a);
    return 0;
}
