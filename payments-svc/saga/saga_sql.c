#include "saga/saga_sql.h"

#include "base/assert.h"

// One UPDATE for a whole batch. What the rail said since the batch was claimed makes a row due at once. The caller's arrays are
// sorted by payout_id, as are those of saga_record_events, so that two writers of the same rows meet in one order.
// What most rows of a batch have in common is sent once, as a shape, and picked by its number: an array that is unnested costs
// a copy of each of its values, and this statement is the most of what a payout costs.
// The epoch grows by one with each claim: a row that has another one is not the row that was claimed.
#define WRITE_SAGAS                                                                                \
    "UPDATE saga AS s SET step = ($8::int2[])[u.shape], phase = ($9::int2[])[u.shape], "           \
    "state = ($10::int2[])[u.shape], outlook = ($11::int2[])[u.shape], "                           \
    "attempt = ($12::int4[])[u.shape], tries = ($13::int4[])[u.shape], "                           \
    "log_seq = ($14::int4[])[u.shape], events_seen = ($15::int4[])[u.shape], "                     \
    "due_at = CASE WHEN s.events > ($15::int4[])[u.shape] THEN $2 ELSE u.due_at END, "             \
    "epoch = u.epoch, reason = ($16::text[])[u.shape], reason_text = ($17::text[])[u.shape], "     \
    "rail_reference = u.rail_reference, updated_at = $2 "                                          \
    "FROM unnest($3::uuid[], $4::int8[], $5::int4[], $6::timestamptz[], $7::text[]) "              \
    "AS u(payout_id, epoch, shape, due_at, rail_reference) "                                       \
    "WHERE s.book_id = $1 AND s.payout_id = ANY($3::uuid[]) AND s.payout_id = u.payout_id "        \
    "AND s.epoch = u.epoch - 1"

// As the index saga_due has it: the steps before the bank's word have lanes.
#define LANE_OF_S "(CASE WHEN s.step <= 2 THEN s.lane ELSE 0::smallint END)"

