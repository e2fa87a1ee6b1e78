// Every SQL string of the feed in one table, so that a test can prepare each.
#ifndef FEED_FEED_SQL_H
#define FEED_FEED_SQL_H

#include "db/db.h"

typedef enum feed_sql_id {
    FEED_SQL_BEGIN,
    FEED_SQL_LOCK,
    FEED_SQL_ADD,
    FEED_SQL_SPAN,
    FEED_SQL_READ,
    FEED_SQL_HEADS,
    FEED_SQL_COUNT
} feed_sql_id;

const db_stmt *feed_sql(feed_sql_id id);

#endif
