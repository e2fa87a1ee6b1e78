// A file of payouts as a marketplace exports it: CSV (RFC 4180, UTF-8) with a header line. The whole file is read and checked
// before anything is sent; every bad line is named with its reason.
#ifndef CLI_PAYOUT_FILE_H
#define CLI_PAYOUT_FILE_H

#include "cli/cli.h"

enum { PAYOUT_FILE_ROWS_MAX = 1000000, PAYOUT_FILE_BYTES_MAX = 256 << 20 };

typedef struct payout_row {
    size_t line; // in the file, from 1
    const char *reference, *merchant_id, *recipient_name, *currency, *routing_code, *account_number,
        *description, *connection;
    int holder_type, rail, account_type; // payments.v1
    int64_t amount_minor;
    char recipient_key[72]; // of the merchant and the reference: the same row gives the same key
} payout_row;

// What is wrong with a line.
typedef struct payout_complaint {
    size_t line;                           // 0: the file as a whole
    char field[64], reason[64], text[192]; // as err has them
} payout_complaint;

typedef struct payout_file {
    payout_row *rows;
    size_t n, cap;
    payout_complaint *complaints; // one for each bad line
    size_t bad, complaints_cap;
    size_t told;        // so many of them, by payout_file_tell
    uint8_t sha256[32]; // of the bytes
} payout_file;

// How messages name the file: its path, or "stdin" for "-". @borrowed
const char *payout_file_name(const char *path);
// Reads and checks; "-" is stdin. False and *e when the file cannot be read at all or has no usable header; bad lines are kept
// for payout_file_tell, which prints them to stderr as "FILE:LINE: field: reason" and counted in f->bad (a file with bad lines must not be sent). Strings live in
// c->arena, rows and complaints until payout_file_free, which is due either way.
bool payout_file_read(cli *c, const char *path, payout_file *f, err *e) WARN_UNUSED;
// The same for a command: false when it cannot be read, and that was said, on stderr and with --json on stdout.
bool payout_file_load(cli *c, const char *path, payout_file *f) WARN_UNUSED;
// False when lines are bad: says how many, and with --json which.
bool payout_file_is_good(const cli *c, const payout_file *f) WARN_UNUSED;
// Both together.
bool payout_file_read_good(cli *c, const char *path, payout_file *f) WARN_UNUSED;
// A bad line that was found otherwise, such as by the service: counted as the others.
void payout_file_complain(payout_file *f, size_t line, const err *e);
// Prints what is bad to stderr, in the order of the file: once all of it is known. path: as payout_file_name has it.
void payout_file_tell(payout_file *f, const char *path);
void payout_file_sort_complaints(payout_file *f); // by line
// [{"line","field","reason","error"}]. @owned
struct json_t *payout_file_bad_json(const payout_file *f);
// {"sent":false,"good":N,"bad":[…]} on stdout.
void payout_file_print_json(const payout_file *f);
void payout_file_free(payout_file *f);

#endif
