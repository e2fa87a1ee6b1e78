#include "books/books.h"

#include <stdlib.h>

#include "base/assert.h"

// For each known book, the least book between it and the next known one. With the known books sorted, a few rounds find all. DISTINCT would
// read every row of the table.
#define GAPS                                                                                       \
    "FROM unnest($1::int8[], $2::int8[]) AS g(after, before) "                                     \
    "CROSS JOIN LATERAL (SELECT book_id FROM "
#define IN_GAP " WHERE book_id > g.after AND book_id < g.before ORDER BY book_id LIMIT 1) AS m "

static const db_stmt STATEMENTS[BOOKS_OF_COUNT] = {
    [BOOKS_OF_MERCHANTS] = {"books_of_merchants",
                            "SELECT m.book_id " GAPS "merchant_book" IN_GAP "ORDER BY m.book_id"},
    // Each list looks for these anew. So a round also tries the 63 numbers after each book found, since books often have consecutive
    // numbers.
    [BOOKS_OF_INBOX] =
        {"books_of_inbox",
         "SELECT b.book_id " GAPS "inbox" IN_GAP "CROSS JOIN LATERAL generate_series(m.book_id, "
         "least(m.book_id + 63, g.before - 1)) AS c(n) "
         "CROSS JOIN LATERAL (SELECT book_id FROM inbox WHERE book_id BETWEEN c.n AND c.n "
         "ORDER BY book_id LIMIT 1) AS b ORDER BY b.book_id"},
    [BOOKS_OF_AUDIT] = {"books_of_audit",
                        "SELECT m.book_id " GAPS "audit" IN_GAP "ORDER BY m.book_id"},
};

const db_stmt *books_stmt(books_of which) {
    ASSERT(which < BOOKS_OF_COUNT);
    return &STATEMENTS[which];
}

static int by_number(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// One round: finds the least unknown book in each gap between the known books, which are sorted.
static bool look_in_gaps(db_conn *c, books_of which, int64_t *books, size_t max, size_t *n,
                         int64_t *after, int64_t *before, arena *a, err *e) {
    size_t n_gaps = 0;
    for (size_t i = 0; i <= *n; i++) {
        after[n_gaps] = i == 0 ? -1 : books[i - 1];
        before[n_gaps] = i == *n ? INT64_MAX : books[i];
        n_gaps += before[n_gaps] > after[n_gaps] + 1 ? 1 : 0;
    }
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64_array(p, after, n_gaps);
    db_i64_array(p, before, n_gaps);
    if (!db_exec(c, books_stmt(which), p, a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows) && *n < max; i++) {
        books[(*n)++] = db_get_i64(rows, i, 0);
    }
    qsort(books, *n, sizeof books[0], by_number);
    return true;
}

bool books_more(db_conn *c, books_of which, int64_t *books, size_t max, size_t *n, arena *a,
                err *e) {
    ASSERT(*n <= max);
    int64_t *after = ARENA_ARRAY(a, int64_t, max + 1), *before = ARENA_ARRAY(a, int64_t, max + 1);
    if (after == NULL || before == NULL) {
        return err_no_memory(e, "the list of books");
    }
    if (*n > 1) {
        qsort(books, *n, sizeof books[0], by_number);
    }
    for (size_t was = *n + 1; *n != was && *n < max;) {
        was = *n;
        if (!look_in_gaps(c, which, books, max, n, after, before, a, e)) {
            return false;
        }
    }
    return true;
}

bool books_list(db_conn *c, books_of which, int64_t **books, size_t *n, arena *a, err *e) {
    *n = 0;
    *books = ARENA_ARRAY(a, int64_t, BOOKS_MAX);
    return *books != NULL ? books_more(c, which, *books, BOOKS_MAX, n, a, e)
                          : err_no_memory(e, "the list of books");
}
