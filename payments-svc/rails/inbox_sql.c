#include "rails/inbox_sql.h"

// An item's columns for people; keep the order, inbox_desk.c reads them by position.
#define ROW                                                                                        \
    "b.book_id, b.inbox_id, b.connection, b.kind, b.name, b.size, b.sha256, b.said_at, "           \
    "b.received_at, b.state, b.version, b.about, b.lines, b.events, b.exceptions, b.reason, "      \
    "b.reason_text, b.tries, b.seen, b.updated_at"
#define EXCEPTION                                                                                  \
    "x.book_id, x.inbox_id, x.version, x.line, x.reason, x.reason_text, x.compared, "              \
    "CASE WHEN octet_length(x.raw_sealed) <= 8192 THEN x.raw_sealed ELSE ''::bytea END, "          \
    "x.about_book_id, x.payout_id, x.amount, x.currency, x.state, x.closed_by, "                   \
    "x.closed_reason, x.at, x.closed_at"

const db_stmt INBOX_SQL[INBOX_SQL_COUNT] = {
    [INBOX_SQL_INSERT] =
        {"inbox_insert",
         "INSERT INTO inbox (book_id, inbox_id, connection, kind, name, size, sha256, once,"
         " content_sealed, said_at, received_at, state, version, about, lines, events, exceptions,"
         " reason, reason_text, tries, seen, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8,"
         " $9, $10, $11, 1, 1, '', 0, 0, 0, '', '', 0, 1, $11)"
         " ON CONFLICT (book_id, connection, kind, once) DO NOTHING"},
    [INBOX_SQL_SEEN] = {"inbox_seen",
                        "UPDATE inbox SET seen = seen + 1, updated_at = $5"
                        " WHERE book_id = $1 AND connection = $2 AND kind = $3 AND once = $4"
                        " RETURNING inbox_id, state"},
    // Across books: waiting items are few, and have their own index.
    [INBOX_SQL_WAITING] =
        {"inbox_waiting",
         "SELECT book_id, inbox_id FROM inbox WHERE state = 1 AND connection = $1"
         " AND (kind = 1 OR received_at < $2) ORDER BY tries, book_id, inbox_id LIMIT $3"},
    [INBOX_SQL_LOAD] = {"inbox_load",
                        "SELECT connection, kind, name, said_at, received_at, version, tries,"
                        " CASE WHEN version = 1 THEN content_sealed END, exceptions"
                        " FROM inbox WHERE book_id = $1 AND inbox_id = $2 AND state = 1"},
    [INBOX_SQL_LOAD_VERSION] = {"inbox_load_version",
                                "SELECT content_sealed FROM inbox_version"
                                " WHERE book_id = $1 AND inbox_id = $2 AND version = $3"},
    // Locks until the transaction ends: of two appliers of the same bytes, one writes at a time.
    [INBOX_SQL_STILL_WAITS] = {"inbox_still_waits",
                               "SELECT 1 FROM inbox WHERE book_id = $1 AND inbox_id = $2"
                               " AND version = $3 AND state = 1 FOR UPDATE"},
    // Which of the payouts have earlier events. Most have none, and need no further question.
    [INBOX_SQL_SPOKEN_OF] =
        {"inbox_spoken_of", "SELECT k.n FROM unnest($2::uuid[]) WITH ORDINALITY AS k (payout_id, n)"
                            " CROSS JOIN LATERAL (SELECT 1 FROM rail_event WHERE book_id = $1"
                            " AND payout_id = k.payout_id LIMIT 1) AS s ORDER BY k.n"},
    // One row per event, in order: the known event of the same id, and the movements (3 settled, 4 returned) of its payout. The row of the
    // same id comes first, so that it is among the $8 rows that are read. LATERAL with LIMIT: always one look into the index for each, also
    // under a plan that was cached when the table was empty.
    [INBOX_SQL_KNOWN_EVENTS] =
        {"inbox_known_events",
         "SELECT v.known, v.inbox_id, v.same, v.settled, v.returned, v.same_amount, v.movements"
         " FROM unnest($2::uuid[], $3::text[], $4::int4[], $5::int2[], $6::int8[], $7::text[])"
         " WITH ORDINALITY AS k (payout_id, event_id, attempt, kind, amount, reference, n)"
         " CROSS JOIN LATERAL (SELECT coalesce(bool_or(r.id), false) AS known,"
         " (array_agg(r.inbox_id) FILTER (WHERE r.id))[1] AS inbox_id,"
         " coalesce(bool_or(r.id AND r.kind = k.kind AND r.amount IN (0, k.amount)), false) AS "
         "same,"
         " coalesce(bool_or(r.kind = 3 AND r.attempt = k.attempt"
         " AND r.rail_reference = k.reference), false) AS settled,"
         " coalesce(bool_or(r.kind = 4 AND r.attempt = k.attempt), false) AS returned,"
         " coalesce(bool_or(r.kind = 4 AND r.attempt = k.attempt AND r.amount = k.amount), false)"
         " AS same_amount, count(*) FILTER (WHERE r.kind IN (2, 3, 4)) AS movements"
         " FROM (SELECT inbox_id, kind, amount, attempt, rail_reference, event_id = k.event_id AS "
         "id"
         " FROM rail_event WHERE book_id = $1 AND payout_id = k.payout_id"
         " AND (event_id = k.event_id OR kind IN (2, 3, 4))"
         " ORDER BY event_id <> k.event_id LIMIT $8) AS r) AS v ORDER BY k.n"},
    [INBOX_SQL_EXCEPTIONS] =
        {"inbox_exceptions",
         "INSERT INTO inbox_exception (book_id, inbox_id, version, line, reason, reason_text,"
         " compared, raw_sealed, about_book_id, payout_id, amount, currency, state, closed_by,"
         " closed_reason, at)"
         " SELECT $1, $2, $3, k.line, k.reason, k.reason_text, k.compared, k.raw, k.about,"
         " NULLIF(k.payout_id, '00000000-0000-0000-0000-000000000000'::uuid), k.amount,"
         " k.currency, 1, '', '', $4"
         " FROM unnest($5::int4[], $6::text[], $7::text[], $8::text[], $9::bytea[], $10::int8[],"
         " $11::uuid[], $12::int8[], $13::text[])"
         " AS k (line, reason, reason_text, compared, raw, about, payout_id, amount, currency)"
         " ON CONFLICT (book_id, inbox_id, version, line) DO NOTHING"},
    [INBOX_SQL_FINISH] =
        {"inbox_finish",
         "UPDATE inbox SET state = $4, about = $5, lines = $6, events = $7, exceptions = $8,"
         " reason = $9, reason_text = $10, updated_at = $11, tries = $12"
         " WHERE book_id = $1 AND inbox_id = $2 AND version = $3 AND state = 1"},
    [INBOX_SQL_TRYING] = {"inbox_trying", "UPDATE inbox SET tries = tries + 1, updated_at = $3"
                                          " WHERE book_id = $1 AND inbox_id = $2 AND state = 1"},
    [INBOX_SQL_TRIED] =
        {"inbox_tried",
         "UPDATE inbox SET tries = $6, reason = $3, reason_text = $4, updated_at = $5"
         " WHERE book_id = $1 AND inbox_id = $2 AND state = 1"},
    // The newest of each book, connection and state, by index: the page is made of these.
    [INBOX_SQL_LIST] =
        {"inbox_list",
         "SELECT " ROW " FROM unnest($1::int8[]) AS k(book_id)"
         " CROSS JOIN unnest($2::int2[]) AS t(connection) CROSS JOIN unnest($3::int2[]) AS u(state)"
         " CROSS JOIN LATERAL (SELECT * FROM inbox AS x WHERE x.book_id = k.book_id"
         " AND x.connection = t.connection AND x.state = u.state AND x.inbox_id < $4"
         " AND x.inbox_id >= $5 ORDER BY x.inbox_id DESC LIMIT $6) AS b"
         " ORDER BY b.inbox_id DESC LIMIT $6"},
    [INBOX_SQL_GET] = {"inbox_get", "SELECT " ROW " FROM inbox b WHERE b.book_id = $1"
                                    " AND b.inbox_id = $2"},
    [INBOX_SQL_VERSIONS] = {"inbox_versions",
                            "SELECT version, size, sha256, actor, reason, at FROM inbox_version"
                            " WHERE book_id = $1 AND inbox_id = $2 ORDER BY version DESC LIMIT $3"},
    [INBOX_SQL_CONTENT] = {"inbox_content", "SELECT content_sealed FROM inbox"
                                            " WHERE book_id = $1 AND inbox_id = $2"},
    [INBOX_SQL_EXCEPTIONS_OF] =
        {"inbox_exceptions_of",
         "SELECT " EXCEPTION " FROM inbox_exception x WHERE x.book_id = $1 AND x.inbox_id = $2"
         " AND (x.version, x.line) > ($3, $4) AND ($6 OR x.state = 1)"
         " AND ($7 = '' OR x.reason = $7) AND ($8::int8 = 0 OR x.about_book_id = $8)"
         " ORDER BY x.version, x.line LIMIT $5"},
    // Across books: open exceptions are few, and have their own index.
    [INBOX_SQL_EXCEPTIONS_OPEN] =
        {"inbox_exceptions_open",
         "SELECT " EXCEPTION " FROM inbox_exception x WHERE x.state = 1"
         " AND (x.book_id, x.inbox_id, x.version, x.line) > ($1, $2, $3, $4)"
         " AND ($6 = '' OR x.reason = $6) AND ($7::int8 = 0 OR x.about_book_id = $7)"
         " AND (cardinality($8::int2[]) = 0 OR EXISTS (SELECT 1 FROM inbox b WHERE b.book_id = "
         "x.book_id"
         " AND b.inbox_id = x.inbox_id AND b.connection = ANY($8::int2[])))"
         " ORDER BY x.book_id, x.inbox_id, x.version, x.line LIMIT $5"},
    [INBOX_SQL_LOCK] = {"inbox_lock", "SELECT " ROW " FROM inbox b WHERE b.book_id = $1"
                                      " AND b.inbox_id = $2 FOR UPDATE"},
    [INBOX_SQL_VERSION_INSERT] =
        {"inbox_version_insert",
         "INSERT INTO inbox_version (book_id, inbox_id, version, size, sha256, content_sealed,"
         " actor, reason, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"},
    [INBOX_SQL_REPAIRED] =
        {"inbox_repaired",
         "UPDATE inbox SET state = 1, version = $3, tries = 0, reason = '', reason_text = '',"
         " updated_at = $4 WHERE book_id = $1 AND inbox_id = $2"},
    [INBOX_SQL_REPLACED] =
        {"inbox_replaced",
         "UPDATE inbox_exception SET state = 3, closed_by = $3, closed_reason = $4, closed_at = $5"
         " WHERE book_id = $1 AND inbox_id = $2 AND state = 1 RETURNING line, about_book_id"},
    [INBOX_SQL_AGAIN] =
        {"inbox_again",
         "UPDATE inbox SET state = 1, tries = 0, reason = '', reason_text = '', updated_at = $3"
         " WHERE book_id = $1 AND inbox_id = $2 AND state <> 1"},
    [INBOX_SQL_DISMISS] = {"inbox_dismiss", "UPDATE inbox SET state = 4, updated_at = $3"
                                            " WHERE book_id = $1 AND inbox_id = $2 AND state = 3"},
    [INBOX_SQL_DISMISS_LINES] =
        {"inbox_dismiss_lines",
         "UPDATE inbox_exception SET state = 2, closed_by = $5, closed_reason = $6, closed_at = $7"
         " WHERE book_id = $1 AND inbox_id = $2 AND version = $3 AND line = $4 AND state = 1"
         " RETURNING line, about_book_id"},
    // Only of the case's book ($7): an item that several books share has exceptions of each.
    [INBOX_SQL_RESOLVED_LINE] =
        {"inbox_resolved_line",
         "UPDATE inbox_exception SET state = 2, closed_by = $4, closed_reason = $5, closed_at = $6"
         " WHERE book_id = $1 AND inbox_id = $2 AND line = $3 AND state = 1"
         " AND about_book_id = $7"},
    [INBOX_SQL_LINE_STATE] = {"inbox_line_state",
                              "SELECT state FROM inbox_exception WHERE book_id = $1"
                              " AND inbox_id = $2 AND line = $3 ORDER BY version DESC LIMIT 1"},
    [INBOX_SQL_DISMISSED_LINES] = {"inbox_dismissed_lines",
                                   "SELECT line FROM inbox_exception WHERE book_id = $1"
                                   " AND inbox_id = $2 AND version = $3 AND state = 2"
                                   " ORDER BY line"},
    [INBOX_SQL_UNDERSTOOD] =
        {"inbox_understood",
         "UPDATE inbox_exception x SET state = 3, closed_reason = $5, closed_at = $6"
         " WHERE x.book_id = $1 AND x.inbox_id = $2 AND x.version = $3 AND x.state = 1"
         " AND NOT EXISTS (SELECT 1 FROM unnest($4::int4[]) AS k(line) WHERE k.line = x.line)"
         " RETURNING x.line, x.about_book_id"},
};
