#include "base/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/str.h"

enum { POINTS_MAX = 1024, NAME_MAX_LEN = 128, HIT_MAX = 1000000 };

typedef enum crash_action { ACTION_KILL, ACTION_STOP, ACTION_EXEC } crash_action;

// Read once from the environment; constant afterwards.
static struct {
    bool active;
    const char *record_path, *done_path, *exec_path;
    char at[NAME_MAX_LEN + 1]; // "" for none
    int64_t nth;
    crash_action action;
} plan;
static pthread_once_t plan_once = PTHREAD_ONCE_INIT;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards all below
static const char *seen[POINTS_MAX];
static size_t n_seen;
static int64_t n_hits;

static const char *env(const char *name) {
    const char *value = getenv(name); // read once, under pthread_once; nothing here calls setenv
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static void plan_read(void) {
    plan.record_path = env("DISBURSE_CRASH_RECORD");
    plan.done_path = env("DISBURSE_CRASH_DONE");
    const char *at = env("DISBURSE_CRASH_AT");
    if (at != NULL) {
        const char *colon = strchr(at, ':');
        size_t len = colon == NULL ? strlen(at) : (size_t)(colon - at);
        ASSERT(len > 0 && len <= NAME_MAX_LEN);
        memcpy(plan.at, at, len);
        plan.nth = 1;
        // A plan that cannot be read must not become a run without a crash.
        ASSERT(colon == NULL || str_to_i64(str_of(colon + 1), 1, HIT_MAX, &plan.nth));
    }
    const char *action = env("DISBURSE_CRASH_ACTION");
    if (action == NULL || strcmp(action, "kill") == 0) {
        plan.action = ACTION_KILL;
    } else if (strcmp(action, "stop") == 0) {
        plan.action = ACTION_STOP;
    } else {
        ASSERT(strncmp(action, "exec:", 5) == 0 && action[5] != '\0');
        plan.action = ACTION_EXEC;
        plan.exec_path = action + 5;
    }
    plan.active = plan.record_path != NULL || plan.at[0] != '\0';
}

// Appends the name in one write, so that several processes may record into one file.
static void record(const char *name) {
    for (size_t i = 0; i < n_seen; i++) {
        if (seen[i] == name || strcmp(seen[i], name) == 0) {
            return;
        }
    }
    ASSERT(n_seen < POINTS_MAX);
    seen[n_seen++] = name;
    char line[NAME_MAX_LEN + 2];
    size_t len = strlen(name);
    ASSERT(len > 0 && len <= NAME_MAX_LEN);
    memcpy(line, name, len);
    line[len] = '\n';
    int fd = open(plan.record_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    ASSERT(fd >= 0);
    ASSERT(write(fd, line, len + 1) == (ssize_t)(len + 1));
    close(fd);
}

// True for exactly one of all processes that share the DONE file.
static bool claim(void) {
    if (plan.done_path == NULL) {
        return true;
    }
    int fd = open(plan.done_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        ASSERT(errno == EEXIST);
        return false;
    }
    close(fd);
    return true;
}

// posix_spawn, not fork: gRPC's threads are running, and their locks would be copied in whatever state they are in.
static void run_program(const char *name) {
    posix_spawnattr_t attr;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    ASSERT(posix_spawnattr_init(&attr) == 0);
    ASSERT(posix_spawnattr_setsigmask(&attr, &none) == 0);
    ASSERT(posix_spawnattr_setsigdefault(&attr, &defaults) == 0);
    ASSERT(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0);
    char path[4096], argument[NAME_MAX_LEN + 1];
    ASSERT(strlen(plan.exec_path) < sizeof(path) && strlen(name) < sizeof(argument));
    memcpy(path, plan.exec_path, strlen(plan.exec_path) + 1);
    memcpy(argument, name, strlen(name) + 1);
    char *argv[] = {path, argument, NULL};
    pid_t pid = 0;
    ASSERT(posix_spawn(&pid, path, NULL, &attr, argv, environ) == 0);
    posix_spawnattr_destroy(&attr);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        ASSERT(errno == EINTR);
    }
    log_warn("crash.program_ended", F_STR("point", name), F_INT("wait_status", status));
}

// raise, not kill: a signal to the process may be taken by another thread first, and this one would run on for a while.
static void act(const char *name) {
    switch (plan.action) {
    case ACTION_KILL: (void)raise(SIGKILL); break;
    case ACTION_STOP: (void)raise(SIGSTOP); break;
    case ACTION_EXEC: run_program(name); break;
    }
}

void crash_point(const char *name) {
    pthread_once(&plan_once, plan_read);
    if (!plan.active) {
        return;
    }
    bool fire = false;
    pthread_mutex_lock(&lock);
    if (plan.record_path != NULL) {
        record(name);
    }
    if (strcmp(plan.at, name) == 0) {
        n_hits++;
        fire = n_hits == plan.nth;
    }
    pthread_mutex_unlock(&lock);
    if (fire && claim()) {
        act(name);
    }
}
