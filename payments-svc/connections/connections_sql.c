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
    // The newest word per book, by the book's own index. Messages belong to their payout's book, files to book 0.
    [CONNECTIONS_SQL_LAST_WORD] =
        {"connections_last_word",
         "SELECT max(f.received_at) FROM unnest($2::int8[]) AS b(book_id) CROSS JOIN LATERAL "
         "(SELECT i.received_at "
         "FROM inbox AS i WHERE i.book_id = b.book_id AND i.connection = $1 "
         "ORDER BY i.inbox_id DESC LIMIT 1) AS f"},
    [CONNECTIONS_SQL_NAMES] = {"connections_names",
                               "SELECT number, name, scheme FROM connection WHERE book_id = 0 "
                               "ORDER BY number"},
    [CONNECTIONS_SQL_MAKE] = {"connections_make",
                              "INSERT INTO connection (book_id, number, name, scheme, made_at) "
                              "VALUES (0, $1, $2, $3, $4) ON CONFLICT DO NOTHING"},
    // Per connection and step: the count (at most $4 of each book), and since when the oldest is there.
    [CONNECTIONS_SQL_QUEUE] =
        {"connections_queue",
         "SELECT d.rail, e.step, sum(f.n)::int8, min(f.since) FROM unnest($1::int8[]) AS "
         "b(book_id) "
         "CROSS JOIN unnest($2::int2[]) AS d(rail) CROSS JOIN unnest($3::int2[]) AS e(step) "
         "CROSS JOIN LATERAL (SELECT count(*) AS n, min(w.step_since) AS since FROM "
         "((SELECT s.step_since FROM saga s WHERE s.book_id = b.book_id AND s.rail = d.rail "
         "AND s.step = e.step AND s.due_at IS NULL AND s.step <> 8 AND s.hold = '' "
         "ORDER BY s.step_since LIMIT $4) UNION ALL (SELECT s.step_since FROM saga s "
         "WHERE s.book_id = b.book_id AND s.rail = d.rail AND s.step = e.step "
         "AND s.due_at IS NOT NULL AND s.step <> 8 AND s.hold = '' LIMIT $4)) AS w) "
         "AS f WHERE f.n > 0 GROUP BY d.rail, e.step ORDER BY d.rail, e.step"},
};

const db_stmt *connections_sql(connections_sql_id id) {
    ASSERT((int)id >= 0 && id < CONNECTIONS_SQL_COUNT);
    return &STATEMENTS[id];
}
