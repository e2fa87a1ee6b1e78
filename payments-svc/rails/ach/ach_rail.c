#include "rails/ach/ach_rail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "rails/ach/ach_internal.h"

// Where an item's entry is.
typedef struct place {
    bool known;
    int64_t trace;
    uuid file_id;
    str name;    // of the file
    size_t file; // index among the files of the call
} place;

// A file that the items of one call are in.
typedef struct file_ref {
    uuid id;
    str name, sealed, sha256;
    rail_verdict verdict;
    const char *code, *text; // static; why it is not accepted
} file_ref;

static ach_rail *self_of(rail *r) {
    return r->self;
}

static int64_t db_deadline(const ach_rail *r) {
    return clock_mono_ms(r->clock) + ACH_DB_TIMEOUT_MS;
}

static bool no_memory(err *e) {
    return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_LARGE", "no memory for a batch of entries");
}

static void set_reference(const ach_rail *r, rail_item *item, int64_t trace, arena *a) {
    char text[16];
    ach_trace_format(r, trace, text);
    char *copy = arena_strndup(a, text, NACHA_TRACE_LEN);
    item->reference = copy == NULL ? (str){0} : (str){copy, NACHA_TRACE_LEN};
}

static void set_verdict(rail_item *item, rail_verdict verdict, const char *code, const char *text) {
    item->verdict = verdict;
    item->code = str_of(code);
    item->text = str_of(text);
}

// An item that no file can carry: refused, for good. True when it is one.
static bool refuse_unfit(rail_item *item, arena *a) {
    err e = {0};
    if (ach_item_check(item, &e)) {
        return false;
    }
    const char *text = arena_strdup(a, e.message);
    set_verdict(item, RAIL_REFUSED, "INVALID_ENTRY", text == NULL ? "invalid entry" : text);
    return true;
}

// --- Looking up what was prepared ------------------------------------------------------------------------------------

static bool find_places(db_conn *c, int64_t book_id, const rail_item *items, size_t n,
                        place *places, arena *a, err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    int32_t *attempts = ARENA_ARRAY(a, int32_t, n);
    if (ids == NULL || attempts == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = items[i].payout_id;
        attempts[i] = items[i].attempt;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, ids, n);
    db_i32_array(p, attempts, n);
    db_rows *rows = NULL;
    if (!db_exec(c, &ACH_SQL[ACH_SQL_ENTRIES_OF_ITEMS], p, a, &rows, NULL, e)) {
        return false;
    }
    memset(places, 0, n * sizeof *places);
    for (size_t i = 0; i < db_count(rows); i++) {
        int64_t at = db_get_i64(rows, i, 0) - 1;
        ASSERT(at >= 0 && (size_t)at < n);
        places[at] = (place){.known = true,
                             .trace = db_get_i64(rows, i, 1),
                             .file_id = db_get_uuid(rows, i, 2),
                             .name = db_get_str(rows, i, 3)};
    }
    return true;
}

// The files of the items, once each. Entries of a file mostly come in a row, so the last one is tried first.
static file_ref *collect_files(place *places, size_t n, size_t *n_files, arena *a) {
    file_ref *files = ARENA_ARRAY(a, file_ref, n);
    *n_files = 0;
    for (size_t i = 0; files != NULL && i < n; i++) {
        if (!places[i].known) {
            continue;
        }
        size_t f = *n_files;
        while (f > 0 && !uuid_eq(files[f - 1].id, places[i].file_id)) {
            f--;
        }
        if (f == 0) {
            files[*n_files] = (file_ref){.id = places[i].file_id, .name = places[i].name};
            f = ++*n_files;
        }
        places[i].file = f - 1;
    }
    return files;
}

