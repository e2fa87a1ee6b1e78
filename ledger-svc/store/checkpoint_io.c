// Checkpoints: the commit path's rare writes, and the reads of what they wrote.
#include <endian.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "store/rows_internal.h"

// --- Account rows ----------------------------------------------------------------------------------------------------

enum { BALANCE_COLUMNS = 8, UPDATE_ACCOUNTS_MAX = 16384 };

static db_params *balance_params(arena *a, int64_t book_id, const store_changed *changed, size_t n,
                                 err *e) {
    uuid *ids = store_array(a, n, sizeof *ids, e);
    int64_t *columns = ids == NULL ? NULL : store_array(a, n * BALANCE_COLUMNS, sizeof *columns, e);
    int16_t *states = columns == NULL ? NULL : store_array(a, n, sizeof *states, e);
    if (states == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        const ledger_balances *was = &changed[i].before;
        const ledger_balances *now = &changed[i].after;
        const int64_t values[BALANCE_COLUMNS] = {
            was->debits_pending, was->debits_posted, was->credits_pending, was->credits_posted,
            now->debits_pending, now->debits_posted, now->credits_pending, now->credits_posted,
        };
        ids[i] = changed[i].account_id;
        states[i] = (int16_t)changed[i].state;
        for (size_t k = 0; k < BALANCE_COLUMNS; k++) {
            columns[k * n + i] = values[k];
        }
    }
    db_params *p = store_params(a, book_id);
    db_uuid_array(p, ids, n);
    for (size_t k = 0; k < BALANCE_COLUMNS; k++) {
        db_i64_array(p, columns + k * n, n);
    }
    db_i16_array(p, states, n);
    return p;
}

static bool update_accounts(db_conn *c, arena *a, int64_t book_id, const store_changed *changed,
                            size_t n, err *e) {
    for (size_t first = 0; first < n; first += UPDATE_ACCOUNTS_MAX) {
        const size_t m = n - first < UPDATE_ACCOUNTS_MAX ? n - first : UPDATE_ACCOUNTS_MAX;
        const db_params *p = balance_params(a, book_id, changed + first, m, e);
        int64_t affected = 0;
        if (p == NULL ||
            !db_exec(c, &STORE_STATEMENTS[STORE_ACCOUNTS_UPDATE], p, a, NULL, &affected, e)) {
            return false;
        }
        // Any other count means that an account row contradicts the journal: stop at once.
        ASSERT(affected == (int64_t)m);
    }
    return true;
}

// --- Postings --------------------------------------------------------------------------------------------------------

static void copy_posting(db_copy *w, int64_t book_id, uuid account_id, const int64_t *sequences,
                         size_t n) {
    uint32_t offsets[STORE_POSTING_ENTRIES_MAX];
    for (size_t i = 0; i < n; i++) {
        offsets[i] = htobe32((uint32_t)(sequences[i] - sequences[0]));
    }
    db_copy_row(w);
    db_copy_i64(w, book_id);
    db_copy_uuid(w, account_id);
    db_copy_i64(w, sequences[n - 1]);
    db_copy_i64(w, sequences[0]);
    db_copy_bytes(w, offsets, n * sizeof *offsets);
}

static bool copy_postings(db_conn *c, int64_t book_id, const store_changed *changed, size_t n,
                          err *e) {
    size_t n_rows = 0;
    db_copy *w = store_copy_open(c, &STORE_COPY_POSTING, e);
    if (w == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t at = 0; at < changed[i].n_sequences; at += STORE_POSTING_ENTRIES_MAX) {
            const size_t left = changed[i].n_sequences - at;
            copy_posting(w, book_id, changed[i].account_id, changed[i].sequences + at,
                         left < STORE_POSTING_ENTRIES_MAX ? left : STORE_POSTING_ENTRIES_MAX);
            n_rows++;
        }
    }
    return store_copy_finish(w, n_rows, e);
}

bool store_write_checkpoint(db_conn *c, arena *a, int64_t book_id, const store_changed *changed,
                            size_t n, err *e) {
    if (!update_accounts(c, a, book_id, changed, n, e)) {
        return false;
    }
    CRASH_POINT("journal.checkpoint.accounts");
    if (!copy_postings(c, book_id, changed, n, e)) {
        return false;
    }
    CRASH_POINT("journal.checkpoint.postings");
    return true;
}

// --- Reading ---------------------------------------------------------------------------------------------------------

bool store_read_head(db_conn *c, arena *a, int64_t book_id, store_head *head, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, &STORE_STATEMENTS[STORE_HEAD_READ], store_params(a, book_id), a, &rows, NULL,
                 e)) {
        return false;
    }
    store_head_read(rows, head);
    return true;
}

bool store_read_rows(db_conn *c, arena *a, int64_t book_id, int64_t from, int64_t to, size_t max,
                     ledger_row **rows, size_t *n, err *e) {
    db_params *p = store_params(a, book_id);
    db_rows *found = NULL;
    db_i64(p, from);
    db_i64(p, to);
    db_i64(p, (int64_t)max);
    return db_exec(c, &STORE_STATEMENTS[STORE_ROWS_READ], p, a, &found, NULL, e) &&
           store_transfers_read(a, found, rows, n, e);
}

