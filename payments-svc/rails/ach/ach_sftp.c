#include "rails/ach/ach_sftp.h"

#include <fcntl.h>
#include <libssh/libssh.h>
#include <libssh/sftp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"

enum {
    WRITE_CHUNK_LEN = 128 * 1024,
    // With its frame it stays below the 34,000 bytes that each server must take; some servers end the session over a longer one.
    WRITE_SMALL_LEN = 32 * 1024,
    READ_CHUNK_LEN = 32 * 1024,
    // A file may take longer than one request, but not for ever: this many times the limit of one request. An upload must end within its
    // sender's lease.
    WRITE_LIMITS = 2,
    READ_LIMITS = 30
};

// The kind of a listed name.
typedef enum kind_of_name {
    NAME_FILE,
    NAME_UNSURE, // a link, or an incomplete listing: ask the server
    NAME_OTHER   // a folder, a device
} kind_of_name;

struct ach_sftp {
    ach_sftp_options options;
    ssh_key key, host_key;
    pthread_mutex_t lock; // guards session, sftp: held during each operation
    ssh_session session;  // NULL: not connected
    sftp_session sftp;
    bool small_writes; // the server has refused a long write, or the line was lost with it

    // libssh waits for an answer without a limit, so a watchdog ends the connection of a slow operation.
    pthread_t watchdog;
    pthread_mutex_t watch_lock; // guards the fields below; taken after lock
    pthread_cond_t watch_changed;
    int watch_fd; // -1: nothing to watch
    struct timespec watch_until;
    bool watch_fired, watch_stop;
};

// --- Watchdog --------------------------------------------------------------------------------------------------------

static void *watchdog_run(void *arg) {
    ach_sftp *s = arg;
    pthread_mutex_lock(&s->watch_lock);
    while (!s->watch_stop) {
        if (s->watch_fd < 0) {
            pthread_cond_wait(&s->watch_changed, &s->watch_lock);
            continue;
        }
        struct timespec until = s->watch_until, now;
        (void)cond_wait_until(&s->watch_changed, &s->watch_lock, &until);
        clock_gettime(CLOCK_MONOTONIC, &now);
        bool late = now.tv_sec > s->watch_until.tv_sec ||
                    (now.tv_sec == s->watch_until.tv_sec && now.tv_nsec >= s->watch_until.tv_nsec);
        if (s->watch_fd >= 0 && late) {
            s->watch_fired = true;
            shutdown(s->watch_fd, SHUT_RDWR); // libssh sees the end of the connection and returns
            s->watch_fd = -1;
        }
    }
    pthread_mutex_unlock(&s->watch_lock);
    return NULL;
}

static void watch_begin(ach_sftp *s, int fd) {
    const struct timespec until = cond_after_ms(s->options.timeout_ms);
    pthread_mutex_lock(&s->watch_lock);
    s->watch_fd = fd;
    s->watch_until = until;
    s->watch_fired = false;
    pthread_cond_signal(&s->watch_changed);
    pthread_mutex_unlock(&s->watch_lock);
}

// A request of a longer operation was answered: the next one has its own time, up to the limit of the whole.
static void watch_again(ach_sftp *s, int64_t begun_ms, int limits) {
    if (clock_mono_ms(clock_system()) - begun_ms >= (limits - 1) * s->options.timeout_ms) {
        return;
    }
    const struct timespec until = cond_after_ms(s->options.timeout_ms);
    pthread_mutex_lock(&s->watch_lock);
    if (s->watch_fd >= 0) {
        s->watch_until = until; // the watchdog wakes at the old time, and sees that it is not late
    }
    pthread_mutex_unlock(&s->watch_lock);
}

// True when the time limit has passed. Must come before the session, and so the descriptor, is given up.
static bool watch_end(ach_sftp *s) {
    pthread_mutex_lock(&s->watch_lock);
    s->watch_fd = -1;
    bool fired = s->watch_fired;
    pthread_mutex_unlock(&s->watch_lock);
    return fired;
}

