// The bank's folders, for the sender of submissions: look for a file, upload it, take an unfinished upload back.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "rails/ach/ach_internal.h"

enum { PATH_LEN_MAX = 512, TEMPORARY_SUFFIX = 16 };

static void path_in(const char *dir, const char *name, const char *suffix, char *out) {
    const int n = snprintf(out, PATH_LEN_MAX, "%s/%s%s", dir, name, suffix);
    ASSERT(n > 0 && n < PATH_LEN_MAX); // settings and names are bounded
}

static void temporary_suffix(int64_t epoch, char out[TEMPORARY_SUFFIX]) {
    (void)snprintf(out, TEMPORARY_SUFFIX, ".%08" PRIx32 ".tmp", (uint32_t)epoch);
}

static str without_slashes(const char *dir) {
    str s = str_of(dir);
    while (s.len > 0 && s.ptr[s.len - 1] == '/') {
        s.len--;
    }
    return s;
}

static bool same_folder(const char *a, const char *b) {
    return str_eq(without_slashes(a), without_slashes(b));
}

bool ach_settings_fit(const ach_settings *s, err *e) {
    // If two folders were the same, the bank's files would be taken for ours, or ours for the bank's.
    const struct {
        const char *name, *dir;
    } ours[] = {{"ach.inbox_dir", s->inbox_dir},
                {"ach.upload_dir", s->upload_dir},
                {"ach.archive_dir", s->archive_dir}};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (same_folder(ours[i].dir, s->outbox_dir)) {
            return err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", ours[i].name,
                                 "%s is ach.outbox_dir: it must be another folder", ours[i].name);
        }
    }
    const char *wrong = !ach_is_list(s->refusal_reasons)   ? "ach.refusal_reasons"
                        : !ach_is_list(s->rebuild_reasons) ? "ach.rebuild_reasons"
                                                           : NULL;
    return wrong == NULL ||
           err_set_field(e, ERR_FAILED_PRECONDITION, "BAD_SETTING", wrong,
                         "%s must be reasons with commas between, each whole, or its beginning "
                         "and * at its end",
                         wrong);
}

bool ach_has_upload_folder(const ach_rail *r) {
    return !str_eq(without_slashes(r->settings.upload_dir), without_slashes(r->settings.inbox_dir));
}

// Derived from name and epoch, so that the next sender can remove it. Each upload has its own name, so that a stopped sender never renames
// the file that its successor is writing.
static void temporary_path(const ach_rail *r, const char *name, int64_t epoch, char *out) {
    char suffix[TEMPORARY_SUFFIX];
    temporary_suffix(epoch, suffix);
    path_in(r->settings.upload_dir, name, suffix, out);
}

static void log_failure(const char *event, const char *name, const err *e) {
    log_warn(event, F_STR("file", name), F_STR("reason", e->reason), F_STR("detail", e->detail));
}

// --- Looking -----------------------------------------------------------------------------------------------------------

// Some folders may only be written to: their server refuses to show anything. Then "not shown" proves nothing, as at a bank without an
// archive, and a name of our own belongs to no other file.
static bool may_be_silent(const ach_rail *r) {
    const char *pattern = r->settings.file_name;
    return !r->settings.archive_complete &&
           (strstr(pattern, "{id}") != NULL || strstr(pattern, "{hash}") != NULL);
}

// Compares the bank's file of this name with ours.
static submission_look compare(ach_rail *r, const char *path, const submission_file *f, arena *a) {
    uint8_t sha256[32];
    uint64_t size = 0;
    bool exists = false;
    str bytes;
    err e = {0};
    if (!ach_sftp_size(r->out, path, &exists, &size, &e)) {
        return e.code == ERR_FAILED_PRECONDITION && may_be_silent(r) ? LOOK_ABSENT : LOOK_FAILED;
    }
    if (!exists) {
        return LOOK_ABSENT;
    }
    const bool same_size = f->size <= 0 || size == (uint64_t)f->size;
    if (!same_size) {
        return LOOK_OTHER;
    }
    if (!ach_sftp_read(r->out, path, (size_t)size, a, &bytes, &e)) {
        // The file was moved meanwhile, or we may not read it.
        if (e.code == ERR_UNAVAILABLE || !ach_sftp_size(r->out, path, &exists, &size, &e)) {
            return LOOK_FAILED; // no answer is not "there is no such file"
        }
        return exists ? LOOK_SAME_SIZE : LOOK_ABSENT;
    }
    crypto_sha256(bytes.ptr, bytes.len, sha256);
    explicit_bzero((char *)(uintptr_t)bytes.ptr, bytes.len); // account numbers
    const bool same = f->sha256.len == sizeof sha256 && memcmp(sha256, f->sha256.ptr, 32) == 0;
    return same ? LOOK_THERE : LOOK_OTHER;
}

