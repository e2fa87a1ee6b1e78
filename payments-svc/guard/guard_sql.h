// Every SQL string of the guard in one table, so that a test can read each.
#ifndef GUARD_GUARD_SQL_H
#define GUARD_GUARD_SQL_H

#include "db/db.h"

typedef enum guard_sql_id {
    GUARD_SQL_LOOK,
    GUARD_SQL_ROW,
    GUARD_SQL_FIRST,
    GUARD_SQL_BEGIN,
    GUARD_SQL_END,
    GUARD_SQL_COUNT
} guard_sql_id;

const db_stmt *guard_sql(guard_sql_id id);

#endif
