// The NACHA file format, what writer and reader share. Facts: docs of the format, fields by position (1-based) in a line
// of 94 characters.
#ifndef FORMATS_NACHA_H
#define FORMATS_NACHA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "formats/nacha/nacha_text.h"

enum {
    NACHA_LINE_LEN = 94,
    NACHA_BLOCKING = 10, // lines of a block; a file is padded to whole blocks
    NACHA_ACCOUNT_LEN = 17,
    NACHA_ID_LEN = 15,
    NACHA_TRACE_LEN = 15, // 8 of the ODFI, 7 of a sequence
    NACHA_TRACE_SEQUENCE_MAX = 9999999,
    NACHA_BATCH_ENTRIES_MAX = 999999,
    NACHA_MODIFIERS = 36 // A-Z, then 0-9: so many files of one origin a day
};
#define NACHA_ENTRY_CENTS_MAX INT64_C(9999999999)   // 10 digits
#define NACHA_TOTAL_CENTS_MAX INT64_C(999999999999) // 12 digits, of a batch and of a file
#define NACHA_HASH_MODULUS INT64_C(10000000000)     // entry hashes keep their low-order 10 digits

typedef enum nacha_sec { NACHA_PPD = 1, NACHA_CCD = 2 } nacha_sec; // consumer, corporate

// Transaction codes that we handle.
enum {
    NACHA_CHECKING_RETURN_CREDIT = 21,
    NACHA_CHECKING_CREDIT = 22,
    NACHA_CHECKING_RETURN_DEBIT = 26,
    NACHA_CHECKING_DEBIT = 27,
    NACHA_SAVINGS_RETURN_CREDIT = 31,
    NACHA_SAVINGS_CREDIT = 32,
    NACHA_SAVINGS_RETURN_DEBIT = 36,
    NACHA_SAVINGS_DEBIT = 37
};

// Service classes of a batch.
enum { NACHA_MIXED = 200, NACHA_CREDITS = 220, NACHA_DEBITS = 225 };

// '0' … '9' for the eight digits of a routing number; asserts that they are digits.
char nacha_check_digit(const char routing8[8]);
bool nacha_is_digits(str s, size_t len);
// The file id modifier of an index from 0 to 35.
char nacha_modifier(int index);

// "R03" → what it means; a sentence that says so for a code without a text.
const char *nacha_return_text(str code);
// The same; NULL for a code without a text: nobody knows what it means, and a person must look.
const char *nacha_return_text_known(str code);

#endif
