// Plain statements only: book_id in every WHERE, ids and times as parameters, nothing that a PostgreSQL distributed by
// book_id would refuse (README.md says what that is).
#include "store/statements.h"

#include "store/columns_internal.h"

#define HEAD_COLUMNS                                                                               \
    "h.sequence, h.timestamp_us, h.next_expires_us, h.checkpoint_sequence, h.burned_ids"

// For each wanted id, its row. Written as a lookup by key, row by row, because a plan is made once and kept: `= ANY($2)`, planned on an
// empty table, becomes a scan of the whole book, and stays one while the book grows.
#define BY_ID(columns, table, column)                                                              \
    "SELECT t.* FROM unnest($2::uuid[]) AS w (id) CROSS JOIN LATERAL (SELECT " columns             \
    " FROM " table " WHERE book_id = $1 AND " column " = w.id LIMIT 1) t"

const db_stmt STORE_STATEMENTS[STORE_STATEMENT_COUNT] = {
    [STORE_HEAD_LOCK] = {"head_lock",
                         "SELECT " HEAD_COLUMNS " FROM book_head h WHERE book_id = $1 FOR UPDATE"},
    [STORE_ACCOUNTS_LOAD] = {"accounts_load", BY_ID(ACCOUNT_COLUMNS, "account", "account_id")},
    [STORE_TRANSFERS_LOAD] = {"transfers_load", BY_ID(TRANSFER_COLUMNS, "transfer", "transfer_id")},
    [STORE_RESOLUTIONS_LOAD] = {"resolutions_load",
                                BY_ID("pending_id, kind", "transfer", "pending_id")},
    [STORE_REVERSALS_LOAD] = {"reversals_load", BY_ID(TRANSFER_COLUMNS, "transfer", "reverses_id")},
    [STORE_REFERENCES_LOAD] =
        {"references_load",
         "SELECT t.* FROM unnest($2::text[]) AS w (reference) CROSS JOIN LATERAL ("
         "SELECT external_reference FROM account "
         "WHERE book_id = $1 AND external_reference = w.reference LIMIT 1) t"},
    [STORE_BURNED_LOAD] = {"burned_load", BY_ID("transfer_id", "burned_transfer", "transfer_id")},
    // The index on expires_us keeps ended transfers, but before next_expires_us, where this scan starts.
    [STORE_DUE_LOAD] = {"due_load",
                        "SELECT " TRANSFER_COLUMNS " FROM transfer t LEFT JOIN LATERAL ("
                        "SELECT 1::bigint AS ended FROM transfer r "
                        "WHERE r.book_id = $1 AND r.pending_id = t.transfer_id LIMIT 1) e ON true "
                        "WHERE t.book_id = $1 AND t.expires_us >= $2 AND t.expires_us <= $3 "
                        "AND e.ended IS NULL ORDER BY t.expires_us, t.sequence LIMIT $4"},
    [STORE_NEXT_EXPIRY_LOAD] = {"next_expiry_load", "SELECT expires_us FROM transfer "
                                                    "WHERE book_id = $1 AND expires_us > $2 "
                                                    "ORDER BY expires_us LIMIT 1"},
    // The balances of the last checkpoint are part of the condition. An account with other balances is not updated, and then the count is
    // wrong.
    [STORE_ACCOUNTS_UPDATE] =
        {"accounts_update",
         "UPDATE account a SET debits_pending = v.debits_pending, debits_posted = v.debits_posted, "
         "credits_pending = v.credits_pending, credits_posted = v.credits_posted, "
         "state = v.state "
         "FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], "
         "$7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::smallint[]) AS v "
         "(account_id, was_debits_pending, was_debits_posted, was_credits_pending, "
         "was_credits_posted, debits_pending, debits_posted, credits_pending, credits_posted, "
         "state) "
         "WHERE a.book_id = $1 AND a.account_id = v.account_id "
         "AND a.debits_pending = v.was_debits_pending AND a.debits_posted = v.was_debits_posted "
         "AND a.credits_pending = v.was_credits_pending AND a.credits_posted = "
         "v.was_credits_posted"},
    [STORE_BURNED_SINCE] = {"burned_since",
                            "SELECT transfer_id, timestamp_us FROM burned_transfer "
                            "WHERE book_id = $1 AND timestamp_us > $2 ORDER BY timestamp_us"},
    [STORE_ROWS_READ] = {"rows_read", "SELECT " TRANSFER_COLUMNS " FROM transfer "
                                      "WHERE book_id = $1 AND sequence >= $2 AND sequence <= $3 "
                                      "ORDER BY sequence LIMIT $4"},
    // The posting that has a sequence, or the next one after it.
    [STORE_POSTINGS_UP] = {"postings_up",
                           "SELECT first_sequence, entries FROM posting "
                           "WHERE book_id = $1 AND account_id = $2 AND last_sequence >= $3 "
                           "ORDER BY last_sequence LIMIT $4"},
    [STORE_POSTINGS_DOWN] = {"postings_down",
                             "SELECT first_sequence, entries FROM posting "
                             "WHERE book_id = $1 AND account_id = $2 AND last_sequence <= $3 "
                             "AND last_sequence >= $4 ORDER BY last_sequence DESC LIMIT $5"},
    [STORE_HEAD_READ] = {"head_read",
                         "SELECT " HEAD_COLUMNS " FROM book_head h WHERE book_id = $1"},
    [STORE_TRANSFER_INSERT] = {"transfer_insert",
                               "INSERT INTO transfer (book_id, " TRANSFER_COLUMNS ") VALUES ("
                               "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
                               "$16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, "
                               "$29, $30, $31, $32)"},
    // Sent together with COMMIT, so an unexpected head must fail: no sequence is negative.
    [STORE_HEAD_UPDATE] =
        {"head_update",
         "UPDATE book_head SET sequence = CASE WHEN sequence = $2 AND timestamp_us = $3 "
         "AND next_expires_us = $4 AND checkpoint_sequence = $5 AND burned_ids = $6 THEN $7 "
         "ELSE -1 END, timestamp_us = $8, next_expires_us = $9, checkpoint_sequence = $10, "
         "burned_ids = $11 WHERE book_id = $1"},
    // Was our transaction committed? Object times are unique in a book, so only our row has this time and id.
    [STORE_ROW_COMMITTED] = {"row_committed",
                             "SELECT 1::bigint FROM transfer "
                             "WHERE book_id = $1 AND sequence = $2 AND timestamp_us = $3 "
                             "AND coalesce(transfer_id, pending_id) = $4"},
    [STORE_ACCOUNT_COMMITTED] = {"account_committed",
                                 "SELECT 1::bigint FROM account "
                                 "WHERE book_id = $1 AND account_id = $2 AND timestamp_us = $3"},
    [STORE_BURNED_COMMITTED] = {"burned_committed",
                                "SELECT 1::bigint FROM burned_transfer "
                                "WHERE book_id = $1 AND transfer_id = $2 AND timestamp_us = $3"},

    // The transfers that were linked with the one at $2. They begin after the last unlinked row before $2, and end with the first unlinked
    // row from $2 on. A chain is at most a batch long, so both scans end soon.
    [STORE_GROUP_READ] = {"group_read",
                          "SELECT t.transfer_id FROM transfer t WHERE t.book_id = $1 "
                          "AND t.sequence > coalesce((SELECT b.sequence FROM transfer b "
                          "WHERE b.book_id = $1 AND b.sequence < $2 AND b.flags & 1 = 0 "
                          "ORDER BY b.sequence DESC LIMIT 1), 0) "
                          "AND t.sequence <= (SELECT f.sequence FROM transfer f "
                          "WHERE f.book_id = $1 AND f.sequence >= $2 AND f.flags & 1 = 0 "
                          "ORDER BY f.sequence LIMIT 1) ORDER BY t.sequence"},

    // The only statement that looks across books. It finds books with a hold to release, by the time of the book's next object, and books
    // that need a checkpoint for rows that came to rest long ago (their process died first). It only reads.
    [STORE_DUE_BOOKS] = {"due_books", "SELECT book_id FROM book_head WHERE next_expires_us <= $1 "
                                      "OR next_expires_us <= timestamp_us + 1 "
                                      "OR (checkpoint_sequence < sequence AND timestamp_us <= $2) "
                                      "ORDER BY next_expires_us LIMIT $3"},

    [STORE_BOOK_INSERT] = {"book_insert",
                           "INSERT INTO book (book_id, name, created_us) VALUES ($1, $2, $3) "
                           "ON CONFLICT (book_id) DO NOTHING"},
    [STORE_HEAD_INSERT] =
        {"head_insert", "INSERT INTO book_head (book_id, sequence, timestamp_us, next_expires_us, "
                        "checkpoint_sequence, burned_ids) VALUES ($1, 0, $2, $3, 0, 0) ON CONFLICT "
                        "(book_id) DO NOTHING"},
    [STORE_BOOK_READ] = {"book_read",
                         "SELECT b.name, b.created_us, h.sequence FROM book b "
                         "JOIN book_head h ON h.book_id = b.book_id WHERE b.book_id = $1"},
    // One statement sees one moment: the balances are true at this sequence.
    [STORE_ACCOUNTS_LOOKUP] =
        {"accounts_lookup",
         "SELECT " HEAD_COLUMNS ", a.* FROM book_head h LEFT JOIN ("
         "unnest($2::uuid[]) AS w (id) CROSS JOIN LATERAL (SELECT " ACCOUNT_COLUMNS
         " FROM account WHERE book_id = $1 AND account_id = w.id LIMIT 1) a"
         ") ON true WHERE h.book_id = $1"},
    // The same for a single account. Its plan is made once; for an array it is made at each call, since the length may matter.
    [STORE_ACCOUNT_LOOKUP] = {"account_lookup",
                              "SELECT " HEAD_COLUMNS ", a.* FROM book_head h LEFT JOIN LATERAL ("
                              "SELECT " ACCOUNT_COLUMNS " FROM account "
                              "WHERE book_id = $1 AND account_id = $2 LIMIT 1) a ON true "
                              "WHERE h.book_id = $1"},
    [STORE_TRIAL_BALANCE] =
        {"trial_balance",
         "SELECT " HEAD_COLUMNS
         ", a.currency, sum(a.debits_pending)::text, sum(a.debits_posted)::text, "
         "sum(a.credits_pending)::text, sum(a.credits_posted)::text, count(a.account_id) "
         "FROM book_head h LEFT JOIN account a ON a.book_id = h.book_id "
         "WHERE h.book_id = $1 GROUP BY h.book_id, a.currency ORDER BY a.currency"},
    // A row's effect on its accounts: kind 2 (pending) adds to the reserved balance, kinds 1 and 3 to the posted. A row that ends a pending
    // transfer takes its whole reservation away. The kept balances are the account row plus the rows after the checkpoint.
    [STORE_ACCOUNTS_CHECK] =
        {"accounts_check",
         "SELECT h.sequence, a.account_id, "
         "(a.debits_pending + coalesce(j.late_debits_pending, 0))::bigint, "
         "(a.debits_posted + coalesce(j.late_debits_posted, 0))::bigint, "
         "(a.credits_pending + coalesce(j.late_credits_pending, 0))::bigint, "
         "(a.credits_posted + coalesce(j.late_credits_posted, 0))::bigint, "
         "coalesce(j.debits_pending, 0)::bigint, coalesce(j.debits_posted, 0)::bigint, "
         "coalesce(j.credits_pending, 0)::bigint, coalesce(j.credits_posted, 0)::bigint, "
         "coalesce(j.entries, 0)::bigint "
         "FROM book_head h LEFT JOIN account a ON a.book_id = h.book_id AND a.account_id = ANY($2) "
         "LEFT JOIN (SELECT e.account_id, count(*) AS entries, "
         "sum(e.debits_pending) AS debits_pending, sum(e.debits_posted) AS debits_posted, "
         "sum(e.credits_pending) AS credits_pending, sum(e.credits_posted) AS credits_posted, "
         "sum(e.debits_pending) FILTER (WHERE e.late) AS late_debits_pending, "
         "sum(e.debits_posted) FILTER (WHERE e.late) AS late_debits_posted, "
         "sum(e.credits_pending) FILTER (WHERE e.late) AS late_credits_pending, "
         "sum(e.credits_posted) FILTER (WHERE e.late) AS late_credits_posted FROM ("
         "SELECT t.debit_account_id AS account_id, t.sequence > b.checkpoint_sequence AS late, "
         "CASE WHEN t.kind = 2 THEN t.amount ELSE -coalesce(t.released, 0) END AS debits_pending, "
         "CASE WHEN t.kind IN (1, 3) THEN t.amount ELSE 0 END AS debits_posted, "
         "0::bigint AS credits_pending, 0::bigint AS credits_posted "
         "FROM transfer t JOIN book_head b ON b.book_id = $1 "
         "WHERE t.book_id = $1 AND t.debit_account_id = ANY($2) "
         "UNION ALL "
         "SELECT t.credit_account_id, t.sequence > b.checkpoint_sequence, 0::bigint, 0::bigint, "
         "CASE WHEN t.kind = 2 THEN t.amount ELSE -coalesce(t.released, 0) END, "
         "CASE WHEN t.kind IN (1, 3) THEN t.amount ELSE 0 END "
         "FROM transfer t JOIN book_head b ON b.book_id = $1 "
         "WHERE t.book_id = $1 AND t.credit_account_id = ANY($2)"
         ") e GROUP BY e.account_id) j ON j.account_id = a.account_id "
         "WHERE h.book_id = $1"},
    [STORE_JOURNAL_READ] = {"journal_read",
                            "SELECT " TRANSFER_COLUMNS " FROM transfer "
                            "WHERE book_id = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3"},
};

const store_copy_target STORE_COPY_ACCOUNT = {"account", "book_id, " ACCOUNT_COLUMNS, 18};
const store_copy_target STORE_COPY_ACCOUNT_METADATA = {"account_metadata",
                                                       "book_id, key, value, timestamp_us", 4};
const store_copy_target STORE_COPY_TRANSFER_METADATA = {"transfer_metadata",
                                                        "book_id, key, value, sequence", 4};
const store_copy_target STORE_COPY_TRANSFER = {"transfer", "book_id, " TRANSFER_COLUMNS, 32};
const store_copy_target STORE_COPY_BURNED = {"burned_transfer",
                                             "book_id, transfer_id, status, timestamp_us", 4};
const store_copy_target STORE_COPY_POSTING = {
    "posting", "book_id, account_id, last_sequence, first_sequence, entries", 5};