// --- Session ---------------------------------------------------------------------------------------------------------

static void disconnect(ach_sftp *s) {
    if (s->sftp != NULL) {
        sftp_free(s->sftp);
    }
    if (s->session != NULL) {
        ssh_disconnect(s->session);
        ssh_free(s->session);
    }
    s->sftp = NULL;
    s->session = NULL;
}

static bool fail_ssh(ach_sftp *s, err *e, const char *what) {
    err_set(e, ERR_UNAVAILABLE, "RAIL_UNREACHABLE", "the bank's file server did not answer");
    return err_detail(e, "%s: %s", what,
                      s->session == NULL ? "no session" : ssh_get_error(s->session));
}

// Names the algorithms of the pinned key, so that a server with several keys shows us this one.
static const char *host_key_algorithms(ssh_key key) {
    enum ssh_keytypes_e type = ssh_key_type(key);
    return type == SSH_KEYTYPE_RSA ? "rsa-sha2-512,rsa-sha2-256" : ssh_key_type_to_char(type);
}

static bool set_options(ach_sftp *s, err *e) {
    const ach_sftp_options *o = &s->options;
    long seconds = (long)(o->timeout_ms / 1000), microseconds = (long)(o->timeout_ms % 1000 * 1000);
    unsigned port = (unsigned)o->port;
    bool off = false;
    int on = 1;
    bool ok =
        ssh_options_set(s->session, SSH_OPTIONS_PROCESS_CONFIG, &off) == 0 &&
        ssh_options_set(s->session, SSH_OPTIONS_HOST, o->host) == 0 &&
        ssh_options_set(s->session, SSH_OPTIONS_PORT, &port) == 0 &&
        ssh_options_set(s->session, SSH_OPTIONS_USER, o->user) == 0 &&
        ssh_options_set(s->session, SSH_OPTIONS_TIMEOUT, &seconds) == 0 &&
        ssh_options_set(s->session, SSH_OPTIONS_TIMEOUT_USEC, &microseconds) == 0 &&
        ssh_options_set(s->session, SSH_OPTIONS_NODELAY, &on) == 0 &&
        ssh_options_set(s->session, SSH_OPTIONS_HOSTKEYS, host_key_algorithms(s->host_key)) == 0;
    return ok || fail_ssh(s, e, "options");
}

static bool check_host_key(ach_sftp *s, err *e) {
    ssh_key shown = NULL;
    if (ssh_get_server_publickey(s->session, &shown) != SSH_OK) {
        return fail_ssh(s, e, "host key");
    }
    bool same = ssh_key_cmp(shown, s->host_key, SSH_KEY_CMP_PUBLIC) == 0;
    ssh_key_free(shown);
    if (!same) {
        log_error("ach.sftp.host_key_mismatch", F_STR("host", s->options.host));
        return err_set(e, ERR_PERMISSION_DENIED, "HOST_KEY_MISMATCH",
                       "the bank's host key is not the pinned one");
    }
    return true;
}

static bool authenticate(ach_sftp *s, err *e) {
    int rc = ssh_userauth_publickey(s->session, NULL, s->key);
    if (rc == SSH_AUTH_SUCCESS) {
        return true;
    }
    if (rc == SSH_AUTH_DENIED || rc == SSH_AUTH_PARTIAL) {
        log_error("ach.sftp.key_refused", F_STR("user", s->options.user));
        return err_set(e, ERR_PERMISSION_DENIED, "SFTP_KEY_REFUSED", "the bank refused our key");
    }
    return fail_ssh(s, e, "authentication");
}

static bool connect_steps(ach_sftp *s, err *e) {
    if (!set_options(s, e)) {
        return false;
    }
    if (ssh_connect(s->session) != SSH_OK) {
        return fail_ssh(s, e, "connect");
    }
    watch_begin(s, (int)ssh_get_fd(s->session));
    if (!check_host_key(s, e) || !authenticate(s, e)) {
        return false;
    }
    s->sftp = sftp_new(s->session);
    if (s->sftp == NULL || sftp_init(s->sftp) != SSH_OK) {
        return fail_ssh(s, e, "sftp");
    }
    log_info("ach.sftp.connected", F_STR("host", s->options.host), F_INT("port", s->options.port));
    return true;
}

