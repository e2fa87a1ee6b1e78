// A walk: one saga alone, with any messages of its bank and any orders, in any sequence. No real bank need do this. In every case the
// payout comes to its end, or a person can end it.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "sim.h"

enum { TURNS = 30, WALK_EVENTS_MAX = 64, AMOUNT = 1000, ORDERS_MAX = 6 };

typedef struct walk {
    uint64_t seed;
    test_clock clock;
    bool file, trace;
    const saga_policy *policy;
    saga s;
    saga_event events[WALK_EVENTS_MAX];
    size_t n;
    int32_t orders; // given so far
    int32_t asked,
        about; // how often the bank was asked about this attempt while an order waited
    const char **why;
} walk;

static uint64_t below(walk *w, uint64_t bound) {
    return clock_random_below(&w->clock.source, bound);
}

static saga_said hear(const walk *w) {
    return saga_hear(&w->s, w->events, w->n, (int32_t)w->n);
}

static void show(const walk *w, const char *what, const char *more) {
    if (w->trace) {
        const saga *s = &w->s;
        (void)printf("%-8s %-18s at %s %s, attempt %d, tries %d, orders %d of %d%s%s\n", what, more,
                     saga_step_name(s->step), saga_state_name(s->state), s->attempt, s->tries,
                     s->orders, w->orders, s->hold[0] != '\0' ? ", held: " : "", s->hold_text);
    }
}

static bool broken(const walk *w, const char *what) {
    static char text[200];
    (void)snprintf(text, sizeof text, "walk %llu: %s", (unsigned long long)w->seed, what);
    *w->why = text;
    return false;
}

// --- What comes ------------------------------------------------------------------------------------------------------

static void say(walk *w) {
    static const int64_t AMOUNTS[] = {0, AMOUNT, AMOUNT, 400, 600};
    static const char *const REFERENCES[] = {"a", "a", "b"};
    static const char *const CODES[] = {"", "", SAGA_TAKEN_AFTER_ALL, SAGA_REFUSED_UNSURE};
    saga_event e = {.kind = (saga_event_kind)(EVENT_ACCEPTED + below(w, EVENT_NOT_TAKEN)),
                    .text = STR("")};
    if (!w->file && e.kind == EVENT_NOT_TAKEN) {
        e.kind = EVENT_REFUSED; // an event of a submission
    }
    const bool moves = e.kind == EVENT_SETTLED || e.kind == EVENT_RETURNED;
    e.attempt =
        below(w, 12) == 0 ? w->s.attempt + 1 : 1 + (int32_t)below(w, (uint64_t)w->s.attempt);
    e.amount = moves ? AMOUNTS[below(w, 5)] : 0;
    e.code = str_of(w->file && e.kind == EVENT_ACCEPTED ? CODES[below(w, 4)] : "");
    e.reference = str_of(REFERENCES[below(w, 3)]);
    w->events[w->n++] = e;
    w->s.due_at_us = 0;
    show(w, "word", saga_event_name((int)e.kind));
}

static bool can_order(const walk *w, saga_event_kind kind, const char *code) {
    const char *why = NULL;
    saga_said said = hear(w);
    said.order =
        (saga_event){.kind = kind, .code = str_of(code), .text = STR(""), .order = w->orders + 1};
    return saga_takes_order(&w->s, &said, kind, &why);
}

// Gives orders as the service does: only an order that can be carried out now, or that waits for work under way.
static void order(walk *w) {
    const saga_event_kind kind = (saga_event_kind)(EVENT_RELEASE + below(w, ORDERS_MAX));
    const bool coin = below(w, 2) == 0;
    const char *code = kind == EVENT_RETRY && coin                ? SAGA_SEND_AGAIN
                       : kind == EVENT_CANCEL && coin && !w->file ? SAGA_CANCEL_ASKED
                                                                  : "";
    const bool waits = hear(w).order.order > 0;
    if (waits || can_order(w, kind, code)) {
        w->events[w->n++] =
            (saga_event){.kind = kind, .code = str_of(code), .text = STR(""), .order = ++w->orders};
        w->s.due_at_us = 0;
        show(w, "order", saga_event_name((int)kind));
    }
}

