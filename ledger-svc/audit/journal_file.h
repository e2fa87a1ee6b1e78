// The exported journal of a book: a file that ledger-export writes and ledger-verify reads.
//
//   "disburse-journal-v1\n", book_id (8 bytes, big-endian)
//   then for each row, in order: length (4), the canonical form of the row (domain/leaf.h), its leaf hash (32)
//
// The rows are the very bytes that were hashed, so there is nothing in the file that a proof does not cover.
#ifndef AUDIT_JOURNAL_FILE_H
#define AUDIT_JOURNAL_FILE_H

#include <stdio.h>

#include "audit/merkle.h"
#include "domain/leaf.h"

// A failed write shows in ferror.
void journal_file_begin(FILE *file, int64_t book_id);
void journal_file_put(FILE *file, const uint8_t *form, size_t len, const merkle_hash *leaf);

typedef struct journal_record {
    size_t len;
    uint8_t form[LEDGER_LEAF_LEN_MAX];
    merkle_hash leaf; // as the file says
} journal_record;

// False when the file does not begin as it must.
bool journal_file_open(FILE *file, int64_t *book_id) WARN_UNUSED;
typedef enum journal_read { JOURNAL_READ_ROW, JOURNAL_READ_END, JOURNAL_READ_BROKEN } journal_read;
// BROKEN: a length that cannot be, or the file ends in the middle of a row.
journal_read journal_file_next(FILE *file, journal_record *out);

#endif
