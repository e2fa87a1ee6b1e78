// The settings of the commit path: see journal_options.
#ifndef JOURNAL_SETTINGS_H
#define JOURNAL_SETTINGS_H

#include "base/config.h"

typedef struct journal_settings {
    int64_t commit_threads, queue_requests_max, queue_events_max, books_max, cache_accounts_max;
    int64_t commit_timeout_ms, expiry_poll_ms, checkpoint_rows, checkpoint_ms;
} journal_settings;
extern const config_part JOURNAL_SETTINGS;

#endif
