// A payout becomes held while its entry is in a file that has not left: the file goes without it.
#include "events/events.h"
#include "saga/saga_internal.h"

// True for a payout that this claim holds, and that was handed over and, as far as we know, is not at the bank yet.
static bool is_held_before_it_left(const saga_item *item) {
    return item->was.hold[0] == '\0' && item->now.hold[0] != '\0' && item->now.step == STEP_AWAIT &&
           item->now.state == STATE_PROCESSING;
}

static bool record_not_taken(const saga_batch *b, db_conn *c, const saga_item *item, int64_t now_us,
                             err *e) {
    const char *id = arena_printf(b->a, "held-out/%d", (int)item->now.attempt);
    if (id == NULL) {
        return err_no_memory(e, "the batch");
    }
    const rail_event out = {.payout_id = item->payout_id,
                            .attempt = item->now.attempt,
                            .kind = RAIL_EVENT_NOT_TAKEN,
                            .event_id = str_of(id),
                            .at_us = now_us,
                            .source = RAIL_SOURCE_SUBMISSION};
    return rail_events_record(c, b->from.book_id, &out, 1, b->a, e);
}

bool saga_withdraw_held(saga_batch *b, db_conn *c, int64_t now_us, err *e) {
    rail *r = b->from.rail;
    if (r->take_out == NULL) {
        return true;
    }
    for (size_t i = 0; i < b->n; i++) { // few are held
        const saga_item *item = &b->items[i];
        bool taken = false;
        if (is_held_before_it_left(item) &&
            (!r->take_out(r, c, b->from.book_id, item->payout_id, item->now.attempt, STR("held"),
                          &taken, b->a, e) ||
             (taken && !record_not_taken(b, c, item, now_us, e)))) {
            return false;
        }
    }
    return true;
}
