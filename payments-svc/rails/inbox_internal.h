// Shared by the files of the inbox.
#ifndef RAILS_INBOX_INTERNAL_H
#define RAILS_INBOX_INTERNAL_H

#include <pthread.h>

#include "base/metrics.h"
#include "rails/inbox_desk.h"
#include "rails/inbox_sql.h"

enum {
    INBOX_DB_TIMEOUT_MS = 60 * 1000,
    INBOX_ORDERS_MAX = 2,                  // people's orders at a time
    INBOX_SCRATCH_MAX = 512 * 1024 * 1024, // for one item; mostly untouched
    INBOX_EVENTS_CHUNK = 8000,             // events per transaction
    INBOX_WAITING_MAX = 100,               // items per look
    INBOX_ODD_CHUNK = 5000,                // exceptions per statement
    INBOX_AAD_MAX = 160
};

// Cases that messages and files of one connection have opened in this hour.
typedef struct inbox_budget {
    int connection;
    int64_t hour;
    size_t messages, files;
} inbox_budget;

struct inbox {
    db_pool *pool;
    crypto_keyring *keys;
    const clock_source *clock;
    pthread_mutex_t lock; // guards readers, wake, budgets, orders
    inbox_budget budgets[INBOX_SOURCES_MAX];
    inbox_reader readers[INBOX_SOURCES_MAX];
    size_t n_readers;
    uuid orders[INBOX_ORDERS_MAX]; // the items of running orders; nil: a free place
    rail_wake wake;
    void *wake_arg;
    metric *recorded, *repeated, *applied, *refused, *exceptions, *failed;
};

// The places of the sealed values. Returns out as a str.
str inbox_content_aad(int64_t book_id, uuid inbox_id, int32_t version, char out[INBOX_AAD_MAX]);
str inbox_line_aad(int64_t book_id, uuid inbox_id, int32_t version, int32_t line,
                   char out[INBOX_AAD_MAX]);
// At most max bytes of text for PostgreSQL: invalid UTF-8 and control characters become '?'. @arena
str inbox_text(arena *a, str s, size_t max);
bool inbox_no_memory(err *e);
// Removes known events from *said (*before counts this item's own). Makes exceptions of events that repeat another, that say something else
// under its id, or that are more movements than a payout takes in. Events are sorted by book; there is room for each as an exception. keep:
// memory of exceptions; a: of the rest.
bool inbox_know(db_conn *c, const inbox_item *item, inbox_said *s, int32_t *before, arena *keep,
                arena *a, err *e) WARN_UNUSED;
// If there are very many exceptions, those about moved money are kept, and the others, *folded of them, become one exception of the whole
// item: a short line must not cost a long row. The item's bytes keep the lines. Changes nothing that s points to. @arena
bool inbox_fold(inbox_said *s, size_t *folded, arena *a, err *e) WARN_UNUSED;
// Returns how many of n cases an item of this kind and connection may open in this hour, and counts them.
size_t inbox_take_budget(inbox *box, int connection, bool file, int64_t hour, size_t n);
// Like inbox_get, and locks the row.
bool inbox_lock(db_conn *c, int64_t book_id, uuid inbox_id, inbox_row *row, arena *a,
                err *e) WARN_UNUSED;
// Closes the cases of these lines: rows of (line, about_book_id). whole: also the item's case.
bool inbox_close_cases(db_conn *c, int64_t book_id, uuid inbox_id, const db_rows *lines, bool whole,
                       str why, int64_t now_us, arena *a, err *e) WARN_UNUSED;

#endif
