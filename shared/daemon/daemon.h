// The frame that every long-running process of the house stands in: command line, common settings, signals,
// metrics, the ready file, and the order of start and stop. Depends on every other room of shared/; nothing in
// shared/ depends on it.
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/err.h"
#include "db/db.h"
#include "rpc/rpc.h"

// The settings that each gRPC service has. Embed as a member named `common` and put
// DAEMON_COMMON_SETTINGS(type) among the rows of the service's table.
typedef struct daemon_common {
    const char *listen, *ready_file, *ca_file, *cert_file, *key_file, *policy_file,
        *descriptor_file;
    bool insecure;
    int64_t workers, queue_max, in_flight_max, streams_max, client_streams_max, message_max,
        arena_max, deadline_max_ms, drain_grace_ms;
    const char *db_conninfo;
    int64_t db_pool_size, db_statement_timeout_ms;
    const char *migrate_conninfo, *migrate_dir; // only read by `migrate`
    int64_t metrics_port;
    const char *log_level;
} daemon_common;

#define DAEMON_ROW(T, n, type, field, def, lo, hi, help)                                           \
    { n, type, offsetof(T, common.field), def, lo, hi, help }
#define DAEMON_COMMON_SETTINGS(T)                                                                  \
    DAEMON_ROW(T, "server.listen", CONFIG_STRING, listen, "127.0.0.1:0", 0, 0,                     \
               "address and port for gRPC; port 0 takes a free one"),                              \
        DAEMON_ROW(T, "server.ready_file", CONFIG_PATH, ready_file, "", 0, 0,                      \
                   "JSON with pid and ports, written when calls are accepted; empty: none"),       \
        DAEMON_ROW(T, "server.insecure", CONFIG_BOOL, insecure, "false", 0, 0,                     \
                   "plaintext without certificates: never outside of a laptop"),                   \
        DAEMON_ROW(T, "server.ca_file", CONFIG_PATH, ca_file, "", 0, 0,                            \
                   "PEM of the authority that signs clients and peers"),                           \
        DAEMON_ROW(T, "server.cert_file", CONFIG_PATH, cert_file, "", 0, 0,                        \
                   "PEM certificate of this service, as server and as client"),                    \
        DAEMON_ROW(T, "server.key_file", CONFIG_PATH, key_file, "", 0, 0,                          \
                   "PEM private key of the certificate"),                                          \
        DAEMON_ROW(T, "server.policy_file", CONFIG_PATH, policy_file, "", 0, 0,                    \
                   "who may call what: docs/operating/policy.md; read again when it changes"),     \
        DAEMON_ROW(T, "server.descriptor_file", CONFIG_PATH, descriptor_file, "", 0, 0,            \
                   "descriptor set for server reflection; empty: off"),                            \
        DAEMON_ROW(T, "server.workers", CONFIG_INT, workers, "16", 1, 256,                         \
                   "threads that run unary calls"),                                                \
        DAEMON_ROW(T, "server.queue_max", CONFIG_INT, queue_max, "1024", 1, 65536,                 \
                   "calls that may wait for a worker"),                                            \
        DAEMON_ROW(T, "server.in_flight_max", CONFIG_INT, in_flight_max, "2048", 1, 65536,         \
                   "calls received and not yet answered"),                                         \
        DAEMON_ROW(T, "server.streams_max", CONFIG_INT, streams_max, "64", 1, 1024,                \
                   "live server streams"),                                                         \
        DAEMON_ROW(T, "server.client_streams_max", CONFIG_INT, client_streams_max, "48", 1, 1024,  \
                   "how many of them may be of one client"),                                       \
        DAEMON_ROW(T, "server.message_max", CONFIG_INT, message_max, "4194304", 1024, 67108864,    \
                   "bytes of one request message"),                                                \
        DAEMON_ROW(T, "server.arena_max", CONFIG_INT, arena_max, "33554432", 65536, 1073741824,    \
                   "bytes of memory one call may take"),                                           \
        DAEMON_ROW(T, "server.deadline_max_ms", CONFIG_INT, deadline_max_ms, "30000", 10, 3600000, \
                   "longest deadline of a unary call, and the one of a call that names none"),     \
        DAEMON_ROW(T, "server.drain_grace_ms", CONFIG_INT, drain_grace_ms, "10000", 0, 600000,     \
                   "how long a stop waits for calls under way"),                                   \
        DAEMON_ROW(T, "db.conninfo", CONFIG_STRING, db_conninfo, NULL, 0, 0,                       \
                   "libpq connection string of the service's role (no password in it: use "        \
                   "passfile or peer)"),                                                           \
        DAEMON_ROW(T, "db.pool_size", CONFIG_INT, db_pool_size, "16", 2, 256,                      \
                   "database connections"),                                                        \
        DAEMON_ROW(T, "db.statement_timeout_ms", CONFIG_INT, db_statement_timeout_ms, "30000", 10, \
                   3600000, "upper bound for any one statement"),                                  \
        DAEMON_ROW(T, "migrate.conninfo", CONFIG_STRING, migrate_conninfo, "", 0, 0,               \
                   "libpq connection string of the migrator's role, for `migrate` only"),          \
        DAEMON_ROW(T, "migrate.dir", CONFIG_PATH, migrate_dir, "", 0, 0,                           \
                   "folder of the migrations, for `migrate` only"),                                \
        DAEMON_ROW(T, "metrics.port", CONFIG_INT, metrics_port, "0", 0, 65535,                     \
                   "loopback port for /metrics and /healthz; 0 takes a free one"),                 \
        DAEMON_ROW(T, "log.level", CONFIG_STRING, log_level, "info", 0, 0,                         \
                   "debug, info, warn or error")

