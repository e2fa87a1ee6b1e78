#include "payouts/payouts_sql.h"

#include "base/assert.h"

// Read by payout_from_row: keep the order.
#define PAYOUT_COLUMNS                                                                             \
    "p.payout_id, p.merchant_id, p.recipient_id, p.amount, p.currency, p.rail, s.state, "          \
    "CASE WHEN s.hold <> '' THEN s.hold ELSE s.reason END, "                                       \
    "CASE WHEN s.hold <> '' THEN s.hold_text ELSE s.reason_text END, p.external_reference, "       \
    "p.description, s.attempt, s.rail_reference, "                                                 \
    "p.created_at, "                                                                               \
    "s.updated_at, p.intent_id, coalesce(p.fee, 0), coalesce(s.returned, 0) "
#define PAYOUT_TABLES                                                                              \
    "FROM payout p JOIN saga s ON s.book_id = p.book_id AND s.payout_id = p.payout_id "

#define FEED_POSITION                                                                              \
    "coalesce((SELECT f.position FROM feed AS f WHERE f.book_id = $1 "                             \
    "ORDER BY f.position DESC LIMIT 1), 0) "

// A book's sagas that are not at their end (6 SETTLED 7 FAILED 8 RETURNED 9 CANCELED), by three partial indexes without finished ones:
// saga_due for due sagas, saga_waiting for sagas that wait for the bank, saga_held for sagas that wait for a person.
#define OPEN_SAGAS                                                                                 \
    "SELECT book_id, payout_id FROM saga WHERE book_id = $1 AND due_at IS NOT NULL "               \
    "AND state NOT IN (6, 7, 8, 9) "                                                               \
    "UNION ALL SELECT book_id, payout_id FROM saga WHERE book_id = $1 AND due_at IS NULL "         \
    "AND step <> 8 AND hold = '' "                                                                 \
    "UNION ALL SELECT book_id, payout_id FROM saga WHERE book_id = $1 AND due_at IS NULL "         \
    "AND hold <> ''"
// The common part of all lists of payouts. A range of creation times is first a range of ids; this removes its margin.
#define PAYOUT_LIST_WHERE                                                                          \
    "WHERE p.book_id = $1 AND p.merchant_id = $2 AND p.payout_id < $3 AND p.payout_id >= $12 "     \
    "AND ($4::int2[] IS NULL OR s.state = ANY($4::int2[])) "                                       \
    "AND ($5::int2[] IS NULL OR p.rail = ANY($5::int2[])) "                                        \
    "AND ($6::text IS NULL OR p.currency = $6::text) "                                             \
    "AND ($9::timestamptz IS NULL OR p.created_at >= $9::timestamptz) "                            \
    "AND ($10::timestamptz IS NULL OR p.created_at < $10::timestamptz) "
#define PAYOUT_LIST_ORDER "ORDER BY p.payout_id DESC LIMIT $11"
// The last id in the book's sums; without sums every id is greater.
#define SUMS_UPTO                                                                                  \
    "coalesce((SELECT upto FROM payout_sum_upto WHERE book_id = $1), "                             \
    "'00000000-0000-0000-0000-000000000000') "
#define APART_TABLES                                                                               \
    "FROM payout_apart a CROSS JOIN LATERAL (SELECT rail, currency, amount FROM payout "           \
    "WHERE book_id = $1 AND payout_id = a.payout_id LIMIT 1) AS p "
#define APART_WHERE "WHERE a.book_id = $1 AND a.merchant_id = $2 AND a.payout_id <= " SUMS_UPTO

