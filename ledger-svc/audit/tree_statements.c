#include "audit/tree_statements.h"

#define HEAD_COLUMNS "size, root, previous_size, previous_root, time_us, key_id, signature"

const db_stmt TREE_STATEMENTS[TREE_STATEMENT_COUNT] = {
    // Reads across all books: which have rows that are not sealed?
    [TREE_BOOKS] = {"tree_books", "SELECT book_id, sequence FROM book_head WHERE book_id > $1 "
                                  "ORDER BY book_id LIMIT $2"},
    [TREE_LEAVES] = {"tree_leaves",
                     "SELECT sequence, leaf_hash FROM transfer "
                     "WHERE book_id = $1 AND sequence >= $2 AND sequence < $3 ORDER BY sequence"},
    [TREE_NODES] = {"tree_nodes", "SELECT node_index, hash FROM tree_node "
                                  "WHERE book_id = $1 AND level = $4 AND node_index >= $2 "
                                  "AND node_index < $3 ORDER BY node_index"},
    [TREE_HEAD_LATEST] = {"tree_head_latest", "SELECT " HEAD_COLUMNS " FROM tree_head "
                                              "WHERE book_id = $1 ORDER BY size DESC LIMIT 1"},
    [TREE_HEAD_OF_SIZE] = {"tree_head_of_size", "SELECT " HEAD_COLUMNS " FROM tree_head "
                                                "WHERE book_id = $1 AND size = $2"},
    [TREE_HEADS_AFTER] = {"tree_heads_after",
                          "SELECT " HEAD_COLUMNS " FROM tree_head "
                          "WHERE book_id = $1 AND size > $2 ORDER BY size LIMIT $3"},
    [TREE_HEAD_INSERT] = {"tree_head_insert",
                          "INSERT INTO tree_head (book_id, " HEAD_COLUMNS ") "
                          "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"},
    [TREE_TRANSFER_SEQUENCE] = {"tree_transfer_sequence",
                                "SELECT sequence FROM transfer "
                                "WHERE book_id = $1 AND transfer_id = $2"},
    // The first statement of its transaction. All later statements see the same moment.
    [TREE_CHECK_SNAPSHOT] = {"tree_check_snapshot",
                             "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"},
    [TREE_CHECK_BOOK] =
        {"tree_check_book",
         "SELECT h.sequence, h.checkpoint_sequence, (SELECT count(*) FROM account a "
         "WHERE a.book_id = $1) FROM book_head h WHERE h.book_id = $1"},
    [TREE_CHECK_ACCOUNTS] = {"tree_check_accounts",
                             "SELECT account_id, debits_pending, debits_posted, credits_pending, "
                             "credits_posted, state, flags FROM account "
                             "WHERE book_id = $1 AND account_id > $2 ORDER BY account_id LIMIT $3"},
};
