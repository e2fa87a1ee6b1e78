#include "command/audit_sql.h"

#include "base/assert.h"

// Read by row_read: keep the order.
#define ROW                                                                                        \
    "book_id, audit_id, at, method, program, person, stated, request_id, trace_id, merchant_id, "  \
    "subject_type, subject_id, last_id, subjects, what "

// One page, newest first, in as many ways as there are indexes that can find it: book by book, at most a page of each. $1 books, $2 and $3
// the range of ids, $4 and $5 that of times, $6 to $11 the filters, $12 the subject as a UUID, $13 how many.
#define OF_BOOK "WHERE x.book_id = k.book_id AND x.audit_id < $2::uuid AND x.audit_id >= $3::uuid "
#define FILTERS                                                                                    \
    "AND x.at >= $4::timestamptz AND x.at < $5::timestamptz "                                      \
    "AND ($6::text IS NULL OR x.merchant_id = $6::text) "                                          \
    "AND ($7::text IS NULL OR x.program = $7::text) "                                              \
    "AND ($8::text IS NULL OR x.person = $8::text) "                                               \
    "AND ($9::text IS NULL OR x.method = $9::text) "
#define OF_REQUEST "AND ($11::text IS NULL OR x.request_id = $11::text) "
// An entry for a run of rows has its first and its last id. A row belongs to the run if its id lies between them.
#define OF_SUBJECT                                                                                 \
    "AND ($10::text IS NULL OR (x.last_id = '' AND x.subject_id = $10::text) OR (x.last_id <> '' " \
    "AND $12::uuid::text COLLATE \"C\" BETWEEN x.subject_id AND x.last_id)) "
#define NEWEST "ORDER BY x.audit_id DESC LIMIT $13"
#define BOOKS "FROM unnest($1::int8[]) AS k(book_id) CROSS JOIN LATERAL ("
#define BEGIN "SELECT b.* " BOOKS "SELECT " ROW "FROM audit AS x " OF_BOOK
#define END FILTERS OF_SUBJECT OF_REQUEST NEWEST ") AS b ORDER BY b.audit_id DESC LIMIT $13"

// How far down a page looks: $4 entries of each book that an index finds by the one filter $5. The newest of the books' ends, so that
// nothing is left out. $1 to $3 as above.
#define FLOOR "SELECT b.audit_id " BOOKS "SELECT x.audit_id FROM audit AS x " OF_BOOK
#define FLOOR_END                                                                                  \
    "ORDER BY x.audit_id DESC OFFSET $4::bigint LIMIT 1) AS b ORDER BY b.audit_id DESC LIMIT 1"

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
    [AUDIT_SQL_LIST] = {"audit_list", BEGIN END},
    [AUDIT_SQL_LIST_MERCHANT] = {"audit_list_merchant", BEGIN "AND x.merchant_id = $6::text " END},
    [AUDIT_SQL_LIST_PERSON] = {"audit_list_person",
                               BEGIN "AND x.person = $8::text AND x.person <> '' " END},
    [AUDIT_SQL_LIST_REQUEST] = {"audit_list_request", BEGIN "AND x.request_id = $11::text " END},
    [AUDIT_SQL_FLOOR] = {"audit_floor", FLOOR "AND $5::text IS NULL " FLOOR_END},
    [AUDIT_SQL_FLOOR_MERCHANT] = {"audit_floor_merchant",
                                  FLOOR "AND x.merchant_id = $5::text " FLOOR_END},
    [AUDIT_SQL_FLOOR_PERSON] = {"audit_floor_person",
                                FLOOR "AND x.person = $5::text AND x.person <> '' " FLOOR_END},
    [AUDIT_SQL_FLOOR_REQUEST] = {"audit_floor_request",
                                 FLOOR "AND x.request_id = $5::text " FLOOR_END},
    // What names it, and the run that made it. A run's entry is made soon after its ids, by the same request of the same actor. A caller
    // may give one id to all its requests, and others may give it, too. $14 and $15: the ids that the entry may have.
    [AUDIT_SQL_LIST_SUBJECT] =
        {"audit_list_subject",
         "SELECT b.* " BOOKS "SELECT * FROM (SELECT " ROW "FROM audit AS x " OF_BOOK
         "AND x.subject_id = $10::text AND x.last_id = '' " FILTERS OF_REQUEST NEWEST
         ") AS named UNION ALL SELECT * FROM (SELECT x.* FROM ("
         "SELECT request_id, merchant_id, actor FROM payout WHERE book_id = k.book_id "
         "AND payout_id = $12::uuid UNION ALL SELECT request_id, merchant_id, actor FROM recipient "
         "WHERE book_id = k.book_id AND recipient_id = $12::uuid) AS r "
         "CROSS JOIN LATERAL (SELECT " ROW "FROM audit AS x " OF_BOOK
         "AND x.audit_id >= $14::uuid AND x.audit_id < $15::uuid "
         "AND x.request_id = r.request_id AND x.merchant_id = r.merchant_id "
         "AND x.program || CASE WHEN x.person = '' THEN '' WHEN x.stated THEN ' says for ' "
         "ELSE ' for ' END || x.person = r.actor AND x.last_id <> '' "
         "AND $12::uuid::text COLLATE \"C\" BETWEEN x.subject_id AND x.last_id " FILTERS OF_REQUEST
             NEWEST ") AS x " NEWEST ") AS made) AS b ORDER BY b.audit_id DESC LIMIT $13"},
};

const db_stmt *audit_sql(audit_sql_id id) {
    ASSERT((int)id >= 0 && id < AUDIT_SQL_COUNT);
    return &STATEMENTS[id];
}
