// Reads NACHA files strictly: return files (addenda 99), and forward files of PPD and CCD entries. Pure.
#ifndef FORMATS_NACHA_READ_H
#define FORMATS_NACHA_READ_H

#include "base/arena.h"
#include "base/clock.h"
#include "formats/nacha/nacha.h"

// All texts are without the padding, NUL-terminated.
typedef struct nacha_entry {
    int line; // of the entry record, from 1
    int transaction_code;
    char routing[10]; // RDFI with check digit
    char account[NACHA_ACCOUNT_LEN + 1];
    int64_t amount_cents;
    char individual_id[NACHA_ID_LEN + 1];
    char name[NACHA_NAME_LEN + 1];
    char trace[NACHA_TRACE_LEN + 1];
    bool is_return; // addenda 99 follows: the fields below are filled
    char return_code[4];
    char original_trace[NACHA_TRACE_LEN + 1];
    char original_rdfi[9];
    char return_info[45];
} nacha_entry;

typedef struct nacha_batch {
    int line;
    int service_class;
    nacha_sec sec;
    char company_name[17], company_id[11], entry_description[11], odfi[9];
    civil_date effective;
    int64_t number;
    size_t first_entry, n_entries; // in nacha_file.entries
    int64_t debit_cents, credit_cents;
} nacha_batch;

typedef struct nacha_file {
    char immediate_destination[11], immediate_origin[11]; // without the leading blank
    char destination_name[24], origin_name[24];
    civil_date created;
    char modifier;
    nacha_batch *batches;
    size_t n_batches;
    nacha_entry *entries;
    size_t n_entries;
    int64_t debit_cents, credit_cents, hash;
} nacha_file;

typedef struct nacha_fault {
    int line, column;  // from 1
    const char *field; // static
    char reason[96];
} nacha_fault;

// NULL with *fault when any rule is broken, or when the arena's cap is reached. Lines end with LF or CRLF; the padding may
// be missing, but if there is any it must be whole. @arena
nacha_file *nacha_read(str bytes, arena *a, nacha_fault *fault);

#endif
