// One text serves every combination of filters: a part that is not given is NULL, and true. A page never depends on the planner's choice of
// index: candidates come from one index, by position, and rows are fetched by their key.
#include "store/list_statements.h"

#include "store/columns_internal.h"

// A row's outcome, by the two unique indexes that allow at most one. LIMIT keeps these lookups by key. They run only for rows that may have
// an outcome: in most books nothing was ever reversed.
#define ENDED                                                                                      \
    "(SELECT r.kind FROM transfer r "                                                              \
    "WHERE r.book_id = $1 AND r.pending_id = t.transfer_id LIMIT 1)"
#define ANY_REVERSED                                                                               \
    "(SELECT true FROM transfer x WHERE x.book_id = $1 AND x.reverses_id IS NOT NULL LIMIT 1)"
#define OUTCOMES                                                                                   \
    "CASE WHEN t.kind = 2 THEN " ENDED " END AS ended, CASE WHEN " ANY_REVERSED                    \
    " THEN (SELECT v.transfer_id FROM transfer v WHERE v.book_id = $1 "                            \
    "AND v.reverses_id = t.transfer_id LIMIT 1) END AS reversed_by"
#define HAS_METADATA(key, value, table, column)                                                    \
    "(" key "::text IS NULL OR (SELECT true FROM " table " l WHERE l.book_id = $1 "                \
    "AND l.key = " key " AND (" value "::text IS NULL OR l.value = " value ") "                    \
    "AND l." column " = t." column " LIMIT 1))"
#define TRANSFER_METADATA_PASSES HAS_METADATA("$13", "$14", "transfer_metadata", "sequence")
#define ACCOUNT_METADATA_PASSES HAS_METADATA("$9", "$10", "account_metadata", "timestamp_us")

#define TRANSFER_PASSES                                                                            \
    "($2::uuid IS NULL OR ($3::smallint <> 2 AND t.debit_account_id = $2) "                        \
    "OR ($3 <> 1 AND t.credit_account_id = $2)) "                                                  \
    "AND ($4::integer IS NULL OR t.code = $4) "                                                    \
    "AND ($5::text IS NULL OR t.currency = $5) "                                                   \
    "AND ($6::text IS NULL OR t.external_reference = $6) "                                         \
    "AND ($7::uuid IS NULL OR t.user_data_128 = $7) "                                              \
    "AND ($8::bigint IS NULL OR t.user_data_64 = $8) "                                             \
    "AND ($9::integer IS NULL OR t.user_data_32 = $9) "                                            \
    "AND ($10::smallint IS NULL OR t.kind = $10) "                                                 \
    "AND ($11::bigint IS NULL OR coalesce(t.effective_us, t.timestamp_us) >= $11) "                \
    "AND ($12::bigint IS NULL OR coalesce(t.effective_us, t.timestamp_us) < $12) "                 \
    "AND " TRANSFER_METADATA_PASSES " "                                                            \
    "AND ($15::smallint IS NULL OR coalesce(" ENDED ", 0::smallint) = $15) "                       \
    "AND (NOT $16::boolean OR t.effective_us IS NULL)"

#define ROWS_OF_RANGE(order)                                                                       \
    "SELECT t.*, " OUTCOMES " FROM (SELECT " TRANSFER_COLUMNS " FROM transfer "                    \
    "WHERE book_id = $1 AND sequence >= $17 AND sequence <= $18) t "                               \
    "WHERE " TRANSFER_PASSES " ORDER BY t.sequence" order " LIMIT $19"
#define ROWS_AT(order)                                                                             \
    "SELECT t.*, " OUTCOMES " FROM unnest($17::bigint[]) AS w (wanted) "                           \
    "CROSS JOIN LATERAL (SELECT " TRANSFER_COLUMNS " FROM transfer "                               \
    "WHERE book_id = $1 AND sequence = w.wanted LIMIT 1) t "                                       \
    "WHERE " TRANSFER_PASSES " ORDER BY t.sequence" order " LIMIT $18"

