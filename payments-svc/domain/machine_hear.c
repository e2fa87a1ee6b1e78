// The messages about a payout become one word and two sums, which are weighed against the ledger.
#include <stdio.h>

#include "base/assert.h"
#include "domain/machine_internal.h"

enum { ORDER_FIRST = EVENT_RELEASE, ORDER_LAST = EVENT_CANCEL };
#define SUM_MAX                                                                                    \
    (INT64_MAX / 4) // more than any payout: two such sums can still be added and subtracted

static bool is_order(saga_event_kind kind) {
    return (int)kind >= ORDER_FIRST && (int)kind <= ORDER_LAST;
}

static bool is_said(saga_event_kind kind) {
    return (int)kind >= EVENT_ACCEPTED && (int)kind <= EVENT_NOT_TAKEN;
}

static int64_t add(int64_t a, int64_t b) {
    return b > SUM_MAX - a ? SUM_MAX : a + b;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

// --- The messages of one attempt -------------------------------------------------------------------------------------

enum {
    // Movements that are weighed. Each writer of messages stops earlier, at SAGA_MOVEMENTS_MAX, by itself.
    WEIGHED_MAX = 2 * SAGA_MOVEMENTS_MAX,
    SLOTS_MAX = 2 * WEIGHED_MAX,
    SLOTS_FEW = 16 // enough for nearly every payout
};
_Static_assert((SLOTS_MAX & (SLOTS_MAX - 1)) == 0 && (SLOTS_FEW & (SLOTS_FEW - 1)) == 0,
               "slots are found by a mask");

typedef struct tally {
    int32_t attempt; // 0: free
    bool heard[EVENT_NOT_TAKEN + 1];
    bool settled_all, returned_all; // a message without an amount means all, however often
    int64_t settled, returned;      // from messages with amounts
} tally;

// A bank may tell of one payment many times, under any ids. An attempt settles once per reference of the bank: of several messages with one
// reference, the largest counts.
typedef struct settlement {
    int32_t attempt; // 0: free
    int64_t amount;
    str reference;
} settlement;

// One tally for each attempt whose money moved, made once. A bank may send many messages, so nothing is compared with all.
typedef struct tallies {
    tally *of;
    settlement *settlements;
    uint32_t mask; // each table has mask + 1 slots, all free at first
} tallies;

static bool is_movement(saga_event_kind kind) {
    return kind == EVENT_SETTLED || kind == EVENT_RETURNED;
}

// The slot of an attempt, or the free slot for it: there are twice as many slots as movements.
static tally *tally_of(tallies *x, int32_t attempt) {
    uint32_t i = (uint32_t)attempt & x->mask;
    while (x->of[i].attempt != 0 && x->of[i].attempt != attempt) {
        i = (i + 1) & x->mask;
    }
    return &x->of[i];
}

static settlement *settlement_of(tallies *x, const saga_event *event) {
    uint32_t i = 2166136261U ^ (uint32_t)event->attempt;
    for (size_t k = 0; k < event->reference.len; k++) {
        i = (i ^ (unsigned char)event->reference.ptr[k]) * 16777619U;
    }
    for (i &= x->mask;; i = (i + 1) & x->mask) {
        settlement *at = &x->settlements[i];
        if (at->attempt == 0 ||
            (at->attempt == event->attempt && str_eq(at->reference, event->reference))) {
            return at;
        }
    }
}

static void add_movement(tallies *x, const saga_event *event) {
    tally *t = tally_of(x, event->attempt);
    t->attempt = event->attempt;
    if (event->kind == EVENT_RETURNED) {
        t->returned = add(t->returned, event->amount);
        t->returned_all |= event->amount == 0;
        return;
    }
    settlement *of = settlement_of(x, event);
    *of = (settlement){event->attempt, larger(of->amount, event->amount), event->reference};
}

static int64_t settled_of(const tally *t, int64_t amount) {
    return larger(t->settled, t->settled_all ? amount : 0);
}

static int64_t returned_of(const tally *t, int64_t amount) {
    return larger(t->returned, t->returned_all ? amount : 0);
}

// An amount that a person did not believe stays out, whatever is added. An amount that a person believed before the bank told of it is not
// added again when the bank tells.
static int64_t with_judgement(int64_t sum, int64_t judged) {
    return judged > 0 ? larger(sum, judged) : larger(sum + judged, 0);
}

// refusals: some are not judged.
static saga_word word_of(const tally *t, int64_t amount, int64_t settled, int64_t returned,
                         bool refusals) {
    const bool refused = refusals && t->heard[EVENT_REFUSED],
               not_taken = refusals && t->heard[EVENT_NOT_TAKEN];
    if (settled > 0) {
        const bool adds_up =
            settled >= amount && settled - returned <= amount && returned <= settled;
        return refused || not_taken || !adds_up ? WORD_CONTRADICTION
               : returned > 0                   ? WORD_SETTLED_RETURNED
                                                : WORD_SETTLED;
    }
    if (returned > 0) {
        // A part came back: so the rail had it, and will say that it has paid it.
        return not_taken || returned > amount ? WORD_CONTRADICTION
               : returned == amount           ? WORD_RETURNED
                                              : WORD_ACCEPTED;
    }
    return refused                    ? WORD_REFUSED
           : not_taken                ? WORD_NOT_TAKEN
           : t->heard[EVENT_ACCEPTED] ? WORD_ACCEPTED
                                      : WORD_NONE;
}

// True when a superseded attempt moved money for good: it was paid and stayed paid, more came back than was paid, or money moved although
// the rail said that it never had it. Then the rail's word is worth nothing, and the next attempt may be a second payment.
static bool moved_for_good(const tally *t, int64_t amount) {
    const int64_t settled = settled_of(t, amount), returned = returned_of(t, amount);
    const bool dead = t->heard[EVENT_NOT_TAKEN] || t->heard[EVENT_REFUSED];
    return (settled > 0 && settled != returned) || (dead && (settled > 0 || returned > 0));
}

// --- Hearing ---------------------------------------------------------------------------------------------------------

static void find_order(const saga *s, const saga_event *events, size_t n, saga_said *said) {
    for (size_t i = 0; i < n; i++) {
        const saga_event *event = &events[i];
        if (is_order(event->kind) && event->order > s->orders &&
            (said->order.order == 0 || event->order < said->order.order)) {
            said->order = *event;
        }
    }
    for (size_t i = 0; i < n && said->order.order > 0; i++) {
        if (is_order(events[i].kind) && events[i].order > said->last_order) {
            said->last_order = events[i].order;
        }
    }
}

// True when a person's later order answers the rail's question of a waiting cancel, or goes on without the answer. An order that would come
// to nothing, or leaves the question open, replaces nothing.
static bool is_overtaken(const saga *s, const saga_event *events, size_t n, const saga_said *said) {
    if (said->order.kind != EVENT_CANCEL || s->step != STEP_RESOLVE) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const saga_event_kind kind = events[i].kind;
        const bool knows =
            kind == EVENT_MARK_PAID || kind == EVENT_GIVE_BACK || kind == EVENT_RETRY;
        const char *why = NULL;
        saga_said then = *said;
        then.order = events[i];
        if (knows && events[i].order > said->order.order &&
            saga_takes_order(s, &then, kind, &why)) {
            return true;
        }
    }
    return false;
}

