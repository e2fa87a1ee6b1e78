// People's orders and their effects. An order moves the saga to a step; the next claim acts on it.
#include <string.h>

#include "base/fsm.h"
#include "domain/machine_internal.h"

#define EDGES(table) (table), sizeof(table) / sizeof((table)[0])

// (step, order) → step. Missing pairs are impossible; the guards below restrict the others.
static const fsm_edge ORDER_EDGES[] = {
    {STEP_GATE, EVENT_RELEASE, STEP_GATE},
    {STEP_RESERVE, EVENT_RELEASE, STEP_RESERVE},
    {STEP_EXECUTE, EVENT_RELEASE, STEP_EXECUTE},
    {STEP_RESOLVE, EVENT_RELEASE, STEP_RESOLVE},
    {STEP_AWAIT, EVENT_RELEASE, STEP_AWAIT},
    {STEP_CONFIRM, EVENT_RELEASE, STEP_CONFIRM},
    {STEP_VOID, EVENT_RELEASE, STEP_VOID},
    {STEP_CANCEL, EVENT_RELEASE, STEP_CANCEL},
    {STEP_RETURN, EVENT_RELEASE, STEP_RETURN},
    {STEP_DONE, EVENT_RELEASE, STEP_DONE}, // leave it as it is, whatever was said

    {STEP_EXECUTE, EVENT_RETRY, STEP_EXECUTE},
    {STEP_RESOLVE, EVENT_RETRY, STEP_EXECUTE},
    {STEP_AWAIT, EVENT_RETRY, STEP_EXECUTE},

    {STEP_EXECUTE, EVENT_MARK_PAID, STEP_CONFIRM},
    {STEP_RESOLVE, EVENT_MARK_PAID, STEP_CONFIRM},
    {STEP_AWAIT, EVENT_MARK_PAID, STEP_CONFIRM},
    {STEP_CONFIRM, EVENT_MARK_PAID, STEP_CONFIRM},
    {STEP_VOID, EVENT_MARK_PAID, STEP_CONFIRM},
    {STEP_CANCEL, EVENT_MARK_PAID, STEP_CONFIRM},
    {STEP_DONE, EVENT_MARK_PAID, STEP_CONFIRM}, // without a reservation; SETTLED stays

    {STEP_RESERVE, EVENT_GIVE_BACK, STEP_VOID}, // the reservation may exist
    {STEP_EXECUTE, EVENT_GIVE_BACK, STEP_VOID},
    {STEP_RESOLVE, EVENT_GIVE_BACK, STEP_VOID},
    {STEP_AWAIT, EVENT_GIVE_BACK, STEP_VOID},
    {STEP_CONFIRM, EVENT_GIVE_BACK, STEP_VOID}, // without a reservation it is given up
    {STEP_VOID, EVENT_GIVE_BACK, STEP_VOID},
    {STEP_CANCEL, EVENT_GIVE_BACK, STEP_CANCEL},
    {STEP_RETURN, EVENT_GIVE_BACK, STEP_RETURN},
    {STEP_DONE, EVENT_GIVE_BACK, STEP_RETURN}, // of a SETTLED payout; other states stay

    {STEP_DONE, EVENT_WRITE_OFF, STEP_DONE}, // the difference from the bank goes to suspense

    {STEP_GATE, EVENT_CANCEL, STEP_DONE},
    {STEP_RESERVE, EVENT_CANCEL, STEP_CANCEL}, // DONE if certainly nothing was reserved
    {STEP_EXECUTE, EVENT_CANCEL, STEP_CANCEL},
    {STEP_RESOLVE, EVENT_CANCEL, STEP_CANCEL}, // only if never taken
    {STEP_AWAIT, EVENT_CANCEL, STEP_CANCEL},
};
static const fsm ORDERS = {"saga.order", EDGES(ORDER_EDGES), NULL, NULL};

static bool is_held(const saga *s) {
    return s->hold[0] != '\0';
}

// True when the ledger was certainly never asked for the reservation. A worker that is gone may have acted on a held saga; its release
// counts that as a try.
static bool is_untouched(const saga *s) {
    return s->step == STEP_RESERVE && s->phase == PHASE_READY && s->tries == 0 && !is_held(s);
}

// True after a restore: the next attempt may have been sent, though nobody knows of it. Refusals of earlier attempts may be the bank's mere
// repeats. Once the rail was asked about the next attempt, absent_since_us is set.
static bool may_be_forgotten(const saga *s, const saga_said *said) {
    return s->absent_since_us == 0 && said->order.kind == EVENT_CANCEL &&
           str_eq_c(said->order.code, SAGA_CANCEL_ASKED);
}

