#include "jobs/jobs_sql.h"

#include "base/assert.h"

// The index of an open saga that is not held: saga_waiting while it waits for its bank, saga_due while it is our turn. saga_waiting has the
// longest waiting first. Of saga_due all are read: they are our own backlog.
#define WAITING_ONES "s.due_at IS NULL AND s.step <> 8 AND s.hold = '' "
#define DUE_ONES "s.due_at IS NOT NULL AND s.step <> 8 AND s.hold = '' "

// The true beginning of a saga's wait: a step that is planned for a distant time waits from then on, and after a new plan from the first
// such time. For the time before planned_at, only the present plan is known.
#define WAITS_SINCE                                                                                \
    "coalesce(s.planned_at, CASE WHEN s.due_at > s.updated_at + interval '5 min' THEN s.due_at "   \
    "END, s.step_since)"

// A payout's state, by key: a join from when the tables were small would compare all with all.
#define SUMS_STATE                                                                                 \
    "CROSS JOIN LATERAL (SELECT state FROM saga WHERE book_id = $1 "                               \
    "AND payout_id = p.payout_id LIMIT 1) AS s "
// Payouts of a book between two ids ($2, $3], with their states.
#define SUMS_PIECE                                                                                 \
    "FROM (SELECT * FROM payout WHERE book_id = $1 AND payout_id > $2 AND payout_id <= $3 "        \
    "ORDER BY payout_id) AS p " SUMS_STATE
// Payouts of a list.
#define SUMS_LIST                                                                                  \
    "FROM unnest($2::uuid[]) AS k(payout_id) CROSS JOIN LATERAL (SELECT * FROM payout "            \
    "WHERE book_id = $1 AND payout_id = k.payout_id LIMIT 1) AS p "
// The values of a payout that is kept apart.
#define SUMS_APART_OF                                                                              \
    "(SELECT payout_id, counted_as FROM payout_apart WHERE book_id = $1 "                          \
    "AND merchant_id = p.merchant_id AND payout_id = p.payout_id LIMIT 1) AS a "
#define SUMS_INSERT                                                                                \
    "INSERT INTO payout_sum (book_id, merchant_id, rail, currency, state, n, total) "
#define SUMS_GROWN                                                                                 \
    "ON CONFLICT (book_id, merchant_id, rail, currency, state) "                                   \
    "DO UPDATE SET n = payout_sum.n + excluded.n, total = payout_sum.total + excluded.total"

#define OVERDUE_FROM                                                                               \
    "SELECT s.book_id, s.payout_id, s.rail, s.step, s.step_since, s.tries, s.reason FROM saga s "  \
    "WHERE s.book_id = b.book_id AND s.rail = d.rail AND s.step = d.step AND "
#define OVERDUE_WHERE                                                                              \
    "AND s.step_since < d.before AND " WAITS_SINCE " < d.before "                                  \
    "AND NOT EXISTS (SELECT 1 FROM payment_case k WHERE k.book_id = b.book_id "                    \
    "AND k.subject_type = 'payout' AND k.subject_id = s.payout_id::text "                          \
    "AND k.kind = 'PAYOUT_OVERDUE' AND k.state = 1) ORDER BY s.step_since LIMIT $5"

