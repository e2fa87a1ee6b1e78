// Every SQL string of the cases room in one table, so that a test can read each.
#ifndef CASES_CASES_SQL_H
#define CASES_CASES_SQL_H

#include "db/db.h"

typedef enum cases_sql_id {
    CASES_SQL_OPEN,
    CASES_SQL_NOTES,
    CASES_SQL_CLOSE,
    CASES_SQL_LIST_ACROSS,
    CASES_SQL_LIST_OPEN,
    CASES_SQL_LIST_BOOK,
    CASES_SQL_LIST_MERCHANT,
    CASES_SQL_LIST_SUBJECT,
    CASES_SQL_GET,
    CASES_SQL_LOCK,
    CASES_SQL_HISTORY,
    CASES_SQL_FIND_KEY,
    CASES_SQL_ASSIGN,
    CASES_SQL_RESOLVE,
    CASES_SQL_NOTE,
    CASES_SQL_COUNT
} cases_sql_id;

const db_stmt *cases_sql(cases_sql_id id);

#endif
