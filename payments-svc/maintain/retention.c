// One archive: pick and lock, write the file, read it back, remove the same rows, commit. A crash before the commit removes nothing.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "books/books.h"
#include "maintain/maintain_internal.h"

enum {
    PAGE_MAX = 1000,     // ids per statement
    ARCHIVE_MAX = 20000, // ids per file and transaction
    PAGES_MAX = ARCHIVE_MAX / PAGE_MAX,
    PAGE_BYTES = 512 << 20, // limit of one table's rows in a page: files of banks may be large
    IDS_BYTES = 16 << 20,
    ID_MAX = 400, // length of a request's key, as JSON
    US_PER_DAY_S = 86400
};

static const int64_t US_PER_S = 1000000;

typedef struct page {
    str *ids;
    size_t n;
} page;

typedef struct retention {
    db_pool *pool;
    const maintain_settings *s;
    bool dry;
    int64_t counted; // dry: of this kind, in all books so far
    arena *a;        // for one statement
    arena *kept;     // for one archive
    err *e;
} retention;

typedef struct piece {
    const maintain_kind *kind;
    int64_t book_id;
    const char *before; // a time, or the least id of this time
    str after;          // the last id that was picked
    page pages[PAGES_MAX];
    size_t n_pages;
    int64_t n_ids;
} piece;

static db_params *of_page(const retention *r, int64_t book_id, const page *g) {
    db_params *p = db_params_create(r->a);
    db_i64(p, book_id);
    db_text_array(p, g->ids, g->n);
    return p;
}

// Picks and locks the next page of ids. n = 0 at the end.
static bool pick(retention *r, db_conn *c, piece *x, page *g) {
    db_rows *rows = NULL;
    arena_reset(r->a);
    db_params *p = db_params_create(r->a);
    db_i64(p, x->book_id);
    db_text(p, str_of(x->before));
    db_text(p, x->after);
    db_i64(p, PAGE_MAX);
    if (!db_exec(c, maintain_sql(x->kind->pick), p, r->a, &rows, NULL, r->e)) {
        return false;
    }
    *g = (page){ARENA_ARRAY(r->kept, str, db_count(rows) + 1), db_count(rows)};
    for (size_t i = 0; g->ids != NULL && i < g->n; i++) {
        const str id = db_get_str(rows, i, 0);
        g->ids[i] = (str){arena_strndup(r->kept, id.ptr, id.len), id.len};
        if (g->ids[i].ptr == NULL) {
            return err_no_memory(r->e, "the work");
        }
        x->after = g->ids[i];
    }
    x->n_ids += (int64_t)g->n;
    return g->ids != NULL || err_no_memory(r->e, "the work");
}

static bool write_page(retention *r, db_conn *c, const piece *x, const page *g, archive_writer *w) {
    for (const maintain_table *t = x->kind->tables; t->name != NULL; t++) {
        db_rows *rows = NULL;
        arena_reset(r->a);
        if (!db_exec(c, maintain_sql(t->read), of_page(r, x->book_id, g), r->a, &rows, NULL,
                     r->e)) {
            return false;
        }
        for (size_t i = 0; i < db_count(rows); i++) {
            if (!archive_add(w, t->name, db_get_str(rows, i, 0), r->e)) {
                return false;
            }
        }
    }
    return true;
}

static bool write_pages(retention *r, db_conn *c, piece *x, archive_writer *w) {
    while (x->n_pages < PAGES_MAX) {
        page *g = &x->pages[x->n_pages];
        if (!pick(r, c, x, g)) {
            return false;
        }
        if (g->n == 0) {
            return true;
        }
        x->n_pages++;
        if (!write_page(r, c, x, g, w)) {
            return false;
        }
    }
    return true;
}

static int64_t rows_in(const archive_info *info, const char *table) {
    for (size_t i = 0; i < info->n_tables; i++) {
        if (strcmp(info->tables[i].table, table) == 0) {
            return info->tables[i].n;
        }
    }
    return 0;
}

// Removes from each table as many rows as the file has, or fails.
static bool remove_rows(retention *r, db_conn *c, const piece *x, const archive_info *info) {
    for (size_t g = 0; x->kind->pick == MAINTAIN_SQL_PICK_PAYOUTS && g < x->n_pages; g++) {
        arena_reset(r->a);
        if (!db_exec(c, maintain_sql(MAINTAIN_SQL_KEEP_PAID), of_page(r, x->book_id, &x->pages[g]),
                     r->a, NULL, NULL, r->e)) {
            return false;
        }
    }
    for (const maintain_table *t = x->kind->tables; t->name != NULL; t++) {
        int64_t removed = 0;
        for (size_t g = 0; g < x->n_pages; g++) {
            int64_t n = 0;
            arena_reset(r->a);
            if (!db_exec(c, maintain_sql(t->drop), of_page(r, x->book_id, &x->pages[g]), r->a, NULL,
                         &n, r->e)) {
                return false;
            }
            removed += n;
        }
        if (removed != rows_in(info, t->name)) {
            return err_set(r->e, ERR_ABORTED, "ARCHIVE_MOVED",
                           "rows of %s have changed since they were archived; run it again",
                           t->name);
        }
    }
    return true;
}

