// Every SQL string of the deposits room in one table, so that a test can read each.
#ifndef DEPOSITS_DEPOSITS_SQL_H
#define DEPOSITS_DEPOSITS_SQL_H

#include "db/db.h"

typedef enum deposits_sql_id {
    DEPOSITS_SQL_INSERT,
    DEPOSITS_SQL_GET,
    DEPOSITS_SQL_LIST,
    DEPOSITS_SQL_DECIDE,
    DEPOSITS_SQL_PENDING,
    DEPOSITS_SQL_INTEND_BACK,
    DEPOSITS_SQL_DECIDE_BACK,
    DEPOSITS_SQL_GOING_BACK,
    DEPOSITS_SQL_COUNT
} deposits_sql_id;

const db_stmt *deposits_sql(deposits_sql_id id);

#endif
