// The reads of the calls. Each is one statement, or one pipeline, and so sees one moment.
#include "base/assert.h"
#include "store/list_statements.h"
#include "store/rows_internal.h"

static char *text_copy(arena *a, const db_rows *r, size_t row, int col, err *e) {
    const str s = db_get_str(r, row, col);
    char *copy = arena_strndup(a, s.ptr, s.len);
    if (copy == NULL) {
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE",
                      "the answer is larger than one call may be");
    }
    return copy;
}

static bool book_read(arena *a, const db_rows *r, int64_t book_id, store_book *out, err *e) {
    const char *name = text_copy(a, r, 0, 0, e);
    if (name == NULL) {
        return false;
    }
    *out = (store_book){book_id, str_of(name), db_get_i64(r, 0, 1), db_get_i64(r, 0, 2)};
    return true;
}

bool store_book_create(db_conn *c, arena *a, int64_t book_id, str name, int64_t now_us,
                       store_book *out, err *e) {
    db_params *book = store_params(a, book_id);
    db_text(book, name);
    db_i64(book, now_us);
    db_params *head = store_params(a, book_id);
    db_i64(head, now_us);
    db_i64(head, LEDGER_NEVER_US);
    db_pipe *pipe = db_pipe_begin(c, a);
    db_pipe_add(pipe, &STORE_STATEMENTS[STORE_BOOK_INSERT], book);
    db_pipe_add(pipe, &STORE_STATEMENTS[STORE_HEAD_INSERT], head);
    db_pipe_add(pipe, &STORE_STATEMENTS[STORE_BOOK_READ], store_params(a, book_id));
    if (!db_pipe_run(pipe, e)) {
        return false;
    }
    const db_rows *rows = db_pipe_rows(pipe, 2);
    ASSERT(db_count(rows) == 1 && db_pipe_affected(pipe, 0) == db_pipe_affected(pipe, 1));
    return book_read(a, rows, book_id, out, e);
}

// A pipeline that first checks the book's existence. The caller's statement gets place 1.
static db_pipe *pipe_with_book(db_conn *c, arena *a, int64_t book_id) {
    db_pipe *pipe = db_pipe_begin(c, a);
    db_pipe_add(pipe, &STORE_STATEMENTS[STORE_BOOK_READ], store_params(a, book_id));
    return pipe;
}

bool store_lookup_accounts(db_conn *c, arena *a, int64_t book_id, store_ids ids, store_head *head,
                           ledger_account **accounts, size_t *n, err *e) {
    db_params *p = store_params(a, book_id);
    db_rows *rows = NULL;
    store_statement statement = STORE_ACCOUNTS_LOOKUP;
    if (ids.n == 1) {
        statement = STORE_ACCOUNT_LOOKUP;
        db_uuid(p, ids.ids[0]);
    } else {
        db_uuid_array(p, ids.ids, ids.n);
    }
    if (!db_exec(c, &STORE_STATEMENTS[statement], p, a, &rows, NULL, e)) {
        return false;
    }
    *n = 0;
    store_head_read(rows, head);
    if (!head->exists) {
        return true;
    }
    *accounts = store_array(a, db_count(rows), sizeof **accounts, e);
    if (*accounts == NULL) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        // The book exists without this account: the outer join gives NULL.
        if (!db_is_null(rows, i, STORE_HEAD_COLUMNS)) {
            store_account_read(rows, i, STORE_HEAD_COLUMNS, &(*accounts)[(*n)++]);
        }
    }
    return true;
}

bool store_lookup_transfers(db_conn *c, arena *a, int64_t book_id, store_ids ids, bool *exists,
                            ledger_row **out, size_t *n, err *e) {
    db_params *p = store_params(a, book_id);
    db_uuid_array(p, ids.ids, ids.n);
    db_pipe *pipe = pipe_with_book(c, a, book_id);
    db_pipe_add(pipe, &LIST_STATEMENTS[LIST_BY_ID], p);
    if (!db_pipe_run(pipe, e)) {
        return false;
    }
    *exists = db_count(db_pipe_rows(pipe, 0)) == 1;
    return store_rows_with_outcomes(a, db_pipe_rows(pipe, 1), out, n, e);
}