// Locks, and connects if necessary. After true the caller must call op_end.
static bool op_begin(ach_sftp *s, err *e) {
    pthread_mutex_lock(&s->lock);
    if (s->session != NULL && !ssh_is_connected(s->session)) {
        disconnect(s);
    }
    if (s->session == NULL) {
        s->session = ssh_new();
        bool ok = s->session != NULL ? connect_steps(s, e) : fail_ssh(s, e, "memory");
        watch_end(s);
        if (!ok) {
            disconnect(s);
            pthread_mutex_unlock(&s->lock);
            return false;
        }
    }
    watch_begin(s, (int)ssh_get_fd(s->session));
    return true;
}

static void op_end(ach_sftp *s) {
    watch_end(s);
    pthread_mutex_unlock(&s->lock);
}

// Ends a failed operation. When the connection breaks, libssh keeps the status of an earlier answer. So a status is believed only if the
// server still answers after it; otherwise the session is given up, so none of its handles may be open. Returns SSH_FX_OK when nothing is
// known.
static int settle_failure(ach_sftp *s, int status, const char *what, err *e) {
    fail_ssh(s, e, what);
    char *here = sftp_canonicalize_path(s->sftp, ".");
    bool fired = watch_end(s); // before the descriptor is closed
    bool alive = here != NULL && !fired;
    ssh_string_free_char(here);
    if (!alive) {
        disconnect(s);
        return SSH_FX_OK;
    }
    if (status != SSH_FX_OK) {
        err_set(e, ERR_FAILED_PRECONDITION, "SFTP_REFUSED",
                "the bank's file server refused the operation");
        err_detail(e, "%s: sftp status %d", what, status);
    }
    return status;
}

ach_sftp *ach_sftp_create(const ach_sftp_options *o, err *e) {
    ach_sftp *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    s->options = *o;
    s->watch_fd = -1;
    if (ssh_pki_import_privkey_file(o->key_file, NULL, NULL, NULL, &s->key) != SSH_OK) {
        err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING",
                "ach.key_file cannot be read as a private key");
        goto fail;
    }
    if (ssh_pki_import_pubkey_file(o->host_key_file, &s->host_key) != SSH_OK) {
        err_set(e, ERR_FAILED_PRECONDITION, "BAD_SETTING",
                "ach.host_key_file cannot be read as a public key");
        goto fail;
    }
    cond_init(&s->watch_changed);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->watch_lock, NULL);
    MUST(pthread_create(&s->watchdog, NULL, watchdog_run, s) == 0);
    return s;
fail:
    ssh_key_free(s->key);
    ssh_key_free(s->host_key);
    free(s);
    return NULL;
}

void ach_sftp_destroy(ach_sftp *s) {
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->watch_lock);
    s->watch_stop = true;
    pthread_cond_signal(&s->watch_changed);
    pthread_mutex_unlock(&s->watch_lock);
    pthread_join(s->watchdog, NULL);
    disconnect(s);
    ssh_key_free(s->key);
    ssh_key_free(s->host_key);
    pthread_cond_destroy(&s->watch_changed);
    pthread_mutex_destroy(&s->watch_lock);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

// --- Operations ------------------------------------------------------------------------------------------------------

bool ach_sftp_exists(ach_sftp *s, const char *path, bool *exists, err *e) {
    uint64_t size;
    return ach_sftp_size(s, path, exists, &size, e);
}

