// Every SQL string of merchants and recipients, in one table, so that a test can read each of them.
#ifndef PARTIES_PARTIES_SQL_H
#define PARTIES_PARTIES_SQL_H

#include "db/db.h"

typedef enum parties_sql_id {
    PARTIES_SQL_BOOK_HAS_MERCHANT,
    PARTIES_SQL_MERCHANT_GET,
    PARTIES_SQL_MERCHANT_LIST,
    PARTIES_SQL_MERCHANT_BOOK_INSERT,
    PARTIES_SQL_MERCHANT_INSERT,
    PARTIES_SQL_MERCHANT_CONNECTION_FIRST,
    PARTIES_SQL_MERCHANT_CONNECTION_INSERT,
    PARTIES_SQL_MERCHANT_CONNECTION_CHANGE,
    PARTIES_SQL_MERCHANT_CONNECTION_MANY,
    PARTIES_SQL_RECIPIENT_GET,
    PARTIES_SQL_RECIPIENT_LIST,
    PARTIES_SQL_COUNT
} parties_sql_id;

const db_stmt *parties_sql(parties_sql_id which);

#endif
