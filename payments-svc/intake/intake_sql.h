// Every SQL string of the intake, in one table, so that a test can read each of them. Rows are written by COPY.
#ifndef INTAKE_INTAKE_SQL_H
#define INTAKE_INTAKE_SQL_H

#include "db/db.h"

typedef enum intake_sql_id { INTAKE_SQL_ACCEPTED, INTAKE_SQL_COUNT } intake_sql_id;

const db_stmt *intake_sql(intake_sql_id id);

#endif