// --- What is done ----------------------------------------------------------------------------------------------------

static saga_outcome outcome_of(walk *w, saga_step acting) {
    static const saga_outcome FILE_SENT[] = {OUT_HANDED_OVER, OUT_HANDED_OVER, OUT_HANDED_OVER,
                                             OUT_RETRY,       OUT_BROKEN,      OUT_REFUSED};
    static const saga_outcome SENT[] = {OUT_ACCEPTED, OUT_SETTLED, OUT_REFUSED, OUT_RETRY,
                                        OUT_AGAIN,    OUT_UNKNOWN, OUT_UNKNOWN};
    static const saga_outcome FILE_ASKED[] = {OUT_HANDED_OVER, OUT_ACCEPTED, OUT_RETRY,
                                              OUT_UNKNOWN};
    static const saga_outcome ASKED[] = {OUT_ACCEPTED, OUT_SETTLED, OUT_REFUSED, OUT_RETURNED,
                                         OUT_RETRY,    OUT_RETRY,   OUT_AGAIN,   OUT_UNKNOWN};
    static const saga_outcome LEDGER[] = {OUT_DONE,  OUT_DONE,   OUT_DONE,  OUT_DONE,
                                          OUT_RETRY, OUT_BURNED, OUT_BROKEN};
    if (acting == STEP_EXECUTE) {
        return w->file ? FILE_SENT[below(w, 6)] : SENT[below(w, 7)];
    }
    if (acting == STEP_RESOLVE) {
        return w->file ? FILE_ASKED[below(w, 4)] : ASKED[below(w, 8)];
    }
    return LEDGER[below(w, 7)];
}

// A person's order never waits for a bank.
static bool check_asked(walk *w, saga_step acting) {
    bool waits = false;
    for (size_t i = 0; i < w->n; i++) {
        const saga_event *e = &w->events[i];
        waits |=
            e->order > w->s.orders && (e->kind == EVENT_MARK_PAID || e->kind == EVENT_GIVE_BACK);
    }
    const bool same = w->about == w->s.attempt;
    w->asked = waits && acting == STEP_RESOLVE ? 1 + (same ? w->asked : 0) : 0;
    w->about = w->s.attempt;
    return w->asked <= 1 || broken(w, "an order waits behind one that waits for the bank");
}

// The bank's messages move the payout to another step only when they are about its own attempt, unless a person has judged them.
static bool check_moved(const walk *w, saga_step from) {
    const bool at_rail = from == STEP_EXECUTE || from == STEP_RESOLVE || from == STEP_AWAIT;
    int32_t highest = 0;
    for (size_t i = 0; i < w->n; i++) {
        highest = w->events[i].attempt > highest ? w->events[i].attempt : highest;
    }
    return !at_rail || from == w->s.step || w->s.hold[0] != '\0' || w->s.judged > 0 ||
           w->s.attempt >= highest ||
           (w->s.step != STEP_CONFIRM && w->s.step != STEP_VOID && w->s.step != STEP_AWAIT) ||
           broken(w, "it was moved by a word about an attempt that it has not made");
}

