// Many messages are weighed as a simple rule would weigh them, up to a bearable number.
#include <stdio.h>
#include <stdlib.h>

#include "domain/machine_test_kit.h"

// --- By a simple rule --------------------------------------------------------------------------------------------------

// Net of one attempt: each reference settles once, with its largest amount; returns add up.
static void sum_simply(const saga_event *events, size_t n, int32_t attempt, int64_t *settled,
                       int64_t *returned) {
    *settled = *returned = 0;
    for (size_t i = 0; i < n; i++) {
        const saga_event *e = &events[i];
        bool counts = e->attempt == attempt && e->kind == EVENT_SETTLED;
        for (size_t k = 0; k < n; k++) {
            const saga_event *o = &events[k];
            counts = counts && (k == i || o->kind != EVENT_SETTLED || o->attempt != attempt ||
                                !str_eq(o->reference, e->reference) || o->amount < e->amount ||
                                (o->amount == e->amount && k > i));
        }
        *settled += counts ? e->amount : 0;
        *returned += e->attempt == attempt && e->kind == EVENT_RETURNED ? e->amount : 0;
    }
}

static bool some_attempt_before_stayed_paid(const saga_event *events, size_t n, int32_t present) {
    for (int32_t attempt = 1; attempt < present; attempt++) {
        int64_t settled, returned;
        bool dead = false;
        sum_simply(events, n, attempt, &settled, &returned);
        for (size_t i = 0; i < n; i++) {
            dead = dead || (events[i].attempt == attempt &&
                            (events[i].kind == EVENT_NOT_TAKEN || events[i].kind == EVENT_REFUSED));
        }
        if ((settled > 0 && settled != returned) || (dead && settled + returned > 0)) {
            return true;
        }
    }
    return false;
}

static void test_hear__any_messages__as_a_simple_rule_weighs_them(void **state) {
    (void)state;
    static const saga_event_kind KINDS[] = {EVENT_ACCEPTED, EVENT_SETTLED,  EVENT_SETTLED,
                                            EVENT_RETURNED, EVENT_RETURNED, EVENT_NOT_TAKEN,
                                            EVENT_REFUSED};
    const str refs[] = {STR(""), STR("pay_1"), STR("pay_2"), STR("pay_17"), STR("yap_1")};
    unsigned seed = 4;
    size_t contradictions = 0, others = 0;
    for (int round = 0; round < 20000; round++) {
        saga_event events[12];
        const size_t n = (size_t)rand_r(&seed) % 13;
        const int32_t present = 1 + (int32_t)((unsigned)rand_r(&seed) % 3);
        for (size_t i = 0; i < n; i++) {
            events[i] = event(1 + (int32_t)((unsigned)rand_r(&seed) % (unsigned)present),
                              KINDS[(size_t)rand_r(&seed) % (round % 2 == 0 ? 5 : 7)]);
            events[i].amount = 250 * (1 + (int64_t)((unsigned)rand_r(&seed) % 4));
            events[i].reference = refs[(size_t)rand_r(&seed) % 5];
        }
        const saga s = at(STEP_AWAIT, PHASE_READY, STATE_SENT, present);
        const saga_said said = hear(&s, events, n);
        int64_t settled, returned;
        sum_simply(events, n, present, &settled, &returned);
        assert_int_equal(said.settled, settled);
        assert_int_equal(said.returned, returned);
        if (some_attempt_before_stayed_paid(events, n, present)) {
            assert_int_equal(said.word, WORD_CONTRADICTION);
            contradictions++;
        } else if (settled > 0 && settled == returned) {
            others++;
        }
    }
    assert_true(contradictions > 1000 && others > 100); // both kinds occurred
}

// --- A file that was taken after all ---------------------------------------------------------------------------------

