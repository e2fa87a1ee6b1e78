// Orders of a person, judged by the machine under the lock of the slot from which payouts are sent.
#include "saga/orders.h"

#include <string.h>

#include "base/assert.h"
#include "events/events.h"
#include "events/sagas.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"
#include "submissions/decide.h"

typedef struct standing {
    saga_item item;
    int rail_id;
    bool leased; // a worker has it
    // number of the last accepted order to cancel, whatever its result; 0: none
    int32_t canceling;
} standing;

// Clients repeat forgotten requests for so long. Such a payout was made after the restore, and may have been sent before it.
enum { REPEATS_DAYS = 7 };
enum { RECOVERY_RETRY_MS = 5000 };

bool saga_cancel_look(guard *g, db_conn *c, saga_cancellation *x, arena *a, err *e) {
    const int64_t repeats_us = INT64_C(86400) * 1000000 * REPEATS_DAYS;
    db_rows *rows = NULL;
    guard_status now;
    x->recovering = x->may_be_forgotten = false;
    if (g == NULL) {
        return true;
    }
    if (!db_exec(c, saga_sql(SAGA_SQL_CLAIM_BEGIN), NULL, a, &rows, NULL, e)) {
        return false;
    }
    x->recovering = !guard_same_timeline(g, db_get_str(rows, 0, 0)) || !guard_may_send(g);
    guard_look(g, &now);
    x->may_be_forgotten = x->recovering || (now.ended_us != 0 && uuid_v7_ms(x->payout_id) * 1000 <
                                                                     now.ended_us + repeats_us);
    return true;
}

static bool not_cancelable_as(str why, err *e) {
    return err_set(e, ERR_FAILED_PRECONDITION, "PAYOUT_NOT_CANCELABLE",
                   "the payout cannot be canceled: %.*s", (int)why.len, why.ptr);
}

static bool not_cancelable(const char *why, err *e) {
    return not_cancelable_as(str_of(why), e);
}

static bool lock_slot(db_conn *c, int64_t book_id, int rail_id, saga_step step, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    db_i16(p, (int16_t)rail_id);
    db_i16(p, (int16_t)step);
    return db_exec(c, saga_sql(SAGA_SQL_LOCK_SLOT), p, a, NULL, NULL, e);
}

