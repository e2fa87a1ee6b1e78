// In a recovery: our files that the bank has and the database does not know, and the bank's files that were put away and forgotten.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "formats/nacha/nacha_read.h"
#include "rails/ach/ach_internal.h"

enum { PATH_LEN_MAX = 512, LIST_MAX = 200000, HEADER_LEN = 23 };

// --- Owners ------------------------------------------------------------------------------------------------------------

// The book of a file that we have made, by its header; 0: not ours.
static int64_t book_of_file(const ach_rail *r, str bytes) {
    // Record type, priority code, then two numbers of ten characters: the bank's, and ours.
    if (bytes.len < HEADER_LEN || memcmp(bytes.ptr, "101", 3) != 0) {
        return 0;
    }
    return ach_book_of(r->origin_base, (str){bytes.ptr + 13, 10});
}

// --- Finding -----------------------------------------------------------------------------------------------------------

typedef struct listing {
    ach_rail *r;
    int64_t since_us;
    int32_t found;
} listing;

typedef struct naming {
    int connection;
    const str *names;
    size_t n;
    bool *unknown;
} naming;

static bool look_up(db_conn *c, arena *a, void *arg, err *e) {
    naming *x = arg;
    return submission_names_unknown(c, x->connection, x->names, x->n, x->unknown, a, e);
}

static bool record(const listing *l, const char *dir, const ach_sftp_file *file, inbox_kind kind,
                   bool *ours, arena *a, err *e) {
    char path[PATH_LEN_MAX];
    inbox_ref ref;
    str bytes;
    const int len = snprintf(path, sizeof path, "%s/%s", dir, file->name);
    *ours = false;
    if (len < 0 || (size_t)len >= sizeof path || file->size > INBOX_BYTES_MAX) {
        return true; // our names are shorter, and our files smaller
    }
    if (!ach_sftp_read(l->r->in, path, (size_t)file->size, a, &bytes, e)) {
        return false;
    }
    if (kind == INBOX_OURS && book_of_file(l->r, bytes) == 0) {
        return true;
    }
    *ours = true;
    const inbox_raw raw = {.connection = l->r->base.id,
                           .kind = kind,
                           .name = str_of(file->name),
                           .bytes = bytes,
                           .said_us = file->modified_s * 1000000};
    const bool ok = inbox_record(l->r->box, &raw, &ref, e);
    explicit_bzero((char *)(uintptr_t)bytes.ptr, bytes.len); // account numbers
    if (ok && !ref.repeated) {
        log_warn("ach.recovery.found", F_STR("file", file->name), F_STR("folder", dir));
    }
    return ok;
}

static bool is_unfinished(const char *name) {
    const size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".tmp") == 0;
}

// Chooses the names to read: new enough, and among our own files only unknown names.
static bool choose(const listing *l, const ach_sftp_file *files, size_t n, inbox_kind kind,
                   bool *wanted, arena *a, err *e) {
    str *names = ARENA_ARRAY(a, str, n + 1);
    if (names == NULL) {
        return err_no_memory(e, "a list of files");
    }
    for (size_t i = 0; i < n; i++) {
        names[i] = str_of(files[i].name);
        wanted[i] = true;
    }
    naming x = {l->r->base.id, names, n, wanted};
    if (kind == INBOX_OURS && n > 0 &&
        !db_read(l->r->pool, clock_mono_ms(l->r->clock) + ACH_DB_TIMEOUT_MS, a, look_up, &x, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        wanted[i] = wanted[i] && !is_unfinished(files[i].name) &&
                    (files[i].modified_s + 1) * 1000000 >= l->since_us;
    }
    return true;
}

static bool list_folder(listing *l, const char *dir, inbox_kind kind, arena *a, err *e) {
    ach_sftp_file *files = NULL;
    size_t n = 0;
    if (!ach_sftp_list(l->r->in, dir, LIST_MAX, a, &files, &n, e)) {
        return false;
    }
    bool *wanted = ARENA_ARRAY(a, bool, n + 1);
    arena *scratch = arena_create(ACH_SCRATCH_MAX);
    bool ok = wanted != NULL && n < LIST_MAX && choose(l, files, n, kind, wanted, scratch, e);
    if (!ok && !err_is_set(e)) {
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_FILES", "a folder has too many files");
    }
    for (size_t i = 0; ok && i < n; i++) {
        bool ours = false;
        arena_reset(scratch);
        ok = !wanted[i] || record(l, dir, &files[i], kind, &ours, scratch, e);
        l->found += ours && kind == INBOX_OURS ? 1 : 0;
    }
    arena_destroy(scratch);
    return ok;
}

// --- The listing -------------------------------------------------------------------------------------------------------

typedef struct asking {
    int connection;
    bool wanted;
    int64_t since_us;
} asking;

static bool ask_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    asking *x = arg;
    return submission_listing_wanted(c, x->connection, &x->wanted, &x->since_us, a, e);
}

