// Planner settings for a transaction that joins a batch with its rows.
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

bool saga_plan_each_time(db_conn *c, arena *a, err *e) {
    return db_exec(c, saga_sql(SAGA_SQL_PLAN_EACH_TIME), NULL, a, NULL, NULL, e);
}
