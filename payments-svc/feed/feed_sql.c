#include "feed/feed_sql.h"

#include "base/assert.h"

// The numbers of timeline 1 begin behind 0.
#define TIMELINE_FIRST                                                                             \
    "((('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int8 - 1) "   \
    "* 1099511627776)"

static const db_stmt STATEMENTS[FEED_SQL_COUNT] = {
    // Takes the next $2 numbers of a book. Whoever comes next waits until this transaction has ended. The time never goes back, so
    // that what is kept for so many days is always the end of the feed. A database on a new timeline may have forgotten entries that
    // somebody has read: each timeline has 2^40 numbers of its own, so that none is given twice.
    [FEED_SQL_HEAD] = {"feed_head",
                       "INSERT INTO feed_head (book_id, position, at) VALUES ($1, "
                       "$2::int8 + " TIMELINE_FIRST ", $3) ON CONFLICT (book_id) DO UPDATE SET "
                       "position = greatest(feed_head.position + $2::int8, excluded.position), "
                       "at = greatest(feed_head.at, excluded.at) RETURNING position"},
    // So many entries, behind which $2 more of the same transaction come.
    [FEED_SQL_ADD] = {"feed_add", "INSERT INTO feed (book_id, position, n, at, payout_ids, "
                                  "from_states, to_states, reasons) SELECT $1, h.position - $2, "
                                  "$3::int4, h.at, $4::uuid[], $5::int2[], $6::int2[], $7::text[] "
                                  "FROM feed_head AS h WHERE h.book_id = $1"},
    // Where the feed ends and begins, up to where the next page behind $2 goes (rows until they have $3 entries, at least one), and
    // whether an entry had the number $2.
    [FEED_SQL_SPAN] =
        {"feed_span",
         "SELECT h.position, coalesce((SELECT f.position - f.n FROM feed AS f "
         "WHERE f.book_id = $1 ORDER BY f.position LIMIT 1), h.position), "
         "coalesce((SELECT max(r.position) FROM (SELECT q.position, sum(q.n) OVER "
         "(ORDER BY q.position) - q.n AS before FROM (SELECT f.position, f.n FROM feed AS f "
         "WHERE f.book_id = $1 AND f.position > $2 ORDER BY f.position LIMIT 200) AS q) AS r "
         "WHERE r.before < $3::int8), $2::int8), coalesce((SELECT f.position - f.n < $2::int8 "
         "FROM feed AS f WHERE f.book_id = $1 AND f.position >= $2 ORDER BY f.position LIMIT 1), "
         "false) FROM feed_head AS h WHERE h.book_id = $1"},
    // The entries of a page, in order, of one merchant ($4) and to some states ($5) when they are given. OFFSET keeps each look-up to
    // itself, by key.
    [FEED_SQL_READ] =
        {"feed_read",
         "SELECT f.position - f.n + u.nth, f.at, u.payout_id, u.was, u.became, "
         "coalesce(u.reason, ''), coalesce(p.merchant_id, '') FROM feed AS f "
         "CROSS JOIN LATERAL unnest(f.payout_ids, f.from_states, f.to_states, f.reasons) "
         "WITH ORDINALITY AS u(payout_id, was, became, reason, nth) "
         "LEFT JOIN LATERAL (SELECT merchant_id FROM payout WHERE book_id = $1 "
         "AND payout_id = u.payout_id OFFSET 0) AS p ON true "
         "WHERE f.book_id = $1 AND f.position > $2 AND f.position <= $3 "
         "AND f.position - f.n + u.nth > $2 "
         "AND ($4::text IS NULL OR p.merchant_id = $4::text) "
         "AND ($5::int2[] IS NULL OR u.became = ANY($5::int2[])) "
         "ORDER BY f.position, u.nth"},
    [FEED_SQL_HEADS] = {"feed_heads",
                        "SELECT h.book_id, h.position FROM unnest($1::int8[]) AS b(book_id) "
                        "JOIN feed_head AS h ON h.book_id = b.book_id"},
};

const db_stmt *feed_sql(feed_sql_id id) {
    ASSERT((int)id >= 0 && id < FEED_SQL_COUNT);
    return &STATEMENTS[id];
}
