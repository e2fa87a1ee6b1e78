// Callers' operations on imports: one short transaction each, under the lock of the import's row.
#include "imports/imports.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "command/audit.h"
#include "command/idempotency.h"
#include "command/written_by.h"
#include "domain/rules.h"
#include "imports/imports_internal.h"

enum { RACES_MAX = 8, SHA256_LEN = 64 };

// --- Rows ------------------------------------------------------------------------------------------------------------

void import_read(const db_rows *rows, size_t i, import_row *out) {
    *out = (import_row){.id = db_get_uuid(rows, i, 0),
                        .merchant_id = db_get_str(rows, i, 1),
                        .key = db_get_str(rows, i, 2),
                        .file_name = db_get_str(rows, i, 3),
                        .size_bytes = db_get_i64(rows, i, 4),
                        .state = (import_state)db_get_i16(rows, i, 5),
                        .received = db_get_i64(rows, i, 6),
                        .rows = db_get_i32(rows, i, 7),
                        .faults = db_get_i32(rows, i, 8),
                        .handed = db_get_i32(rows, i, 9),
                        .accepted = db_get_i32(rows, i, 10),
                        .refused = db_get_i32(rows, i, 11),
                        .stop = db_get_bool(rows, i, 12),
                        .actor = db_get_str(rows, i, 13),
                        .started_by = db_get_str(rows, i, 14),
                        .created_us = db_get_time(rows, i, 15),
                        .updated_us = db_get_time(rows, i, 16),
                        .sha256 = db_get_str(rows, i, 17),
                        .started_request_id = db_get_str(rows, i, 18),
                        .started_trace = db_get_uuid_or_nil(rows, i, 19)};
}

str import_part_aad(int64_t book_id, uuid id, int64_t at_byte, arena *a) {
    char text[UUID_TEXT_LEN + 1];
    uuid_format(id, text);
    const char *aad =
        arena_printf(a, "import|part|%" PRId64 "|%s|%" PRId64, book_id, text, at_byte);
    return aad == NULL ? (str){0} : str_of(aad);
}

actor_info import_job_actor(void) {
    return (actor_info){.program = STR("payments-svc"),
                        .person = STR(""),
                        .request_id = STR(""),
                        .trace_id = STR(""),
                        .method = STR("job/imports")};
}

static db_params *of_import(int64_t book_id, uuid id, arena *a) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, id);
    return p;
}

static bool read_one(db_conn *c, imports_sql_id sql, const db_params *p, import_row *out, arena *a,
                     err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, imports_sql(sql), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return err_set_field(e, ERR_NOT_FOUND, "IMPORT_NOT_FOUND", "import_id",
                             "the merchant has no such import");
    }
    import_read(rows, 0, out);
    return true;
}

bool import_move(db_conn *c, int64_t book_id, uuid id, import_state to, str sha256,
                 const actor_info *started_by, arena *a, err *e) {
    db_params *p = of_import(book_id, id, a);
    db_i16(p, (int16_t)to);
    db_time(p, clock_wall_us(clock_system()));
    if (sha256.ptr == NULL) {
        db_null(p, OID_TEXT);
    } else {
        db_text(p, sha256);
    }
    if (started_by == NULL) {
        db_text(p, STR(""));
        db_null(p, OID_TEXT);
        db_null(p, OID_UUID);
    } else {
        written_by_params(p, started_by, a);
    }
    const bool ends = to == IMPORT_INVALID || to == IMPORT_DONE || to == IMPORT_CANCELED;
    return db_exec(c, imports_sql(IMPORTS_SQL_MOVE), p, a, NULL, NULL, e) &&
           (!ends || db_exec(c, imports_sql(IMPORTS_SQL_DROP_PARTS), of_import(book_id, id, a), a,
                             NULL, NULL, e));
}

// --- Creating -------------------------------------------------------------------------------------------------------

typedef struct creating {
    imports *s;
    const merchant *m;
    const import_new *n;
    import_row *out;
} creating;