bool ach_sftp_size(ach_sftp *s, const char *path, bool *exists, uint64_t *size, err *e) {
    if (!op_begin(s, e)) {
        return false;
    }
    sftp_attributes attributes = sftp_stat(s->sftp, path);
    bool known = attributes != NULL;
    *exists = known;
    *size = known ? attributes->size : 0;
    sftp_attributes_free(attributes);
    if (!known) {
        int status = settle_failure(s, sftp_get_error(s->sftp), "stat", e);
        known = status == SSH_FX_NO_SUCH_FILE || status == SSH_FX_NO_SUCH_PATH;
    }
    op_end(s);
    return known;
}

// For a listed name: asks whether it is a file, and for missing fields. One operation.
static bool stat_one(ach_sftp *s, const char *path, ach_sftp_file *file, bool *is_file, err *e) {
    err why = {0};
    if (!op_begin(s, e)) {
        return false;
    }
    bool known = true;
    sftp_attributes at = sftp_stat(s->sftp, path);
    if (at != NULL) {
        *is_file = at->type != SSH_FILEXFER_TYPE_DIRECTORY && at->type != SSH_FILEXFER_TYPE_SPECIAL;
        file->size = (at->flags & SSH_FILEXFER_ATTR_SIZE) != 0 ? at->size : file->size;
        file->modified_s =
            (at->flags & SSH_FILEXFER_ATTR_ACMODTIME) != 0 ? (int64_t)at->mtime : file->modified_s;
    } else {
        const int status = settle_failure(s, sftp_get_error(s->sftp), "stat", &why);
        *is_file = status != SSH_FX_NO_SUCH_FILE && status != SSH_FX_NO_SUCH_PATH;
        known = status != SSH_FX_OK; // a refusal is an answer
    }
    sftp_attributes_free(at);
    op_end(s);
    if (!known) {
        *e = why;
    }
    return known;
}

// True when all written bytes are there, as far as the server tells. Some servers know sizes late, and some show nothing of an upload. Each
// write was confirmed.
static bool has_size(ach_sftp *s, const char *path, size_t len, err *e) {
    err ignored = {0};
    sftp_attributes at = sftp_stat(s->sftp, path);
    if (at == NULL) {
        const int status = settle_failure(s, sftp_get_error(s->sftp), "stat", &ignored);
        if (status == SSH_FX_OK) {
            *e = ignored;
        }
        return status != SSH_FX_OK;
    }
    const bool told = (at->flags & SSH_FILEXFER_ATTR_SIZE) != 0;
    const bool ok = !told || at->size == len;
    sftp_attributes_free(at);
    return ok || err_set(e, ERR_UNAVAILABLE, "RAIL_UNREACHABLE",
                         "the bank's file server has less of the file than it confirmed");
}

static bool write_all(ach_sftp *s, const char *path, str content, ach_sftp_made made, void *arg,
                      bool *begun, err *e) {
    sftp_file file =
        sftp_open(s->sftp, path, O_WRONLY | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR | S_IRGRP);
    if (file == NULL) {
        settle_failure(s, sftp_get_error(s->sftp), "open for writing", e);
        return false;
    }
    if (made != NULL && !made(arg)) {
        (void)sftp_close(file);
        return err_set(e, ERR_ABORTED, "NOT_OURS", "the file is another sender's by now");
    }
    *begun = true;
    bool ok = true;
    const int64_t begun_ms = clock_mono_ms(clock_system());
    watch_again(s, begun_ms, WRITE_LIMITS);
    const size_t most = s->small_writes ? WRITE_SMALL_LEN : WRITE_CHUNK_LEN;
    for (size_t at = 0; ok && at < content.len;) {
        size_t len = content.len - at < most ? content.len - at : most;
        ssize_t n = sftp_write(file, content.ptr + at, len);
        ok = n > 0;
        at += ok ? (size_t)n : 0;
        s->small_writes = s->small_writes || (!ok && len > WRITE_SMALL_LEN);
        watch_again(s, begun_ms, WRITE_LIMITS);
    }
    int status = sftp_get_error(s->sftp);
    ok = sftp_close(file) == SSH_OK && ok;
    if (!ok) {
        settle_failure(s, status, "write", e);
        return false;
    }
    return has_size(s, path, content.len, e);
}

