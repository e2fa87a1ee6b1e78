// Gathers a transaction's changes until its COMMIT, and writes them with it.
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "feed/feed.h"
#include "feed/feed_sql.h"

enum {
    ROW_MAX = 1000,    // entries per row, so that a reader can stop between them
    ROWS_OF_BOOK = 40, // rows per transaction and book; with more entries the rows are longer
    REASON_MAX = 200,  // bytes
    LOCKING = 2        // statements before the rows of a book
};

typedef struct piece {
    feed_entry *entries;
    size_t n;
    struct piece *next;
} piece;

typedef struct feed_book {
    int64_t book_id;
    size_t n; // entries of all pieces
    piece *first, **end;
    struct feed_book *next;
} feed_book;

typedef struct feed_tx {
    arena *a;
    feed_book *books; // ascending: heads of several books are locked in one order
} feed_tx;

static bool no_memory(err *e) {
    return err_no_memory(e, "the feed of the transaction");
}

// --- Writing, right before the COMMIT --------------------------------------------------------------------------------

typedef struct columns {
    uuid *ids;
    int16_t *from, *to;
    str *reasons; // NULL: no entry has one
} columns;

static bool columns_of(const feed_book *b, columns *k, arena *a) {
    *k = (columns){ARENA_ARRAY(a, uuid, b->n), ARENA_ARRAY(a, int16_t, b->n),
                   ARENA_ARRAY(a, int16_t, b->n), NULL};
    size_t at = 0;
    for (const piece *x = b->first; x != NULL; x = x->next) {
        for (size_t i = 0; i < x->n; i++, at++) {
            const feed_entry *entry = &x->entries[i];
            if (entry->reason.ptr != NULL && k->reasons == NULL) {
                k->reasons = ARENA_ARRAY(a, str, b->n);
            }
            if (k->ids == NULL || k->from == NULL || k->to == NULL ||
                (entry->reason.ptr != NULL && k->reasons == NULL)) {
                return false;
            }
            k->ids[at] = entry->payout_id;
            k->from[at] = entry->from;
            k->to[at] = entry->to;
            if (k->reasons != NULL) {
                k->reasons[at] = entry->reason;
            }
        }
    }
    return true;
}

static size_t row_of(const feed_book *b) {
    const size_t least = (b->n + ROWS_OF_BOOK - 1) / ROWS_OF_BOOK;
    return least > ROW_MAX ? least : ROW_MAX;
}

static size_t statements_of(const feed_book *b) {
    return LOCKING + (b->n + row_of(b) - 1) / row_of(b);
}

static void add_lock(const feed_book *b, int64_t now_us, db_pipe *p, arena *a) {
    db_params *begin = db_params_create(a), *lock = db_params_create(a);
    db_i64(begin, b->book_id);
    db_time(begin, now_us);
    db_i64(lock, b->book_id);
    db_pipe_add(p, feed_sql(FEED_SQL_BEGIN), begin);
    db_pipe_add(p, feed_sql(FEED_SQL_LOCK), lock);
}

static bool has_reason(const columns *k, size_t from, size_t n) {
    for (size_t i = from; k->reasons != NULL && i < from + n; i++) {
        if (k->reasons[i].ptr != NULL) {
            return true;
        }
    }
    return false;
}

static void add_row(const feed_book *b, const columns *k, size_t from, size_t n, int64_t now_us,
                    db_pipe *p, arena *a) {
    db_params *row = db_params_create(a);
    db_i64(row, b->book_id);
    db_i32(row, (int32_t)n);
    db_time(row, now_us);
    db_uuid_array(row, k->ids + from, n);
    db_i16_array(row, k->from + from, n);
    db_i16_array(row, k->to + from, n);
    if (has_reason(k, from, n)) {
        db_text_array(row, k->reasons + from, n);
    } else {
        db_null(row, OID_TEXT_ARRAY);
    }
    db_pipe_add(p, feed_sql(FEED_SQL_ADD), row);
}