// The import of a known key, as it stands: so an upload that broke off is found again.
static bool find_by_key(db_conn *c, const creating *x, idem_entry *one, arena *a, err *e) {
    if (!idem_lookup(c, x->s->o.keys, x->m->book_id, IDEM_IMPORT, &one, 1, a, e) || !one->known) {
        return !err_is_set(e);
    }
    db_params *p = of_import(x->m->book_id, one->kept_made, a);
    db_text(p, str_of(x->m->id));
    if (!read_one(c, IMPORTS_SQL_GET, p, x->out, a, e)) {
        return false;
    }
    if (one->unhashed) { // from before migration 0037
        one->same =
            str_eq(x->out->file_name, x->n->file_name) && x->out->size_bytes == x->n->size_bytes;
    }
    return one->same || idem_conflict("", e);
}

static bool validate(const creating *x, err *e) {
    if (!rule_text(x->n->file_name, 1, IMPORT_NAME_MAX, "", "file_name", e)) {
        return false;
    }
    const int64_t max = x->s->o.settings.bytes_max;
    return (x->n->size_bytes >= 1 && x->n->size_bytes <= max) ||
           err_set_field(e, ERR_INVALID_ARGUMENT, "FILE_TOO_LARGE", "size_bytes",
                         "a file has 1 to %" PRId64 " bytes", max);
}

static bool create_tx(db_conn *c, arena *a, void *arg, err *e) {
    const creating *x = arg;
    idem_entry one = {.merchant_id = str_of(x->m->id), .key = x->n->key, .content = x->n->content};
    int64_t n = 0;
    if (!find_by_key(c, x, &one, a, e) || one.known) {
        return one.known && !err_is_set(e);
    }
    if (!validate(x, e)) {
        return false;
    }
    idem_hash(x->s->o.keys, IDEM_IMPORT, &one);
    const char *actor = actor_text(x->n->by, a);
    if (actor == NULL) {
        return err_no_memory(e, "the import");
    }
    const int64_t now_us = clock_wall_us(clock_system());
    const uuid id = uuid_v7(clock_system());
    db_params *p = of_import(x->m->book_id, id, a);
    db_text(p, str_of(x->m->id));
    db_text(p, x->n->key);
    db_text(p, x->n->file_name);
    db_i64(p, x->n->size_bytes);
    db_text(p, str_of(actor));
    db_time(p, now_us);
    db_i32(p, (int32_t)x->s->o.settings.open_max);
    db_bytes(p, one.hash.bytes, one.hash.len);
    if (!db_exec(c, imports_sql(IMPORTS_SQL_INSERT), p, a, NULL, &n, e)) {
        return false;
    }
    if (n == 0) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_IMPORTS",
                       "the merchant has %" PRId64
                       " open imports: start, finish or cancel one of them",
                       x->s->o.settings.open_max);
    }
    p = of_import(x->m->book_id, id, a);
    db_text(p, str_of(x->m->id));
    return audit_write_id(c, x->m->book_id, x->n->by, str_of(x->m->id), "import", id, STR(""),
                          now_us, a, e) &&
           read_one(c, IMPORTS_SQL_GET, p, x->out, a, e);
}

// Another import has taken the place.
static bool is_place_taken(const err *e) {
    return e->code == ERR_ALREADY_EXISTS && strcmp(e->constraint, "payment_import_slot") == 0;
}

bool import_create(imports *s, const merchant *m, const import_new *n, import_row *out,
                   int64_t deadline_mono_ms, arena *a, err *e) {
    creating x = {s, m, n, out};
    if (!rule_key(n->key, "", e)) {
        return false;
    }
    bool ok = false, again = true;
    for (int i = 0; again && i < RACES_MAX; i++) {
        err_clear(e);
        ok = db_transact(s->o.pool, deadline_mono_ms, a, create_tx, &x, e);
        again = !ok && (is_place_taken(e) || idem_should_look_again(e));
    }
    if (!ok && is_place_taken(e)) {
        (void)err_set(e, ERR_UNAVAILABLE, "ASK_AGAIN", "other imports were made at this moment");
        e->flags |= ERR_RETRIABLE;
    }
    return ok || idem_give_up(e);
}

// --- Changes under the row's lock ------------------------------------------------------------------------------------

typedef struct change {
    imports *s;
    const merchant *m;
    uuid id;
    const actor_info *by;
    import_row *out;
    str sha256, bytes, sealed;
    int64_t offset, idle_since_us;
    bool (*make)(struct change *x, db_conn *c, arena *a, err *e);
} change;

