#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/daemon_internal.h"

static bool write_all(int fd, str content) {
    while (content.len > 0) {
        ssize_t n = write(fd, content.ptr, content.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        content.ptr += n;
        content.len -= (size_t)n;
    }
    return true;
}

bool ready_file_write(ready_file *f, const char *path, str content, err *e) {
    bool ok = false;
    int fd = -1;
    struct stat status;
    char memory[PATH_MAX];
    strbuf temporary;
    strbuf_init_fixed(&temporary, memory, sizeof(memory));
    strbuf_printf(&temporary, "%s.%d.tmp", path, (int)getpid());
    if (!strbuf_ok(&temporary)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "READY_FILE",
                       "the path of the ready file is too long");
    }
    fd = open(temporary.ptr, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0) {
        err_set(e, ERR_UNAVAILABLE, "READY_FILE", "cannot create %.120s: %s", temporary.ptr,
                strerrordesc_np(errno));
        goto out;
    }
    // Renamed only when complete: a reader of the name sees the whole content.
    if (!write_all(fd, content) || fstat(fd, &status) != 0 || rename(temporary.ptr, path) != 0) {
        err_set(e, ERR_UNAVAILABLE, "READY_FILE", "cannot write %.120s: %s", path,
                strerrordesc_np(errno));
        (void)unlink(temporary.ptr);
        goto out;
    }
    *f = (ready_file){.path = path, .device = status.st_dev, .inode = status.st_ino};
    ok = true;
out:
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

void ready_file_remove(ready_file *f) {
    struct stat status;
    if (f->path != NULL && stat(f->path, &status) == 0 && status.st_dev == f->device &&
        status.st_ino == f->inode) {
        (void)unlink(f->path);
    }
    f->path = NULL;
}
