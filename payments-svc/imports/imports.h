// Imports: a payout file is uploaded in parts and checked whole. Then the instance with the import's lease hands its rows to the intake.
// The second way in, besides the calls of the API: plain C, no gRPC, no protobuf.
#ifndef IMPORTS_IMPORTS_H
#define IMPORTS_IMPORTS_H

#include "authz/actor.h"
#include "base/config.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "intake/intake.h"
#include "parties/merchants.h"
#include "payout_file/payout_file.h"

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
    IMPORT_PART_MIN = 64 << 10, // bytes of a part, except the last
    IMPORT_PART_MAX = 1 << 20,
    IMPORT_FAULTS_MAX = 1000, // faults kept; all are counted
    IMPORT_NAME_MAX = 255,
    IMPORT_ACTOR_MAX = 300
};

// Callbacks for needs of the rows that other rooms serve. Each gets at most IMPORT_BATCH rows of one merchant. faults[i]: NULL, or the
// refusal of row i, with the field of the API's request. False: no result for any row.
typedef struct import_calls {
    void *arg;
    // Finds the faults of registering these rows' recipients. ids[i]: UUID of a recipient that is registered under the row's key; else
    // NULL. Writes nothing.
    bool (*check)(void *arg, const merchant *m, const payout_row *rows, size_t n,
                  const err **faults, const char **ids, int64_t deadline_mono_ms, arena *a, err *e);
    // Registers the recipients, each once.
    bool (*enter)(void *arg, const merchant *m, const actor_info *by, const payout_row *rows,
                  size_t n, const err **faults, const char **ids, int64_t deadline_mono_ms,
                  arena *a, err *e);
    // The bytes of a row's request: equal to a call's for the same payout. .ptr NULL and *e on failure.
    str (*content)(void *arg, const payout_row *row, const char *recipient_id, arena *a, err *e);
    // The payout of an answer that was kept whole (payout_accepted.kept_answer).
    bool (*kept_id)(void *arg, str answer, uuid *id, arena *a, err *e);
    // Whether who started it (import_row.started_by) may start one of the merchant at this moment: asked before each batch.
    bool (*may)(void *arg, const merchant *m, str started_by);
} import_calls;

typedef struct imports_settings {
    int64_t bytes_max, rows_max, open_max; // per file; per file; per merchant
    int64_t lease_ms, poll_ms;
    int64_t idle_s; // an import that nobody continues is canceled after this time
} imports_settings;
extern const config_part IMPORTS_SETTINGS;

typedef struct imports_options {
    db_pool *pool;
    crypto_keyring *keys;
    intake *intake;
    merchant_store *merchants;
    import_calls calls;
    imports_settings settings;
} imports_options;

typedef struct imports imports;
// @borrows everything in the options until destroy. NULL and *e when a thread cannot be started.
imports *imports_start(const imports_options *o, err *e);
// Ends the current batch; the import continues at the next start, or at another instance. Accepts NULL.
void imports_stop(imports *s);

// The row of one import. Strings live in the call's arena.
typedef struct import_row {
    uuid id;
    str merchant_id, key, file_name, actor, started_by;
    str started_request_id; // of the call that started it; empty: none, or it is not known
    uuid started_trace;     // of the same; nil as above
    str sha256;             // of the file; .ptr NULL: not said yet
    int64_t size_bytes, received;
    import_state state; // a later version may have other states
    int32_t rows, faults, handed, accepted, refused;
    bool stop; // canceled while it runs
    int64_t created_us, updated_us;
} import_row;

typedef struct import_new {
    const actor_info *by;
    str key, file_name;
    str content; // the request's bytes: equal requests have equal bytes
    int64_t size_bytes;
} import_new;

// All of these block until the deadline at most, on any thread. The same request gives the same import, as it stands. ALREADY_EXISTS
// IDEMPOTENCY_KEY_REUSED; RESOURCE_EXHAUSTED TOO_MANY_IMPORTS; INVALID_ARGUMENT.
bool import_create(imports *s, const merchant *m, const import_new *n, import_row *out,
                   int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// Adds bytes at an offset, which must be the end of the upload so far; an earlier offset is a repeat. Otherwise FAILED_PRECONDITION
// UPLOAD_OFFSET; after the upload IMPORT_NOT_UPLOADING; INVALID_ARGUMENT for a part of another size.
bool import_upload(imports *s, const merchant *m, uuid id, const actor_info *by, int64_t offset,
                   str bytes, import_row *out, int64_t deadline_mono_ms, arena *a,
                   err *e) WARN_UNUSED;
// Ends the upload: the file is checked. sha256: 64 hexadecimal digits, NUL-terminated. A repeat succeeds. FAILED_PRECONDITION
// UPLOAD_INCOMPLETE.
bool import_finish(imports *s, const merchant *m, uuid id, const actor_info *by, str sha256,
                   import_row *out, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// Hands the rows of a valid file in. A repeat succeeds. FAILED_PRECONDITION IMPORT_NOT_VALID.
bool import_begin(imports *s, const merchant *m, uuid id, const actor_info *by, import_row *out,
                  int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// Stops handing rows in; the current batch is finished. A repeat succeeds. FAILED_PRECONDITION IMPORT_ENDED.
bool import_cancel(imports *s, const merchant *m, uuid id, const actor_info *by, import_row *out,
                   int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// NOT_FOUND IMPORT_NOT_FOUND.
bool import_get(imports *s, const merchant *m, uuid id, import_row *out, int64_t deadline_mono_ms,
                arena *a, err *e) WARN_UNUSED;
// Newest first, with ids before `before`. @arena
bool import_list(imports *s, const merchant *m, uuid before, int64_t limit, import_row **out,
                 size_t *n, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

typedef struct import_fault {
    int32_t number, line; // line 0: the whole file
    str field, reason, detail;
} import_fault;
// In the order of the file, after a number. @arena
bool import_faults(imports *s, const merchant *m, uuid id, int32_t after, int64_t limit,
                   import_fault **out, size_t *n, int64_t deadline_mono_ms, arena *a,
                   err *e) WARN_UNUSED;

typedef struct import_result {
    int32_t line;
    str reference;
    uuid payout_id; // nil: refused
    str field, reason, detail;
} import_result;
// In the order of the file, after a line. refused_only: only refused rows. @arena
bool import_results(imports *s, const merchant *m, uuid id, int32_t after, int64_t limit,
                    bool refused_only, import_result **out, size_t *n, int64_t deadline_mono_ms,
                    arena *a, err *e) WARN_UNUSED;

#endif
