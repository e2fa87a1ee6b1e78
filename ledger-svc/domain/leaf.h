// The canonical form of a journal row, and its hash as a leaf of the book's Merkle tree. Pure; any thread.
//
// Version 1, all numbers big-endian, in this order:
//   version 1 (1 byte), book_id (8), sequence (8), timestamp_us (8), effective_us (8), kind (1), flags (4), code (4),
//   currency (3 letters), id (16), debit_account_id (16), credit_account_id (16), amount (8),
//   debit account after the row: debits_pending, debits_posted, credits_pending, credits_posted (8 each), state (1),
//   credit account after the row: the same,
//   pending_id (16), released (8), expires_us (8), timeout_s (4), reverses_id (16),
//   user_data_128 (16), user_data_64 (8), user_data_32 (4),
//   length of external_reference (2), external_reference, length of metadata (2), metadata (its stored form: model.h).
// An absent id is 16 zero bytes, an absent number 0, as everywhere else. So each row has one form, and each form is one row. A change of
// this list needs a new version: signed heads must stay true.
#ifndef DOMAIN_LEAF_H
#define DOMAIN_LEAF_H

#include "base/err.h"
#include "domain/model.h"

enum {
    LEDGER_LEAF_VERSION = 1,
    LEDGER_LEAF_FIXED_LEN = 251, // the form without the two texts
    LEDGER_LEAF_LEN_MAX =
        LEDGER_LEAF_FIXED_LEN + LEDGER_EXTERNAL_REFERENCE_MAX + LEDGER_METADATA_MAX,
    LEDGER_LEAF_HASH_LEN = 32,
};

// Writes the canonical form. Returns its length.
size_t ledger_leaf_encode(int64_t book_id, const ledger_row *row, uint8_t out[LEDGER_LEAF_LEN_MAX]);
// Reads the canonical form back, for a check. The row's texts are borrowed from the bytes. False when the bytes are no canonical form; *row
// is then undefined. The texts' contents are not checked.
bool ledger_leaf_decode(const uint8_t *bytes, size_t len, int64_t *book_id,
                        ledger_row *row) WARN_UNUSED;
// SHA-256(0x00 || canonical form), RFC 6962.
void ledger_leaf_hash(int64_t book_id, const ledger_row *row, uint8_t out[LEDGER_LEAF_HASH_LEN]);

#endif
