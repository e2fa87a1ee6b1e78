// Every SQL string of the audit in one table, so that a test can read all. Plain statements, book_id in every WHERE.
#ifndef AUDIT_TREE_STATEMENTS_H
#define AUDIT_TREE_STATEMENTS_H

#include "db/db.h"

typedef enum tree_statement {
    // The sealer, and proofs.
    TREE_BOOKS,
    TREE_LEAVES,
    TREE_NODES,
    TREE_HEAD_LATEST,
    TREE_HEAD_OF_SIZE,
    TREE_HEADS_AFTER,
    TREE_HEAD_INSERT,
    TREE_TRANSFER_SEQUENCE,
    // The check of a book.
    TREE_CHECK_SNAPSHOT,
    TREE_CHECK_BOOK,
    TREE_CHECK_ACCOUNTS,
    TREE_STATEMENT_COUNT
} tree_statement;

extern const db_stmt TREE_STATEMENTS[TREE_STATEMENT_COUNT];

#define TREE_NODE_TABLE "tree_node"
#define TREE_NODE_COLUMNS "book_id, level, node_index, hash"
enum { TREE_NODE_N_COLUMNS = 4 };

#endif
