// The sealer: a thread that follows the journal of every book, at most one second or 10,000 rows behind. It adds the rows to the book's
// Merkle tree, signs the head, and writes all heads, also those of other processes, to the heads file.
//
// Before the sealer signs, it proves from the stored tree that the new tree begins with the last signed one. When the history does not fit,
// the book is refused, loudly, until a person has looked: the sealer signs none of its heads then or later. The keys of tree_head make the
// heads of a book one line. Any number of sealers may run: one of them wins each link.
#ifndef AUDIT_SEALER_H
#define AUDIT_SEALER_H

#include "audit/head.h"
#include "base/clock.h"
#include "db/db.h"

typedef struct sealer sealer;

typedef struct sealer_options {
    db_pool *pool;             // @borrowed: of the role ledger_sealer; one connection is enough
    const clock_source *clock; // @borrowed
    const char *key_file;      // PEM private key
    // PEM public keys that have signed heads before; "": only this sealer's key has
    const char *public_keys_file;
    const char *heads_file; // made when missing
    int64_t interval_ms;    // seal no later than this after a commit was seen
    int64_t rows_max;       // … or at this many rows
    int64_t books_max;      // books with heads or rows that one process serves
} sealer_options;

// Starts the thread. NULL and *e when a key or the heads file cannot be used.
sealer *sealer_create(const sealer_options *o, err *e);
// Seals the last rows, if the database lets it, and ends the thread. Accepts NULL.
void sealer_destroy(sealer *s);
// The keys that heads may be signed with, for a check. They live as long as the sealer.
const head_keys *sealer_keys(const sealer *s);

#endif
