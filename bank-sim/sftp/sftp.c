#include "sftp/sftp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/str.h"
#include "sftp/sftp_internal.h"

enum {
    START_TRIES = 20, // tries with new ports, or waits for a fixed port to come free
    LISTEN_WAIT_MS = 5000,
    STEP_MS = 10,
    RESTART_MS = 200,
    STOP_ROUNDS = 300
};

// Waits. True: a stop came first.
static bool stopped_within(sftp *s, int64_t ms) {
    const struct timespec until = cond_after_ms(ms);
    pthread_mutex_lock(&s->lock);
    while (!s->stop && cond_wait_until(&s->changed, &s->lock, &until)) {
    }
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

// Runs in the child between fork and exec, so it makes only calls that are safe there.
static _Noreturn void become_sshd(const sftp *s, int log, pid_t parent) {
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    // A killed bank must not leave an sshd on the port.
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent && dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0) {
        char *const argv[] = {(char *)s->sshd, (char *)"-D",      (char *)"-e",
                              (char *)"-f",    (char *)s->config, NULL};
        (void)execv(s->sshd, argv);
    }
    _exit(127);
}

static pid_t spawn(const sftp *s) {
    int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) {
        return -1;
    }
    (void)unlink(s->pid_file);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        become_sshd(s, log, parent);
    }
    (void)close(log);
    return pid;
}

static bool gone(pid_t pid) {
    pid_t rc = waitpid(pid, NULL, WNOHANG);
    return rc == pid || (rc < 0 && errno == ECHILD);
}

// sshd writes its pid file after it has bound its port. Only the pid file proves that our sshd listens; a connection does not.
static bool listens(const sftp *s, pid_t pid) {
    char text[32] = "";
    int64_t found = 0;
    FILE *f = fopen(s->pid_file, "re");
    if (f == NULL) {
        return false;
    }
    bool read = fgets(text, sizeof(text), f) != NULL;
    (void)fclose(f);
    str digits = {text, strcspn(text, "\n")};
    return read && str_to_i64(digits, 1, INT32_MAX, &found) && found == pid;
}

static bool start_once(sftp *s, pid_t *out) {
    err e = {0};
    if ((s->port == 0 && !sftp_free_port(&s->port, &e)) || !sftp_write_config(s, &e)) {
        log_err(LOG_ERROR, "sftp.config_failed", &e);
        return false;
    }
    pid_t pid = spawn(s);
    if (pid <= 0) {
        return false;
    }
    for (int waited = 0; waited < LISTEN_WAIT_MS; waited += STEP_MS) {
        if (gone(pid)) {
            return false;
        }
        if (listens(s, pid)) {
            *out = pid;
            return true;
        }
        if (stopped_within(s, STEP_MS)) {
            break;
        }
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return false;
}

static void set_pid(sftp *s, pid_t pid) {
    pthread_mutex_lock(&s->lock);
    s->pid = pid;
    s->ready = s->ready || pid > 0;
    if (s->stop && pid > 0) { // asked to stop during the start
        (void)kill(pid, SIGTERM);
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

// Reaps children until sshd itself has ended. Sessions that outlive their sshd become our children too (we are a subreaper).
static void wait_for(pid_t pid) {
    for (;;) {
        pid_t got = waitpid(-1, NULL, 0);
        if (got == pid || (got < 0 && errno != EINTR)) {
            return;
        }
    }
}

static void *supervise(void *arg) {
    sftp *s = arg;
    int failures = 0;
    bool was_ready = false;
    // after the first success it tries for ever: others know the port
    while (failures < START_TRIES || was_ready) {
        pid_t pid = 0;
        if (start_once(s, &pid)) {
            failures = 0;
            was_ready = true;
            set_pid(s, pid);
            log_info("sftp.listening", F_INT("port", s->port), F_INT("sshd_pid", pid));
            wait_for(pid);
            set_pid(s, 0);
        } else {
            failures++;
            if (!s->fixed_port && !was_ready) {
                s->port = 0; // the port is taken: choose another
            }
        }
        if (stopped_within(s, RESTART_MS)) {
            break;
        }
        log_warn("sftp.restart", F_INT("failures", failures));
    }
    pthread_mutex_lock(&s->lock);
    s->failed = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

// Signals the pids of one "children" file of /proc, separated by blanks. False when there is none.
static bool signal_listed(const char *path, int sig) {
    char text[4096];
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return false;
    }
    size_t len = fread(text, 1, sizeof(text), f);
    (void)fclose(f);
    bool any = false;
    for (size_t at = 0; at < len;) {
        size_t end = at;
        while (end < len && text[end] != ' ') {
            end++;
        }
        int64_t pid = 0;
        if (end < len && str_to_i64((str){text + at, end - at}, 2, INT32_MAX, &pid)) {
            any = true;
            (void)kill((pid_t)pid, sig);
        }
        at = end + 1;
    }
    return any;
}

// Ends our remaining children (sessions of the ended sshd). False when there is none.
static bool end_children(int sig) {
    bool any = false;
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        return false;
    }
    for (const struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        char path[300];
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/children", task->d_name);
        any = (task->d_name[0] != '.' && signal_listed(path, sig)) || any;
    }
    (void)closedir(tasks);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    return any;
}

static void destroy(sftp *s) {
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

sftp *sftp_start(const sftp_options *o, err *e) {
    sftp *s = calloc(1, sizeof(*s));
    ASSERT(s != NULL);
    MUST(pthread_mutex_init(&s->lock, NULL) == 0);
    cond_init(&s->changed);
    if (!sftp_prepare(s, o, e)) {
        destroy(s);
        return NULL;
    }
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (pthread_create(&s->thread, NULL, supervise, s) != 0) {
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "THREAD", "no thread for sftp");
        destroy(s);
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    while (!s->ready && !s->failed) {
        pthread_cond_wait(&s->changed, &s->lock);
    }
    bool ok = s->ready;
    pthread_mutex_unlock(&s->lock);
    if (!ok) {
        (void)err_set(e, ERR_UNAVAILABLE, "SFTP", "sshd does not start");
        (void)err_detail(e, "see %s", s->log);
        sftp_stop(s);
        return NULL;
    }
    return s;
}

int sftp_port(const sftp *s) {
    return s->port;
}

void sftp_stop(sftp *s) {
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    if (s->pid > 0) {
        (void)kill(s->pid, SIGTERM);
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->thread, NULL);
    struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
    for (int i = 0; i < STOP_ROUNDS && end_children(i < STOP_ROUNDS / 2 ? SIGTERM : SIGKILL); i++) {
        (void)nanosleep(&step, NULL);
    }
    destroy(s);
}
