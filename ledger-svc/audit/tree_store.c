#include "audit/tree_store.h"

#include <string.h>

#include "audit/tree_statements.h"
#include "base/assert.h"

static void *array(arena *a, size_t n, size_t size, err *e) {
    void *memory = arena_calloc(a, n == 0 ? 1 : n, size);
    if (memory == NULL) {
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE",
                      "the answer is larger than one call may be");
    }
    return memory;
}

static db_params *params(arena *a, int64_t book_id) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    return p;
}

static bool run(db_conn *c, arena *a, tree_statement s, const db_params *p, db_rows **rows,
                err *e) {
    return db_exec(c, &TREE_STATEMENTS[s], p, a, rows, NULL, e);
}

static bool get_bytes(const db_rows *r, size_t row, int col, void *out, size_t len) {
    const str bytes = db_get_str(r, row, col);
    if (bytes.len == len) {
        memcpy(out, bytes.ptr, len);
    }
    return bytes.len == len;
}

static bool missing(err *e, const char *what, int64_t book_id, uint64_t place) {
    return err_set(e, ERR_DATA_LOSS, "TREE_INCOMPLETE", "book %lld: %s %llu is not in the database",
                   (long long)book_id, what, (unsigned long long)place);
}

// Reads rows of (place, hash). Their places must be first … first + n - 1.
static bool hashes_read(const db_rows *r, int64_t book_id, const char *what, uint64_t first,
                        uint64_t n, merkle_hash *out, err *e) {
    for (uint64_t i = 0; i < n; i++) {
        if (i >= db_count(r) || db_get_i64(r, i, 0) != (int64_t)(first + i) ||
            !get_bytes(r, i, 1, out[i].b, sizeof out[i].b)) {
            return missing(e, what, book_id, first + i);
        }
    }
    return true;
}

bool tree_leaves(db_conn *c, arena *a, int64_t book_id, uint64_t first_sequence, uint64_t n,
                 merkle_hash **leaves, err *e) {
    db_params *p = params(a, book_id);
    db_i64(p, (int64_t)first_sequence);
    db_i64(p, (int64_t)(first_sequence + n));
    db_rows *rows = NULL;
    *leaves = array(a, n, sizeof **leaves, e);
    return *leaves != NULL && run(c, a, TREE_LEAVES, p, &rows, e) &&
           hashes_read(rows, book_id, "journal row", first_sequence, n, *leaves, e);
}

bool tree_read_subtree(void *arg, unsigned level, uint64_t index, merkle_hash *out, err *e) {
    const tree_reader *t = arg;
    const unsigned base = level / TREE_LEVEL_STEP * TREE_LEVEL_STEP;
    const unsigned above = level - base; // levels to compute: at most 7, from at most 128 hashes
    const uint64_t n = (uint64_t)1 << above, first = index << above;
    merkle_hash *hashes = NULL;
    if (base == 0) {
        if (!tree_leaves(t->c, t->a, t->book_id, first + 1, n, &hashes, e)) {
            return false;
        }
    } else {
        db_params *p = params(t->a, t->book_id);
        db_i64(p, (int64_t)first);
        db_i64(p, (int64_t)(first + n));
        db_i16(p, (int16_t)base);
        db_rows *rows = NULL;
        hashes = array(t->a, n, sizeof *hashes, e);
        if (hashes == NULL || !run(t->c, t->a, TREE_NODES, p, &rows, e) ||
            !hashes_read(rows, t->book_id, "tree node", first, n, hashes, e)) {
            return false;
        }
    }
    for (uint64_t width = n; width > 1; width /= 2) {
        for (uint64_t i = 0; i < width / 2; i++) {
            hashes[i] = merkle_node(&hashes[2 * i], &hashes[2 * i + 1]);
        }
    }
    *out = hashes[0];
    return true;
}

bool tree_nodes_insert(db_conn *c, int64_t book_id, const tree_node *nodes, size_t n, err *e) {
    if (n == 0) {
        return true;
    }
    db_copy *w = db_copy_begin(c, TREE_NODE_TABLE, TREE_NODE_COLUMNS, TREE_NODE_N_COLUMNS, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        db_copy_row(w);
        db_copy_i64(w, book_id);
        db_copy_i16(w, (int16_t)nodes[i].level);
        db_copy_i64(w, (int64_t)nodes[i].index);
        db_copy_bytes(w, nodes[i].hash.b, sizeof nodes[i].hash.b);
    }
    int64_t written = 0;
    if (!db_copy_end(w, &written, e)) {
        return false;
    }
    ASSERT(written == (int64_t)n);
    return true;
}