static const db_stmt STATEMENTS[JOBS_SQL_COUNT] = {
    [JOBS_SQL_MAKE] = {"jobs_make", "INSERT INTO job (book_id, name, next_at, runs) "
                                    "VALUES ($3, $1, $2, 0) ON CONFLICT DO NOTHING"},
    // An instance that finds it locked leaves it to the other.
    [JOBS_SQL_TAKE] = {"jobs_take", "SELECT runs FROM job WHERE book_id = $3 AND name = $1 "
                                    "AND next_at <= $2 FOR UPDATE SKIP LOCKED"},
    [JOBS_SQL_HAS] = {"jobs_has", "SELECT runs FROM job WHERE book_id = $2 AND name = $1"},
    [JOBS_SQL_TAKEN] = {"jobs_taken", "UPDATE job SET next_at = $2, ran_at = $3, runs = runs + 1 "
                                      "WHERE book_id = $4 AND name = $1"},
    // Payouts at a step for longer than allowed, without a case.
    [JOBS_SQL_OVERDUE] =
        {"jobs_overdue",
         "SELECT f.book_id, f.payout_id, f.rail, f.step, f.step_since, f.tries, f.reason, "
         "p.merchant_id, p.amount, p.currency FROM unnest($1::int8[]) AS b(book_id) "
         "CROSS JOIN unnest($2::int2[], $3::int2[], $4::timestamptz[]) AS d(rail, step, before) "
         "CROSS JOIN LATERAL (SELECT * FROM (" OVERDUE_FROM WAITING_ONES OVERDUE_WHERE ") AS w "
         "UNION ALL SELECT * FROM (" OVERDUE_FROM DUE_ONES OVERDUE_WHERE ") AS u "
         "ORDER BY step_since LIMIT $5) AS f "
         "JOIN payout p ON p.book_id = f.book_id AND p.payout_id = f.payout_id "
         "ORDER BY f.book_id"},
    // Payouts with a case of being overdue that have moved since, or are held with their own case; and payouts with a case of being held
    // that are not held any more.
    [JOBS_SQL_MOVED_ON] =
        {"jobs_moved_on",
         "SELECT k.book_id, k.subject_id FROM payment_case k "
         "JOIN saga s ON s.book_id = k.book_id AND s.payout_id = k.subject_id::uuid "
         "WHERE k.state = 1 AND k.subject_type = 'payout' AND k.kind = 'PAYOUT_OVERDUE' "
         "AND (s.step = 8 OR s.hold <> '' OR s.step_since > k.opened_at) "
         "ORDER BY k.book_id LIMIT $1"},
    [JOBS_SQL_FREED] = {"jobs_freed",
                        "SELECT k.book_id, k.subject_id FROM payment_case k "
                        "JOIN saga s ON s.book_id = k.book_id AND s.payout_id = k.subject_id::uuid "
                        "WHERE k.state = 1 AND k.subject_type = 'payout' AND s.hold = '' AND "
                        "k.kind = ANY($2::text[]) "
                        "ORDER BY k.book_id LIMIT $1"},
    // Held without a case, with nothing to happen by itself: as after an order that could not be carried out.
    [JOBS_SQL_HELD_UNSEEN] =
        {"jobs_held_unseen",
         "SELECT s.book_id, s.payout_id, p.merchant_id, p.amount, p.currency, s.hold, s.hold_text, "
         "coalesce(l.reason, ''), coalesce(l.detail, '') "
         "FROM unnest($1::int8[]) AS b(book_id) JOIN saga s ON s.book_id = b.book_id "
         "JOIN payout p ON p.book_id = s.book_id AND p.payout_id = s.payout_id "
         "LEFT JOIN LATERAL (SELECT g.reason, g.detail FROM step_log g WHERE g.book_id = b.book_id "
         "AND g.payout_id = s.payout_id ORDER BY g.seq DESC LIMIT 1) AS l ON true "
         "WHERE s.hold <> '' AND s.due_at IS NULL "
         "AND NOT EXISTS (SELECT 1 FROM payment_case k WHERE k.book_id = b.book_id "
         "AND k.subject_type = 'payout' AND k.subject_id = s.payout_id::text AND k.state = 1) "
         "ORDER BY s.book_id LIMIT $2"},
    // Payouts of these connections: their number (at most $3 of each book), and the time of the oldest.
    [JOBS_SQL_WAITING] =
        {"jobs_waiting",
         "SELECT d.rail, sum(f.n)::int8, min(f.since) FROM unnest($1::int8[]) AS b(book_id) "
         "CROSS JOIN unnest($2::int2[]) AS d(rail) "
         "CROSS JOIN LATERAL (SELECT count(*) AS n, min(w.step_since) AS since FROM "
         "(SELECT s.step_since FROM saga s WHERE s.book_id = b.book_id AND s.rail = d.rail "
         "AND " WAITING_ONES
         "UNION ALL SELECT s.step_since FROM saga s WHERE s.book_id = b.book_id "
         "AND s.rail = d.rail AND " DUE_ONES "LIMIT $3) AS w) AS f "
         "WHERE f.n > 0 GROUP BY d.rail ORDER BY d.rail"},
    [JOBS_SQL_OLDEST] =
        {"jobs_oldest",
         "SELECT d.rail, e.step, min(f.since) FROM unnest($1::int8[]) AS b(book_id) "
         "CROSS JOIN unnest($2::int2[]) AS d(rail) CROSS JOIN unnest($3::int2[]) AS e(step) "
         "CROSS JOIN LATERAL ((SELECT s.step_since AS since FROM saga s "
         "WHERE s.book_id = b.book_id AND s.rail = d.rail AND s.step = e.step AND " WAITING_ONES
         "ORDER BY s.step_since LIMIT 1) UNION ALL (SELECT min(s.step_since) FROM saga s "
         "WHERE s.book_id = b.book_id AND s.rail = d.rail AND s.step = e.step AND " DUE_ONES
         ")) AS f WHERE f.since IS NOT NULL GROUP BY d.rail, e.step"},
    [JOBS_SQL_HELD] = {"jobs_held", "SELECT s.hold, count(*) FROM unnest($1::int8[]) AS b(book_id) "
                                    "JOIN saga s ON s.book_id = b.book_id WHERE s.hold <> '' "
                                    "GROUP BY s.hold ORDER BY count(*) DESC LIMIT $2"},
    [JOBS_SQL_CASES_OPEN] = {"jobs_cases_open",
                             "SELECT kind, count(*), min(opened_at) FROM payment_case "
                             "WHERE state = 1 GROUP BY kind"},
    [JOBS_SQL_LOOKS] = {"jobs_looks", "SELECT number, looked_at FROM connection "
                                      "WHERE book_id = $1 AND number = ANY($2::int2[])"},
    // Connections without any look are late from now on.
    [JOBS_SQL_LOOKS_BEGIN] = {"jobs_looks_begin",
                              "UPDATE connection SET looked_at = $3 WHERE book_id = $1 "
                              "AND number = ANY($2::int2[]) AND looked_at IS NULL"},
    // By the partial indexes of undecided deposits, which are few.
    [JOBS_SQL_DEPOSITS_LATE] =
        {"jobs_deposits_late",
         "SELECT d.book_id, d.deposit_id, d.merchant_id, d.amount, d.currency, d.created_at, "
         "d.state FROM deposit AS d WHERE (d.state = 1 OR d.state = 4) AND d.created_at < $1 "
         "AND NOT EXISTS (SELECT 1 FROM payment_case k WHERE k.book_id = d.book_id "
         "AND k.subject_type = 'deposit' AND k.subject_id = d.deposit_id::text AND k.state = 1) "
         "ORDER BY d.book_id LIMIT $2"},
    [JOBS_SQL_DEPOSITS_DONE] =
        {"jobs_deposits_done",
         "SELECT k.book_id, k.subject_id FROM payment_case k JOIN deposit d "
         "ON d.book_id = k.book_id AND d.deposit_id = k.subject_id::uuid WHERE k.state = 1 "
         "AND k.subject_type = 'deposit' AND k.kind = 'DEPOSIT_OVERDUE' AND d.state <> 1 "
         "AND d.state <> 4 ORDER BY k.book_id LIMIT $1"},
    [JOBS_SQL_DEPOSITS_OLDEST] = {"jobs_deposits_oldest", "SELECT min(created_at) FROM deposit "
                                                          "WHERE state = 1 OR state = 4"},
    [JOBS_SQL_INBOX_LATE] =
        {"jobs_inbox_late",
         "SELECT i.book_id, i.inbox_id, i.connection, i.name, i.received_at, i.tries FROM inbox i "
         "WHERE i.state = 1 AND i.received_at < $1 "
         "AND NOT EXISTS (SELECT 1 FROM payment_case k WHERE k.book_id = i.book_id "
         "AND k.subject_type = 'inbox' AND k.subject_id = i.inbox_id::text "
         "AND k.kind = 'INBOX_WAITING' AND k.state = 1) ORDER BY i.book_id, i.inbox_id LIMIT $2"},
    [JOBS_SQL_INBOX_DONE] =
        {"jobs_inbox_done",
         "SELECT k.book_id, k.subject_id FROM payment_case k "
         "JOIN inbox i ON i.book_id = k.book_id AND i.inbox_id = k.subject_id::uuid "
         "WHERE k.state = 1 AND k.subject_type = 'inbox' AND k.kind = 'INBOX_WAITING' "
         "AND i.state <> 1 ORDER BY k.book_id LIMIT $1"},
    // 1 recorded 2 refused as a whole 3 lines that were set aside
    [JOBS_SQL_INBOX_OPEN] =
        {"jobs_inbox_open",
         "SELECT 1, count(*), min(received_at) FROM inbox WHERE state = 1 "
         "UNION ALL SELECT 2, count(*), min(received_at) FROM inbox WHERE state = 3 "
         "UNION ALL SELECT 3, count(*), min(at) FROM inbox_exception WHERE state = 1"},
    // Default partitions that have rows: their size tells, without reading a row.
    [JOBS_SQL_PARTITIONS_MISSED] =
        {"jobs_partitions_missed",
         "SELECT count(*) FROM pg_class WHERE relname IN ('step_log_other', 'rail_event_other') "
         "AND relispartition AND pg_relation_size(oid) > 0"},
    // For each book with payouts after its sums and before $2: the end of the sums, and the end of the next piece.
    [JOBS_SQL_SUMS_NEXT] =
        {"jobs_sums_next",
         "SELECT b.book_id, b.upto, n.payout_id FROM (SELECT k.book_id, "
         "coalesce(t.upto, '00000000-0000-0000-0000-000000000000') AS upto "
         "FROM unnest($1::int8[]) AS k(book_id) "
         "LEFT JOIN payout_sum_upto AS t ON t.book_id = k.book_id) AS b CROSS JOIN LATERAL ("
         "SELECT q.payout_id FROM (SELECT p.payout_id FROM payout p WHERE p.book_id = b.book_id "
         "AND p.payout_id > b.upto AND p.payout_id < $2 ORDER BY p.payout_id LIMIT $3) AS q "
         "ORDER BY q.payout_id DESC LIMIT 1) AS n ORDER BY b.book_id"},
    // First: unfinished payouts. They are apart even if they finish later.
    [JOBS_SQL_SUMS_APART] = {"jobs_sums_apart",
                             "INSERT INTO payout_apart (book_id, merchant_id, payout_id) "
                             "SELECT p.book_id, p.merchant_id, p.payout_id " SUMS_PIECE
                             "WHERE s.state NOT IN (6, 7, 8, 9) ON CONFLICT DO NOTHING"},
    // Then all others: with their present state, or the state before they left their end.
    [JOBS_SQL_SUMS_ADD] = {"jobs_sums_add", SUMS_INSERT
                           "SELECT $1, p.merchant_id, p.rail, p.currency, "
                           "coalesce(a.counted_as, s.state), count(*), sum(p.amount) " SUMS_PIECE
                           "LEFT JOIN LATERAL " SUMS_APART_OF "ON true "
                           "WHERE a.payout_id IS NULL OR a.counted_as IS NOT NULL "
                           "GROUP BY 2, 3, 4, 5 " SUMS_GROWN},
    [JOBS_SQL_SUMS_UPTO] = {"jobs_sums_upto",
                            "INSERT INTO payout_sum_upto (book_id, upto) VALUES ($1, $2) "
                            "ON CONFLICT (book_id) DO UPDATE SET upto = excluded.upto"},
    // Payouts kept apart that seem finished again. A writer that moves one now waits, and then finds it not apart.
    [JOBS_SQL_SUMS_LOCK] =
        {"jobs_sums_lock",
         "SELECT a.payout_id FROM payout_apart a "
         "JOIN payout_sum_upto t ON t.book_id = a.book_id AND a.payout_id <= t.upto "
         "JOIN saga s ON s.book_id = a.book_id AND s.payout_id = a.payout_id "
         "WHERE a.book_id = $1 AND s.state IN (6, 7, 8, 9) "
         "ORDER BY a.payout_id LIMIT $2 FOR UPDATE OF a"},
    [JOBS_SQL_SUMS_ENDED] = {"jobs_sums_ended",
                             "SELECT payout_id FROM saga WHERE book_id = $1 "
                             "AND payout_id = ANY($2::uuid[]) AND state IN (6, 7, 8, 9)"},
    [JOBS_SQL_SUMS_FOLD] =
        {"jobs_sums_fold", SUMS_INSERT
         "SELECT $1, f.merchant_id, f.rail, f.currency, f.state, sum(f.n), sum(f.total) "
         "FROM (SELECT p.merchant_id, p.rail, p.currency, s.state, 1 AS n, "
         "p.amount AS total " SUMS_LIST SUMS_STATE
         "UNION ALL SELECT p.merchant_id, p.rail, p.currency, a.counted_as, -1, "
         "-p.amount " SUMS_LIST "CROSS JOIN LATERAL " SUMS_APART_OF
         "WHERE a.counted_as IS NOT NULL) AS f GROUP BY 2, 3, 4, 5 " SUMS_GROWN},
    [JOBS_SQL_SUMS_FOLDED] = {"jobs_sums_folded", "DELETE FROM payout_apart WHERE book_id = $1 "
                                                  "AND payout_id = ANY($2::uuid[])"},
};

const db_stmt *jobs_sql(jobs_sql_id id) {
    ASSERT((int)id >= 0 && id < JOBS_SQL_COUNT);
    return &STATEMENTS[id];
}
