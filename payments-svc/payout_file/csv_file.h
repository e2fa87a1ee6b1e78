// A file of comma-separated values (RFC 4180, UTF-8) as records of cells. Knows nothing of payouts.
#ifndef PAYOUT_FILE_CSV_FILE_H
#define PAYOUT_FILE_CSV_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum { CSV_FILE_CELLS_MAX = 64, CSV_FILE_RECORD_BYTES_MAX = 64 << 10 };

// One record: `line` is where it begins, from 1. n_cells is how many it has; only the first CSV_FILE_CELLS_MAX are in cells.
// The cells are borrowed and go when the callback returns.
typedef struct csv_record {
    size_t line;
    const str *cells;
    size_t n_cells;
} csv_record;

// False ends the reading: *e says why.
typedef bool (*csv_file_on_record)(void *arg, const csv_record *record, err *e);

// Calls on_record for each record in order. Empty lines, and records whose cells are all empty, are none. A byte order mark of UTF-8
// and CRLF are taken. Fails when the file as a whole is of another kind (FILE_UTF16, FILE_NOT_CSV, SEPARATOR_UNKNOWN, LINE_ENDS_CR)
// or has a quote out of place (CSV_INVALID).
bool csv_file_each(str bytes, csv_file_on_record on_record, void *arg, err *e) WARN_UNUSED;
// True when the cell is UTF-8 without control characters. Otherwise *e names `what` (such as a column) as its field, and says in
// words which byte of it is wrong: INVALID_UTF8 or CONTROL_CHARACTER. The text of the cell is not in *e.
bool csv_file_cell_is_text(str cell, const char *what, err *e) WARN_UNUSED;

#endif
