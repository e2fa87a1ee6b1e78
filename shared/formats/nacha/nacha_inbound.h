// Reads the NACHA files that banks send: returns, notifications of change, disputes between banks. Pure.
//
// Lenient where no money depends on it: dates, names, statuses, reserved fields, the order of numbers, trailing blanks, marks of mailboxes
// ($$ lines in front) and mainframes (Ctrl-Z, NUL, tab and form feed behind records), advices of accounting systems (280), line
// ends, padding. Strict where it does: counts, hashes and totals decide about the file as a whole, and an entry of which
// not everything that names it can be read is a line of its own with a fault, which a person looks at.
#ifndef FORMATS_NACHA_INBOUND_H
#define FORMATS_NACHA_INBOUND_H

#include "base/arena.h"
#include "formats/nacha/nacha.h"

// What an entry says, by its addenda.
typedef enum nacha_word {
    NACHA_WORD_ENTRY = 1,  // a forward entry: nothing about one of ours
    NACHA_WORD_RETURN,     // addenda 99: the money came back
    NACHA_WORD_DISHONORED, // addenda 99, R61 to R70: the ODFI refuses the return of another bank
    NACHA_WORD_CONTESTED,  // addenda 99, R71 to R77: the other bank insists
    NACHA_WORD_CHANGE,     // addenda 98: the money stays, the details must be corrected
    NACHA_WORD_CHANGE_REFUSED, // addenda 98, C61 to C69
    NACHA_WORD_UNREADABLE      // fault says why
} nacha_word;

// An entry with its addenda. Texts are slices of the file without their padding; they live as long as the file's bytes.
typedef struct nacha_told {
    int line; // of the entry record, from 1; in a file without line ends the number of the record
    uint32_t batch; // index
    nacha_word word;
    const char *fault; // static; NULL unless UNREADABLE
    int transaction_code;
    bool credit; // the side on which its amount counts
    int64_t amount_cents;
    str raw; // the records, with the line ends between them
    str account, individual_id, trace;
    str code;           // R03, C01
    str original_trace; // 15 digits
    str original_rdfi;  // 8 digits
    str info;           // of a change the corrected data, of a return the addenda's information
} nacha_told;

typedef struct nacha_told_batch {
    int line;
    str company_id, sec, odfi, description;
    int64_t debit_cents, credit_cents, hash, records; // records: entries and addenda
    const char *fault; // static; NULL, or why its entries mean nothing
} nacha_told_batch;

typedef struct nacha_inbound {
    str destination,
        origin; // of the first file header; without blanks and as many digits as there are
    nacha_told_batch *batches;
    size_t n_batches;
    nacha_told *entries;
    size_t n_entries;
    int64_t debit_cents, credit_cents;
} nacha_inbound;

typedef struct nacha_inbound_fault {
    int line; // from 1
    char reason[120];
} nacha_inbound_fault;

// The next record at *at, of at most 94 characters, without the blanks behind it; *at moves behind its line end. Lines may be cut
// short, padded too far, or not be there at all: then each record has its 94 characters. A blank line is a record of length 0.
// False at the end. A mark of the encoding in front is skipped. Whoever looks at the records of a bank's file takes them from here.
bool nacha_inbound_record(str bytes, size_t *at, str *record);

// True when the bytes begin as a NACHA file does.
bool nacha_looks_like(str bytes);

// False with *fault when the file as a whole cannot be trusted: its counts, hashes or totals are not those of its records, a
// record is of no known type, it ends too early, or it does not fit into the arena. Bytes of blanks only are a file without
// batches. Of one whose line *entries lives in the arena. Several files behind each other are read as one.
bool nacha_inbound_read(str bytes, arena *a, nacha_inbound *out,
                        nacha_inbound_fault *fault) WARN_UNUSED;

// The corrected data of a notification of change, by position; empty where the code does not correct it. Slices.
typedef struct nacha_change {
    str routing, account, transaction_code, individual_id;
} nacha_change;
nacha_change nacha_corrected(str code, str data);

#endif
