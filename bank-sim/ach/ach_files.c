// The folders of inputs: reading and archiving.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ach/ach_internal.h"
#include "base/log.h"

bool ach_path_of(char out[ACH_PATH_MAX], const char *root, const char *folder, const char *name) {
    int n =
        snprintf(out, ACH_PATH_MAX, "%s/%s%s%s", root, folder, *folder == '\0' ? "" : "/", name);
    return n > 0 && n < ACH_PATH_MAX;
}

bool ach_os_failed(err *e, const char *what, const char *path) {
    int why = errno;
    (void)err_set(e, ERR_UNAVAILABLE, "FILE", "a file of the bank could not be used");
    return err_detail(e, "%s %s: %s", what, path, strerror(why));
}

bool ach_exists(const ach *a, const char *folder, const char *name) {
    char path[ACH_PATH_MAX];
    struct stat st;
    return ach_path_of(path, a->o.root, folder, name) && lstat(path, &st) == 0;
}

bool ach_in_archive(ach *a, const char *name) {
    return ach_exists(a, "archive", name);
}

static int is_input(const struct dirent *entry) {
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && !(len >= 4 && strcmp(entry->d_name + len - 4, ".tmp") == 0);
}

void ach_inbox_each(ach *a, ach_on_input on) {
    char path[ACH_PATH_MAX];
    struct dirent **names = NULL;
    if (!ach_path_of(path, a->o.root, "inbox", "")) {
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
    if (!ach_path_of(path, a->o.root, "inbox", name)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "FILE_NAME", "the file name is too long");
    }
    // Follows no links and never blocks: the other side can write to the folder.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return ach_os_failed(e, "open", path);
    }
    bool ok = fstat(fd, &st) == 0 || ach_os_failed(e, "stat", path);
    if (ok && !S_ISREG(st.st_mode)) {
        ok = err_set(e, ERR_INVALID_ARGUMENT, "NOT_A_FILE", "it is not a regular file");
    }
    // Reads one byte more than the reader takes, so that the reader can refuse a longer file.
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
            ok = got == 0 || ach_os_failed(e, "read", path);
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
    if (!ach_path_of(from_path, a->o.root, "inbox", name) ||
        !ach_path_of(to_path, a->o.root, "archive", to)) {
        return err_set(e, ERR_INVALID_ARGUMENT, "FILE_NAME", "the file name is too long");
    }
    if (habits_get(a->o.habits).archive == 0) {
        return unlink(from_path) == 0 || errno == ENOENT || ach_os_failed(e, "remove", from_path);
    }
    if (rename(from_path, to_path) == 0 || (errno == ENOENT && ach_in_archive(a, to))) {
        return true;
    }
    return ach_os_failed(e, "archive", from_path);
}

typedef struct kept {
    char name[NAME_MAX + 1];
    int64_t at_us; // of its last change of any kind; the move into the archive counts
} kept;

static int compare_kept(const void *a, const void *b) {
    const kept *x = a, *y = b;
    return x->at_us < y->at_us ? -1 : x->at_us > y->at_us ? 1 : strcmp(x->name, y->name);
}

static void forget(ach *a, kept *files, int n, const habits_config *h) {
    int64_t now_us = clock_wall_us(a->o.clock);
    qsort(files, (size_t)n, sizeof(*files), compare_kept);
    for (int i = 0; i < n; i++) {
        char path[ACH_PATH_MAX];
        bool surplus = h->archive_files > 0 && n - i > h->archive_files;
        bool old = h->archive_ms > 0 && now_us - files[i].at_us > h->archive_ms * 1000;
        if ((surplus || old) && ach_path_of(path, a->o.root, "archive", files[i].name)) {
            (void)unlink(path);
        }
    }
}

void ach_archive_prune(ach *a) {
    habits_config h = habits_get(a->o.habits);
    char path[ACH_PATH_MAX];
    struct dirent **names = NULL;
    if ((h.archive_files == 0 && h.archive_ms == 0) ||
        !ach_path_of(path, a->o.root, "archive", "")) {
        return;
    }
    int n = scandir(path, &names, is_input, alphasort), found = 0;
    kept *files = n > 0 ? calloc((size_t)n, sizeof(*files)) : NULL;
    for (int i = 0; i < n; i++) {
        struct stat st;
        if (files != NULL && ach_path_of(path, a->o.root, "archive", names[i]->d_name) &&
            lstat(path, &st) == 0) {
            kept *k = &files[found++];
            (void)snprintf(k->name, sizeof(k->name), "%s", names[i]->d_name);
            k->at_us = st.st_ctim.tv_sec * INT64_C(1000000) + st.st_ctim.tv_nsec / 1000;
        }
        free(names[i]);
    }
    free(names);
    if (files != NULL) {
        forget(a, files, found, &h);
        free(files);
    }
}
