// Every SQL string of the room in one table, so that a test can prepare each.
#ifndef EVENTS_EVENTS_SQL_H
#define EVENTS_EVENTS_SQL_H

#include "db/db.h"

typedef enum events_sql_id {
    EVENTS_SQL_JOIN_BY_KEY,
    EVENTS_SQL_HEARD_ADD,
    EVENTS_SQL_RECORD_EVENTS,
    EVENTS_SQL_LOCK_ORDERED,
    EVENTS_SQL_COUNT_ORDERS,
    EVENTS_SQL_COUNT_EVENTS,
    EVENTS_SQL_REACH_BANK,
    EVENTS_SQL_COUNT_ACCEPTED,
    EVENTS_SQL_COUNT
} events_sql_id;

const db_stmt *events_sql(events_sql_id id);

#endif
