// The bank's files: fetched, understood as a whole or not at all, recorded together with what they say, put away.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "rails/ach/ach_internal.h"

enum { PATH_LEN_MAX = 512, EVENT_ID_LEN_MAX = ACH_NAME_LEN_MAX + 16 };

// One file on its way through.
typedef struct inbound {
    ach_rail *r;
    const char *name;
    ach_name parts;
    int64_t book_id, at_us;
    str content;
    uint8_t sha256[32];
    ach_ack ack;
    ach_line *lines;
    size_t n_lines;
    inbound_result result;
} inbound;

static bool bad(err *e, const char *why) {
    return err_set(e, ERR_INVALID_ARGUMENT, "BAD_FILE", "%s", why);
}

// An error that says that the file is not what it should be; all others are of the moment, and the file is tried again.
static bool is_bad_file(const err *e) {
    return strcmp(e->reason, "BAD_FILE") == 0;
}

static bool no_memory(err *e) {
    return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_LARGE", "no memory for the events of a file");
}

static int64_t sequence_of(const char *trace) {
    int64_t sequence = 0;
    ASSERT(str_to_i64((str){trace + 8, 7}, 0, NACHA_TRACE_SEQUENCE_MAX, &sequence));
    return sequence;
}

// --- Understanding ---------------------------------------------------------------------------------------------------

static bool find_book(inbound *f, err *e) {
    int64_t number = 0;
    ASSERT(str_to_i64((str){f->parts.origin + 1, 9}, 0, 999999999, &number));
    f->book_id = number - f->r->origin_base;
    if (f->parts.origin[0] != '1' || f->book_id < 1 || f->book_id > ACH_BOOK_MAX) {
        return bad(e, "the origin in the name is not one of ours");
    }
    return true;
}

static int compare_traces(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Traces must be of our ODFI, and each may appear only once in a file.
static bool check_traces(const inbound *f, arena *a, err *e) {
    const char **sorted = ARENA_ARRAY(a, const char *, f->n_lines + 1);
    if (sorted == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < f->n_lines; i++) {
        sorted[i] = f->lines[i].trace;
        if (memcmp(sorted[i], f->r->settings.odfi_routing, 8) != 0) {
            return err_set(e, ERR_INVALID_ARGUMENT, "BAD_FILE",
                           "line %d: the trace is not of our ODFI", f->lines[i].line);
        }
    }
    qsort(sorted, f->n_lines, sizeof *sorted, compare_traces);
    for (size_t i = 1; i < f->n_lines; i++) {
        if (strcmp(sorted[i - 1], sorted[i]) == 0) {
            return err_set(e, ERR_INVALID_ARGUMENT, "BAD_FILE", "the trace %s appears twice",
                           sorted[i]);
        }
    }
    return true;
}

static bool understand(inbound *f, arena *a, err *e) {
    switch (f->parts.kind) {
    case ACH_ACK: return ach_ack_parse(f->content, f->parts.file, a, &f->ack, e);
    case ACH_SETTLEMENT:
        return ach_settlement_parse(f->content, f->parts.file, f->parts.number, a, &f->lines,
                                    &f->n_lines, e) &&
               check_traces(f, a, e);
    case ACH_RETURNS:
        return ach_returns_parse(f->content, f->parts.origin, f->at_us, a, &f->lines, &f->n_lines,
                                 e) &&
               check_traces(f, a, e);
    }
    return bad(e, "unknown kind");
}

// --- Recording -------------------------------------------------------------------------------------------------------

// Events of a refused file: all of its entries.
static bool refused_events(const inbound *f, db_conn *c, uuid file_id, arena *a,
                           rail_event **events, size_t *n, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, f->book_id);
    db_uuid(p, file_id);
    if (!db_exec(c, &ACH_SQL[ACH_SQL_ENTRIES_OF_FILE], p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *events = ARENA_ARRAY(a, rail_event, *n + 1);
    char(*traces)[16] = arena_calloc(a, *n + 1, sizeof *traces);
    if (*events == NULL || traces == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < *n; i++) {
        ach_trace_format(f->r, db_get_i64(rows, i, 2), traces[i]);
        (*events)[i] = (rail_event){
            .payout_id = db_get_uuid(rows, i, 0),
            .attempt = db_get_i32(rows, i, 1),
            .kind = RAIL_EVENT_REFUSED,
            .event_id = str_of(f->name),
            .code = STR("FILE_REJECTED"),
            .text = f->ack.reason,
            .reference = str_of(traces[i]),
            .at_us = f->ack.at_us,
        };
    }
    return true;
}

static bool ack_events(const inbound *f, db_conn *c, arena *a, rail_event **events, size_t *n,
                       err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, f->book_id);
    db_text(p, str_of(f->parts.file));
    if (!db_exec(c, &ACH_SQL[ACH_SQL_FILE_BY_NAME], p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) != 1) {
        return bad(e, "acknowledges a file that we never made");
    }
    if (!f->ack.accepted) {
        return refused_events(f, c, db_get_uuid(rows, 0, 0), a, events, n, e);
    }
    if (f->ack.entries != db_get_i32(rows, 0, 1) || f->ack.total != db_get_i64(rows, 0, 2)) {
        return bad(e, "acknowledges another count or total than the file has");
    }
    *n = 0; // a submit that succeeded said the same already, and a query finds the file at the bank
    return true;
}

static bool check_line(const inbound *f, const ach_line *l, db_rows *rows, size_t row, err *e) {
    if (db_get_i64(rows, row, 3) != l->amount) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_FILE",
                       "line %d: the amount is not the entry's", l->line);
    }
    if (f->parts.kind == ACH_SETTLEMENT && !str_eq_c(db_get_str(rows, row, 4), f->parts.file)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_FILE", "line %d: the entry is of another file",
                       l->line);
    }
    return true;
}