// The file was rejected, and its payouts are to go out anew. Then the bank speaks of another entry of it as paid.
static void test_NO_DOUBLE_file_of_the_attempt_before_was_taken__held(void **state) {
    (void)state;
    saga_event events[] = {event(1, EVENT_ACCEPTED), event(1, EVENT_NOT_TAKEN),
                           event(1, EVENT_ACCEPTED)};
    events[2].code = STR(SAGA_TAKEN_AFTER_ALL);
    events[2].text = STR("an entry of its file has settled");
    saga s = sent();
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE); // the next file does not get it
    assert_held(&s, STEP_EXECUTE, "RAIL_CONTRADICTION");
    assert_non_null(strstr(s.hold_text, "an entry of its file has settled"));
    // The same while it is put into the next file.
    saga t = sent();
    assert_int_equal(claim_events(&t, events, 2), STEP_NONE);
    assert_int_equal(claim_events(&t, events, 2), STEP_EXECUTE);
    assert_true(come_events(&t, OUT_HANDED_OVER, events, 2));
    assert_int_equal(claim_events(&t, events, 3), STEP_NONE);
    assert_held(&t, STEP_AWAIT, "RAIL_CONTRADICTION");
}

// --- Judgements ---------------------------------------------------------------------------------------------------------

static saga_event paid_under(str reference, int64_t amount) {
    saga_event e = moved(EVENT_SETTLED, amount);
    e.reference = reference;
    return e;
}

// A person has looked at two settlements of one payout and left both. A later return is the merchant's.
static void test_NO_LOSS_return_after_a_judgement__weighed_alone(void **state) {
    (void)state;
    saga_event events[] = {paid_under(STR("pay_1"), AMOUNT), paid_under(STR("pay_2"), AMOUNT),
                           ordered(EVENT_RELEASE, 1), moved(EVENT_RETURNED, AMOUNT),
                           event(1, EVENT_REFUSED)};
    saga s = settled();
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
    assert_int_equal(s.hold[0], '\0');
    assert_int_equal(claim_events(&s, events, 4), STEP_RETURN);
    assert_int_equal(s.moving, AMOUNT);
    assert_true(come_events(&s, OUT_DONE, events, 4));
    assert_int_equal(s.state, STATE_RETURNED);
    assert_int_equal(claim_events(&s, events, 4), STEP_NONE);
    assert_int_equal(s.hold[0], '\0');
    // A new adverse message is heard as well.
    assert_int_equal(claim_events(&s, events, 5), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
}

// Refused and settled; a person has found that it was paid. Old words hold it no more, whatever else is said.
static void test_judged__mark_paid__then_a_part_comes_back(void **state) {
    (void)state;
    saga_event events[] = {event(1, EVENT_REFUSED), moved(EVENT_SETTLED, AMOUNT),
                           ordered(EVENT_MARK_PAID, 1), event(1, EVENT_ACCEPTED),
                           moved(EVENT_RETURNED, 300)};
    saga s = sent();
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 3), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_DONE, events, 4));
    assert_int_equal(s.state, STATE_SETTLED);
    assert_int_equal(claim_events(&s, events, 4), STEP_NONE);
    assert_int_equal(s.hold[0], '\0');
    assert_int_equal(claim_events(&s, events, 5), STEP_RETURN);
    assert_int_equal(s.moving, 300);
}

// The money was given back, and then the bank repeats that it was paid. Under a judged reference this is nothing new.
static void test_judged__given_back__told_again_and_paid_again(void **state) {
    (void)state;
    saga_event events[] = {event(1, EVENT_REFUSED), paid_under(STR("pay_1"), AMOUNT),
                           ordered(EVENT_GIVE_BACK, 1), paid_under(STR("pay_1"), AMOUNT),
                           paid_under(STR("pay_2"), AMOUNT)};
    saga s = settled();
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 3), STEP_RETURN);
    assert_true(come_events(&s, OUT_DONE, events, 3));
    assert_int_equal(s.state, STATE_RETURNED);
    assert_int_equal(claim_events(&s, events, 4), STEP_NONE);
    assert_int_equal(s.hold[0], '\0');
    // the merchant pays for the new payment
    assert_int_equal(claim_events(&s, events, 5), STEP_CONFIRM);
    assert_int_equal(s.moving, AMOUNT);
}

