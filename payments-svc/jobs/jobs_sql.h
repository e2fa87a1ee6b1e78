// Every SQL string of the jobs room, in one table, so that a test can read each of them.
#ifndef JOBS_JOBS_SQL_H
#define JOBS_JOBS_SQL_H

#include "db/db.h"

typedef enum jobs_sql_id {
    JOBS_SQL_MAKE,
    JOBS_SQL_TAKE,
    JOBS_SQL_HAS,
    JOBS_SQL_TAKEN,
    JOBS_SQL_OVERDUE,
    JOBS_SQL_MOVED_ON,
    JOBS_SQL_FREED,
    JOBS_SQL_HELD_UNSEEN,
    JOBS_SQL_WAITING,
    JOBS_SQL_OLDEST,
    JOBS_SQL_HELD,
    JOBS_SQL_CASES_OPEN,
    JOBS_SQL_LOOKS,
    JOBS_SQL_LOOKS_BEGIN,
    JOBS_SQL_DEPOSITS_LATE,
    JOBS_SQL_DEPOSITS_DONE,
    JOBS_SQL_DEPOSITS_OLDEST,
    JOBS_SQL_INBOX_LATE,
    JOBS_SQL_INBOX_DONE,
    JOBS_SQL_INBOX_OPEN,
    JOBS_SQL_PARTITIONS_MISSED,
    JOBS_SQL_SUMS_NEXT,
    JOBS_SQL_SUMS_APART,
    JOBS_SQL_SUMS_ADD,
    JOBS_SQL_SUMS_UPTO,
    JOBS_SQL_SUMS_LOCK,
    JOBS_SQL_SUMS_ENDED,
    JOBS_SQL_SUMS_FOLD,
    JOBS_SQL_SUMS_FOLDED,
    JOBS_SQL_COUNT
} jobs_sql_id;

const db_stmt *jobs_sql(jobs_sql_id id);

#endif