void saga_head_for_question(saga *s) {
    if (saga_next_attempt_is_new(s)) {
        s->attempt++;
        s->doubt = DOUBT_UNKNOWN;
    } else if (s->doubt == DOUBT_NONE) {
        s->doubt = DOUBT_UNKNOWN;
    }
}

bool saga_wants_cancel(const saga_said *said) {
    return said->order.order > 0 && said->order.kind == EVENT_CANCEL;
}

static bool is_doubtful(const saga *s, const saga_said *said) {
    return s->step == STEP_EXECUTE && s->phase == PHASE_READY && said->word == WORD_NONE &&
           (s->doubt == DOUBT_UNKNOWN || may_be_forgotten(s, said));
}

bool saga_cancel_asks(const saga *s, const saga_said *said) {
    return saga_wants_cancel(said) && !is_held(s) && is_doubtful(s, said);
}

// True when the present attempt is certainly not at the bank. For an attempt that was once unknown, the bank must deny it at the beginning
// and at the end of a time: see saga_policy.cancel_wait_ms.
static bool is_away_from_the_bank(const saga *s, const saga_said *said) {
    return said->word == WORD_NOT_TAKEN || (s->step == STEP_EXECUTE && s->phase == PHASE_READY &&
                                            s->doubt == DOUBT_NONE && said->word == WORD_NONE);
}

// Proof that the bank does not have the present attempt and never will: it says so, or nothing was ever sent. An attempt that was once
// unknown, or that waits for the bank's word, is no such proof, however long the wait.
static bool is_dead(const saga *s, const saga_said *said) {
    return said->word == WORD_NOT_TAKEN ||
           (s->step == STEP_EXECUTE && s->phase == PHASE_READY && s->doubt == DOUBT_NONE);
}

static const char *guard_cancel(const saga *s, const saga_said *said) {
    const bool is_early = s->step == STEP_GATE || s->step == STEP_RESERVE;
    if (is_held(s) && (is_doubtful(s, said) || (is_early && may_be_forgotten(s, said)))) {
        return "it may be at the bank, which is not asked while it is held: say GIVE_BACK "
               "when it was not paid";
    }
    if (is_early || is_doubtful(s, said)) {
        return NULL;
    }
    return is_away_from_the_bank(s, said) ? NULL : "it is at the bank, or may be";
}

// True when returned money is taken from the merchant again.
static bool takes_again(const saga *s) {
    return s->step == STEP_CONFIRM && s->moving > 0;
}

// True while the attempt is in a submission of a file rail, which sends all its items, whatever becomes of the payout. An attempt that has
// left is not in it any more.
static bool is_in_a_submission(const saga *s, const saga_said *said) {
    return s->step == STEP_AWAIT && s->state == STATE_PROCESSING && said->word != WORD_NOT_TAKEN &&
           !said->never_taken && !said->left;
}

// True when the messages contradict each other: neither sending nor asking would help.
static bool is_muddled(const saga *s, const saga_said *said) {
    return said->word == WORD_CONTRADICTION &&
           (s->step == STEP_RESERVE || s->step == STEP_EXECUTE || s->step == STEP_RESOLVE ||
            s->step == STEP_AWAIT);
}
#define MUDDLED "what the bank says does not add up: say whether it was paid"

static bool was_paid(const saga_said *said) {
    return said->word == WORD_SETTLED || said->word == WORD_SETTLED_RETURNED;
}

// Returns the objection to an order; NULL: none.
static const char *guard(const saga *s, const saga_said *said, saga_event_kind order) {
    switch (order) {
    case EVENT_RELEASE:
        return !is_held(s) ? "it is not held" : is_muddled(s, said) ? MUDDLED : NULL;
    case EVENT_CANCEL: return guard_cancel(s, said);
    case EVENT_RETRY:
    case EVENT_GIVE_BACK:
        if (order == EVENT_RETRY && is_muddled(s, said)) {
            return MUDDLED;
        }
        if (order == EVENT_RETRY && !is_dead(s, said) &&
            !str_eq_c(said->order.code, SAGA_SEND_AGAIN)) {
            return "the bank has this attempt, or may have it: " SAGA_SEND_AGAIN
                   " says with evidence that it has not";
        }
        if (s->step != STEP_DONE && s->step != STEP_RETURN && !takes_again(s) && was_paid(said)) {
            return "the bank says that it was paid";
        }
        if (is_in_a_submission(s, said)) {
            return "it is in a submission that has not left: take it out of there first";
        }
        break;
    case EVENT_MARK_PAID:
    case EVENT_WRITE_OFF:
    case EVENT_ACCEPTED:
    case EVENT_REFUSED:
    case EVENT_SETTLED:
    case EVENT_RETURNED:
    case EVENT_NOT_TAKEN: break;
    }
    if (is_held(s) || s->step == STEP_RESOLVE || s->step == STEP_AWAIT) {
        return NULL;
    }
    return s->step == STEP_DONE ? "it has ended, and is not held" : "it goes on by itself";
}

