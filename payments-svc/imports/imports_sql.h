// Every SQL string of the imports room in one table, so that a test can read each.
#ifndef IMPORTS_IMPORTS_SQL_H
#define IMPORTS_IMPORTS_SQL_H

#include "db/db.h"

typedef enum imports_sql_id {
    IMPORTS_SQL_INSERT,
    IMPORTS_SQL_GET,
    IMPORTS_SQL_LIST,
    IMPORTS_SQL_LOCK,
    IMPORTS_SQL_RECEIVED,
    IMPORTS_SQL_ADD_PART,
    IMPORTS_SQL_PARTS,
    IMPORTS_SQL_DROP_PARTS,
    IMPORTS_SQL_MOVE,
    IMPORTS_SQL_STOP,
    IMPORTS_SQL_FAULTS,
    IMPORTS_SQL_RESULTS,
    IMPORTS_SQL_WAITING,
    IMPORTS_SQL_CLAIM,
    IMPORTS_SQL_RENEW,
    IMPORTS_SQL_JUDGED,
    IMPORTS_SQL_HANDED,
    IMPORTS_SQL_IDLE,
    IMPORTS_SQL_COUNT
} imports_sql_id;

const db_stmt *imports_sql(imports_sql_id id);

#endif