static bool head_read(const db_rows *r, size_t row, int64_t book_id, tree_head *h, err *e) {
    memset(h, 0, sizeof *h);
    h->book_id = book_id;
    h->size = (uint64_t)db_get_i64(r, row, 0);
    h->previous_size = (uint64_t)db_get_i64(r, row, 2);
    h->time_us = db_get_i64(r, row, 4);
    return (get_bytes(r, row, 1, h->root.b, sizeof h->root.b) &&
            get_bytes(r, row, 3, h->previous_root.b, sizeof h->previous_root.b) &&
            get_bytes(r, row, 5, h->key_id, sizeof h->key_id) &&
            get_bytes(r, row, 6, h->signature, sizeof h->signature)) ||
           missing(e, "a whole tree head of size", book_id, h->size);
}

bool tree_head_load(db_conn *c, arena *a, int64_t book_id, uint64_t size, bool *exists,
                    tree_head *head, err *e) {
    db_params *p = params(a, book_id);
    db_rows *rows = NULL;
    if (size != 0) {
        db_i64(p, (int64_t)size);
    }
    if (!run(c, a, size == 0 ? TREE_HEAD_LATEST : TREE_HEAD_OF_SIZE, p, &rows, e)) {
        return false;
    }
    *exists = db_count(rows) == 1;
    return !*exists || head_read(rows, 0, book_id, head, e);
}

bool tree_heads_after(db_conn *c, arena *a, int64_t book_id, uint64_t size, size_t max,
                      tree_head **heads, size_t *n, err *e) {
    db_params *p = params(a, book_id);
    db_i64(p, (int64_t)size);
    db_i64(p, (int64_t)max);
    db_rows *rows = NULL;
    if (!run(c, a, TREE_HEADS_AFTER, p, &rows, e)) {
        return false;
    }
    *n = db_count(rows);
    *heads = array(a, *n, sizeof **heads, e);
    bool ok = *heads != NULL;
    for (size_t i = 0; ok && i < *n; i++) {
        ok = head_read(rows, i, book_id, &(*heads)[i], e);
    }
    return ok;
}

bool tree_head_insert(db_conn *c, arena *a, const tree_head *h, bool *inserted, err *e) {
    db_params *p = params(a, h->book_id);
    db_i64(p, (int64_t)h->size);
    db_bytes(p, h->root.b, sizeof h->root.b);
    db_i64(p, (int64_t)h->previous_size);
    db_bytes(p, h->previous_root.b, sizeof h->previous_root.b);
    db_i64(p, h->time_us);
    db_bytes(p, h->key_id, sizeof h->key_id);
    db_bytes(p, h->signature, sizeof h->signature);
    int64_t n = 0;
    if (!db_exec(c, &TREE_STATEMENTS[TREE_HEAD_INSERT], p, a, NULL, &n, e)) {
        return false;
    }
    *inserted = n == 1;
    return true;
}

bool tree_books(db_conn *c, arena *a, int64_t after_book_id, size_t max, tree_book **books,
                size_t *n, err *e) {
    db_params *p = params(a, after_book_id);
    db_i64(p, (int64_t)max);
    db_rows *rows = NULL;
    if (!run(c, a, TREE_BOOKS, p, &rows, e)) {
        return false;
    }
    *n = db_count(rows);
    *books = array(a, *n, sizeof **books, e);
    for (size_t i = 0; *books != NULL && i < *n; i++) {
        (*books)[i] = (tree_book){db_get_i64(rows, i, 0), (uint64_t)db_get_i64(rows, i, 1)};
    }
    return *books != NULL;
}

bool tree_transfer_sequence(db_conn *c, arena *a, int64_t book_id, uuid id, uint64_t *sequence,
                            err *e) {
    db_params *p = params(a, book_id);
    db_uuid(p, id);
    db_rows *rows = NULL;
    if (!run(c, a, TREE_TRANSFER_SEQUENCE, p, &rows, e)) {
        return false;
    }
    *sequence = db_count(rows) == 0 ? 0 : (uint64_t)db_get_i64(rows, 0, 0);
    return true;
}
