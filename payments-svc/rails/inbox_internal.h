// What the files of the inbox share.
#ifndef RAILS_INBOX_INTERNAL_H
#define RAILS_INBOX_INTERNAL_H

#include <pthread.h>

#include "base/metrics.h"
#include "rails/inbox_desk.h"
#include "rails/inbox_sql.h"

enum {
    INBOX_DB_TIMEOUT_MS = 60 * 1000,
    INBOX_SCRATCH_MAX = 512 * 1024 * 1024, // of one item; most of it is never touched
    INBOX_EVENTS_CHUNK = 8000,             // events of one transaction
    INBOX_WAITING_MAX = 100,               // items of one look
    INBOX_ODD_CHUNK = 5000,                // exceptions of one statement
    INBOX_AAD_MAX = 160
};

struct inbox {
    db_pool *pool;
    crypto_keyring *keys;
    const clock_source *clock;
    pthread_mutex_t lock; // guards readers, wake
    inbox_reader readers[INBOX_SOURCES_MAX];
    size_t n_readers;
    rail_wake wake;
    void *wake_arg;
    metric *recorded, *repeated, *applied, *refused, *exceptions, *failed;
};

// The places of the sealed values. Returns out as str.
str inbox_content_aad(int64_t book_id, uuid inbox_id, int32_t version, char out[INBOX_AAD_MAX]);
str inbox_line_aad(int64_t book_id, uuid inbox_id, int32_t version, int32_t line,
                   char out[INBOX_AAD_MAX]);
// At most max bytes of text that PostgreSQL takes: what is not UTF-8, and control characters, become '?'. @arena
str inbox_text(arena *a, str s, size_t max);
bool inbox_no_memory(err *e);
// inbox_get that locks the row.
bool inbox_lock(db_conn *c, int64_t book_id, uuid inbox_id, inbox_row *row, arena *a,
                err *e) WARN_UNUSED;
// Closes the cases of these lines: rows of (line, about_book_id). whole: that of the item, too.
bool inbox_close_cases(db_conn *c, int64_t book_id, uuid inbox_id, const db_rows *lines, bool whole,
                       str why, int64_t now_us, arena *a, err *e) WARN_UNUSED;

#endif
