#include "recon/recon_sql.h"

#include "base/assert.h"

// Read by take_saga: keep the order.
#define SAGA_COLUMNS                                                                               \
    "s.step, s.state, coalesce(s.held_state, s.state), s.outlook, coalesce(s.returned, 0), "       \
    "coalesce(s.moving, 0), coalesce(s.written_off, 0), s.updated_at "

static const db_stmt STATEMENTS[RECON_SQL_COUNT] = {
    [RECON_SQL_PAGE] =
        {"recon_page",
         "SELECT p.payout_id, p.intent_id, p.merchant_id, p.amount, p.currency, "
         "p.rail, coalesce(p.fee, 0), " SAGA_COLUMNS
         "FROM payout p JOIN saga s ON s.book_id = p.book_id AND s.payout_id = p.payout_id "
         "WHERE p.book_id = $1 AND p.payout_id > $2 AND ($3::text IS NULL OR p.merchant_id = "
         "$3::text) "
         "ORDER BY p.payout_id LIMIT $4"},
    [RECON_SQL_SAGAS] =
        {"recon_sagas",
         "SELECT w.n, " SAGA_COLUMNS ", i.step, i.outlook, coalesce(i.moving, 0) "
         "FROM unnest($2::uuid[]) WITH ORDINALITY AS w(id, n) "
         "CROSS JOIN LATERAL (SELECT * FROM saga "
         "WHERE book_id = $1 AND payout_id = w.id LIMIT 1) AS s "
         // A saga's row is written with the outcome: only its log has the step under way.
         "LEFT JOIN LATERAL (SELECT step, outlook, moving FROM step_log "
         "WHERE book_id = $1 AND payout_id = w.id AND seq > s.log_seq AND kind = 1 "
         "ORDER BY seq DESC LIMIT 1) AS i ON true"},
    // Payouts that `maintain` has archived cannot be added up; this is the amount that the bank's account bears for them.
    [RECON_SQL_ARCHIVED] = {"recon_archived",
                            "SELECT rail, currency, at_bank::int8 FROM payout_archived "
                            "WHERE book_id = $1"},
};

const db_stmt *recon_stmt(recon_sql which) {
    ASSERT(which < RECON_SQL_COUNT);
    return &STATEMENTS[which];
}
