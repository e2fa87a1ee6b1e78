// The settings of ledger-svc: the common ones of shared/daemon and those of its commit path.
#ifndef LEDGER_SETTINGS_H
#define LEDGER_SETTINGS_H

#include "daemon/daemon.h"

typedef struct ledger_settings {
    daemon_common common;
    int64_t commit_threads, queue_requests_max, queue_events_max, books_max, cache_accounts_max;
    int64_t commit_timeout_ms, expiry_poll_ms;
} ledger_settings;

extern const config_table LEDGER_CONFIG;

#endif
