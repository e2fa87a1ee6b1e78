// Every SQL string of the keys of requests, in one table, so that a test can read each of them.
#ifndef COMMAND_IDEMPOTENCY_SQL_H
#define COMMAND_IDEMPOTENCY_SQL_H

#include "db/db.h"

typedef enum idempotency_sql_id {
    IDEMPOTENCY_SQL_LOOKUP,
    IDEMPOTENCY_SQL_LOOKUP_PAYOUT,
    IDEMPOTENCY_SQL_LOOKUP_IMPORT,
    IDEMPOTENCY_SQL_LOOKUP_CASE,
    IDEMPOTENCY_SQL_COUNT
} idempotency_sql_id;

const db_stmt *idempotency_sql(idempotency_sql_id id);

#endif
