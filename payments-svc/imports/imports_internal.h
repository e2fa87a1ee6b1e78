// Private to the imports room.
#ifndef IMPORTS_IMPORTS_INTERNAL_H
#define IMPORTS_IMPORTS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/ticker.h"
#include "imports/imports.h"
#include "imports/imports_sql.h"

enum {
    IMPORT_BATCH = 1000, // rows per call of the intake
    IMPORT_CALL_MS = 20000
};

struct imports {
    imports_options o;
    uuid owner; // of this instance's leases
    arena *a;   // for the job: a file and its rows
    arena *batch;
    ticker *ticker;
    atomic_bool stopping;
    int64_t looked_idle_ms; // time of the last look for idle imports
};

// Reads a row of IMPORT_COLUMNS. @arena (the rows')
void import_read(const db_rows *rows, size_t i, import_row *out);
// The place of a sealed part. @arena
str import_part_aad(int64_t book_id, uuid id, int64_t at_byte, arena *a);
// What the job does by itself, for nobody.
actor_info import_job_actor(void);
// Moves the import, whose row the transaction has locked. An import at its end loses its file. started_by: NULL except at its start.
bool import_move(db_conn *c, int64_t book_id, uuid id, import_state to, str sha256,
                 const actor_info *started_by, arena *a, err *e) WARN_UNUSED;
// Cancels an import that waits for someone, unless it was touched since.
bool import_cancel_idle(imports *s, const merchant *m, uuid id, int64_t idle_since_us,
                        int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// A tick of the job: takes one import up and works on it, as far as possible. True: there was one.
bool import_work(void *arg);

// --- import_rows.c: rows of a file, in batches ----------------------------------------------------------------------------

// The result of a row.
typedef struct import_outcome {
    const err *refused; // in the words of the API; NULL: not refused
    uuid payout_id;     // of an accepted row; nil if it was only checked
} import_outcome;

// The results that n rows would have. Accepted earlier: payout_id is not nil.
bool import_rows_check(imports *s, const merchant *m, const payout_row *rows, size_t n,
                       import_outcome *out, arena *a, err *e) WARN_UNUSED;
// Hands n rows in. False: no result for any; repeat the same call.
bool import_rows_pay(imports *s, const merchant *m, const actor_info *by, const payout_row *rows,
                     size_t n, import_outcome *out, arena *a, err *e) WARN_UNUSED;

#endif