static bool change_tx(db_conn *c, arena *a, void *arg, err *e) {
    change *x = arg;
    db_params *p = of_import(x->m->book_id, x->id, a);
    db_text(p, str_of(x->m->id));
    return read_one(c, IMPORTS_SQL_LOCK, p, x->out, a, e) && x->make(x, c, a, e) &&
           read_one(c, IMPORTS_SQL_GET, p, x->out, a, e);
}

static bool make_change(change *x, int64_t deadline_mono_ms, arena *a, err *e) {
    return db_transact(x->s->o.pool, deadline_mono_ms, a, change_tx, x, e);
}

// What was changed is in the audit.
static bool note(const change *x, db_conn *c, arena *a, err *e) {
    return audit_write_id(c, x->m->book_id, x->by, str_of(x->m->id), "import", x->id, STR(""),
                          clock_wall_us(clock_system()), a, e);
}

static bool to_state(change *x, db_conn *c, import_state to, arena *a, err *e) {
    return import_move(c, x->m->book_id, x->id, to, x->sha256, to == IMPORT_RUNNING ? x->by : NULL,
                       a, e) &&
           note(x, c, a, e);
}

static bool wrong_state(const char *reason, const char *text, err *e) {
    return err_set_field(e, ERR_FAILED_PRECONDITION, reason, "import_id", "%s", text);
}

// --- Uploading -------------------------------------------------------------------------------------------------------

static bool upload(change *x, db_conn *c, arena *a, err *e) {
    const int64_t end = x->offset + (int64_t)x->bytes.len;
    const import_row *r = x->out;
    if (end <= r->received) {
        return true; // a repeat; the sum at the end of the upload covers the stored bytes
    }
    if (r->state != IMPORT_UPLOADING) {
        return wrong_state("IMPORT_NOT_UPLOADING", "the upload of this import is over", e);
    }
    if (x->offset != r->received) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "UPLOAD_OFFSET", "offset",
                             "the upload stands at byte %" PRId64 ": go on there", r->received);
    }
    if (end > r->size_bytes || (x->bytes.len < IMPORT_PART_MIN && end < r->size_bytes)) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "PART_SIZE_INVALID", "data",
                             "a part has %d to %d bytes, the last one what is left",
                             (int)IMPORT_PART_MIN, (int)IMPORT_PART_MAX);
    }
    db_params *part = of_import(x->m->book_id, x->id, a);
    db_i64(part, x->offset);
    db_bytes(part, x->sealed.ptr, x->sealed.len);
    db_params *sum = of_import(x->m->book_id, x->id, a);
    db_i64(sum, end);
    db_time(sum, clock_wall_us(clock_system()));
    return db_exec(c, imports_sql(IMPORTS_SQL_ADD_PART), part, a, NULL, NULL, e) &&
           db_exec(c, imports_sql(IMPORTS_SQL_RECEIVED), sum, a, NULL, NULL, e) && note(x, c, a, e);
}

bool import_upload(imports *s, const merchant *m, uuid id, const actor_info *by, int64_t offset,
                   str bytes, import_row *out, int64_t deadline_mono_ms, arena *a, err *e) {
    change x = {.s = s,
                .m = m,
                .id = id,
                .by = by,
                .out = out,
                .offset = offset,
                .bytes = bytes,
                .make = upload};
    if (offset < 0 || offset > s->o.settings.bytes_max || bytes.len < 1 ||
        bytes.len > IMPORT_PART_MAX) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "PART_SIZE_INVALID", "data",
                             "a part has 1 to %d bytes within the file", (int)IMPORT_PART_MAX);
    }
    const str aad = import_part_aad(m->book_id, id, offset, a);
    if (aad.ptr == NULL) {
        return err_no_memory(e, "the part");
    }
    const bool ok = crypto_seal(s->o.keys, aad, bytes, a, &x.sealed, e) &&
                    make_change(&x, deadline_mono_ms, a, e);
    CRASH_POINT("import.part.written");
    return ok;
}

static bool finish(change *x, db_conn *c, arena *a, err *e) {
    const import_row *r = x->out;
    if (r->state != IMPORT_UPLOADING) {
        const bool same = r->sha256.ptr != NULL && str_eq(r->sha256, x->sha256);
        return same || wrong_state("IMPORT_NOT_UPLOADING", "the upload of this import is over", e);
    }
    if (r->received != r->size_bytes) {
        return err_set_field(e, ERR_FAILED_PRECONDITION, "UPLOAD_INCOMPLETE", "import_id",
                             "the upload stands at byte %" PRId64 " of %" PRId64, r->received,
                             r->size_bytes);
    }
    return to_state(x, c, IMPORT_VALIDATING, a, e);
}

