#include "command/idempotency_sql.h"

#include "base/assert.h"

static const db_stmt STATEMENTS[IDEMPOTENCY_SQL_COUNT] = {
    // Looks up lists key by key, whatever the planner believes of the tables. A join, or = ANY in a cached plan, may read all of the book
    // for a handful of keys.
    [IDEMPOTENCY_SQL_LOOKUP] =
        {"idempotency_lookup",
         "SELECT u.n, i.request_hash, i.response, i.made, i.format "
         "FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS u(merchant_id, key, n) "
         "CROSS JOIN LATERAL (SELECT request_hash, response, made, format FROM idempotency "
         "WHERE book_id = $1 AND merchant_id = u.merchant_id AND operation = $4 AND key = u.key "
         "LIMIT 1) AS i"},
    // A payout is found by the intent that its key makes. An older payout, whose row has no hash of the request, has a row of idempotency
    // beside it. The second lookup runs only when the first has found nothing.
    [IDEMPOTENCY_SQL_LOOKUP_PAYOUT] =
        {"idempotency_lookup_payout",
         "SELECT u.n, i.request_hash, i.response, i.made, i.format "
         "FROM unnest($2::text[], $3::text[], $5::uuid[]) WITH ORDINALITY "
         "AS u(merchant_id, key, intent, n) CROSS JOIN LATERAL ("
         "SELECT request_hash, NULL::bytea AS response, payout_id AS made, 1::int2 AS format "
         "FROM payout WHERE book_id = $1 AND intent_id = u.intent AND request_hash IS NOT NULL "
         "UNION ALL SELECT request_hash, response, made, format FROM idempotency "
         "WHERE book_id = $1 AND merchant_id = u.merchant_id AND operation = $4 AND key = u.key "
         "LIMIT 1) AS i"},
    // The import is read for its answer: its state changes, and a repeat is answered as it stands.
    [IDEMPOTENCY_SQL_LOOKUP_IMPORT] =
        {"idempotency_lookup_import",
         "SELECT u.n, i.request_hash, NULL::bytea, i.import_id, 1::int2 "
         "FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS u(merchant_id, key, n) "
         "CROSS JOIN LATERAL (SELECT request_hash, import_id FROM payment_import "
         "WHERE book_id = $1 AND merchant_id = u.merchant_id AND key = u.key LIMIT 1) AS i"},
    [IDEMPOTENCY_SQL_LOOKUP_CASE] =
        {"idempotency_lookup_case",
         "SELECT u.n, i.request_hash, i.response, NULL::uuid, 1::int2 "
         "FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY AS u(case_id, key, n) "
         "CROSS JOIN LATERAL (SELECT request_hash, response FROM case_note "
         "WHERE book_id = $1 AND case_id = u.case_id AND request_key = u.key "
         "AND request_key <> '' LIMIT 1) AS i"},
};

const db_stmt *idempotency_sql(idempotency_sql_id id) {
    ASSERT((int)id >= 0 && id < IDEMPOTENCY_SQL_COUNT);
    return &STATEMENTS[id];
}