// A file counts as never taken, and its bank speaks of it as taken, while the next attempt has no number yet. The order is about the
// attempt that stays.
static saga taken_after_all(const saga_event *events) {
    saga s = handed_over();
    assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
    assert_int_equal(s.step, STEP_EXECUTE);
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_held(&s, STEP_EXECUTE, "RAIL_CONTRADICTION");
    return s;
}

static void test_judged__taken_after_all__marked_paid__settles_in_peace(void **state) {
    (void)state;
    saga_event events[] = {event(1, EVENT_NOT_TAKEN), event(1, EVENT_ACCEPTED),
                           ordered(EVENT_MARK_PAID, 1), moved(EVENT_SETTLED, AMOUNT),
                           moved(EVENT_RETURNED, AMOUNT)};
    events[1].code = STR(SAGA_TAKEN_AFTER_ALL);
    saga s = taken_after_all(events);
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 3), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_DONE, events, 3));
    assert_int_equal(s.state, STATE_SETTLED);
    saga odd = s;
    assert_int_equal(claim_events(&s, events, 4), STEP_NONE); // the bank's report
    assert_int_equal(s.hold[0], '\0');
    assert_int_equal(claim_events(&s, events, 5), STEP_RETURN); // the money is the merchant's
    assert_int_equal(s.moving, AMOUNT);
    // An impossible message is new: no judged one was like it.
    events[3].foreign = true;
    assert_int_equal(claim_events(&odd, events, 4), STEP_NONE);
    assert_held(&odd, STEP_DONE, "RAIL_CONTRADICTION");
}

static void test_judged__taken_after_all__given_back_or_canceled__attempt_that_stays(void **state) {
    (void)state;
    const saga_event_kind orders[] = {EVENT_GIVE_BACK, EVENT_CANCEL};
    for (size_t i = 0; i < 2; i++) {
        saga_event events[] = {event(1, EVENT_NOT_TAKEN), event(1, EVENT_ACCEPTED),
                               ordered(orders[i], 1)};
        saga s = handed_over();
        assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
        if (orders[i] == EVENT_GIVE_BACK) {
            events[1].code = STR(SAGA_TAKEN_AFTER_ALL);
            s = taken_after_all(events);
        }
        assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
        assert_int_equal(note.outcome, OUT_ORDERED);
        assert_int_equal(s.judged_refusals, 1);
        assert_int_equal(s.judged_odd, 0);
    }
}

// Two orders wait: the second finds everything judged, and judges it again.
static void test_judged__by_the_second_of_two_orders__stays_so(void **state) {
    (void)state;
    const saga_event events[] = {event(1, EVENT_REFUSED), ordered(EVENT_RELEASE, 1),
                                 ordered(EVENT_MARK_PAID, 2), moved(EVENT_SETTLED, AMOUNT)};
    saga s = sent();
    saga_hold(&s, STR("HELD"), STR("a person looks"));
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
    assert_int_equal(s.step, STEP_AWAIT);
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(claim_events(&s, events, 3), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_DONE, events, 3));
    assert_int_equal(claim_events(&s, events, 4), STEP_NONE);
    assert_int_equal(s.hold[0], '\0');
    assert_int_equal(s.state, STATE_SETTLED);
}

// --- Refused, and perhaps paid -----------------------------------------------------------------------------------------

static saga_event unsure(void) {
    saga_event e = event(1, EVENT_ACCEPTED);
    e.code = STR(SAGA_REFUSED_UNSURE);
    e.text = STR("D09 duplicate");
    return e;
}

