// The text that a NACHA record can hold, and what becomes of names and descriptions in it. Also asked when a recipient is made, long
// before a file is.
#ifndef FORMATS_NACHA_TEXT_H
#define FORMATS_NACHA_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum {
    NACHA_NAME_LEN = 22,       // individual or receiving company name
    NACHA_DESCRIPTION_LEN = 10 // company entry description
};

// UTF-8 to upper-case printable ASCII: letters with marks lose them, ligatures and typographic signs are spelt out, signs
// that are not seen are left out, blanks are folded, what has no counterpart becomes '?'. Cut to out_len - 1 characters.
// Bytes that are not UTF-8 become '?'.
void nacha_transliterate(str in, char *out, size_t out_len);

// True when text has a character that is neither a blank nor a zero: banks refuse a file with a field of zeros only.
bool nacha_says_something(const char *text);

// Whether a recipient of this name can be paid by ACH. INVALID_ARGUMENT, reason NAME_NOT_LATIN, when no Latin letter and no
// digit but zero is left of it in the 22 characters of the record; the field is path followed by "name".
bool nacha_name_check(str name, const char *path, err *e) WARN_UNUSED;

// What a payout's description becomes as company entry description: transliterated and cut. "PAYOUT" where nothing but blanks
// and zeros is left, and instead of REVERSAL, RETRY PYMT and ACCTVERIFY, by which banks know entries that follow other rules
// than a payout.
void nacha_description(str in, char out[NACHA_DESCRIPTION_LEN + 1]);

#endif
