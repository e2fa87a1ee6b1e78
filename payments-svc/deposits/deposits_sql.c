#include "deposits/deposits_sql.h"

#include "base/assert.h"

// Read by deposits_read_row: keep the order.
#define DEPOSIT_COLUMNS                                                                            \
    "deposit_id, merchant_id, key, amount, currency, reference, state, reason, created_at, "       \
    "decided_at, back_number, back_reason, back_at "

static const db_stmt STATEMENTS[DEPOSITS_SQL_COUNT] = {
    [DEPOSITS_SQL_INSERT] = {"deposit_insert",
                             "INSERT INTO deposit (book_id, deposit_id, merchant_id, key, amount, "
                             "currency, reference, state, reason, created_at, actor, "
                             "request_id, trace_id) "
                             "VALUES ($1, $2, $3, $4, $5, $6, $7, 1, '', $8, $9, $10, $11)"},
    [DEPOSITS_SQL_GET] = {"deposit_get", "SELECT " DEPOSIT_COLUMNS "FROM deposit "
                                         "WHERE book_id = $1 AND deposit_id = $2 AND "
                                         "merchant_id = $3"},
    [DEPOSITS_SQL_LIST] =
        {"deposit_list",
         "SELECT " DEPOSIT_COLUMNS "FROM deposit WHERE book_id = $1 AND merchant_id = $2 "
         "AND (created_at, deposit_id) < ($3, $4) AND ($5::int2 = 0 OR state = $5::int2) "
         "ORDER BY created_at DESC, deposit_id DESC LIMIT $6"},
    // Decides only once: a second caller then reads the first one's result.
    [DEPOSITS_SQL_DECIDE] = {"deposit_decide",
                             "UPDATE deposit SET state = $3, reason = $4, decided_at = $5 "
                             "WHERE book_id = $1 AND deposit_id = $2 AND state = 1"},
    // All books: the partial index holds only undecided deposits, which are few.
    [DEPOSITS_SQL_PENDING] = {"deposit_pending",
                              "SELECT " DEPOSIT_COLUMNS ", book_id FROM deposit WHERE state = 1 "
                              "AND created_at < $1 AND (book_id, deposit_id) > ($3, $4) "
                              "ORDER BY book_id, deposit_id LIMIT $2"},
    [DEPOSITS_SQL_INTEND_BACK] =
        {"deposit_intend_back",
         "UPDATE deposit SET state = 4, back_number = back_number + 1, back_reason = $3, "
         "back_actor = $4, back_request_id = $5, back_trace_id = $6 "
         "WHERE book_id = $1 AND deposit_id = $2 AND state = 2"},
    // Only for the try that was made.
    [DEPOSITS_SQL_DECIDE_BACK] = {"deposit_decide_back",
                                  "UPDATE deposit SET state = $4, back_at = $5 WHERE book_id = $1 "
                                  "AND deposit_id = $2 AND state = 4 AND back_number = $3"},
    // All books: the partial index holds only deposits on their way back, which are few.
    [DEPOSITS_SQL_GOING_BACK] = {"deposit_going_back",
                                 "SELECT " DEPOSIT_COLUMNS ", book_id FROM deposit WHERE state = 4 "
                                 "AND (book_id, deposit_id) > ($2, $3) "
                                 "ORDER BY book_id, deposit_id LIMIT $1"},
};

const db_stmt *deposits_sql(deposits_sql_id id) {
    ASSERT((int)id >= 0 && id < DEPOSITS_SQL_COUNT);
    return &STATEMENTS[id];
}