static bool load_contents(db_conn *c, int64_t book_id, file_ref *files, size_t n, arena *a,
                          err *e) {
    uuid *ids = ARENA_ARRAY(a, uuid, n);
    if (ids == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = files[i].id;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid_array(p, ids, n);
    db_rows *rows = NULL;
    if (!db_exec(c, &ACH_SQL[ACH_SQL_FILES_BY_ID], p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        for (size_t f = 0; f < n; f++) {
            if (uuid_eq(files[f].id, db_get_uuid(rows, i, 0))) {
                files[f].sealed = db_get_str(rows, i, 1);
                files[f].sha256 = db_get_str(rows, i, 2);
            }
        }
    }
    return true;
}

typedef struct lookup {
    ach_rail *r;
    int64_t book_id;
    rail_item *items;
    size_t n;
    bool with_content;
    place *places;
    file_ref *files;
    size_t n_files;
} lookup;

static bool lookup_run(db_conn *c, arena *a, void *arg, err *e) {
    lookup *l = arg;
    l->places = ARENA_ARRAY(a, place, l->n);
    if (l->places == NULL) {
        return no_memory(e);
    }
    if (!find_places(c, l->book_id, l->items, l->n, l->places, a, e)) {
        return false;
    }
    l->files = collect_files(l->places, l->n, &l->n_files, a);
    if (l->files == NULL) {
        return no_memory(e);
    }
    return !l->with_content || load_contents(c, l->book_id, l->files, l->n_files, a, e);
}

// --- Prepare ---------------------------------------------------------------------------------------------------------

static str file_aad(int64_t book_id, uuid file_id, char *out, size_t out_len) {
    char id[UUID_TEXT_LEN + 1];
    uuid_format(file_id, id);
    int n = snprintf(out, out_len, "ach_file|content|%" PRId64 "|%s", book_id, id);
    ASSERT(n > 0 && (size_t)n < out_len);
    return (str){out, (size_t)n};
}

static str date_text(int64_t yyyymmdd, char out[9]) {
    snprintf(out, 9, "%08" PRId64, yyyymmdd);
    return (str){out, 8};
}

// The book's numbers, with their row locked until the transaction ends: prepares of one book come one after the other.
static bool lock_numbers(ach_rail *r, db_conn *c, int64_t book_id, ach_numbers *numbers, arena *a,
                         err *e) {
    db_params *key = db_params_create(a);
    db_i64(key, book_id);
    for (int tries = 0; tries < 2; tries++) {
        db_rows *rows = NULL;
        if (!db_exec(c, &ACH_SQL[ACH_SQL_COUNTER_LOCK], key, a, &rows, NULL, e)) {
            return false;
        }
        if (db_count(rows) == 1) {
            *numbers = (ach_numbers){db_get_i64(rows, 0, 0), db_get_i64(rows, 0, 1),
                                     db_get_i16(rows, 0, 2)};
            return true;
        }
        char today[9];
        db_params *p = db_params_create(a);
        db_i64(p, book_id);
        db_text(p, date_text(ach_today(r->clock), today));
        if (!db_exec(c, &ACH_SQL[ACH_SQL_COUNTER_INSERT], p, a, NULL, NULL, e)) {
            return false;
        }
    }
    return err_set(e, ERR_INTERNAL, "ACH_COUNTER", "the book's counter row cannot be made");
}

static bool store_numbers(db_conn *c, int64_t book_id, const ach_numbers *numbers, arena *a,
                          err *e) {
    char date[9];
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_i64(p, numbers->next_trace);
    db_text(p, date_text(numbers->file_date, date));
    db_i16(p, (int16_t)numbers->next_modifier);
    return db_exec(c, &ACH_SQL[ACH_SQL_COUNTER_UPDATE], p, a, NULL, NULL, e);
}

static bool store_file(ach_rail *r, db_conn *c, int64_t book_id, const ach_numbers *numbers,
                       const ach_file_plan *f, uuid file_id, arena *a, err *e) {
    uint8_t sha256[32];
    char aad[128], date[9];
    str content = strbuf_str(&f->content), sealed;
    crypto_sha256(content.ptr, content.len, sha256);
    if (!crypto_seal(r->keys, file_aad(book_id, file_id, aad, sizeof aad), content, a, &sealed,
                     e)) {
        return false;
    }
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_uuid(p, file_id);
    db_text(p, str_of(f->name));
    db_text(p, date_text(numbers->file_date, date));
    db_text(p, (str){&f->modifier, 1});
    db_i32(p, (int32_t)f->n_entries);
    db_i64(p, f->totals.credit_cents);
    db_bytes(p, sha256, sizeof sha256);
    db_bytes(p, sealed.ptr, sealed.len);
    db_time(p, clock_wall_us(r->clock));
    return db_exec(c, &ACH_SQL[ACH_SQL_FILE_INSERT], p, a, NULL, NULL, e);
}

static bool store_entries(db_conn *c, int64_t book_id, const ach_build *b, const uuid *file_ids,
                          const rail_item *items, err *e) {
    db_copy *w =
        db_copy_begin(c, "ach_entry", "book_id, trace, payout_id, attempt, amount, file_id", 6, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < b->n_files; i++) {
        for (size_t k = 0; k < b->files[i].n_entries; k++) {
            const ach_entry_plan *entry = &b->files[i].entries[k];
            db_copy_row(w);
            db_copy_i64(w, book_id);
            db_copy_i64(w, entry->trace);
            db_copy_uuid(w, items[entry->item].payout_id);
            db_copy_i32(w, items[entry->item].attempt);
            db_copy_i64(w, items[entry->item].amount);
            db_copy_uuid(w, file_ids[i]);
        }
    }
    return db_copy_end(w, NULL, e);
}

// Files, entries and numbers of the chosen items.
static bool prepare_new(ach_rail *r, db_conn *c, int64_t book_id, rail_item *items,
                        const size_t *chosen, size_t n_chosen, ach_build *b, arena *scratch,
                        err *e) {
    ach_numbers numbers;
    if (!lock_numbers(r, c, book_id, &numbers, scratch, e) ||
        !ach_build_files(r, book_id, items, chosen, n_chosen, &numbers, scratch, b, e)) {
        return false;
    }
    uuid *file_ids = ARENA_ARRAY(scratch, uuid, b->n_files + 1);
    if (file_ids == NULL) {
        return no_memory(e);
    }
    for (size_t i = 0; i < b->n_files; i++) {
        file_ids[i] = uuid_v7(r->clock);
        if (!store_file(r, c, book_id, &numbers, &b->files[i], file_ids[i], scratch, e)) {
            return false;
        }
    }
    if (b->n_files > 0 && !store_entries(c, book_id, b, file_ids, items, e)) {
        return false;
    }
    return store_numbers(c, book_id, &numbers, scratch, e);
}

static void note_new(ach_rail *r, int64_t book_id, rail_item *items, size_t n_chosen,
                     const ach_build *b, arena *a) {
    size_t placed = 0;
    for (size_t i = 0; i < b->n_files; i++) {
        const ach_file_plan *f = &b->files[i];
        for (size_t k = 0; k < f->n_entries; k++) {
            set_reference(r, &items[f->entries[k].item], f->entries[k].trace, a);
        }
        placed += f->n_entries;
        metric_add(r->files, 1);
        log_info("ach.file.prepared", F_STR("file", f->name), F_INT("book", book_id),
                 F_INT("entries", f->n_entries), F_INT("total", f->totals.credit_cents));
    }
    if (b->exhausted) {
        metric_add(r->exhausted, (int64_t)(n_chosen - placed));
        log_error("ach.numbers.exhausted", F_INT("book", book_id),
                  F_INT("items", n_chosen - placed));
    }
}

static bool ach_prepare(rail *base, db_conn *c, int64_t book_id, rail_item *items, size_t n,
                        arena *a, err *e) {
    ach_rail *r = self_of(base);
    ach_build b = {0};
    bool ok = false;
    arena *scratch = arena_create(ACH_SCRATCH_MAX);
    place *places = ARENA_ARRAY(scratch, place, n);
    size_t *chosen = ARENA_ARRAY(scratch, size_t, n);
    size_t n_chosen = 0;
    if (places == NULL || chosen == NULL) {
        no_memory(e);
        goto out;
    }
    if (!find_places(c, book_id, items, n, places, scratch, e)) {
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        if (places[i].known) {
            set_reference(r, &items[i], places[i].trace, a);
        } else if (!refuse_unfit(&items[i], a)) {
            // What gets no place below (no modifier left today) is submitted without an entry, and so NOT_SENT.
            set_verdict(&items[i], RAIL_NOT_SENT, "", "");
            chosen[n_chosen++] = i;
        }
    }
    if (n_chosen > 0) {
        if (!prepare_new(r, c, book_id, items, chosen, n_chosen, &b, scratch, e)) {
            goto out;
        }
        note_new(r, book_id, items, n_chosen, &b, a);
    }
    ok = true;
    CRASH_POINT("ach.file.prepared");
out:
    ach_build_free(&b);
    arena_destroy(scratch);
    return ok;
}

// --- Submit ----------------------------------------------------------------------------------------------------------

static void path_in(const char *dir, const char *name, const char *suffix, char *out,
                    size_t out_len) {
    int n = snprintf(out, out_len, "%s/%s%s", dir, name, suffix);
    ASSERT(n > 0 && (size_t)n < out_len);
}

enum { PATH_LEN_MAX = 512 };

// Is the file at the bank? False: not known. The bank moves a file from the inbox to the archive, so looking in this order
// cannot miss it.
static bool at_bank(ach_rail *r, const char *name, bool *found, err *e) {
    char path[PATH_LEN_MAX];
    path_in(r->settings.inbox_dir, name, "", path, sizeof path);
    if (!ach_sftp_exists(r->out, path, found, e) || *found) {
        return *found;
    }
    path_in(r->settings.archive_dir, name, "", path, sizeof path);
    if (!ach_sftp_exists(r->out, path, found, e) || *found) {
        return *found;
    }
    path_in(r->settings.outbox_dir, name, ".ack", path, sizeof path);
    return ach_sftp_exists(r->out, path, found, e);
}

static void fail_file(file_ref *f, rail_verdict verdict, const char *code, const char *text) {
    f->verdict = verdict;
    f->code = code;
    f->text = text;
}

static void log_upload(const char *event, const char *name, const err *e) {
    log_warn(event, F_STR("file", name), F_STR("reason", e->reason), F_STR("detail", e->detail));
}

// Until the rename has begun, the bank has certainly not got the file; after that, only looking tells.
static void upload(ach_rail *r, file_ref *f, const char *name, str content) {
    char final_path[PATH_LEN_MAX], temporary[PATH_LEN_MAX], suffix[32];
    bool found = false;
    err e = {0};
    fail_file(f, RAIL_NOT_SENT, "RAIL_UNREACHABLE", "the bank's file server could not be used");
    if (!at_bank(r, name, &found, &e)) {
        log_upload("ach.upload.not_sent", name, &e);
        return;
    }
    if (found) {
        fail_file(f, RAIL_ACCEPTED, "", "");
        return;
    }
    CRASH_POINT("ach.upload.begin");
    // A name of its own: a worker that was presumed dead may still be writing the same file.
    uint32_t random;
    clock_random(r->clock, &random, sizeof random);
    snprintf(suffix, sizeof suffix, ".%08" PRIx32 ".tmp", random);
    path_in(r->settings.inbox_dir, name, suffix, temporary, sizeof temporary);
    path_in(r->settings.inbox_dir, name, "", final_path, sizeof final_path);
    if (!ach_sftp_write(r->out, temporary, content, &e)) {
        log_upload("ach.upload.not_sent", name, &e);
        return;
    }
    CRASH_POINT("ach.upload.written");
    if (ach_sftp_rename(r->out, temporary, final_path, &e)) {
        CRASH_POINT("ach.upload.renamed");
        fail_file(f, RAIL_ACCEPTED, "", "");
        log_info("ach.upload.done", F_STR("file", name), F_INT("bytes", content.len));
        return;
    }
    log_upload("ach.upload.rename_failed", name, &e);
    fail_file(f, RAIL_UNKNOWN, "RAIL_UNREACHABLE", "the upload was not acknowledged");
    if (at_bank(r, name, &found, &e) && found) {
        fail_file(f, RAIL_ACCEPTED, "", "");
    }
}

static void submit_file(ach_rail *r, int64_t book_id, file_ref *f, arena *scratch) {
    err e = {0};
    char aad[128], name[ACH_NAME_LEN_MAX];
    uint8_t sha256[32];
    str content;
    snprintf(name, sizeof name, "%.*s", (int)f->name.len, f->name.ptr);
    fail_file(f, RAIL_NOT_SENT, "FILE_UNREADABLE", "the prepared file cannot be read");
    if (!crypto_open(r->keys, file_aad(book_id, f->id, aad, sizeof aad), f->sealed, scratch,
                     &content, &e)) {
        log_err(LOG_ERROR, "ach.file.unreadable", &e);
        return;
    }
    crypto_sha256(content.ptr, content.len, sha256);
    if (f->sha256.len != sizeof sha256 || memcmp(sha256, f->sha256.ptr, sizeof sha256) != 0) {
        log_error("ach.file.damaged", F_STR("file", name));
        return;
    }
    upload(r, f, name, content);
}

static void query_file(ach_rail *r, file_ref *f) {
    char name[ACH_NAME_LEN_MAX];
    bool found = false;
    err e = {0};
    snprintf(name, sizeof name, "%.*s", (int)f->name.len, f->name.ptr);
    if (!at_bank(r, name, &found, &e)) {
        log_upload("ach.query.unknown", name, &e);
        fail_file(f, RAIL_UNKNOWN, "RAIL_UNREACHABLE", "the bank's file server could not be asked");
    } else {
        fail_file(f, found ? RAIL_ACCEPTED : RAIL_NOT_SENT, "", "");
    }
}

static void all_items(rail_item *items, size_t n, rail_verdict verdict, const char *code,
                      const char *text) {
    for (size_t i = 0; i < n; i++) {
        set_verdict(&items[i], verdict, code, text);
    }
}

static void count_verdicts(ach_rail *r, const rail_item *items, size_t n) {
    int64_t counts[RAIL_RETURNED + 1] = {0};
    for (size_t i = 0; i < n; i++) {
        counts[items[i].verdict]++;
    }
    metric_add(r->accepted, counts[RAIL_ACCEPTED]);
    metric_add(r->not_sent, counts[RAIL_NOT_SENT]);
    metric_add(r->unknown, counts[RAIL_UNKNOWN]);
}

// Gives each item the verdict of its file. Without an entry it has certainly not been sent.
static void spread_verdicts(ach_rail *r, const lookup *l, bool submitting, arena *a) {
    for (size_t i = 0; i < l->n; i++) {
        rail_item *item = &l->items[i];
        if (l->places[i].known) {
            const file_ref *f = &l->files[l->places[i].file];
            set_verdict(item, f->verdict, f->code, f->text);
            set_reference(r, item, l->places[i].trace, a);
        } else if (!submitting || !refuse_unfit(item, a)) {
            set_verdict(item, RAIL_NOT_SENT, "NO_FILE", "no file could be made for it yet");
        }
    }
}

static void ach_submit(rail *base, int64_t book_id, rail_item *items, size_t n, arena *a) {
    ach_rail *r = self_of(base);
    arena *scratch = arena_create(ACH_SCRATCH_MAX);
    lookup l = {.r = r, .book_id = book_id, .items = items, .n = n, .with_content = true};
    err e = {0};
    if (!db_read(r->pool, db_deadline(r), scratch, lookup_run, &l, &e)) {
        log_err(LOG_WARN, "ach.submit.lookup_failed", &e);
        all_items(items, n, RAIL_NOT_SENT, "DATABASE_UNAVAILABLE",
                  "the prepared file could not be read");
    } else {
        for (size_t i = 0; i < l.n_files; i++) {
            submit_file(r, book_id, &l.files[i], scratch);
        }
        spread_verdicts(r, &l, true, a);
    }
    count_verdicts(r, items, n);
    arena_destroy(scratch);
}

static void ach_query(rail *base, int64_t book_id, rail_item *items, size_t n, arena *a) {
    ach_rail *r = self_of(base);
    arena *scratch = arena_create(ACH_SCRATCH_MAX);
    lookup l = {.r = r, .book_id = book_id, .items = items, .n = n};
    err e = {0};
    if (!db_read(r->pool, db_deadline(r), scratch, lookup_run, &l, &e)) {
        log_err(LOG_WARN, "ach.query.lookup_failed", &e);
        all_items(items, n, RAIL_UNKNOWN, "DATABASE_UNAVAILABLE",
                  "the prepared file could not be looked up");
    } else {
        for (size_t i = 0; i < l.n_files; i++) {
            query_file(r, &l.files[i]);
        }
        spread_verdicts(r, &l, false, a);
    }
    arena_destroy(scratch);
}

// --- Life ------------------------------------------------------------------------------------------------------------

static bool bad_setting(err *e, const char *name, const char *why) {
    return err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", name, "%s %s", name, why);
}

static bool check_settings(const ach_settings *s, ach_rail *r, err *e) {
    str destination = str_of(s->immediate_destination);
    if (!nacha_is_digits(destination, 9) ||
        destination.ptr[8] != nacha_check_digit(destination.ptr)) {
        return bad_setting(e, "ach.immediate_destination", "must be a routing number of 9 digits");
    }
    if (!nacha_is_digits(str_of(s->odfi_routing), 8)) {
        return bad_setting(e, "ach.odfi_routing", "must have 8 digits");
    }
    if (!nacha_is_digits(str_of(s->immediate_origin_base), 9) ||
        !str_to_i64(str_of(s->immediate_origin_base), 0, 999999999, &r->origin_base)) {
        return bad_setting(e, "ach.immediate_origin_base", "must have 9 digits");
    }
    if (!nacha_is_digits(str_of(s->company_id_base), 9) ||
        !str_to_i64(str_of(s->company_id_base), 0, 999999999, &r->company_base)) {
        return bad_setting(e, "ach.company_id_base", "must have 9 digits");
    }
    str company = str_of(s->company_name);
    bool printable = company.len >= 1 && company.len <= 16;
    for (size_t i = 0; printable && i < company.len; i++) {
        printable = company.ptr[i] >= 0x20 && company.ptr[i] <= 0x7e;
    }
    if (!printable) {
        return bad_setting(e, "ach.company_name", "must have 1 to 16 printable ASCII characters");
    }
    if (s->entries_max < 1 || s->entries_max > 100000) {
        return bad_setting(e, "ach.entries_max", "must be from 1 to 100000");
    }
    const struct {
        const char *name, *value;
    } dirs[] = {{"ach.inbox_dir", s->inbox_dir},
                {"ach.outbox_dir", s->outbox_dir},
                {"ach.archive_dir", s->archive_dir}};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        size_t len = str_of(dirs[i].value).len;
        if ((len == 0 && i < 2) || len > 256) {
            return bad_setting(e, dirs[i].name, "must have 1 to 256 characters");
        }
    }
    if (s->quiet_ms < 0 || s->returns_days < 1) {
        return bad_setting(e, s->quiet_ms < 0 ? "ach.quiet_ms" : "ach.returns_days",
                           "must be positive");
    }
    return s->poll_ms > 0 || bad_setting(e, "ach.poll_ms", "must be positive");
}

static void make_metrics(ach_rail *r) {
    static const char *const RESULTS[INBOUND_RESULTS] = {"result=\"taken\"", "result=\"repeated\"",
                                                         "result=\"bad\""};
    static const char ITEMS[] = "ACH items by the verdict of their submit";
    r->files = metric_counter("ach_files_total", "", "NACHA files prepared");
    r->exhausted = metric_counter("ach_numbers_exhausted_total", "",
                                  "items that found no file id modifier or trace");
    r->accepted = metric_counter("ach_items_total", "verdict=\"accepted\"", ITEMS);
    r->not_sent = metric_counter("ach_items_total", "verdict=\"not_sent\"", ITEMS);
    r->unknown = metric_counter("ach_items_total", "verdict=\"unknown\"", ITEMS);
    for (int i = 0; i < INBOUND_RESULTS; i++) {
        r->inbound[i] =
            metric_counter("ach_inbound_files_total", RESULTS[i], "files from the bank");
    }
}

rail *ach_rail_create(const ach_settings *settings, db_pool *pool, crypto_keyring *keys,
                      const clock_source *clock, err *e) {
    ach_rail *r = calloc(1, sizeof *r);
    ASSERT(r != NULL);
    r->settings = *settings;
    r->pool = pool;
    r->keys = keys;
    r->clock = clock;
    if (r->settings.archive_dir == NULL || r->settings.archive_dir[0] == '\0') {
        r->settings.archive_dir = "archive";
    }
    const ach_sftp_options sftp = {
        .host = settings->host,
        .port = settings->port,
        .user = settings->user,
        .key_file = settings->key_file,
        .host_key_file = settings->host_key_file,
        .timeout_ms = ACH_SFTP_TIMEOUT_MS,
    };
    r->base = (rail){
        .id = RAIL_ACH,
        .name = "ach",
        .currencies = "USD",
        .amount_max = NACHA_ENTRY_CENTS_MAX,
        .batch_max = (int)settings->entries_max,
        .gather_ms = settings->gather_ms,
        .finality = "Settles on the next banking day; the receiver's bank may return it, mostly "
                    "within two banking days.",
        .prepare = ach_prepare,
        .submit = ach_submit,
        .query = ach_query,
        .self = r,
    };
    make_metrics(r);
    bool ok = check_settings(&r->settings, r, e) && (r->out = ach_sftp_create(&sftp, e)) != NULL &&
              (r->in = ach_sftp_create(&sftp, e)) != NULL;
    if (!ok) {
        ach_rail_destroy(&r->base);
        return NULL;
    }
    return &r->base;
}

void ach_rail_use_inbox(rail *base, inbox *box) {
    ach_rail *r = self_of(base);
    ASSERT(r->box == NULL);
    r->box = box;
    const inbox_reader reader = {.connection = base->id, .read = ach_read, .self = r};
    inbox_listen(box, &reader);
}

bool ach_rail_start_inbound(rail *base, err *e) {
    ach_rail *r = self_of(base);
    ASSERT(r->inbound_ticker == NULL && r->box != NULL);
    r->inbound_ticker = ticker_start(r->settings.poll_ms, ach_inbound_look, r);
    return r->inbound_ticker != NULL ||
           err_set(e, ERR_RESOURCE_EXHAUSTED, "NO_THREAD", "the inbound thread cannot be started");
}

void ach_rail_destroy(rail *base) {
    if (base == NULL) {
        return;
    }
    ach_rail *r = self_of(base);
    ticker_stop(r->inbound_ticker);
    if (r->box != NULL) {
        inbox_unlisten(r->box, base->id);
    }
    free(r->seen);
    ach_sftp_destroy(r->in);
    ach_sftp_destroy(r->out);
    free(r);
}
