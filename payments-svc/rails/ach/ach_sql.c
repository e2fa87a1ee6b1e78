#include "rails/ach/ach_internal.h"

const db_stmt ACH_SQL[ACH_SQL_COUNT] = {
    [ACH_SQL_COUNTER_LOCK] =
        {"ach_counter_lock",
         "SELECT next_trace, to_char(file_date, 'YYYYMMDD')::int8, next_modifier"
         " FROM ach_counter WHERE book_id = $1 FOR UPDATE"},
    [ACH_SQL_COUNTER_INSERT] =
        {"ach_counter_insert",
         "INSERT INTO ach_counter (book_id, next_trace, file_date, next_modifier)"
         " VALUES ($1, 1, to_date($2, 'YYYYMMDD'), 0) ON CONFLICT (book_id) DO NOTHING"},
    [ACH_SQL_COUNTER_UPDATE] = {"ach_counter_update",
                                "UPDATE ach_counter SET next_trace = $2, file_date = to_date($3, "
                                "'YYYYMMDD'), next_modifier = $4"
                                " WHERE book_id = $1"},
    [ACH_SQL_FILE_INSERT] =
        {"ach_file_insert",
         "INSERT INTO ach_file (book_id, file_id, name, file_date, modifier, entries, total, "
         "sha256,"
         " content_sealed, created_at)"
         " VALUES ($1, $2, $3, to_date($4, 'YYYYMMDD'), $5, $6, $7, $8, $9, $10)"},
    // Positions come back as they went in, so that the answer needs no search. LATERAL with LIMIT: always one look into the
    // index for each, also under a plan that was cached when the table was empty.
    [ACH_SQL_ENTRIES_OF_ITEMS] =
        {"ach_entries_of_items",
         "SELECT k.n, e.trace, e.file_id, f.name"
         " FROM unnest($2::uuid[], $3::int4[]) WITH ORDINALITY AS k (payout_id, attempt, n)"
         " CROSS JOIN LATERAL (SELECT trace, file_id FROM ach_entry WHERE book_id = $1 AND "
         "payout_id = k.payout_id"
         " AND attempt = k.attempt LIMIT 1) e"
         " JOIN ach_file f ON f.book_id = $1 AND f.file_id = e.file_id"},
    [ACH_SQL_FILES_BY_ID] = {"ach_files_by_id",
                             "SELECT file_id, content_sealed, sha256 FROM ach_file WHERE book_id = "
                             "$1 AND file_id = ANY ($2::uuid[])"},
    [ACH_SQL_FILE_BY_NAME] =
        {"ach_file_by_name",
         "SELECT file_id, entries, total FROM ach_file WHERE book_id = $1 AND name = $2"},
    // Only for a file that the bank refused as a whole, so it has no index of its own.
    [ACH_SQL_ENTRIES_OF_FILE] = {"ach_entries_of_file",
                                 "SELECT payout_id, attempt, trace FROM ach_entry WHERE book_id = "
                                 "$1 AND file_id = $2 ORDER BY trace"},
    // LATERAL with LIMIT as above.
    [ACH_SQL_CANDIDATES] =
        {"ach_candidates",
         "SELECT k.n, e.payout_id, e.attempt, e.amount, f.name, f.created_at, p.currency,"
         " p.intent_id, r.routing_code, r.account_last4"
         " FROM unnest($2::int8[]) WITH ORDINALITY AS k (trace, n)"
         " CROSS JOIN LATERAL (SELECT payout_id, attempt, amount, file_id FROM ach_entry WHERE "
         "book_id = $1"
         " AND trace = k.trace LIMIT 1) e"
         " JOIN ach_file f ON f.book_id = $1 AND f.file_id = e.file_id"
         " JOIN payout p ON p.book_id = $1 AND p.payout_id = e.payout_id"
         " JOIN recipient r ON r.book_id = $1 AND r.recipient_id = p.recipient_id ORDER BY k.n"},
    // Files that the first version has applied, which kept them by name.
    [ACH_SQL_INBOUND_BY_NAME] =
        {"ach_inbound_by_name", "SELECT sha256 FROM inbound_file WHERE book_id = $1 AND name = $2"},
};
