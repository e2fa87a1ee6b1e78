#include "base/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/str.h"

enum { POINTS_MAX = 1024, NAME_MAX_LEN = 128, HIT_MAX = 1000000, LINE_MAX_LEN = 4096 };

typedef enum crash_action { ACTION_KILL, ACTION_STOP, ACTION_EXEC } crash_action;

// A place, and the action there.
typedef struct crash_plan {
    char at[NAME_MAX_LEN + 1]; // "" for none
    int64_t nth;
    crash_action action;
    const char *exec_path; // @borrowed: from the environment, or from the line of the plan file
} crash_plan;

// Read once from the environment; constant afterwards.
static struct {
    bool active;
    const char *record_path, *done_path, *plan_path;
    crash_plan fixed;
} plan;
static pthread_once_t plan_once = PTHREAD_ONCE_INIT;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards all below
static const char *seen[POINTS_MAX];
static size_t n_seen;
static int64_t n_hits;           // of the plan in the environment
static char line[LINE_MAX_LEN];  // of the plan file as it was last seen; "" when there was none
static char words[LINE_MAX_LEN]; // the same, taken apart
static crash_plan filed;         // its content
static int64_t n_filed;          // hits since it was found

static const char *env(const char *name) {
    const char *value = getenv(name); // read once, under pthread_once; nothing here calls setenv
    return value != NULL && value[0] != '\0' ? value : NULL;
}

// An unreadable plan must not lead to a run without a crash.
static void parse_at(const char *at, crash_plan *p) {
    const char *colon = strchr(at, ':');
    const size_t len = colon == NULL ? strlen(at) : (size_t)(colon - at);
    ASSERT(len > 0 && len <= NAME_MAX_LEN);
    memcpy(p->at, at, len);
    p->at[len] = '\0';
    p->nth = 1;
    MUST(colon == NULL || str_to_i64(str_of(colon + 1), 1, HIT_MAX, &p->nth));
}

static void parse_action(const char *action, crash_plan *p) {
    if (action == NULL || strcmp(action, "kill") == 0) {
        p->action = ACTION_KILL;
    } else if (strcmp(action, "stop") == 0) {
        p->action = ACTION_STOP;
    } else {
        ASSERT(strncmp(action, "exec:", 5) == 0 && action[5] != '\0');
        p->action = ACTION_EXEC;
        p->exec_path = action + 5;
    }
}

static void plan_read(void) {
    plan.record_path = env("DISBURSE_CRASH_RECORD");
    plan.done_path = env("DISBURSE_CRASH_DONE");
    plan.plan_path = env("DISBURSE_CRASH_PLAN");
    const char *at = env("DISBURSE_CRASH_AT");
    if (at != NULL) {
        parse_at(at, &plan.fixed);
    }
    parse_action(env("DISBURSE_CRASH_ACTION"), &plan.fixed);
    plan.active = plan.record_path != NULL || plan.plan_path != NULL || at != NULL;
}

// --- The plan file -----------------------------------------------------------------------------------------------------

// Looks at the file. A new line counts from zero; a missing file is no plan.
static void plan_look(void) {
    char now[LINE_MAX_LEN];
    const int fd = open(plan.plan_path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : read(fd, now, sizeof now - 1);
    ASSERT(n >= 0);
    now[n] = '\0';
    if (fd >= 0) {
        close(fd);
    }
    if (strcmp(now, line) == 0) {
        return;
    }
    memcpy(line, now, (size_t)n + 1);
    memcpy(words, now, (size_t)n + 1);
    filed = (crash_plan){0};
    n_filed = 0;
    if (n > 0) {
        char *space = strchr(words, ' '), *end = strchr(words, '\n');
        ASSERT(space != NULL && end != NULL && end[1] == '\0');
        *space = *end = '\0';
        parse_at(words, &filed);
        parse_action(space + 1, &filed);
    }
}

// True for exactly one caller.
static bool plan_take(void) {
    char done[LINE_MAX_LEN];
    const int n = snprintf(done, sizeof done, "%s.done", plan.plan_path);
    ASSERT(n > 0 && (size_t)n < sizeof done);
    line[0] = '\0';
    return rename(plan.plan_path, done) == 0;
}

// --- At a point --------------------------------------------------------------------------------------------------------

// Appends the name in one write, so that several processes may record into one file.
static void record(const char *name) {
    for (size_t i = 0; i < n_seen; i++) {
        if (seen[i] == name || strcmp(seen[i], name) == 0) {
            return;
        }
    }
    ASSERT(n_seen < POINTS_MAX);
    seen[n_seen++] = name;
    char text[NAME_MAX_LEN + 2];
    size_t len = strlen(name);
    ASSERT(len > 0 && len <= NAME_MAX_LEN);
    memcpy(text, name, len);
    text[len] = '\n';
    int fd = open(plan.record_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    ASSERT(fd >= 0);
    MUST(write(fd, text, len + 1) == (ssize_t)(len + 1));
    close(fd);
}

// True for exactly one of the processes that share the DONE file.
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

// posix_spawn, not fork: gRPC's threads run, and fork would copy their locks in any state.
static void run_program(const char *program, const char *name) {
    posix_spawnattr_t attr;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    MUST(posix_spawnattr_init(&attr) == 0);
    MUST(posix_spawnattr_setsigmask(&attr, &none) == 0);
    MUST(posix_spawnattr_setsigdefault(&attr, &defaults) == 0);
    MUST(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0);
    char path[LINE_MAX_LEN], argument[NAME_MAX_LEN + 1];
    ASSERT(strlen(program) < sizeof(path) && strlen(name) < sizeof(argument));
    memcpy(path, program, strlen(program) + 1);
    memcpy(argument, name, strlen(name) + 1);
    char *argv[] = {path, argument, NULL};
    pid_t pid = 0;
    MUST(posix_spawn(&pid, path, NULL, &attr, argv, environ) == 0);
    posix_spawnattr_destroy(&attr);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        ASSERT(errno == EINTR);
    }
    log_warn("crash.program_ended", F_STR("point", name), F_INT("wait_status", status));
}

// raise, not kill: another thread may take a signal to the process first, while this thread runs on.
static void act(const crash_plan *p, const char *name) {
    switch (p->action) {
    case ACTION_KILL: (void)raise(SIGKILL); break;
    case ACTION_STOP: (void)raise(SIGSTOP); break;
    case ACTION_EXEC: run_program(p->exec_path, name); break;
    }
}

void crash_point(const char *name) {
    pthread_once(&plan_once, plan_read);
    if (!plan.active) {
        return;
    }
    bool fixed = false, taken = false;
    crash_plan by_file = {0};
    char program[LINE_MAX_LEN];
    pthread_mutex_lock(&lock);
    if (plan.record_path != NULL) {
        record(name);
    }
    if (strcmp(plan.fixed.at, name) == 0) {
        n_hits++;
        fixed = n_hits == plan.fixed.nth;
    }
    if (plan.plan_path != NULL) {
        plan_look();
        if (strcmp(filed.at, name) == 0 && ++n_filed == filed.nth && plan_take()) {
            taken = true;
            by_file = filed;
            if (by_file.exec_path != NULL) { // others may read the next plan meanwhile
                memcpy(program, by_file.exec_path, strlen(by_file.exec_path) + 1);
                by_file.exec_path = program;
            }
        }
    }
    pthread_mutex_unlock(&lock);
    if (fixed && claim()) {
        act(&plan.fixed, name);
    }
    if (taken) {
        act(&by_file, name);
    }
}