bool import_finish(imports *s, const merchant *m, uuid id, const actor_info *by, str sha256,
                   import_row *out, int64_t deadline_mono_ms, arena *a, err *e) {
    change x = {.s = s, .m = m, .id = id, .by = by, .out = out, .sha256 = sha256, .make = finish};
    if (sha256.len != SHA256_LEN || strspn(sha256.ptr, "0123456789abcdef") != SHA256_LEN) {
        return err_set_field(e, ERR_INVALID_ARGUMENT, "SHA256_INVALID", "sha256",
                             "a SHA-256 has %d hexadecimal digits in lower case", (int)SHA256_LEN);
    }
    const bool ok = make_change(&x, deadline_mono_ms, a, e);
    ticker_wake(s->ticker);
    return ok;
}

// --- Starting and canceling ------------------------------------------------------------------------------------------

static bool begin(change *x, db_conn *c, arena *a, err *e) {
    switch (x->out->state) {
    case IMPORT_RUNNING:
    case IMPORT_DONE: return true;
    case IMPORT_VALID: return to_state(x, c, IMPORT_RUNNING, a, e);
    case IMPORT_UPLOADING:
    case IMPORT_VALIDATING:
    case IMPORT_INVALID:
    case IMPORT_CANCELED: break;
    }
    return wrong_state("IMPORT_NOT_VALID", "only an import whose file was found good is started",
                       e);
}

bool import_begin(imports *s, const merchant *m, uuid id, const actor_info *by, import_row *out,
                  int64_t deadline_mono_ms, arena *a, err *e) {
    change x = {.s = s, .m = m, .id = id, .by = by, .out = out, .make = begin};
    const bool ok = make_change(&x, deadline_mono_ms, a, e);
    ticker_wake(s->ticker);
    return ok;
}

static bool stop(const change *x, db_conn *c, arena *a, err *e) {
    db_params *p = of_import(x->m->book_id, x->id, a);
    db_time(p, clock_wall_us(clock_system()));
    return db_exec(c, imports_sql(IMPORTS_SQL_STOP), p, a, NULL, NULL, e) && note(x, c, a, e);
}

static bool cancel(change *x, db_conn *c, arena *a, err *e) {
    switch (x->out->state) {
    case IMPORT_CANCELED: return true;
    case IMPORT_UPLOADING:
    case IMPORT_VALIDATING:
    case IMPORT_VALID: return to_state(x, c, IMPORT_CANCELED, a, e);
    case IMPORT_RUNNING: // the worker knows which rows were handed in, and ends the import
        return x->out->stop || stop(x, c, a, e);
    case IMPORT_INVALID:
    case IMPORT_DONE: break;
    }
    return wrong_state("IMPORT_ENDED", "the import is at its end", e);
}

bool import_cancel(imports *s, const merchant *m, uuid id, const actor_info *by, import_row *out,
                   int64_t deadline_mono_ms, arena *a, err *e) {
    change x = {.s = s, .m = m, .id = id, .by = by, .out = out, .make = cancel};
    return make_change(&x, deadline_mono_ms, a, e);
}

// An import that was continued or started meanwhile stays.
static bool cancel_idle(change *x, db_conn *c, arena *a, err *e) {
    const import_row *r = x->out;
    const bool waits = r->state == IMPORT_UPLOADING || r->state == IMPORT_VALID;
    return !waits || r->updated_us >= x->idle_since_us || to_state(x, c, IMPORT_CANCELED, a, e);
}

bool import_cancel_idle(imports *s, const merchant *m, uuid id, int64_t idle_since_us,
                        int64_t deadline_mono_ms, arena *a, err *e) {
    import_row out;
    const actor_info job = import_job_actor();
    change x = {.s = s,
                .m = m,
                .id = id,
                .by = &job,
                .out = &out,
                .idle_since_us = idle_since_us,
                .make = cancel_idle};
    return make_change(&x, deadline_mono_ms, a, e);
}

// --- Reading ---------------------------------------------------------------------------------------------------------

typedef struct reading {
    const merchant *m;
    uuid id;
    int64_t after, limit;
    bool refused_only;
    imports_sql_id sql; // a list of one import's rows, or IMPORTS_SQL_LIST
    import_row *one;
    db_rows *rows;
} reading;