static bool can_order(const saga *s, const saga_event *events, size_t n, saga_event_kind order) {
    const char *why = NULL;
    saga_said said = hear(s, events, n);
    said.order = ordered(order, 1);
    return saga_takes_order(s, &said, order, &why);
}

// The timetable is no word of the bank: a person must say whether the bank pays the refused payment.
static void
test_UNKNOWN_IS_A_STATE_refused_for_an_unlisted_reason__not_settled_by_the_time(void **state) {
    (void)state;
    const saga_event events[] = {event(1, EVENT_ACCEPTED), unsure(), event(1, EVENT_SETTLED)};
    saga s = sent();
    for (size_t n = 2; n <= 3; n++) {
        assert_int_equal(claim_events(&s, events, n), STEP_NONE);
        assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
        assert_true(n > 2 || strstr(s.hold_text, "duplicate") != NULL);
        assert_true(can_order(&s, events, n, EVENT_MARK_PAID));
    }
    assert_true(can_order(&s, events, 2, EVENT_GIVE_BACK));
    saga late = settled(); // by the timetable; later the bank refuses it
    const saga_event after[] = {event(1, EVENT_SETTLED), unsure()};
    assert_int_equal(claim_events(&late, after, 2), STEP_NONE);
    assert_held(&late, STEP_DONE, "RAIL_CONTRADICTION");
    assert_true(can_order(&late, after, 2, EVENT_GIVE_BACK));
}

static void test_refused_for_an_unlisted_reason__the_bank_says_more__goes_on(void **state) {
    (void)state;
    const struct {
        saga_event more;
        saga_step step;
        bool held;
    } CASES[] = {
        {moved(EVENT_SETTLED, AMOUNT), STEP_CONFIRM, false},
        {moved(EVENT_RETURNED, AMOUNT), STEP_VOID, false},
        {event(1, EVENT_REFUSED), STEP_VOID, false},
        {event(1, EVENT_NOT_TAKEN), STEP_EXECUTE, true}, // sent anew after a person has looked
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const saga_event events[] = {unsure(), CASES[i].more};
        saga s = handed_over();
        assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
        assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
        assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
        assert_int_equal(s.step, CASES[i].step);
        assert_int_equal(s.hold[0] != '\0', CASES[i].held);
    }
}

static void test_refused_for_an_unlisted_reason__judged__holds_no_more(void **state) {
    (void)state;
    const saga_event events[] = {unsure(), ordered(EVENT_MARK_PAID, 1), event(1, EVENT_SETTLED),
                                 moved(EVENT_SETTLED, AMOUNT), moved(EVENT_RETURNED, AMOUNT)};
    saga s = sent();
    assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 2), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_DONE, events, 2));
    for (size_t n = 3; n <= 4; n++) {
        assert_int_equal(claim_events(&s, events, n), STEP_NONE);
        assert_int_equal(s.hold[0], '\0');
        assert_int_equal(s.state, STATE_SETTLED);
    }
    assert_int_equal(claim_events(&s, events, 5), STEP_RETURN);
}

// --- The next file was sent, too -------------------------------------------------------------------------------------

static saga_event after_all(void) {
    saga_event e = event(1, EVENT_ACCEPTED);
    e.code = STR(SAGA_TAKEN_AFTER_ALL);
    e.text = STR("the bank accepted its file after it had rejected it");
    return e;
}

static saga_event second(saga_event_kind kind) {
    saga_event e = moved(kind, AMOUNT);
    e.attempt = 2;
    return e;
}

// Its first file was rejected, and it went out in the next one.
static saga sent_anew(void) {
    saga s = at(STEP_AWAIT, PHASE_READY, STATE_SENT, 2);
    return s;
}

