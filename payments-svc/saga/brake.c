// The brake in a claim: no paused payout begins to move money. Read in the claiming transaction, after the slot's lock: so a claim that
// begins after a pause was committed sees it.
#include "connections/pause.h"
#include "saga/saga_internal.h"

// Steps for a bank's word, and steps that give money back, go on. A payout that passes the gate is reserved by the same claim.
static bool begins_to_move_money(saga_step step) {
    return step == STEP_GATE || step == STEP_RESERVE || step == STEP_EXECUTE;
}

bool saga_brake(saga_batch *b, db_conn *c, bool *stopped, err *e) {
    *stopped = false;
    b->paused = NULL;
    b->n_paused = 0;
    if (!begins_to_move_money(b->from.step)) {
        return true;
    }
    pause_set set;
    if (!pause_read(c, &set, b->a, e)) {
        return false;
    }
    *stopped = pause_stops(&set, b->from.book_id, b->from.rail->id);
    const size_t n = pause_merchants(&set, b->from.book_id, b->from.rail->id, NULL, 0);
    if (*stopped || n == 0) {
        return true;
    }
    b->paused = ARENA_ARRAY(b->a, str, n);
    if (b->paused == NULL) {
        return err_no_memory(e, "the list of pauses");
    }
    b->n_paused = pause_merchants(&set, b->from.book_id, b->from.rail->id, b->paused, n);
    return true;
}

static bool drop_paused(db_conn *c, arena *a, void *arg, err *e) {
    saga_scan *s = arg;
    pause_set set;
    if (!pause_read(c, &set, a, e)) {
        return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!begins_to_move_money(s->due[i].step) ||
            !pause_stops(&set, s->due[i].book_id, s->due[i].rail)) {
            s->due[kept++] = s->due[i];
        }
    }
    s->n = kept;
    return true;
}

bool saga_brake_scan(db_pool *pool, saga_scan *s, int64_t deadline_mono_ms, arena *a, err *e) {
    return s->n == 0 || db_read(pool, deadline_mono_ms, a, drop_paused, s, e);
}