static bool line_events(const inbound *f, db_conn *c, arena *a, rail_event **events, size_t *n,
                        err *e) {
    int64_t *sequences = ARENA_ARRAY(a, int64_t, f->n_lines + 1);
    char(*ids)[EVENT_ID_LEN_MAX] = arena_calloc(a, f->n_lines + 1, sizeof *ids);
    *events = ARENA_ARRAY(a, rail_event, f->n_lines + 1);
    *n = f->n_lines;
    if (sequences == NULL || ids == NULL || *events == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < *n; i++) {
        sequences[i] = sequence_of(f->lines[i].trace);
    }
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, f->book_id);
    db_i64_array(p, sequences, *n);
    if (!db_exec(c, &ACH_SQL[ACH_SQL_ENTRIES_BY_TRACE], p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < *n; i++) {
        const ach_line *l = &f->lines[i];
        // Rows come in the order of the lines; the first one that is not there leaves a gap.
        if (i >= db_count(rows) || db_get_i64(rows, i, 0) != (int64_t)i + 1) {
            return err_set(e, ERR_INVALID_ARGUMENT, "BAD_FILE", "line %d: we never used this trace",
                           l->line);
        }
        if (!check_line(f, l, rows, i, e)) {
            return false;
        }
        snprintf(ids[i], sizeof ids[i], "%s:%d", f->name, l->line);
        (*events)[i] = (rail_event){
            .payout_id = db_get_uuid(rows, i, 1),
            .attempt = db_get_i32(rows, i, 2),
            .kind = f->parts.kind == ACH_RETURNS ? RAIL_EVENT_RETURNED : RAIL_EVENT_SETTLED,
            .event_id = str_of(ids[i]),
            .code = l->code,
            .text = l->text,
            .reference = str_of(l->trace),
            .at_us = l->at_us,
        };
    }
    return true;
}

static bool insert_file(const inbound *f, db_conn *c, arena *a, err *e) {
    char aad[ACH_NAME_LEN_MAX + 64];
    str sealed;
    int64_t inserted = 0;
    int len = snprintf(aad, sizeof aad, "inbound_file|content|%" PRId64 "|%s", f->book_id, f->name);
    ASSERT(len > 0 && (size_t)len < sizeof aad);
    if (!crypto_seal(f->r->keys, (str){aad, (size_t)len}, f->content, a, &sealed, e)) {
        return false;
    }
    db_params *p = db_params_create(a);
    db_i64(p, f->book_id);
    db_text(p, str_of(f->name));
    db_bytes(p, f->sha256, sizeof f->sha256);
    db_i32(p, (int32_t)f->n_lines);
    db_bytes(p, sealed.ptr, sealed.len);
    db_time(p, f->at_us);
    return db_exec(c, &ACH_SQL[ACH_SQL_INBOUND_INSERT], p, a, NULL, &inserted, e);
}

// True with *known when the name has been recorded; a name that comes back with another content is bad.
static bool find_recorded(const inbound *f, db_conn *c, bool *known, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, f->book_id);
    db_text(p, str_of(f->name));
    if (!db_exec(c, &ACH_SQL[ACH_SQL_INBOUND_BY_NAME], p, a, &rows, NULL, e)) {
        return false;
    }
    *known = db_count(rows) == 1;
    if (*known) {
        str before = db_get_str(rows, 0, 0);
        if (before.len != sizeof f->sha256 ||
            memcmp(before.ptr, f->sha256, sizeof f->sha256) != 0) {
            return bad(e, "a file of this name was recorded before, with another content");
        }
    }
    return true;
}