bool store_burned_since(db_conn *c, arena *a, int64_t book_id, int64_t after_us, uuid **ids,
                        int64_t **times_us, size_t *n, err *e) {
    db_params *p = store_params(a, book_id);
    db_rows *rows = NULL;
    db_i64(p, after_us);
    if (!db_exec(c, &STORE_STATEMENTS[STORE_BURNED_SINCE], p, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_count(rows);
    *ids = store_array(a, *n, sizeof **ids, e);
    *times_us = *ids == NULL ? NULL : store_array(a, *n, sizeof **times_us, e);
    for (size_t i = 0; *times_us != NULL && i < *n; i++) {
        (*ids)[i] = db_get_uuid(rows, i, 0);
        (*times_us)[i] = db_get_i64(rows, i, 1);
    }
    return *times_us != NULL;
}

typedef struct posting_range {
    const store_postings_query *q;
    int64_t *sequences;
    size_t n;
    int64_t next; // the next postings to read start here
    bool done;    // the range has no more
} posting_range;

static void posting_unpack(const db_rows *r, size_t row, posting_range *range) {
    const store_postings_query *q = range->q;
    const int64_t first = db_get_i64(r, row, 0);
    const str entries = db_get_str(r, row, 1);
    const size_t n = entries.len / sizeof(uint32_t);
    int64_t sequence = first;
    for (size_t i = 0; i < n && range->n < q->max; i++) {
        uint32_t offset;
        const size_t at = q->newest_first ? n - 1 - i : i;
        memcpy(&offset, entries.ptr + at * sizeof offset, sizeof offset);
        sequence = first + be32toh(offset);
        if (sequence >= q->from && sequence <= q->to) {
            range->sequences[range->n++] = sequence;
        }
    }
    range->next = q->newest_first ? first - 1 : sequence + 1;
    range->done = q->newest_first ? first <= q->from : sequence >= q->to;
}

static db_params *postings_params(arena *a, int64_t book_id, uuid account_id, int64_t sequence) {
    db_params *p = store_params(a, book_id);
    db_uuid(p, account_id);
    db_i64(p, sequence);
    return p;
}

// A busy account's posting has a dozen entries or more. So first read as many postings as then suffice, and read more only if they did not.
// Each posting lies in a page of its own.
enum { POSTING_ENTRIES_BUSY = 12, POSTINGS_FIRST_MAX = 64, POSTINGS_GROWTH = 4 };

static int64_t postings_first(size_t max_entries) {
    // the first and the last posting may give no entry
    const size_t n = max_entries / POSTING_ENTRIES_BUSY + 2;
    return n < POSTINGS_FIRST_MAX ? (int64_t)n : POSTINGS_FIRST_MAX;
}

static void add_postings(db_pipe *pipe, store_statement statement, db_params *p, int64_t limit) {
    db_i64(p, limit);
    db_pipe_add(pipe, &STORE_STATEMENTS[statement], p);
}

// Reads the next postings of the range, at most `limit`. When newest first, the first step also reads the posting that may have entries on
// both sides of the range's end.
static bool postings_step(db_conn *c, arena *a, int64_t book_id, int64_t limit, bool is_first,
                          posting_range *range, store_head *head, err *e) {
    const store_postings_query *q = range->q;
    db_pipe *pipe = db_pipe_begin(c, a);
    db_params *p = postings_params(a, book_id, q->account_id, range->next);
    size_t n_statements = 0;
    const size_t first = head != NULL ? 1 : 0;
    if (head != NULL) {
        db_pipe_add(pipe, &STORE_STATEMENTS[STORE_HEAD_READ], store_params(a, book_id));
        n_statements++;
    }
    if (q->newest_first && is_first && !q->is_to_checkpoint) {
        add_postings(pipe, STORE_POSTINGS_UP, postings_params(a, book_id, q->account_id, q->to + 1),
                     1);
        n_statements++;
    }
    if (q->newest_first) {
        db_i64(p, q->from);
    }
    add_postings(pipe, q->newest_first ? STORE_POSTINGS_DOWN : STORE_POSTINGS_UP, p, limit);
    n_statements++;
    if (!db_pipe_run(pipe, e)) {
        return false;
    }
    if (head != NULL) {
        store_head_read(db_pipe_rows(pipe, 0), head);
    }
    for (size_t s = first; s < n_statements; s++) {
        const db_rows *rows = db_pipe_rows(pipe, s);
        for (size_t i = 0; i < db_count(rows) && range->n < q->max; i++) {
            posting_unpack(rows, i, range);
        }
    }
    range->done |= (int64_t)db_count(db_pipe_rows(pipe, n_statements - 1)) < limit;
    return true;
}

bool store_read_postings(db_conn *c, arena *a, int64_t book_id, const store_postings_query *q,
                         int64_t *sequences, size_t *n, store_head *head, err *e) {
    posting_range range = {
        .q = q, .sequences = sequences, .next = q->newest_first ? q->to : q->from};
    // Each posting, except the first and last of a range, gives at least one entry. So max + 1 postings suffice for max entries.
    const int64_t most = (int64_t)q->max + 1;
    int64_t limit = postings_first(q->max);
    for (bool is_first = true; is_first || (range.n < q->max && !range.done); is_first = false) {
        if (!postings_step(c, a, book_id, limit, is_first, &range, is_first ? head : NULL, e)) {
            return false;
        }
        limit = limit * POSTINGS_GROWTH < most ? limit * POSTINGS_GROWTH : most;
    }
    *n = range.n;
    return true;
}
