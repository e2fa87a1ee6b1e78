// The reads and writes of the commit path.
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "store/rows_internal.h"

// --- Loading ---------------------------------------------------------------------------------------------------------

enum { NOT_ASKED = -1 };

// Adds the statement if the list has ids. Returns its place in the pipeline.
static int add_ids(db_pipe *pipe, arena *a, int *n, store_statement statement, int64_t book_id,
                   store_ids ids) {
    if (ids.n == 0) {
        return NOT_ASKED;
    }
    db_params *p = store_params(a, book_id);
    db_uuid_array(p, ids.ids, ids.n);
    db_pipe_add(pipe, &STORE_STATEMENTS[statement], p);
    return (*n)++;
}

static int add_references(db_pipe *pipe, arena *a, int *n, int64_t book_id, const store_wanted *w) {
    if (w->n_references == 0) {
        return NOT_ASKED;
    }
    db_params *p = store_params(a, book_id);
    db_text_array(p, w->references, w->n_references);
    db_pipe_add(pipe, &STORE_STATEMENTS[STORE_REFERENCES_LOAD], p);
    return (*n)++;
}

static bool resolutions_read(arena *a, const db_rows *r, store_found *f, err *e) {
    f->n_resolutions = db_count(r);
    f->resolutions = store_array(a, f->n_resolutions, sizeof *f->resolutions, e);
    for (size_t i = 0; f->resolutions != NULL && i < f->n_resolutions; i++) {
        f->resolutions[i] =
            (store_resolution){db_get_uuid(r, i, 0), (ledger_kind)db_get_i16(r, i, 1)};
    }
    return f->resolutions != NULL;
}

static bool references_read(arena *a, const db_rows *r, store_found *f, err *e) {
    f->n_references = db_count(r);
    f->references = store_array(a, f->n_references, sizeof *f->references, e);
    for (size_t i = 0; f->references != NULL && i < f->n_references; i++) {
        f->references[i] = db_get_str(r, i, 0);
    }
    return f->references != NULL;
}

static bool burned_read(arena *a, const db_rows *r, store_found *f, err *e) {
    f->n_burned = db_count(r);
    f->burned = store_array(a, f->n_burned, sizeof *f->burned, e);
    for (size_t i = 0; f->burned != NULL && i < f->n_burned; i++) {
        f->burned[i] = db_get_uuid(r, i, 0);
    }
    return f->burned != NULL;
}

bool store_load(db_conn *c, arena *a, int64_t book_id, const store_wanted *w, store_found *f,
                err *e) {
    db_pipe *pipe = db_pipe_begin(c, a);
    int n = 0;
    memset(f, 0, sizeof *f);
    if (w->lock_head) {
        db_pipe_add_begin(pipe, w->deadline_mono_ms);
        db_pipe_add(pipe, &STORE_STATEMENTS[STORE_HEAD_LOCK], store_params(a, book_id));
        n += 2;
    }
    // Each statement of a READ COMMITTED transaction sees what is committed when it starts. These start when we hold the lock.
    const int accounts = add_ids(pipe, a, &n, STORE_ACCOUNTS_LOAD, book_id, w->accounts);
    const int transfers = add_ids(pipe, a, &n, STORE_TRANSFERS_LOAD, book_id, w->transfers);
    const int resolutions = add_ids(pipe, a, &n, STORE_RESOLUTIONS_LOAD, book_id, w->resolutions);
    const int burned = add_ids(pipe, a, &n, STORE_BURNED_LOAD, book_id, w->burned);
    const int reversals = add_ids(pipe, a, &n, STORE_REVERSALS_LOAD, book_id, w->reversals);
    const int references = add_references(pipe, a, &n, book_id, w);
    if (n == 0) {
        return true;
    }
    if (!db_pipe_run(pipe, e)) {
        return false;
    }
    if (w->lock_head) {
        store_head_read(db_pipe_rows(pipe, 1), &f->head);
    }
    return (accounts == NOT_ASKED || store_accounts_read(a, db_pipe_rows(pipe, (size_t)accounts),
                                                         &f->accounts, &f->n_accounts, e)) &&
           (transfers == NOT_ASKED || store_transfers_read(a, db_pipe_rows(pipe, (size_t)transfers),
                                                           &f->transfers, &f->n_transfers, e)) &&
           (resolutions == NOT_ASKED ||
            resolutions_read(a, db_pipe_rows(pipe, (size_t)resolutions), f, e)) &&
           (burned == NOT_ASKED || burned_read(a, db_pipe_rows(pipe, (size_t)burned), f, e)) &&
           (reversals == NOT_ASKED || store_transfers_read(a, db_pipe_rows(pipe, (size_t)reversals),
                                                           &f->reversals, &f->n_reversals, e)) &&
           (references == NOT_ASKED ||
            references_read(a, db_pipe_rows(pipe, (size_t)references), f, e));
}

