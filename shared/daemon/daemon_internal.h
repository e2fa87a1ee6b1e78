// The parts of the daemon; not for other rooms.
#ifndef DAEMON_DAEMON_INTERNAL_H
#define DAEMON_DAEMON_INTERNAL_H

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

bool ready_file_write(ready_file *f, const char *path, str content, err *e) WARN_UNUSED;
void ready_file_remove(ready_file *f);

#endif
