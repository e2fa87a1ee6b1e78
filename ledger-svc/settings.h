// The settings of ledger-svc: the common ones of shared/daemon, and the commit path's own.
#ifndef LEDGER_SETTINGS_H
#define LEDGER_SETTINGS_H

#include "daemon/daemon.h"

typedef struct ledger_settings {
    daemon_common common;
    int64_t commit_threads, queue_requests_max, queue_events_max, books_max, cache_accounts_max;
    int64_t commit_timeout_ms, expiry_poll_ms, checkpoint_rows, checkpoint_ms;
    const char *audit_conninfo, *audit_key_file, *audit_public_keys_file, *audit_heads_file;
    int64_t audit_seal_interval_ms, audit_seal_rows_max, audit_books_max;
} ledger_settings;

extern const config_table LEDGER_CONFIG;

#endif
