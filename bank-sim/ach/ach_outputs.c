// Puts each output of the bank into the outbox once: whole, or slowly, under the bank's own name or a name that answers ours.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ach/ach_internal.h"

bool ach_output_add(ach *a, books_tx *tx, ach_output kind, const char *kind_name, str content,
                    char name[BOOKS_NAME_MAX], err *e) {
    static const struct {
        const char *counter, *prefix, *suffix;
    } OWN[] = {[ACH_OUT_ACK] = {"own-ack", "ACKN", "TXT"},
               [ACH_OUT_SETTLEMENT] = {"own-settlement", "POSTED", "CSV"},
               [ACH_OUT_RETURNS] = {"own-returns", "FEDRTN", "TXT"}};
    int64_t number = 0;
    (void)snprintf(name, BOOKS_NAME_MAX, "%s", kind_name);
    if (habits_get(a->o.habits).bank_names != 0) {
        if (!books_counter_next(tx, OWN[kind].counter, &number, e)) {
            return false;
        }
        (void)snprintf(name, BOOKS_NAME_MAX, "%s.SEQ%07lld.%s", OWN[kind].prefix, (long long)number,
                       OWN[kind].suffix);
    }
    return books_output_add(tx, name, content, e);
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

// For a bank that runs as root: gives the file to the owner of the folder, the user of the sessions.
static bool give(const ach *a, int fd) {
    char path[ACH_PATH_MAX];
    struct stat outbox;
    return geteuid() != 0 || !ach_path_of(path, a->o.root, "outbox", "") ||
           stat(path, &outbox) != 0 || fchown(fd, outbox.st_uid, outbox.st_gid) == 0;
}

// The name appears in the outbox with all of its content, or does not appear.
static bool publish(ach *a, const char *name, str content, err *e) {
    char temporary[ACH_PATH_MAX], path[ACH_PATH_MAX];
    if (!ach_path_of(temporary, a->o.spool, "", name) ||
        !ach_path_of(path, a->o.root, "outbox", name)) {
        return err_set(e, ERR_INTERNAL, "FILE_NAME", "the name of an output is too long");
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return ach_os_failed(e, "create", temporary);
    }
    bool ok = give(a, fd) && write_whole(fd, content);
    ok = (close(fd) == 0 && ok) || ach_os_failed(e, "write", temporary);
    return ok && (rename(temporary, path) == 0 || ach_os_failed(e, "rename", temporary));
}

// Plays a bank whose server writes while it transmits: the name is there at once, its content grows. A reader that takes the file meanwhile
// gets a part of it.
static bool publish_growing(ach *a, const char *name, str content, int64_t grow_ms, err *e) {
    enum { STEPS = 8 };
    char path[ACH_PATH_MAX];
    if (!ach_path_of(path, a->o.root, "outbox", name)) {
        return err_set(e, ERR_INTERNAL, "FILE_NAME", "the name of an output is too long");
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return ach_os_failed(e, "create", path);
    }
    bool ok = give(a, fd);
    const struct timespec step = {.tv_sec = grow_ms / STEPS / 1000,
                                  .tv_nsec = grow_ms / STEPS % 1000 * 1000000};
    for (size_t i = 0; ok && i < STEPS; i++) {
        size_t from = content.len * i / STEPS, to = content.len * (i + 1) / STEPS;
        if (i > 0 && !ach_stopping(a)) {
            (void)nanosleep(&step, NULL);
        }
        ok = write_whole(fd, (str){content.ptr + from, to - from});
    }
    return (close(fd) == 0 && ok) || ach_os_failed(e, "write", path);
}

// A file that was growing when we died may be there in part.
static bool is_whole(const ach *a, const char *name, size_t len) {
    char path[ACH_PATH_MAX];
    struct stat st;
    return ach_path_of(path, a->o.root, "outbox", name) && lstat(path, &st) == 0 &&
           (size_t)st.st_size == len;
}

static bool sync_outbox(ach *a, err *e) {
    char path[ACH_PATH_MAX];
    if (!ach_path_of(path, a->o.root, "outbox", "")) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = (fd >= 0 && fsync(fd) == 0) || ach_os_failed(e, "sync", path);
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

// The output is there already if we died between the rename and the mark. The other side may have moved it on.
static bool put_out(ach *a, const char *name, str content, err *e) {
    int64_t grow_ms = habits_get(a->o.habits).grow_ms;
    if (is_whole(a, name, content.len) || ach_exists(a, "outbox/done", name) ||
        ach_exists(a, "outbox/bad", name)) {
        return true;
    }
    return grow_ms > 0 ? publish_growing(a, name, content, grow_ms, e)
                       : publish(a, name, content, e);
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
        ok = put_out(a, o.name, strbuf_str(&a->text), e);
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

bool ach_stopping(ach *a) {
    pthread_mutex_lock(&a->lock);
    bool stop = a->stop;
    pthread_mutex_unlock(&a->lock);
    return stop;
}
