// Reads a file of comma-separated values (RFC 4180, UTF-8) as records of cells. Knows nothing of payouts.
#ifndef PAYOUT_FILE_CSV_FILE_H
#define PAYOUT_FILE_CSV_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum { CSV_FILE_CELLS_MAX = 64, CSV_FILE_RECORD_BYTES_MAX = 64 << 10 };

// One record. `line` is its first line, from 1. n_cells counts all cells; `cells` has only the first CSV_FILE_CELLS_MAX. The cells are
// borrowed until the callback returns.
typedef struct csv_record {
    size_t line;
    const str *cells;
    size_t n_cells;
} csv_record;

// Returning false ends the reading, with the reason in *e.
typedef bool (*csv_file_on_record)(void *arg, const csv_record *record, err *e);

// Calls on_record for each record in order. Skips empty lines, and records of empty cells only. Accepts a byte order mark of UTF-8, and
// CRLF. Fails when the whole file is of another kind (FILE_UTF16, FILE_NOT_CSV, SEPARATOR_UNKNOWN, LINE_ENDS_CR), or a quote is out of
// place (CSV_INVALID).
bool csv_file_each(str bytes, csv_file_on_record on_record, void *arg, err *e) WARN_UNUSED;
// True when the cell is UTF-8 without control characters. Otherwise *e has `what` (such as a column) as its field, and describes the wrong
// byte: INVALID_UTF8 or CONTROL_CHARACTER. *e does not contain the cell's text.
bool csv_file_cell_is_text(str cell, const char *what, err *e) WARN_UNUSED;

#endif
