// The files that a running service goes by: the policy, and its certificate. They are looked at every two seconds, and read again when
// one of them has changed, or at a SIGHUP. What cannot be used is said in the log, and what was in force stays.
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "daemon/daemon_internal.h"

enum { LOOK_EVERY_S = 2 };

static watched_file look(const char *path) {
    struct stat st;
    if (path[0] == '\0' || stat(path, &st) != 0) {
        return (watched_file){0};
    }
    return (watched_file){.inode = (int64_t)st.st_ino,
                          .size = (int64_t)st.st_size,
                          .changed_s = (int64_t)st.st_ctim.tv_sec,
                          .changed_ns = (int64_t)st.st_ctim.tv_nsec};
}

static void look_at_all(const file_watch *w, watched_file out[WATCHED_FILES]) {
    const char *const paths[WATCHED_FILES] = {w->policy->path, w->tls.ca_file, w->tls.cert_file,
                                              w->tls.key_file};
    for (size_t i = 0; i < WATCHED_FILES; i++) {
        out[i] = look(i > 0 && w->tls.insecure ? "" : paths[i]);
    }
}

static bool same(const watched_file a[WATCHED_FILES], const watched_file b[WATCHED_FILES]) {
    return memcmp(a, b, WATCHED_FILES * sizeof(a[0])) == 0;
}

// --- The certificate ---------------------------------------------------------------------------------------------------

static int64_t seconds_left(void *arg) {
    const file_watch *w = arg;
    return atomic_load(&w->cert_ends_s) - clock_wall_us(clock_system()) / 1000000;
}

static void tell_expiry(file_watch *w) {
    int64_t ends_s = 0;
    err e = {0};
    if (!rpc_tls_expiry(&w->tls, &ends_s, &e)) {
        log_err(LOG_ERROR, "tls.refused", &e);
        return;
    }
    atomic_store(&w->cert_ends_s, ends_s);
}

static void set_faulty(bool faulty) {
    metric_set(metric_gauge("tls_faulty", "",
                            "1 while the files of the certificate were refused and older ones are "
                            "in force"),
               faulty ? 1 : 0);
}

static bool read_certificate(file_watch *w, rpc_server *server) {
    err e = {0};
    const bool fit = rpc_tls_check(&w->tls, &e);
    set_faulty(!fit);
    if (!fit) {
        if (!w->cert_again) { // each look would say the same
            log_err(LOG_ERROR, "tls.refused", &e);
        }
        w->cert_again = true;
        return false;
    }
    w->cert_again = false;
    rpc_server_tls_changed(server);
    tell_expiry(w);
    log_info("tls.loaded", F_STR("cert_file", w->tls.cert_file),
             F_INT("expires_s", atomic_load(&w->cert_ends_s)));
    return true;
}

// --- The watch ---------------------------------------------------------------------------------------------------------

void watch_start(file_watch *w, policy_file *policy, const rpc_tls *tls) {
    *w = (file_watch){.policy = policy, .tls = *tls};
    look_at_all(w, w->read);
    memcpy(w->seen, w->read, sizeof(w->seen));
    if (!tls->insecure) {
        set_faulty(false);
        tell_expiry(w);
        metric_gauge_fn("tls_cert_expiry_seconds", "",
                        "Seconds until the certificate in force ends; negative when it has",
                        seconds_left, w);
        w->has_gauge = true;
    }
}

void watch_stop(file_watch *w) {
    if (w->has_gauge) {
        metric_gauge_fn("tls_cert_expiry_seconds", "", "", NULL, NULL);
        w->has_gauge = false;
    }
}

// --- Files of the program -------------------------------------------------------------------------------------------------

static void look_at_own(const own_files *o, watched_file out[WATCHED_OWN]) {
    for (size_t i = 0; i < o->n; i++) {
        out[i] = look(o->paths[i]);
    }
}

void watch_own(file_watch *w, const daemon_program *p) {
    own_files *o = &w->own;
    if (p->files != NULL) {
        o->program = p;
        o->n = p->files(p->self, o->paths, WATCHED_OWN);
        ASSERT(o->n <= WATCHED_OWN);
        look_at_own(o, o->read);
        memcpy(o->seen, o->read, sizeof(o->seen));
    }
}

static void own_signal(own_files *o, bool asked) {
    watched_file now[WATCHED_OWN] = {0};
    if (o->program == NULL) {
        return;
    }
    look_at_own(o, now);
    const size_t size = o->n * sizeof(now[0]);
    const bool quiet = memcmp(now, o->seen, size) == 0;
    const bool changed = memcmp(now, o->read, size) != 0;
    memcpy(o->seen, now, sizeof(o->seen));
    if (asked || (quiet && (changed || o->again))) {
        memcpy(o->read, now, sizeof(o->read));
        o->again = !o->program->files_changed(o->program->self);
    }
}

static bool certificate_changed(const file_watch *w) {
    return memcmp(w->read + 1, w->seen + 1, (WATCHED_FILES - 1) * sizeof(w->read[0])) != 0;
}

static bool read_all(file_watch *w, rpc_server *server, bool policy, bool certificate) {
    memcpy(w->read, w->seen, sizeof(w->read));
    if (policy) {
        policy_reload(w->policy, server);
    }
    return certificate && !w->tls.insecure && read_certificate(w, server);
}

bool watch_signal(file_watch *w, rpc_server *server, int number) {
    own_signal(&w->own, number == SIGHUP);
    if (number == SIGHUP) {
        w->cert_again = false;
        look_at_all(w, w->seen);
        return read_all(w, server, true, true);
    }
    // Files that belong together are written one after the other: they count when two looks have seen the same.
    watched_file now[WATCHED_FILES];
    look_at_all(w, now);
    const bool quiet = same(now, w->seen);
    memcpy(w->seen, now, sizeof(w->seen));
    if (!quiet || (same(now, w->read) && !w->cert_again)) {
        return false;
    }
    const bool policy = memcmp(&w->read[0], &now[0], sizeof(now[0])) != 0;
    return read_all(w, server, policy, w->cert_again || certificate_changed(w));
}

int watch_wait(const sigset_t *set) {
    const struct timespec wait = {.tv_sec = LOOK_EVERY_S};
    const int number = sigtimedwait(set, NULL, &wait);
    ASSERT(number > 0 || errno == EAGAIN || errno == EINTR);
    return number > 0 ? number : 0;
}
