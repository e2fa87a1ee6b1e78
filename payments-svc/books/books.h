// Lists the books by index: the cost grows with the books, not with their merchants or a bank's messages.
#ifndef BOOKS_BOOKS_H
#define BOOKS_BOOKS_H

#include "base/config.h"
#include "db/db.h"

// Books in one list; more are left out.
enum { BOOKS_MAX = 4096 };

typedef struct books_settings {
    int64_t count; // new merchants are spread over books 1 … count
} books_settings;
extern const config_part BOOKS_SETTINGS;

typedef enum books_of {
    BOOKS_OF_MERCHANTS, // books with a merchant
    BOOKS_OF_INBOX,     // books that a bank named, also without a merchant (promise HEARD)
    BOOKS_OF_AUDIT,     // books in which somebody has written; 0: what is of no book
    BOOKS_OF_COUNT
} books_of;

// Adds unknown books, up to `max`. At first *n are known, in any order; the result is sorted. A known book costs only a look for others
// beside it.
bool books_more(db_conn *c, books_of which, int64_t *books, size_t max, size_t *n, arena *a,
                err *e) WARN_UNUSED;
// All books, sorted. @arena
bool books_list(db_conn *c, books_of which, int64_t **books, size_t *n, arena *a,
                err *e) WARN_UNUSED;
const db_stmt *books_stmt(books_of which);

#endif