// Positions from one index.
#define POSITIONS(column, table, condition, order)                                                 \
    "SELECT " column " FROM " table " WHERE book_id = $1 AND " column " >= $2 AND " column         \
    " <= $3" condition " ORDER BY " column order " LIMIT $4"

#define ACCOUNTS_AT(order)                                                                         \
    "SELECT t.* FROM unnest($11::bigint[]) AS w (wanted) "                                         \
    "CROSS JOIN LATERAL (SELECT " ACCOUNT_COLUMNS " FROM account "                                 \
    "WHERE book_id = $1 AND timestamp_us = w.wanted LIMIT 1) t "                                   \
    "WHERE ($2::integer IS NULL OR t.code = $2) "                                                  \
    "AND ($3::text IS NULL OR t.currency = $3) "                                                   \
    "AND ($4::text IS NULL OR t.external_reference = $4) "                                         \
    "AND ($5::uuid IS NULL OR t.user_data_128 = $5) "                                              \
    "AND ($6::bigint IS NULL OR t.user_data_64 = $6) "                                             \
    "AND ($7::integer IS NULL OR t.user_data_32 = $7) "                                            \
    "AND t.flags & $8::smallint = $8 "                                                             \
    "AND " ACCOUNT_METADATA_PASSES " "                                                             \
    "ORDER BY t.timestamp_us" order " LIMIT $12"

// Backdated entries of one side.
#define BACKDATED(side)                                                                            \
    "(SELECT t.effective_us, t.sequence FROM transfer t WHERE t.book_id = $1 AND t." side          \
    " = $2 AND t.effective_us IS NOT NULL AND t.effective_us >= $3 "                               \
    "AND (t.effective_us, t.sequence) > ($3, $4) AND t.effective_us < $5 AND t.sequence <= $6 "    \
    "ORDER BY t.effective_us, t.sequence LIMIT $7)"
#define BACKDATED_EFFECT(side, debit, credit)                                                      \
    "SELECT " debit " * (CASE WHEN t.kind = 2 THEN t.amount ELSE -coalesce(t.released, 0) END) "   \
    "AS debits_pending, "                                                                          \
    "CASE WHEN t.kind IN (1, 3) THEN " debit " * t.amount ELSE 0 END AS debits_posted, " credit    \
    " * (CASE WHEN t.kind = 2 THEN t.amount ELSE -coalesce(t.released, 0) END) "                   \
    "AS credits_pending, "                                                                         \
    "CASE WHEN t.kind IN (1, 3) THEN " credit " * t.amount ELSE 0 END AS credits_posted "          \
    "FROM transfer t WHERE t.book_id = $1 AND t." side " = $2 AND t.effective_us IS NOT NULL "     \
    "AND t.effective_us <= $3 AND t.sequence > $4 AND t.sequence <= $5"

