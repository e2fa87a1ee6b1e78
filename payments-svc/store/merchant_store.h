// Merchants: rows that never change, kept in memory once read.
#ifndef STORE_MERCHANT_STORE_H
#define STORE_MERCHANT_STORE_H

#include "db/db.h"

typedef struct merchant {
    char id[65];
    char name[201];
    char currencies[80]; // sorted, comma-separated
    int64_t book_id;
    int64_t created_us;
} merchant;

typedef struct merchant_store merchant_store;

merchant_store *merchant_store_create(db_pool *pool);
void merchant_store_destroy(merchant_store *s);
// NULL with NOT_FOUND (reason MERCHANT_NOT_FOUND), or another error. @borrowed: lives as long as the store. Thread-safe.
const merchant *merchant_find(merchant_store *s, str merchant_id, int64_t deadline_mono_ms, err *e);
// Inserts; ALREADY_EXISTS when the id is taken (another instance was faster).
bool merchant_insert(merchant_store *s, const merchant *m, int64_t deadline_mono_ms, arena *a,
                     err *e) WARN_UNUSED;
// Ordered by id, those after `after`. @arena
bool merchant_list(merchant_store *s, str after, int64_t limit, int64_t deadline_mono_ms, arena *a,
                   merchant **out, size_t *n, err *e) WARN_UNUSED;

#endif
