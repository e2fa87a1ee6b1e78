// Every SQL string of the saga room in one table, so that a test can prepare each.
#ifndef SAGA_SAGA_SQL_H
#define SAGA_SAGA_SQL_H

#include "db/db.h"

typedef enum saga_sql_id {
    SAGA_SQL_PLAN_EACH_TIME,
    SAGA_SQL_SCAN,
    SAGA_SQL_LOCK_SLOT,
    SAGA_SQL_DUE,
    SAGA_SQL_HEARD_LISTS,
    SAGA_SQL_HEARD_SAGAS,
    SAGA_SQL_HEARD_DROP,
    SAGA_SQL_HEARD_CUT,
    SAGA_SQL_EVENTS,
    SAGA_SQL_PAYOUTS,
    SAGA_SQL_RECIPIENTS,
    SAGA_SQL_WRITE,
    SAGA_SQL_WRITE_RARE,
    SAGA_SQL_SET_APART,
    SAGA_SQL_LEASE,
    SAGA_SQL_RENEW,
    SAGA_SQL_END_LEASE,
    SAGA_SQL_EXPIRED,
    SAGA_SQL_LOCK_EXPIRED,
    SAGA_SQL_LEASED,
    SAGA_SQL_DROP_LEASE,
    SAGA_SQL_ORPHANS,
    SAGA_SQL_CLAIM_BEGIN,
    SAGA_SQL_RECOVER,
    SAGA_SQL_RECOVER_ORPHANS,
    SAGA_SQL_RECOVER_LEFT,
    SAGA_SQL_STANDING,
    SAGA_SQL_COUNT
} saga_sql_id;

const db_stmt *saga_sql(saga_sql_id id);

#endif