// A command of the program's own, such as `maintain`. Words behind it are its own business, but for --config and --help.
typedef struct daemon_own_command {
    const char *word;    // NULL: there is none
    const char *summary; // for --help
    const char *help;    // what `WORD --help` prints
    // After the settings are read and the log is there; no connection is made for it. The exit code of the process.
    int (*run)(void *self, int n_words, char **words);
} daemon_own_command;

typedef struct daemon_program {
    const char *name;    // "ledger-svc"
    const char *summary; // one line for --help
    const config_table *config;
    void *settings;        // filled before anything below runs
    daemon_common *common; // inside of settings
    // Starts everything; on success fills the services. Called after logs, metrics and the pool exist. On
    // failure it has stopped what it started: stop is not called then.
    bool (*start)(void *self, db_pool *pool, rpc_service *services, size_t services_max,
                  size_t *n_services, err *e);
    // For --check: opens the files that the settings name and looks whether they can be used, without a database and without a thread
    // left. May be NULL. TLS files of the common settings are looked at before.
    bool (*check)(void *self, err *e);
    // Called when the gRPC server accepts calls. May be NULL. extra_json may append members to the ready file,
    // such as `,"webhook_port":1`.
    bool (*started)(void *self, rpc_server *server, strbuf *extra_json, err *e);
    // The files of the certificate were read again: whoever shows it elsewhere does so, too. False: it is called again after a while. May
    // be NULL.
    bool (*certificate_changed)(void *self);
    // Files that the program reads by itself, looked at with those of the frame: fills paths, which stay there, and says how many. Called
    // once, after started. May be NULL.
    size_t (*files)(void *self, const char **paths, size_t max);
    // One of them has changed, or SIGHUP came. False: it is called again after a while. May be NULL when files is.
    bool (*files_changed)(void *self);
    // Before the drain: stop background producers. May be NULL. Also called when something after start has failed.
    void (*quiesce)(void *self);
    // After the drain: everything else. Never called while a call is in flight.
    void (*stop)(void *self);
    const char *error_domain;
    // Filled before start with the policy in force, which outlives stop. May be NULL.
    authz_current **policy;
    // One row for each method of the services. @static
    const authz_permission *permissions;
    size_t n_permissions;
    // of the pool that start is given: db_pool_options.session_options
    const char *db_session_options;
    daemon_own_command command; // all zero: none
    // After `migrate` has applied what there was, as its role. May be NULL.
    bool (*migrated)(void *self, const char *conninfo, err *e);
    void *self;
} daemon_program;

// The whole life of a service process: parses argv (--config FILE, --check, --print-config, --print-config-markdown,
// --help, --version, the command `migrate`, and the program's own), blocks SIGTERM/SIGINT/SIGHUP, starts, waits for a signal,
// drains, stops. SIGHUP stops nothing: the policy and the certificate are read again, as they are when their files change.
// Exit codes: 0 stopped as asked, 1 could not start, 2 wrong command line or setting.
int daemon_main(const daemon_program *p, int argc, char **argv);

#endif
