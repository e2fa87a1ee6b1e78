#include "journal/settings.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(journal_settings, "journal.commit_threads", CONFIG_INT, commit_threads, "4", 1, 64, "books that can commit at the same time; each thread has a database connection of its own"),
    CONFIG_ROW(journal_settings, "journal.queue_requests_max", CONFIG_INT, queue_requests_max, "2048", 2, 65536, "requests that may wait for a commit; one book may take half"),
    CONFIG_ROW(journal_settings, "journal.queue_events_max", CONFIG_INT, queue_events_max, "131072", 16380, 16777216, "accounts and transfers in the requests that wait; one book may take half"),
    CONFIG_ROW(journal_settings, "journal.books_max", CONFIG_INT, books_max, "1024", 64, 1048576, "books kept in memory"),
    CONFIG_ROW(journal_settings, "journal.cache_accounts_max", CONFIG_INT, cache_accounts_max, "262144", 1024, 16777216, "accounts kept in memory, all books together; about 250 bytes each"),
    CONFIG_ROW(journal_settings, "journal.commit_timeout_ms", CONFIG_INT, commit_timeout_ms, "10000", 100, 600000, "longest that one transaction may take"),
    CONFIG_ROW(journal_settings, "journal.expiry_poll_ms", CONFIG_INT, expiry_poll_ms, "250", 10, 60000, "how often to look for pending transfers whose time is up"),
    CONFIG_ROW(journal_settings, "journal.checkpoint_rows", CONFIG_INT, checkpoint_rows, "131072", 1, 262144, "account rows are written once in so many journal rows at the latest"),
    CONFIG_ROW(journal_settings, "journal.checkpoint_ms", CONFIG_INT, checkpoint_ms, "10000", 10, 60000, "and when the oldest row since the last time is so old"),
};
// clang-format on

const config_part JOURNAL_SETTINGS = CONFIG_PART(ROWS);
