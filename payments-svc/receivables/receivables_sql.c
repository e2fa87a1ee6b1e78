#include "receivables/receivables_sql.h"

#include "base/assert.h"

static const db_stmt STATEMENTS[RECEIVABLES_SQL_COUNT] = {
    // The order keeps two batches from deadlocking on each other's rows.
    [RECEIVABLES_SQL_NOTE] =
        {"receivable_note",
         "INSERT INTO receivable (book_id, merchant_id, currency, noted, owed, since) "
         "SELECT $1, u.merchant_id, u.currency, 1, 0, $2 "
         "FROM (SELECT DISTINCT t.merchant_id, t.currency FROM unnest($3::text[], $4::text[]) "
         "AS t(merchant_id, currency) ORDER BY t.merchant_id, t.currency) AS u "
         "ON CONFLICT (book_id, merchant_id, currency) DO UPDATE SET noted = receivable.noted + 1"},
    // All books: the rows are few.
    [RECEIVABLES_SQL_OPEN] = {"receivable_open",
                              "SELECT book_id, merchant_id, currency, noted, owed FROM receivable "
                              "WHERE (book_id, merchant_id, currency) > ($1, $2, $3) "
                              "ORDER BY book_id, merchant_id, currency LIMIT $4"},
    [RECEIVABLES_SQL_SEEN] = {"receivable_seen",
                              "UPDATE receivable SET owed = $4 WHERE book_id = $1 AND "
                              "merchant_id = $2 AND currency = $3 AND noted = $5"},
    // Ends a row, unless more was noted since the look.
    [RECEIVABLES_SQL_END] = {"receivable_end",
                             "DELETE FROM receivable WHERE book_id = $1 AND merchant_id = $2 "
                             "AND currency = $3 AND noted = $4"},
};

const db_stmt *receivables_sql(receivables_sql_id id) {
    ASSERT((int)id >= 0 && id < RECEIVABLES_SQL_COUNT);
    return &STATEMENTS[id];
}
