// The bank's outbox: files are fetched once they stand still, recorded unchanged, and put away; the inbox applies them.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "rails/ach/ach_internal.h"

// A bank may return all of our largest file in one of its own: an entry and its addenda, each with CR and LF.
_Static_assert((size_t)ACH_ENTRIES_MAX * 2 * (NACHA_LINE_LEN + 2) < INBOX_BYTES_MAX,
               "a file of returns that cannot be recorded");

enum {
    PATH_LEN_MAX = 768, // a folder of 256 bytes, a folder of ours, a name and a suffix
    BACKOFF_MS = 2000,
    BACKOFF_DOUBLINGS_MAX = 8
};

typedef enum looked {
    LOOKED_TAKEN,
    LOOKED_LEFT, // recorded, and still in the outbox
    LOOKED_WAIT,
    LOOKED_UNREAD, // not fetched, perhaps because of the file, also if the line is lost
    LOOKED_FAILED
} looked;

// --- Putting away ----------------------------------------------------------------------------------------------------

static void path_of(const ach_rail *r, const char *folder, const char *name,
                    char out[PATH_LEN_MAX]) {
    int n = snprintf(out, PATH_LEN_MAX, "%s%s/%s", r->settings.outbox_dir, folder, name);
    ASSERT(n > 0 && n < PATH_LEN_MAX);
}

// Renames outbox/name into one of our folders; if the name is taken there, into a new folder: nothing is ever deleted. A missing file was
// put away by another process.
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

// Some banks forbid the move: then the file stays, and is not fetched again while it looks the same. Logged once, until a move succeeds.
static looked try_to_put_away(ach_rail *r, const char *name, const char *folder, err *e) {
    const bool done = put_away(r, name, folder, e);
    if (!done && e->code == ERR_UNAVAILABLE) {
        return LOOKED_FAILED;
    }
    if (!done && !r->cannot_put_away) {
        log_err(LOG_WARN, "ach.inbound.cannot_put_away", e);
    }
    r->cannot_put_away = !done;
    return done ? LOOKED_TAKEN : LOOKED_LEFT;
}

// A file too large to record stays at the bank, and a person is told.
static bool quarantine(ach_rail *r, const char *name, err *e) {
    log_error("ach.inbound.bad_file", F_STR("file", name), F_STR("why", "is too large"));
    metric_add(r->inbound[INBOUND_BAD], 1);
    char subject[320];
    (void)snprintf(subject, sizeof subject, "%s/%s", r->base.name, name);
    return inbox_complain(r->box, subject, "TOO_LARGE",
                          "A file of the bank is too large to be recorded. It lies in outbox/bad, "
                          "or in outbox where the bank lets us move nothing.",
                          e);
}

// --- Standing still --------------------------------------------------------------------------------------------------

// A file's state in the last look: it was there, and looked the same.
typedef struct standing {
    bool still;
    int64_t since_ms;    // monotonic: unchanged since, as far as known
    int64_t recorded_ms; // like the next four, as in ach_seen
    int64_t first_ms, retry_ms;
    int failures;
    bool told;
} standing;

static int compare_seen(const void *name, const void *seen) {
    return strcmp(name, ((const ach_seen *)seen)->name);
}

static standing standing_of(const ach_rail *r, const ach_sftp_file *file, int64_t now_ms) {
    const ach_seen *s =
        r->n_seen == 0 ? NULL
                       : bsearch(file->name, r->seen, r->n_seen, sizeof *r->seen, compare_seen);
    standing now = {.since_ms = now_ms, .first_ms = now_ms};
    if (s != NULL) {
        now.first_ms = s->first_ms;
        now.retry_ms = s->retry_ms;
        now.failures = s->failures;
        now.told = s->told;
    }
    if (s != NULL && s->size == file->size && s->modified_s == file->modified_s) {
        now.still = true;
        now.since_ms = s->since_ms;
        now.recorded_ms = s->recorded_ms;
    }
    return now;
}

