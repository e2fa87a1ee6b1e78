// Reads single calls: first the saga's row, then the rows behind it, none newer than the saga's row.
#include "domain/ids.h"
#include "submissions/single_call.h"
#include "submissions/submissions_sql.h"

static single_call call_of(const db_rows *rows, size_t i) {
    return (single_call){.book_id = db_get_i64(rows, i, 0),
                         .payout_id = db_get_uuid(rows, i, 1),
                         .connection = db_get_i16(rows, i, 2),
                         .step = db_get_i16(rows, i, 3),
                         .phase = db_get_i16(rows, i, 4),
                         .state = db_get_i16(rows, i, 5),
                         .outlook = db_get_i16(rows, i, 6),
                         .attempt = db_get_i32(rows, i, 7),
                         .tries = db_get_i32(rows, i, 8),
                         .log_seq = db_get_i32(rows, i, 9),
                         .due_us = db_is_null(rows, i, 10) ? INT64_MIN : db_get_time(rows, i, 10),
                         .since_us = db_get_time(rows, i, 11),
                         .changed_us = db_get_time(rows, i, 12),
                         .reason = db_get_str(rows, i, 13),
                         .reason_text = db_get_str(rows, i, 14),
                         .hold = db_get_str(rows, i, 15),
                         .hold_text = db_get_str(rows, i, 16),
                         .merchant_id = db_get_str(rows, i, 17),
                         .amount = db_get_i64(rows, i, 18),
                         .currency = db_get_str(rows, i, 19),
                         .intent_id = db_get_uuid(rows, i, 20),
                         .leased = db_get_bool(rows, i, 21)};
}

static single_call_row row_of(const db_rows *rows, size_t i) {
    return (single_call_row){.kind = db_get_i16(rows, i, 1),
                             .step = db_get_i16(rows, i, 2),
                             .what = db_get_i16(rows, i, 3),
                             .attempt = db_get_i32(rows, i, 4),
                             .seq = db_get_i32(rows, i, 5),
                             .outlook = db_get_i16(rows, i, 6),
                             .reason = db_get_str(rows, i, 7),
                             .text = db_get_str(rows, i, 8),
                             .reference = db_get_str(rows, i, 9),
                             .at_us = db_get_time(rows, i, 10),
                             .owner = db_get_uuid_or_nil(rows, i, 11),
                             .epoch = db_get_i64(rows, i, 12),
                             .inbox_id = db_get_uuid_or_nil(rows, i, 13)};
}

static bool read_rows(db_conn *db, single_call *calls, size_t n, int64_t rows_max, arena *a,
                      err *e) {
    int64_t *books = ARENA_ARRAY(a, int64_t, n + 1);
    uuid *payouts = ARENA_ARRAY(a, uuid, n + 1);
    int32_t *seqs = ARENA_ARRAY(a, int32_t, n + 1), *lasts = ARENA_ARRAY(a, int32_t, n + 1);
    db_rows *rows = NULL;
    if (n == 0) {
        return true;
    }
    if (books == NULL || payouts == NULL || seqs == NULL || lasts == NULL) {
        return err_no_memory(e, "a page of submissions");
    }
    for (size_t i = 0; i < n; i++) {
        books[i] = calls[i].book_id;
        payouts[i] = calls[i].payout_id;
        seqs[i] = calls[i].log_seq;
        // A lease has one intent beyond the saga's row. The next read shows rows that came later.
        lasts[i] = calls[i].log_seq + (calls[i].leased ? 1 : 0);
    }
    db_params *p = db_params_create(a);
    db_i64_array(p, books, n);
    db_uuid_array(p, payouts, n);
    db_i32_array(p, seqs, n);
    db_i32_array(p, lasts, n);
    db_i64(p, rows_max);
    if (!db_exec(db, submissions_sql(SUBM_SQL_CALL_ROWS), p, a, &rows, NULL, e)) {
        return false;
    }
    single_call_row *all = ARENA_ARRAY(a, single_call_row, db_count(rows) + 1);
    if (all == NULL) {
        return err_no_memory(e, "a page of submissions");
    }
    for (size_t i = 0; i < db_count(rows); i++) { // rows of one payout are adjacent
        single_call *c = &calls[db_get_i64(rows, i, 0) - 1];
        all[i] = row_of(rows, i);
        c->rows = c->n_rows == 0 ? &all[i] : c->rows;
        c->n_rows++;
    }
    return true;
}

bool single_call_get(db_conn *db, int64_t book_id, str merchant_id, uuid payout_id, bool *found,
                     single_call *c, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, payout_id);
    db_text(p, merchant_id);
    if (!db_exec(db, submissions_sql(SUBM_SQL_CALL_GET), p, a, &rows, NULL, e)) {
        return false;
    }
    *found = db_count(rows) == 1;
    if (!*found) {
        return true;
    }
    *c = call_of(rows, 0);
    return read_rows(db, c, 1, CALL_ROWS_MAX, a, e);
}

// For the steps before the bank's word, the indexes of due sagas are split by lane.
static size_t lanes_of(const single_call_filter *f, int16_t *steps, int16_t *lanes) {
    size_t n = 0;
    for (int16_t lane = 0; f->steps[STEP_EXECUTE] && lane < MERCHANT_LANES; lane++) {
        steps[n] = STEP_EXECUTE;
        lanes[n++] = lane;
    }
    for (int16_t step = STEP_RESOLVE; step <= STEP_AWAIT; step++) {
        if (f->steps[step]) {
            steps[n] = step;
            lanes[n++] = 0;
        }
    }
    return n;
}

bool single_call_open(db_conn *db, const single_call_filter *f, single_call **calls, size_t *n,
                      arena *a, err *e) {
    int16_t steps[MERCHANT_LANES + 2], lanes[MERCHANT_LANES + 2];
    const size_t n_slots = lanes_of(f, steps, lanes);
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    *n = 0;
    if (n_slots == 0 || f->n_connections == 0 || f->n_books == 0) {
        return true;
    }
    db_i64_array(p, f->books, f->n_books);
    db_i16_array(p, f->connections, f->n_connections);
    db_i16_array(p, steps, n_slots);
    db_i16_array(p, lanes, n_slots);
    db_i64(p, (int64_t)(f->limit < CALL_LOOKED_MAX ? f->limit : CALL_LOOKED_MAX));
    if (!db_exec(db, submissions_sql(SUBM_SQL_CALLS_OPEN), p, a, &rows, NULL, e)) {
        return false;
    }
    *calls = ARENA_ARRAY(a, single_call, db_count(rows) + 1);
    if (*calls == NULL) {
        return err_no_memory(e, "a page of submissions");
    }
    for (size_t i = 0; i < db_count(rows); i++) {
        (*calls)[i] = call_of(rows, i);
    }
    *n = db_count(rows);
    return read_rows(db, *calls, *n, CALL_ROWS_LISTED, a, e);
}
