#include "saga/saga_sql.h"

#include "base/assert.h"
#include "domain/machine.h"

// A saga for saga_row_read. A rarely used column is NULL in the row, which costs nothing.
#define SAGA_COLUMNS                                                                               \
    "s.payout_id, s.step, s.phase, coalesce(s.held_state, s.state), s.outlook, s.attempt, "        \
    "s.tries, s.log_seq, s.events, s.epoch, s.due_at, s.reason, s.reason_text, "                   \
    "s.rail_reference, s.hold, s.hold_text, s.doubt, s.returned, s.moving, s.written_off, "        \
    "s.leg, s.reserve_leg, s.orders, s.judged, s.absent_since, s.judged_settled, "                 \
    "s.judged_returned, s.judged_refusals, s.judged_odd "

// A batch's first and last payout stand beside the list of all. Its payouts mostly came one after another. Without the two, the planner
// would read a book from end to end while it believes the table small.

// One UPDATE for a whole batch. A message of the rail since the claim makes a row due at once; messages of a list (saga_heard) are counted
// here, after they are heard. The caller's arrays are sorted by payout_id,
// as in saga_record_events, so that two writers of the same rows meet in one order. Columns that most rows share are sent once, as a shape,
// and joined by its number: unnesting an array copies each value, and this statement is most of a payout's cost. The epoch grows by one
// with each claim: a row with another epoch is not the claimed row. A step's first planned time stays while the step does: a step that is
// planned again and again is still late. For a look at deadlines, a submission that goes from EXECUTE to RESOLVE and back in vain stays at
// one step.
#define WRITE_SAGAS                                                                                \
    "UPDATE saga AS s SET step = h.step, phase = h.phase, state = h.state, "                       \
    "ended_badly = CASE WHEN h.state IN (7, 8, 9) THEN h.state END, "                              \
    "outlook = h.outlook, attempt = h.attempt, "                                                   \
    "tries = h.tries, log_seq = h.log_seq, events = s.events + h.uncounted, "                      \
    "events_seen = h.events_seen, due_at = CASE WHEN s.events + h.uncounted > h.events_seen "      \
    "THEN $2 ELSE u.due_at END, "                                                                  \
    "step_since = CASE WHEN s.step = h.step OR (h.in_vain = 1 AND h.step IN (2, 3)) "              \
    "THEN s.step_since ELSE $2 END, "                                                              \
    "planned_at = coalesce(CASE WHEN s.step = h.step OR (h.in_vain = 1 AND h.step IN (2, 3)) "     \
    "THEN s.planned_at END, "                                                                      \
    "CASE WHEN u.due_at > $2 + interval '5 min' THEN u.due_at END), "                              \
    "epoch = u.epoch, reason = h.reason, reason_text = h.reason_text, "                            \
    "rail_reference = u.rail_reference, updated_at = $2 "                                          \
    "FROM unnest($3::uuid[], $4::int8[], $5::int4[], $6::timestamptz[], $7::text[]) "              \
    "AS u(payout_id, epoch, shape, due_at, rail_reference) "                                       \
    "JOIN unnest($8::int4[], $9::int8[], $10::int8[], $11::int8[], $12::int8[], $13::int8[], "     \
    "$14::int8[], $15::int8[], $16::int8[], $17::int8[], $18::int8[], $19::text[], $20::text[]) "  \
    "AS h(shape, step, phase, state, outlook, attempt, tries, log_seq, events_seen, uncounted, "   \
    "in_vain, reason, reason_text) ON h.shape = u.shape "                                          \
    "WHERE s.book_id = $1 AND s.payout_id = ANY($3::uuid[]) AND s.payout_id BETWEEN $21 AND $22 "  \
    "AND s.payout_id = u.payout_id AND s.epoch = u.epoch - 1"

