// The claim of a batch in one transaction: due sagas, each saga's next step, and the intents. Everything in bulk.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "domain/ids.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

// --- Reading due sagas -------------------------------------------------------------------------------------------------

// A row of an answer. Items are large, so rows are sorted before they are read.
typedef struct pick {
    uuid payout_id;
    const db_rows *rows;
    size_t row;
    int32_t uncounted; // messages of a list
} pick;

static int by_payout(const void *a, const void *b) {
    return uuid_cmp(((const pick *)a)->payout_id, ((const pick *)b)->payout_id);
}

static bool lock_slot(saga_batch *b, db_conn *c, err *e) {
    db_params *p = db_params_create(b->a);
    db_i64(p, b->from.book_id);
    db_i16(p, (int16_t)b->from.rail->id);
    db_i16(p, (int16_t)b->from.step);
    return db_exec(c, saga_sql(SAGA_SQL_LOCK_SLOT), p, b->a, NULL, NULL, e);
}

// --- Lanes: due sagas without an owner -------------------------------------------------------------------------------

typedef struct lane {
    const db_rows *rows; // the lane's last answer
    size_t first, n;
    int64_t asked; // limit of its last question
} lane;

typedef struct lanes {
    lane of[MERCHANT_LANES];
    int16_t n; // 1 if the step has no lanes
} lanes;

static bool has_more(const lane *l) {
    return (int64_t)l->n == l->asked;
}

static int64_t count_rows(const lanes *k) {
    int64_t n = 0;
    for (int16_t i = 0; i < k->n; i++) {
        n += (int64_t)k->of[i].n;
    }
    return n;
}

// Asks lanes that may have more again, for `each` items.
static bool ask_lanes(saga_batch *b, db_conn *c, int64_t now_us, lanes *k, int64_t each, err *e) {
    int16_t numbers[MERCHANT_LANES];
    size_t n = 0;
    for (int16_t i = 0; i < k->n; i++) {
        if (has_more(&k->of[i])) {
            k->of[i] = (lane){.asked = each};
            numbers[n++] = i;
        }
    }
    db_params *p = db_params_create(b->a);
    db_i64(p, b->from.book_id);
    db_i16(p, (int16_t)b->from.rail->id);
    db_i16(p, (int16_t)b->from.step);
    db_time(p, now_us);
    db_i16_array(p, numbers, n);
    db_i64(p, each);
    if (b->n_paused == 0) {
        db_null(p, OID_TEXT_ARRAY);
    } else {
        db_text_array(p, b->paused, b->n_paused);
    }
    db_rows *rows = NULL;
    if (!db_exec(c, saga_sql(SAGA_SQL_DUE), p, b->a, &rows, NULL, e)) {
        return false;
    }
    for (size_t i = 0; i < db_count(rows); i++) { // rows of one lane are adjacent
        lane *l = &k->of[db_get_i16(rows, i, SAGA_N_COLUMNS)];
        l->first = l->n == 0 ? i : l->first;
        l->rows = rows;
        if (l->first + l->n++ != i) {
            return err_set(e, ERR_INTERNAL, "SAGA_LANES", "the rows of a lane came apart");
        }
    }
    return true;
}

enum { LANES_EXPECTED_MIN = 4 }; // so that a wrong guess reads at most four times the limit

// How many of n lanes the first question expects to be filled. Each is asked for its share of these.
static int64_t lanes_expected(const saga_claim *from, int64_t n) {
    const int64_t last = from->n_lanes > LANES_EXPECTED_MIN ? from->n_lanes : LANES_EXPECTED_MIN;
    return from->n_lanes == 0 || last > n ? n : last;
}

// Each lane gives its share; lanes with more items fill up the rest. Under the slot's lock nobody else takes any, so a repeated question
// gives the same items and the next ones. Mostly as many lanes are filled as last time, and one question suffices.
static bool ask_fairly(saga_batch *b, db_conn *c, int64_t now_us, int64_t limit, lanes *k, err *e) {
    const int64_t expected = lanes_expected(&b->from, k->n);
    int64_t each = (limit + expected - 1) / expected;
    for (int round = 0; round < 3; round++) {
        if (!ask_lanes(b, c, now_us, k, each, e)) {
            return false;
        }
        int64_t n_more = 0;
        for (int16_t i = 0; i < k->n; i++) {
            n_more += has_more(&k->of[i]) ? 1 : 0;
        }
        const int64_t left = limit - count_rows(k);
        if (n_more == 0 || left <= 0) {
            break;
        }
        each += (left + n_more - 1) / n_more;
    }
    return true;
}

