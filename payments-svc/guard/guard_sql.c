#include "guard/guard_sql.h"

#include "base/assert.h"

static const db_stmt STATEMENTS[GUARD_SQL_COUNT] = {
    // The answering server: its cluster, its timeline, its log position, and whether it keeps what it has confirmed. The name of the
    // current log file has the timeline: pg_control_checkpoint() has it only after the next checkpoint.
    [GUARD_SQL_LOOK] =
        {"guard_look",
         "SELECT system_identifier, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8), "
         "pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8, "
         "current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on', "
         "current_setting('synchronous_commit') IN ('on', 'remote_apply'), "
         "current_setting('synchronous_standby_names') <> '' FROM pg_control_system()"},
    [GUARD_SQL_ROW] = {"guard_row", "SELECT system_id, timeline_id, recovering_since, recovery_id, "
                                    "why, ended_at, ended_by FROM timeline WHERE book_id = $1"},
    [GUARD_SQL_FIRST] = {"guard_first",
                         "INSERT INTO timeline (book_id, system_id, timeline_id, seen_at) "
                         "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"},
    // Several processes notice it at once: one of them begins the recovery.
    [GUARD_SQL_BEGIN] = {"guard_begin",
                         "UPDATE timeline SET system_id = $2, timeline_id = $3, seen_at = $4, "
                         "recovering_since = $4, why = $5, recovery_id = $6 WHERE book_id = $1 AND "
                         "(system_id <> $2 OR timeline_id <> $3 OR recovering_since IS NULL)"},
    [GUARD_SQL_END] = {"guard_end",
                       "UPDATE timeline SET recovering_since = NULL, ended_at = $2, ended_by = $3 "
                       "WHERE book_id = $1 AND recovering_since IS NOT NULL "
                       "AND recovery_id = $4"},
};

const db_stmt *guard_sql(guard_sql_id id) {
    ASSERT((int)id >= 0 && id < GUARD_SQL_COUNT);
    return &STATEMENTS[id];
}