bool store_load_due(db_conn *c, arena *a, int64_t book_id, int64_t from_us, int64_t to_us,
                    size_t max, ledger_row **rows, size_t *n_rows, int64_t *next_us, err *e) {
    db_params *due = store_params(a, book_id);
    db_i64(due, from_us);
    db_i64(due, to_us);
    db_i64(due, (int64_t)max);
    db_params *next = store_params(a, book_id);
    db_i64(next, to_us);
    db_pipe *pipe = db_pipe_begin(c, a);
    db_pipe_add(pipe, &STORE_STATEMENTS[STORE_DUE_LOAD], due);
    db_pipe_add(pipe, &STORE_STATEMENTS[STORE_NEXT_EXPIRY_LOAD], next);
    if (!db_pipe_run(pipe, e)) {
        return false;
    }
    const db_rows *later = db_pipe_rows(pipe, 1);
    *next_us = db_count(later) == 0 ? LEDGER_NEVER_US : db_get_i64(later, 0, 0);
    return store_transfers_read(a, db_pipe_rows(pipe, 0), rows, n_rows, e);
}

// --- Writing ---------------------------------------------------------------------------------------------------------

bool store_copy_finish(db_copy *w, size_t n_expected, err *e) {
    int64_t n = 0;
    if (!db_copy_end(w, &n, e)) {
        return false;
    }
    ASSERT(n == (int64_t)n_expected);
    return true;
}

db_copy *store_copy_open(db_conn *c, const store_copy_target *t, err *e) {
    db_copy *w = db_copy_begin(c, t->table, t->columns, t->n_columns, e);
    CRASH_POINT("journal.copying");
    return w;
}

static bool copy_accounts(db_conn *c, int64_t book_id, const ledger_tx *tx, err *e) {
    if (tx->n_new_accounts == 0) {
        return true;
    }
    db_copy *w = store_copy_open(c, &STORE_COPY_ACCOUNT, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < tx->n_new_accounts; i++) {
        store_account_copy(w, book_id, &tx->new_accounts[i]);
    }
    return store_copy_finish(w, tx->n_new_accounts, e);
}

// A COPY takes two round trips, whatever its size. A few rows are faster as INSERTs in the last round trip.
static bool are_few(const ledger_tx *tx) {
    return tx->n_rows <= STORE_FEW_ROWS;
}

static bool copy_transfers(db_conn *c, int64_t book_id, const ledger_tx *tx, err *e) {
    if (are_few(tx)) {
        return true;
    }
    db_copy *w = store_copy_open(c, &STORE_COPY_TRANSFER, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < tx->n_rows; i++) {
        store_transfer_copy(w, book_id, &tx->rows[i]);
    }
    return store_copy_finish(w, tx->n_rows, e);
}

// Besides the accounts with metadata, writes one row per metadata entry, for searches.
static bool copy_account_metadata(db_conn *c, int64_t book_id, const ledger_tx *tx, err *e) {
    size_t n = 0;
    for (size_t i = 0; i < tx->n_new_accounts; i++) {
        n += store_metadata_count(tx->new_accounts[i].metadata);
    }
    if (n == 0) {
        return true;
    }
    db_copy *w = store_copy_open(c, &STORE_COPY_ACCOUNT_METADATA, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < tx->n_new_accounts; i++) {
        store_account_metadata_copy(w, book_id, &tx->new_accounts[i]);
    }
    return store_copy_finish(w, n, e);
}

static size_t transfer_metadata_count(const ledger_tx *tx) {
    size_t n = 0;
    for (size_t i = 0; i < tx->n_rows; i++) {
        n += store_metadata_count(tx->rows[i].metadata);
    }
    return n;
}

static bool copy_transfer_metadata(db_conn *c, int64_t book_id, const ledger_tx *tx, err *e) {
    const size_t n = transfer_metadata_count(tx);
    if (n == 0) {
        return true;
    }
    db_copy *w = store_copy_open(c, &STORE_COPY_TRANSFER_METADATA, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < tx->n_rows; i++) {
        store_transfer_metadata_copy(w, book_id, &tx->rows[i]);
    }
    return store_copy_finish(w, n, e);
}

static bool copy_burned(db_conn *c, int64_t book_id, const ledger_tx *tx, err *e) {
    if (tx->n_new_burned == 0) {
        return true;
    }
    db_copy *w = store_copy_open(c, &STORE_COPY_BURNED, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < tx->n_new_burned; i++) {
        db_copy_row(w);
        db_copy_i64(w, book_id);
        db_copy_uuid(w, tx->new_burned[i].id);
        db_copy_i16(w, (int16_t)tx->new_burned[i].status);
        db_copy_i64(w, tx->new_burned[i].timestamp_us);
    }
    return store_copy_finish(w, tx->n_new_burned, e);
}

