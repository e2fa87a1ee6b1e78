#include "maintain/maintain_sql.h"

#include "base/assert.h"

// The parameters of all picks: $1 book, $2 the limit of time (as text: a time, or the least id of this time), $3 the last id before this
// page (as text), $4 how many. Picks lock their rows, so that nobody changes a row between its archive and its removal.
#define PAGE " LIMIT $4 FOR UPDATE OF t"

// A payout at its end with nothing open: all messages taken up, in no list of saga_heard, no case, no submission. The kept sums have it in
// its present state.
#define ENDED                                                                                      \
    "FROM saga AS t JOIN payout AS p ON p.book_id = t.book_id AND p.payout_id = t.payout_id "      \
    "WHERE t.book_id = $1 AND t.payout_id > $3::text::uuid AND t.payout_id < $2::text::uuid "      \
    "AND t.step = 8 AND t.state IN (6, 7, 8, 9) AND t.hold = '' AND t.due_at IS NULL "             \
    "AND t.events = t.events_seen "                                                                \
    "AND t.payout_id NOT IN (SELECT unnest(h.payout_ids) FROM saga_heard AS h "                    \
    "WHERE h.book_id = $1) "                                                                       \
    "AND t.payout_id <= (SELECT upto FROM payout_sum_upto WHERE book_id = $1) "                    \
    "AND NOT EXISTS (SELECT 1 FROM payout_apart AS a WHERE a.book_id = $1 "                        \
    "AND a.merchant_id = p.merchant_id AND a.payout_id = t.payout_id) "                            \
    "AND NOT EXISTS (SELECT 1 FROM payment_case AS k WHERE k.book_id = $1 "                        \
    "AND k.subject_id = t.payout_id::text AND k.state = 1) "                                       \
    "AND NOT EXISTS (SELECT 1 FROM submission_item AS i JOIN submission AS m "                     \
    "ON m.book_id = $1 AND m.submission_id = i.submission_id WHERE i.book_id = $1 "                \
    "AND i.payout_id = t.payout_id AND (m.state NOT IN (3, 4, 5, 7) OR m.due_at IS NOT NULL)) "
