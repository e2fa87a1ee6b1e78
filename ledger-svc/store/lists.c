// The reads of the calls that page. See lists.h.
#include "store/lists.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/money.h"
#include "store/columns_internal.h"
#include "store/list_statements.h"
#include "store/rows_internal.h"

// --- Parameters: a part that is not given is NULL --------------------------------------------------------------------

static void put_uuid(db_params *p, uuid v) {
    if (uuid_is_nil(v)) {
        db_null(p, OID_UUID);
    } else {
        db_uuid(p, v);
    }
}

static void put_text(db_params *p, str v) {
    if (v.len == 0) {
        db_null(p, OID_TEXT);
    } else {
        db_text(p, v);
    }
}

static void put_i64(db_params *p, int64_t v) {
    if (v == 0) {
        db_null(p, OID_INT8);
    } else {
        db_i64(p, v);
    }
}

static void put_i32(db_params *p, int32_t v) {
    if (v == 0) {
        db_null(p, OID_INT4);
    } else {
        db_i32(p, v);
    }
}

static void put_i16(db_params *p, bool given, int16_t v) {
    if (given) {
        db_i16(p, v);
    } else {
        db_null(p, OID_INT2);
    }
}

static void put_currency(db_params *p, ledger_currency v) {
    char text[4];
    ledger_currency_text(v, text);
    put_text(p, v == 0 ? (str){0} : (str){text, 3}); // params copy
}

// The kind of transfer that ends a pending transfer in this state; 0 for an open one.
static ledger_kind ended_by(store_pending_state state) {
    switch (state) {
    case STORE_PENDING_POSTED: return LEDGER_KIND_POST;
    case STORE_PENDING_VOIDED: return LEDGER_KIND_VOID;
    case STORE_PENDING_EXPIRED: return LEDGER_KIND_EXPIRE;
    case STORE_PENDING_OPEN:
    case STORE_PENDING_ANY:
    default: return LEDGER_KIND_NONE;
    }
}

static db_params *book_params(arena *a, int64_t book_id) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    return p;
}

// $1 … $16 of the statements on rows.
static db_params *transfer_params(arena *a, int64_t book_id, const store_transfer_filter *f) {
    const bool by_state = f->pending_state != STORE_PENDING_ANY;
    const ledger_kind kind = by_state ? LEDGER_KIND_PENDING : f->kind;
    db_params *p = book_params(a, book_id);
    if (f->has_account) {
        db_uuid(p, f->account_id);
    } else {
        db_null(p, OID_UUID);
    }
    db_i16(p, (int16_t)f->side);
    put_i32(p, (int32_t)f->code);
    put_currency(p, f->currency);
    put_text(p, f->external_reference);
    put_uuid(p, f->user_data_128);
    put_i64(p, (int64_t)f->user_data_64);
    put_i32(p, (int32_t)f->user_data_32);
    put_i16(p, kind != LEDGER_KIND_NONE, (int16_t)kind);
    put_i64(p, f->effective_from_us);
    put_i64(p, f->effective_to_us);
    put_text(p, f->metadata_key);
    put_text(p, f->metadata_value);
    put_i16(p, by_state, (int16_t)ended_by(f->pending_state));
    db_bool(p, f->prompt_only);
    return p;
}

// $1 … $10 of the statements on accounts.
static db_params *account_params(arena *a, int64_t book_id, const store_account_filter *f) {
    db_params *p = book_params(a, book_id);
    put_i32(p, (int32_t)f->code);
    put_currency(p, f->currency);
    put_text(p, f->external_reference);
    put_uuid(p, f->user_data_128);
    put_i64(p, (int64_t)f->user_data_64);
    put_i32(p, (int32_t)f->user_data_32);
    db_i16(p, (int16_t)(f->flags & ~(uint32_t)LEDGER_ACCOUNT_FLAG_CLOSED));
    put_text(p, f->metadata_key);
    put_text(p, f->metadata_value);
    return p;
}

static const db_stmt *directed(list_statement up, bool newest_first) {
    return &LIST_STATEMENTS[newest_first ? up + 1 : up];
}

// --- Journal rows ----------------------------------------------------------------------------------------------------

enum { COLUMN_ENDED = TRANSFER_COLUMN_COUNT, COLUMN_REVERSED_BY };

static bool row_read(arena *a, const db_rows *r, size_t i, ledger_row *row, err *e) {
    store_transfer_read(r, i, row);
    if (!db_is_null(r, i, COLUMN_ENDED)) {
        row->resolution = (ledger_kind)db_get_i16(r, i, COLUMN_ENDED);
    }
    if (!db_is_null(r, i, COLUMN_REVERSED_BY)) {
        row->reversal = store_array(a, 1, sizeof *row->reversal, e);
        if (row->reversal == NULL) {
            return false;
        }
        row->reversal->id = db_get_uuid(r, i, COLUMN_REVERSED_BY);
    }
    return true;
}

static bool rows_read(arena *a, const db_rows *r, ledger_row *rows, err *e) {
    bool ok = true;
    for (size_t i = 0; ok && i < db_count(r); i++) {
        ok = row_read(a, r, i, &rows[i], e);
    }
    return ok;
}

