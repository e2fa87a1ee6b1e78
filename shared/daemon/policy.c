// The policy file: read at the start and at each SIGHUP. A faulty one never replaces a good one.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "crypto/crypto.h"
#include "daemon/daemon_internal.h"

enum { HASH_BYTES = 32, VERSION_BYTES = AUTHZ_VERSION_LEN / 2 };

static bool faulty(err *e, const char *path, const char *what) {
    return err_set(e, ERR_INVALID_ARGUMENT, "POLICY_INVALID", "%.120s: %s", path, what);
}

// Reads the whole file, at most max bytes. *text is @owned.
static bool read_all(int fd, size_t max, char **text, size_t *len) {
    *text = malloc(max + 1);
    ASSERT(*text != NULL);
    *len = 0;
    for (;;) {
        const ssize_t n = read(fd, *text + *len, max + 1 - *len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0 || *len + (size_t)n > max) {
            return n == 0;
        }
        *len += (size_t)n;
    }
}

static bool open_policy(const char *path, int *fd, err *e) {
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) {
        return err_set(e, ERR_INVALID_ARGUMENT, "POLICY_INVALID", "%.120s: cannot be opened: %s",
                       path, strerrordesc_np(errno));
    }
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return faulty(e, path, "this is not a file");
    }
    // The owner could grant itself every permission.
    if (st.st_uid != 0 && st.st_uid != geteuid()) {
        return faulty(e, path, "its owner is neither root nor the user of this service");
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return faulty(e, path, "its group or others may write it; it must be 0644 or less");
    }
    return true;
}

authz_policy *policy_read(const char *path, err *e) {
    authz_policy *p = NULL;
    char *text = NULL;
    size_t len = 0;
    int fd = -1;
    if (!open_policy(path, &fd, e)) {
        goto out;
    }
    if (!read_all(fd, AUTHZ_FILE_MAX, &text, &len)) {
        faulty(e, path, "it cannot be read, or is too large");
        goto out;
    }
    uint8_t hash[HASH_BYTES];
    char version[AUTHZ_VERSION_LEN + 1];
    crypto_sha256(text, len, hash);
    str_hex(hash, VERSION_BYTES, version);
    p = authz_policy_parse((str){text, len}, path, version, e);
out:
    free(text);
    if (fd >= 0) {
        close(fd);
    }
    return p;
}

// --- The policy in force -----------------------------------------------------------------------------------------------

static void publish(const policy_file *f, const authz_policy *p) {
    // The version's 48 bits of hex are exact in a metric.
    const int64_t version = strtoll(authz_policy_version(p), NULL, 16);
    metric_set(metric_gauge("authz_policy_version", "",
                            "First 48 bits of the SHA-256 of the policy file in force"),
               version);
    metric_set(metric_gauge("authz_policy_load_time_seconds", "",
                            "Unix time at which the policy in force was read"),
               clock_wall_us(clock_system()) / 1000000);
    log_info(
        "authz.policy.loaded", F_STR("file", f->path), F_STR("version", authz_policy_version(p)),
        F_INT("identities", authz_policy_identities(p)), F_INT("persons", authz_policy_persons(p)));
}

static void count_reading(void) {
    metric_add(metric_counter("authz_policy_reads_total", "",
                              "How often the policy file was read and judged"),
               1);
}

static metric *faulty_gauge(void) {
    return metric_gauge("authz_policy_faulty", "",
                        "1 while the policy file was refused and an older policy is in force");
}

bool policy_start(policy_file *f, const char *path, err *e) {
    f->path = path;
    authz_policy *p = policy_read(path, e);
    if (p == NULL) {
        return false;
    }
    metric_set(faulty_gauge(), 0);
    publish(f, p);
    f->current = authz_current_create(p);
    count_reading();
    return true;
}

void policy_reload(policy_file *f, rpc_server *server) {
    err e = {0};
    authz_policy *p = policy_read(f->path, &e);
    metric_set(faulty_gauge(), p == NULL ? 1 : 0);
    if (p == NULL) {
        log_err(LOG_ERROR, "authz.policy.refused", &e);
    } else {
        publish(f, p);
        authz_current_set(f->current, p);
        rpc_server_policy_changed(server);
    }
    count_reading();
}

void policy_stop(policy_file *f) {
    authz_current_destroy(f->current);
    f->current = NULL;
}
