#include "command/audit_sql.h"

#include "base/assert.h"

static const db_stmt STATEMENTS[AUDIT_SQL_COUNT] = {
    [AUDIT_SQL_INSERT] =
        {"audit_insert",
         "INSERT INTO audit (book_id, audit_id, at, stated, subjects, method, program, person, "
         "trace_id, request_id, merchant_id, subject_type, subject_id, last_id, what) "
         "SELECT $1::bigint, u.id, $2::timestamptz, u.stated = 1, u.n, u.method, u.program, "
         "u.person, u.trace::uuid, u.request, u.merchant, u.type, u.subject, u.last, u.what "
         "FROM unnest($3::uuid[], $4::int2[], $5::int4[], $6::text[], $7::text[], $8::text[], "
         "$9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], "
         "$15::text[]) AS u(id, stated, n, method, program, person, trace, request, merchant, "
         "type, subject, last, what)"},
};

const db_stmt *audit_sql(audit_sql_id id) {
    ASSERT((int)id >= 0 && id < AUDIT_SQL_COUNT);
    return &STATEMENTS[id];
}
