#include "cases/cases_sql.h"

#include "base/assert.h"

static const db_stmt STATEMENTS[CASES_SQL_COUNT] = {
    // The same subject may stand in a list twice: it counts twice, and its last text is kept. The order keeps two lists from
    // waiting for each other's rows.
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
         "DO UPDATE SET seen = payment_case.seen + excluded.seen, seen_at = excluded.seen_at, "
         "code = excluded.code, text = excluded.text, amount = excluded.amount, "
         "currency = excluded.currency "
         "RETURNING case_id, seen, code, text"},
    [CASES_SQL_NOTES] =
        {"cases_notes",
         "INSERT INTO case_note (book_id, case_id, note_id, kind, program, person, text, "
         "resolution, evidence, request_key, at) "
         "SELECT $1, u.case_id, u.note_id, u.kind, 'payments-svc', '', u.text, '', '', '', $2 "
         "FROM unnest($3::uuid[], $4::uuid[], $5::int2[], $6::text[]) "
         "AS u(case_id, note_id, kind, text)"},
};

const db_stmt *cases_sql(cases_sql_id id) {
    ASSERT((int)id >= 0 && id < CASES_SQL_COUNT);
    return &STATEMENTS[id];
}