// Replaces the last look's files by this look's, which are sorted by name.
static void remember(ach_rail *r, const ach_sftp_file *files, size_t n, const standing *standings) {
    ach_seen *seen = calloc(n + 1, sizeof *seen);
    int64_t left = 0;
    ASSERT(seen != NULL);
    r->n_seen = 0;
    for (size_t i = 0; i < n; i++) {
        if (str_of(files[i].name).len < sizeof seen->name) {
            ach_seen *s = &seen[r->n_seen++];
            *s = (ach_seen){.size = files[i].size,
                            .modified_s = files[i].modified_s,
                            .since_ms = standings[i].since_ms,
                            .recorded_ms = standings[i].recorded_ms,
                            .first_ms = standings[i].first_ms,
                            .retry_ms = standings[i].retry_ms,
                            .failures = standings[i].failures,
                            .told = standings[i].told};
            memcpy(s->name, files[i].name, strlen(files[i].name) + 1);
            left += s->recorded_ms != 0 ? 1 : 0;
        }
    }
    free(r->seen);
    r->seen = seen;
    metric_set(r->left, left);
}

// --- One look --------------------------------------------------------------------------------------------------------

static bool fetch(ach_rail *r, const ach_sftp_file *file, str *content, arena *a, err *e) {
    char path[PATH_LEN_MAX];
    path_of(r, "", file->name, path);
    if (!ach_sftp_read(r->in, path, (size_t)file->size, a, content, e)) {
        return false;
    }
    if (content->len != file->size) {
        return err_set(e, ERR_ABORTED, "FILE_CHANGED", "the file changed while it was read");
    }
    CRASH_POINT("ach.inbound.downloaded");
    return true;
}

// An unfinished file may have a slow writer: it is taken after quiet_ms without a change. An empty file is not taken: later content in a
// file that was put away would never be read.
static looked take(ach_rail *r, const ach_sftp_file *file, int64_t still_ms, arena *a, err *e) {
    const bool quiet = still_ms >= r->settings.quiet_ms;
    str content;
    inbox_ref ref;
    if (file->size > INBOX_BYTES_MAX) {
        return !quiet                          ? LOOKED_WAIT
               : !quarantine(r, file->name, e) ? LOOKED_FAILED
                                               : try_to_put_away(r, file->name, "/bad", e);
    }
    if (file->size == 0 && still_ms < ACH_EMPTY_STAYS_MS) {
        return LOOKED_WAIT;
    }
    if (!fetch(r, file, &content, a, e)) {
        return LOOKED_UNREAD;
    }
    if ((!quiet && !ach_is_whole(content, a)) ||
        (still_ms < ACH_EMPTY_STAYS_MS && ach_look(content) == ACH_EMPTY)) {
        return LOOKED_WAIT;
    }
    const inbox_raw raw = {.connection = r->base.id,
                           .kind = INBOX_FILE,
                           .name = str_of(file->name),
                           .bytes = content,
                           .said_us = file->modified_s * 1000000};
    if (!inbox_record(r->box, &raw, &ref, e)) {
        return LOOKED_FAILED;
    }
    CRASH_POINT("ach.inbound.recorded");
    metric_add(r->inbound[ref.repeated ? INBOUND_REPEATED : INBOUND_TAKEN], 1);
    log_info("ach.inbound.recorded", F_STR("file", file->name), F_BOOL("repeated", ref.repeated));
    const looked put = try_to_put_away(r, file->name, "/done", e);
    CRASH_POINT("ach.inbound.renamed");
    return put;
}

static bool ends_with(str s, const char *end) {
    const size_t len = strlen(end);
    return s.len >= len && strncasecmp(s.ptr + s.len - len, end, len) == 0;
}

// Names of unfinished files, in any case.
static bool is_temporary(const char *name) {
    const str s = str_of(name);
    return s.len == 0 || s.ptr[0] == '.' || ends_with(s, ".tmp") || ends_with(s, ".part") ||
           ends_with(s, ".filepart");
}

bool ach_inbound_name_ok(const char *name) {
    const size_t len = strlen(name);
    return len >= 1 && len <= ACH_INBOUND_NAME_MAX && strchr(name, '/') == NULL;
}

// A look's findings apart from the files to take.
typedef struct outbox {
    int64_t unfinished, passed_over;
    char odd[64]; // one of the unusable names, cut
} outbox;

static bool is_wanted(void *arg, const char *name) {
    outbox *o = arg;
    if (!ach_inbound_name_ok(name)) {
        o->passed_over++;
        (void)snprintf(o->odd, sizeof o->odd, "%.60s", name);
        return false;
    }
    if (is_temporary(name)) {
        o->unfinished++;
        return false;
    }
    return true;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const ach_sftp_file *)a)->name, ((const ach_sftp_file *)b)->name);
}

