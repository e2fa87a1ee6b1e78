#include "audit/journal_file.h"

#include <endian.h>
#include <string.h>

#define MAGIC "disburse-journal-v1\n"

// A failed write shows in ferror at the end.
static void put(FILE *file, const void *bytes, size_t len) {
    (void)fwrite(bytes, 1, len, file);
}

void journal_file_begin(FILE *file, int64_t book_id) {
    const uint64_t be = htobe64((uint64_t)book_id);
    put(file, MAGIC, sizeof MAGIC - 1);
    put(file, &be, sizeof be);
}

void journal_file_put(FILE *file, const uint8_t *form, size_t len, const merkle_hash *leaf) {
    const uint32_t be = htobe32((uint32_t)len);
    put(file, &be, sizeof be);
    put(file, form, len);
    put(file, leaf->b, sizeof leaf->b);
}

bool journal_file_open(FILE *file, int64_t *book_id) {
    char magic[sizeof MAGIC - 1];
    uint64_t be = 0;
    if (fread(magic, 1, sizeof magic, file) != sizeof magic ||
        memcmp(magic, MAGIC, sizeof magic) != 0 || fread(&be, 1, sizeof be, file) != sizeof be) {
        return false;
    }
    *book_id = (int64_t)be64toh(be);
    return true;
}

journal_read journal_file_next(FILE *file, journal_record *out) {
    uint32_t be = 0;
    const size_t got = fread(&be, 1, sizeof be, file);
    if (got == 0 && feof(file)) {
        return JOURNAL_READ_END;
    }
    out->len = be32toh(be);
    const bool whole = got == sizeof be && out->len <= sizeof out->form &&
                       fread(out->form, 1, out->len, file) == out->len &&
                       fread(out->leaf.b, 1, sizeof out->leaf.b, file) == sizeof out->leaf.b;
    return whole ? JOURNAL_READ_ROW : JOURNAL_READ_BROKEN;
}
