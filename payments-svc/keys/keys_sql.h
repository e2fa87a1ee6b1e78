// Every SQL string of the keys room, in one table, so that a test can read each of them.
#ifndef KEYS_KEYS_SQL_H
#define KEYS_KEYS_SQL_H

#include "db/db.h"
#include "keys/keys.h"

typedef enum keys_sql_id {
    KEYS_SQL_LIST,
    KEYS_SQL_LOCK,
    KEYS_SQL_PUT,
    KEYS_SQL_SAMPLE,
    KEYS_SQL_ADD_FOUND,
    KEYS_SQL_COUNTED,
    KEYS_SQL_INSTANCES,
    KEYS_SQL_INSTANCE_PUT,
    KEYS_SQL_INSTANCE_GONE,
    KEYS_SQL_INSTANCES_OLD,
    KEYS_SQL_ROTATION_LAST,
    KEYS_SQL_ROTATION_CLAIM,
    KEYS_SQL_ROTATION_NEW,
    KEYS_SQL_ROTATION_STEP,
    KEYS_SQL_ROTATION_END,
    KEYS_SQL_COUNT_ADD,
    KEYS_SQL_COUNTS,
    KEYS_SQL_RESEAL,
    KEYS_SQL_READ_NAME,
    KEYS_SQL_READ_ACCOUNT,
    KEYS_SQL_READ_ANSWER,
    KEYS_SQL_READ_SUBMISSION,
    KEYS_SQL_READ_INBOX,
    KEYS_SQL_READ_REPAIRED,
    KEYS_SQL_READ_EXCEPTION,
    KEYS_SQL_READ_REQUEST,
    KEYS_SQL_READ_PAYOUT,
    KEYS_SQL_READ_PART,
    KEYS_SQL_READ_IMPORT,
    KEYS_SQL_READ_CASE,
    KEYS_SQL_COUNT
} keys_sql_id;

const db_stmt *keys_sql(keys_sql_id id);

typedef struct key_target {
    const char *name; // keys_reseal of the database knows it by this name
    keys_sql_id read;
    bool resealed;        // otherwise it is only counted
    bool macs;            // hashes, which cannot be made anew
    const char *start[3]; // before the first row
} key_target;
extern const key_target KEY_TARGET[KEY_TARGETS];

#endif