// Makes the folders for taken files, if the bank allows it.
static void make_folders(ach_rail *r) {
    static const char *const NAMES[] = {"done", "bad"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char path[PATH_LEN_MAX];
        err e = {0};
        path_of(r, "", NAMES[i], path);
        if (!ach_sftp_mkdir(r->in, path, &e) && !r->cannot_put_away) {
            log_err(LOG_WARN, "ach.inbound.no_folder", &e);
        }
    }
}

static bool complain(ach_rail *r, const char *name, const char *code, const char *text) {
    char subject[320];
    err e = {0};
    (void)snprintf(subject, sizeof subject, "%s/%s", r->base.name, name);
    return inbox_complain(r->box, subject, code, text, &e);
}

// A failed file is tried more and more rarely, so that it does not take the others' time; a person is told.
static void postpone(ach_rail *r, const char *name, standing *s, const err *why) {
    const int doublings = s->failures < BACKOFF_DOUBLINGS_MAX ? s->failures : BACKOFF_DOUBLINGS_MAX;
    char text[400];
    // A single failure may be a lost line.
    s->retry_ms =
        s->failures == 0 ? 0 : clock_mono_ms(r->clock) + ((int64_t)BACKOFF_MS << doublings);
    s->failures++;
    if (s->failures >= ACH_INBOUND_FAILURES_TOLD && !s->told) {
        (void)snprintf(text, sizeof text,
                       "This file of the bank cannot be taken: %s. It is still tried.",
                       why->message);
        s->told = complain(r, name, why->reason, text);
    }
}

// Tells a person of files that lie there for long without being taken, for any reason.
static void tell_what_lies(ach_rail *r, const outbox *o, const ach_sftp_file *files, size_t n,
                           standing *standings, int64_t now_ms) {
    int64_t oldest_ms = now_ms;
    for (size_t i = 0; i < n; i++) {
        standing *s = &standings[i];
        if (s->recorded_ms != 0) {
            continue; // a file of ours
        }
        oldest_ms = s->first_ms < oldest_ms ? s->first_ms : oldest_ms;
        if (now_ms - s->first_ms >= ACH_INBOUND_LIES_MS && !s->told) {
            s->told = complain(r, files[i].name, "FILE_LIES",
                               "This file of the bank has been in its outbox for an hour and is "
                               "not taken. It may still be changing.");
        }
    }
    if (o->passed_over > 0 && !r->names_told) {
        r->names_told = complain(r, o->odd, "BAD_NAME",
                                 "Files of the bank have names under which they cannot be taken: "
                                 "they are too long, or are paths.");
    }
    metric_set(r->unfinished, o->unfinished);
    metric_set(r->passed_over, o->passed_over);
    metric_set(r->oldest_s, (now_ms - oldest_ms) / 1000);
}

// The rest of one look's limits.
typedef struct budget {
    size_t files, bytes;
    int64_t until_ms;
} budget;

static bool is_spent(const ach_rail *r, const budget *left) {
    return left->files == 0 || left->bytes == 0 || clock_mono_ms(r->clock) >= left->until_ms;
}

static bool is_its_turn(const standing *s, int64_t now_ms) {
    const bool known = s->recorded_ms != 0 && now_ms - s->recorded_ms < ACH_AGAIN_EVERY_MS;
    return !known && now_ms >= s->retry_ms;
}

// Takes one file; its failure does not stop the others. False: the others would fail as well.
static bool take_one(ach_rail *r, const ach_sftp_file *file, standing *s, int64_t now_ms, arena *a,
                     bool *ok, err *e) {
    err one = {0};
    const looked l = take(r, file, now_ms - s->since_ms, a, &one);
    if (l == LOOKED_LEFT) {
        s->recorded_ms = now_ms;
    } else if (l == LOOKED_TAKEN) {
        s->first_ms = now_ms; // a later file of this name is a new one
    } else if (l == LOOKED_UNREAD || l == LOOKED_FAILED) {
        log_err(LOG_WARN, "ach.inbound.postponed", &one);
        *e = one;
        *ok = false;
        if (l == LOOKED_UNREAD || one.code != ERR_UNAVAILABLE) {
            postpone(r, file->name, s, &one);
        }
    }
    arena_reset(a);
    return *ok || one.code != ERR_UNAVAILABLE;
}