bool store_write(db_conn *c, int64_t book_id, const ledger_tx *tx, err *e) {
    if (!copy_accounts(c, book_id, tx, e) || !copy_transfers(c, book_id, tx, e) ||
        !copy_account_metadata(c, book_id, tx, e) || !copy_transfer_metadata(c, book_id, tx, e) ||
        !copy_burned(c, book_id, tx, e)) {
        return false;
    }
    CRASH_POINT("journal.copied");
    return true;
}

static void add_head(db_params *p, const store_head *head) {
    db_i64(p, head->sequence);
    db_i64(p, head->timestamp_us);
    db_i64(p, head->next_expires_us);
    db_i64(p, head->checkpoint_sequence);
    db_i64(p, head->burned_ids);
}

// The head comes first: a writer holds the head's lock before it writes anything else to the book.
static void add_head_and_rows(db_pipe *pipe, arena *a, int64_t book_id, const ledger_tx *tx,
                              const store_head *before, const store_head *after) {
    db_params *p = store_params(a, book_id);
    add_head(p, before);
    add_head(p, after);
    db_pipe_add(pipe, &STORE_STATEMENTS[STORE_HEAD_UPDATE], p);
    for (size_t i = 0; are_few(tx) && i < tx->n_rows; i++) {
        db_pipe_add(pipe, &STORE_STATEMENTS[STORE_TRANSFER_INSERT],
                    store_transfer_params(a, book_id, &tx->rows[i]));
    }
}

static bool run_commit(db_pipe *pipe, err *e) {
    if (!db_pipe_run(pipe, e)) {
        return false;
    }
    ASSERT(db_pipe_affected(pipe, 0) == 1);
    return true;
}

bool store_commit(db_conn *c, arena *a, int64_t book_id, const ledger_tx *tx,
                  const store_head *before, const store_head *after, err *e) {
    db_pipe *pipe = db_pipe_begin(c, a);
    add_head_and_rows(pipe, a, book_id, tx, before, after);
    db_pipe_add_commit(pipe);
    return run_commit(pipe, e);
}

bool store_is_one_trip(const ledger_tx *tx) {
    return are_few(tx) && tx->n_new_accounts == 0 && tx->n_new_burned == 0 &&
           transfer_metadata_count(tx) == 0;
}

// A pipeline is a transaction by itself: it needs neither BEGIN nor COMMIT.
bool store_commit_at_once(db_conn *c, arena *a, int64_t book_id, const ledger_tx *tx,
                          const store_head *before, const store_head *after, err *e) {
    ASSERT(store_is_one_trip(tx));
    db_pipe *pipe = db_pipe_begin(c, a);
    add_head_and_rows(pipe, a, book_id, tx, before, after);
    return run_commit(pipe, e);
}

bool store_head_moved(const err *e) {
    return strcmp(e->sqlstate, "23514") == 0 &&
           (strcmp(e->constraint, "book_head_positive") == 0 ||
            strcmp(e->constraint, "book_head_checkpoint") == 0);
}

bool store_was_committed(db_conn *c, arena *a, int64_t book_id, const ledger_tx *tx,
                         const store_head *before, bool *committed, err *e) {
    store_statement statement;
    db_params *p = store_params(a, book_id);
    if (tx->n_rows != 0) {
        const ledger_row *first = &tx->rows[0];
        statement = STORE_ROW_COMMITTED;
        ASSERT(first->sequence == before->sequence + 1);
        db_i64(p, first->sequence);
        db_i64(p, first->timestamp_us);
        db_uuid(p, uuid_is_nil(first->id) ? first->pending_id : first->id);
    } else if (tx->n_new_accounts != 0) {
        statement = STORE_ACCOUNT_COMMITTED;
        db_uuid(p, tx->new_accounts[0].id);
        db_i64(p, tx->new_accounts[0].timestamp_us);
    } else {
        ASSERT(tx->n_new_burned != 0);
        statement = STORE_BURNED_COMMITTED;
        db_uuid(p, tx->new_burned[0].id);
        db_i64(p, tx->new_burned[0].timestamp_us);
    }
    db_rows *rows = NULL;
    if (!db_exec(c, &STORE_STATEMENTS[statement], p, a, &rows, NULL, e)) {
        return false;
    }
    *committed = db_count(rows) == 1;
    return true;
}

bool store_due_books(db_conn *c, arena *a, int64_t now_us, int64_t unsaved_before_us, size_t max,
                     int64_t **book_ids, size_t *n, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, now_us);
    db_i64(p, unsaved_before_us);
    db_i64(p, (int64_t)max);
    db_rows *rows = NULL;
    if (!db_exec(c, &STORE_STATEMENTS[STORE_DUE_BOOKS], p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *book_ids = store_array(a, *n, sizeof **book_ids, e);
    for (size_t i = 0; *book_ids != NULL && i < *n; i++) {
        (*book_ids)[i] = db_get_i64(rows, i, 0);
    }
    return *book_ids != NULL;
}