bool ach_sftp_write(ach_sftp *s, const char *path, str content, ach_sftp_made made, void *arg,
                    bool *begun, err *e) {
    *begun = false;
    if (!op_begin(s, e)) {
        return false;
    }
    bool ok = write_all(s, path, content, made, arg, begun, e);
    op_end(s);
    return ok;
}

// An operation whose answer is only a status.
static bool simple_op(ach_sftp *s, int (*run)(sftp_session, const char *, const char *),
                      const char *a, const char *b, int ignored_status, const char *what, err *e) {
    if (!op_begin(s, e)) {
        return false;
    }
    bool ok = run(s->sftp, a, b) == 0;
    if (!ok) {
        int status = settle_failure(s, sftp_get_error(s->sftp), what, e);
        ok = status != SSH_FX_OK && status == ignored_status;
    }
    op_end(s);
    return ok;
}

static int run_rename(sftp_session sftp, const char *from, const char *to) {
    return sftp_rename(sftp, from, to);
}
static int run_remove(sftp_session sftp, const char *path, const char *unused) {
    (void)unused;
    return sftp_unlink(sftp, path);
}
static int run_mkdir(sftp_session sftp, const char *path, const char *unused) {
    (void)unused;
    return sftp_mkdir(sftp, path, S_IRWXU);
}

bool ach_sftp_rename(ach_sftp *s, const char *from, const char *to, err *e) {
    return simple_op(s, run_rename, from, to, -1, "rename", e);
}

bool ach_sftp_remove(ach_sftp *s, const char *path, err *e) {
    return simple_op(s, run_remove, path, NULL, -1, "remove", e);
}

bool ach_sftp_mkdir(ach_sftp *s, const char *path, err *e) {
    if (simple_op(s, run_mkdir, path, NULL, SSH_FX_FILE_ALREADY_EXISTS, "mkdir", e)) {
        return true;
    }
    // OpenSSH says "failure" for an existing folder.
    bool exists = false;
    return ach_sftp_exists(s, path, &exists, e) && exists;
}

// The kind of a name, by its listing. Some servers give no kind: then the line for people, like that of ls, has it.
static kind_of_name kind_of(const struct sftp_attributes_struct *at) {
    const char *line = at->longname == NULL ? "" : at->longname;
    switch (at->type) {
    case SSH_FILEXFER_TYPE_REGULAR: break;
    case SSH_FILEXFER_TYPE_DIRECTORY:
    case SSH_FILEXFER_TYPE_SPECIAL: return NAME_OTHER;
    case SSH_FILEXFER_TYPE_SYMLINK: return NAME_UNSURE;
    default:
        if (strcmp(at->name, ".") == 0 || strcmp(at->name, "..") == 0 || line[0] == 'd') {
            return NAME_OTHER;
        }
        if (line[0] != '-') {
            return NAME_UNSURE;
        }
    }
    return (at->flags & SSH_FILEXFER_ATTR_SIZE) != 0 ? NAME_FILE : NAME_UNSURE;
}

// Asks about names with an incomplete listing: links, and names without kind or size. A link to nothing or to a folder is no file. If the
// server says nothing, the listing stays, and the read will tell.
static bool look_behind(ach_sftp *s, const char *dir, ach_sftp_file *files, const bool *unsure,
                        size_t *n, arena *a, err *e) {
    const size_t listed = *n;
    *n = 0;
    for (size_t i = 0; i < listed; i++) {
        bool is_file = true;
        if (unsure[i]) {
            const char *path = arena_printf(a, "%s/%s", dir, files[i].name);
            if (path == NULL) {
                return err_no_memory(e, "a listing");
            }
            if (!stat_one(s, path, &files[i], &is_file, e)) {
                return false;
            }
        }
        if (is_file) {
            files[(*n)++] = files[i];
        }
    }
    return true;
}

