// What command.c, retention.c and restore.c share.
#ifndef MAINTAIN_MAINTAIN_INTERNAL_H
#define MAINTAIN_MAINTAIN_INTERNAL_H

#include "db/db.h"
#include "maintain/archive.h"
#include "maintain/maintain.h"
#include "maintain/maintain_sql.h"

enum { MAINTAIN_TIME_MS = 3600000 }; // of one statement or transaction

typedef struct maintain_table {
    const char *name;
    maintain_sql_id read, drop;
} maintain_table;

// What is archived together. Tables end with a NULL name; they are emptied in this order.
typedef struct maintain_kind {
    const char *name, *what; // "payouts"; the same for people
    maintain_sql_id pick;
    bool by_time;      // the pick compares a time; else ids, which begin with theirs
    const char *first; // before the first id
    size_t days;       // offset of its setting
    maintain_table tables[6];
} maintain_kind;

extern const maintain_kind MAINTAIN_KINDS[];
extern const size_t MAINTAIN_N_KINDS;

// Archives and removes, kind by kind and book by book; dry: only counts.
bool maintain_retain(db_pool *pool, const maintain_settings *s, bool dry, err *e) WARN_UNUSED;
// Loads a file into tables of their own, named restored_…, which nobody else uses.
bool maintain_restore(db_pool *pool, const char *path, err *e) WARN_UNUSED;

#endif
