// Which books there are, found by index: the cost is that of the books, whatever the number of their merchants or of a bank's messages.
#ifndef STORE_BOOKS_H
#define STORE_BOOKS_H

#include "db/db.h"

// Books that one list may have; further ones are left out.
enum { BOOKS_MAX = 4096 };

typedef enum books_of {
    BOOKS_OF_MERCHANTS, // those that have a merchant
    BOOKS_OF_INBOX,     // those that a bank named, also without a merchant (promise HEARD)
    BOOKS_OF_COUNT
} books_of;

// Adds those that are not known yet, until there are `max`: *n are known at the beginning, in any order; sorted at the end. What is known
// already costs nothing but a look that there is nothing between.
bool books_more(db_conn *c, books_of which, int64_t *books, size_t max, size_t *n, arena *a,
                err *e) WARN_UNUSED;
// All of them, sorted. @arena
bool books_list(db_conn *c, books_of which, int64_t **books, size_t *n, arena *a,
                err *e) WARN_UNUSED;
const db_stmt *books_stmt(books_of which);

#endif
