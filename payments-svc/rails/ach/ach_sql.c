#include "rails/ach/ach_internal.h"

const db_stmt ACH_SQL[ACH_SQL_COUNT] = {
    // Fields to compare with a bank's line, for items of one book. Positions come back as they went in. LATERAL with LIMIT: one look into
    // the index for each, also under a plan from when the tables were small.
    [ACH_SQL_CANDIDATES] = {"ach_candidates",
                            "SELECT k.n, p.intent_id, r.routing_code, r.account_last4"
                            " FROM unnest($2::uuid[]) WITH ORDINALITY AS k (payout_id, n)"
                            " CROSS JOIN LATERAL (SELECT intent_id, recipient_id FROM payout"
                            " WHERE book_id = $1 AND payout_id = k.payout_id LIMIT 1) AS p"
                            " CROSS JOIN LATERAL (SELECT routing_code, account_last4 FROM recipient"
                            " WHERE book_id = $1 AND recipient_id = p.recipient_id LIMIT 1) AS r"},
    [ACH_SQL_LOOKED] = {"ach_looked", "UPDATE connection SET looked_at = $2 "
                                      "WHERE book_id = 0 AND number = $1"},
    // The newest submissions of a connection; their ids begin with a time.
    [ACH_SQL_NEWEST_FILES] = {"ach_newest_files",
                              "SELECT home_book, submission_id FROM submission_directory"
                              " WHERE book_id = 0 AND connection = $1"
                              " ORDER BY submission_id DESC LIMIT 50"},
    // A file that the bank has had for a while.
    [ACH_SQL_SENT_FILE] = {"ach_sent_file",
                           "SELECT name, size FROM submission WHERE book_id = $1"
                           " AND submission_id = $2 AND state IN (3, 4) AND sent_at < $3"},
    // Files that the first version has applied; it kept them by name.
    [ACH_SQL_INBOUND_BY_NAME] =
        {"ach_inbound_by_name", "SELECT sha256 FROM inbound_file WHERE book_id = $1 AND name = $2"},
};
