// The tree's tables as typed C. Functions run on the caller's thread and block. Results live in the arena. Errors are those of shared/db,
// plus DATA_LOSS when a required row is missing, and RESOURCE_EXHAUSTED when the arena is full.
#ifndef AUDIT_TREE_STORE_H
#define AUDIT_TREE_STORE_H

#include "audit/head.h"
#include "db/db.h"

// The kept levels: 8, 16, …
enum { TREE_LEVEL_STEP = 8 };

// Context of tree_read_subtree: reads a book's stored subtrees and computes the subtrees between the stored levels.
typedef struct tree_reader {
    db_conn *c;
    arena *a;
    int64_t book_id;
} tree_reader;
// A merkle_read; arg is a tree_reader.
bool tree_read_subtree(void *arg, unsigned level, uint64_t index, merkle_hash *out,
                       err *e) WARN_UNUSED;

// The leaves of the rows first … first + n - 1. DATA_LOSS names the first sequence that is missing.
bool tree_leaves(db_conn *c, arena *a, int64_t book_id, uint64_t first_sequence, uint64_t n,
                 merkle_hash **leaves, err *e) WARN_UNUSED;

typedef struct tree_node {
    unsigned level;
    uint64_t index;
    merkle_hash hash;
} tree_node;
// Adds nodes. Call inside a transaction.
bool tree_nodes_insert(db_conn *c, int64_t book_id, const tree_node *nodes, size_t n,
                       err *e) WARN_UNUSED;

// Loads the head of this size; size 0: the latest. *exists is false when there is no such head.
bool tree_head_load(db_conn *c, arena *a, int64_t book_id, uint64_t size, bool *exists,
                    tree_head *head, err *e) WARN_UNUSED;
// Up to max heads larger than a size, in order.
bool tree_heads_after(db_conn *c, arena *a, int64_t book_id, uint64_t size, size_t max,
                      tree_head **heads, size_t *n, err *e) WARN_UNUSED;
// *inserted is false when another head of this size, or after the same previous one, is there already.
bool tree_head_insert(db_conn *c, arena *a, const tree_head *head, bool *inserted,
                      err *e) WARN_UNUSED;

typedef struct tree_book {
    int64_t book_id;
    uint64_t sequence; // of the last journal row
} tree_book;
// Up to max books with a greater id, in order.
bool tree_books(db_conn *c, arena *a, int64_t after_book_id, size_t max, tree_book **books,
                size_t *n, err *e) WARN_UNUSED;

// The sequence of a transfer; 0 when no transfer has this id.
bool tree_transfer_sequence(db_conn *c, arena *a, int64_t book_id, uuid id, uint64_t *sequence,
                            err *e) WARN_UNUSED;

#endif