static bool find(const saga *s, const saga_said *said, saga_event_kind order, int *to,
                 const char **why) {
    if (!fsm_next(&ORDERS, (int)s->step, (int)order, to)) {
        *why = s->step == STEP_DONE ? "it has ended" : "not at the step that it stands at";
        return false;
    }
    if (order == EVENT_CANCEL && is_untouched(s)) {
        *to = STEP_DONE;
    }
    *why = guard(s, said, order);
    return *why == NULL;
}

bool saga_takes_order(const saga *s, const saga_said *said, saga_event_kind order,
                      const char **why) {
    int to = STEP_DONE;
    return find(s, said, order, &to, why);
}

// --- Carrying it out -------------------------------------------------------------------------------------------------

static void stand_at(saga *s, saga_step step, const clock_source *clock) {
    if (step != s->step) {
        s->tries = 0;
    }
    s->step = step;
    (void)saga_rest(s, clock_wall_us(clock));
}

static void mark_paid(saga *s, const clock_source *clock) {
    if (s->step == STEP_DONE) {
        if (s->state == STATE_SETTLED) {
            stand_at(s, STEP_DONE, clock);
            return;
        }
        s->moving = s->amount; // the reservation is gone
    } else if (s->step != STEP_CONFIRM) {
        s->state = STATE_SENT;
        s->outlook = STATE_NONE;
        s->moving = 0;
    }
    stand_at(s, STEP_CONFIRM, clock);
}

// A possible reservation is under the last number tried: earlier numbers have failed.
static void leave_reserve(saga *s) {
    if (s->step == STEP_RESERVE) {
        s->reserve_leg = s->leg;
        s->state = STATE_PROCESSING;
    }
}

static void give_back(saga *s, saga_step to, str text, const clock_source *clock) {
    const str code = STR("GIVEN_BACK");
    if (takes_again(s)) {
        s->moving = 0;
        s->outlook = STATE_NONE;
        s->judged = 0; // the bank's money is still to be judged
        stand_at(s, STEP_DONE, clock);
    } else if (s->step == STEP_DONE && s->state != STATE_SETTLED) {
        stand_at(s, STEP_DONE, clock);
    } else {
        if (s->step == STEP_DONE) {
            s->moving = s->amount - s->returned;
            saga_set_reason(s, code, text);
        } else if (to == STEP_VOID && s->step != STEP_VOID) {
            leave_reserve(s);
            saga_head_for_void(s, STATE_FAILED, code, text);
        }
        stand_at(s, to, clock);
    }
}

static void write_off(saga *s, const saga_said *said, const clock_source *clock) {
    const int64_t more = saga_difference(s, said);
    if (more == 0) {
        stand_at(s, STEP_DONE, clock);
        return;
    }
    s->outlook = s->state;
    s->moving = more > 0 ? more : -more;
    stand_at(s, more > 0 ? STEP_CONFIRM : STEP_RETURN, clock);
}

static void cancel(saga *s, saga_step to, str text, const saga_said *said,
                   const clock_source *clock) {
    saga_set_reason(s, STR("CANCELED"), text);
    if (to == STEP_DONE) {
        saga_finish(s, STATE_CANCELED, said, clock);
        return;
    }
    leave_reserve(s);
    s->outlook = STATE_CANCELED;
    s->state = STATE_PROCESSING;
    stand_at(s, STEP_CANCEL, clock);
}

// The sums that count as settled and returned from here on, whatever the messages add up to: as the ledger has them after the order. False:
// the order decides nothing about them, or its step is still to be weighed.
static bool believed(const saga *s, saga_event_kind order, int64_t *settled, int64_t *returned) {
    *settled = s->amount;
    *returned = 0;
    switch (order) {
    case EVENT_RELEASE:
        *settled = s->state == STATE_SETTLED || s->state == STATE_RETURNED ? s->amount : 0;
        *returned = s->state == STATE_SETTLED ? s->returned : *settled;
        return s->step == STEP_DONE && s->written_off == 0;
    case EVENT_MARK_PAID:
        *returned = s->step == STEP_DONE && s->state == STATE_SETTLED ? s->returned : 0;
        return s->moving == 0 && s->written_off == 0;
    case EVENT_GIVE_BACK:
        if (s->step == STEP_DONE) {
            *settled = s->state == STATE_SETTLED || s->state == STATE_RETURNED ? s->amount : 0;
            *returned = *settled;
        } else {
            *settled = 0;
        }
        return s->moving == 0 && s->written_off == 0 && s->step != STEP_RETURN;
    case EVENT_CANCEL: *settled = 0; return true;
    case EVENT_RETRY:
    case EVENT_WRITE_OFF:
    case EVENT_ACCEPTED:
    case EVENT_REFUSED:
    case EVENT_SETTLED:
    case EVENT_RETURNED:
    case EVENT_NOT_TAKEN: break;
    }
    return false;
}