typedef struct ending {
    const ach_rail *r;
    submission_shown shown;
    int32_t found;
} ending;

static bool end_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const ending *x = arg;
    return submission_listing_done(c, x->r->base.id, x->r->base.name, x->shown, x->found, a, e);
}

// The bank's server answers, and refuses the listing.
static bool is_refused(const err *e) {
    return strcmp(e->reason, "SFTP_REFUSED") == 0;
}

static bool list_all(listing *l, submission_shown *shown, arena *a, err *e) {
    const ach_settings *s = &l->r->settings;
    char done[PATH_LEN_MAX];
    const int len = snprintf(done, sizeof done, "%s/done", s->outbox_dir);
    err why = {0};
    ASSERT(len > 0 && (size_t)len < sizeof done);
    *shown = s->archive_complete ? SHOWN_ALL : SHOWN_SOME;
    const char *const dirs[] = {s->inbox_dir, s->archive_dir};
    for (size_t i = 0; i < 2; i++) {
        err_clear(&why);
        if (list_folder(l, dirs[i], INBOX_OURS, a, &why)) {
            continue;
        }
        if (!is_refused(&why)) {
            *e = why;
            return false;
        }
        *shown = SHOWN_NOTHING;
    }
    // Lists the bank's own files: some may be forgotten.
    err_clear(&why);
    if (!list_folder(l, done, INBOX_FILE, a, &why) && !is_refused(&why)) {
        *e = why;
        return false;
    }
    return true;
}

// Drops numbers that this process has taken: the database may have forgotten this, and give them to another process.
static void forget_numbers(ach_rail *r) {
    MUST(pthread_mutex_lock(&r->traces_lock) == 0);
    r->trace_next = r->trace_end = 0;
    MUST(pthread_mutex_unlock(&r->traces_lock) == 0);
}

// A bank may list a file late: only a listing this long after the first one counts.
static bool is_waiting(const ach_rail *r) {
    return r->listed_ms != 0 && clock_boot_ms(r->clock) - r->listed_ms < r->settings.list_lag_ms;
}

bool ach_forgotten_look(ach_rail *r, err *e) {
    if (r->guard == NULL || guard_may_send(r->guard)) {
        r->listed_ms = 0;
        return true;
    }
    if (is_waiting(r)) {
        return true;
    }
    arena *a = arena_create(ACH_SCRATCH_MAX);
    const int64_t deadline = clock_mono_ms(r->clock) + ACH_DB_TIMEOUT_MS;
    asking x = {.connection = r->base.id};
    bool ok = db_read(r->pool, deadline, a, ask_in_tx, &x, e);
    if (ok && x.wanted) {
        listing l = {.r = r, .since_us = x.since_us};
        forget_numbers(r);
        ending end = {.r = r};
        ok = list_all(&l, &end.shown, a, e);
        end.found = l.found;
        CRASH_POINT("ach.recovery.listed");
        if (ok && (r->listed_ms == 0 || r->listed_since_us != x.since_us)) {
            r->listed_ms = clock_boot_ms(r->clock);
            r->listed_since_us = x.since_us;
            log_info("ach.recovery.listed_once", F_INT("found", l.found));
            arena_destroy(a);
            return true;
        }
        ok = ok && db_transact(r->pool, clock_mono_ms(r->clock) + ACH_DB_TIMEOUT_MS, a, end_in_tx,
                               &end, e);
        if (ok) {
            r->listed_ms = 0; // the next recovery may begin before anything could be sent
            log_warn("ach.recovery.listed", F_INT("found", l.found), F_INT("shown", end.shown));
        }
    }
    arena_destroy(a);
    return ok;
}

