// Private to the imports room.
#ifndef IMPORTS_IMPORTS_INTERNAL_H
#define IMPORTS_IMPORTS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/ticker.h"
#include "imports/imports.h"
#include "imports/imports_sql.h"

enum {
    IMPORT_BATCH = 1000, // rows of one call of the intake
    IMPORT_CALL_MS = 20000
};

struct imports {
    imports_options o;
    uuid owner; // of this instance's leases
    arena *a;   // of the job: a file and its rows
    arena *batch;
    ticker *ticker;
    atomic_bool stopping;
    int64_t looked_idle_ms; // when idle imports were looked for
};

// The row of IMPORT_COLUMNS. @arena (the rows')
void import_read(const db_rows *rows, size_t i, import_row *out);
// Where the sealed part of a file belongs. @arena
str import_part_aad(int64_t book_id, uuid id, int64_t at_byte, arena *a);
// Moves the import, whose row the transaction has locked. What comes to its end loses its file.
bool import_move(db_conn *c, int64_t book_id, uuid id, import_state to, str sha256, str started_by,
                 arena *a, err *e) WARN_UNUSED;
// Cancels the import if nobody has done anything about it since, and it waits for somebody.
bool import_cancel_idle(imports *s, const merchant *m, uuid id, int64_t idle_since_us,
                        int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// A tick of the job: takes one import up and works on it, as far as it comes. True: there was one.
bool import_work(void *arg);

// --- import_rows.c: rows of a file, in batches ----------------------------------------------------------------------------

// What became of a row.
typedef struct import_outcome {
    const err *refused; // in the words of the API; NULL: not
    uuid payout_id;     // of one that was accepted; nil where it was only checked
} import_outcome;

// What would become of n rows. accepted before: payout_id is not nil.
bool import_rows_check(imports *s, const merchant *m, const payout_row *rows, size_t n,
                       import_outcome *out, arena *a, err *e) WARN_UNUSED;
// Hands n rows in. False: nothing is known of any, and the same call again is right.
bool import_rows_pay(imports *s, const merchant *m, const payout_row *rows, size_t n,
                     import_outcome *out, arena *a, err *e) WARN_UNUSED;

#endif
