#include "settings.h"

#include <stddef.h>

#define ROW(name, field, def, lo, hi, help)                                                        \
    { name, CONFIG_INT, offsetof(ledger_settings, field), def, lo, hi, help }

static const config_setting SETTINGS[] = {
    DAEMON_COMMON_SETTINGS(ledger_settings),
    ROW("journal.commit_threads", commit_threads, "4", 1, 64,
        "books that can commit at the same time; each thread has a database connection of its own"),
    ROW("journal.queue_requests_max", queue_requests_max, "2048", 2, 65536,
        "requests that may wait for a commit; one book may take half"),
    ROW("journal.queue_events_max", queue_events_max, "131072", 16380, 16777216,
        "accounts and transfers in the requests that wait; one book may take half"),
    ROW("journal.books_max", books_max, "1024", 64, 1048576, "books kept in memory"),
    ROW("journal.cache_accounts_max", cache_accounts_max, "262144", 1024, 16777216,
        "accounts kept in memory, all books together; about 250 bytes each"),
    ROW("journal.commit_timeout_ms", commit_timeout_ms, "10000", 100, 600000,
        "longest that one transaction may take"),
    ROW("journal.expiry_poll_ms", expiry_poll_ms, "250", 10, 60000,
        "how often to look for pending transfers whose time is up"),
};

const config_table LEDGER_CONFIG = {"LEDGER", SETTINGS, sizeof SETTINGS / sizeof SETTINGS[0]};