// $2: the ids of a page, as text.
#define ROW "SELECT to_jsonb(t)::text FROM "
#define IDS " = ANY($2::text[]::uuid[])"
static const db_stmt STATEMENTS[MAINTAIN_SQL_COUNT] = {
    // Finds all rows by key, whatever the planner expects of a table.
    [MAINTAIN_SQL_PLANS] = {"maintain_plans",
                            "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), "
                            "set_config('enable_seqscan', 'off', true), "
                            "set_config('jit', 'off', true)"},
    [MAINTAIN_SQL_PICK_PAYOUTS] = {"maintain_pick_payouts",
                                   "SELECT t.payout_id::text " ENDED "ORDER BY t.payout_id" PAGE},
    [MAINTAIN_SQL_PICK_STEP_LOG] =
        {"maintain_pick_step_log",
         "SELECT t.payout_id::text " ENDED "AND EXISTS (SELECT 1 FROM step_log AS l "
         "WHERE l.book_id = $1 AND l.payout_id = t.payout_id) ORDER BY t.payout_id" PAGE},
    [MAINTAIN_SQL_PICK_DEPOSITS] =
        {"maintain_pick_deposits",
         "SELECT t.deposit_id::text FROM deposit AS t WHERE t.book_id = $1 "
         "AND t.deposit_id > $3::text::uuid AND t.created_at < $2::text::timestamptz "
         "AND t.state IN (2, 3, 5) ORDER BY t.deposit_id" PAGE},
    // A key lives as long as the object that it made; a recipient's key lives as long as the payouts.
    [MAINTAIN_SQL_PICK_KEYS] =
        {"maintain_pick_keys",
         "SELECT jsonb_build_array(t.merchant_id, t.operation, t.key)::text FROM idempotency AS t "
         "WHERE t.book_id = $1 AND (t.merchant_id, t.operation, t.key) > "
         "($3::text::jsonb ->> 0, ($3::text::jsonb ->> 1)::int2, $3::text::jsonb ->> 2) "
         "AND t.created_at < $2::text::timestamptz AND (t.operation = 2 OR (t.made IS NOT NULL "
         "AND NOT EXISTS (SELECT 1 FROM payout AS p WHERE p.book_id = $1 AND p.payout_id = t.made) "
         "AND NOT EXISTS (SELECT 1 FROM deposit AS d WHERE d.book_id = $1 "
         "AND d.deposit_id = t.made))) ORDER BY t.merchant_id, t.operation, t.key" PAGE},
    [MAINTAIN_SQL_PICK_SUBMISSIONS] =
        {"maintain_pick_submissions",
         "SELECT t.submission_id::text FROM submission AS t WHERE t.book_id = $1 "
         "AND t.submission_id > $3::text::uuid AND t.submission_id < $2::text::uuid "
         "AND t.state IN (3, 4, 5, 7) AND t.due_at IS NULL AND NOT EXISTS ("
         "SELECT 1 FROM submission_item AS i WHERE i.book_id = $1 "
         "AND i.submission_id = t.submission_id) AND NOT EXISTS (SELECT 1 FROM payment_case AS k "
         "WHERE k.book_id = $1 AND k.subject_id = t.submission_id::text AND k.state = 1) "
         "ORDER BY t.submission_id" PAGE},
    [MAINTAIN_SQL_PICK_INBOX] =
        {"maintain_pick_inbox",
         "SELECT t.inbox_id::text FROM inbox AS t WHERE t.book_id = $1 "
         "AND t.inbox_id > $3::text::uuid AND t.inbox_id < $2::text::uuid AND t.state IN (2, 4) "
         "AND NOT EXISTS (SELECT 1 FROM inbox_exception AS x WHERE x.book_id = $1 "
         "AND x.inbox_id = t.inbox_id AND x.state = 1) AND NOT EXISTS ("
         "SELECT 1 FROM payment_case AS k WHERE k.book_id = $1 "
         "AND k.subject_id = t.inbox_id::text AND k.state = 1) ORDER BY t.inbox_id" PAGE},
    [MAINTAIN_SQL_PICK_CASES] =
        {"maintain_pick_cases",
         "SELECT t.case_id::text FROM payment_case AS t WHERE t.book_id = $1 "
         "AND t.case_id > $3::text::uuid AND t.state = 2 "
         "AND t.resolved_at < $2::text::timestamptz ORDER BY t.case_id" PAGE},
    [MAINTAIN_SQL_PICK_PAUSES] =
        {"maintain_pick_pauses", "SELECT t.entry_id::text FROM pause_log AS t WHERE t.book_id = $1 "
                                 "AND t.entry_id > $3::text::uuid AND t.entry_id < $2::text::uuid "
                                 "ORDER BY t.entry_id" PAGE},
    // From the beginning, in order: times never go back, so the rest has no gap. A row has up to a thousand entries. The last row stays: it
    // says where the feed ends.
    [MAINTAIN_SQL_PICK_FEED] =
        {"maintain_pick_feed",
         "SELECT q.position::text FROM (SELECT t.position, t.at FROM feed AS t WHERE t.book_id = "
         "$1 "
         "AND t.position > $3::text::int8 ORDER BY t.position LIMIT least($4, 100) FOR UPDATE OF t"
         ") AS q WHERE q.at < $2::text::timestamptz AND EXISTS (SELECT 1 FROM feed AS f "
         "WHERE f.book_id = $1 AND f.position > q.position) ORDER BY q.position"},
    [MAINTAIN_SQL_READ_FEED] = {"maintain_read_feed", ROW "feed AS t WHERE t.book_id = $1 "
                                                          "AND t.position = "
                                                          "ANY($2::text[]::int8[])"},
    [MAINTAIN_SQL_DROP_FEED] = {"maintain_drop_feed", "DELETE FROM feed AS t WHERE t.book_id = $1 "
                                                      "AND t.position = ANY($2::text[]::int8[])"},
    [MAINTAIN_SQL_PICK_AUDIT] = {"maintain_pick_audit",
                                 "SELECT t.audit_id::text FROM audit AS t WHERE t.book_id = $1 "
                                 "AND t.audit_id > $3::text::uuid AND t.audit_id < $2::text::uuid "
                                 "ORDER BY t.audit_id" PAGE},
    [MAINTAIN_SQL_READ_AUDIT] = {"maintain_read_audit", ROW "audit AS t WHERE t.book_id = $1 "
                                                            "AND t.audit_id" IDS},
    [MAINTAIN_SQL_DROP_AUDIT] = {"maintain_drop_audit",
                                 "DELETE FROM audit AS t WHERE t.book_id = $1 AND t.audit_id" IDS},
    // An import at its end: INVALID, DONE or CANCELED. Its file was deleted then.
    [MAINTAIN_SQL_PICK_IMPORTS] =
        {"maintain_pick_imports",
         "SELECT t.import_id::text FROM payment_import AS t WHERE t.book_id = $1 "
         "AND t.import_id > $3::text::uuid AND t.import_id < $2::text::uuid "
         "AND t.state IN (4, 6, 7) ORDER BY t.import_id" PAGE},
    [MAINTAIN_SQL_READ_RESULTS] = {"maintain_read_results",
                                   ROW "import_result AS t WHERE t.book_id = $1 "
                                       "AND t.import_id" IDS},
    [MAINTAIN_SQL_READ_FAULTS] = {"maintain_read_faults",
                                  ROW "import_fault AS t WHERE t.book_id = $1 AND t.import_id" IDS},
    [MAINTAIN_SQL_READ_IMPORT] = {"maintain_read_import",
                                  ROW "payment_import AS t WHERE t.book_id = $1 "
                                      "AND t.import_id" IDS},
    [MAINTAIN_SQL_DROP_RESULTS] = {"maintain_drop_results",
                                   "DELETE FROM import_result AS t WHERE t.book_id = $1 "
                                   "AND t.import_id" IDS},
    [MAINTAIN_SQL_DROP_FAULTS] = {"maintain_drop_faults",
                                  "DELETE FROM import_fault AS t WHERE t.book_id = $1 "
                                  "AND t.import_id" IDS},
    [MAINTAIN_SQL_DROP_IMPORT] = {"maintain_drop_import",
                                  "DELETE FROM payment_import AS t WHERE t.book_id = $1 "
                                  "AND t.import_id" IDS},
    [MAINTAIN_SQL_READ_PAYOUT] = {"maintain_read_payout", ROW "payout AS t WHERE t.book_id = $1 "
                                                              "AND t.payout_id" IDS},
    [MAINTAIN_SQL_READ_SAGA] = {"maintain_read_saga", ROW "saga AS t WHERE t.book_id = $1 "
                                                          "AND t.payout_id" IDS},
    [MAINTAIN_SQL_READ_STEP_LOG] = {"maintain_read_step_log",
                                    ROW "step_log AS t WHERE t.book_id = $1 AND t.payout_id" IDS},
    [MAINTAIN_SQL_READ_EVENTS] = {"maintain_read_events",
                                  ROW "rail_event AS t WHERE t.book_id = $1 AND t.payout_id" IDS},
    [MAINTAIN_SQL_READ_ITEMS] = {"maintain_read_items",
                                 ROW "submission_item AS t WHERE t.book_id = $1 "
                                     "AND t.payout_id" IDS},
    [MAINTAIN_SQL_READ_DEPOSIT] = {"maintain_read_deposit", ROW "deposit AS t WHERE t.book_id = $1 "
                                                                "AND t.deposit_id" IDS},
    [MAINTAIN_SQL_READ_KEYS] = {"maintain_read_keys",
                                "SELECT to_jsonb(i)::text FROM unnest($2::text[]) AS k(id) "
                                "JOIN idempotency AS i ON i.book_id = $1 "
                                "AND i.merchant_id = k.id::jsonb ->> 0 "
                                "AND i.operation = (k.id::jsonb ->> 1)::int2 "
                                "AND i.key = k.id::jsonb ->> 2"},
    [MAINTAIN_SQL_READ_SUBMISSION] = {"maintain_read_submission",
                                      ROW "submission AS t WHERE t.book_id = $1 "
                                          "AND t.submission_id" IDS},
    [MAINTAIN_SQL_READ_UPLOADS] = {"maintain_read_uploads",
                                   ROW "submission_upload AS t WHERE t.book_id = $1 "
                                       "AND t.submission_id" IDS},
    [MAINTAIN_SQL_READ_DIRECTORY] = {"maintain_read_directory",
                                     ROW "submission_directory AS t WHERE t.book_id = 0 "
                                         "AND t.home_book = $1 AND t.submission_id" IDS},
    [MAINTAIN_SQL_READ_INBOX] = {"maintain_read_inbox", ROW "inbox AS t WHERE t.book_id = $1 "
                                                            "AND t.inbox_id" IDS},
    [MAINTAIN_SQL_READ_VERSIONS] = {"maintain_read_versions",
                                    ROW "inbox_version AS t WHERE t.book_id = $1 "
                                        "AND t.inbox_id" IDS},
    [MAINTAIN_SQL_READ_EXCEPTIONS] = {"maintain_read_exceptions",
                                      ROW "inbox_exception AS t WHERE t.book_id = $1 "
                                          "AND t.inbox_id" IDS},
    [MAINTAIN_SQL_READ_CASE] = {"maintain_read_case", ROW "payment_case AS t WHERE t.book_id = $1 "
                                                          "AND t.case_id" IDS},
    [MAINTAIN_SQL_READ_NOTES] = {"maintain_read_notes", ROW "case_note AS t WHERE t.book_id = $1 "
                                                            "AND t.case_id" IDS},
    [MAINTAIN_SQL_READ_PAUSES] = {"maintain_read_pauses", ROW "pause_log AS t WHERE t.book_id = $1 "
                                                              "AND t.entry_id" IDS},
    [MAINTAIN_SQL_DROP_PAYOUT] = {"maintain_drop_payout",
                                  "DELETE FROM payout AS t "
                                  "WHERE t.book_id = $1 AND t.payout_id" IDS},
    [MAINTAIN_SQL_DROP_SAGA] = {"maintain_drop_saga", "DELETE FROM saga AS t "
                                                      "WHERE t.book_id = $1 AND t.payout_id" IDS},
    [MAINTAIN_SQL_DROP_STEP_LOG] = {"maintain_drop_step_log",
                                    "DELETE FROM step_log AS t "
                                    "WHERE t.book_id = $1 AND t.payout_id" IDS},
    [MAINTAIN_SQL_DROP_EVENTS] = {"maintain_drop_events",
                                  "DELETE FROM rail_event AS t "
                                  "WHERE t.book_id = $1 AND t.payout_id" IDS},
    [MAINTAIN_SQL_DROP_ITEMS] = {"maintain_drop_items", "DELETE FROM submission_item AS t "
                                                        "WHERE t.book_id = $1 AND t.payout_id" IDS},
    [MAINTAIN_SQL_DROP_DEPOSIT] = {"maintain_drop_deposit",
                                   "DELETE FROM deposit AS t "
                                   "WHERE t.book_id = $1 AND t.deposit_id" IDS},
    [MAINTAIN_SQL_DROP_KEYS] = {"maintain_drop_keys",
                                "DELETE FROM idempotency AS i USING unnest($2::text[]) AS k(id) "
                                "WHERE i.book_id = $1 AND i.merchant_id = k.id::jsonb ->> 0 "
                                "AND i.operation = (k.id::jsonb ->> 1)::int2 "
                                "AND i.key = k.id::jsonb ->> 2"},
    [MAINTAIN_SQL_DROP_SUBMISSION] = {"maintain_drop_submission",
                                      "DELETE FROM submission AS t "
                                      "WHERE t.book_id = $1 AND t.submission_id" IDS},
    [MAINTAIN_SQL_DROP_UPLOADS] = {"maintain_drop_uploads",
                                   "DELETE FROM submission_upload AS t "
                                   "WHERE t.book_id = $1 AND t.submission_id" IDS},
    [MAINTAIN_SQL_DROP_DIRECTORY] = {"maintain_drop_directory",
                                     "DELETE FROM submission_directory AS t WHERE t.book_id = 0 "
                                     "AND t.home_book = $1 AND t.submission_id" IDS},
    [MAINTAIN_SQL_DROP_INBOX] = {"maintain_drop_inbox", "DELETE FROM inbox AS t "
                                                        "WHERE t.book_id = $1 AND t.inbox_id" IDS},
    [MAINTAIN_SQL_DROP_VERSIONS] = {"maintain_drop_versions",
                                    "DELETE FROM inbox_version AS t "
                                    "WHERE t.book_id = $1 AND t.inbox_id" IDS},
    [MAINTAIN_SQL_DROP_EXCEPTIONS] = {"maintain_drop_exceptions",
                                      "DELETE FROM inbox_exception AS t "
                                      "WHERE t.book_id = $1 AND t.inbox_id" IDS},
    [MAINTAIN_SQL_DROP_CASE] = {"maintain_drop_case", "DELETE FROM payment_case AS t "
                                                      "WHERE t.book_id = $1 AND t.case_id" IDS},
    [MAINTAIN_SQL_DROP_NOTES] = {"maintain_drop_notes", "DELETE FROM case_note AS t "
                                                        "WHERE t.book_id = $1 AND t.case_id" IDS},
    [MAINTAIN_SQL_DROP_PAUSES] = {"maintain_drop_pauses",
                                  "DELETE FROM pause_log AS t "
                                  "WHERE t.book_id = $1 AND t.entry_id" IDS},
    // Keeps the amount that the currency's bank account bears for them, so that the proof of a book still adds up (room recon).
    [MAINTAIN_SQL_KEEP_PAID] =
        {"maintain_keep_paid",
         "INSERT INTO payout_archived (book_id, rail, currency, n, at_bank) "
         "SELECT $1, f.rail, f.currency, count(*), sum(f.at_bank) FROM (SELECT p.rail, p.currency, "
         "CASE WHEN t.state = 6 THEN p.amount - coalesce(t.returned, 0) ELSE 0 END "
         "+ coalesce(t.written_off, 0) AS at_bank FROM payout AS p "
         "JOIN saga AS t ON t.book_id = p.book_id AND t.payout_id = p.payout_id "
         "WHERE p.book_id = $1 AND p.payout_id" IDS " AND t.payout_id" IDS ") AS f "
         "GROUP BY f.rail, f.currency ON CONFLICT (book_id, rail, currency) "
         "DO UPDATE SET n = payout_archived.n + excluded.n, "
         "at_bank = payout_archived.at_bank + excluded.at_bank"},
    [MAINTAIN_SQL_ARCHIVED] =
        {"maintain_archived",
         "INSERT INTO archive (book_id, archive_id, kind, file, n_rows, sha256, before, at) "
         "VALUES ($1, $2, $3, $4, $5, decode($6::text, 'hex'), $7::text::timestamptz, $8)"},
    [MAINTAIN_SQL_IS_ARCHIVED] = {"maintain_is_archived", "SELECT n_rows FROM archive "
                                                          "WHERE book_id = $1 AND archive_id = $2"},
};

const db_stmt *maintain_sql(maintain_sql_id id) {
    ASSERT((int)id >= 0 && id < MAINTAIN_SQL_COUNT);
    return &STATEMENTS[id];
}