// The transaction: the file and all that it says, or nothing.
static bool record(db_conn *c, arena *a, void *arg, err *e) {
    inbound *f = arg;
    bool known = false;
    rail_event *events = NULL;
    size_t n = 0;
    if (!find_recorded(f, c, &known, a, e)) {
        return false;
    }
    f->result = known ? INBOUND_REPEATED : INBOUND_RECORDED;
    if (known) {
        return true;
    }
    bool ok = f->parts.kind == ACH_ACK ? ack_events(f, c, a, &events, &n, e)
                                       : line_events(f, c, a, &events, &n, e);
    // The file goes first: of two processes with the same file, the second one waits here, and fails.
    return ok && insert_file(f, c, a, e) &&
           (n == 0 || rail_events_record(c, f->book_id, events, n, a, e));
}

// --- Putting away ----------------------------------------------------------------------------------------------------

static void path_of(const ach_rail *r, const char *folder, const char *name,
                    char out[PATH_LEN_MAX]) {
    int n = snprintf(out, PATH_LEN_MAX, "%s%s/%s", r->settings.outbox_dir, folder, name);
    ASSERT(n > 0 && n < PATH_LEN_MAX);
}

// Renames outbox/name into a folder of ours. When the name is taken there, into a new one: nothing is ever deleted. A file
// that is no longer there was put away by another process.
static bool put_away(ach_rail *r, const char *name, const char *folder, err *e) {
    char from[PATH_LEN_MAX], to[PATH_LEN_MAX], other[PATH_LEN_MAX + 16];
    bool exists = true;
    path_of(r, "", name, from);
    path_of(r, folder, name, to);
    if (!ach_sftp_exists(r->in, to, &exists, e)) {
        return false;
    }
    if (exists) {
        uint32_t random;
        clock_random(r->clock, &random, sizeof random);
        snprintf(other, sizeof other, "%s.%08" PRIx32, to, random);
    }
    if (ach_sftp_rename(r->in, from, exists ? other : to, e)) {
        return true;
    }
    return ach_sftp_exists(r->in, from, &exists, e) && !exists;
}

static bool quarantine(ach_rail *r, const char *name, const err *why, err *e) {
    log_error("ach.inbound.bad_file", F_STR("file", name), F_STR("why", why->message));
    metric_add(r->inbound[INBOUND_BAD], 1);
    return put_away(r, name, "/bad", e);
}

// --- One look --------------------------------------------------------------------------------------------------------

static bool fetch(inbound *f, uint64_t size, arena *a, err *e) {
    char path[PATH_LEN_MAX];
    if (size > ACH_INBOUND_FILE_MAX) {
        return bad(e, "is too large");
    }
    if (!ach_name_parse(f->name, &f->parts)) {
        return bad(e, "the name is none that we know");
    }
    if (!find_book(f, e)) {
        return false;
    }
    path_of(f->r, "", f->name, path);
    if (!ach_sftp_read(f->r->in, path, (size_t)size, a, &f->content, e)) {
        return false;
    }
    if (f->content.len != size) {
        return err_set(e, ERR_ABORTED, "FILE_CHANGED", "the file changed while it was read");
    }
    crypto_sha256(f->content.ptr, f->content.len, f->sha256);
    CRASH_POINT("ach.inbound.downloaded");
    return true;
}

static bool handle(ach_rail *r, const ach_sftp_file *file, arena *a, err *e) {
    inbound f = {.r = r, .name = file->name, .at_us = clock_wall_us(r->clock)};
    bool ok = fetch(&f, file->size, a, e) && understand(&f, a, e) &&
              db_transact(r->pool, clock_mono_ms(r->clock) + ACH_DB_TIMEOUT_MS, a, record, &f, e);
    if (!ok) {
        err why = *e;
        return is_bad_file(&why) && quarantine(r, file->name, &why, e);
    }
    CRASH_POINT("ach.inbound.recorded");
    metric_add(r->inbound[f.result], 1);
    log_info("ach.inbound.recorded", F_STR("file", file->name), F_INT("book", f.book_id),
             F_INT("lines", f.n_lines), F_BOOL("repeated", f.result == INBOUND_REPEATED));
    if (f.result == INBOUND_RECORDED && r->wake != NULL) {
        r->wake(r->wake_arg, f.book_id);
    }
    if (!put_away(r, file->name, "/done", e)) {
        return false;
    }
    CRASH_POINT("ach.inbound.renamed");
    return true;
}

