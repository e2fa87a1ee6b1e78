// Writes NACHA files as banks do: returns, changes, disputes, with the oddities that a test asks for. Tests only.
#ifndef TESTING_BANK_FILE_H
#define TESTING_BANK_FILE_H

#include "base/str.h"

typedef struct bank_entry {
    const char *code;  // "R03", "C01": gives the addenda; NULL: an entry without one
    const char *trace; // original trace, 15 digits
    int64_t amount;
    const char *individual_id;
    const char *name;      // NULL: one is made up; "": blank
    const char *account;   // NULL: "12345678"
    const char *rdfi;      // of the original receiver, 8 digits; NULL: "23138010"
    int transaction_code;  // 0: 21
    const char *info;      // what stands from position 36 on
    const char *own_trace; // NULL: the rdfi and a running number
} bank_entry;

typedef struct bank_batch {
    const char *company_id;
    const char *sec;         // NULL: "PPD"
    const char *description; // NULL: "PAYOUT"
    const char *effective;   // NULL: "261201"
    char status;             // originator status; 0: '1'
    int64_t number;          // 0: counted
    const bank_entry *entries;
    size_t n;
} bank_batch;

typedef struct bank_file {
    const char *destination; // 10 characters; NULL: "1900000001"
    const bank_batch *batches;
    size_t n;
    const char *line_end; // NULL: "\n"; "" for records of fixed length
    bool unpadded, cut_blanks, no_final_line_end;
    int extra_blanks; // behind each record
} bank_file;

// Appends the file; counts, hashes and totals are right.
void bank_file_write(const bank_file *f, strbuf *out);

#endif