static bool list_all(ach_sftp *s, const char *dir, const ach_sftp_filter *filter, size_t max,
                     arena *a, ach_sftp_file *files, bool *unsure, size_t *n, err *e) {
    sftp_dir handle = sftp_opendir(s->sftp, dir);
    if (handle == NULL) {
        settle_failure(s, sftp_get_error(s->sftp), "list", e);
        return false;
    }
    bool ok = true;
    while (ok && *n < max) {
        sftp_attributes attributes = sftp_readdir(s->sftp, handle);
        if (attributes == NULL) {
            break;
        }
        const kind_of_name kind = kind_of(attributes);
        if (kind != NAME_OTHER &&
            (filter == NULL || filter->wanted(filter->arg, attributes->name))) {
            unsure[*n] = kind == NAME_UNSURE;
            files[*n] = (ach_sftp_file){arena_strdup(a, attributes->name), attributes->size,
                                        (int64_t)attributes->mtime};
            ok = files[*n].name != NULL;
            *n += 1;
        }
        sftp_attributes_free(attributes);
    }
    // An unannounced end is a lost connection, not an empty folder.
    bool whole = ok && (*n == max || sftp_dir_eof(handle));
    int status = sftp_get_error(s->sftp);
    sftp_closedir(handle);
    if (!ok) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_FILES",
                       "too many files in the bank's folder");
    }
    if (!whole) {
        settle_failure(s, status, "list", e);
    }
    return whole;
}

bool ach_sftp_list(ach_sftp *s, const char *dir, size_t max, arena *a, ach_sftp_file **files,
                   size_t *n, err *e) {
    return ach_sftp_list_some(s, dir, NULL, max, a, files, n, e);
}

bool ach_sftp_list_some(ach_sftp *s, const char *dir, const ach_sftp_filter *filter, size_t max,
                        arena *a, ach_sftp_file **files, size_t *n, err *e) {
    *n = 0;
    *files = arena_calloc(a, max, sizeof(ach_sftp_file));
    bool *unsure = arena_calloc(a, max, sizeof *unsure);
    if (*files == NULL || unsure == NULL) {
        return err_no_memory(e, "a listing");
    }
    if (!op_begin(s, e)) {
        return false;
    }
    bool ok = list_all(s, dir, filter, max, a, *files, unsure, n, e);
    op_end(s);
    return ok && look_behind(s, dir, *files, unsure, n, a, e);
}

static bool read_all(ach_sftp *s, const char *path, size_t max, char *out, size_t *len, err *e) {
    sftp_file file = sftp_open(s->sftp, path, O_RDONLY, 0);
    if (file == NULL) {
        settle_failure(s, sftp_get_error(s->sftp), "open for reading", e);
        return false;
    }
    const int64_t begun_ms = clock_mono_ms(clock_system());
    ssize_t n = 1;
    *len = 0;
    while (n > 0 && *len <= max) {
        size_t want = max + 1 - *len < READ_CHUNK_LEN ? max + 1 - *len : READ_CHUNK_LEN;
        n = want > 0 ? sftp_read(file, out + *len, want) : 0;
        *len += n > 0 ? (size_t)n : 0;
        watch_again(s, begun_ms, READ_LIMITS);
    }
    int status = sftp_get_error(s->sftp);
    sftp_close(file);
    if (n < 0) {
        settle_failure(s, status, "read", e);
        return false;
    }
    return *len <= max ||
           err_set(e, ERR_OUT_OF_RANGE, "FILE_TOO_LARGE", "the file has more than %zu bytes", max);
}

bool ach_sftp_read(ach_sftp *s, const char *path, size_t max, arena *a, str *out, err *e) {
    char *bytes = arena_alloc(a, max + 1);
    size_t len = 0;
    if (bytes == NULL) {
        return err_no_memory(e, "a file");
    }
    if (!op_begin(s, e)) {
        return false;
    }
    bool ok = read_all(s, path, max, bytes, &len, e);
    op_end(s);
    *out = (str){bytes, len};
    return ok;
}