// --- Reading -----------------------------------------------------------------------------------------------------------

typedef struct forgotten {
    int64_t book_id;
    submission_forgotten *entries;
    size_t n;
    int64_t last_sequence, file_date;
    str origin;
    int modifiers; // file ids of the day, up to this one
} forgotten;

// Notes its numbers, which must not be given again.
static void note_numbers(forgotten *own, const nacha_file *f) {
    own->origin = str_of(f->immediate_origin);
    own->file_date = f->created.year * INT64_C(10000) + f->created.month * 100 + f->created.day;
    for (int i = 0; i < NACHA_MODIFIERS; i++) {
        own->modifiers = nacha_modifier(i) == f->modifier ? i + 1 : own->modifiers;
    }
    for (size_t i = 0; i < own->n; i++) {
        const int64_t sequence = own->entries[i].number % (NACHA_TRACE_SEQUENCE_MAX + 1);
        own->last_sequence = sequence > own->last_sequence ? sequence : own->last_sequence;
    }
}

bool ach_forgotten_read(const ach_rail *r, const inbox_item *item, inbox_said *out, arena *a,
                        err *e) {
    nacha_fault fault = {0};
    const nacha_file *f = nacha_read(item->bytes, a, &fault);
    forgotten *own = ARENA_NEW(a, forgotten);
    out->about = "a file of ours";
    out->odd = ARENA_ARRAY(a, inbox_odd, 2);
    out->odd_max = 2;
    if (f == NULL) {
        out->refused = "BAD_FILE";
        out->refused_text = arena_printf(a, "line %d: %s", fault.line, fault.reason);
        return out->refused_text != NULL || err_no_memory(e, "a file");
    }
    if (own == NULL || out->odd == NULL ||
        (own->entries = ARENA_ARRAY(a, submission_forgotten, f->n_entries + 1)) == NULL) {
        return err_no_memory(e, "a file");
    }
    own->book_id = book_of_file(r, item->bytes);
    for (size_t i = 0; i < f->n_entries; i++) {
        int64_t number = 0;
        // digits, as the parser checked
        if (str_to_i64(str_of(f->entries[i].trace), 0, INT64_MAX, &number)) {
            own->entries[own->n++] = (submission_forgotten){str_of(f->entries[i].individual_id),
                                                            number, f->entries[i].amount_cents};
        }
    }
    note_numbers(own, f);
    const char *compared =
        arena_printf(a, "%zu entries, total %" PRId64, f->n_entries, f->credit_cents);
    out->odd[out->n_odd++] =
        (inbox_odd){.reason = "FORGOTTEN_FILE",
                    .text = "the bank has this file of ours, and the database does not know it",
                    .compared = compared == NULL ? "" : compared,
                    .raw = {item->bytes.ptr, item->bytes.len < 94 ? item->bytes.len : 94},
                    .about_book_id = own->book_id,
                    .amount = f->credit_cents,
                    .currency = "USD",
                    .case_kind = "FORGOTTEN_FILE"};
    out->lines = (int32_t)f->n_entries;
    out->own = own;
    return true;
}

bool ach_forgotten_remember(db_conn *c, const inbox_item *item, const inbox_said *said, arena *a,
                            err *e) {
    const forgotten *own = said->own;
    return own == NULL ||
           (submission_forgotten_add(c, own->book_id, item->connection, item->inbox_id,
                                     own->entries, own->n, a, e) &&
            submission_forgotten_numbers(c, item->connection, own->last_sequence, own->origin,
                                         own->file_date, own->modifiers, a, e));
}
