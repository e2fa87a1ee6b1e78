// The sealer: a thread that follows the journal of every book at most one second or 10,000 rows behind, adds its rows to the
// book's Merkle tree, signs the head, and publishes all heads, those of other processes too, to the heads file.
//
// Before it signs it proves to itself that the new tree begins with the one that was signed before, from what is stored
// now; a history that does not fit is not signed, then or later: the book is refused, loudly, until a person has looked.
// The heads of a book are a line by the keys of tree_head: any number of sealers may run, and one of them wins each link.
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
    // PEM public keys that have signed heads before; "" for only this one
    const char *public_keys_file;
    const char *heads_file; // made when missing
    int64_t interval_ms;    // seal no later than this after a commit was seen
    int64_t rows_max;       // … or at this many rows
    int64_t books_max;      // books with heads or rows that one process takes care of
} sealer_options;

// Starts the thread. NULL and *e when a key or the heads file cannot be used.
sealer *sealer_create(const sealer_options *o, err *e);
// Seals what there is, if the database lets it, and ends the thread. Accepts NULL.
void sealer_destroy(sealer *s);
// The keys that heads may be signed with: for who checks them. Lives as long as the sealer.
const head_keys *sealer_keys(const sealer *s);

#endif
