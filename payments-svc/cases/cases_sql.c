#include "cases/cases_sql.h"

#include "base/assert.h"

// Read by cases_row: keep the order.
#define CASE_COLUMNS                                                                               \
    "k.book_id, k.case_id, k.kind, k.subject_type, k.subject_id, k.merchant_id, k.code, k.text, "  \
    "k.amount, k.currency, k.state, k.owner, k.resolution, k.seen, k.opened_at, k.due_at, "        \
    "k.seen_at, k.resolved_at "
// The filters of all lists: $1 after, $2 limit, $3 states, $4 kind, $5 owner, $6 merchant.
#define CASE_FILTERS                                                                               \
    "AND k.case_id > $1 AND k.state = ANY($3::int2[]) AND ($4::text IS NULL OR k.kind = "          \
    "$4::text) "                                                                                   \
    "AND ($5::text IS NULL OR k.owner = $5::text) "                                                \
    "AND ($6::text IS NULL OR k.merchant_id = $6::text) "
#define CASE_PAGE "ORDER BY k.case_id LIMIT $2"

static const db_stmt STATEMENTS[CASES_SQL_COUNT] = {
    // A list may have the same subject twice: it counts twice, and its last text is kept. The order keeps two lists from deadlocking on
    // each other's rows.
    [CASES_SQL_OPEN] =
        {"cases_open",
         "INSERT INTO payment_case (book_id, case_id, kind, subject_type, subject_id, "
         "merchant_id, code, text, amount, currency, state, owner, resolution, seen, opened_at, "
         "due_at, seen_at) "
         "SELECT $1, u.case_id, u.kind, u.subject_type, u.subject_id, u.merchant_id, u.code, "
         "u.text, u.amount, u.currency, 1::int2, '', '', u.seen, $2, u.due_at, $2 "
         "FROM (SELECT DISTINCT ON (subject_type, subject_id, kind) t.*, "
         "count(*) OVER (PARTITION BY subject_type, subject_id, kind) AS seen "
         "FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], "
         "$9::text[], $10::int8[], $11::text[], $12::timestamptz[]) "
         "AS t(case_id, kind, subject_type, subject_id, merchant_id, code, text, amount, currency, "
         "due_at) ORDER BY subject_type, subject_id, kind, case_id DESC) AS u "
         "ON CONFLICT (book_id, subject_type, subject_id, kind) WHERE state = 1 "
         "DO UPDATE SET seen = payment_case.seen + CASE WHEN $13 THEN excluded.seen ELSE 0 END, "
         "seen_at = excluded.seen_at, "
         "code = excluded.code, text = excluded.text, amount = excluded.amount, "
         "currency = excluded.currency "
         "RETURNING case_id, seen, code, text"},
    [CASES_SQL_NOTES] =
        {"cases_notes",
         "INSERT INTO case_note (book_id, case_id, note_id, kind, program, person, text, "
         "resolution, evidence, request_key, at) "
         "SELECT $1, u.case_id, u.note_id, u.kind, 'payments-svc', '', u.text, $7, '', '', $2 "
         "FROM unnest($3::uuid[], $4::uuid[], $5::int2[], $6::text[]) "
         "AS u(case_id, note_id, kind, text)"},
    [CASES_SQL_CLOSE] = {"cases_close", "UPDATE payment_case SET state = 2, resolution = 'CLOSED', "
                                        "resolved_at = $2 "
                                        "WHERE book_id = $1 AND state = 1 AND subject_type = $3 "
                                        "AND subject_id = ANY($4::text[]) "
                                        "AND ($5::text IS NULL OR kind = $5::text) "
                                        "RETURNING case_id"},
    // All books: reads only the index of open cases.
    [CASES_SQL_LIST_ACROSS] = {"cases_list_across", "SELECT " CASE_COLUMNS "FROM payment_case k "
                                                    "WHERE k.state = 1 " CASE_FILTERS CASE_PAGE},
    [CASES_SQL_LIST_OPEN] = {"cases_list_open",
                             "SELECT " CASE_COLUMNS "FROM payment_case k "
                             "WHERE k.book_id = $7 AND k.state = 1 " CASE_FILTERS CASE_PAGE},
    [CASES_SQL_LIST_BOOK] = {"cases_list_book", "SELECT " CASE_COLUMNS "FROM payment_case k "
                                                "WHERE k.book_id = $7 " CASE_FILTERS CASE_PAGE},
    [CASES_SQL_LIST_MERCHANT] =
        {"cases_list_merchant",
         "SELECT " CASE_COLUMNS "FROM payment_case k WHERE k.book_id = $7 "
         "AND k.merchant_id = $6::text AND k.merchant_id <> '' " CASE_FILTERS CASE_PAGE},
    [CASES_SQL_LIST_SUBJECT] =
        {"cases_list_subject",
         "SELECT " CASE_COLUMNS "FROM payment_case k WHERE k.book_id = $7 "
         "AND k.subject_type = $8 AND k.subject_id = $9 " CASE_FILTERS CASE_PAGE},
    [CASES_SQL_GET] = {"cases_get", "SELECT " CASE_COLUMNS "FROM payment_case k "
                                    "WHERE k.book_id = $1 AND k.case_id = $2"},
    [CASES_SQL_LOCK] = {"cases_lock", "SELECT " CASE_COLUMNS "FROM payment_case k "
                                      "WHERE k.book_id = $1 AND k.case_id = $2 FOR UPDATE"},
    [CASES_SQL_HISTORY] = {"cases_history",
                           "SELECT kind, program, person, text, resolution, evidence, at "
                           "FROM case_note WHERE book_id = $1 AND case_id = $2 "
                           "ORDER BY note_id DESC LIMIT $3"},
    // Of a note from before migration 0037.
    [CASES_SQL_FIND_KEY] = {"cases_find_key",
                            "SELECT kind, person, text, resolution, evidence FROM case_note "
                            "WHERE book_id = $1 AND case_id = $2 AND request_key = $3 "
                            "AND request_key <> ''"},
    [CASES_SQL_ASSIGN] = {"cases_assign", "UPDATE payment_case SET owner = $3 "
                                          "WHERE book_id = $1 AND case_id = $2 AND state = 1"},
    [CASES_SQL_RESOLVE] = {"cases_resolve",
                           "UPDATE payment_case SET state = 2, resolution = $3, resolved_at = $4 "
                           "WHERE book_id = $1 AND case_id = $2 AND state = 1"},
    [CASES_SQL_NOTE] = {"cases_note",
                        "INSERT INTO case_note (book_id, case_id, note_id, kind, program, person, "
                        "text, resolution, evidence, request_key, at, request_hash, response) "
                        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"},
};

const db_stmt *cases_sql(cases_sql_id id) {
    ASSERT((int)id >= 0 && id < CASES_SQL_COUNT);
    return &STATEMENTS[id];
}