// A bank that takes every file it sees may have taken an upload under its temporary name.
static submission_look look_for_temporaries(ach_rail *r, const submission_file *f, arena *a) {
    for (size_t i = 0; i < f->n_epochs; i++) {
        char path[PATH_LEN_MAX], suffix[TEMPORARY_SUFFIX];
        temporary_suffix(f->epochs[i], suffix);
        path_in(r->settings.archive_dir, f->name, suffix, path);
        const submission_look found = compare(r, path, f, a);
        if (found == LOOK_THERE || found == LOOK_FAILED) {
            return found;
        }
    }
    return LOOK_ABSENT;
}

// --- What an archive proves ----------------------------------------------------------------------------------------------

// Files that the bank certainly has, newest first.
enum { WITNESSES_MAX = 50 }; // as many as ACH_SQL_NEWEST_FILES reads

typedef struct witness {
    const char *name;
    uint64_t size;
} witness;

typedef struct witnesses {
    const ach_rail *r;
    arena *a;
    witness of[WITNESSES_MAX];
    size_t n;
} witnesses;

static bool find_witnesses(db_conn *c, arena *a, void *arg, err *e) {
    witnesses *w = arg;
    db_rows *files = NULL;
    db_params *p = db_params_create(a);
    const int64_t shown_us = clock_wall_us(w->r->clock) - w->r->settings.list_lag_ms * 1000;
    w->n = 0;
    db_i16(p, (int16_t)w->r->base.id);
    if (!db_exec(c, &ACH_SQL[ACH_SQL_NEWEST_FILES], p, a, &files, NULL, e)) {
        return false;
    }
    for (size_t i = 0; w->n < WITNESSES_MAX && i < db_count(files); i++) {
        db_rows *rows = NULL;
        p = db_params_create(a);
        db_i64(p, db_get_i64(files, i, 0));
        db_uuid(p, db_get_uuid(files, i, 1));
        db_time(p, shown_us);
        if (!db_exec(c, &ACH_SQL[ACH_SQL_SENT_FILE], p, a, &rows, NULL, e)) {
            return false;
        }
        if (db_count(rows) == 1) {
            const str name = db_get_str(rows, 0, 0);
            witness *found = &w->of[w->n++];
            found->name = arena_strndup(w->a, name.ptr, name.len);
            found->size = (uint64_t)db_get_i64(rows, 0, 1);
            if (found->name == NULL) {
                return err_no_memory(e, "the list");
            }
        }
    }
    return true;
}

static void tell_that_archive_is_not_complete(ach_rail *r, const char *name) {
    char subject[320];
    err e = {0};
    static log_gate gate; // each look finds this, and the case says it once
    if (log_gate_pass(&gate, "ach.archive.not_complete", clock_mono_ms(r->clock))) {
        log_error("ach.archive.not_complete", F_STR("connection", r->base.name),
                  F_STR("file", name));
    }
    (void)snprintf(subject, sizeof subject, "%s/archive", r->base.name);
    if (r->box != NULL &&
        !inbox_complain(r->box, subject, "ARCHIVE_NOT_COMPLETE",
                        "ach.archive_complete is set, and the bank's archive does not show the "
                        "newest file that the bank has, under its name. What it does not show is "
                        "therefore not sent again. Set ach.archive_complete to false.",
                        &e)) {
        log_err(LOG_WARN, "ach.archive.not_told", &e);
    }
}

static bool shows(ach_rail *r, const char *dir, const witness *w, bool *shown, err *e) {
    char path[PATH_LEN_MAX];
    uint64_t size = 0;
    path_in(dir, w->name, "", path);
    if (!ach_sftp_size(r->out, path, shown, &size, e)) {
        return false;
    }
    *shown = *shown && size == w->size;
    return true;
}

// What one witness proves. In this order, since the bank moves a file from the inbox to the archive. A file that still lies in the inbox
// says nothing of the archive: *open.
static bool hear_witness(ach_rail *r, const witness *w, bool *shown, bool *open, err *e) {
    return shows(r, r->settings.inbox_dir, w, open, e) &&
           shows(r, r->settings.archive_dir, w, shown, e);
}