static bool note_archive(retention *r, db_conn *c, const piece *x, const archive_info *info) {
    int64_t n = 0;
    for (size_t i = 0; i < info->n_tables; i++) {
        n += info->tables[i].n;
    }
    arena_reset(r->a);
    db_params *p = db_params_create(r->a);
    db_i64(p, x->book_id);
    db_uuid(p, info->archive_id);
    db_text(p, str_of(info->kind));
    db_text(p, str_of(info->file));
    db_i64(p, n);
    db_text(p, str_of(info->sha256));
    db_text(p, str_of(info->before));
    db_time(p, clock_wall_us(clock_system()));
    return db_exec(c, maintain_sql(MAINTAIN_SQL_ARCHIVED), p, r->a, NULL, NULL, r->e);
}

// Makes one archive in a transaction. x->n_ids = 0: nothing was due, and no file is made.
static bool archive_tx(retention *r, db_conn *c, piece *x, archive_info *info) {
    archive_writer *w = archive_begin(r->s->dir, info, r->e);
    if (w == NULL) {
        return false;
    }
    if (!db_exec(c, maintain_sql(MAINTAIN_SQL_PLANS), db_params_create(r->a), r->a, NULL, NULL,
                 r->e) ||
        !write_pages(r, c, x, w) || x->n_ids == 0) {
        const bool nothing = !err_is_set(r->e);
        archive_drop(w);
        return nothing;
    }
    CRASH_POINT("maintain.written");
    if (!archive_finish(w, info, r->e)) {
        return false;
    }
    CRASH_POINT("maintain.archived");
    return remove_rows(r, c, x, info) && note_archive(r, c, x, info);
}

static bool archive_piece(retention *r, piece *x, archive_info *info) {
    const int64_t deadline = clock_mono_ms(clock_system()) + MAINTAIN_TIME_MS;
    db_conn *c = db_pool_checkout(r->pool, deadline, r->e);
    if (c == NULL) {
        return false;
    }
    bool ok = db_begin(c, deadline, r->e);
    if (ok) {
        ok = archive_tx(r, c, x, info);
        if (ok && x->n_ids > 0) {
            ok = db_commit(c, r->e);
            CRASH_POINT("maintain.removed");
        } else {
            db_rollback(c);
        }
    }
    db_pool_checkin(r->pool, c);
    return ok;
}

static void tell(const piece *x, const archive_info *info) {
    printf("%-12s book %" PRId64 ": %" PRId64 " archived in %s (", x->kind->name, x->book_id,
           x->n_ids, info->file);
    for (size_t i = 0; i < info->n_tables; i++) {
        printf("%s%" PRId64 " %s", i == 0 ? "" : ", ", info->tables[i].n, info->tables[i].table);
    }
    printf("; %" PRId64 " bytes)\n", info->bytes);
    (void)fflush(stdout);
}

static bool archive_book(retention *r, const maintain_kind *kind, int64_t book_id,
                         const char *before, const char *before_time) {
    piece *x = calloc(1, sizeof *x);
    ASSERT(x != NULL);
    bool ok = true;
    char after[ID_MAX]; // a copy: the ids are freed with their archive
    (void)snprintf(after, sizeof after, "%s", kind->first);
    do {
        archive_info info = {.book_id = book_id, .archive_id = uuid_v7(clock_system())};
        arena_reset(r->kept);
        *x = (piece){.kind = kind, .book_id = book_id, .before = before, .after = str_of(after)};
        (void)snprintf(info.kind, sizeof info.kind, "%s", kind->name);
        (void)snprintf(info.before, sizeof info.before, "%s", before_time);
        time_format_rfc3339(clock_wall_us(clock_system()), info.made_at, sizeof info.made_at);
        ok = archive_piece(r, x, &info);
        if (ok && x->n_ids > 0) {
            tell(x, &info);
            (void)snprintf(after, sizeof after, "%.*s", (int)x->after.len, x->after.ptr);
        }
    } while (ok && x->n_pages == PAGES_MAX);
    free(x);
    return ok;
}

// --- Only counting -----------------------------------------------------------------------------------------------------

