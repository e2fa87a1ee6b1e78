// The folders: reading inputs, archiving them, and putting outputs into the outbox once.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ach/ach_internal.h"
#include "base/log.h"

static bool path_of(char out[ACH_PATH_MAX], const char *root, const char *folder,
                    const char *name) {
    int n =
        snprintf(out, ACH_PATH_MAX, "%s/%s%s%s", root, folder, *folder == '\0' ? "" : "/", name);
    return n > 0 && n < ACH_PATH_MAX;
}

static bool os_failed(err *e, const char *what, const char *path) {
    int why = errno;
    (void)err_set(e, ERR_UNAVAILABLE, "FILE", "a file of the bank could not be used");
    return err_detail(e, "%s %s: %s", what, path, strerror(why));
}

static bool exists(const ach *a, const char *folder, const char *name) {
    char path[ACH_PATH_MAX];
    struct stat st;
    return path_of(path, a->o.root, folder, name) && lstat(path, &st) == 0;
}

bool ach_in_archive(ach *a, const char *name) {
    return exists(a, "archive", name);
}

static int is_input(const struct dirent *entry) {
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && !(len >= 4 && strcmp(entry->d_name + len - 4, ".tmp") == 0);
}

void ach_inbox_each(ach *a, ach_on_input on) {
    char path[ACH_PATH_MAX];
    struct dirent **names = NULL;
    if (!path_of(path, a->o.root, "inbox", "")) {
        return;
    }
    int n = scandir(path, &names, is_input, alphasort);
    if (n < 0) {
        log_warn("ach.inbox_unreadable", F_STR("why", strerror(errno)));
        return;
    }
    for (int i = 0; i < n; i++) {
        (void)on(a, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

bool ach_inbox_read(ach *a, const char *name, arena *mem, str *bytes, err *e) {
    char path[ACH_PATH_MAX];
    struct stat st;
    *bytes = (str){"", 0};
    if (!path_of(path, a->o.root, "inbox", name)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "FILE_NAME", "the file name is too long");
    }
    // No links, and nothing that blocks: the folder is open to the other side.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return os_failed(e, "open", path);
    }
    bool ok = fstat(fd, &st) == 0 || os_failed(e, "stat", path);
    if (ok && !S_ISREG(st.st_mode)) {
        ok = err_set(e, ERR_INVALID_ARGUMENT, "NOT_A_FILE", "it is not a regular file");
    }
    // One byte more than the reader takes, so that the reader can say that it is too long.
    size_t max = NACHA_BYTES_MAX + 1, len = 0;
    char *text = NULL;
    if (ok) {
        max = (size_t)st.st_size < max ? (size_t)st.st_size : max;
        text = arena_alloc(mem, max + 1);
        ok = text != NULL ||
             err_set(e, ERR_RESOURCE_EXHAUSTED, "FILE_TOO_LARGE", "the file is too large");
    }
    while (ok && len < max) {
        ssize_t got = read(fd, text + len, max - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            ok = got == 0 || os_failed(e, "read", path);
            break;
        }
        len += (size_t)got;
    }
    (void)close(fd);
    *bytes = (str){text, len};
    return ok;
}

bool ach_archive(ach *a, const char *name, const char *to, err *e) {
    char from_path[ACH_PATH_MAX], to_path[ACH_PATH_MAX];
    if (!path_of(from_path, a->o.root, "inbox", name) ||
        !path_of(to_path, a->o.root, "archive", to)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "FILE_NAME", "the file name is too long");
    }
    if (rename(from_path, to_path) == 0 || (errno == ENOENT && ach_in_archive(a, to))) {
        return true;
    }
    return os_failed(e, "archive", from_path);
}

static bool write_whole(int fd, str content) {
    size_t done = 0;
    while (done < content.len) {
        ssize_t n = write(fd, content.ptr + done, content.len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return fsync(fd) == 0;
}

// The name appears in the outbox with all of its content, or not at all.
static bool publish(ach *a, const char *name, str content, err *e) {
    char temporary[ACH_PATH_MAX], path[ACH_PATH_MAX];
    if (!path_of(temporary, a->o.spool, "", name) || !path_of(path, a->o.root, "outbox", name)) {
        return err_set(e, ERR_INTERNAL, "FILE_NAME", "the name of an output is too long");
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return os_failed(e, "create", temporary);
    }
    // For a bank that runs as root: the file belongs to whom the folder belongs, the user of the sessions.
    struct stat outbox;
    bool ok = geteuid() != 0 || !path_of(path, a->o.root, "outbox", "") ||
              stat(path, &outbox) != 0 || fchown(fd, outbox.st_uid, outbox.st_gid) == 0;
    ok = ok && path_of(path, a->o.root, "outbox", name) && write_whole(fd, content);
    ok = (close(fd) == 0 && ok) || os_failed(e, "write", temporary);
    return ok && (rename(temporary, path) == 0 || os_failed(e, "rename", temporary));
}

static bool sync_outbox(ach *a, err *e) {
    char path[ACH_PATH_MAX];
    if (!path_of(path, a->o.root, "outbox", "")) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = (fd >= 0 && fsync(fd) == 0) || os_failed(e, "sync", path);
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

typedef struct next_output {
    int64_t after, id;
    char name[BOOKS_NAME_MAX];
    strbuf *content;
} next_output;

static bool read_next(books_tx *tx, void *arg, err *e) {
    next_output *o = arg;
    return books_output_next(tx, o->after, &o->id, o->name, o->content, e);
}

enum { MARKS_MAX = 64 };
typedef struct marks {
    int64_t ids[MARKS_MAX];
    int n;
} marks;

static bool mark_written(books_tx *tx, void *arg, err *e) {
    marks *m = arg;
    for (int i = 0; i < m->n; i++) {
        if (!books_output_written(tx, m->ids[i], e)) {
            return false;
        }
    }
    return true;
}

bool ach_outputs_write(ach *a, err *e) {
    marks written = {0};
    next_output o = {.content = &a->text};
    bool ok = true;
    while (ok) {
        ok = books_read(a->o.books, BOOKS_LANE_REPORT, read_next, &o, e);
        if (!ok || o.id == 0) {
            break;
        }
        // It is there already when we died between the rename and the mark; perhaps the other side has moved it on.
        bool there = exists(a, "outbox", o.name) || exists(a, "outbox/done", o.name) ||
                     exists(a, "outbox/bad", o.name);
        ok = there || publish(a, o.name, strbuf_str(&a->text), e);
        if (ok) {
            written.ids[written.n++] = o.id;
            o.after = o.id;
        }
        if (ok && written.n == MARKS_MAX) {
            ok = sync_outbox(a, e) && books_write(a->o.books, mark_written, &written, e);
            written.n = 0;
        }
    }
    if (written.n > 0) {
        ok = sync_outbox(a, e) && books_write(a->o.books, mark_written, &written, e) && ok;
    }
    return ok;
}