// Both files may be paid: no settlement, in any order, is booked before a person has looked.
static void test_NO_DOUBLE_first_file_taken_when_the_next_was_sent__held(void **state) {
    (void)state;
    const saga_event both[] = {event(1, EVENT_NOT_TAKEN), after_all(), second(EVENT_SETTLED),
                               moved(EVENT_SETTLED, AMOUNT)};
    const saga_event first[] = {event(1, EVENT_NOT_TAKEN), after_all(),
                                moved(EVENT_SETTLED, AMOUNT), moved(EVENT_RETURNED, AMOUNT)};
    const saga_event *const orders[] = {both, first};
    for (size_t i = 0; i < 2; i++) {
        saga s = sent_anew();
        for (size_t n = 2; n <= 4; n++) {
            assert_int_equal(claim_events(&s, orders[i], n), STEP_NONE);
            assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
        }
        assert_non_null(strstr(s.hold_text, "earlier attempt"));
    }
    // It had settled already; later the bank tells the same of the first file.
    const saga_event late[] = {event(1, EVENT_NOT_TAKEN), second(EVENT_SETTLED), after_all()};
    saga s = sent_anew();
    assert_int_equal(claim_events(&s, late, 2), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_DONE, late, 2));
    assert_int_equal(claim_events(&s, late, 3), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
}