static size_t first_after(const ach_sftp_file *files, size_t n, const char *name) {
    size_t i = 0;
    while (i < n && strcmp(files[i].name, name) <= 0) {
        i++;
    }
    return i;
}

// Takes files that stand still; new or changed files wait for the next look. Continues where the last look ended, and goes round at most
// once.
static bool take_all(ach_rail *r, const ach_sftp_file *files, size_t n, standing *standings,
                     int64_t now_ms, err *e) {
    arena *a = arena_create(ACH_SCRATCH_MAX);
    bool ok = true, folders = false, goes_on = true;
    budget left = {r->look_files_max, r->look_bytes_max, now_ms + r->look_ms};
    const size_t from = first_after(files, n, r->look_after);
    size_t done = 0;
    for (; goes_on && done < n; done++) {
        const size_t i = (from + done) % n;
        standing *s = &standings[i];
        if (!is_its_turn(s, now_ms)) {
            continue;
        }
        r->inbound_found = true;
        if (!s->still) {
            continue;
        }
        if (is_spent(r, &left)) {
            break;
        }
        if (!folders) {
            make_folders(r);
            folders = true;
        }
        goes_on = take_one(r, &files[i], s, now_ms, a, &ok, e);
        left.files--;
        left.bytes -= files[i].size < left.bytes ? files[i].size : left.bytes;
        memcpy(r->look_after, files[i].name, strlen(files[i].name) + 1);
    }
    // If all had their turn, the next look may begin with the first.
    if (done == n) {
        r->look_after[0] = '\0';
    }
    r->looked_to_the_end = from + done >= n;
    arena_destroy(a);
    return ok;
}

// Lists the folder and takes its files. False when it did not look at all of them.
static bool look_through(ach_rail *r, arena *a, err *e) {
    const int64_t now_ms = clock_mono_ms(r->clock);
    ach_sftp_file *files = NULL;
    size_t n = 0;
    outbox o = {0};
    const ach_sftp_filter filter = {.wanted = is_wanted, .arg = &o};
    r->inbound_found = r->looked_to_the_end = false;
    if (!ach_sftp_list_some(r->in, r->settings.outbox_dir, &filter, r->list_max + 1, a, &files, &n,
                            e)) {
        return false;
    }
    standing *standings = ARENA_ARRAY(a, standing, n + 1);
    if (standings == NULL) {
        return err_no_memory(e, "a list of files");
    }
    const bool whole = n <= r->list_max;
    n = whole ? n : r->list_max; // the server's order is arbitrary
    qsort(files, n, sizeof *files, compare_names);
    for (size_t i = 0; i < n; i++) {
        standings[i] = standing_of(r, &files[i], now_ms);
    }
    const bool ok = take_all(r, files, n, standings, now_ms, e);
    tell_what_lies(r, &o, files, n, standings, now_ms);
    remember(r, files, n, standings);
    return ok && (whole || err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_FILES",
                                   "the bank's folder has more than %zu files: some were not seen",
                                   r->list_max));
}

bool ach_inbound_poll(ach_rail *r, err *e) {
    arena *a = arena_create(ACH_SCRATCH_MAX);
    err applying = {0};
    bool ok = look_through(r, a, e);
    // Also applies earlier items: the process was killed in between, or the database was away.
    if (!inbox_apply_waiting(r->box, r->base.id, &applying) && ok) {
        *e = applying;
        ok = applying.code != ERR_UNAVAILABLE;
    }
    arena_destroy(a);
    return ok;
}

// --- Noting a look ---------------------------------------------------------------------------------------------------

static bool note_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const ach_rail *r = arg;
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)r->base.id);
    db_time(p, clock_wall_us(r->clock));
    return db_exec(c, &ACH_SQL[ACH_SQL_LOOKED], p, a, NULL, NULL, e);
}

// Writes only now and then: the deadline that watches it is far longer.
static void note_look(ach_rail *r) {
    const int64_t now_ms = clock_mono_ms(r->clock);
    err e = {0};
    if (r->noted_ms != 0 && now_ms - r->noted_ms < ACH_NOTE_EVERY_MS) {
        return;
    }
    arena *a = arena_create(1 << 16);
    if (db_transact(r->pool, now_ms + ACH_DB_TIMEOUT_MS, a, note_in_tx, r, &e)) {
        r->noted_ms = now_ms;
    } else {
        log_err(LOG_WARN, "ach.inbound.look_not_noted", &e);
    }
    arena_destroy(a);
}