static bool claim(walk *w) {
    test_clock_advance(&w->clock, INT64_C(3600) * US_PER_S);
    const saga before = w->s;
    const saga_said said = hear(w);
    saga_note note;
    const saga_step acting = saga_on_claim(&w->s, &said, w->policy, &w->clock.source, &note);
    show(w, "claim",
         acting != STEP_NONE ? saga_step_name(acting) : saga_outcome_name(note.outcome));
    if (!check_moved(w, before.step) || !check_asked(w, acting)) {
        return false;
    }
    if (acting == STEP_NONE) {
        return true;
    }
    if (below(w, 12) == 0) { // its worker dies
        const saga_intent intent = {acting,      w->s.attempt,        w->s.outlook,
                                    w->s.moving, str_of(w->s.reason), str_of(w->s.reason_text)};
        saga row = before;
        saga_take_over(&row, &intent, w->policy, &w->clock.source);
        w->s = row;
        show(w, "dies", "");
        return true;
    }
    const saga_answer answer = {outcome_of(w, acting), STR("C"), STR("t"), 0};
    if (!saga_on_outcome(&w->s, &answer, &said, w->policy, &w->clock.source)) {
        return broken(w, "an outcome has no edge");
    }
    show(w, "outcome", saga_outcome_name(answer.outcome));
    return true;
}

// --- The judgement ---------------------------------------------------------------------------------------------------

// By all reports its file has not left. The file's fate will move the payout.
static bool is_in_a_file(const walk *w) {
    if (!w->file || w->s.step != STEP_AWAIT || w->s.state != STATE_PROCESSING) {
        return false;
    }
    for (size_t i = 0; i < w->n; i++) {
        if (w->events[i].attempt == w->s.attempt && w->events[i].kind <= EVENT_NOT_TAKEN) {
            return false;
        }
    }
    return true;
}

// A held payout: a person can mark it paid or unpaid, unless the bank says that it was paid.
static bool check_held(const walk *w, const saga_said *said) {
    const bool goes_on =
        can_order(w, EVENT_RELEASE, "") || can_order(w, EVENT_RETRY, SAGA_SEND_AGAIN);
    const bool paid = can_order(w, EVENT_MARK_PAID, "");
    const bool unpaid = can_order(w, EVENT_GIVE_BACK, "") || can_order(w, EVENT_CANCEL, "");
    if (!goes_on && !paid && !unpaid && !can_order(w, EVENT_WRITE_OFF, "")) {
        return broken(w, "it is held, and no order is possible");
    }
    if (w->s.step == STEP_DONE || is_in_a_file(w)) {
        return true;
    }
    if (!goes_on && !paid) {
        return broken(w, "it is held, and nobody can say that it was paid");
    }
    return goes_on || unpaid || said->settled > 0 ||
           broken(w, "it is held, and nobody can give it back");
}

static bool check_rest(const walk *w) {
    const saga_said said = hear(w);
    if (w->s.due_at_us != SAGA_NEVER) {
        return true;
    }
    if (said.order.order > 0) {
        return broken(w, "an order waits, and nothing will take it up");
    }
    if (w->s.hold[0] != '\0') {
        return check_held(w, &said);
    }
    if (w->s.step != STEP_DONE && w->s.step != STEP_AWAIT) {
        return broken(w, "it is not held, and never due");
    }
    return w->s.step != STEP_AWAIT || said.word != WORD_NOT_TAKEN ||
           broken(w, "it waits for the word about what was never taken");
}

bool sim_walk(uint64_t seed, bool trace, const char **why) {
    walk w = {.seed = seed, .trace = trace, .file = seed % 2 == 0, .why = why};
    test_clock_init(&w.clock, INT64_C(1700000000) * US_PER_S, seed);
    w.policy = w.file ? &SIM_FILE : &SIM_DIRECT;
    w.s = (saga){
        .step = STEP_RESERVE, .state = STATE_PENDING, .amount = AMOUNT, .leg = 1, .reserve_leg = 1};
    _Static_assert(2 * TURNS <= WALK_EVENTS_MAX, "two of them in a turn");
    for (int i = 0; i < TURNS; i++) {
        if (w.s.attempt > 0 && below(&w, 10) < 4) {
            say(&w);
        } else if (w.s.due_at_us == SAGA_NEVER || below(&w, 10) == 0) {
            order(&w);
        }
        if ((w.s.due_at_us != SAGA_NEVER && !claim(&w)) || !check_rest(&w)) {
            return false;
        }
    }
    return true;
}