static bool read_tx(db_conn *c, arena *a, void *arg, err *e) {
    reading *x = arg;
    if (x->sql == IMPORTS_SQL_LIST) {
        db_params *p = db_params_create(a);
        db_i64(p, x->m->book_id);
        db_text(p, str_of(x->m->id));
        db_uuid(p, x->id);
        db_i64(p, x->limit);
        return db_exec(c, imports_sql(x->sql), p, a, &x->rows, NULL, e);
    }
    db_params *p = of_import(x->m->book_id, x->id, a);
    db_text(p, str_of(x->m->id));
    if (!read_one(c, IMPORTS_SQL_GET, p, x->one, a, e) || x->sql == IMPORTS_SQL_GET) {
        return !err_is_set(e);
    }
    p = of_import(x->m->book_id, x->id, a);
    db_i32(p, (int32_t)x->after);
    db_i64(p, x->limit);
    if (x->sql == IMPORTS_SQL_RESULTS) {
        db_bool(p, x->refused_only);
    }
    return db_exec(c, imports_sql(x->sql), p, a, &x->rows, NULL, e);
}

static bool read_all(imports *s, reading *x, int64_t deadline_mono_ms, arena *a, err *e) {
    return db_read(s->o.pool, deadline_mono_ms, a, read_tx, x, e);
}

bool import_get(imports *s, const merchant *m, uuid id, import_row *out, int64_t deadline_mono_ms,
                arena *a, err *e) {
    reading x = {.m = m, .id = id, .sql = IMPORTS_SQL_GET, .one = out};
    return read_all(s, &x, deadline_mono_ms, a, e);
}

bool import_list(imports *s, const merchant *m, uuid before, int64_t limit, import_row **out,
                 size_t *n, int64_t deadline_mono_ms, arena *a, err *e) {
    reading x = {.m = m, .id = before, .limit = limit, .sql = IMPORTS_SQL_LIST};
    if (!read_all(s, &x, deadline_mono_ms, a, e)) {
        return false;
    }
    *n = db_count(x.rows);
    *out = ARENA_ARRAY(a, import_row, *n + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the list");
    }
    for (size_t i = 0; i < *n; i++) {
        import_read(x.rows, i, &(*out)[i]);
    }
    return true;
}

bool import_faults(imports *s, const merchant *m, uuid id, int32_t after, int64_t limit,
                   import_fault **out, size_t *n, int64_t deadline_mono_ms, arena *a, err *e) {
    import_row one;
    reading x = {
        .m = m, .id = id, .after = after, .limit = limit, .sql = IMPORTS_SQL_FAULTS, .one = &one};
    if (!read_all(s, &x, deadline_mono_ms, a, e)) {
        return false;
    }
    *n = db_count(x.rows);
    *out = ARENA_ARRAY(a, import_fault, *n + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the list");
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = (import_fault){db_get_i32(x.rows, i, 0), db_get_i32(x.rows, i, 1),
                                   db_get_str(x.rows, i, 2), db_get_str(x.rows, i, 3),
                                   db_get_str(x.rows, i, 4)};
    }
    return true;
}

bool import_results(imports *s, const merchant *m, uuid id, int32_t after, int64_t limit,
                    bool refused_only, import_result **out, size_t *n, int64_t deadline_mono_ms,
                    arena *a, err *e) {
    import_row one;
    reading x = {.m = m,
                 .id = id,
                 .after = after,
                 .limit = limit,
                 .refused_only = refused_only,
                 .sql = IMPORTS_SQL_RESULTS,
                 .one = &one};
    if (!read_all(s, &x, deadline_mono_ms, a, e)) {
        return false;
    }
    *n = db_count(x.rows);
    *out = ARENA_ARRAY(a, import_result, *n + 1);
    if (*out == NULL) {
        return err_no_memory(e, "the list");
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = (import_result){.line = db_get_i32(x.rows, i, 0),
                                    .reference = db_get_str(x.rows, i, 1),
                                    .payout_id = db_get_uuid_or_nil(x.rows, i, 2),
                                    .field = db_get_str(x.rows, i, 3),
                                    .reason = db_get_str(x.rows, i, 4),
                                    .detail = db_get_str(x.rows, i, 5)};
    }
    return true;
}
