#include "submissions/submissions_sql.h"

#include "base/assert.h"
#include "domain/machine.h"

#define ROW_COLUMNS                                                                                \
    "s.book_id, s.submission_id, s.connection, s.kind, s.name, s.origin, s.items, s.total, "       \
    "s.currency, s.size, s.sha256, s.generation, s.tries, s.state, s.reason, s.reason_text, "      \
    "s.created_at, s.changed_at, s.window_at, s.stale_at, s.due_at, s.sent_at"

// The state of a payout whose attempts are single calls. The lease has the payouts that a worker holds; there are few leases at a time.
#define CALL_COLUMNS                                                                               \
    "s.book_id, s.payout_id, s.rail, s.step, s.phase, coalesce(s.held_state, s.state), "           \
    "s.outlook, s.attempt, s.tries, s.log_seq, s.due_at, s.step_since, s.updated_at, s.reason, "   \
    "s.reason_text, s.hold, s.hold_text, p.merchant_id, p.amount, p.currency, p.intent_id, "
// The same expression as in the index saga_due.
#define CALL_LANE "(CASE WHEN s.step <= 2 THEN s.lane ELSE 0::smallint END)"

// A paused submission (room connections) is not begun. A begun one is still asked for.
#define NOT_PAUSED                                                                                 \
    "NOT (submission.state = 1 AND EXISTS (SELECT 1 FROM pause AS z WHERE z.merchant_id = '' "     \
    "AND z.book_id IN (0, submission.book_id) AND z.connection IN (0, submission.connection)))"

