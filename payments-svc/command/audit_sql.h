// Every SQL string of the audit, in one table, so that a test can read each of them.
#ifndef COMMAND_AUDIT_SQL_H
#define COMMAND_AUDIT_SQL_H

#include "db/db.h"

typedef enum audit_sql_id {
    AUDIT_SQL_INSERT,
    AUDIT_SQL_LIST,
    AUDIT_SQL_LIST_MERCHANT,
    AUDIT_SQL_LIST_PERSON,
    AUDIT_SQL_LIST_REQUEST,
    AUDIT_SQL_LIST_SUBJECT,
    AUDIT_SQL_FLOOR,
    AUDIT_SQL_FLOOR_MERCHANT,
    AUDIT_SQL_FLOOR_PERSON,
    AUDIT_SQL_FLOOR_REQUEST,
    AUDIT_SQL_COUNT
} audit_sql_id;

const db_stmt *audit_sql(audit_sql_id id);

#endif