static bool totals_read(arena *a, const db_rows *r, size_t row, store_totals *t, err *e) {
    t->currency = text_copy(a, r, row, STORE_HEAD_COLUMNS, e);
    t->debits_pending = text_copy(a, r, row, STORE_HEAD_COLUMNS + 1, e);
    t->debits_posted = text_copy(a, r, row, STORE_HEAD_COLUMNS + 2, e);
    t->credits_pending = text_copy(a, r, row, STORE_HEAD_COLUMNS + 3, e);
    t->credits_posted = text_copy(a, r, row, STORE_HEAD_COLUMNS + 4, e);
    t->accounts = db_get_i64(r, row, STORE_HEAD_COLUMNS + 5);
    return t->currency != NULL && t->debits_pending != NULL && t->debits_posted != NULL &&
           t->credits_pending != NULL && t->credits_posted != NULL;
}

bool store_trial_balance(db_conn *c, arena *a, int64_t book_id, store_head *head,
                         store_totals **lines, size_t *n, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, &STORE_STATEMENTS[STORE_TRIAL_BALANCE], store_params(a, book_id), a, &rows,
                 NULL, e)) {
        return false;
    }
    *n = 0;
    store_head_read(rows, head);
    if (!head->exists) {
        return true;
    }
    *lines = store_array(a, db_count(rows), sizeof **lines, e);
    if (*lines == NULL) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        if (!db_is_null(rows, i, STORE_HEAD_COLUMNS) &&
            !totals_read(a, rows, i, &(*lines)[(*n)++], e)) {
            return false;
        }
    }
    return true;
}

static ledger_balances balances_at(const db_rows *r, size_t row, int col) {
    return (ledger_balances){db_get_i64(r, row, col), db_get_i64(r, row, col + 1),
                             db_get_i64(r, row, col + 2), db_get_i64(r, row, col + 3)};
}

bool store_check_accounts(db_conn *c, arena *a, int64_t book_id, store_ids ids, bool *exists,
                          int64_t *sequence, store_check **checks, size_t *n, err *e) {
    db_params *p = store_params(a, book_id);
    db_uuid_array(p, ids.ids, ids.n);
    db_rows *rows = NULL;
    if (!db_exec(c, &STORE_STATEMENTS[STORE_ACCOUNTS_CHECK], p, a, &rows, NULL, e)) {
        return false;
    }
    *n = 0;
    *exists = db_count(rows) != 0;
    if (!*exists) {
        return true;
    }
    *sequence = db_get_i64(rows, 0, 0);
    *checks = store_array(a, db_count(rows), sizeof **checks, e);
    if (*checks == NULL) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        if (!db_is_null(rows, i, 1)) {
            (*checks)[(*n)++] = (store_check){
                .account_id = db_get_uuid(rows, i, 1),
                .kept = balances_at(rows, i, 2),
                .recomputed = balances_at(rows, i, 6),
                .entries = db_get_i64(rows, i, 10),
            };
        }
    }
    return true;
}

bool store_read_journal(db_conn *c, arena *a, int64_t book_id, int64_t from_sequence, size_t max,
                        bool *exists, ledger_row **rows, size_t *n, err *e) {
    db_params *p = store_params(a, book_id);
    db_i64(p, from_sequence);
    db_i64(p, (int64_t)max);
    db_pipe *pipe = pipe_with_book(c, a, book_id);
    db_pipe_add(pipe, &STORE_STATEMENTS[STORE_JOURNAL_READ], p);
    if (!db_pipe_run(pipe, e)) {
        return false;
    }
    *exists = db_count(db_pipe_rows(pipe, 0)) == 1;
    return store_transfers_read(a, db_pipe_rows(pipe, 1), rows, n, e);
}