// --- Sweeping --------------------------------------------------------------------------------------------------------

typedef struct naming {
    const ach_rail *r;
    str name;
    bool known;
} naming;

static bool find_named(db_conn *c, arena *a, void *arg, err *e) {
    naming *n = arg;
    submission_ref *refs = NULL;
    size_t n_refs = 0;
    const bool ok = submission_find_name(c, n->r->base.id, n->name, &refs, &n_refs, a, e);
    n->known = n_refs > 0;
    return ok;
}

// "<a file of ours>.<8 hex digits>.tmp", as ach_channel.c names what it uploads.
static bool is_our_upload(const ach_rail *r, const char *name, arena *a) {
    enum { SUFFIX_LEN = 13 };
    const size_t len = strlen(name);
    err e = {0};
    if (len <= SUFFIX_LEN || name[len - SUFFIX_LEN] != '.' || !is_temporary(name)) {
        return false;
    }
    for (size_t i = len - SUFFIX_LEN + 1; i < len - 4; i++) {
        if (strchr("0123456789abcdef", name[i]) == NULL) {
            return false;
        }
    }
    naming n = {.r = r, .name = {name, len - SUFFIX_LEN}};
    return db_read(r->pool, clock_mono_ms(r->clock) + ACH_DB_TIMEOUT_MS, a, find_named, &n, &e) &&
           n.known;
}

static bool sweep_folder(ach_rail *r, const char *dir, arena *a, err *e) {
    ach_sftp_file *files = NULL;
    size_t n = 0;
    const int64_t old_s = clock_wall_us(r->clock) / 1000000 - ACH_UPLOAD_OLD_S;
    bool ok = ach_sftp_list(r->in, dir, ACH_INBOUND_LIST_MAX, a, &files, &n, e);
    for (size_t i = 0; ok && i < n; i++) {
        char path[PATH_LEN_MAX];
        // Without a time from the server the file's age is unknown.
        if (files[i].modified_s <= 0 || files[i].modified_s >= old_s ||
            !is_our_upload(r, files[i].name, a)) {
            continue;
        }
        int len = snprintf(path, sizeof path, "%s/%s", dir, files[i].name);
        ASSERT(len > 0 && (size_t)len < sizeof path);
        ok = ach_sftp_remove(r->in, path, e);
        if (ok) {
            log_info("ach.upload.swept", F_STR("file", files[i].name));
        }
    }
    return ok;
}

// Also sweeps the inbox, which had the uploads before their own folder was set.
bool ach_inbound_sweep(ach_rail *r, err *e) {
    arena *a = arena_create(ACH_SCRATCH_MAX);
    const bool ok = sweep_folder(r, r->settings.upload_dir, a, e) &&
                    (!ach_has_upload_folder(r) || sweep_folder(r, r->settings.inbox_dir, a, e));
    arena_destroy(a);
    return ok;
}

// --- The ticker ------------------------------------------------------------------------------------------------------

bool ach_inbound_look(void *arg) {
    ach_rail *r = arg;
    err e = {0};
    const bool listed = ach_forgotten_look(r, &e);
    const bool ok = ach_inbound_poll(r, &e) && listed;
    if (ok && r->looked_to_the_end) {
        note_look(r);
    }
    if (ok && clock_mono_ms(r->clock) >= r->sweep_at_ms) {
        r->sweep_at_ms = clock_mono_ms(r->clock) + ACH_SWEEP_EVERY_MS;
        if (!ach_inbound_sweep(r, &e)) { // no other work waits for it
            log_err(LOG_WARN, "ach.sweep_failed", &e);
            ach_trouble_is(r, ACH_TROUBLE_SENDING, "the folders of uploads cannot be listed", &e);
        }
    }
    if (ok) {
        ach_trouble_over(r, ACH_TROUBLE_HEARING);
    } else {
        ach_trouble_is(r, ACH_TROUBLE_HEARING, "the bank's folders cannot be looked through", &e);
    }
    if (!ok && !r->inbound_down) { // once per outage
        log_err(LOG_WARN, "ach.inbound.down", &e);
    } else if (ok && r->inbound_down) {
        log_info("ach.inbound.up");
    }
    r->inbound_down = !ok;
    // A recovery waits for these files.
    return r->inbound_found || (r->guard != NULL && !guard_may_send(r->guard));
}
