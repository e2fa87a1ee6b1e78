#include "rails/instant/instant_internal.h"

const db_stmt INSTANT_SQL[INSTANT_SQL_COUNT] = {
    [INSTANT_SQL_FIND_PAYOUT] = {"instant_find_payout",
                                 "SELECT payout_id, amount, currency, rail, created_at FROM payout"
                                 " WHERE book_id = $1 AND intent_id = $2"},
    // The known movements of an attempt: the returned total, events of the first version (no amount, meaning all), and settled. Also the
    // number of the payout's movements and refusals.
    [INSTANT_SQL_MOVED] =
        {"instant_moved",
         "SELECT coalesce(sum(amount) FILTER (WHERE kind = 4 AND attempt = $3), 0)::int8,"
         " count(*) FILTER (WHERE kind = 4 AND attempt = $3 AND amount = 0),"
         " coalesce(sum(amount) FILTER (WHERE kind = 3 AND attempt = $3), 0)::int8,"
         " count(*) FILTER (WHERE kind IN (2, 3, 4)) FROM rail_event"
         " WHERE book_id = $1 AND payout_id = $2"},
    [INSTANT_SQL_LOCK] = {"instant_lock",
                          "SELECT 1 FROM saga WHERE book_id = $1 AND payout_id = $2 FOR UPDATE"},
    [INSTANT_SQL_HAS_BOOK] = {"instant_has_book",
                              "SELECT 1 FROM merchant_book WHERE book_id BETWEEN $1 AND $1"
                              " ORDER BY book_id LIMIT 1"},
    // One look into the index, however many merchants there are.
    [INSTANT_SQL_SWEEP_BOOK] = {"instant_sweep_book",
                                "SELECT book_id FROM merchant_book WHERE book_id > $1"
                                " ORDER BY book_id LIMIT 1"},
    [INSTANT_SQL_SWEEP_POSITION] = {"instant_sweep_position",
                                    "SELECT pass, upto FROM inbox_sweep"
                                    " WHERE book_id = $1 AND connection = $2"},
    // Payouts between two times, by the time in their ids, of any rail: a page costs the same anywhere.
    [INSTANT_SQL_SWEEP_PAGE] =
        {"instant_sweep_page",
         "SELECT p.payout_id, p.intent_id, p.amount, p.currency, p.rail, s.state, s.attempt,"
         " s.step_since"
         " FROM (SELECT book_id, payout_id, intent_id, amount, currency, rail FROM payout"
         " WHERE book_id = $1 AND payout_id > $2 AND payout_id < $3 ORDER BY payout_id LIMIT $4) p"
         " CROSS JOIN LATERAL (SELECT state, attempt, step_since FROM saga WHERE book_id = $1"
         " AND payout_id = p.payout_id LIMIT 1) AS s ORDER BY p.payout_id"},
    [INSTANT_SQL_SWEEP_STORE] =
        {"instant_sweep_store",
         "INSERT INTO inbox_sweep (book_id, connection, pass, upto, at) VALUES ($1, $5, $2, $3, $4)"
         " ON CONFLICT (book_id, connection, pass) DO UPDATE SET upto = EXCLUDED.upto,"
         " at = EXCLUDED.at WHERE inbox_sweep.upto < EXCLUDED.upto"},
    // The same for payouts whose own time has come. A payout that is gone is over, too.
    [INSTANT_SQL_SWEEP_AGAIN] =
        {"instant_sweep_again",
         "SELECT g.payout_id, coalesce(p.intent_id, g.payout_id), coalesce(p.amount, 0),"
         " coalesce(p.currency, ''), coalesce(p.rail, 0::int2), coalesce(s.state, 0::int2),"
         " coalesce(s.attempt, 0), coalesce(s.step_since, g.due_at), g.pass, g.tries"
         " FROM (SELECT * FROM inbox_sweep_again WHERE book_id = $1 AND connection = $2"
         " AND due_at <= $3 ORDER BY due_at LIMIT $4) g"
         " LEFT JOIN LATERAL (SELECT intent_id, amount, currency, rail FROM payout"
         " WHERE book_id = $1 AND payout_id = g.payout_id LIMIT 1) AS p ON true"
         " LEFT JOIN LATERAL (SELECT state, attempt, step_since FROM saga"
         " WHERE book_id = $1 AND payout_id = g.payout_id LIMIT 1) AS s ON true"
         " ORDER BY g.due_at"},
    [INSTANT_SQL_SWEEP_LATE] = {"instant_sweep_late",
                                "SELECT due_at FROM inbox_sweep_again WHERE book_id = $1"
                                " AND connection = $2 ORDER BY due_at LIMIT 1"},
    [INSTANT_SQL_SWEEP_LATER] =
        {"instant_sweep_later",
         "INSERT INTO inbox_sweep_again (book_id, payout_id, pass, connection, due_at, tries)"
         " SELECT $1::int8, k.payout_id, k.pass, $2::int2, k.due_at, k.tries"
         " FROM unnest($3::uuid[], $4::int2[], $5::timestamptz[], $6::int4[])"
         " AS k(payout_id, pass, due_at, tries) ON CONFLICT (book_id, payout_id, pass)"
         " DO UPDATE SET due_at = EXCLUDED.due_at, tries = EXCLUDED.tries"},
    [INSTANT_SQL_SWEEP_OVER] =
        {"instant_sweep_over",
         "DELETE FROM inbox_sweep_again g USING unnest($2::uuid[], $3::int2[])"
         " AS k(payout_id, pass) WHERE g.book_id = $1 AND g.payout_id = k.payout_id"
         " AND g.pass = k.pass"},
    [INSTANT_SQL_LOOKED] = {"instant_looked", "UPDATE connection SET looked_at = $2 "
                                              "WHERE book_id = 0 AND number = $1"},
};
