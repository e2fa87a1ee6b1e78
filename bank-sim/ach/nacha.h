// The bank's own reader and writer of NACHA files, written from the public layout of the format. On purpose it shares nothing with the
// service that makes the files: two readers that agree prove more than one reader used twice.
#ifndef ACH_NACHA_H
#define ACH_NACHA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    NACHA_RECORD_LEN = 94,
    NACHA_BLOCKING = 10,
    NACHA_ORIGIN_MAX = 10,
    NACHA_REASON_MAX = 200,
    NACHA_BYTES_MAX = 16 * 1024 * 1024 // about 170,000 records
};

// A field of a record. Positions count from 1, first and last included.
str nacha_field(const char *record, int first, int last);
str nacha_trim(str field); // removes spaces at both ends
// The check digit of eight digits, or -1.
int nacha_check_digit(str eight_digits);
bool nacha_is_routing(str nine_digits); // nine digits with the right check digit

typedef struct nacha_entry {
    int line;            // from 1
    const char *record;  // NACHA_RECORD_LEN bytes of the file
    const char *batch;   // its batch header
    const char *addenda; // NULL: none
    int64_t trace, amount;
} nacha_entry;

typedef struct nacha_file {
    char origin[NACHA_ORIGIN_MAX + 1]; // trimmed
    char date[7];                      // YYMMDD
    char modifier[2];
    nacha_entry *entries;
    size_t n_entries;
    int n_batches;
    int64_t credits; // cents
} nacha_file;

typedef struct nacha_rules {
    const char *destination;   // nine digits: the required immediate destination
    const char *origin_prefix; // "" : any
    // a return file: codes 21/31/41/51 and addenda 99, instead of 22/32/42/52 and addenda 05
    bool returns;
} nacha_rules;

typedef struct nacha_fault {
    int line;                      // 0: the file as a whole
    char reason[NACHA_REASON_MAX]; // has no names, accounts or amounts of persons
} nacha_fault;

// Checks a whole file against every rule. At the first breach it fills *fault with line and reason, and returns false. *out points into
// bytes and lives in the arena.
bool nacha_check(str bytes, const nacha_rules *rules, arena *a, nacha_file *out,
                 nacha_fault *fault) WARN_UNUSED;

// A receiving bank's line: an entry comes back, or (code "C…") needs a change, or its return is disputed.
typedef struct nacha_return {
    char entry[NACHA_RECORD_LEN + 1]; // the entry as it came; a returned debit stays a debit
    char batch[NACHA_RECORD_LEN + 1]; // its batch header
    char code[4];                     // "R03", "C01", "R61"
    int64_t amount;                   // the returned amount
    int64_t trace;                    // the return's trace: RDFI and sequence; set by the caller
    int64_t id;                       // for the caller only; 0: not from the books
} nacha_return;

// Ways in which banks' files break the book of rules, without touching money.
typedef struct nacha_form {
    bool crlf, fixed_94, trim_blanks, no_padding; // lines; fixed_94: no line ends at all
    bool descending_traces, blank_date, status_2, blank_names, forward_codes;
} nacha_form;

typedef struct nacha_return_file {
    const char *destination; // the receiver: the origin of the entries
    const char *origin;      // nine digits: the bank
    const char *destination_name, *origin_name;
    char date[7], time[5], modifier;
    char settled_on[7]; // effective entry date
    nacha_form form;
} nacha_return_file;

// Sorts the returns so that each batch is together: by RDFI, batch header and kind, then by original trace.
void nacha_returns_sort(nacha_return *r, size_t n);
// Writes the file for sorted returns whose traces ascend within each RDFI. Each batch belongs to one returning bank.
bool nacha_returns_write(const nacha_return_file *f, const nacha_return *r, size_t n,
                         strbuf *out) WARN_UNUSED;

#endif
