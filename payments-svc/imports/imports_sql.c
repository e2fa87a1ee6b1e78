#include "imports/imports_sql.h"

#include "base/assert.h"

// Read by import_read: keep the order.
#define IMPORT_COLUMNS                                                                             \
    "import_id, merchant_id, key, file_name, size_bytes, state, received, row_count, "             \
    "fault_count, handed, accepted, refused, stop, actor, started_by, created_at, updated_at, "    \
    "sha256, started_request_id, started_trace_id "

// States: 1 UPLOADING 2 VALIDATING 3 VALID 4 INVALID 5 RUNNING 6 DONE 7 CANCELED.
static const db_stmt STATEMENTS[IMPORTS_SQL_COUNT] = {
    // Takes the lowest free place among the merchant's open imports; none free: no row. Two inserts at once take the same place, and one of
    // them fails.
    [IMPORTS_SQL_INSERT] =
        {"import_insert",
         "INSERT INTO payment_import (book_id, import_id, merchant_id, key, file_name, size_bytes, "
         "state, slot, received, row_count, fault_count, handed, accepted, refused, stop, actor, "
         "started_by, created_at, updated_at, request_hash) SELECT $1::bigint, $2::uuid, $3::text, "
         "$4::text, "
         "$5::text, $6::bigint, 1, g.n::smallint, 0, 0, 0, 0, 0, 0, false, $7::text, '', "
         "$8::timestamptz, $8::timestamptz, $10::bytea FROM generate_series(1, $9::int4) AS g(n) "
         "WHERE NOT EXISTS (SELECT 1 FROM payment_import AS i WHERE i.book_id = $1 "
         "AND i.merchant_id = $3 AND i.slot = g.n) ORDER BY g.n LIMIT 1"},
    [IMPORTS_SQL_GET] = {"import_get",
                         "SELECT " IMPORT_COLUMNS "FROM payment_import WHERE book_id = $1 "
                         "AND import_id = $2 AND merchant_id = $3"},
    [IMPORTS_SQL_LIST] = {"import_list",
                          "SELECT " IMPORT_COLUMNS "FROM payment_import WHERE book_id = $1 "
                          "AND merchant_id = $2 AND import_id < $3 ORDER BY import_id DESC "
                          "LIMIT $4"},
    [IMPORTS_SQL_LOCK] = {"import_lock",
                          "SELECT " IMPORT_COLUMNS "FROM payment_import WHERE book_id = $1 "
                          "AND import_id = $2 AND merchant_id = $3 FOR UPDATE"},
    // Under the row's lock.
    [IMPORTS_SQL_RECEIVED] = {"import_received",
                              "UPDATE payment_import SET received = $3, updated_at = $4 "
                              "WHERE book_id = $1 AND import_id = $2"},
    [IMPORTS_SQL_ADD_PART] = {"import_add_part",
                              "INSERT INTO import_part (book_id, import_id, at_byte, sealed) "
                              "VALUES ($1, $2, $3, $4)"},
    // So many after a byte: a file is read in pieces.
    [IMPORTS_SQL_PARTS] = {"import_parts",
                           "SELECT at_byte, sealed FROM import_part WHERE book_id = $1 "
                           "AND import_id = $2 AND at_byte >= $3 ORDER BY at_byte LIMIT $4"},
    [IMPORTS_SQL_DROP_PARTS] = {"import_drop_parts",
                                "DELETE FROM import_part WHERE book_id = $1 AND import_id = $2"},
    // Under the row's lock. An import that ends frees its place.
    [IMPORTS_SQL_MOVE] =
        {"import_move",
         "UPDATE payment_import SET state = $3, updated_at = $4, sha256 = coalesce($5, sha256), "
         "started_by = CASE WHEN $6 = '' THEN started_by ELSE $6 END, "
         "started_request_id = coalesce($7, started_request_id), "
         "started_trace_id = coalesce($8, started_trace_id), owner = NULL, "
         "lease_ends_at = NULL, slot = CASE WHEN $3 IN (4, 6, 7) THEN NULL ELSE slot END "
         "WHERE book_id = $1 AND import_id = $2"},
    [IMPORTS_SQL_STOP] = {"import_stop", "UPDATE payment_import SET stop = true, updated_at = $3 "
                                         "WHERE book_id = $1 AND import_id = $2"},
    [IMPORTS_SQL_FAULTS] = {"import_faults",
                            "SELECT number, line, field, reason, detail FROM import_fault "
                            "WHERE book_id = $1 AND import_id = $2 AND number > $3 "
                            "ORDER BY number LIMIT $4"},
    [IMPORTS_SQL_RESULTS] =
        {"import_results",
         "SELECT line, reference, payout_id, field, reason, detail FROM import_result "
         "WHERE book_id = $1 AND import_id = $2 AND line > $3 "
         "AND (NOT $5::bool OR payout_id IS NULL) ORDER BY line LIMIT $4"},
    // All books: the partial index holds only imports under way, which are few. Oldest first.
    [IMPORTS_SQL_WAITING] =
        {"import_waiting",
         "SELECT book_id, import_id, merchant_id FROM payment_import WHERE state IN (2, 5) "
         "AND (lease_ends_at IS NULL OR lease_ends_at <= statement_timestamp()) "
         "ORDER BY import_id LIMIT $1"},
    // Promise FENCED: only the database's clock sets and compares it.
    [IMPORTS_SQL_CLAIM] = {"import_claim",
                           "UPDATE payment_import SET owner = $3, "
                           "lease_ends_at = statement_timestamp() + $4 * interval '1 ms' "
                           "WHERE book_id = $1 AND import_id = $2 AND state IN (2, 5) "
                           "AND (lease_ends_at IS NULL OR lease_ends_at <= statement_timestamp()) "
                           "RETURNING " IMPORT_COLUMNS},
    [IMPORTS_SQL_RENEW] = {"import_renew",
                           "UPDATE payment_import SET "
                           "lease_ends_at = statement_timestamp() + $4 * interval '1 ms' "
                           "WHERE book_id = $1 AND import_id = $2 AND owner = $3 "
                           "AND state IN (2, 5)"},
    // Promise FENCED: no row if another instance has it, or it was canceled.
    [IMPORTS_SQL_JUDGED] =
        {"import_judged", "UPDATE payment_import SET state = $4, row_count = $5, fault_count = $6, "
                          "updated_at = $7, owner = NULL, lease_ends_at = NULL, "
                          "slot = CASE WHEN $4 = 4 THEN NULL ELSE slot END "
                          "WHERE book_id = $1 AND import_id = $2 AND owner = $3 AND state = 2"},
    [IMPORTS_SQL_HANDED] =
        {"import_handed",
         "UPDATE payment_import SET handed = $5, accepted = accepted + $6, refused = refused + $7, "
         "updated_at = $8, lease_ends_at = statement_timestamp() + $9 * interval '1 ms' "
         "WHERE book_id = $1 AND import_id = $2 AND owner = $3 AND state = 5 AND handed = $4 "
         "RETURNING stop"},
    // Open, and untouched for long. All books: open imports are few.
    [IMPORTS_SQL_IDLE] =
        {"import_idle", "SELECT book_id, import_id, merchant_id FROM payment_import "
                        "WHERE slot IS NOT NULL AND state IN (1, 3) AND updated_at < $1 LIMIT $2"},
};

const db_stmt *imports_sql(imports_sql_id id) {
    ASSERT((int)id >= 0 && id < IMPORTS_SQL_COUNT);
    return &STATEMENTS[id];
}