// Takes one of each lane in turn, so that the limit cuts all lanes alike.
static void pick_due(saga_batch *b, const lanes *k, size_t limit, pick *picks) {
    const size_t found = (size_t)count_rows(k), most = found < limit ? found : limit;
    size_t n = 0;
    for (int16_t i = 0; i < k->n; i++) {
        b->n_lanes += k->of[i].n > 0 ? 1 : 0;
    }
    for (size_t nth = 0; n < most; nth++) {
        for (int16_t i = 0; i < k->n && n < most; i++) {
            const lane *l = &k->of[i];
            if (nth < l->n) {
                const size_t row = l->first + nth;
                picks[b->n++] = (pick){db_get_uuid(l->rows, row, 0), l->rows, row, 0};
                n++;
            }
        }
    }
}

static void pick_heard(saga_batch *b, const db_rows *rows, size_t n, pick *picks) {
    for (size_t i = 0; i < n; i++) {
        picks[b->n++] =
            (pick){db_get_uuid(rows, i, 0), rows, i, db_get_i32(rows, i, SAGA_HEARD_COUNT)};
    }
}

// Reads due sagas without an owner, and sagas of payouts of which a bank has just spoken.
static bool read_due(saga_batch *b, db_conn *c, int64_t now_us, err *e) {
    lanes k = {.n = saga_step_lanes(b->from.step)};
    db_rows *heard = NULL;
    bool told = false;
    if (b->from.step == STEP_AWAIT && !saga_heard_take(b, c, now_us, &heard, &told, e)) {
        return false;
    }
    if (told) {
        return true;
    }
    const size_t n_heard = heard == NULL ? 0 : db_count(heard);
    const size_t limit = b->from.limit - n_heard;
    if (limit > 0 && !ask_fairly(b, c, now_us, (int64_t)limit, &k, e)) {
        return false;
    }
    const size_t found = n_heard + (size_t)count_rows(&k);
    if (found == 0) {
        return true;
    }
    pick *picks = ARENA_ARRAY(b->a, pick, found);
    b->items = ARENA_ARRAY(b->a, saga_item, found < b->from.limit ? found : b->from.limit);
    if (picks == NULL || b->items == NULL) {
        return err_no_memory(e, "the batch");
    }
    pick_heard(b, heard, n_heard, picks);
    pick_due(b, &k, limit, picks);
    qsort(picks, b->n, sizeof picks[0], by_payout);
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        saga_row_read(picks[i].rows, picks[i].row, item);
        item->epoch++; // the epoch of this claim
        item->uncounted = picks[i].uncounted;
        item->events += picks[i].uncounted;
    }
    return true;
}

// --- Claim -----------------------------------------------------------------------------------------------------------

// True for an item with a log row from the claim: an intent, the outcome of a hand-over, or a note.
static bool claim_logs(const saga_item *item) {
    return item->note.outcome != OUT_NONE ||
           ((item->acting != STEP_NONE || item->handed) && !item->quiet);
}

static void decide(saga_batch *b) {
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        item->acting =
            saga_on_claim(&item->now, &item->said, &b->from.policy, b->from.clock, &item->note);
        item->quiet = !saga_try_is_logged(&item->was) && saga_is_repeat(&item->was, item->acting);
        if (item->now.attempt != item->was.attempt) {
            item->reference = (str){"", 0}; // of the previous attempt
        }
    }
}

saga_step saga_logged_step(const saga_item *item) {
    return item->note.outcome != OUT_NONE ? item->was.step
           : item->handed                 ? STEP_EXECUTE
                                          : item->acting;
}

static saga_answer claim_answer(const saga_item *item, arena *a) {
    if (item->note.outcome != OUT_NONE) {
        return (saga_answer){item->note.outcome, item->note.code, item->note.text, 0};
    }
    if (item->handed) {
        return item->answer;
    }
    saga_answer intent = {.outcome = OUT_NONE, .code = {"", 0}, .text = {"", 0}};
    if (item->acting == STEP_VOID || item->acting == STEP_CANCEL || item->acting == STEP_RETURN) {
        intent.code = str_of(item->now.reason);
        intent.text = str_of(item->now.reason_text);
    } else if (item->was.tries > 0) {
        intent.text = str_of(arena_printf(a, "try %d", (int)item->was.tries + 1));
    }
    return intent;
}

