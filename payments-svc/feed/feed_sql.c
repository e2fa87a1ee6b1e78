#include "feed/feed_sql.h"

#include "base/assert.h"

// The numbers of timeline 1 begin behind 0.
#define TIMELINE_FIRST                                                                             \
    "((('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int8 - 1) "   \
    "* 1099511627776)"

// Of a book's feed. Retention leaves it.
#define LAST_ROW                                                                                   \
    "SELECT f.position, f.at FROM feed AS f WHERE f.book_id = $1 "                                 \
    "ORDER BY f.position DESC LIMIT 1"

static const db_stmt STATEMENTS[FEED_SQL_COUNT] = {
    [FEED_SQL_BEGIN] = {"feed_begin", "INSERT INTO feed_head (book_id, begun_at) VALUES ($1, $2) "
                                      "ON CONFLICT (book_id) DO NOTHING"},
    // The next writer waits until this transaction has ended. The row is not changed, so it has no versions to look through. The rest of
    // the transaction finds the last row by its key, however small the table was when the plan was made.
    [FEED_SQL_LOCK] = {"feed_lock", "SELECT set_config('enable_bitmapscan', 'off', true), "
                                    "set_config('enable_seqscan', 'off', true) FROM feed_head "
                                    "WHERE book_id = $1 FOR UPDATE"},
    // Takes the next $2 numbers of a book, behind the last row. The time never goes back, so retention by days always keeps the end of the
    // feed. A database on a new timeline may have forgotten entries that somebody has read: each timeline has 2^40 numbers of its own, so
    // no number is given twice.
    [FEED_SQL_ADD] = {"feed_add",
                      "INSERT INTO feed (book_id, position, n, at, payout_ids, from_states, "
                      "to_states, reasons) SELECT $1, greatest(l.position, " TIMELINE_FIRST
                      ") + $2::int4, $2::int4, greatest(l.at, $3::timestamptz), $4::uuid[], "
                      "$5::int2[], $6::int2[], $7::text[] FROM feed_head AS h LEFT JOIN "
                      "(" LAST_ROW ") AS l ON true WHERE h.book_id = $1 RETURNING position"},
    // Where the feed ends and begins, up to where the next page behind $2 goes (rows until they have $3 entries, at least one), and
    // whether an entry had the number $2.
    [FEED_SQL_SPAN] =
        {"feed_span",
         "SELECT l.position, (SELECT f.position - f.n FROM feed AS f "
         "WHERE f.book_id = $1 ORDER BY f.position LIMIT 1), "
         "coalesce((SELECT max(r.position) FROM (SELECT q.position, sum(q.n) OVER "
         "(ORDER BY q.position) - q.n AS before FROM (SELECT f.position, f.n FROM feed AS f "
         "WHERE f.book_id = $1 AND f.position > $2 ORDER BY f.position LIMIT 200) AS q) AS r "
         "WHERE r.before < $3::int8), $2::int8), coalesce((SELECT f.position - f.n < $2::int8 "
         "FROM feed AS f WHERE f.book_id = $1 AND f.position >= $2 ORDER BY f.position LIMIT 1), "
         "false) FROM (" LAST_ROW ") AS l"},
    // The entries of a page, in order, of one merchant ($4) and to some states ($5) when they are given. Each with the position that the
    // feed began behind at that moment; one row without an entry says that for an empty page. OFFSET keeps each look-up to itself, by key.
    [FEED_SQL_READ] = {"feed_read",
                       "SELECT f.position - f.n + u.nth, f.at, u.payout_id, u.was, u.became, "
                       "coalesce(u.reason, ''), coalesce(p.merchant_id, ''), o.oldest FROM "
                       "(SELECT f.position - f.n AS oldest FROM feed AS f WHERE f.book_id = $1 "
                       "ORDER BY f.position LIMIT 1) AS o LEFT JOIN (feed AS f CROSS JOIN LATERAL "
                       "unnest(f.payout_ids, f.from_states, f.to_states, f.reasons) "
                       "WITH ORDINALITY AS u(payout_id, was, became, reason, nth) "
                       "LEFT JOIN LATERAL (SELECT merchant_id FROM payout WHERE book_id = $1 "
                       "AND payout_id = u.payout_id OFFSET 0) AS p ON true) "
                       "ON f.book_id = $1 AND f.position > $2 AND f.position <= $3 "
                       "AND f.position - f.n + u.nth > $2 "
                       "AND ($4::text IS NULL OR p.merchant_id = $4::text) "
                       "AND ($5::int2[] IS NULL OR u.became = ANY($5::int2[])) "
                       "ORDER BY f.position, u.nth"},
    [FEED_SQL_HEADS] = {"feed_heads",
                        "SELECT b.book_id, coalesce(l.position, 0) FROM unnest($1::int8[]) AS "
                        "b(book_id) LEFT JOIN LATERAL (SELECT f.position FROM feed AS f "
                        "WHERE f.book_id = b.book_id ORDER BY f.position DESC LIMIT 1) AS l "
                        "ON true"},
};

const db_stmt *feed_sql(feed_sql_id id) {
    ASSERT((int)id >= 0 && id < FEED_SQL_COUNT);
    return &STATEMENTS[id];
}