const db_stmt LIST_STATEMENTS[LIST_STATEMENT_COUNT] = {
    [LIST_TIMES] = {"list_times",
                    "SELECT t.* FROM unnest($2::bigint[]) AS w (wanted) CROSS JOIN LATERAL ("
                    "SELECT sequence, timestamp_us FROM transfer "
                    "WHERE book_id = $1 AND sequence = w.wanted LIMIT 1) t"},
    [LIST_BY_ID] = {"list_by_id", "SELECT t.*, " OUTCOMES " FROM unnest($2::uuid[]) AS w (wanted) "
                                  "CROSS JOIN LATERAL (SELECT " TRANSFER_COLUMNS " FROM transfer "
                                  "WHERE book_id = $1 AND transfer_id = w.wanted LIMIT 1) t"},
    // In no order: the first row is sent while the next is still sought.
    [LIST_BY_SEQUENCE] = {"list_by_sequence",
                          "SELECT " TRANSFER_COLUMNS ", " OUTCOMES " FROM transfer t "
                          "WHERE t.book_id = $1 AND t.sequence = ANY($2::bigint[])"},
    [LIST_ROWS_UP] = {"list_rows_up", ROWS_OF_RANGE("")},
    [LIST_ROWS_DOWN] = {"list_rows_down", ROWS_OF_RANGE(" DESC")},
    [LIST_ROWS_AT_UP] = {"list_rows_at_up", ROWS_AT("")},
    [LIST_ROWS_AT_DOWN] = {"list_rows_at_down", ROWS_AT(" DESC")},
    [LIST_REFERENCE_UP] = {"list_reference_up",
                           POSITIONS("sequence", "transfer", " AND external_reference = $5", "")},
    [LIST_REFERENCE_DOWN] = {"list_reference_down",
                             POSITIONS("sequence", "transfer", " AND external_reference = $5",
                                       " DESC")},
    [LIST_METADATA_UP] = {"list_metadata_up", POSITIONS("sequence", "transfer_metadata",
                                                        " AND key = $5 AND value = $6", "")},
    [LIST_METADATA_DOWN] = {"list_metadata_down",
                            POSITIONS("sequence", "transfer_metadata",
                                      " AND key = $5 AND value = $6", " DESC")},
    [LIST_METADATA_KEY_UP] = {"list_metadata_key_up",
                              POSITIONS("sequence", "transfer_metadata", " AND key = $5", "")},
    [LIST_METADATA_KEY_DOWN] = {"list_metadata_key_down", POSITIONS("sequence", "transfer_metadata",
                                                                    " AND key = $5", " DESC")},
    [LIST_BACKDATED] =
        {"list_backdated",
         "SELECT x.sequence FROM (" BACKDATED("debit_account_id") " UNION ALL " BACKDATED(
             "credit_account_id") ") x ORDER BY x.effective_us, x.sequence LIMIT $7"},
    [LIST_BACKDATED_SUM] =
        {"list_backdated_sum",
         "SELECT coalesce(sum(x.debits_pending), 0)::bigint, "
         "coalesce(sum(x.debits_posted), 0)::bigint, coalesce(sum(x.credits_pending), 0)::bigint, "
         "coalesce(sum(x.credits_posted), 0)::bigint FROM (" BACKDATED_EFFECT(
             "debit_account_id", "1", "0") " UNION ALL " BACKDATED_EFFECT("credit_account_id", "0",
                                                                          "1") ") x"},
    [LIST_ACCOUNT_TIMES_UP] = {"list_account_times_up",
                               POSITIONS("timestamp_us", "account", "", "")},
    [LIST_ACCOUNT_TIMES_DOWN] = {"list_account_times_down",
                                 POSITIONS("timestamp_us", "account", "", " DESC")},
    // At most one row, so no ORDER BY.
    [LIST_ACCOUNT_REFERENCE] = {"list_account_reference",
                                POSITIONS("timestamp_us", "account", " AND external_reference = $5",
                                          "")},
    [LIST_ACCOUNT_METADATA_UP] = {"list_account_metadata_up",
                                  POSITIONS("timestamp_us", "account_metadata",
                                            " AND key = $5 AND value = $6", "")},
    [LIST_ACCOUNT_METADATA_DOWN] = {"list_account_metadata_down",
                                    POSITIONS("timestamp_us", "account_metadata",
                                              " AND key = $5 AND value = $6", " DESC")},
    [LIST_ACCOUNT_METADATA_KEY_UP] = {"list_account_metadata_key_up",
                                      POSITIONS("timestamp_us", "account_metadata", " AND key = $5",
                                                "")},
    [LIST_ACCOUNT_METADATA_KEY_DOWN] = {"list_account_metadata_key_down",
                                        POSITIONS("timestamp_us", "account_metadata",
                                                  " AND key = $5", " DESC")},
    [LIST_ACCOUNTS_AT_UP] = {"list_accounts_at_up", ACCOUNTS_AT("")},
    [LIST_ACCOUNTS_AT_DOWN] = {"list_accounts_at_down", ACCOUNTS_AT(" DESC")},
};