static const db_stmt STATEMENTS[SAGA_SQL_COUNT] = {
    // A plan made while the tables were small would be kept, and reads them from end to end for each item of a batch when
    // they are not small any more. Planning costs a millisecond; a batch is thousands of rows.
    [SAGA_SQL_PLAN_EACH_TIME] = {"saga_plan_each_time",
                                 "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)"},
    // For the writes that join the rows of a batch with what is to be written to them. The planner may expect few of them, and
    // so would compare each with each, or read the whole book: found by key and joined by a hash, they cost the same whatever
    // it expects, and are locked in the order of their keys.
    [SAGA_SQL_JOIN_BY_KEY] =
        {"saga_join_by_key",
         "SELECT set_config('enable_nestloop', 'off', true), "
         "set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true), "
         "set_config('jit', 'off', true)"}, // what is off costs so much that its plan would be compiled
    // The least book beyond each of those that are known, before the next of them: with the known ones sorted, all there are are
    // found in a few rounds, and when there is none that is new, no merchant is read.
    [SAGA_SQL_BOOKS] =
        {"saga_books",
         "SELECT m.book_id FROM unnest($1::int8[], $2::int8[]) AS g(after, before) "
         "CROSS JOIN LATERAL (SELECT book_id FROM merchant_book WHERE book_id > g.after "
         "AND book_id < g.before ORDER BY book_id LIMIT 1) AS m ORDER BY m.book_id"},
    // For each book, rail, step and lane: how many are due (counted up to a limit), since when the oldest, and when the next one will
    // be. Those that are leased stay due, and are told beside them. Planned once, on connections whose settings leave only the index
    // (SAGA_LOOK_SESSION): planning it costs more than running it.
    [SAGA_SQL_SCAN] =
        {"saga_scan",
         "SELECT b.book_id, r.rail, t.step, d.n, d.oldest, f.due_at, coalesce(l.n, 0) "
         "FROM unnest($1::int8[]) AS b(book_id) CROSS JOIN unnest($2::int2[]) AS r(rail) "
         "CROSS JOIN unnest($3::int2[], $4::int2[]) AS t(step, lane) "
         "LEFT JOIN (SELECT book_id, rail, step, sum(n)::int8 AS n FROM saga_lease "
         "WHERE book_id = ANY($1::int8[]) GROUP BY book_id, rail, step) AS l "
         "ON l.book_id = b.book_id AND l.rail = r.rail AND l.step = t.step "
         "CROSS JOIN LATERAL (SELECT count(*) AS n, min(due_at) AS oldest FROM ("
         "SELECT s.due_at FROM saga AS s WHERE s.book_id = b.book_id AND s.rail = r.rail "
         "AND s.step = t.step AND " LANE_OF_S " = t.lane AND s.due_at <= $5 "
         "ORDER BY s.due_at LIMIT $6 + coalesce(l.n, 0)) AS q) AS d "
         "LEFT JOIN LATERAL (SELECT s.due_at FROM saga AS s WHERE s.book_id = b.book_id "
         "AND s.rail = r.rail AND s.step = t.step AND " LANE_OF_S " = t.lane AND s.due_at > $5 "
         "ORDER BY s.due_at LIMIT 1) AS f ON true "
         "WHERE d.n > 0 OR f.due_at IS NOT NULL"},
    // Waits for the claim before. The next statement sees what that one has leased.
    [SAGA_SQL_LOCK_SLOT] = {"saga_lock_slot",
                            "INSERT INTO saga_slot (book_id, rail, step, claims) "
                            "VALUES ($1, $2, $3, 1) ON CONFLICT (book_id, rail, step) "
                            "DO UPDATE SET claims = saga_slot.claims + 1"},
    // So many of each lane, the oldest first.
    [SAGA_SQL_DUE] =
        {"saga_due",
         "SELECT q.* FROM unnest($5::int2[]) AS t(lane) CROSS JOIN LATERAL ("
         "SELECT s.payout_id, s.phase, s.state, s.outlook, s.attempt, s.tries, s.log_seq, "
         "s.events, s.epoch, s.due_at, s.reason, s.reason_text, s.rail_reference, t.lane "
         "FROM saga AS s WHERE s.book_id = $1 AND s.rail = $2 AND s.step = $3 "
         "AND " LANE_OF_S " = t.lane AND s.due_at <= $4 "
         "AND s.payout_id NOT IN (SELECT unnest(payout_ids) FROM saga_lease "
         "WHERE book_id = $1 AND rail = $2 AND step = $3) ORDER BY s.due_at LIMIT $6) AS q"},
    [SAGA_SQL_EVENTS] =
        {"saga_events",
         "SELECT payout_id, attempt, kind, code, detail, rail_reference FROM rail_event "
         "WHERE book_id = $1 AND payout_id = ANY($2::uuid[]) ORDER BY payout_id, at, event_id"},
    [SAGA_SQL_PAYOUTS] =
        {"saga_payouts",
         "SELECT payout_id, merchant_id, recipient_id, amount, currency, description, intent_id "
         "FROM payout "
         "WHERE book_id = $1 AND payout_id = ANY($2::uuid[])"},
    [SAGA_SQL_RECIPIENTS] =
        {"saga_recipients",
         "SELECT p.payout_id, m.name, r.holder_type, r.account_type, r.routing_code, "
         "r.name_sealed, r.account_sealed "
         "FROM payout AS p "
         "JOIN recipient AS r ON r.book_id = p.book_id AND r.recipient_id = p.recipient_id "
         "JOIN merchant AS m ON m.book_id = p.book_id AND m.merchant_id = p.merchant_id "
         "WHERE p.book_id = $1 AND p.payout_id = ANY($2::uuid[])"},
    // Of sagas that only move, under the slot's lock; and of those that acted, in the transaction that has ended their lease, and so
    // was still its owner.
    [SAGA_SQL_WRITE] = {"saga_write", WRITE_SAGAS},
    // Promise FENCED: the end of a lease is set and compared by the database's clock alone, by that of the statement: a claim may
    // have waited for its slot since its transaction began.
    [SAGA_SQL_LEASE] = {"saga_lease",
                        "INSERT INTO saga_lease (book_id, lease_id, rail, step, owner, ends_at, n, "
                        "payout_ids) VALUES ($1, $2, $3, $4, $5, "
                        "statement_timestamp() + $6 * interval '1 ms', $7, $8)"},
    [SAGA_SQL_RENEW] =
        {"saga_renew",
         "UPDATE saga_lease SET ends_at = statement_timestamp() + $4 * interval '1 ms' "
         "WHERE book_id = $1 AND lease_id = $2 AND owner = $3"},
    // Promise FENCED: one row, or the lease was taken away.
    [SAGA_SQL_END_LEASE] = {"saga_end_lease",
                            "DELETE FROM saga_lease "
                            "WHERE book_id = $1 AND lease_id = $2 AND owner = $3"},
    [SAGA_SQL_EXPIRED] =
        {"saga_expired",
         "SELECT l.book_id, l.lease_id FROM unnest($1::int8[]) AS b(book_id) "
         "JOIN saga_lease AS l ON l.book_id = b.book_id AND l.ends_at <= statement_timestamp() "
         "AND l.lease_id <> ALL($2) ORDER BY l.ends_at, l.lease_id LIMIT $3"},
    // One that is locked is being renewed or given back at this moment, or by a process that stands still in the middle of it: the
    // other leases do not wait for that.
    [SAGA_SQL_LOCK_EXPIRED] = {"saga_lock_expired",
                               "SELECT n FROM saga_lease WHERE book_id = $1 AND lease_id = $2 "
                               "AND ends_at <= statement_timestamp() FOR UPDATE SKIP LOCKED"},
    // What the worker was about to do, as its intents say: the sagas act (phase 1) without a worker, and are due. Steps: 1 RESERVE
    // 2 EXECUTE 3 RESOLVE 6 VOID 7 RETURN; state 4 PROCESSING; the same that saga_on_claim made of them.
    [SAGA_SQL_TAKE_OVER] =
        {"saga_take_over",
         "UPDATE saga AS s SET step = i.step, phase = 1, attempt = i.attempt, outlook = i.outlook, "
         "state = CASE WHEN i.step IN (1, 2) THEN 4 ELSE s.state END, "
         "tries = CASE WHEN i.step IN (s.step, 3) THEN s.tries ELSE 0 END, "
         "reason = CASE WHEN i.step IN (6, 7) THEN i.reason ELSE s.reason END, "
         "reason_text = CASE WHEN i.step IN (6, 7) THEN i.detail ELSE s.reason_text END, "
         "rail_reference = i.rail_reference, log_seq = i.seq, epoch = i.epoch, "
         "due_at = statement_timestamp(), updated_at = statement_timestamp() "
         "FROM saga_lease AS l CROSS JOIN LATERAL unnest(l.payout_ids) AS u(payout_id) "
         "CROSS JOIN step_log AS i "
         "WHERE l.book_id = $1 AND l.lease_id = $2 AND s.book_id = $1 "
         "AND s.payout_id = u.payout_id AND i.book_id = $1 AND i.payout_id = u.payout_id "
         "AND i.seq = s.log_seq + 1 AND i.kind = 1"},
    [SAGA_SQL_DROP_LEASE] = {"saga_drop_lease",
                             "DELETE FROM saga_lease WHERE book_id = $1 AND lease_id = $2"},
    // Payouts of a lease whose intent is not where their row says: nobody knows what was being done about them.
    [SAGA_SQL_ORPHANS] =
        {"saga_orphans",
         "SELECT u.payout_id FROM saga_lease AS l CROSS JOIN LATERAL unnest(l.payout_ids) "
         "AS u(payout_id) WHERE l.book_id = $1 AND l.lease_id = $2 AND NOT EXISTS ("
         "SELECT 1 FROM saga AS s JOIN step_log AS i ON i.book_id = s.book_id "
         "AND i.payout_id = s.payout_id AND i.seq = s.log_seq + 1 AND i.kind = 1 "
         "WHERE s.book_id = $1 AND s.payout_id = u.payout_id) LIMIT $3"},
    // Only new messages count: those that come back from here. Plain statements, one after the other: an INSERT inside of a CTE
    // is not for every database.
    [SAGA_SQL_RECORD_EVENTS] =
        {"saga_record_events",
         "INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, "
         "rail_reference, at, amount, currency, inbox_id, inbox_line, source, actor) "
         "SELECT $1, u.payout_id, u.event_id, u.attempt, u.kind, u.code, u.detail, "
         "u.rail_reference, u.at, u.amount, u.currency, "
         "nullif(u.inbox_id, '00000000-0000-0000-0000-000000000000'), u.inbox_line, u.source, "
         "u.actor FROM unnest($2::uuid[], $3::text[], $4::int4[], $5::int2[], $6::text[], "
         "$7::text[], $8::text[], $9::timestamptz[], $10::int8[], $11::text[], $12::uuid[], "
         "$13::int4[], $14::int2[], $15::text[]) "
         "AS u(payout_id, event_id, attempt, kind, code, detail, rail_reference, at, amount, "
         "currency, inbox_id, inbox_line, source, actor) "
         "ON CONFLICT DO NOTHING RETURNING payout_id, kind"},
    // A saga that is leased stays with its worker; it is due again when the outcome is written.
    [SAGA_SQL_COUNT_EVENTS] = {"saga_count_events",
                               "UPDATE saga AS s SET events = s.events + u.n, due_at = $2 "
                               "FROM unnest($3::uuid[], $4::int4[]) AS u(payout_id, n) "
                               "WHERE s.book_id = $1 AND s.payout_id = ANY($3::uuid[]) "
                               "AND s.payout_id = u.payout_id"},
    // "Accepted" moves only what was handed over and waits (step 4 AWAIT) without being SENT (state 4 PROCESSING): its submission
    // has reached the bank.
    [SAGA_SQL_COUNT_ACCEPTED] = {"saga_count_accepted",
                                 "UPDATE saga AS s SET events = s.events + u.n, due_at = $2 "
                                 "FROM unnest($3::uuid[], $4::int4[]) AS u(payout_id, n) "
                                 "WHERE s.book_id = $1 AND s.payout_id = ANY($3::uuid[]) "
                                 "AND s.payout_id = u.payout_id AND s.step = 4 AND s.state = 4"},
};

const db_stmt *saga_sql(saga_sql_id id) {
    ASSERT((int)id >= 0 && id < SAGA_SQL_COUNT);
    return &STATEMENTS[id];
}