// True for a message that fits no attempt of this payout, as far as this version knows.
static bool is_odd(const saga_event *event, int32_t present) {
    return !is_said(event->kind) || event->foreign || event->amount < 0 ||
           event->attempt > present || event->attempt < 1;
}

// "Never taken" stays true for the present attempt, whatever a person has judged. Otherwise a released payout would wait for the word about
// a file that it is not in.
static bool was_never_taken(const saga *s, const saga_event *events, size_t n) {
    bool not_taken = false, other = false;
    for (size_t i = 0; i < n; i++) {
        if (events[i].attempt == s->attempt && is_said(events[i].kind)) {
            not_taken |= events[i].kind == EVENT_NOT_TAKEN;
            other |= events[i].kind == EVENT_REFUSED || events[i].kind == EVENT_SETTLED ||
                     events[i].kind == EVENT_RETURNED;
        }
    }
    return s->step == STEP_AWAIT && s->state == STATE_PROCESSING && not_taken && !other;
}

// The attempt is no longer on its way: the rail has it, or has told its outcome.
static bool has_left(const saga *s, const saga_event *events, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (events[i].attempt == s->attempt && (int)events[i].kind >= EVENT_ACCEPTED &&
            (int)events[i].kind <= EVENT_RETURNED) {
            return true;
        }
    }
    return false;
}

static size_t count_movements(const saga_event *events, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += is_movement(events[i].kind) ? 1 : 0;
    }
    return count;
}

static void fill_tallies(tallies *x, const saga_event *events, size_t n, int32_t present) {
    for (size_t i = 0; i < n; i++) {
        if (is_movement(events[i].kind) && !is_odd(&events[i], present)) {
            add_movement(x, &events[i]);
        }
    }
    for (size_t i = 0; i <= x->mask; i++) {
        const settlement *of = &x->settlements[i];
        if (of->attempt != 0) {
            tally *t = tally_of(x, of->attempt);
            t->settled = add(t->settled, of->amount);
            t->settled_all |= of->amount == 0;
        }
    }
    tally_of(x, present)->attempt = present;
    for (size_t i = 0; i < n; i++) {
        tally *t = is_odd(&events[i], present) ? NULL : tally_of(x, events[i].attempt);
        if (t != NULL && t->attempt != 0) { // an attempt without a slot is not asked about
            t->heard[events[i].kind] = true;
        }
    }
}