// RULE: a bank that renames files in its archive, or clears it, must not make us send again. So absence counts only if the archive shows a
// file that the bank certainly has. Without such a file nothing is proven: the first files of a connection reveal what its bank does to
// names.
static submission_look absent(ach_rail *r, const submission_file *f, arena *a) {
    witnesses w = {.r = r, .a = a};
    bool shown = false, open = true;
    err e = {0};
    if (!r->settings.archive_complete || f->n_epochs == 0) {
        return LOOK_ABSENT; // absence proves nothing here, or no proof is needed
    }
    if (!db_read(r->pool, clock_mono_ms(r->clock) + ACH_DB_TIMEOUT_MS, a, find_witnesses, &w, &e)) {
        log_failure("ach.archive.not_compared", f->name, &e);
        return LOOK_FAILED;
    }
    for (size_t i = 0; i < w.n && open && !shown; i++) {
        if (!hear_witness(r, &w.of[i], &shown, &open, &e)) {
            return LOOK_FAILED;
        }
        if (!open && !shown) {
            tell_that_archive_is_not_complete(r, w.of[i].name);
        }
    }
    return shown ? LOOK_ABSENT : LOOK_UNPROVEN;
}

// The bank moves a file from the inbox to the archive, so this order cannot miss it.
static submission_look look(void *self, const submission_file *f, arena *a) {
    ach_rail *r = self;
    const char *const dirs[] = {r->settings.inbox_dir, r->settings.archive_dir};
    submission_look worst = LOOK_ABSENT;
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        char path[PATH_LEN_MAX];
        path_in(dirs[i], f->name, "", path);
        const submission_look found = compare(r, path, f, a);
        if (found == LOOK_THERE || found == LOOK_FAILED) {
            return found;
        }
        worst = found == LOOK_ABSENT ? worst : found;
    }
    const submission_look temporary = look_for_temporaries(r, f, a);
    worst = temporary == LOOK_ABSENT ? worst : temporary;
    return worst == LOOK_ABSENT ? absent(r, f, a) : worst;
}

// --- Uploading ---------------------------------------------------------------------------------------------------------

// An upload has ended midway, and its file may be there. In a folder that the bank takes files from, the bank may have taken it, or may do
// so later: only a file that we can remove was not taken. In another folder a file that cannot be removed now is swept later.
static submission_sent drop(ach_rail *r, const char *path) {
    err e = {0};
    if (ach_sftp_remove(r->out, path, &e)) {
        return SENT_NOT;
    }
    log_failure("ach.upload.left_over", path, &e);
    return ach_has_upload_folder(r) ? SENT_NOT : SENT_UNKNOWN;
}

static submission_sent done(ach_rail *r, const submission_file *f) {
    ach_trouble_over(r, ACH_TROUBLE_SENDING);
    log_info("ach.upload.done", F_STR("file", f->name), F_INT("bytes", f->content.len));
    return SENT_DONE;
}

// Uploads under the final name, for a server without renames: the first byte is the last step. An upload that breaks off is neither
// repeated nor removed, since the bank may have taken the part.
static submission_sent upload_directly(ach_rail *r, const submission_file *f,
                                       submission_fence still_ours, void *arg) {
    char final_path[PATH_LEN_MAX];
    bool begun = false;
    err e = {0};
    path_in(r->settings.inbox_dir, f->name, "", final_path);
    CRASH_POINT("ach.upload.begin");
    if (!still_ours(arg, false) || !still_ours(arg, true)) {
        return SENT_FENCED;
    }
    CRASH_POINT("ach.upload.fenced");
    if (!ach_sftp_write(r->out, final_path, f->content, NULL, NULL, &begun, &e)) {
        log_failure("ach.upload.broken_off", f->name, &e);
        ach_trouble_is(r, ACH_TROUBLE_SENDING, "a file was broken off", &e);
        return SENT_UNKNOWN;
    }
    CRASH_POINT("ach.upload.written");
    return done(r, f);
}

// The beginning of an upload is written down when its file exists and is still empty. A later sender that finds the row without the file
// knows that the bank took the file.
typedef struct beginning {
    submission_fence still_ours;
    void *arg;
    bool fenced;
} beginning;

static bool begin(void *arg) {
    beginning *b = arg;
    b->fenced = !b->still_ours(b->arg, false);
    return !b->fenced;
}

// Until the rename begins, the bank does not have the file, unless it takes unfinished files. After that, only a look tells.
static submission_sent upload(void *self, const submission_file *f, submission_fence still_ours,
                              void *arg) {
    ach_rail *r = self;
    char final_path[PATH_LEN_MAX], temporary[PATH_LEN_MAX];
    err e = {0};
    if (r->settings.direct_upload) {
        return upload_directly(r, f, still_ours, arg);
    }
    path_in(r->settings.inbox_dir, f->name, "", final_path);
    temporary_path(r, f->name, f->epoch, temporary);
    CRASH_POINT("ach.upload.begin");
    beginning b = {.still_ours = still_ours, .arg = arg};
    bool begun = false;
    if (!ach_sftp_write(r->out, temporary, f->content, begin, &b, &begun, &e)) {
        if (b.fenced) {
            // the empty file stays: its beginning may be written down all the same
            return SENT_FENCED;
        }
        log_failure("ach.upload.not_sent", f->name, &e);
        ach_trouble_is(r, ACH_TROUBLE_SENDING, "a file could not be written", &e);
        const submission_sent dropped = drop(r, temporary);
        return begun ? dropped : SENT_NOT;
    }
    CRASH_POINT("ach.upload.written");
    if (!still_ours(arg, true)) {
        // The file stays: the last step may be written down, and then this file proves that it was not taken.
        return SENT_FENCED;
    }
    CRASH_POINT("ach.upload.fenced");
    if (!ach_sftp_rename(r->out, temporary, final_path, &e)) {
        log_failure("ach.upload.rename_failed", f->name, &e);
        ach_trouble_is(r, ACH_TROUBLE_SENDING, "a file could not be renamed", &e);
        return SENT_UNKNOWN;
    }
    CRASH_POINT("ach.upload.renamed");
    return done(r, f);
}