bool store_rows_with_outcomes(arena *a, const db_rows *r, ledger_row **rows, size_t *n, err *e) {
    *n = db_count(r);
    *rows = store_array(a, *n, sizeof **rows, e);
    return *rows != NULL && rows_read(a, r, *rows, e);
}

static bool rows_run(db_conn *c, arena *a, const db_stmt *s, const db_params *p, ledger_row **rows,
                     size_t *n, err *e) {
    db_rows *found = NULL;
    return db_exec(c, s, p, a, &found, NULL, e) && store_rows_with_outcomes(a, found, rows, n, e);
}

bool store_list_rows(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                     const store_range *range, ledger_row **rows, size_t *n, err *e) {
    db_params *p = transfer_params(a, book_id, f);
    db_i64(p, range->from);
    db_i64(p, range->to);
    db_i64(p, (int64_t)range->max);
    return rows_run(c, a, directed(LIST_ROWS_UP, range->newest_first), p, rows, n, e);
}

bool store_list_rows_at(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                        const int64_t *sequences, size_t n_sequences, const store_range *range,
                        ledger_row **rows, size_t *n, err *e) {
    db_params *p = transfer_params(a, book_id, f);
    db_i64_array(p, sequences, n_sequences);
    db_i64(p, (int64_t)range->max);
    return rows_run(c, a, directed(LIST_ROWS_AT_UP, range->newest_first), p, rows, n, e);
}

static int oldest_first(const void *a, const void *b) {
    const int64_t x = ((const ledger_row *)a)->sequence, y = ((const ledger_row *)b)->sequence;
    return x < y ? -1 : x > y;
}

static int newest_first_of(const void *a, const void *b) {
    return oldest_first(b, a);
}

static bool all_read(arena *a, const db_rows *r, ledger_row *rows, size_t n, err *e) {
    if (db_count(r) != n) {
        return err_set(e, ERR_INTERNAL, "JOURNAL_ROW_MISSING",
                       "a row of the journal that an account's entries name is not there");
    }
    return rows_read(a, r, rows, e);
}

// Fewer rows are not worth a second connection.
enum { ROWS_ASIDE_MIN = 32 };

// Reads half of the rows on a second connection, when one is spare. The time goes into the way down the index for each row: one half is
// read while PostgreSQL looks for the other.
bool store_list_rows_of(db_conn *c, arena *a, int64_t book_id, const int64_t *sequences, size_t n,
                        bool newest_first, ledger_row **rows, err *e) {
    const db_stmt *s = &LIST_STATEMENTS[LIST_BY_SEQUENCE];
    const size_t n_first = n < ROWS_ASIDE_MIN ? n : n / 2, n_second = n - n_first;
    db_params *first = book_params(a, book_id), *second = book_params(a, book_id);
    db_rows *r = NULL;
    db_i64_array(first, sequences, n_first);
    db_i64_array(second, sequences + n_first, n_second);
    *rows = store_array(a, n, sizeof **rows, e);
    db_aside *aside = n_second == 0 ? NULL : db_aside_start(c, s, second, a);
    bool ok =
        *rows != NULL && db_exec(c, s, first, a, &r, NULL, e) && all_read(a, r, *rows, n_first, e);
    r = db_aside_finish(aside);
    if (n_second != 0) {
        ok = ok && (r != NULL || db_exec(c, s, second, a, &r, NULL, e)) &&
             all_read(a, r, *rows + n_first, n_second, e);
    }
    if (ok) {
        qsort(*rows, n, sizeof **rows, newest_first ? newest_first_of : oldest_first);
    }
    return ok;
}

bool store_list_times(db_conn *c, arena *a, int64_t book_id, const int64_t *sequences, size_t n,
                      int64_t **found, int64_t **times_us, size_t *n_found, err *e) {
    db_params *p = book_params(a, book_id);
    db_rows *r = NULL;
    db_i64_array(p, sequences, n);
    if (!db_exec(c, &LIST_STATEMENTS[LIST_TIMES], p, a, &r, NULL, e)) {
        return false;
    }
    *n_found = db_count(r);
    *found = store_array(a, *n_found, sizeof **found, e);
    *times_us = *found == NULL ? NULL : store_array(a, *n_found, sizeof **times_us, e);
    for (size_t i = 0; *times_us != NULL && i < *n_found; i++) {
        (*found)[i] = db_get_i64(r, i, 0);
        (*times_us)[i] = db_get_i64(r, i, 1);
    }
    return *times_us != NULL;
}

// --- Positions -------------------------------------------------------------------------------------------------------

static bool positions_run(db_conn *c, arena *a, const db_stmt *s, const db_params *p,
                          int64_t **positions, size_t *n, err *e) {
    db_rows *r = NULL;
    if (!db_exec(c, s, p, a, &r, NULL, e)) {
        return false;
    }
    *n = db_count(r);
    *positions = store_array(a, *n, sizeof **positions, e);
    for (size_t i = 0; *positions != NULL && i < *n; i++) {
        (*positions)[i] = db_get_i64(r, i, 0);
    }
    return *positions != NULL;
}