static const db_stmt STATEMENTS[PAYOUTS_SQL_COUNT] = {
    // The merchants of these payouts.
    [PAYOUTS_SQL_MERCHANTS] =
        {"payout_merchants",
         "SELECT found.payout_id, found.merchant_id FROM unnest($2::uuid[]) AS w(id) "
         "CROSS JOIN LATERAL (SELECT payout_id, merchant_id FROM payout "
         "WHERE book_id = $1 AND payout_id = w.id LIMIT 1) AS found"},
    [PAYOUTS_SQL_GET] = {"payout_get",
                         "SELECT " PAYOUT_COLUMNS
                         ", p.actor, p.request_id, p.trace_id " PAYOUT_TABLES
                         "WHERE p.book_id = $1 AND p.payout_id = $2 AND p.merchant_id = $3"},
    [PAYOUTS_SQL_ATTEMPT] = {"payout_attempt", "SELECT step, attempt FROM saga "
                                               "WHERE book_id = $1 AND payout_id = $2"},
    [PAYOUTS_SQL_GET_MANY] =
        {"payout_get_many",
         "SELECT found.* FROM unnest($3::uuid[]) AS w(id) "
         "CROSS JOIN LATERAL (SELECT " PAYOUT_COLUMNS PAYOUT_TABLES
         "WHERE p.book_id = $1 AND p.merchant_id = $2 AND p.payout_id = w.id LIMIT 1) AS found"},
    // Payouts that calls wait for, of any merchant of the book, with their state behind a hold.
    [PAYOUTS_SQL_AWAITED] =
        {"payout_awaited",
         "SELECT found.* FROM (SELECT DISTINCT unnest($2::uuid[])) AS w(id) "
         "CROSS JOIN LATERAL (SELECT " PAYOUT_COLUMNS
         ", s.step, coalesce(s.held_state, s.state), s.outlook, s.hold " PAYOUT_TABLES
         "WHERE p.book_id = $1 AND p.payout_id = w.id LIMIT 1) AS found"},
    // The same page by each of the indexes that can find it: the API chooses by the given filters.
    [PAYOUTS_SQL_LIST] =
        {"payout_list",
         "SELECT " PAYOUT_COLUMNS PAYOUT_TABLES PAYOUT_LIST_WHERE
         "AND ($7::uuid IS NULL OR p.recipient_id = $7::uuid) "
         "AND ($8::text IS NULL OR p.external_reference = $8::text) " PAYOUT_LIST_ORDER},
    [PAYOUTS_SQL_LIST_REFERENCE] = {"payout_list_reference",
                                    "SELECT " PAYOUT_COLUMNS PAYOUT_TABLES PAYOUT_LIST_WHERE
                                    "AND ($7::uuid IS NULL OR p.recipient_id = $7::uuid) "
                                    "AND p.external_reference = $8::text "
                                    "AND p.external_reference <> '' " PAYOUT_LIST_ORDER},
    [PAYOUTS_SQL_LIST_RECIPIENT] =
        {"payout_list_recipient",
         "SELECT " PAYOUT_COLUMNS PAYOUT_TABLES PAYOUT_LIST_WHERE "AND p.recipient_id = $7::uuid "
         "AND ($8::text IS NULL OR p.external_reference = $8::text) " PAYOUT_LIST_ORDER},
    [PAYOUTS_SQL_LIST_OPEN] =
        {"payout_list_open",
         "SELECT " PAYOUT_COLUMNS "FROM (" OPEN_SAGAS ") AS o "
         "JOIN payout p ON p.book_id = o.book_id AND p.payout_id = o.payout_id "
         "JOIN saga s ON s.book_id = o.book_id AND s.payout_id = o.payout_id " PAYOUT_LIST_WHERE
         "AND ($7::uuid IS NULL OR p.recipient_id = $7::uuid) "
         "AND ($8::text IS NULL OR p.external_reference = $8::text) " PAYOUT_LIST_ORDER},
    [PAYOUTS_SQL_LIST_ENDED_BADLY] =
        {"payout_list_ended_badly",
         "SELECT " PAYOUT_COLUMNS PAYOUT_TABLES PAYOUT_LIST_WHERE
         "AND s.book_id = $1 AND s.payout_id < $3 AND s.payout_id >= $12 "
         "AND s.ended_badly IS NOT NULL "
         "AND ($7::uuid IS NULL OR p.recipient_id = $7::uuid) "
         "AND ($8::text IS NULL OR p.external_reference = $8::text) " PAYOUT_LIST_ORDER},
    // The kept sums, plus the present state of newer payouts and of payouts that are kept apart. All at one moment.
    [PAYOUTS_SQL_SUMMARY] =
        {"payout_summary",
         "SELECT state, rail, currency, sum(n)::int8, sum(total)::text FROM ("
         "SELECT state, rail, currency, n, total FROM payout_sum "
         "WHERE book_id = $1 AND merchant_id = $2 "
         "UNION ALL SELECT s.state, p.rail, p.currency, 1, p.amount " PAYOUT_TABLES
         "WHERE p.book_id = $1 AND p.merchant_id = $2 AND p.payout_id > " SUMS_UPTO
         "UNION ALL SELECT s.state, p.rail, p.currency, 1, p.amount " APART_TABLES
         "CROSS JOIN LATERAL (SELECT state FROM saga WHERE book_id = $1 "
         "AND payout_id = a.payout_id LIMIT 1) AS s " APART_WHERE
         "UNION ALL SELECT a.counted_as, p.rail, p.currency, -1, -p.amount " APART_TABLES
             APART_WHERE "AND a.counted_as IS NOT NULL) AS t "
         "GROUP BY state, rail, currency HAVING sum(n) <> 0 ORDER BY state, rail, currency"},
    // A merchant's payouts: open ones of any age, and new ones in any state. Also the last position of the feed at the same moment: the
    // feed after it tells all later changes.
    [PAYOUTS_SQL_OPEN] =
        {"payout_open",
         "SELECT " PAYOUT_COLUMNS ", " FEED_POSITION "FROM (" OPEN_SAGAS ") AS o "
         "JOIN payout p ON p.book_id = o.book_id AND p.payout_id = o.payout_id "
         "JOIN saga s ON s.book_id = o.book_id AND s.payout_id = o.payout_id "
         "WHERE p.book_id = $1 AND p.merchant_id = $2 ORDER BY p.payout_id LIMIT $3"},
    [PAYOUTS_SQL_WATCHED] =
        {"payout_watched",
         "SELECT found.*, " FEED_POSITION "FROM unnest($3::uuid[]) AS w(id) "
         "CROSS JOIN LATERAL (SELECT " PAYOUT_COLUMNS PAYOUT_TABLES
         "WHERE p.book_id = $1 AND p.merchant_id = $2 AND p.payout_id = w.id LIMIT 1) AS found"},
    // If there is more than fits, its end, which explains the payout's present state. When a submission reaches the bank and nothing has to
    // be weighed (saga_reach_bank), only the submission's row tells it.
    [PAYOUTS_SQL_TIMELINE] =
        {"timeline",
         "SELECT * FROM ("
         "SELECT at, seq, step, kind, outcome, attempt, reason, detail, rail_reference, "
         "transfer_id, owner, epoch, actor, amount FROM ("
         "SELECT at, seq, step, kind, outcome, attempt, reason, detail, rail_reference, "
         "transfer_id, owner, epoch, '' AS actor, 0::int8 AS amount "
         "FROM step_log WHERE book_id = $1 AND payout_id = $2 "
         "UNION ALL "
         "SELECT at, 0, 0::int2, 3::int2, kind, attempt, code, detail, rail_reference, NULL::uuid, "
         "NULL::uuid, 0::int8, actor, amount "
         "FROM rail_event WHERE book_id = $1 AND payout_id = $2 "
         "UNION ALL "
         "SELECT s.sent_at, 0, 0::int2, 3::int2, 1::int2, i.attempt, '', '', '', NULL::uuid, "
         "NULL::uuid, 0::int8, '', 0::int8 FROM submission_item AS i JOIN submission AS s "
         "ON s.book_id = $1 AND s.submission_id = i.submission_id AND s.sent_at IS NOT NULL "
         "WHERE i.book_id = $1 AND i.payout_id = $2 AND NOT EXISTS (SELECT 1 FROM rail_event AS r "
         "WHERE r.book_id = $1 AND r.payout_id = $2 AND r.event_id = s.submission_id || ':accepted'"
         ")) AS t ORDER BY at DESC, seq DESC "
         "LIMIT $3) AS t "
         "ORDER BY at, seq"},
};

const db_stmt *payouts_sql(payouts_sql_id which) {
    ASSERT((int)which >= 0 && which < PAYOUTS_SQL_COUNT);
    return &STATEMENTS[which];
}
