#include "connections/connections_sql.h"

#include "base/assert.h"

static const db_stmt STATEMENTS[CONNECTIONS_SQL_COUNT] = {
    [CONNECTIONS_SQL_PAUSES] = {"connections_pauses",
                                "SELECT book_id, connection, merchant_id, reason, actor, since "
                                "FROM pause ORDER BY since LIMIT $1"},
    [CONNECTIONS_SQL_PAUSE] = {"connections_pause",
                               "INSERT INTO pause (book_id, connection, merchant_id, reason, "
                               "actor, since) VALUES ($1, $2, $3, $4, $5, $6) "
                               "ON CONFLICT DO NOTHING"},
    [CONNECTIONS_SQL_RESUME] = {"connections_resume",
                                "DELETE FROM pause WHERE book_id = $1 AND connection = $2 "
                                "AND merchant_id = $3"},
    [CONNECTIONS_SQL_LOG] = {"connections_log",
                             "INSERT INTO pause_log (book_id, entry_id, connection, merchant_id, "
                             "kind, reason, actor, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"},
};

const db_stmt *connections_sql(connections_sql_id id) {
    ASSERT((int)id >= 0 && id < CONNECTIONS_SQL_COUNT);
    return &STATEMENTS[id];
}