// A person has found that the bank does not have the first file: the next file goes on by itself.
static void test_hear__not_taken_after_all__goes_on(void **state) {
    (void)state;
    saga_event events[] = {event(1, EVENT_NOT_TAKEN), after_all(), event(1, EVENT_NOT_TAKEN),
                           second(EVENT_SETTLED), after_all()};
    events[2].code = STR(SAGA_NOT_TAKEN_AFTER_ALL);
    saga s = sent_anew();
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
    assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION"); // until the bank or a person says more
    saga again = s;
    assert_int_equal(claim_events(&s, events, 4), STEP_NONE);
    assert_int_equal(s.hold[0], '\0');
    assert_int_equal(claim_events(&s, events, 4), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_DONE, events, 4));
    assert_int_equal(s.state, STATE_SETTLED);
    // The bank insists: this is new.
    assert_int_equal(claim_events(&s, events, 5), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
    events[3] = ordered(EVENT_RELEASE, 1);
    assert_int_equal(claim_events(&again, events, 4), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(again.hold[0], '\0');
}

// A payout was marked as paid, and its earlier attempt has settled: the payment that the person meant.
static saga marked_paid_anew(saga_event *events, size_t before) {
    saga s = sent_anew();
    assert_int_equal(claim_events(&s, events, before - 1), STEP_NONE);
    assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
    assert_int_equal(claim_events(&s, events, before), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(claim_events(&s, events, before), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_DONE, events, before));
    assert_int_equal(s.state, STATE_SETTLED);
    return s;
}

static void test_judged__marked_paid__settled_by_the_attempt_before(void **state) {
    (void)state;
    saga_event events[] = {event(1, EVENT_NOT_TAKEN),     after_all(),
                           ordered(EVENT_MARK_PAID, 1),   moved(EVENT_SETTLED, AMOUNT),
                           moved(EVENT_RETURNED, AMOUNT), second(EVENT_SETTLED)};
    saga s = marked_paid_anew(events, 3);
    assert_int_equal(claim_events(&s, events, 4), STEP_NONE);
    assert_int_equal(s.hold[0], '\0');
    saga twice = s, odd = s;
    assert_int_equal(claim_events(&s, events, 5), STEP_RETURN); // the money is the merchant's
    assert_int_equal(s.moving, AMOUNT);
    assert_true(come_events(&s, OUT_DONE, events, 5));
    assert_int_equal(s.state, STATE_RETURNED);
    assert_int_equal(claim_events(&s, events, 6), STEP_NONE); // the next file was paid, too
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
    events[4] = second(EVENT_SETTLED);
    assert_int_equal(claim_events(&twice, events, 5), STEP_NONE);
    assert_held(&twice, STEP_DONE, "RAIL_CONTRADICTION");
    events[4].foreign = true;
    assert_int_equal(claim_events(&odd, events, 5), STEP_NONE);
    assert_held(&odd, STEP_DONE, "RAIL_CONTRADICTION");
}

// Both have settled, a person has marked it as paid, and one of the two comes back: the merchant has paid for the other.
static void test_judged__paid_twice__what_comes_back_is_held(void **state) {
    (void)state;
    for (int32_t attempt = 1; attempt <= 2; attempt++) {
        saga_event events[] = {event(1, EVENT_NOT_TAKEN), moved(EVENT_SETTLED, AMOUNT),
                               second(EVENT_SETTLED), ordered(EVENT_MARK_PAID, 1),
                               moved(EVENT_RETURNED, AMOUNT)};
        events[4].attempt = attempt;
        saga s = marked_paid_anew(events, 4);
        assert_int_equal(claim_events(&s, events, 4), STEP_NONE);
        assert_int_equal(s.hold[0], '\0');
        assert_int_equal(claim_events(&s, events, 5), STEP_NONE);
        assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
    }
}

// It was settled by an answer of the bank, and a person has left it so. A later settlement of an earlier attempt is a second payment.
static void test_judged__settled_and_left__attempt_before_is_held(void **state) {
    (void)state;
    static const saga_event_kind ORDERS[] = {EVENT_RELEASE, EVENT_MARK_PAID};
    for (size_t i = 0; i < 2; i++) {
        const saga_event events[] = {ordered(ORDERS[i], 1), moved(EVENT_SETTLED, AMOUNT)};
        saga s = at(STEP_DONE, PHASE_READY, STATE_SETTLED, 2);
        saga_hold(&s, STR("HELD"), STR("a person looks"));
        assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
        assert_int_equal(note.outcome, OUT_ORDERED);
        if (s.step == STEP_CONFIRM) {
            assert_int_equal(claim_events(&s, events, 1), STEP_CONFIRM);
            assert_true(come_events(&s, OUT_DONE, events, 1));
        }
        assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
        assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
    }
}

// --- Very many -------------------------------------------------------------------------------------------------------

enum { VERY_MANY = 200000 };

static saga_event *very_many(int32_t attempt, char (*refs)[16]) {
    saga_event *events = calloc(VERY_MANY, sizeof *events);
    assert_non_null(events);
    for (size_t i = 0; i < VERY_MANY; i++) {
        events[i] = event(attempt, i % 2 == 0 ? EVENT_SETTLED : EVENT_RETURNED);
        events[i].amount = 1;
        if (refs != NULL) {
            snprintf(refs[i], sizeof refs[i], "p%zu", i);
            events[i].reference = (str){refs[i], strlen(refs[i])};
        }
    }
    return events;
}

// With an earlier attempt each message was compared with each: this took minutes.
static void test_hear__more_movements_than_are_weighed__held(void **state) {
    (void)state;
    char(*refs)[16] = calloc(VERY_MANY, sizeof *refs);
    saga_event *events = very_many(1, refs);
    for (int32_t attempt = 1; attempt <= 2; attempt++) {
        saga s = at(STEP_AWAIT, PHASE_READY, STATE_SENT, attempt);
        const saga_said said = hear(&s, events, VERY_MANY);
        assert_int_equal(said.word, WORD_CONTRADICTION);
        assert_true(str_eq_c(said.code, "TOO_MANY_MOVEMENTS"));
        assert_int_equal(claim_events(&s, events, VERY_MANY), STEP_NONE);
        assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
    }
    free(events);
    free(refs);
}

// All movements up to the intake's limit are weighed, and so are those that two intakes at once have added beyond it.
static void test_hear__as_many_as_are_taken_in__weighed(void **state) {
    (void)state;
    char(*refs)[16] = calloc(VERY_MANY, sizeof *refs);
    saga_event *events = very_many(1, refs);
    for (size_t n = SAGA_MOVEMENTS_MAX; n <= SAGA_MOVEMENTS_MAX + 64; n += 32) {
        const saga s = at(STEP_AWAIT, PHASE_READY, STATE_SENT, 1);
        const saga_said said = hear(&s, events, n);
        assert_int_equal(said.settled, n / 2); // each reference is a separate payment
        assert_int_equal(said.returned, n / 2);
    }
    free(events);
    free(refs);
}

// Messages without money are as many as submissions and orders: they do no harm.
static void test_hear__very_many_that_move_nothing__heard(void **state) {
    (void)state;
    saga_event *events = very_many(1, NULL);
    for (size_t i = 0; i < VERY_MANY; i++) {
        events[i].kind = EVENT_ACCEPTED;
    }
    events[VERY_MANY / 2] = moved(EVENT_SETTLED, AMOUNT);
    saga s = at(STEP_AWAIT, PHASE_READY, STATE_SENT, 1);
    assert_int_equal(claim_events(&s, events, VERY_MANY), STEP_CONFIRM);
    free(events);
}

// --- Held while its file leaves -----------------------------------------------------------------------------------------

// A payout that was held before its file left is at the bank all the same: a person can decide about it.
static void test_NO_LOSS_held_while_its_file_leaves__can_be_given_back(void **state) {
    (void)state;
    const saga_event events[] = {event(1, EVENT_NOT_TAKEN), after_all(), event(2, EVENT_ACCEPTED),
                                 event(2, EVENT_REFUSED)};
    saga s = handed_over();
    assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
    act(&s, STEP_EXECUTE, OUT_HANDED_OVER);
    assert_int_equal(s.attempt, 2);
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
    assert_false(can_order(&s, events, 2, EVENT_GIVE_BACK)); // the file sends all its entries
    for (size_t n = 3; n <= 4; n++) {
        assert_int_equal(claim_events(&s, events, n), STEP_NONE);
        assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
        assert_int_equal(s.state, STATE_SENT);
        assert_true(can_order(&s, events, n, EVENT_GIVE_BACK));
        assert_true(can_order(&s, events, n, EVENT_MARK_PAID));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hear__any_messages__as_a_simple_rule_weighs_them),
        cmocka_unit_test(test_NO_DOUBLE_file_of_the_attempt_before_was_taken__held),
        cmocka_unit_test(test_NO_LOSS_return_after_a_judgement__weighed_alone),
        cmocka_unit_test(test_judged__mark_paid__then_a_part_comes_back),
        cmocka_unit_test(test_judged__given_back__told_again_and_paid_again),
        cmocka_unit_test(test_judged__taken_after_all__marked_paid__settles_in_peace),
        cmocka_unit_test(test_judged__taken_after_all__given_back_or_canceled__attempt_that_stays),
        cmocka_unit_test(test_judged__by_the_second_of_two_orders__stays_so),
        cmocka_unit_test(test_NO_DOUBLE_first_file_taken_when_the_next_was_sent__held),
        cmocka_unit_test(test_hear__not_taken_after_all__goes_on),
        cmocka_unit_test(test_judged__marked_paid__settled_by_the_attempt_before),
        cmocka_unit_test(test_judged__paid_twice__what_comes_back_is_held),
        cmocka_unit_test(test_judged__settled_and_left__attempt_before_is_held),
        cmocka_unit_test(
            test_UNKNOWN_IS_A_STATE_refused_for_an_unlisted_reason__not_settled_by_the_time),
        cmocka_unit_test(test_refused_for_an_unlisted_reason__the_bank_says_more__goes_on),
        cmocka_unit_test(test_refused_for_an_unlisted_reason__judged__holds_no_more),
        cmocka_unit_test(test_NO_LOSS_held_while_its_file_leaves__can_be_given_back),
        cmocka_unit_test(test_hear__more_movements_than_are_weighed__held),
        cmocka_unit_test(test_hear__as_many_as_are_taken_in__weighed),
        cmocka_unit_test(test_hear__very_many_that_move_nothing__heard),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
