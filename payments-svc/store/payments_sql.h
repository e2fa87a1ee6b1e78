// Every SQL string of the request path in one table, so that a test can check each for what Citus cannot do.
#ifndef STORE_PAYMENTS_SQL_H
#define STORE_PAYMENTS_SQL_H

#include "db/db.h"

typedef enum payments_sql {
    SQL_BOOK_HAS_MERCHANT,
    SQL_PAYOUT_ACCEPTED,
    SQL_PAYOUT_MERCHANTS,
    SQL_PAYOUT_GET,
    SQL_PAYOUT_ATTEMPT,
    SQL_PAYOUT_GET_MANY,
    SQL_PAYOUT_AWAITED,
    SQL_PAYOUT_LIST,
    SQL_PAYOUT_LIST_REFERENCE,
    SQL_PAYOUT_LIST_RECIPIENT,
    SQL_PAYOUT_LIST_OPEN,
    SQL_PAYOUT_LIST_ENDED_BADLY,
    SQL_PAYOUT_SUMMARY,
    SQL_PAYOUT_OPEN,
    SQL_PAYOUT_WATCHED,
    SQL_TIMELINE,
    SQL_COUNT
} payments_sql;

const db_stmt *payments_stmt(payments_sql which);

#endif