// Attempts before the present one whose money moved.
typedef struct earlier {
    int64_t settled, returned; // of all these attempts
    // A person has marked the payment as paid before the bank told of it: this movement is that payment, and counts for the present
    // attempt.
    bool is_the_payment;
    bool is_odd; // its meaning is unknown: a person decides about any movement
} earlier;

// saga.judged_settled above 0 says that one payment was made, by any attempt (see judge() of the orders).
static earlier find_earlier(const saga *s, const tallies *x, int32_t present) {
    earlier o = {0};
    int64_t settled = 0, returned = 0;
    bool for_good = false;
    for (size_t i = 0; i <= x->mask; i++) {
        const tally *t = &x->of[i];
        const int64_t in = settled_of(t, s->amount), out = returned_of(t, s->amount);
        if (t->attempt == 0 || t->attempt > present) {
            continue;
        }
        settled = add(settled, in);
        returned = add(returned, out);
        if (t->attempt < present) {
            o.settled = add(o.settled, in);
            o.returned = add(o.returned, out);
            for_good |= moved_for_good(t, s->amount);
        }
    }
    const bool marked = s->judged_settled > 0 && o.settled > 0;
    o.is_the_payment = marked && settled <= s->judged_settled && returned <= settled;
    o.is_odd = !o.is_the_payment && (for_good || marked);
    return o;
}

// Messages that speak against the present attempt, and whether they are new.
typedef struct oddities {
    int32_t n, explained; // n counts both
    // files that were taken after all, and how many of these were taken back
    int32_t taken, taken_back;
    const saga_event *last, *last_taken;
} oddities;

// A message about an earlier attempt. Its refusal, or "never taken", is the reason for the present attempt.
static void look_at_earlier(const saga *s, const earlier *o, tallies *x, const saga_event *event,
                            oddities *odd) {
    if (is_movement(event->kind)) {
        if (o->is_odd || moved_for_good(tally_of(x, event->attempt), s->amount)) {
            odd->n++;
            odd->explained += o->is_the_payment ? 1 : 0;
            odd->last = o->is_the_payment ? odd->last : event;
        }
    } else if (event->kind == EVENT_ACCEPTED && str_eq_c(event->code, SAGA_TAKEN_AFTER_ALL)) {
        odd->n++;
        if (o->is_the_payment && settled_of(tally_of(x, event->attempt), s->amount) > 0) {
            odd->explained++;
        } else {
            odd->taken++;
            odd->last_taken = event;
        }
    } else if (event->kind == EVENT_NOT_TAKEN && str_eq_c(event->code, SAGA_NOT_TAKEN_AFTER_ALL)) {
        odd->taken_back++;
    }
}

bool saga_is_plain_acceptance(int kind, str code) {
    return kind == EVENT_ACCEPTED && !str_eq_c(code, SAGA_TAKEN_AFTER_ALL) &&
           !str_eq_c(code, SAGA_REFUSED_UNSURE);
}

// The rail refuses the present attempt, and may pay it all the same. Only a further word of the rail decides; a settlement by the timetable
// has no amount and decides nothing.
static void look_at_refusal(const tally *t, const saga_event *event, oddities *odd) {
    if (event->kind == EVENT_ACCEPTED && str_eq_c(event->code, SAGA_REFUSED_UNSURE)) {
        const bool is_clear = t->settled > 0 || t->returned > 0 || t->heard[EVENT_REFUSED] ||
                              t->heard[EVENT_NOT_TAKEN];
        odd->n++;
        odd->explained += is_clear ? 1 : 0;
        odd->last = is_clear ? odd->last : event;
    }
}

// The words of the messages about the present attempt, and the impossible ones.
static void find_words(const saga *s, const saga_event *events, size_t n, int32_t present,
                       const earlier *o, tallies *x, saga_said *said, oddities *odd) {
    saga_event_kind decisive = EVENT_ACCEPTED;
    for (size_t i = 0; i < n; i++) {
        const saga_event *event = &events[i];
        if (is_order(event->kind)) {
            continue;
        }
        if (is_odd(event, present)) {
            odd->last = event;
            odd->n++;
            continue;
        }
        if (event->attempt < present) {
            look_at_earlier(s, o, x, event, odd);
            continue;
        }
        if (o->is_odd && is_movement(event->kind)) {
            odd->n++; // the owner of this money depends on the other message
        }
        look_at_refusal(tally_of(x, present), event, odd);
        said->refusals += event->kind == EVENT_REFUSED || event->kind == EVENT_NOT_TAKEN ? 1 : 0;
        said->reference = event->reference.len > 0 ? event->reference : said->reference;
        if (event->kind >= decisive && event->kind != EVENT_NOT_TAKEN) {
            decisive = event->kind;
            said->code = event->code;
            said->text = event->text;
        }
    }
    odd->explained += odd->taken < odd->taken_back ? odd->taken : odd->taken_back;
    odd->last = odd->taken > odd->taken_back ? odd->last_taken : odd->last;
}