// See saga.judged_settled.
static int64_t judgement(int64_t believed_sum, int64_t told) {
    return believed_sum > told ? believed_sum : believed_sum - told;
}

// Records the judgement, so that a later message counts only by what it adds. A judged_settled above 0 marks a person's "it was paid", by
// any attempt. If the payout's state has told the payment already, no mark is set: another payment would be taken for it.
static void judge(saga *s, const saga_said *said) {
    const bool marks = said->order.kind == EVENT_MARK_PAID && s->step != STEP_DONE &&
                       s->step != STEP_CONFIRM && s->step != STEP_RETURN;
    const int64_t mark = s->judged_settled > 0 ? s->judged_settled : 0;
    int64_t settled, returned;
    s->judged = said->heard;
    if (believed(s, said->order.kind, &settled, &returned)) {
        s->judged_settled = judgement(settled, said->all_settled);
        s->judged_settled = s->judged_settled > 0 && !marks ? mark : s->judged_settled;
        s->judged_returned =
            judgement(returned, said->all_returned + (marks ? said->earlier_returned : 0));
        s->judged_refusals = said->refusals;
        s->judged_odd = said->odd;
    }
}

static void carry_out(saga *s, saga_step to, const saga_said *said, const clock_source *clock) {
    const str text = said->order.text;
    saga_said seen = *said; // the order's author has seen these messages
    seen.word = WORD_NONE;
    saga_unhold(s);
    judge(s, said);
    switch (said->order.kind) {
    case EVENT_RETRY:
        saga_head_for_attempt(s);
        stand_at(s, STEP_EXECUTE, clock);
        return;
    case EVENT_MARK_PAID: mark_paid(s, clock); return;
    case EVENT_GIVE_BACK: give_back(s, to, text, clock); return;
    case EVENT_WRITE_OFF: write_off(s, said, clock); return;
    case EVENT_CANCEL: cancel(s, to, text, &seen, clock); return;
    case EVENT_RELEASE:
        if (s->step == STEP_RESERVE && s->tries == 0) {
            s->tries = 1; // the reservation may exist: see is_untouched
        }
        break;
    case EVENT_ACCEPTED:
    case EVENT_REFUSED:
    case EVENT_SETTLED:
    case EVENT_RETURNED:
    case EVENT_NOT_TAKEN: break;
    }
    stand_at(s, s->step, clock);
}

// True when the order must wait: a reservation that may exist is completed first, and an attempt that may be at the bank is asked for
// first.
static bool has_to_wait(const saga *s, const saga_said *said) {
    if (said->order.kind != EVENT_CANCEL || is_held(s)) {
        return false;
    }
    const bool is_asked_for =
        s->step == STEP_RESOLVE || (s->step == STEP_EXECUTE && s->phase == PHASE_ACTING);
    const bool is_early = s->step == STEP_GATE || s->step == STEP_RESERVE;
    return (s->step == STEP_RESERVE && !is_untouched(s)) ||
           (is_early && may_be_forgotten(s, said)) || saga_cancel_asks(s, said) ||
           (is_asked_for && !is_away_from_the_bank(s, said));
}

// The rail may never answer: see saga_said.overtaken.
static bool gives_way(const saga *s, const saga_said *said) {
    return s->step == STEP_RESOLVE && said->overtaken;
}

bool saga_take_order(saga *s, const saga_said *said, const clock_source *clock, saga_note *note) {
    const saga_event *order = &said->order;
    const bool waits = order->order > 0 && has_to_wait(s, said);
    if (order->order == 0 || (waits && !gives_way(s, said))) {
        return false;
    }
    const char *why = NULL;
    int to = STEP_DONE;
    const bool again = order->kind == EVENT_RETRY && str_eq_c(order->code, SAGA_SEND_AGAIN);
    const str name = again ? STR(SAGA_SEND_AGAIN) : str_of(saga_event_name((int)order->kind));
    s->orders = order->order;
    if (!waits && find(s, said, order->kind, &to, &why)) {
        *note = (saga_note){OUT_ORDERED, name, order->text};
        carry_out(s, (saga_step)to, said, clock);
    } else {
        *note = (saga_note){OUT_NOT_ORDERED, name,
                            waits ? STR("another order came after it") : str_of(why)};
        // An orphan stays one: the bank is first asked about its worker's action.
        s->due_at_us = clock_wall_us(clock);
    }
    return true;
}
