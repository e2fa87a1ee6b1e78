// A file of payouts, as a marketplace exports it: CSV (RFC 4180, UTF-8) with a header line. The whole file is read and checked before
// anything is sent. Every bad line is named with its reason.
#ifndef PAYOUT_FILE_PAYOUT_FILE_H
#define PAYOUT_FILE_PAYOUT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum { PAYOUT_FILE_ROWS_MAX = 1000000, PAYOUT_FILE_BYTES_MAX = 256 << 20 };

typedef struct payout_row {
    size_t line; // in the file, from 1
    const char *reference, *merchant_id, *recipient_name, *currency, *routing_code, *account_number,
        *description, *connection;
    int holder_type, rail, account_type; // payments.v1
    int64_t amount_minor;
    char recipient_key[72]; // derived from merchant and reference: the same row gives the same key
} payout_row;

// The fault of a line.
typedef struct payout_complaint {
    size_t line;                           // 0: the whole file
    char field[64], reason[64], text[192]; // as in err
} payout_complaint;

typedef struct payout_file {
    payout_row *rows;
    size_t n, cap;
    payout_complaint *complaints; // one for each bad line
    size_t bad, complaints_cap;
    size_t told;        // so many were printed already; for the printer only
    uint8_t sha256[32]; // of the bytes
} payout_file;

// Checks a file's bytes. False and *e when the file is of another kind, or has no usable header. Bad lines are kept in f and counted in
// f->bad; a file with bad lines must not be sent. Strings live in a. Rows and complaints live until payout_file_free, which is due in
// either case.
bool payout_file_parse(str bytes, arena *a, payout_file *f, err *e) WARN_UNUSED;
// Adds a bad line that someone else found, such as the service; it counts like the others.
void payout_file_complain(payout_file *f, size_t line, const err *e);
void payout_file_sort_complaints(payout_file *f); // by line
// The column behind a field of a request: "items[3].payout.amount_minor" is the amount; "" if it is no column.
const char *payout_file_column_of(const char *field);
// Words a refusal of the service for the file's owner, who has never seen the request: names the column instead of the field.
void payout_file_refusal(const char *field, const char *reason, const char *message, err *out);
void payout_file_free(payout_file *f);

#endif
