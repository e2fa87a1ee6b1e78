#include "audit/heads_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/assert.h"

struct heads_file {
    int fd;
    off_t len; // length of the whole lines on disk
};

static bool failed(err *e, const char *what) {
    (void)err_set(e, ERR_UNAVAILABLE, "HEADS_FILE_FAILED", "the heads file: %s failed", what);
    return err_detail(e, "%s", strerror(errno));
}

// Reads all lines. *len becomes the length of the whole lines.
static bool read_lines(int fd, off_t *len, heads_file_on_head on_head, void *arg, err *e) {
    FILE *in = fdopen(dup(fd), "r");
    if (in == NULL) {
        return failed(e, "opening");
    }
    char line[HEAD_LINE_MAX];
    bool ok = true;
    *len = 0;
    while (ok && fgets(line, sizeof line, in) != NULL) {
        const size_t n = strlen(line);
        if (line[n - 1] != '\n' && feof(in)) {
            break; // not finished
        }
        tree_head head;
        ok = (line[n - 1] == '\n' && head_line_read((str){line, n - 1}, &head)) ||
             err_set(e, ERR_DATA_LOSS, "HEADS_FILE_DAMAGED",
                     "the heads file has a line that is no tree head, at byte %lld",
                     (long long)*len);
        ok = ok && on_head(arg, &head, e);
        *len += (off_t)n;
    }
    if (ok && ferror(in)) {
        ok = failed(e, "reading");
    }
    (void)fclose(in);
    return ok;
}

heads_file *heads_file_open(const char *path, heads_file_on_head on_head, void *arg, err *e) {
    heads_file *f = calloc(1, sizeof *f);
    ASSERT(f != NULL);
    f->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (f->fd < 0) {
        (void)failed(e, "opening");
        free(f);
        return NULL;
    }
    bool ok = flock(f->fd, LOCK_EX | LOCK_NB) == 0 ||
              err_set(e, ERR_FAILED_PRECONDITION, "HEADS_FILE_IN_USE",
                      "another process writes this heads file: each needs its own");
    ok = ok && read_lines(f->fd, &f->len, on_head, arg, e) &&
         (ftruncate(f->fd, f->len) == 0 || failed(e, "cutting off an unfinished line"));
    if (!ok) {
        heads_file_close(f);
        return NULL;
    }
    return f;
}

void heads_file_close(heads_file *f) {
    if (f != NULL) {
        (void)close(f->fd);
        free(f);
    }
}

static bool write_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        const ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        bytes += n < 0 ? 0 : n;
        len -= n < 0 ? 0 : (size_t)n;
    }
    return true;
}

bool heads_file_append(heads_file *f, const tree_head *heads, size_t n, err *e) {
    off_t len = f->len;
    bool ok = ftruncate(f->fd, len) == 0; // removes a half line that an earlier append left
    for (size_t i = 0; ok && i < n; i++) {
        char line[HEAD_LINE_MAX];
        const size_t line_len = head_line_write(&heads[i], line);
        ok = write_all(f->fd, line, line_len);
        len += (off_t)line_len;
    }
    if (!ok || fdatasync(f->fd) != 0) {
        (void)failed(e, "writing");
        // Cuts off the half-written text. If this fails too, the next append does it.
        const int cut = ftruncate(f->fd, f->len);
        (void)cut;
        return false;
    }
    f->len = len;
    return true;
}
