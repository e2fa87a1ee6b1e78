#include "feed/feed_sql.h"

#include "base/assert.h"

static const db_stmt STATEMENTS[FEED_SQL_COUNT] = {
    // Takes the next $2 numbers of a book. Whoever comes next waits until this transaction has ended. The time never goes back, so
    // that what is kept for so many days is always the end of the feed.
    [FEED_SQL_HEAD] = {"feed_head", "INSERT INTO feed_head (book_id, position, at) "
                                    "VALUES ($1, $2, $3) ON CONFLICT (book_id) DO UPDATE SET "
                                    "position = feed_head.position + excluded.position, "
                                    "at = greatest(feed_head.at, excluded.at) RETURNING position"},
    // So many entries, behind which $2 more of the same transaction come.
    [FEED_SQL_ADD] = {"feed_add", "INSERT INTO feed (book_id, position, n, at, payout_ids, "
                                  "from_states, to_states, reasons) SELECT $1, h.position - $2, "
                                  "$3::int4, h.at, $4::uuid[], $5::int2[], $6::int2[], $7::text[] "
                                  "FROM feed_head AS h WHERE h.book_id = $1"},
};

const db_stmt *feed_sql(feed_sql_id id) {
    ASSERT((int)id >= 0 && id < FEED_SQL_COUNT);
    return &STATEMENTS[id];
}
