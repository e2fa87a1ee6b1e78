// The outcome of a batch: ends its lease and writes its rows, its log and its cases, all or none.
#include "base/crash.h"
#include "saga/saga_internal.h"

static bool log_outcomes(saga_batch *b, db_conn *c, int64_t now_us, err *e) {
    db_copy *w = saga_log_begin(c, e);
    if (w == NULL) {
        return false;
    }
    CRASH_POINT("saga.outcome.copying");
    for (size_t i = 0; i < b->n; i++) {
        const saga_item *item = &b->items[i];
        if (item->acting != STEP_NONE && !item->quiet) {
            saga_log_row(w, b, item, item->acting, &item->answer, now_us);
        }
    }
    return db_copy_end(w, NULL, e);
}

static bool outcome_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    (void)a;
    saga_batch *b = arg;
    const int64_t now_us = clock_wall_us(b->from.clock);
    b->written = false;
    bool ours = false;
    if (!saga_lease_give_back(b, c, &ours, e)) {
        return false;
    }
    if (!ours) {
        return true;
    }
    if (!saga_rows_of_batch(b, c, true, now_us, e) || !log_outcomes(b, c, now_us, e) ||
        !saga_cases_open(b, c, true, now_us, e) || !saga_owe_note(b, c, now_us, e)) {
        return false;
    }
    b->written = true;
    saga_crash_at(b, AT_RECORDED, SAGA_ALL_STEPS);
    return true;
}

bool saga_store_outcome(saga_batch *b, int64_t deadline_mono_ms, err *e) {
    err_clear(e);
    if (b->lost) {
        return true;
    }
    if (!db_transact(b->from.pool, deadline_mono_ms, b->a, outcome_in_tx, b, e)) {
        b->written = false;
        return false;
    }
    b->lost = !b->written;
    return true;
}
