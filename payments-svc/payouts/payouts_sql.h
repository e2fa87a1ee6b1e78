// Every SQL string of reading payouts, in one table, so that a test can check each for what Citus cannot do.
#ifndef PAYOUTS_PAYOUTS_SQL_H
#define PAYOUTS_PAYOUTS_SQL_H

#include "db/db.h"

typedef enum payouts_sql_id {
    PAYOUTS_SQL_MERCHANTS,
    PAYOUTS_SQL_GET,
    PAYOUTS_SQL_ATTEMPT,
    PAYOUTS_SQL_GET_MANY,
    PAYOUTS_SQL_AWAITED,
    PAYOUTS_SQL_LIST,
    PAYOUTS_SQL_LIST_REFERENCE,
    PAYOUTS_SQL_LIST_RECIPIENT,
    PAYOUTS_SQL_LIST_OPEN,
    PAYOUTS_SQL_LIST_ENDED_BADLY,
    PAYOUTS_SQL_SUMMARY,
    PAYOUTS_SQL_OPEN,
    PAYOUTS_SQL_WATCHED,
    PAYOUTS_SQL_TIMELINE,
    PAYOUTS_SQL_COUNT
} payouts_sql_id;

const db_stmt *payouts_sql(payouts_sql_id which);

#endif
