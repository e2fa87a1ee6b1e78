// Writes a NACHA file of credits. Pure: no I/O, no clock.
#ifndef FORMATS_NACHA_WRITE_H
#define FORMATS_NACHA_WRITE_H

#include "base/clock.h"
#include "formats/nacha/nacha.h"

// One credit to a receiver. Strings are borrowed.
typedef struct nacha_credit {
    nacha_sec sec;          // PPD for a person, CCD for a company
    bool savings;           // else checking
    str routing;            // RDFI: 9 digits with a right check digit
    str account;            // 1 … 17 characters: letters, digits, '-', and blanks inside
    int64_t amount_cents;   // 1 … NACHA_ENTRY_CENTS_MAX
    str individual_id;      // 0 … 15 printable ASCII characters
    str name;               // UTF-8; transliterated and cut to 22
    str description;        // 1 … 10 printable ASCII characters, as nacha_description makes them
    int64_t trace_sequence; // 1 … NACHA_TRACE_SEQUENCE_MAX, ascending inside each SEC
} nacha_credit;

typedef struct nacha_file_spec {
    str immediate_destination;                         // 9 digits (a blank goes before) or 10
    str immediate_origin;                              // the same
    str destination_name, origin_name, reference_code; // may be empty; cut to 23, 23, 8
    civil_date created;
    int created_hour, created_minute;
    char modifier;    // A-Z 0-9
    str odfi;         // 8 digits
    str company_name; // 1 … 16 characters
    str company_id;   // 10 characters
    civil_date effective;
    int64_t batch_cents_max;   // 0: the format's own limit; a batch is closed before it would pass
    int64_t batch_entries_max; // 0: the same
    bool crlf;
} nacha_file_spec;

typedef struct nacha_totals {
    int64_t batches, entries, credit_cents, hash;
} nacha_totals;

// What would make nacha_write refuse this entry: INVALID_ARGUMENT with the field, or true. The trace is not looked at.
bool nacha_credit_check(const nacha_credit *c, err *e) WARN_UNUSED;

// Appends the whole file to *out (whose maximum bounds it): PPD batches, then CCD batches, in the order given; a batch has one
// description, so those with the same one should stand together. Fails with INVALID_ARGUMENT naming the field,
// OUT_OF_RANGE when the file's totals do not fit into its control record, or RESOURCE_EXHAUSTED. *totals may be NULL.
bool nacha_write(const nacha_file_spec *spec, const nacha_credit *credits, size_t n, strbuf *out,
                 nacha_totals *totals, err *e) WARN_UNUSED;

// Bytes that a file of n entries takes at most.
size_t nacha_size_max(size_t n, bool crlf);

#endif