static bool read_row(db_conn *c, int64_t book_id, uuid payout_id, standing *s, arena *a, err *e) {
    db_params *p = db_params_create(a);
    db_rows *rows = NULL;
    db_i64(p, book_id);
    db_uuid(p, payout_id);
    if (!db_exec(c, saga_sql(SAGA_SQL_STANDING), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 0) {
        return err_set(e, ERR_NOT_FOUND, "PAYOUT_NOT_FOUND", "there is no such payout");
    }
    saga_row_read(rows, 0, &s->item);
    s->rail_id = db_get_i16(rows, 0, SAGA_N_COLUMNS);
    s->leased = db_get_bool(rows, 0, SAGA_N_COLUMNS + 1);
    s->canceling = db_get_i32(rows, 0, SAGA_N_COLUMNS + 2);
    return true;
}

// The payout's state, with its messages.
static bool look_with(db_conn *c, int64_t book_id, uuid payout_id, const saga_event *also,
                      standing *s, arena *a, err *e) {
    *s = (standing){0};
    if (!read_row(c, book_id, payout_id, s, a, e)) {
        return false;
    }
    s->item.events += 1; // even what only says "accepted" is to be heard here
    saga_batch b = {.from = {.book_id = book_id}, .items = &s->item, .n = 1, .a = a};
    db_rows *said = NULL;
    return saga_intent_payouts(&b, c, e) && saga_store_events(&b, c, &said, e) &&
           saga_store_hear_also(&b, said, also, e);
}

static bool look(db_conn *c, int64_t book_id, uuid payout_id, standing *s, arena *a, err *e) {
    return look_with(c, book_id, payout_id, NULL, s, a, e);
}

// --- Carrying orders out ---------------------------------------------------------------------------------------------

enum { ORDERS_AT_ONCE = 4 };

// Workers may not claim the payout for hours or days: a paused payout does not begin, a silent bank is left alone, and a connection that is
// off has no claims.
static bool may_be_stopped(const saga_engine *g, const standing *s) {
    const saga_step step = s->item.was.step;
    return step == STEP_GATE || step == STEP_RESERVE || step == STEP_EXECUTE ||
           step == STEP_RESOLVE || (g != NULL && saga_engine_rail(g, s->rail_id) == NULL);
}

// Keeps workers from claiming the payout until the transaction ends, unless it moves before the lock is there, to a step that is not in
// *held. A cancel locks the sending steps wherever the payout stands. EXECUTE comes first, so that two such orders cannot deadlock.
static bool lock_standing(const saga_engine *g, db_conn *c, int64_t book_id, uuid payout_id,
                          bool cancels, saga_slots *held, arena *a, err *e) {
    standing s = {0};
    *held = (saga_slots){.has = {false}};
    if (!read_row(c, book_id, payout_id, &s, a, e) ||
        (cancels && (!lock_slot(c, book_id, s.rail_id, STEP_EXECUTE, a, e) ||
                     !read_row(c, book_id, payout_id, &s, a, e)))) {
        return false;
    }
    const saga_step at = s.item.was.step;
    held->has[STEP_EXECUTE] = cancels;
    if (!may_be_stopped(g, &s) || held->has[at]) {
        return true;
    }
    held->has[at] = true;
    return lock_slot(c, book_id, s.rail_id, at, a, e);
}

// Locks the submission that it waits in, and the sagas of all its items, if it can be taken out; else its own saga.
static bool lock_with_siblings(db_conn *c, int64_t book_id, uuid payout_id, arena *a, err *e) {
    standing s = {0};
    uuid *payouts = NULL;
    size_t n = 0;
    if (!read_row(c, book_id, payout_id, &s, a, e) ||
        (s.item.was.step == STEP_AWAIT &&
         !submission_lock_of(c, book_id, payout_id, s.item.was.attempt, &payouts, &n, a, e))) {
        return false;
    }
    return events_lock_sagas(c, book_id, n > 0 ? payouts : &payout_id, n > 0 ? n : 1, a, e);
}

bool saga_orders_lock(const saga_engine *g, db_conn *c, int64_t book_id, uuid payout_id,
                      rail_event_kind kind, saga_slots *held, arena *a, err *e) {
    return lock_standing(g, c, book_id, payout_id, kind == RAIL_EVENT_CANCEL, held, a, e) &&
           lock_with_siblings(c, book_id, payout_id, a, e);
}

static bool take_one(db_conn *c, int64_t book_id, standing *s, bool *taken, arena *a, err *e) {
    saga_batch b = {.from = {.clock = clock_system(), .book_id = book_id, .step = s->item.was.step},
                    .items = &s->item,
                    .n = 1,
                    .a = a};
    b.from.owner = uuid_v7(b.from.clock);
    s->item.epoch++;
    return saga_store_take_order(&b, c, taken, e);
}

// *refused: why the last order came to nothing; empty: as far as known it did not.
static bool take_orders(const saga_engine *g, db_conn *c, int64_t book_id, uuid payout_id,
                        const saga_slots *held, str *refused, arena *a, err *e) {
    *refused = STR("");
    for (int i = 0; i < ORDERS_AT_ONCE; i++) {
        standing s = {0};
        bool taken = false;
        if (!read_row(c, book_id, payout_id, &s, a, e)) {
            return false;
        }
        // A claim locks no row: without the slot's lock, a worker may take the payout at any moment, and then carries the order out.
        if (s.leased || !held->has[s.item.was.step] || !may_be_stopped(g, &s)) {
            return true;
        }
        if (!take_one(c, book_id, &s, &taken, a, e)) {
            return false;
        }
        if (!taken) {
            return true;
        }
        if (s.item.note.outcome == OUT_NOT_ORDERED &&
            s.item.said.order.order == s.item.said.last_order) {
            *refused = s.item.note.text;
        }
    }
    return true;
}

static bool not_possible(str why, err *e) {
    return err_set(e, ERR_FAILED_PRECONDITION, "ORDER_NOT_POSSIBLE",
                   "the payout cannot be given this order now: %.*s", (int)why.len, why.ptr);
}

bool saga_orders_take(const saga_engine *g, db_conn *c, int64_t book_id, uuid payout_id,
                      const saga_slots *held, arena *a, err *e) {
    str refused;
    return take_orders(g, c, book_id, payout_id, held, &refused, a, e) &&
           (refused.len == 0 || not_possible(refused, e));
}

// --- To cancel -------------------------------------------------------------------------------------------------------

static bool record(db_conn *c, const saga_cancellation *x, const rail_event *event, arena *a,
                   err *e) {
    return rail_events_record(c, x->book_id, event, 1, a, e);
}

// True for a rail that cannot be asked about one payout: its bank's folders were listed instead.
static bool is_looked_up(const saga_engine *g, const standing *s) {
    const rail *r = g != NULL ? saga_engine_rail(g, s->rail_id) : NULL;
    return r != NULL && r->may_have != NULL;
}

static str cancel_code(const saga_engine *g, const saga_cancellation *x, const standing *s) {
    return x->may_be_forgotten && !is_looked_up(g, s) ? STR(SAGA_CANCEL_ASKED) : STR("CANCEL");
}

static bool give(const saga_engine *g, db_conn *c, const saga_cancellation *x, const standing *s,
                 const saga_slots *held, arena *a, err *e) {
    const rail_event order = {.payout_id = x->payout_id,
                              .kind = RAIL_EVENT_CANCEL,
                              .event_id =
                                  str_of(arena_printf(a, "cancel/%d", (int)s->item.was.orders + 1)),
                              .code = cancel_code(g, x, s),
                              .text = x->reason,
                              .at_us = x->now_us,
                              .source = RAIL_SOURCE_PERSON,
                              .actor = x->actor};
    str refused;
    return record(c, x, &order, a, e) &&
           take_orders(g, c, x->book_id, x->payout_id, held, &refused, a, e) &&
           (refused.len == 0 || not_cancelable_as(refused, e));
}

// Takes it out of a submission that has not left: this attempt will never be taken. A connection that is off has no rail for this; the rows
// of its submissions say the same.
static bool take_out(saga_engine *g, db_conn *c, const saga_cancellation *x, const standing *s,
                     arena *a, err *e) {
    rail *r = saga_engine_rail(g, s->rail_id);
    bool taken = false;
    if (r != NULL && r->take_out == NULL) {
        return not_cancelable("it is in a submission", e);
    }
    const char *why = arena_printf(a, "canceled by %.*s", (int)x->actor.len, x->actor.ptr);
    if (why == NULL) {
        return err_no_memory(e, "the order");
    }
    const bool ok = r == NULL ? submission_make_way(c, x->book_id, x->payout_id,
                                                    s->item.was.attempt, str_of(why), &taken, a, e)
                              : r->take_out(r, c, x->book_id, x->payout_id, s->item.was.attempt,
                                            str_of(why), &taken, a, e);
    if (!ok && strcmp(e->reason, "SUBMISSION_UNDECIDED") != 0) {
        return false;
    }
    if (!ok || !taken) {
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

static bool check_forgotten(saga_engine *g, db_conn *c, const saga_cancellation *x,
                            const standing *s, arena *a, err *e) {
    const int32_t attempt = s->item.was.attempt > 0 ? s->item.was.attempt : 1;
    bool may = false;
    if (!x->may_be_forgotten || !is_looked_up(g, s)) {
        return true;
    }
    rail *r = saga_engine_rail(g, s->rail_id);
    if (x->recovering) {
        (void)err_set(e, ERR_UNAVAILABLE, "RECOVERING",
                      "what the bank has is being compared after a restore: ask again later");
        e->retry_after_ms = RECOVERY_RETRY_MS;
        return false;
    }
    if (!r->may_have(r, c, x->book_id, s->item.intent_id, attempt, &may, a, e)) {
        return false;
    }
    return !may || not_cancelable("the bank may have it in a file that was forgotten", e);
}

static bool is_in_a_submission(const standing *s) {
    return s->item.was.step == STEP_AWAIT && s->item.was.state == STATE_PROCESSING &&
           s->item.said.word == WORD_NONE;
}

// Gives the order if it is possible now.
static bool try_to_give(saga_engine *g, db_conn *c, const saga_cancellation *x, standing *s,
                        const saga_slots *held, arena *a, err *e) {
    const char *why = NULL;
    if (s->leased && s->item.was.step != STEP_RESERVE && s->item.was.step != STEP_GATE) {
        return not_cancelable("it is on its way to the bank", e);
    }
    if (is_in_a_submission(s)) {
        return take_out(g, c, x, s, a, e) && give(g, c, x, s, held, a, e);
    }
    s->item.said.order.kind = EVENT_CANCEL;
    s->item.said.order.code = cancel_code(g, x, s);
    if (!check_forgotten(g, c, x, s, a, e)) {
        return false;
    }
    if (!saga_takes_order(&s->item.was, &s->item.said, EVENT_CANCEL, &why)) {
        return not_cancelable(why, e);
    }
    return give(g, c, x, s, held, a, e);
}

bool saga_cancel(saga_engine *g, db_conn *c, const saga_cancellation *x, arena *a, err *e) {
    standing s = {0};
    saga_slots held;
    if (x->given != NULL) {
        *x->given = false;
    }
    // Claims for sending take this lock, and earlier claims are visible under it.
    if (!saga_orders_lock(g, c, x->book_id, x->payout_id, RAIL_EVENT_CANCEL, &held, a, e) ||
        !look(c, x->book_id, x->payout_id, &s, a, e)) {
        return false;
    }
    if (s.item.was.state == STATE_CANCELED || s.item.was.step == STEP_CANCEL ||
        s.canceling > s.item.was.orders) {
        return true;
    }
    if (try_to_give(g, c, x, &s, &held, a, e)) {
        if (x->given != NULL) {
            *x->given = true;
        }
        return true;
    }
    // A repeated order gets the earlier answer, unless the order came to nothing then and is possible now.
    const bool before = s.canceling > 0 && strcmp(e->reason, "PAYOUT_NOT_CANCELABLE") == 0;
    if (before) {
        err_clear(e);
    }
    return before;
}

bool saga_cancel_code(saga_engine *g, guard *known, db_conn *c, int64_t book_id, uuid payout_id,
                      str *code, arena *a, err *e) {
    saga_cancellation x = {.book_id = book_id, .payout_id = payout_id};
    standing s = {0};
    if (!saga_cancel_look(known, c, &x, a, e) || !look(c, book_id, payout_id, &s, a, e) ||
        !check_forgotten(g, c, &x, &s, a, e)) {
        return false;
    }
    *code = cancel_code(g, &x, &s);
    return true;
}

// True when the machine will take the order up later: after earlier orders, after the worker that has the payout, or, for a cancel, after
// the rail's answer. Its result is not known yet. A cancel that waits for the rail gives way to an order that is possible now, and to no
// other.
static bool is_for_later(const standing *s, saga_event_kind kind) {
    const saga *now = &s->item.was;
    const bool is_asked_for =
        now->step == STEP_RESOLVE || (now->step == STEP_EXECUTE && now->phase == PHASE_ACTING);
    const bool may_overtake = now->step == STEP_RESOLVE && kind != EVENT_CANCEL &&
                              s->item.said.order.kind == EVENT_CANCEL;
    return (s->item.said.order.order > 0 && !may_overtake) ||
           (s->leased && kind != EVENT_RELEASE) ||
           (kind == EVENT_CANCEL && now->hold[0] == '\0' && is_asked_for);
}

// --- Any order -------------------------------------------------------------------------------------------------------

static bool judge_order(standing *s, saga_event_kind order, str code, err *e) {
    const char *why = NULL;
    if (is_for_later(s, order)) {
        return true;
    }
    s->item.said.order.kind = order;
    s->item.said.order.code = code;
    return saga_takes_order(&s->item.was, &s->item.said, order, &why) ||
           not_possible(str_of(why), e);
}

bool saga_order_check(db_conn *c, int64_t book_id, uuid payout_id, rail_event_kind kind, str code,
                      arena *a, err *e) {
    standing s = {0};
    return look(c, book_id, payout_id, &s, a, e) && judge_order(&s, (saga_event_kind)kind, code, e);
}

bool saga_order_look(db_conn *c, int64_t book_id, uuid payout_id, int32_t gone,
                     rail_event_kind kind, str code, arena *a, err *e) {
    const saga_event never_taken = {.attempt = gone,
                                    .kind = EVENT_NOT_TAKEN,
                                    .code = STR(""),
                                    .text = STR(""),
                                    .reference = STR("")};
    standing s = {0};
    return look_with(c, book_id, payout_id, gone > 0 ? &never_taken : NULL, &s, a, e) &&
           judge_order(&s, (saga_event_kind)kind, code, e);
}