// Writes the columns that most sagas never use, for the sagas in which they change. Follows WRITE_SAGAS, so the epoch is the new one.
#define WRITE_RARE                                                                                 \
    "UPDATE saga AS s SET held_state = nullif(h.held_state, 0), doubt = nullif(h.doubt, 0), "      \
    "returned = nullif(h.returned, 0), moving = nullif(h.moving, 0), "                             \
    "written_off = nullif(h.written_off, 0), leg = nullif(h.leg, 1), "                             \
    "reserve_leg = nullif(h.reserve_leg, 1), orders = nullif(h.orders, 0), "                       \
    "judged = nullif(h.judged, 0), judged_settled = nullif(h.judged_settled, 0), "                 \
    "judged_returned = nullif(h.judged_returned, 0), "                                             \
    "judged_refusals = nullif(h.judged_refusals, 0), judged_odd = nullif(h.judged_odd, 0), "       \
    "absent_since = timestamptz 'epoch' + nullif(h.absent_us, 0) * interval '1 microsecond', "     \
    "hold = h.hold, hold_text = h.hold_text "                                                      \
    "FROM unnest($2::uuid[], $3::int8[], $4::int4[]) AS u(payout_id, epoch, shape) "               \
    "JOIN unnest($5::int4[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], "        \
    "$11::int8[], $12::int8[], $13::int8[], $14::int8[], $15::int8[], $16::int8[], $17::int8[], "  \
    "$18::int8[], $19::int8[], $20::text[], $21::text[]) "                                         \
    "AS h(shape, held_state, doubt, returned, moving, written_off, leg, reserve_leg, orders, "     \
    "judged, absent_us, judged_settled, judged_returned, judged_refusals, judged_odd, "            \
    "hold, hold_text) ON h.shape = u.shape "                                                       \
    "WHERE s.book_id = $1 AND s.payout_id = ANY($2::uuid[]) AND s.payout_id BETWEEN $22 AND $23 "  \
    "AND s.payout_id = u.payout_id AND s.epoch = u.epoch"

// As in the index saga_due: the steps before the bank's word have lanes.
#define LANE_OF_S "(CASE WHEN s.step <= 2 THEN s.lane ELSE 0::smallint END)"

// The numbers of steps and states in the statements below are the machine's.
_Static_assert(STEP_EXECUTE == 2 && STEP_RESOLVE == 3, "saga_write: a step that goes in vain");
_Static_assert(STATE_FAILED == 7 && STATE_RETURNED == 8 && STATE_CANCELED == 9,
               "saga_write: ended badly");

// A method that is off costs so much that the plan would be compiled, so JIT is off, too.
#define ONLY_BY_INDEX                                                                              \
    "set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true), "    \
    "set_config('jit', 'off', true)"