static const db_stmt STATEMENTS[SUBM_SQL_COUNT] = {
    [SUBM_SQL_INSERT] =
        {"submission_insert",
         "INSERT INTO submission (book_id, submission_id, connection, kind, name, origin, cycle, "
         "number_first, number_last, items, total, currency, size, sha256, content_sealed, seal, "
         "generation, window_at, stale_at, created_at, state, due_at, changed_at, settles_at, "
         "sender_bank, sender_company) "
         "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'submission', "
         "$16, $17, $18, $19, 1, statement_timestamp(), $19, $20, nullif($21, ''), nullif($22, "
         "''))"},
    [SUBM_SQL_DIRECTORY_INSERT] =
        {"submission_directory_insert",
         "INSERT INTO submission_directory (book_id, submission_id, connection, home_book, name, "
         "cycle, number_first, number_last) VALUES (0, $1, $2, $3, $4, $5, $6, $7)"},
    // Positions come back with the rows, so that the answer needs no search. LATERAL with LIMIT: always one look into the index for each,
    // also under a plan that was cached when the table was empty.
    [SUBM_SQL_PLACES] =
        {"submission_places",
         "SELECT k.n, i.submission_id, s.state, i.number "
         "FROM unnest($2::uuid[], $3::int4[]) WITH ORDINALITY AS k (payout_id, attempt, n) "
         "CROSS JOIN LATERAL (SELECT submission_id, number FROM submission_item "
         "WHERE book_id = $1 AND payout_id = k.payout_id AND attempt = k.attempt LIMIT 1) AS i "
         "CROSS JOIN LATERAL (SELECT state FROM submission WHERE book_id = $1 "
         "AND submission_id = i.submission_id LIMIT 1) AS s"},
    [SUBM_SQL_GENERATION] =
        {"submission_generation",
         "SELECT coalesce(max(s.generation), 0) FROM submission_item AS i "
         "JOIN submission AS s ON s.book_id = $1 AND s.submission_id = i.submission_id "
         "AND s.state = 5 WHERE i.book_id = $1 AND i.payout_id = ANY($2::uuid[])"},
    [SUBM_SQL_LOCK] = {"submission_lock",
                       "SELECT state, epoch, generation, connection, total, currency, name, reason "
                       "FROM submission WHERE book_id = $1 AND submission_id = $2 FOR UPDATE"},
    [SUBM_SQL_STANDING] = {"submission_standing", "SELECT state, reason FROM submission "
                                                  "WHERE book_id = $1 AND submission_id = $2"},
    [SUBM_SQL_OF_ATTEMPT] = {"submission_of_attempt",
                             "SELECT submission_id FROM submission_item "
                             "WHERE book_id = $1 AND payout_id = $2 AND attempt = $3"},
    [SUBM_SQL_EVIDENCE] = {"submission_evidence",
                           "SELECT kind, epoch, (extract(epoch FROM statement_timestamp() - at) "
                           "* 1000)::int8 FROM submission_upload "
                           "WHERE book_id = $1 AND submission_id = $2 ORDER BY seq"},
    // Here and below, each item's events are looked up by key. A join would be planned while the tables are small, and then compare all
    // with all.
    [SUBM_SQL_HEARD] = {"submission_heard",
                        "SELECT count(*) FROM (SELECT 1 FROM submission_item AS i "
                        "CROSS JOIN LATERAL (SELECT 1 FROM rail_event WHERE book_id = $1 "
                        "AND payout_id = i.payout_id AND attempt = i.attempt AND kind IN (3, 4) "
                        "LIMIT 1) AS v "
                        "WHERE i.book_id = $1 AND i.submission_id = $2 LIMIT 1) AS heard"},
    // The submission's row is locked, or its lease is held, so the count has no rival.
    [SUBM_SQL_EVIDENCE_ADD] =
        {"submission_evidence_add",
         "INSERT INTO submission_upload (book_id, submission_id, seq, kind, epoch, owner, "
         "inbox_id, detail, at) "
         "SELECT $1, $2, coalesce(max(u.seq), 0) + 1, $3::int2, $4::int8, $5::uuid, $6::uuid, "
         "$7::text, statement_timestamp() FROM submission_upload AS u "
         "WHERE u.book_id = $1 AND u.submission_id = $2"},
    [SUBM_SQL_ITEMS] = {"submission_items",
                        "SELECT payout_id, attempt, number, amount FROM submission_item "
                        "WHERE book_id = $1 AND submission_id = $2 ORDER BY number"},
    // Items that have no event of refusal for any reason, of settlement, of "never taken", or of a whole return.
    [SUBM_SQL_ITEMS_SILENT] =
        {"submission_items_silent",
         "SELECT i.payout_id, i.attempt, i.number, i.amount FROM submission_item AS i "
         "LEFT JOIN LATERAL (SELECT 1 AS said FROM rail_event WHERE book_id = $1 "
         "AND payout_id = i.payout_id AND attempt = i.attempt AND (kind IN (2, 3, 5) "
         "OR (kind = 4 AND amount IN (0, i.amount)) "
         "OR (kind = 1 AND code = '" SAGA_REFUSED_UNSURE "')) LIMIT 1) AS v ON true "
         "WHERE i.book_id = $1 AND i.submission_id = $2 AND v.said IS NULL ORDER BY i.number"},
    // Items that count as never taken. $3 false: their payouts do not know yet that the bank took them after all; $3 true: they do. Each
    // decision of a person takes one such message back.
    [SUBM_SQL_ITEMS_AFTER_ALL] =
        {"submission_items_after_all",
         "SELECT i.payout_id, i.attempt, i.number, i.amount FROM submission_item AS i "
         "CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE kind = 5) AS never, "
         "count(*) FILTER (WHERE kind = 1 AND code = '" SAGA_TAKEN_AFTER_ALL "') AS taken, "
         "count(*) FILTER (WHERE kind = 5 AND code = '" SAGA_NOT_TAKEN_AFTER_ALL "') AS back "
         "FROM rail_event WHERE book_id = $1 AND payout_id = i.payout_id "
         "AND attempt = i.attempt AND kind IN (1, 5)) AS v "
         "WHERE i.book_id = $1 AND i.submission_id = $2 AND v.never > 0 "
         "AND (v.taken > v.back) = $3::bool ORDER BY i.number"},
    // Submissions at the bank (3 SENT, 4 ACKED) that settle now. One that is not known to be there waits.
    [SUBM_SQL_SETTLES] = {"submission_settles",
                          "SELECT book_id, submission_id FROM submission "
                          "WHERE settles_at <= statement_timestamp() AND state NOT IN (5, 7) "
                          "AND state IN (3, 4) ORDER BY settles_at LIMIT $1"},
    // Locks the row, so that the bank's word about the whole comes before or after.
    [SUBM_SQL_SETTLED] = {"submission_settled",
                          "UPDATE submission SET settles_at = NULL WHERE book_id = $1 "
                          "AND submission_id = $2 AND settles_at IS NOT NULL "
                          "AND state IN (3, 4)"},
    // Across books: open submissions are few and have their own index. $3: anything may be sent; else only begun ones.
    [SUBM_SQL_DUE] = {"submission_due",
                      "SELECT book_id, submission_id FROM submission "
                      "WHERE connection = $1 AND due_at <= statement_timestamp() "
                      "AND (lease_ends_at IS NULL OR lease_ends_at <= statement_timestamp()) "
                      "AND ($3::bool OR submission.state <> 1) AND " NOT_PAUSED
                      " ORDER BY due_at, submission_id LIMIT $2"},
    // Promise FENCED: leases are set and compared by the database's clock alone.
    [SUBM_SQL_CLAIM] =
        {"submission_claim",
         "UPDATE submission SET owner = $3, epoch = epoch + 1, "
         "lease_ends_at = statement_timestamp() + $4 * interval '1 ms' "
         "WHERE book_id = $1 AND submission_id = $2 AND due_at <= statement_timestamp() "
         "AND (lease_ends_at IS NULL OR lease_ends_at <= statement_timestamp()) "
         "AND ($5::bool OR submission.state <> 1) AND " NOT_PAUSED
         " RETURNING state, epoch, tries, name, items, total, currency, size, sha256, "
         "content_sealed, seal, generation, stale_at, created_at, statement_timestamp()"},
    // The timeline of this session's server.
    [SUBM_SQL_TIMELINE] = {"submission_timeline",
                           "SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"},
    [SUBM_SQL_STILL_OURS] =
        {"submission_still_ours",
         "UPDATE submission SET lease_ends_at = statement_timestamp() + $5 * interval '1 ms' "
         "WHERE book_id = $1 AND submission_id = $2 AND owner = $3 AND epoch = $4 "
         "AND state IN (1, 2, 6) AND lease_ends_at > statement_timestamp()"},
    // The sender's write, while it holds the lease. $8: time until due again; NULL: never. $9: give the lease back.
    [SUBM_SQL_MOVE] =
        {"submission_move",
         "UPDATE submission SET state = $5, tries = $6, reason = $7, reason_text = $10, "
         "due_at = statement_timestamp() + $8::int8 * interval '1 ms', "
         "lease_ends_at = CASE WHEN $9 THEN NULL ELSE lease_ends_at END, "
         "sent_at = CASE WHEN $5 = 3 THEN coalesce(sent_at, statement_timestamp()) ELSE sent_at "
         "END, changed_at = statement_timestamp() "
         "WHERE book_id = $1 AND submission_id = $2 AND owner = $3 AND epoch = $4 "
         "AND state IN (1, 2, 6)"},
    // The write of the row lock's holder, after the bank's or a person's decision. Ends every lease.
    [SUBM_SQL_DECIDE] =
        {"submission_decide",
         "UPDATE submission SET state = $3, reason = $4, reason_text = $5, due_at = NULL, "
         "lease_ends_at = NULL, epoch = epoch + 1, "
         "sent_at = CASE WHEN $3 IN (3, 4) THEN coalesce(sent_at, statement_timestamp()) ELSE "
         "sent_at "
         "END, changed_at = statement_timestamp() WHERE book_id = $1 AND submission_id = $2"},
    // Later submissions of this one's payouts that have not been sent.
    [SUBM_SQL_REBUILT] =
        {"submission_rebuilt",
         "SELECT DISTINCT s.submission_id FROM submission_item AS i "
         "JOIN submission_item AS j ON j.book_id = $1 AND j.payout_id = i.payout_id "
         "AND j.attempt > i.attempt "
         "JOIN submission AS s ON s.book_id = $1 AND s.submission_id = j.submission_id "
         "AND s.state = 1 WHERE i.book_id = $1 AND i.submission_id = $2"},
    // An earlier submission of its payouts about which a person has not yet decided.
    [SUBM_SQL_EARLIER_OPEN] =
        {"submission_earlier_open",
         "SELECT 1 FROM (SELECT DISTINCT e.submission_id FROM submission_item AS i "
         "CROSS JOIN LATERAL (SELECT submission_id FROM submission_item WHERE book_id = $1 "
         "AND payout_id = i.payout_id AND attempt < i.attempt) AS e "
         "WHERE i.book_id = $1 AND i.submission_id = $2) AS earlier "
         "CROSS JOIN LATERAL (SELECT 1 FROM payment_case WHERE book_id = $1 AND state = 1 "
         "AND subject_type = 'submission' AND subject_id = earlier.submission_id::text "
         "AND kind = 'SUBMISSION_UNKNOWN' LIMIT 1) AS k LIMIT 1"},
    [SUBM_SQL_BY_NAME] = {"submission_by_name",
                          "SELECT home_book, submission_id FROM submission_directory "
                          "WHERE book_id = 0 AND connection = $1 AND name = $2 ORDER BY "
                          "submission_id DESC LIMIT 16"},
    [SUBM_SQL_BY_ID] = {"submission_by_id", "SELECT home_book FROM submission_directory "
                                            "WHERE book_id = 0 AND submission_id = $1"},
    // A submission has at most 100,000 numbers, so a range with one of these begins not far below it. In pages.
    [SUBM_SQL_OLD_RANGES] = {"submission_old_ranges",
                             "SELECT home_book, submission_id, number_first, number_last, cycle "
                             "FROM submission_directory WHERE book_id = 0 AND connection = $1 "
                             "AND cycle = 0 AND number_first BETWEEN $2::int8 - 100000 AND $3 "
                             "AND number_last >= $2 AND (number_first, submission_id) > ($5, $6) "
                             "ORDER BY number_first, submission_id LIMIT $4"},
    // For each run of numbers and each cycle: the ranges that contain its first number (a few, if some overlap), and the ranges that begin
    // inside the run.
    [SUBM_SQL_RANGES] =
        {"submission_ranges",
         "SELECT DISTINCT r.home_book, r.submission_id, r.number_first, r.number_last, r.cycle "
         "FROM unnest($2::int8[], $3::int8[]) AS k(low, high) "
         "CROSS JOIN generate_series(1, (SELECT coalesce(max(m.cycle), 0) "
         "FROM submission_directory AS m WHERE m.book_id = 0 AND m.connection = $1)) AS c(cycle) "
         "CROSS JOIN LATERAL ((SELECT * FROM submission_directory AS d WHERE d.book_id = 0 "
         "AND d.connection = $1 AND d.cycle = c.cycle AND d.number_first <= k.low "
         "ORDER BY d.number_first DESC LIMIT 4) UNION ALL (SELECT * FROM submission_directory AS d "
         "WHERE d.book_id = 0 AND d.connection = $1 AND d.cycle = c.cycle "
         "AND d.number_first > k.low AND d.number_first <= k.high ORDER BY d.number_first)) AS r "
         "WHERE r.number_last >= k.low"},
    // LATERAL with LIMIT, as above: a plan that was made for few items would compare all with all.
    [SUBM_SQL_ITEMS_BY_NUMBER] =
        {"submission_items_by_number",
         "SELECT k.n, i.payout_id, i.attempt, i.amount "
         "FROM unnest($2::uuid[], $3::int8[]) WITH ORDINALITY AS k (submission_id, number, n) "
         "CROSS JOIN LATERAL (SELECT payout_id, attempt, amount FROM submission_item "
         "WHERE book_id = $1 AND submission_id = k.submission_id AND number = k.number LIMIT 1) "
         "AS i"},
    // For each submission: its items with numbers in a range, in order.
    [SUBM_SQL_ITEMS_BETWEEN] =
        {"submission_items_between",
         "SELECT k.n, i.number, i.payout_id, i.attempt, i.amount "
         "FROM unnest($2::uuid[], $3::int8[], $4::int8[]) WITH ORDINALITY "
         "AS k (submission_id, low, high, n) "
         "CROSS JOIN LATERAL (SELECT number, payout_id, attempt, amount FROM submission_item "
         "WHERE book_id = $1 AND submission_id = k.submission_id "
         "AND number BETWEEN k.low AND k.high ORDER BY number OFFSET 0) AS i ORDER BY k.n, "
         "i.number"},
    [SUBM_SQL_FILES] = {"submission_files",
                        "SELECT k.n, s.state, s.name, s.origin, coalesce(s.sender_bank, ''), "
                        "coalesce(s.sender_company, ''), s.currency, s.created_at "
                        "FROM unnest($2::uuid[]) WITH ORDINALITY AS k (submission_id, n) "
                        "CROSS JOIN LATERAL (SELECT state, name, origin, sender_bank, "
                        "sender_company, currency, created_at FROM submission "
                        "WHERE book_id = $1 AND submission_id = k.submission_id LIMIT 1) AS s"},
    [SUBM_SQL_REFS] = {"submission_ref",
                       "SELECT state, items, total, size, sha256, origin, cycle, created_at "
                       "FROM submission "
                       "WHERE book_id = $1 AND submission_id = $2"},
    [SUBM_SQL_NOW] = {"submission_now", "SELECT statement_timestamp()"},
    [SUBM_SQL_NUMBER_LOCK] = {"submission_number_lock",
                              "SELECT cycle, next_number FROM submission_number "
                              "WHERE book_id = 0 AND connection = $1 FOR UPDATE"},
    [SUBM_SQL_NUMBERS_LOOK] =
        {"submission_numbers_look",
         "SELECT coalesce((SELECT next_number FROM submission_number "
         "WHERE book_id = $3 AND connection = $1), 1::int8), "
         "coalesce((SELECT max(next_modifier) FROM submission_day WHERE book_id = $3 "
         "AND connection = $1 AND file_date = to_date($2, 'YYYYMMDD')), 0::int2)::int4"},
    [SUBM_SQL_NUMBER_INSERT] =
        {"submission_number_insert",
         "INSERT INTO submission_number (book_id, connection, cycle, next_number) "
         "VALUES (0, $1, 1, 1) ON CONFLICT (book_id, connection) DO NOTHING"},
    [SUBM_SQL_NUMBER_UPDATE] = {"submission_number_update",
                                "UPDATE submission_number SET cycle = $2, next_number = $3 "
                                "WHERE book_id = 0 AND connection = $1"},
    [SUBM_SQL_DAY_LOCK] = {"submission_day_lock",
                           "SELECT next_modifier, window_at, in_window, cut_at FROM submission_day "
                           "WHERE book_id = 0 AND connection = $1 AND origin = $2 "
                           "AND file_date = to_date($3, 'YYYYMMDD') FOR UPDATE"},
    [SUBM_SQL_DAY_INSERT] =
        {"submission_day_insert",
         "INSERT INTO submission_day (book_id, connection, origin, file_date, next_modifier, "
         "window_at, in_window, cut_at) VALUES (0, $1, $2, to_date($3, 'YYYYMMDD'), $4, $5, $6, "
         "$7) ON CONFLICT (book_id, connection, origin, file_date) DO NOTHING"},
    [SUBM_SQL_DAY_UPDATE] =
        {"submission_day_update",
         "UPDATE submission_day SET next_modifier = $4, window_at = $5, in_window = $6, "
         "cut_at = $7 WHERE book_id = 0 AND connection = $1 AND origin = $2 "
         "AND file_date = to_date($3, 'YYYYMMDD')"},
    // The newest of each book and state, by index: the page is made of these.
    [SUBM_SQL_LIST] =
        {"submission_list",
         "SELECT " ROW_COLUMNS " FROM unnest($1::int8[]) AS b(book_id) "
         "CROSS JOIN unnest($2::int2[]) AS t(state) "
         "CROSS JOIN LATERAL (SELECT * FROM submission AS x WHERE x.book_id = b.book_id "
         "AND x.state = t.state AND x.submission_id < $3 AND x.submission_id >= $4 "
         "AND (cardinality($5::int2[]) = 0 OR x.connection = ANY($5::int2[])) ORDER BY "
         "x.submission_id DESC LIMIT $6) AS s "
         "ORDER BY s.submission_id DESC LIMIT $6"},
    [SUBM_SQL_GET] = {"submission_get", "SELECT " ROW_COLUMNS " FROM submission AS s "
                                        "WHERE s.book_id = $1 AND s.submission_id = $2"},
    [SUBM_SQL_STEPS] = {"submission_steps",
                        "SELECT kind, epoch, owner, inbox_id, detail, at FROM submission_upload "
                        "WHERE book_id = $1 AND submission_id = $2 ORDER BY seq LIMIT 1000"},
    [SUBM_SQL_MEMBERS] =
        {"submission_members",
         "SELECT payout_id, attempt, number, amount FROM submission_item "
         "WHERE book_id = $1 AND submission_id = $2 AND number > $3 ORDER BY number LIMIT $4"},
    [SUBM_SQL_CONTENT] = {"submission_content",
                          "SELECT content_sealed, seal, sha256 FROM submission "
                          "WHERE book_id = $1 AND submission_id = $2"},
    // Across books, once at a start: open files (2 SENDING, 6 UNKNOWN) whose last upload was begun (kind 1) in other folders. Rows of older
    // versions, and of a recovery, have something else in this column.
    [SUBM_SQL_BEGUN_ELSEWHERE] =
        {"submission_begun_elsewhere",
         "SELECT s.name, u.detail FROM submission AS s CROSS JOIN LATERAL ("
         "SELECT detail FROM submission_upload WHERE book_id = s.book_id "
         "AND submission_id = s.submission_id AND kind = 1 ORDER BY seq DESC LIMIT 1) AS u "
         "WHERE s.connection = $1 AND s.due_at IS NOT NULL AND s.state IN (2, 6) "
         "AND u.detail LIKE 'in %' AND u.detail <> $2 LIMIT 1"},
    [SUBM_SQL_WAITING] =
        {"submission_waiting",
         "SELECT state, count(*), min(created_at), statement_timestamp() FROM submission "
         "WHERE connection = $1 AND due_at IS NOT NULL GROUP BY state"},
    // The database may have forgotten the fate of an open submission: it is taken from its sender, and asked for.
    [SUBM_SQL_RECOVER] =
        {"submission_recover",
         "UPDATE submission SET state = 2, tries = 0, reason = 'RECOVERY', reason_text = '', "
         "due_at = statement_timestamp(), lease_ends_at = NULL, epoch = epoch + 1, "
         "changed_at = statement_timestamp() "
         "WHERE book_id = $1 AND connection = ANY($2::int2[]) AND state IN (1, 2, 6)"},
    // Uses epoch 0, which no upload has: a temporary file says nothing about forgotten uploads. If an upload is known, the last step counts
    // twice, so that its temporary file does not speak for the others.
    [SUBM_SQL_RECOVER_EVIDENCE] =
        {"submission_recover_evidence",
         "INSERT INTO submission_upload (book_id, submission_id, seq, kind, epoch, detail, at) "
         "SELECT $1::int8, s.submission_id, u.last + k.n, k.kind, 0, "
         "'the database may have forgotten an upload', statement_timestamp() "
         "FROM submission AS s "
         "CROSS JOIN LATERAL (SELECT coalesce(max(x.seq), 0) AS last FROM submission_upload AS x "
         "WHERE x.book_id = $1 AND x.submission_id = s.submission_id) AS u "
         "CROSS JOIN (VALUES (1, 1), (2, 9), (3, 9)) AS k (n, kind) "
         "WHERE s.book_id = $1 AND s.connection = ANY($2::int2[]) AND s.state = 2 "
         "AND (k.n < 3 OR u.last > 0)"},
    [SUBM_SQL_RECOVER_LEFT] = {"submission_recover_left",
                               "SELECT count(*) FROM submission WHERE book_id = $1 "
                               "AND connection = ANY($2::int2[]) AND state = 2"},
    // The newest known submission of a connection.
    [SUBM_SQL_NEWEST] = {"submission_newest",
                         "SELECT submission_id FROM submission_directory WHERE book_id = 0 "
                         "AND connection = $1 ORDER BY submission_id DESC LIMIT 1"},
    [SUBM_SQL_LISTING_WANT] =
        {"submission_listing_want",
         "INSERT INTO recovery_listing (book_id, connection, since, wanted_at, files, shown) "
         "VALUES (0, $1, $2, $3, 0, 0) ON CONFLICT (book_id, connection) DO UPDATE SET "
         "since = $2, wanted_at = $3, done_at = NULL, files = 0, shown = 0"},
    [SUBM_SQL_LISTING_WANTED] = {"submission_listing_wanted",
                                 "SELECT since FROM recovery_listing WHERE book_id = 0 "
                                 "AND connection = $1 AND done_at IS NULL"},
    // A file found counts until it is applied. Kind 4 of the inbox is a file of ours.
    [SUBM_SQL_LISTING_LEFT] =
        {"submission_listing_left",
         "SELECT (SELECT count(*) FROM recovery_listing WHERE book_id = 0 "
         "AND connection = ANY($1::int2[]) AND done_at IS NULL) + (SELECT count(*) FROM inbox "
         "WHERE book_id = 0 AND state = 1 AND kind = 4 AND connection = ANY($1::int2[]))"},
    [SUBM_SQL_LISTING_DONE] = {"submission_listing_done",
                               "UPDATE recovery_listing SET done_at = $2, files = $3, shown = $4 "
                               "WHERE book_id = 0 AND connection = $1 AND done_at IS NULL"},
    [SUBM_SQL_NAMES_UNKNOWN] =
        {"submission_names_unknown",
         "SELECT k.n FROM unnest($2::text[]) WITH ORDINALITY AS k (name, n) WHERE NOT EXISTS ("
         "SELECT 1 FROM submission_directory AS d WHERE d.book_id = 0 AND d.connection = $1 "
         "AND d.name = k.name)"},
    [SUBM_SQL_FORGOTTEN_ADD] =
        {"submission_forgotten_add",
         "INSERT INTO forgotten_entry (book_id, connection, inbox_id, individual_id, number, "
         "amount) SELECT $1::int8, $2::int2, $3::uuid, u.individual_id, u.number, u.amount "
         "FROM unnest($4::text[], $5::int8[], $6::int8[]) AS u(individual_id, number, amount) "
         "ON CONFLICT DO NOTHING"},
    [SUBM_SQL_NUMBERS_RAISE] =
        {"submission_numbers_raise",
         "INSERT INTO submission_number (book_id, connection, cycle, next_number) "
         "VALUES (0, $1, 1, $2) ON CONFLICT (book_id, connection) DO UPDATE SET "
         "next_number = greatest(submission_number.next_number, $2)"},
    [SUBM_SQL_DAY_RAISE] =
        {"submission_day_raise",
         "INSERT INTO submission_day (book_id, connection, origin, file_date, next_modifier, "
         "window_at, in_window, cut_at) VALUES (0, $1, $2, to_date($3, 'YYYYMMDD'), $4, $5, 0, $5) "
         "ON CONFLICT (book_id, connection, origin, file_date) DO UPDATE SET "
         "next_modifier = greatest(submission_day.next_modifier, $4)"},
    // Mostly there are no entries at all, and then the attempts are not read. A later attempt than the forgotten one is a person's order.
    [SUBM_SQL_FORGOTTEN_FIND] =
        {"submission_forgotten_find",
         "SELECT DISTINCT k.n FROM unnest($3::text[], $4::int4[]) WITH ORDINALITY AS "
         "k (individual_id, attempt, n) JOIN forgotten_entry AS f ON f.book_id = $1 "
         "AND f.connection = $2 AND f.individual_id = k.individual_id "
         "AND coalesce(f.met_attempt, k.attempt) >= k.attempt "
         "WHERE EXISTS (SELECT 1 FROM forgotten_entry WHERE book_id = $1 AND connection = $2)"},
    [SUBM_SQL_FORGOTTEN_MEET] =
        {"submission_forgotten_meet",
         "UPDATE forgotten_entry AS f SET met_attempt = k.attempt "
         "FROM unnest($3::text[], $4::int4[]) AS k (individual_id, attempt) "
         "WHERE f.book_id = $1 AND f.connection = $2 AND f.individual_id = ANY($3::text[]) "
         "AND f.individual_id = k.individual_id AND f.met_attempt IS NULL"},
    // Derives the individual id as domain/ids.h does: the last 15 digits of the intent.
    [SUBM_SQL_MEETS_FORGOTTEN] =
        {"submission_meets_forgotten",
         "SELECT EXISTS (SELECT 1 FROM forgotten_entry WHERE book_id = $1 AND connection = $3) "
         "AND EXISTS (SELECT 1 FROM submission_item AS i JOIN payout AS p ON p.book_id = $1 "
         "AND p.payout_id = i.payout_id JOIN forgotten_entry AS f ON f.book_id = $1 "
         "AND f.connection = $3 "
         "AND f.individual_id = upper(right(replace(p.intent_id::text, '-', ''), 15)) "
         "AND coalesce(f.met_attempt, i.attempt) >= i.attempt "
         "WHERE i.book_id = $1 AND i.submission_id = $2)"},
    [SUBM_SQL_CALL_GET] =
        {"call_get",
         "SELECT " CALL_COLUMNS "EXISTS (SELECT 1 FROM saga_lease AS l WHERE l.book_id = $1 "
         "AND l.rail = s.rail AND s.payout_id = ANY(l.payout_ids)) "
         "FROM saga AS s JOIN payout AS p ON p.book_id = $1 AND p.payout_id = s.payout_id "
         "WHERE s.book_id = $1 AND s.payout_id = $2 AND p.merchant_id = $3"},
    // Across books: payouts at the steps of the rail. Each is in one of three indexes: due, waiting for its bank without a time (4 AWAIT),
    // or held. Each index is read from its beginning, up to the limit. The list is cut before the join, or each index of each book would
    // have its share joined.
    [SUBM_SQL_CALLS_OPEN] =
        {"calls_open",
         "SELECT " CALL_COLUMNS "s.payout_id IN (SELECT unnest(payout_ids) FROM saga_lease "
         "WHERE book_id = ANY($1::int8[])) FROM (SELECT u.* FROM ("
         "SELECT o.* FROM unnest($1::int8[]) AS b(book_id) CROSS JOIN unnest($2::int2[]) AS "
         "r(rail) "
         "CROSS JOIN unnest($3::int2[], $4::int2[]) AS t(step, lane) CROSS JOIN LATERAL ("
         "SELECT s.book_id, s.payout_id, s.due_at AS since FROM saga AS s "
         "WHERE s.book_id = b.book_id AND s.rail = r.rail AND s.step = t.step "
         "AND " CALL_LANE " = t.lane AND s.due_at IS NOT NULL ORDER BY s.due_at LIMIT $5) AS o "
         "UNION ALL "
         "SELECT o.* FROM unnest($1::int8[]) AS b(book_id) CROSS JOIN unnest($2::int2[]) AS "
         "r(rail) "
         "CROSS JOIN LATERAL (SELECT s.book_id, s.payout_id, s.step_since AS since FROM saga AS s "
         "WHERE s.book_id = b.book_id AND s.rail = r.rail AND s.step = 4 AND 4 = ANY($3::int2[]) "
         "AND s.due_at IS NULL AND s.step <> 8 AND s.hold = '' ORDER BY s.step_since LIMIT $5) AS "
         "o "
         "UNION ALL "
         "SELECT o.* FROM unnest($1::int8[]) AS b(book_id) CROSS JOIN LATERAL ("
         "SELECT s.book_id, s.payout_id, s.step_since AS since FROM saga AS s "
         "WHERE s.book_id = b.book_id AND s.hold <> '' AND s.due_at IS NULL "
         "AND s.rail = ANY($2::int2[]) AND s.step = ANY($3::int2[]) LIMIT $5) AS o"
         ") AS u ORDER BY u.since, u.payout_id LIMIT $5"
         ") AS o JOIN saga AS s ON s.book_id = o.book_id AND s.payout_id = o.payout_id "
         "JOIN payout AS p ON p.book_id = o.book_id AND p.payout_id = o.payout_id "
         "ORDER BY o.since, o.payout_id"},
    // The evidence about payouts' calls, up to a row of each log: the rows of the rail's steps (2 EXECUTE, 3 RESOLVE), a worker's intent,
    // and the bank's own words (kinds 1 to 5; higher kinds are orders).
    [SUBM_SQL_CALL_ROWS] =
        {"call_rows",
         "SELECT u.n, x.kind, x.step, x.what, x.attempt, x.seq, x.outlook, x.reason, x.detail, "
         "x.rail_reference, x.at, x.owner, x.epoch, x.inbox_id "
         "FROM unnest($1::int8[], $2::uuid[], $3::int4[], $4::int4[]) WITH ORDINALITY "
         "AS u(book_id, payout_id, log_seq, last_seq, n) CROSS JOIN LATERAL (SELECT * FROM ("
         "SELECT l.kind, l.step, l.outcome AS what, l.attempt, l.seq, l.outlook, l.reason, "
         "l.detail, l.rail_reference, l.at, l.owner, l.epoch, NULL::uuid AS inbox_id "
         "FROM step_log AS l WHERE l.book_id = u.book_id AND l.payout_id = u.payout_id "
         "AND l.seq <= u.last_seq AND (l.step IN (2, 3) OR l.seq > u.log_seq) "
         "UNION ALL "
         "SELECT 3::int2, 0::int2, e.kind, e.attempt, 0, 0::int2, e.code, e.detail, "
         "e.rail_reference, e.at, NULL::uuid, 0::int8, e.inbox_id "
         "FROM rail_event AS e WHERE e.book_id = u.book_id AND e.payout_id = u.payout_id "
         "AND e.kind <= 5) AS r ORDER BY r.at DESC, r.seq DESC LIMIT $5) AS x "
         "ORDER BY u.n, x.at, x.seq"},
};

const db_stmt *submissions_sql(submissions_sql_id id) {
    ASSERT((int)id >= 0 && id < SUBM_SQL_COUNT);
    return &STATEMENTS[id];
}
