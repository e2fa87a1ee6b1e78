// The parts of the daemon; not for other rooms.
#ifndef DAEMON_DAEMON_INTERNAL_H
#define DAEMON_DAEMON_INTERNAL_H

#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "daemon/daemon.h"

enum { EXIT_STOPPED = 0, EXIT_NOT_STARTED = 1, EXIT_WRONG_USE = 2 };

typedef enum daemon_command {
    COMMAND_RUN,
    COMMAND_MIGRATE,
    COMMAND_PRINT_CONFIG,
    COMMAND_CHECK,
    COMMAND_PRINT_MARKDOWN,
    COMMAND_HELP,
    COMMAND_VERSION
} daemon_command;

typedef struct command_line {
    daemon_command command;
    const char *config_file; // NULL: none was named
} command_line;

// Reads argv. False with *e set when it has something that we do not know.
bool command_line_parse(int argc, char **argv, command_line *out, err *e) WARN_UNUSED;
// The words behind a program's own command: takes --config FILE out of them. *help: --help is among them. False with *e set.
bool command_line_own(int argc, char **argv, const char **config_file, int *n_words, bool *help,
                      err *e) WARN_UNUSED;
void command_line_print_help(const daemon_program *p, FILE *out);

// The file that tells the world that the service is ready. Zeroed: there is none.
typedef struct ready_file {
    const char *path;
    dev_t device; // of the file that we wrote, so that another process's file is never removed
    ino_t inode;
} ready_file;

// The policy file, and what was read of it last. Zeroed: nothing.
typedef struct policy_file {
    const char *path;
    authz_current *current;
} policy_file;

// @owned: authz_policy_release. NULL with INVALID_ARGUMENT, reason POLICY_INVALID.
authz_policy *policy_read(const char *path, err *e);
bool policy_start(policy_file *f, const char *path, err *e) WARN_UNUSED;
// What is faulty is said in the log, and what was in force stays.
void policy_reload(policy_file *f, rpc_server *server);
void policy_stop(policy_file *f); // when no server uses it any more

// One file as it was when it was looked at; all zero: there is none.
typedef struct watched_file {
    int64_t inode, size, changed_s, changed_ns;
} watched_file;
enum { WATCHED_FILES = 4, WATCHED_OWN = 32 }; // the policy, the authority, the certificate, its key

// Files of the program.
typedef struct own_files {
    const daemon_program *program;
    const char *paths[WATCHED_OWN];
    size_t n;
    watched_file read[WATCHED_OWN], seen[WATCHED_OWN];
    bool again; // they were not taken up
} own_files;

typedef struct file_watch {
    policy_file *policy;
    rpc_tls tls;
    watched_file read[WATCHED_FILES],
        seen[WATCHED_FILES];     // when they were read, and at the last look
    _Atomic int64_t cert_ends_s; // Unix time
    bool has_gauge;
    bool cert_again;   // it was refused: it is read again at the next look
    bool client_again; // the program's clients have not taken it up
    own_files own;
} file_watch;

void watch_start(file_watch *w, policy_file *policy, const rpc_tls *tls);
void watch_own(file_watch *w, const daemon_program *p); // after the program has started
void watch_stop(file_watch *w);
// The next of these signals, or 0 after a while.
int watch_wait(const sigset_t *set);
// After SIGHUP (number), or when there was no signal (0): reads again what must be. True when there is another certificate.
bool watch_signal(file_watch *w, rpc_server *server, int number);

bool ready_file_write(ready_file *f, const char *path, str content, err *e) WARN_UNUSED;
void ready_file_remove(ready_file *f);

#endif
