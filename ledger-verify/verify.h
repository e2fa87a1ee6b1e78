// Verifies an exported journal against signed tree heads. Needs only files and public keys: no database, no network.
#ifndef LEDGER_VERIFY_VERIFY_H
#define LEDGER_VERIFY_VERIFY_H

#include <stdio.h>

#include "audit/head.h"

// The exit codes of ledger-verify.
typedef enum verify_outcome {
    VERIFY_PROVEN = 0, // every row is as it was signed, and none is missing up to the last head
    VERIFY_WRONG = 1,  // something is not as it was signed
    // wrong command line, or an unreadable file: nothing is said about the journal
    VERIFY_UNREADABLE = 2,
    // no fault, but no head covers the last rows (or any): they are not proven
    VERIFY_UNSEALED = 3,
} verify_outcome;

typedef struct verify_options {
    FILE *journal; // as ledger-export wrote it
    FILE *heads;   // as the sealer wrote it, of any books
    const head_keys *keys;
    FILE *out; // findings, one per line
} verify_options;

// Reads both files to their ends. @thread any.
verify_outcome verify_journal(const verify_options *o);

#endif
