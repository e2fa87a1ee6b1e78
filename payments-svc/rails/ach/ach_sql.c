#include "rails/ach/ach_internal.h"

const db_stmt ACH_SQL[ACH_SQL_COUNT] = {
    // What a bank's line is compared with, of items of one book. Positions come back as they went in.
    [ACH_SQL_CANDIDATES] =
        {"ach_candidates",
         "SELECT k.n, s.created_at, p.currency, p.intent_id, r.routing_code, r.account_last4"
         " FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS k (payout_id, submission_id, n)"
         " JOIN submission AS s ON s.book_id = $1 AND s.submission_id = k.submission_id"
         " JOIN payout AS p ON p.book_id = $1 AND p.payout_id = k.payout_id"
         " JOIN recipient AS r ON r.book_id = $1 AND r.recipient_id = p.recipient_id"},
    [ACH_SQL_LOOKED] = {"ach_looked", "UPDATE connection SET looked_at = $2 "
                                      "WHERE book_id = 0 AND number = $1"},
    // Files that the first version has applied, which kept them by name.
    [ACH_SQL_INBOUND_BY_NAME] =
        {"ach_inbound_by_name", "SELECT sha256 FROM inbound_file WHERE book_id = $1 AND name = $2"},
};
