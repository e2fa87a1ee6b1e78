#include "control/recipient/sql.h"

// Looks ids up one by one, whatever the planner believes of the table.
const db_stmt RECIPIENT_CHECK = {
    "recipient_check", "SELECT r.* FROM (SELECT DISTINCT unnest($2::uuid[])) AS w(id) "
                       "CROSS JOIN LATERAL (SELECT recipient_id, merchant_id, currency "
                       "FROM recipient WHERE book_id = $1 AND recipient_id = w.id LIMIT 1) "
                       "AS r"};