static bool write_intents(saga_batch *b, db_conn *c, int64_t now_us, err *e) {
    db_copy *w = saga_log_begin(c, e);
    if (w == NULL) {
        return false;
    }
    CRASH_POINT("saga.claim.copying");
    for (size_t i = 0; i < b->n; i++) {
        const saga_item *item = &b->items[i];
        if (claim_logs(item)) {
            const saga_answer answer = claim_answer(item, b->a);
            saga_log_row(w, b, item, saga_logged_step(item), &answer, now_us);
        }
    }
    return db_copy_end(w, NULL, e);
}

// Sagas that act are leased, and their rows stay unchanged. Sagas that only move are written at once.
static bool write_claim(saga_batch *b, db_conn *c, int64_t now_us, err *e) {
    for (size_t i = 0; i < b->n; i++) {
        b->items[i].log_seq += claim_logs(&b->items[i]) ? 1 : 0;
    }
    return saga_lease_take(b, c, e) && saga_rows_of_batch(b, c, false, now_us, e) &&
           write_intents(b, c, now_us, e) && saga_cases_open(b, c, false, now_us, e);
}

static bool begin_claim(saga_batch *b, db_conn *c, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, saga_sql(SAGA_SQL_CLAIM_BEGIN), NULL, b->a, &rows, NULL, e)) {
        return false;
    }
    return b->from.guard == NULL || guard_same_timeline(b->from.guard, db_get_str(rows, 0, 0)) ||
           err_set(e, ERR_FAILED_PRECONDITION, "TIMELINE",
                   "the database is on another timeline than before: it may have forgotten");
}

static bool claim_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    (void)a;
    saga_batch *b = arg;
    b->n = b->n_execute = b->n_resolve = 0;
    b->n_lanes = 0;
    b->more = false;
    b->rail_items = NULL;
    const int64_t now_us = clock_wall_us(b->from.clock);
    // Reads this clock before the database's, so that our own limit is never later than the lease's end.
    atomic_store(&b->until_boot_ms, clock_boot_ms(b->from.clock) + b->from.lease_ms);
    CRASH_POINT("saga.claim.begin");
    bool stopped = false;
    if (!begin_claim(b, c, e) || !lock_slot(b, c, e) || !saga_brake(b, c, &stopped, e) ||
        (!stopped && !read_due(b, c, now_us, e))) {
        return false;
    }
    if (b->n == 0) {
        return true;
    }
    db_rows *said = NULL;
    if (!saga_store_events(b, c, &said, e) || !saga_plan_each_time(c, b->a, e) ||
        !saga_intent_payouts(b, c, e) || !saga_store_hear(b, said, e) || !saga_gate_ask(b, c, e)) {
        return false;
    }
    decide(b);
    // As everywhere, the submission's row is locked before the sagas of its payouts.
    return saga_intent_load(b, c, e) && saga_withdraw_held(b, c, now_us, e) &&
           write_claim(b, c, now_us, e);
}

bool saga_store_take_order(saga_batch *b, db_conn *c, bool *taken, err *e) {
    db_rows *said = NULL;
    ASSERT(b->n == 1);
    if (!saga_intent_payouts(b, c, e) || !saga_store_events(b, c, &said, e) ||
        !saga_store_hear(b, said, e)) {
        return false;
    }
    decide(b);
    const saga_item *item = &b->items[0];
    *taken = item->acting == STEP_NONE &&
             (item->note.outcome == OUT_ORDERED || item->note.outcome == OUT_NOT_ORDERED);
    return !*taken ||
           (saga_plan_each_time(c, b->a, e) && write_claim(b, c, clock_wall_us(b->from.clock), e));
}

bool saga_store_claim(saga_batch *b, err *e) {
    err_clear(e);
    const int64_t deadline = clock_mono_ms(b->from.clock) + SAGA_DB_TIMEOUT_MS;
    if (!db_transact(b->from.pool, deadline, b->a, claim_in_tx, b, e)) {
        b->n = 0;
        return false;
    }
    b->n_found = b->n;
    if (b->n > 0) {
        CRASH_POINT("saga.claim.committed");
    }
    return true;
}
