#include "events/events_sql.h"

#include "base/assert.h"
#include "domain/machine.h"

// A saga that waits for its bank, with nothing unheard, judged or held. Written so that the index saga_waiting cannot match: it would lead
// to all waiting sagas.
#define PLAIN                                                                                      \
    "s.step = 4 AND s.phase = 0 AND s.state = 4 AND length(s.hold) = 0 AND s.due_at IS NULL "      \
    "AND s.judged IS NULL AND s.events = s.events_seen "

// The numbers of steps and states in the statements below are the machine's.
_Static_assert(STEP_AWAIT == 4 && STATE_PROCESSING == 4, "saga_reach_bank: handed over");
_Static_assert(EVENT_RELEASE == 20 && EVENT_CANCEL == 25, "saga_count_orders: orders of a person");

// A method that is off costs so much that the plan would be compiled, so JIT is off, too.
#define ONLY_BY_INDEX                                                                              \
    "set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true), "    \
    "set_config('jit', 'off', true)"

static const db_stmt STATEMENTS[EVENTS_SQL_COUNT] = {
    // For writes that join a batch's rows with their new values. The planner may expect few rows, and would compare all with all, or read
    // the whole book. Found by key and joined by a hash, they cost the same whatever it expects, and are locked in key order.
    [EVENTS_SQL_JOIN_BY_KEY] = {"saga_join_by_key",
                                "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), "
                                "set_config('enable_nestloop', 'off', true), " ONLY_BY_INDEX},
    [EVENTS_SQL_HEARD_ADD] = {"saga_heard_add",
                              "INSERT INTO saga_heard (book_id, heard_id, rail, at, n, payout_ids) "
                              "VALUES ($1, $2, $3, $4, $5, $6)"},
    // Only new messages count: the messages that this statement returns. Plain statements, one after another: not every database allows an
    // INSERT inside of a CTE.
    [EVENTS_SQL_RECORD_EVENTS] =
        {"saga_record_events",
         "INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, "
         "rail_reference, at, amount, currency, inbox_id, inbox_line, source, actor, "
         "order_number) SELECT $1, u.payout_id, u.event_id, u.attempt, u.kind, u.code, u.detail, "
         "u.rail_reference, u.at, u.amount, u.currency, "
         "nullif(u.inbox_id, '00000000-0000-0000-0000-000000000000'), u.inbox_line, u.source, "
         "u.actor, nullif(u.order_number, 0) FROM unnest($2::uuid[], $3::text[], $4::int4[], "
         "$5::int2[], $6::text[], "
         "$7::text[], $8::text[], $9::timestamptz[], $10::int8[], $11::text[], $12::uuid[], "
         "$13::int4[], $14::int2[], $15::text[], $16::int4[]) "
         "AS u(payout_id, event_id, attempt, kind, code, detail, rail_reference, at, amount, "
         "currency, inbox_id, inbox_line, source, actor, order_number) "
         "ON CONFLICT DO NOTHING RETURNING payout_id, kind, source, code"},
    // Orders of one payout are numbered one after another, whichever instance takes them. The next statement sees the earlier orders.
    [EVENTS_SQL_LOCK_ORDERED] = {"saga_lock_ordered",
                                 "SELECT payout_id FROM saga WHERE book_id = $1 AND payout_id = "
                                 "ANY($2::uuid[]) ORDER BY payout_id FOR UPDATE"},
    [EVENTS_SQL_COUNT_ORDERS] =
        {"saga_count_orders",
         "SELECT payout_id, max(order_number) FROM rail_event WHERE book_id = $1 AND payout_id = "
         "ANY($2::uuid[]) AND kind BETWEEN 20 AND 25 GROUP BY payout_id ORDER BY payout_id"},
    // A leased saga stays with its worker; the outcome makes it due again.
    [EVENTS_SQL_COUNT_EVENTS] = {"saga_count_events",
                                 "UPDATE saga AS s SET events = s.events + u.n, due_at = $2 "
                                 "FROM unnest($3::uuid[], $4::int4[]) AS u(payout_id, n) "
                                 "WHERE s.book_id = $1 AND s.payout_id = ANY($3::uuid[]) "
                                 "AND s.payout_id BETWEEN $5 AND $6 "
                                 "AND s.payout_id = u.payout_id"},
    // "Accepted" moves a handed-over payout that waits (step 4 AWAIT, state 4 PROCESSING) to SENT (5): its submission has reached the bank.
    // If the machine has nothing to weigh, the submission's own row is the record, and the saga is SENT here and now, which touches no
    // index; a test compares this with the machine. Returns the moved payouts.
    [EVENTS_SQL_REACH_BANK] = {"saga_reach_bank",
                               "UPDATE saga AS s SET state = 5, updated_at = $2 "
                               "FROM unnest($3::uuid[], $4::int4[]) AS u(payout_id, attempt) "
                               "WHERE s.book_id = $1 AND s.payout_id = ANY($3::uuid[]) "
                               "AND s.payout_id BETWEEN $5 AND $6 AND s.payout_id = u.payout_id "
                               "AND s.attempt = u.attempt AND " PLAIN
                               "RETURNING s.payout_id, s.attempt"},
    // Otherwise it is a usual message, and the machine hears it, even while the saga is held. A submission's message ($8) also makes a
    // payout due that is about to be handed over again (step 2 EXECUTE): the claim may have read the messages earlier.
    [EVENTS_SQL_COUNT_ACCEPTED] =
        {"saga_count_accepted",
         "UPDATE saga AS s SET "
         "events = s.events + CASE WHEN s.step = 4 THEN u.n ELSE u.reached END, due_at = $2 "
         "FROM unnest($3::uuid[], $4::int4[], $7::int4[]) AS u(payout_id, n, reached) "
         "WHERE s.book_id = $1 AND s.payout_id = ANY($3::uuid[]) AND s.payout_id BETWEEN $5 AND $6 "
         "AND s.payout_id = u.payout_id "
         "AND (s.step = 4 AND coalesce(s.held_state, s.state) = 4 OR s.step = 2 "
         "AND u.reached > 0)"},
};

const db_stmt *events_sql(events_sql_id id) {
    ASSERT((int)id >= 0 && id < EVENTS_SQL_COUNT);
    return &STATEMENTS[id];
}