static const db_stmt STATEMENTS[SAGA_SQL_COUNT] = {
    // A plan from when the tables were small would be kept, and would read large tables from end to end for each item of a batch. Planning
    // costs a millisecond; a batch is thousands of rows.
    [SAGA_SQL_PLAN_EACH_TIME] = {"saga_plan_each_time",
                                 "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), "
                                 "set_config('enable_bitmapscan', 'on', true), "
                                 "set_config('enable_seqscan', 'on', true)"},
    // For each book, rail and step: the number of due sagas (per lane up to a limit), the time of the oldest, the time of the next, and the
    // number of leased ones, which stay due. Looks only at lanes with sagas. Planned once, in sessions whose settings leave only the index
    // (SAGA_LOOK_SESSION): planning costs more than running.
    [SAGA_SQL_SCAN] =
        {"saga_scan",
         "SELECT b.book_id, r.rail, t.step, d.n, d.oldest, d.due_at, coalesce(l.n, 0) "
         "FROM unnest($1::int8[]) AS b(book_id) CROSS JOIN unnest($2::int2[]) AS r(rail) "
         "CROSS JOIN unnest($3::int2[], $4::int4[]) AS t(step, lanes) "
         "CROSS JOIN LATERAL (SELECT 1 FROM saga AS s WHERE s.book_id = b.book_id "
         "AND s.rail = r.rail AND s.step = t.step AND s.due_at IS NOT NULL LIMIT 1) AS e "
         "LEFT JOIN (SELECT book_id, rail, step, sum(coalesce(n_due, n))::int8 AS n FROM "
         "saga_lease "
         "WHERE book_id = ANY($1::int8[]) GROUP BY book_id, rail, step) AS l "
         "ON l.book_id = b.book_id AND l.rail = r.rail AND l.step = t.step "
         "CROSS JOIN LATERAL (SELECT sum(c.n)::int8 AS n, min(c.oldest) AS oldest, "
         "min(f.due_at) AS due_at FROM generate_series(0, t.lanes - 1) AS g(lane) "
         "CROSS JOIN LATERAL (SELECT count(*) AS n, min(due_at) AS oldest FROM ("
         "SELECT s.due_at FROM saga AS s WHERE s.book_id = b.book_id AND s.rail = r.rail "
         "AND s.step = t.step AND " LANE_OF_S " = g.lane::int2 AND s.due_at <= $5 "
         "ORDER BY s.due_at LIMIT $6 + coalesce(l.n, 0)) AS q) AS c "
         "LEFT JOIN LATERAL (SELECT s.due_at FROM saga AS s WHERE s.book_id = b.book_id "
         "AND s.rail = r.rail AND s.step = t.step AND " LANE_OF_S " = g.lane::int2 "
         "AND s.due_at > $5 ORDER BY s.due_at LIMIT 1) AS f ON true) AS d "
         "WHERE d.n > 0 OR d.due_at IS NOT NULL "
         "UNION ALL SELECT k.book_id, k.rail, 4::int2, sum(k.n)::int8, min(k.at), "
         "NULL::timestamptz, 0::int8 FROM saga_heard AS k WHERE k.book_id = ANY($1::int8[]) "
         "AND k.rail = ANY($2::int2[]) GROUP BY k.book_id, k.rail"},
    // Waits for the previous claim. The next statement sees its leases.
    [SAGA_SQL_LOCK_SLOT] = {"saga_lock_slot",
                            "INSERT INTO saga_slot (book_id, rail, step, claims) "
                            "VALUES ($1, $2, $3, 1) ON CONFLICT (book_id, rail, step) "
                            "DO UPDATE SET claims = saga_slot.claims + 1"},
    // So many of each lane, oldest first. Each one's merchant is looked up: an EXISTS might be answered by a list of all payouts of paused
    // merchants.
    [SAGA_SQL_DUE] =
        {"saga_due",
         "SELECT q.* FROM unnest($5::int2[]) AS t(lane) CROSS JOIN LATERAL ("
         "SELECT " SAGA_COLUMNS ", t.lane "
         "FROM saga AS s WHERE s.book_id = $1 AND s.rail = $2 AND s.step = $3 "
         "AND " LANE_OF_S " = t.lane AND s.due_at <= $4 "
         "AND s.payout_id NOT IN (SELECT unnest(payout_ids) FROM saga_lease "
         "WHERE book_id = $1 AND rail = $2 AND step = $3) "
         "AND ($7::text[] IS NULL OR (SELECT p.merchant_id FROM payout AS p WHERE p.book_id = $1 "
         "AND p.payout_id = s.payout_id) <> ALL($7::text[])) "
         "ORDER BY s.due_at LIMIT $6) AS q"},
    [SAGA_SQL_HEARD_LISTS] = {"saga_heard_lists",
                              "SELECT heard_id, n FROM saga_heard WHERE book_id = $1 AND rail = $2 "
                              "ORDER BY heard_id LIMIT $3"},
    // The sagas of lists, each with the number of its messages, and whether it is plain: it was sent, waits for its bank, and has no
    // worker. Nothing but a message changes such a row, and a message is counted (saga_count_events).
    [SAGA_SQL_HEARD_SAGAS] =
        {"saga_heard_sagas",
         "SELECT q.*, k.n FROM (SELECT u.payout_id, count(*)::int4 AS n FROM saga_heard AS h "
         "CROSS JOIN LATERAL unnest(h.payout_ids[1:$4]) AS u(payout_id) "
         "WHERE h.book_id = $1 AND h.heard_id = ANY($3::uuid[]) GROUP BY u.payout_id) AS k "
         "CROSS JOIN LATERAL (SELECT " SAGA_COLUMNS ", s.rail = $2 AND s.step = 4 AND s.phase = 0 "
         "AND s.state = 5 AND length(s.hold) = 0 AND s.due_at IS NULL AND s.judged IS NULL "
         "AND s.payout_id NOT IN (SELECT unnest(payout_ids) FROM saga_lease "
         "WHERE book_id = $1 AND rail = $2 AND step = 4) FROM saga AS s WHERE s.book_id = $1 "
         "AND s.payout_id = k.payout_id LIMIT 1) AS q ORDER BY k.payout_id"},
    [SAGA_SQL_HEARD_DROP] = {"saga_heard_drop", "DELETE FROM saga_heard WHERE book_id = $1 "
                                                "AND heard_id = ANY($2::uuid[])"},
    [SAGA_SQL_HEARD_CUT] = {"saga_heard_cut",
                            "UPDATE saga_heard SET n = n - $3, payout_ids = payout_ids[$3 + 1:] "
                            "WHERE book_id = $1 AND heard_id = $2"},
    // OFFSET keeps each payout's look-up separate, so it reads only the payout's own month. Planning an ANY of thousands of ids over all
    // months costs as much as the look-ups.
    [SAGA_SQL_EVENTS] =
        {"saga_events",
         "SELECT k.payout_id, v.attempt, v.kind, v.code, v.detail, v.rail_reference, v.amount, "
         "v.currency, coalesce(v.order_number, 0) FROM unnest($2::uuid[]) AS k(payout_id) "
         "CROSS JOIN LATERAL (SELECT * FROM rail_event "
         "WHERE book_id = $1 AND payout_id = k.payout_id OFFSET 0) AS v "
         "ORDER BY k.payout_id, v.at, v.event_id"},
    [SAGA_SQL_PAYOUTS] =
        {"saga_payouts",
         "SELECT payout_id, merchant_id, recipient_id, amount, currency, description, intent_id, "
         "coalesce(fee, 0) "
         "FROM payout "
         "WHERE book_id = $1 AND payout_id = ANY($2::uuid[]) AND payout_id BETWEEN $3 AND $4"},
    [SAGA_SQL_RECIPIENTS] =
        {"saga_recipients",
         "SELECT p.payout_id, m.name, r.holder_type, r.account_type, r.routing_code, "
         "r.name_sealed, r.account_sealed "
         "FROM payout AS p "
         "JOIN recipient AS r ON r.book_id = p.book_id AND r.recipient_id = p.recipient_id "
         "JOIN merchant AS m ON m.book_id = p.book_id AND m.merchant_id = p.merchant_id "
         "WHERE p.book_id = $1 AND p.payout_id = ANY($2::uuid[])"},
    // For sagas that only move, under the slot's lock; and for sagas that acted, in the transaction that has ended their lease as its
    // owner.
    [SAGA_SQL_WRITE] = {"saga_write", WRITE_SAGAS},
    [SAGA_SQL_WRITE_RARE] = {"saga_write_rare", WRITE_RARE},
    // The sums of payouts may have counted these in the state that they leave. The first such state counts. An existing row is locked,
    // since the sums may be about to take it in.
    [SAGA_SQL_SET_APART] =
        {"saga_set_apart",
         "INSERT INTO payout_apart (book_id, merchant_id, payout_id, counted_as) "
         "SELECT $1, p.merchant_id, p.payout_id, u.state "
         "FROM unnest($2::uuid[], $3::int2[]) AS u(payout_id, state) JOIN payout AS p "
         "ON p.book_id = $1 AND p.payout_id = ANY($2::uuid[]) AND p.payout_id = u.payout_id "
         "ORDER BY p.payout_id ON CONFLICT (book_id, merchant_id, payout_id) "
         "DO UPDATE SET counted_as = payout_apart.counted_as"},
    // Promise FENCED: only the database's clock sets and judges the end of a lease. It is the statement's clock: a claim may have waited
    // for its slot since its transaction began.
    [SAGA_SQL_LEASE] = {"saga_lease",
                        "INSERT INTO saga_lease (book_id, lease_id, rail, step, owner, ends_at, n, "
                        "payout_ids, n_due) VALUES ($1, $2, $3, $4, $5, "
                        "statement_timestamp() + $6 * interval '1 ms', $7, $8, $9)"},
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
    // A locked lease is being renewed or given back, or its process stands still in the middle of that: the other leases do not wait for
    // it.
    [SAGA_SQL_LOCK_EXPIRED] = {"saga_lock_expired",
                               "SELECT n FROM saga_lease WHERE book_id = $1 AND lease_id = $2 "
                               "AND ends_at <= statement_timestamp() FOR UPDATE SKIP LOCKED"},
    // The sagas of a lease, with the worker's intents. A fruitless repeat has no intent. A saga that was taken from a list has messages
    // that its row does not count: they are to be heard again.
    [SAGA_SQL_LEASED] =
        {"saga_leased",
         "SELECT " SAGA_COLUMNS ", i.step, i.attempt, i.outlook, coalesce(i.moving, 0), "
         "i.reason, i.detail, i.rail_reference, i.epoch, p.amount, "
         "CASE WHEN s.step = 4 AND s.due_at IS NULL THEN (SELECT count(*)::int4 FROM rail_event AS "
         "v "
         "WHERE v.book_id = s.book_id AND v.payout_id = s.payout_id) - s.events ELSE 0 END "
         "FROM saga_lease AS l CROSS JOIN LATERAL unnest(l.payout_ids) AS u(payout_id) "
         "JOIN saga AS s ON s.book_id = l.book_id AND s.payout_id = u.payout_id "
         "LEFT JOIN step_log AS i ON i.book_id = s.book_id AND i.payout_id = s.payout_id "
         "AND i.seq = s.log_seq + 1 AND i.kind = 1 "
         "LEFT JOIN payout AS p ON p.book_id = s.book_id AND p.payout_id = s.payout_id "
         "WHERE l.book_id = $1 AND l.lease_id = $2 ORDER BY s.payout_id"},
    [SAGA_SQL_DROP_LEASE] = {"saga_drop_lease",
                             "DELETE FROM saga_lease WHERE book_id = $1 AND lease_id = $2"},
    // A lease's payouts without a saga.
    [SAGA_SQL_ORPHANS] =
        {"saga_orphans",
         "SELECT u.payout_id FROM saga_lease AS l CROSS JOIN LATERAL unnest(l.payout_ids) "
         "AS u(payout_id) WHERE l.book_id = $1 AND l.lease_id = $2 AND NOT EXISTS ("
         "SELECT 1 FROM saga AS s WHERE s.book_id = $1 AND s.payout_id = u.payout_id)"},
    // The database's timeline: a claim is the last moment to tell a database that has forgotten. Also settings for statements that look
    // rows up by key: their plan does not depend on the number of rows, and is kept.
    [SAGA_SQL_CLAIM_BEGIN] =
        {"saga_claim_begin",
         "SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8), "
         "set_config('plan_cache_mode', 'force_generic_plan', true), " ONLY_BY_INDEX},
    // The database may have forgotten: every saga before or after its own submission is asked for by its key (3 RESOLVE), under the next
    // attempt (at step 2 EXECUTE) or the last one, which may have been made (doubt 1). Held sagas stay. Leased sagas are left to their
    // worker, or to the take-over of the lease.
    [SAGA_SQL_RECOVER] =
        {"saga_recover",
         "UPDATE saga SET step = 3, phase = 0, tries = 0, due_at = $3, updated_at = $3, "
         "step_since = $3, absent_since = NULL, doubt = coalesce(doubt, 1), attempt = attempt + "
         "CASE WHEN step = 2 AND "
         "phase = 0 AND tries = 0 THEN 1 ELSE 0 END "
         "WHERE book_id = $1 AND rail = ANY($2::int2[]) AND step IN (2, 3, 4) "
         "AND due_at IS NOT NULL AND hold = '' AND payout_id NOT IN ("
         "SELECT unnest(payout_ids) FROM saga_lease WHERE book_id = $1)"},
    [SAGA_SQL_RECOVER_ORPHANS] =
        {"saga_recover_orphans",
         "UPDATE saga SET step = 3, phase = 0, due_at = $3, updated_at = $3, step_since = $3, "
         "absent_since = NULL, doubt = coalesce(doubt, 1) "
         "WHERE book_id = $1 AND rail = ANY($2::int2[]) AND step = 2 AND phase = 1 "
         "AND due_at IS NOT NULL AND hold = '' AND payout_id NOT IN ("
         "SELECT unnest(payout_ids) FROM saga_lease WHERE book_id = $1)"},
    [SAGA_SQL_RECOVER_LEFT] =
        {"saga_recover_left",
         "SELECT (SELECT count(*) FROM saga WHERE book_id = $1 AND rail = ANY($2::int2[]) "
         "AND step = 3 AND due_at IS NOT NULL AND payout_id NOT IN (SELECT unnest(payout_ids) "
         "FROM saga_lease WHERE book_id = $1)) + (SELECT coalesce(sum(n), 0) FROM saga_lease "
         "WHERE book_id = $1 AND rail = ANY($2::int2[]) AND step IN (2, 3, 4))"},
    // One payout's state: its row, whether a worker has it, and its last order to cancel (kind 25).
    [SAGA_SQL_STANDING] =
        {"saga_standing",
         "SELECT " SAGA_COLUMNS ", s.rail, EXISTS (SELECT 1 FROM saga_lease AS l WHERE l.book_id = "
         "s.book_id AND l.rail = s.rail AND s.payout_id = ANY(l.payout_ids)), "
         "coalesce((SELECT max(e.order_number) FROM rail_event AS e WHERE e.book_id = s.book_id "
         "AND e.payout_id = s.payout_id AND e.kind = 25), 0) "
         "FROM saga AS s WHERE s.book_id = $1 AND s.payout_id = $2"},
};

const db_stmt *saga_sql(saga_sql_id id) {
    ASSERT((int)id >= 0 && id < SAGA_SQL_COUNT);
    return &STATEMENTS[id];
}