static db_params *range_params(arena *a, int64_t book_id, const store_range *range) {
    db_params *p = book_params(a, book_id);
    db_i64(p, range->from);
    db_i64(p, range->to);
    db_i64(p, (int64_t)range->max);
    return p;
}

bool store_list_labeled(db_conn *c, arena *a, int64_t book_id, const store_transfer_filter *f,
                        const store_range *range, int64_t **sequences, size_t *n, err *e) {
    db_params *p = range_params(a, book_id, range);
    list_statement s = LIST_REFERENCE_UP;
    if (f->external_reference.len != 0) {
        db_text(p, f->external_reference);
    } else {
        ASSERT(f->metadata_key.len != 0);
        s = f->metadata_value.len == 0 ? LIST_METADATA_KEY_UP : LIST_METADATA_UP;
        db_text(p, f->metadata_key);
        if (f->metadata_value.len != 0) {
            db_text(p, f->metadata_value);
        }
    }
    return positions_run(c, a, directed(s, range->newest_first), p, sequences, n, e);
}

// --- Backdated entries -----------------------------------------------------------------------------------------------

bool store_list_backdated(db_conn *c, arena *a, int64_t book_id, const store_backdated_query *q,
                          int64_t **sequences, size_t *n, err *e) {
    db_params *p = book_params(a, book_id);
    db_uuid(p, q->account_id);
    db_i64(p, q->after_effective_us);
    db_i64(p, q->after_sequence);
    db_i64(p, q->effective_to_us);
    db_i64(p, q->to_sequence);
    db_i64(p, (int64_t)q->max);
    return positions_run(c, a, &LIST_STATEMENTS[LIST_BACKDATED], p, sequences, n, e);
}

static bool balance_out_of_range(err *e) {
    return err_set(e, ERR_OUT_OF_RANGE, "BALANCE_OUT_OF_RANGE",
                   "the balances by effective time pass the largest amount");
}

bool store_balance_add(int64_t *balance, int64_t more, err *e) {
    return ck_add_i64(*balance, more, balance) || balance_out_of_range(e);
}

bool store_sum_backdated(db_conn *c, arena *a, int64_t book_id, uuid account_id,
                         int64_t effective_to_us, int64_t after_sequence, int64_t to_sequence,
                         ledger_balances *balances, err *e) {
    db_params *p = book_params(a, book_id);
    db_rows *r = NULL;
    db_uuid(p, account_id);
    db_i64(p, effective_to_us);
    db_i64(p, after_sequence);
    db_i64(p, to_sequence);
    if (!db_exec(c, &LIST_STATEMENTS[LIST_BACKDATED_SUM], p, a, &r, NULL, e)) {
        if (strcmp(e->sqlstate, "22003") == 0) { // the sums are cast to the type of a balance
            (void)balance_out_of_range(e);
        }
        return false;
    }
    ASSERT(db_count(r) == 1);
    return store_balance_add(&balances->debits_pending, db_get_i64(r, 0, 0), e) &&
           store_balance_add(&balances->debits_posted, db_get_i64(r, 0, 1), e) &&
           store_balance_add(&balances->credits_pending, db_get_i64(r, 0, 2), e) &&
           store_balance_add(&balances->credits_posted, db_get_i64(r, 0, 3), e);
}

// --- Accounts --------------------------------------------------------------------------------------------------------

bool store_list_account_times(db_conn *c, arena *a, int64_t book_id, const store_account_filter *f,
                              const store_range *range, int64_t **times_us, size_t *n, err *e) {
    db_params *p = range_params(a, book_id, range);
    const db_stmt *s = directed(LIST_ACCOUNT_TIMES_UP, range->newest_first);
    if (f->external_reference.len != 0) {
        s = &LIST_STATEMENTS[LIST_ACCOUNT_REFERENCE];
        db_text(p, f->external_reference);
    } else if (f->metadata_value.len != 0) {
        s = directed(LIST_ACCOUNT_METADATA_UP, range->newest_first);
        db_text(p, f->metadata_key);
        db_text(p, f->metadata_value);
    } else if (f->metadata_key.len != 0) {
        s = directed(LIST_ACCOUNT_METADATA_KEY_UP, range->newest_first);
        db_text(p, f->metadata_key);
    }
    return positions_run(c, a, s, p, times_us, n, e);
}

bool store_list_accounts_at(db_conn *c, arena *a, int64_t book_id, const store_account_filter *f,
                            const int64_t *times_us, size_t n_times, const store_range *range,
                            ledger_account **accounts, size_t *n, err *e) {
    db_params *p = account_params(a, book_id, f);
    db_rows *r = NULL;
    db_i64_array(p, times_us, n_times);
    db_i64(p, (int64_t)range->max);
    return db_exec(c, directed(LIST_ACCOUNTS_AT_UP, range->newest_first), p, a, &r, NULL, e) &&
           store_accounts_read(a, r, accounts, n, e);
}
