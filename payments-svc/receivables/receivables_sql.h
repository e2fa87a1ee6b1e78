// The SQL of this room.
#ifndef RECEIVABLES_RECEIVABLES_SQL_H
#define RECEIVABLES_RECEIVABLES_SQL_H

#include "db/db.h"

typedef enum receivables_sql_id {
    RECEIVABLES_SQL_NOTE,
    RECEIVABLES_SQL_OPEN,
    RECEIVABLES_SQL_SEEN,
    RECEIVABLES_SQL_END,
    RECEIVABLES_SQL_COUNT
} receivables_sql_id;

const db_stmt *receivables_sql(receivables_sql_id id);

#endif
