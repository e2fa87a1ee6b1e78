// Shared by command.c, retention.c and restore.c.
#ifndef MAINTAIN_MAINTAIN_INTERNAL_H
#define MAINTAIN_MAINTAIN_INTERNAL_H

#include "db/db.h"
#include "maintain/archive.h"
#include "maintain/maintain.h"
#include "maintain/maintain_sql.h"

enum { MAINTAIN_TIME_MS = 3600000 }; // for one statement or transaction

typedef struct maintain_table {
    const char *name;
    maintain_sql_id read, drop;
} maintain_table;

// Tables that are archived together. They end with a NULL name, and are emptied in this order.
typedef struct maintain_kind {
    const char *name, *what; // "payouts"; the same for people
    maintain_sql_id pick;
    bool by_time;      // the pick compares a time; else an id, which begins with a time
    const char *first; // less than any id
    size_t days;       // offset of its setting
    maintain_table tables[6];
} maintain_kind;

extern const maintain_kind MAINTAIN_KINDS[];
extern const size_t MAINTAIN_N_KINDS;

// Archives and removes, kind by kind and book by book. dry: only counts.
bool maintain_retain(db_pool *pool, const maintain_settings *s, bool dry, err *e) WARN_UNUSED;
// Loads a file into separate tables, named restored_…, which nobody else uses.
bool maintain_restore(db_pool *pool, const char *path, err *e) WARN_UNUSED;

#endif