// As many judged messages as possible count as explained since.
static bool is_new(const saga *s, const oddities *odd) {
    const int32_t judged = s->judged_odd - odd->explained;
    return odd->n - odd->explained > (judged > 0 ? judged : 0);
}

static void weigh(const saga *s, const saga_event *events, size_t n, int32_t present, tallies *x,
                  saga_said *said) {
    fill_tallies(x, events, n, present);
    const tally *t = tally_of(x, present);
    const earlier o = find_earlier(s, x, present);
    oddities odd = {0};
    find_words(s, events, n, present, &o, x, said, &odd);
    said->odd = odd.n;
    said->earlier_returned = o.is_the_payment ? 0 : o.returned;
    said->all_settled = add(settled_of(t, s->amount), o.is_the_payment ? o.settled : 0);
    said->all_returned = add(returned_of(t, s->amount), o.is_the_payment ? o.returned : 0);
    said->settled = with_judgement(said->all_settled, s->judged_settled);
    said->returned = with_judgement(said->all_returned, s->judged_returned);
    const bool refusals = said->refusals > s->judged_refusals;
    said->refused = refusals && t->heard[EVENT_REFUSED];
    said->word = word_of(t, s->amount, said->settled, said->returned, refusals);
    if (is_new(s, &odd)) {
        said->word = WORD_CONTRADICTION;
        said->earlier = o.is_odd || odd.taken > odd.taken_back;
        said->code = odd.last != NULL ? odd.last->code : said->code;
        said->text = odd.last != NULL ? odd.last->text : said->text;
        said->reference = (str){"", 0};
    }
}

static void weigh_few(const saga *s, const saga_event *events, size_t n, int32_t present,
                      saga_said *said) {
    tally of[SLOTS_FEW] = {0};
    settlement settlements[SLOTS_FEW] = {0};
    tallies x = {of, settlements, SLOTS_FEW - 1};
    weigh(s, events, n, present, &x, said);
}

// Its slots are many pages, which are cleared at each call.
static void weigh_many(const saga *s, const saga_event *events, size_t n, int32_t present,
                       saga_said *said) {
    tally of[SLOTS_MAX] = {0};
    settlement settlements[SLOTS_MAX] = {0};
    tallies x = {of, settlements, SLOTS_MAX - 1};
    weigh(s, events, n, present, &x, said);
}

static void weigh_all(const saga *s, const saga_event *events, size_t n, int32_t present,
                      saga_said *said) {
    const size_t n_movements = count_movements(events, n);
    if (n_movements > WEIGHED_MAX) {
        said->word = WORD_CONTRADICTION;
        said->code = STR("TOO_MANY_MOVEMENTS");
        said->text = STR("the bank tells of more movements than can be weighed");
    } else if (2 * (n_movements + 1) <= SLOTS_FEW) { // plus the present attempt
        weigh_few(s, events, n, present, said);
    } else {
        weigh_many(s, events, n, present, said);
    }
}

// An order judges the attempt that stays, even while the next has no number yet: a person who says what to believe leads to no other
// attempt. This counts also when an earlier order has judged everything.
static void count_for_order(const saga *s, const saga_event *events, size_t n, saga_said *said) {
    saga_said stays = {.word = WORD_NONE};
    weigh_all(s, events, n, s->attempt, &stays);
    said->all_settled = stays.all_settled;
    said->all_returned = stays.all_returned;
    said->earlier_returned = stays.earlier_returned;
    said->refusals = stays.refusals;
    said->odd = stays.odd;
}

saga_said saga_hear(const saga *s, const saga_event *events, size_t n, int32_t heard) {
    const int32_t present = s->attempt + (saga_next_attempt_is_new(s) ? 1 : 0);
    saga_said said = {.word = WORD_NONE, .heard = heard};
    if (n == 0) {
        return said;
    }
    said.never_taken = was_never_taken(s, events, n);
    said.left = has_left(s, events, n);
    find_order(s, events, n, &said);
    const bool judged = heard > 0 && s->judged >= heard; // a person has seen all messages
    if (judged) {
        said.word = said.never_taken ? WORD_NOT_TAKEN : WORD_NONE;
    } else {
        weigh_all(s, events, n, present, &said);
    }
    if (said.order.order != 0 && (judged || present != s->attempt)) {
        count_for_order(s, events, n, &said);
    }
    said.overtaken = said.order.order != 0 && is_overtaken(s, events, n, &said);
    return said;
}
