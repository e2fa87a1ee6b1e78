// The order to cancel: looked at with the machine's own eyes, under the lock of the slot from which payouts are sent.
#include "saga/orders.h"

#include <string.h>

#include "base/assert.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

typedef struct standing {
    saga_item item;
    int rail_id;
    bool leased;     // a worker has it
    bool is_ordered; // an order to cancel was accepted before, whatever has become of it
} standing;

static bool not_cancelable(const char *why, err *e) {
    return err_set(e, ERR_FAILED_PRECONDITION, "PAYOUT_NOT_CANCELABLE",
                   "the payout cannot be canceled: %s", why);
}

static bool lock_slot(db_conn *c, int64_t book_id, int rail_id, saga_step step, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_i16(p, (int16_t)rail_id);
    db_i16(p, (int16_t)step);
    return db_exec(c, saga_sql(SAGA_SQL_LOCK_SLOT), p, a, NULL, NULL, e);
}

// Where the payout stands, with what was said of it.
static bool look(db_conn *c, const saga_cancellation *x, standing *s, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, x->book_id);
    db_uuid(p, x->payout_id);
    if (!db_exec(c, saga_sql(SAGA_SQL_STANDING), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return err_set(e, ERR_NOT_FOUND, "PAYOUT_NOT_FOUND", "there is no such payout");
    }
    saga_row_read(rows, 0, &s->item);
    s->rail_id = db_get_i16(rows, 0, SAGA_N_COLUMNS);
    s->leased = db_get_bool(rows, 0, SAGA_N_COLUMNS + 1);
    s->is_ordered = db_get_bool(rows, 0, SAGA_N_COLUMNS + 2);
    s->item.events += 1; // even what only says "accepted" is to be heard here
    saga_batch b = {.from = {.book_id = x->book_id}, .items = &s->item, .n = 1, .a = a};
    return saga_intent_payouts(&b, c, e) && saga_store_hear(&b, c, e);
}

static bool record(db_conn *c, const saga_cancellation *x, const rail_event *event, arena *a,
                   err *e) {
    return rail_events_record(c, x->book_id, event, 1, a, e);
}

static bool give(db_conn *c, const saga_cancellation *x, const standing *s, arena *a, err *e) {
    const rail_event order = {.payout_id = x->payout_id,
                              .kind = RAIL_EVENT_CANCEL,
                              .event_id =
                                  str_of(arena_printf(a, "cancel/%d", (int)s->item.was.orders + 1)),
                              .code = STR("CANCEL"),
                              .text = x->reason,
                              .at_us = x->now_us,
                              .source = RAIL_SOURCE_PERSON,
                              .actor = x->actor};
    return record(c, x, &order, a, e);
}

// Out of a submission that has not left: that attempt will never be taken.
static bool take_out(saga_engine *g, db_conn *c, const saga_cancellation *x, const standing *s,
                     arena *a, err *e) {
    rail *r = saga_engine_rail(g, s->rail_id);
    bool taken = false;
    if (r == NULL || r->take_out == NULL) {
        return not_cancelable("it is in a submission", e);
    }
    if (!r->take_out(r, c, x->book_id, x->payout_id, s->item.was.attempt, &taken, a, e)) {
        return false;
    }
    if (!taken) {
        return not_cancelable("its submission has left, or is leaving", e);
    }
    const int attempt = s->item.was.attempt;
    const rail_event out = {.payout_id = x->payout_id,
                            .attempt = attempt,
                            .kind = RAIL_EVENT_NOT_TAKEN,
                            .event_id = str_of(arena_printf(a, "taken-out/%d", attempt)),
                            .at_us = x->now_us,
                            .source = RAIL_SOURCE_SUBMISSION};
    return record(c, x, &out, a, e);
}

static bool is_in_a_submission(const standing *s) {
    return s->item.was.step == STEP_AWAIT && s->item.was.state == STATE_PROCESSING &&
           s->item.said.word == WORD_NONE;
}

bool saga_cancel(saga_engine *g, db_conn *c, const saga_cancellation *x, arena *a, err *e) {
    standing s = {0};
    // What is claimed to be sent is claimed under this lock, and what was claimed before is seen behind it.
    if (!look(c, x, &s, a, e) || !lock_slot(c, x->book_id, s.rail_id, STEP_EXECUTE, a, e) ||
        !look(c, x, &s, a, e)) {
        return false;
    }
    // Who asks again is answered as before.
    if (s.item.was.state == STATE_CANCELED || s.item.was.step == STEP_CANCEL || s.is_ordered) {
        return true;
    }
    if (s.leased && s.item.was.step != STEP_RESERVE && s.item.was.step != STEP_GATE) {
        return not_cancelable("it is on its way to the bank", e);
    }
    if (is_in_a_submission(&s)) {
        return take_out(g, c, x, &s, a, e) && give(c, x, &s, a, e);
    }
    const char *why = NULL;
    if (!saga_takes_order(&s.item.was, &s.item.said, EVENT_CANCEL, &why)) {
        return not_cancelable(why, e);
    }
    return give(c, x, &s, a, e);
}
