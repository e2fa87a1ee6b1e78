#include "intake/intake_sql.h"

#include "base/assert.h"

static const db_stmt STATEMENTS[INTAKE_SQL_COUNT] = {
    [INTAKE_SQL_ACCEPTED] =
        {"payout_accepted",
         "SELECT p.* FROM (SELECT DISTINCT unnest($2::uuid[])) AS w(id) CROSS JOIN LATERAL "
         "(SELECT payout_id, intent_id, recipient_id, amount, currency, rail, external_reference, "
         "description, created_at, coalesce(fee, 0) FROM payout "
         "WHERE book_id = $1 AND payout_id = w.id LIMIT 1) AS p"},
};

const db_stmt *intake_sql(intake_sql_id id) {
    ASSERT((int)id >= 0 && id < INTAKE_SQL_COUNT);
    return &STATEMENTS[id];
}
