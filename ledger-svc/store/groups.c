// Which transfers were linked together, for the reversal of a whole group.
#include "base/assert.h"
#include "base/map.h"
#include "store/rows_internal.h"

enum { PIPE_MAX = 32 };

static bool group_take(arena *a, const db_rows *r, store_group *out, err *e) {
    out->n = db_count(r);
    out->ids = store_array(a, out->n, sizeof *out->ids, e);
    for (size_t i = 0; out->ids != NULL && i < out->n; i++) {
        out->ids[i] = db_get_uuid(r, i, 0);
    }
    return out->ids != NULL;
}

// Reads at most PIPE_MAX groups in one round trip. A sequence of 0 stands for a missing transfer.
static bool groups_read(db_conn *c, arena *a, int64_t book_id, const int64_t *sequences, size_t n,
                        store_group *groups, err *e) {
    db_pipe *pipe = db_pipe_begin(c, a);
    for (size_t i = 0; i < n; i++) {
        db_params *p = db_params_create(a);
        db_i64(p, book_id);
        db_i64(p, sequences[i]);
        db_pipe_add(pipe, &STORE_STATEMENTS[STORE_GROUP_READ], p);
    }
    if (!db_pipe_run(pipe, e)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (sequences[i] != 0 && !group_take(a, db_pipe_rows(pipe, i), &groups[i], e)) {
            return false;
        }
    }
    return true;
}

static bool sequences_of(arena *a, store_ids ids, const ledger_row *rows, size_t n_rows,
                         int64_t **out, err *e) {
    *out = store_array(a, ids.n, sizeof **out, e);
    if (*out == NULL) {
        return false;
    }
    map *by_id = map_create(n_rows, n_rows + 1);
    for (size_t i = 0; i < n_rows; i++) {
        MUST(map_put(by_id, rows[i].id, (void *)&rows[i]));
    }
    for (size_t i = 0; i < ids.n; i++) {
        const ledger_row *row = map_get(by_id, ids.ids[i]);
        (*out)[i] = row == NULL ? 0 : row->sequence;
    }
    map_destroy(by_id);
    return true;
}

bool store_read_groups(db_conn *c, arena *a, int64_t book_id, store_ids ids, bool *exists,
                       store_group **groups, err *e) {
    ledger_row *rows = NULL;
    size_t n_rows = 0;
    int64_t *sequences = NULL;
    *groups = store_array(a, ids.n, sizeof **groups, e);
    if (*groups == NULL || !store_lookup_transfers(c, a, book_id, ids, exists, &rows, &n_rows, e) ||
        !sequences_of(a, ids, rows, n_rows, &sequences, e)) {
        return false;
    }
    for (size_t i = 0; i < ids.n; i += PIPE_MAX) {
        const size_t n = ids.n - i < PIPE_MAX ? ids.n - i : PIPE_MAX;
        if (!groups_read(c, a, book_id, sequences + i, n, *groups + i, e)) {
            return false;
        }
    }
    return true;
}