// Renames the file, out of the bank's sight or out of its sender's way. *there: it lies under the other name.
static bool put_away(ach_rail *r, const char *path, const char *taken_path, bool *there, err *e) {
    bool exists = false;
    if (!ach_sftp_exists(r->out, path, &exists, e) ||
        (exists && !*there && !ach_sftp_rename(r->out, path, taken_path, e)) ||
        (exists && *there && !ach_sftp_remove(r->out, path, e))) {
        return false;
    }
    *there = *there || exists;
    return true;
}

// Puts away uploads, begun or taken back, that lie in the inbox itself: an older process, or one with other settings, has left them. The
// bank may take every file in the inbox, so none may stay.
static bool put_away_from_inbox(ach_rail *r, const char *name, int64_t epoch, int64_t taken_epoch,
                                const char *taken_path, bool *there, err *e) {
    const int64_t epochs[] = {epoch, taken_epoch};
    for (size_t i = 0; i < sizeof epochs / sizeof epochs[0]; i++) {
        char path[PATH_LEN_MAX], suffix[TEMPORARY_SUFFIX];
        temporary_suffix(epochs[i], suffix);
        path_in(r->settings.inbox_dir, name, suffix, path);
        if (!put_away(r, path, taken_path, there, e)) {
            return false;
        }
    }
    return true;
}

// Takes an upload back by renaming it to a name that no upload can have, since epochs never grow so far. Its sender's rename fails from
// then on. If the caller dies before it writes this down, or has lost the submission, the proof stays in place. An old proof is swept.
static bool take_back_one(ach_rail *r, const submission_file *f, int64_t epoch, bool *was_there,
                          err *e) {
    enum { TAKEN = INT32_MIN };
    char upload_path[PATH_LEN_MAX], taken_path[PATH_LEN_MAX];
    bool taken = false;
    temporary_path(r, f->name, epoch, upload_path);
    temporary_path(r, f->name, epoch ^ TAKEN, taken_path);
    if (!ach_sftp_exists(r->out, taken_path, &taken, e) ||
        !put_away(r, upload_path, taken_path, &taken, e) ||
        (ach_has_upload_folder(r) &&
         !put_away_from_inbox(r, f->name, epoch, epoch ^ TAKEN, taken_path, &taken, e))) {
        return false;
    }
    *was_there = *was_there || taken;
    return true;
}

static bool take_back(void *self, const submission_file *f, bool *was_there) {
    const ach_rail *r = self;
    *was_there = false;
    // Without renames there is nothing to take back.
    for (size_t i = 0; !r->settings.direct_upload && i < f->n_epochs; i++) {
        err e = {0};
        if (!take_back_one(self, f, f->epochs[i], was_there, &e)) {
            log_failure("ach.upload.not_taken_back", f->name, &e);
            return false;
        }
    }
    return true;
}

// Names the folders of an upload for its row of evidence.
static const char *name_folders(ach_rail *r) {
    const str upload = without_slashes(r->settings.upload_dir),
              inbox_dir = without_slashes(r->settings.inbox_dir);
    const int n =
        ach_has_upload_folder(r)
            ? snprintf(r->folders, sizeof r->folders, "in %.*s, then in %.*s", (int)upload.len,
                       upload.ptr, (int)inbox_dir.len, inbox_dir.ptr)
            : snprintf(r->folders, sizeof r->folders, "in %.*s", (int)inbox_dir.len, inbox_dir.ptr);
    ASSERT(n > 0);
    return r->folders;
}

submission_channel ach_channel(ach_rail *r) {
    return (submission_channel){.connection = r->base.id,
                                .name = r->base.name,
                                .archive_complete = r->settings.archive_complete,
                                .lag_ms = r->settings.list_lag_ms,
                                .exposed = !ach_has_upload_folder(r),
                                .folders = name_folders(r),
                                .look = look,
                                .send = upload,
                                .take_back = take_back,
                                .self = r};
}
