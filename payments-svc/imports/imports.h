// Imports: a payout file is uploaded in parts, checked whole, and then its rows are handed to the intake, by whichever instance has the
// import's lease. The second way in beside the calls of the API: plain C, no gRPC, no protobuf.
#ifndef IMPORTS_IMPORTS_H
#define IMPORTS_IMPORTS_H

#include "crypto/crypto.h"
#include "db/db.h"
#include "intake/intake.h"
#include "payout_file/payout_file.h"
#include "store/merchant_store.h"

// payments.v1.ImportState
typedef enum import_state {
    IMPORT_UPLOADING = 1,
    IMPORT_VALIDATING = 2,
    IMPORT_VALID = 3,
    IMPORT_INVALID = 4,
    IMPORT_RUNNING = 5,
    IMPORT_DONE = 6,
    IMPORT_CANCELED = 7
} import_state;

enum {
    IMPORT_PART_MIN = 64 << 10, // bytes of one part, unless it is the last one
    IMPORT_PART_MAX = 1 << 20,
    IMPORT_FAULTS_MAX = 1000, // that are kept; all are counted
    IMPORT_NAME_MAX = 255,
    IMPORT_ACTOR_MAX = 300
};

// What the rows of a file need of the rooms that know more than a file. Each is called with at most IMPORT_BATCH rows of one merchant.
// faults[i]: NULL, or why row i is refused, with the field as the request of the API has it. False: nothing is known of any.
typedef struct import_calls {
    void *arg;
    // What registering the recipients of these rows would be refused for. ids[i]: UUID of one that is registered under the row's key
    // already; else NULL. Writes nothing.
    bool (*check)(void *arg, const merchant *m, const payout_row *rows, size_t n,
                  const err **faults, const char **ids, int64_t deadline_mono_ms, arena *a, err *e);
    // Registers them, each once.
    bool (*enter)(void *arg, const merchant *m, const payout_row *rows, size_t n,
                  const err **faults, const char **ids, int64_t deadline_mono_ms, arena *a, err *e);
    // The request of a row as bytes: those of the same payout handed in by a call. .ptr NULL and *e on failure.
    str (*content)(void *arg, const payout_row *row, const char *recipient_id, arena *a, err *e);
    // The payout that an answer is about which was kept whole (payout_accepted.kept_answer).
    bool (*kept_id)(void *arg, str answer, uuid *id, arena *a, err *e);
} import_calls;

typedef struct imports_options {
    db_pool *pool;
    crypto_keyring *keys;
    intake *intake;
    merchant_store *merchants;
    import_calls calls;
    int64_t bytes_max, rows_max, open_max; // of a file; of a file; imports of a merchant
    int64_t lease_ms, poll_ms;
    int64_t idle_ms; // after which an import that nobody goes on with is canceled
} imports_options;

typedef struct imports imports;
// @borrows everything in the options until destroy. NULL and *e when a thread cannot be started.
imports *imports_start(const imports_options *o, err *e);
// Ends the batch under way; the import goes on at the next start, or at another instance. Accepts NULL.
void imports_stop(imports *s);

// One import as its row has it. Strings live in the arena of the call.
typedef struct import_row {
    uuid id;
    str merchant_id, key, file_name, actor, started_by;
    str sha256; // of the file; .ptr NULL: not said yet
    int64_t size_bytes, received;
    import_state state; // a later version may have others
    int32_t rows, faults, handed, accepted, refused;
    bool stop; // canceled while it runs
    int64_t created_us, updated_us;
} import_row;

typedef struct import_new {
    str key, file_name, actor;
    int64_t size_bytes;
} import_new;

// All of these block, are bounded by the deadline, and may be called on any thread.
// The same key, name and size give the same import. ALREADY_EXISTS IDEMPOTENCY_KEY_REUSED; RESOURCE_EXHAUSTED TOO_MANY_IMPORTS;
// INVALID_ARGUMENT.
bool import_create(imports *s, const merchant *m, const import_new *n, import_row *out,
                   int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// Adds bytes at an offset, which must be where the upload stands; what is there already is taken as a repeat. FAILED_PRECONDITION
// UPLOAD_OFFSET otherwise, IMPORT_NOT_UPLOADING when it is past that; INVALID_ARGUMENT for a part of another size.
bool import_upload(imports *s, const merchant *m, uuid id, int64_t offset, str bytes,
                   import_row *out, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// The upload is over: the file is checked. sha256: 64 hexadecimal digits, NUL-terminated. A repeat is fine. FAILED_PRECONDITION
// UPLOAD_INCOMPLETE.
bool import_finish(imports *s, const merchant *m, uuid id, str sha256, import_row *out,
                   int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// Hands the rows of a valid file in. A repeat is fine. FAILED_PRECONDITION IMPORT_NOT_VALID.
bool import_begin(imports *s, const merchant *m, uuid id, str actor, import_row *out,
                  int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// Nothing more is handed in; what is under way is finished. A repeat is fine. FAILED_PRECONDITION IMPORT_ENDED.
bool import_cancel(imports *s, const merchant *m, uuid id, import_row *out,
                   int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// NOT_FOUND IMPORT_NOT_FOUND.
bool import_get(imports *s, const merchant *m, uuid id, import_row *out, int64_t deadline_mono_ms,
                arena *a, err *e) WARN_UNUSED;
// Newest first, those with an id before `before`. @arena
bool import_list(imports *s, const merchant *m, uuid before, int64_t limit, import_row **out,
                 size_t *n, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

typedef struct import_fault {
    int32_t number, line; // line 0: the file as a whole
    str field, reason, detail;
} import_fault;
// In the order of the file, those after a number. @arena
bool import_faults(imports *s, const merchant *m, uuid id, int32_t after, int64_t limit,
                   import_fault **out, size_t *n, int64_t deadline_mono_ms, arena *a,
                   err *e) WARN_UNUSED;

typedef struct import_result {
    int32_t line;
    str reference;
    uuid payout_id; // nil: refused
    str field, reason, detail;
} import_result;
// In the order of the file, those after a line; refused_only: those. @arena
bool import_results(imports *s, const merchant *m, uuid id, int32_t after, int64_t limit,
                    bool refused_only, import_result **out, size_t *n, int64_t deadline_mono_ms,
                    arena *a, err *e) WARN_UNUSED;

#endif