static bool write_all(void *arg, db_pipe *p, err *e) {
    const feed_tx *tx = arg;
    const int64_t now_us = clock_wall_us(clock_system());
    size_t n_statements = 0;
    for (const feed_book *b = tx->books; b != NULL; b = b->next) {
        n_statements += statements_of(b);
    }
    if (n_statements > DB_LAST_MAX) {
        return err_set(e, ERR_INTERNAL, "FEED_BOOKS", "a transaction has changed too many books");
    }
    for (const feed_book *b = tx->books; b != NULL; b = b->next) {
        columns k;
        if (!columns_of(b, &k, tx->a)) {
            return no_memory(e);
        }
        add_lock(b, now_us, p, tx->a);
        for (size_t from = 0; from < b->n; from += row_of(b)) {
            const size_t left = b->n - from;
            add_row(b, &k, from, left < row_of(b) ? left : row_of(b), now_us, p, tx->a);
        }
    }
    CRASH_POINT("feed.adding");
    return true;
}

static void told(void *arg, db_pipe *p) {
    const feed_tx *tx = arg;
    size_t at = 0; // behind a book's last row, among the statements
    CRASH_POINT("feed.committed");
    for (const feed_book *b = tx->books; b != NULL; b = b->next) {
        at += statements_of(b);
        feed_tell(b->book_id, db_get_i64(db_pipe_rows(p, at - 1), 0, 0));
    }
}

static const db_last LAST = {write_all, told};

// --- Gathering -------------------------------------------------------------------------------------------------------

static feed_book *book_of(feed_tx *tx, int64_t book_id) {
    feed_book **at = &tx->books;
    while (*at != NULL && (*at)->book_id < book_id) {
        at = &(*at)->next;
    }
    if (*at == NULL || (*at)->book_id != book_id) {
        feed_book *b = arena_alloc(tx->a, sizeof *b);
        if (b == NULL) {
            return NULL;
        }
        *b = (feed_book){.book_id = book_id, .end = &b->first, .next = *at};
        *at = b;
    }
    return *at;
}

static feed_tx *transaction(db_conn *c, arena *a) {
    feed_tx *tx = db_last_arg(c, &LAST);
    if (tx == NULL) {
        tx = arena_alloc(a, sizeof *tx);
        if (tx != NULL) {
            *tx = (feed_tx){.a = a};
            db_at_commit(c, &LAST, tx, a);
        }
    }
    return tx;
}

static bool copy_entry(const feed_entry *from, feed_entry *to, arena *a) {
    *to = *from;
    to->reason = (str){NULL, 0};
    if (from->reason.ptr == NULL || from->reason.len == 0) {
        return true;
    }
    const str reason = str_clip(from->reason, REASON_MAX);
    to->reason = (str){arena_strndup(a, reason.ptr, reason.len), reason.len};
    return to->reason.ptr != NULL;
}

bool feed_add(db_conn *c, int64_t book_id, const feed_entry *entries, size_t n, arena *a, err *e) {
    size_t n_changed = 0;
    for (size_t i = 0; i < n; i++) {
        n_changed += entries[i].from != entries[i].to ? 1 : 0;
    }
    if (n_changed == 0) {
        return true;
    }
    feed_tx *tx = transaction(c, a);
    feed_book *b = tx == NULL ? NULL : book_of(tx, book_id);
    piece *x = b == NULL ? NULL : arena_alloc(tx->a, sizeof *x);
    feed_entry *copies = x == NULL ? NULL : ARENA_ARRAY(tx->a, feed_entry, n_changed);
    if (copies == NULL) {
        return no_memory(e);
    }
    *x = (piece){.entries = copies};
    for (size_t i = 0; i < n; i++) {
        if (entries[i].from != entries[i].to && !copy_entry(&entries[i], &copies[x->n++], tx->a)) {
            return no_memory(e);
        }
    }
    *b->end = x;
    b->end = &x->next;
    b->n += x->n;
    return true;
}
