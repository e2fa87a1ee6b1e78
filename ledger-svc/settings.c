#include "settings.h"

#include <stddef.h>

#define ROW(name, field, def, lo, hi, help)                                                        \
    { name, CONFIG_INT, offsetof(ledger_settings, field), def, lo, hi, help }
#define TEXT(name, type, field, def, help)                                                         \
    { name, type, offsetof(ledger_settings, field), def, 0, 0, help }

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
    ROW("journal.checkpoint_rows", checkpoint_rows, "131072", 1, 262144,
        "account rows are written once in so many journal rows at the latest"),
    ROW("journal.checkpoint_ms", checkpoint_ms, "10000", 10, 60000,
        "and when the oldest row since the last time is so old"),
    TEXT("audit.conninfo", CONFIG_STRING, audit_conninfo, "",
         "libpq connection string of the sealer's role; empty: this process does not seal"),
    TEXT("audit.key_file", CONFIG_SECRET_FILE, audit_key_file, "",
         "PEM of the Ed25519 private key that signs tree heads"),
    TEXT("audit.public_keys_file", CONFIG_PATH, audit_public_keys_file, "",
         "PEM of the public keys that have signed before, the oldest first; empty: only this one"),
    TEXT("audit.heads_file", CONFIG_PATH, audit_heads_file, "",
         "every signed tree head is added to this file, one JSON line each; of this process alone"),
    ROW("audit.seal_interval_ms", audit_seal_interval_ms, "500", 10, 60000,
        "a journal row is sealed at the latest this long after it was seen"),
    ROW("audit.seal_rows_max", audit_seal_rows_max, "10000", 2, 100000,
        "… and at the latest when so many rows wait"),
    ROW("audit.books_max", audit_books_max, "4096", 1, 1048576,
        "books that this process seals; about 2 KiB each"),
};

const config_table LEDGER_CONFIG = {.env_prefix = "LEDGER",
                                    .settings = SETTINGS,
                                    .n_settings = sizeof SETTINGS / sizeof SETTINGS[0]};
