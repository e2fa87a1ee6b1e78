#include "rails/instant/instant_internal.h"

const db_stmt INSTANT_SQL[INSTANT_SQL_COUNT] = {
    [INSTANT_SQL_FIND_PAYOUT] = {"instant_find_payout",
                                 "SELECT payout_id, amount, currency, rail, created_at FROM payout"
                                 " WHERE book_id = $1 AND intent_id = $2"},
    // What is known of an attempt: returned in all, events of that of the first version, which say no amount and mean all, and settled. And
    // how many movements of the payout there are.
    [INSTANT_SQL_MOVED] =
        {"instant_moved",
         "SELECT coalesce(sum(amount) FILTER (WHERE kind = 4 AND attempt = $3), 0)::int8,"
         " count(*) FILTER (WHERE kind = 4 AND attempt = $3 AND amount = 0),"
         " coalesce(sum(amount) FILTER (WHERE kind = 3 AND attempt = $3), 0)::int8,"
         " count(*) FILTER (WHERE kind IN (3, 4)) FROM rail_event"
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
    // Payouts between two times, by the time in their ids, whatever their rail: a page costs the same wherever it is.
    [INSTANT_SQL_SWEEP_PAGE] =
        {"instant_sweep_page",
         "SELECT p.payout_id, p.intent_id, p.amount, p.currency, p.rail, s.state, s.attempt"
         " FROM (SELECT book_id, payout_id, intent_id, amount, currency, rail FROM payout"
         " WHERE book_id = $1 AND payout_id > $2 AND payout_id < $3 ORDER BY payout_id LIMIT $4) p"
         " CROSS JOIN LATERAL (SELECT state, attempt FROM saga WHERE book_id = $1"
         " AND payout_id = p.payout_id LIMIT 1) AS s ORDER BY p.payout_id"},
    [INSTANT_SQL_SWEEP_STORE] =
        {"instant_sweep_store",
         "INSERT INTO inbox_sweep (book_id, connection, pass, upto, at) VALUES ($1, $5, $2, $3, $4)"
         " ON CONFLICT (book_id, connection, pass) DO UPDATE SET upto = EXCLUDED.upto,"
         " at = EXCLUDED.at WHERE inbox_sweep.upto < EXCLUDED.upto"},
};