static bool is_temporary(const char *name) {
    str s = str_of(name);
    return s.len >= 4 && memcmp(s.ptr + s.len - 4, ".tmp", 4) == 0;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const ach_sftp_file *)a)->name, ((const ach_sftp_file *)b)->name);
}

static bool make_folders(ach_rail *r, err *e) {
    char path[PATH_LEN_MAX];
    path_of(r, "", "done", path);
    if (!ach_sftp_mkdir(r->in, path, e)) {
        return false;
    }
    path_of(r, "", "bad", path);
    return ach_sftp_mkdir(r->in, path, e);
}

bool ach_inbound_poll(ach_rail *r, err *e) {
    arena *listing = arena_create(ACH_SCRATCH_MAX), *a = arena_create(ACH_SCRATCH_MAX);
    ach_sftp_file *files = NULL;
    size_t n = 0;
    bool ok =
        ach_sftp_list(r->in, r->settings.outbox_dir, ACH_INBOUND_LIST_MAX, listing, &files, &n, e);
    if (ok && n > 0) {
        qsort(files, n, sizeof *files, compare_names);
        ok = make_folders(r, e);
    }
    for (size_t i = 0; ok && i < n; i++) {
        err one = {0};
        if (is_temporary(files[i].name)) {
            continue;
        }
        if (!handle(r, &files[i], a, &one)) {
            log_err(LOG_WARN, "ach.inbound.postponed", &one);
            *e = one;
            ok = one.code != ERR_UNAVAILABLE; // then the rest would fail as well
        }
        arena_reset(a);
    }
    arena_destroy(a);
    arena_destroy(listing);
    return ok;
}

// --- Sweeping --------------------------------------------------------------------------------------------------------

// "<our file>.<8 hex digits>.tmp", as ach_rail.c names what it uploads.
static bool is_our_upload(const ach_rail *r, const char *name) {
    enum { FILE_LEN = 25, NAME_LEN = FILE_LEN + 13 };
    char as_ack[ACH_NAME_LEN_MAX];
    inbound f = {.r = (ach_rail *)(uintptr_t)r};
    err e = {0};
    if (strlen(name) != NAME_LEN || name[FILE_LEN] != '.' || !is_temporary(name)) {
        return false;
    }
    for (size_t i = FILE_LEN + 1; i < NAME_LEN - 4; i++) {
        if (strchr("0123456789abcdef", name[i]) == NULL) {
            return false;
        }
    }
    snprintf(as_ack, sizeof as_ack, "%.*s.ack", (int)FILE_LEN, name);
    return ach_name_parse(as_ack, &f.parts) && find_book(&f, &e);
}

bool ach_inbound_sweep(ach_rail *r, err *e) {
    arena *a = arena_create(ACH_SCRATCH_MAX);
    ach_sftp_file *files = NULL;
    size_t n = 0;
    const int64_t old_s = clock_wall_us(r->clock) / 1000000 - ACH_UPLOAD_OLD_S;
    bool ok = ach_sftp_list(r->in, r->settings.inbox_dir, ACH_INBOUND_LIST_MAX, a, &files, &n, e);
    for (size_t i = 0; ok && i < n; i++) {
        char path[PATH_LEN_MAX];
        if (files[i].modified_s >= old_s || !is_our_upload(r, files[i].name)) {
            continue;
        }
        int len = snprintf(path, sizeof path, "%s/%s", r->settings.inbox_dir, files[i].name);
        ASSERT(len > 0 && (size_t)len < sizeof path);
        ok = ach_sftp_remove(r->in, path, e);
        if (ok) {
            log_info("ach.upload.swept", F_STR("file", files[i].name));
        }
    }
    arena_destroy(a);
    return ok;
}

// --- The ticker ------------------------------------------------------------------------------------------------------

void ach_inbound_look(void *arg) {
    ach_rail *r = arg;
    err e = {0};
    const bool ok = ach_inbound_poll(r, &e);
    if (ok && clock_mono_ms(r->clock) >= r->sweep_at_ms) {
        r->sweep_at_ms = clock_mono_ms(r->clock) + ACH_SWEEP_EVERY_MS;
        if (!ach_inbound_sweep(r, &e)) { // nothing waits for it
            log_err(LOG_WARN, "ach.sweep_failed", &e);
        }
    }
    if (!ok && !r->inbound_down) { // once, not at every look
        log_err(LOG_WARN, "ach.inbound.down", &e);
    } else if (ok && r->inbound_down) {
        log_info("ach.inbound.up");
    }
    r->inbound_down = !ok;
}
