#include "saga/saga_sql.h"

#include "base/assert.h"

// One UPDATE for a whole batch. A row that acts (phase 1) keeps its owner; every other one is given back. What the rail said
// since the batch was claimed makes a row due at once. The caller's arrays are sorted by payout_id, as are those of
// saga_record_events, so that two writers of the same rows meet in one order.
// What most rows of a batch have in common is sent once, as a shape, and picked by its number: an array that is unnested costs
// a copy of each of its values, and this statement is the most of what a payout costs.
#define WRITE_SET                                                                                  \
    "UPDATE saga AS s SET step = ($9::int2[])[u.shape], phase = ($10::int2[])[u.shape], "          \
    "state = ($11::int2[])[u.shape], outlook = ($12::int2[])[u.shape], "                           \
    "attempt = ($13::int4[])[u.shape], tries = ($14::int4[])[u.shape], "                           \
    "log_seq = ($15::int4[])[u.shape], events_seen = ($16::int4[])[u.shape], "                     \
    "due_at = CASE WHEN s.events > ($16::int4[])[u.shape] THEN $2 ELSE u.due_at END, "             \
    "owner = CASE WHEN ($10::int2[])[u.shape] = 1 THEN $3::uuid END, epoch = u.epoch, "            \
    "reason = ($17::text[])[u.shape], reason_text = ($18::text[])[u.shape], "                      \
    "rail_reference = u.rail_reference, updated_at = $2 "                                          \
    "FROM unnest($4::uuid[], $5::int8[], $6::int4[], $7::timestamptz[], $8::text[]) "              \
    "AS u(payout_id, epoch, shape, due_at, rail_reference) "                                       \
    "WHERE s.book_id = $1 AND s.payout_id = ANY($4::uuid[]) AND s.payout_id = u.payout_id "

static const db_stmt STATEMENTS[SAGA_SQL_COUNT] = {
    // A plan made while the tables were small would be kept, and reads them from end to end for each item of a batch when
    // they are not small any more. Planning costs a millisecond; a batch is thousands of rows.
    [SAGA_SQL_PLAN_EACH_TIME] = {"saga_plan_each_time",
                                 "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)"},
    // For the writes that join the rows of a batch with what is to be written to them. The planner expects few rows to have
    // this owner, and so would compare each with each, or read the whole book: found by key and joined by a hash, they cost the
    // same whatever it expects, and are locked in the order of their keys.
    [SAGA_SQL_JOIN_BY_KEY] =
        {"saga_join_by_key",
         "SELECT set_config('enable_nestloop', 'off', true), "
         "set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true)"},
    [SAGA_SQL_BOOKS] = {"saga_books",
                        "SELECT DISTINCT book_id FROM merchant_book ORDER BY book_id LIMIT $1"},
    // For each book, rail and step: how many are due (counted up to a limit), and since when the oldest.
    [SAGA_SQL_SCAN] =
        {"saga_scan",
         "SELECT b.book_id, r.rail, t.step, d.n, d.oldest "
         "FROM unnest($1::int8[]) AS b(book_id) CROSS JOIN unnest($2::int2[]) AS r(rail) "
         "CROSS JOIN unnest($3::int2[]) AS t(step) "
         "CROSS JOIN LATERAL (SELECT count(*) AS n, min(due_at) AS oldest FROM ("
         "SELECT s.due_at FROM saga AS s WHERE s.book_id = b.book_id AND s.rail = r.rail AND "
         "s.step = t.step "
         "AND s.due_at <= $4 ORDER BY s.due_at LIMIT $5) AS q) AS d WHERE d.n > 0"},
    [SAGA_SQL_LOCK_DUE] =
        {"saga_lock_due",
         "SELECT payout_id, phase, state, outlook, attempt, tries, log_seq, events, epoch, due_at, "
         "reason, reason_text, "
         "rail_reference FROM saga WHERE book_id = $1 AND rail = $2 AND step = $3 AND due_at <= $4 "
         "ORDER BY due_at LIMIT $5 FOR UPDATE SKIP LOCKED"},
    [SAGA_SQL_EVENTS] =
        {"saga_events",
         "SELECT payout_id, attempt, kind, code, detail, rail_reference FROM rail_event "
         "WHERE book_id = $1 AND payout_id = ANY($2::uuid[]) ORDER BY payout_id, at, event_id"},
    [SAGA_SQL_PAYOUTS] =
        {"saga_payouts",
         "SELECT payout_id, merchant_id, recipient_id, amount, currency, description FROM payout "
         "WHERE book_id = $1 AND payout_id = ANY($2::uuid[])"},
    [SAGA_SQL_RECIPIENTS] =
        {"saga_recipients",
         "SELECT p.payout_id, m.name, r.holder_type, r.account_type, r.routing_code, "
         "r.name_sealed, r.account_sealed "
         "FROM payout AS p "
         "JOIN recipient AS r ON r.book_id = p.book_id AND r.recipient_id = p.recipient_id "
         "JOIN merchant AS m ON m.book_id = p.book_id AND m.merchant_id = p.merchant_id "
         "WHERE p.book_id = $1 AND p.payout_id = ANY($2::uuid[])"},
    // The rows are locked by saga_lock_due, in the same transaction.
    [SAGA_SQL_WRITE_CLAIM] = {"saga_write_claim", WRITE_SET},
    // Promise FENCED: only who still has the lease, under the epoch of this very claim.
    [SAGA_SQL_WRITE_OUTCOME] =
        {"saga_write_outcome",
         WRITE_SET "AND s.owner = $3 AND s.epoch = u.epoch AND s.phase = 1 RETURNING s.payout_id"},
    [SAGA_SQL_RENEW] =
        {"saga_renew",
         "UPDATE saga AS s SET due_at = $2 FROM unnest($4::uuid[], "
         "$5::int8[]) AS u(payout_id, epoch) "
         "WHERE s.book_id = $1 AND s.payout_id = ANY($4::uuid[]) "
         "AND s.payout_id = u.payout_id AND s.owner = $3 AND s.epoch = u.epoch AND s.phase = 1"},
    // Only new messages count: those that come back from here. Plain statements, one after the other: an INSERT inside of a CTE
    // is not for every database.
    [SAGA_SQL_RECORD_EVENTS] =
        {"saga_record_events",
         "INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, "
         "rail_reference, at) "
         "SELECT $1, u.payout_id, u.event_id, u.attempt, u.kind, u.code, u.detail, "
         "u.rail_reference, u.at "
         "FROM unnest($2::uuid[], $3::text[], $4::int4[], $5::int2[], $6::text[], $7::text[], "
         "$8::text[], $9::timestamptz[]) "
         "AS u(payout_id, event_id, attempt, kind, code, detail, rail_reference, at) "
         "ON CONFLICT DO NOTHING RETURNING payout_id, kind"},
    // While a worker has the saga it is not touched but for the count: the outcome's write sees it.
    [SAGA_SQL_COUNT_EVENTS] = {"saga_count_events",
                               "UPDATE saga AS s SET events = s.events + u.n, "
                               "due_at = CASE WHEN s.owner IS NULL THEN $2 ELSE s.due_at END "
                               "FROM unnest($3::uuid[], $4::int4[]) AS u(payout_id, n) "
                               "WHERE s.book_id = $1 AND s.payout_id = ANY($3::uuid[]) "
                               "AND s.payout_id = u.payout_id"},
};

const db_stmt *saga_sql(saga_sql_id id) {
    ASSERT((int)id >= 0 && id < SAGA_SQL_COUNT);
    return &STATEMENTS[id];
}