static bool count_book(retention *r, const maintain_kind *kind, int64_t book_id,
                       const char *before) {
    const int64_t deadline = clock_mono_ms(clock_system()) + MAINTAIN_TIME_MS;
    piece x = {.kind = kind, .book_id = book_id, .before = before, .after = str_of(kind->first)};
    char after[ID_MAX];
    db_conn *c = db_pool_checkout(r->pool, deadline, r->e);
    bool ok = c != NULL && db_begin(c, deadline, r->e);
    if (ok) {
        page g = {.n = 1};
        ok = db_exec(c, maintain_sql(MAINTAIN_SQL_PLANS), db_params_create(r->a), r->a, NULL, NULL,
                     r->e);
        while (ok && g.n > 0) {
            ok = pick(r, c, &x, &g);
            (void)snprintf(after, sizeof after, "%.*s", (int)x.after.len, x.after.ptr);
            x.after = str_of(after);
            arena_reset(r->kept);
        }
        db_rollback(c);
    }
    db_pool_checkin(r->pool, c);
    if (ok && x.n_ids > 0) {
        printf("%-12s book %" PRId64 ": %" PRId64 " would be archived\n", kind->name, book_id,
               x.n_ids);
    }
    r->counted += x.n_ids;
    return ok;
}

// --- All of it ---------------------------------------------------------------------------------------------------------

typedef struct all_books {
    int64_t *books;
    size_t n;
} all_books;

// The books of merchants, the books that banks named, and book 0.
static bool read_books(db_conn *c, arena *a, void *arg, err *e) {
    all_books *b = arg;
    int64_t *merchants = NULL, *heard = NULL;
    size_t n_merchants = 0, n_heard = 0;
    if (!books_list(c, BOOKS_OF_MERCHANTS, &merchants, &n_merchants, a, e) ||
        !books_list(c, BOOKS_OF_INBOX, &heard, &n_heard, a, e)) {
        return false;
    }
    b->books = ARENA_ARRAY(a, int64_t, n_merchants + n_heard + 1);
    if (b->books == NULL) {
        return err_no_memory(e, "the work");
    }
    b->n = 1; // books[0] is 0
    for (size_t i = 0, k = 0; i < n_merchants || k < n_heard;) {
        const bool from_heard = i == n_merchants || (k < n_heard && heard[k] < merchants[i]);
        const int64_t book = from_heard ? heard[k++] : merchants[i++];
        if (book != b->books[b->n - 1]) {
            b->books[b->n++] = book;
        }
    }
    return true;
}

static bool do_kind(retention *r, const maintain_kind *kind, const all_books *books,
                    int64_t now_us) {
    int64_t days = 0;
    memcpy(&days, (const char *)r->s + kind->days, sizeof days);
    const int64_t before_us = now_us - days * US_PER_DAY_S * US_PER_S;
    char time_text[40], id_text[UUID_TEXT_LEN + 1];
    time_format_rfc3339(before_us, time_text, sizeof time_text);
    uuid least = {{0}}; // ids are UUIDv7, which begin with a time
    uint64_t ms = (uint64_t)(before_us / 1000);
    for (size_t i = 6; i > 0; i--) {
        least.b[i - 1] = (uint8_t)ms;
        ms >>= 8;
    }
    uuid_format(least, id_text);
    printf("%-12s %s, from before %s\n", kind->name, kind->what, time_text);
    (void)fflush(stdout);
    const char *before = kind->by_time ? time_text : id_text;
    bool ok = true;
    r->counted = 0;
    for (size_t i = 0; ok && i < books->n; i++) {
        ok = r->dry ? count_book(r, kind, books->books[i], before)
                    : archive_book(r, kind, books->books[i], before, time_text);
    }
    if (ok && r->dry) {
        printf("%-12s %" PRId64 " in all would be archived\n", kind->name, r->counted);
    }
    return ok;
}

bool maintain_retain(db_pool *pool, const maintain_settings *s, bool dry, err *e) {
    arena *of_books = arena_create((size_t)4 << 20);
    retention r = {pool, s, dry, 0, arena_create(PAGE_BYTES), arena_create(IDS_BYTES), e};
    all_books books = {0};
    const int64_t deadline = clock_mono_ms(clock_system()) + MAINTAIN_TIME_MS;
    bool ok = db_read(pool, deadline, of_books, read_books, &books, e);
    for (size_t i = 0; ok && i < MAINTAIN_N_KINDS; i++) {
        ok = do_kind(&r, &MAINTAIN_KINDS[i], &books, clock_wall_us(clock_system()));
    }
    arena_destroy(r.a);
    arena_destroy(r.kept);
    arena_destroy(of_books);
    return ok;
}
