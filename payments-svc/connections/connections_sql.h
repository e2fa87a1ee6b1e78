// Every SQL string of the connections room in one table, so that a test can read each.
#ifndef CONNECTIONS_CONNECTIONS_SQL_H
#define CONNECTIONS_CONNECTIONS_SQL_H

#include "db/db.h"

typedef enum connections_sql_id {
    CONNECTIONS_SQL_PAUSES,
    CONNECTIONS_SQL_PAUSE,
    CONNECTIONS_SQL_RESUME,
    CONNECTIONS_SQL_LOG,
    CONNECTIONS_SQL_QUEUE,
    CONNECTIONS_SQL_LAST_WORD,
    CONNECTIONS_SQL_NAMES,
    CONNECTIONS_SQL_MAKE,
    CONNECTIONS_SQL_COUNT
} connections_sql_id;

const db_stmt *connections_sql(connections_sql_id id);

#endif
