// Money that moves more than once, holds, and the ways out of them.
#include "domain/machine_test_kit.h"

static saga_step claim_one(saga *s, saga_event e) {
    return claim_events(s, &e, 1);
}

static saga_event under(str reference, saga_event e) {
    e.reference = reference;
    return e;
}

// --- Net amounts -----------------------------------------------------------------------------------------------------

static void test_net__partial_return_then_the_rest(void **state) {
    (void)state;
    saga s = settled();
    saga_event events[] = {moved(EVENT_SETTLED, AMOUNT), moved(EVENT_RETURNED, 300),
                           moved(EVENT_RETURNED, 700)};
    assert_int_equal(claim_events(&s, events, 2), STEP_RETURN);
    assert_int_equal(s.moving, 300);
    assert_int_equal(s.leg, 1);
    assert_true(come_events(&s, OUT_DONE, events, 2));
    assert_int_equal(s.state, STATE_SETTLED); // most of it is paid
    assert_int_equal(s.returned, 300);
    assert_int_equal(s.leg, 2); // the next movement has its own ids
    assert_true(s.due_at_us == SAGA_NEVER);
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 3), STEP_RETURN);
    assert_int_equal(s.moving, 700);
    assert_true(come_events(&s, OUT_DONE, events, 3));
    assert_int_equal(s.state, STATE_RETURNED);
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
}

// A dishonoured return, or a credit that was applied again: merchant and recipient both have the money.
static void test_net__paid_again_after_a_return__leaves_the_merchant_again(void **state) {
    (void)state;
    saga s = settled();
    saga_event events[] = {moved(EVENT_SETTLED, AMOUNT), moved(EVENT_RETURNED, AMOUNT),
                           under(STR("pay_2"), moved(EVENT_SETTLED, AMOUNT)),
                           moved(EVENT_RETURNED, AMOUNT)};
    assert_int_equal(claim_events(&s, events, 2), STEP_RETURN);
    assert_true(come_events(&s, OUT_DONE, events, 2));
    assert_int_equal(s.state, STATE_RETURNED);
    assert_int_equal(claim_events(&s, events, 3), STEP_CONFIRM);
    assert_int_equal(s.moving, AMOUNT);
    assert_int_equal(s.leg, 2);
    assert_true(come_events(&s, OUT_DONE, events, 3));
    assert_int_equal(s.state, STATE_SETTLED);
    assert_int_equal(s.returned, 0);
    // It is returned a second time.
    assert_int_equal(claim_events(&s, events, 4), STEP_RETURN);
    assert_int_equal(s.moving, AMOUNT);
    assert_int_equal(s.leg, 3);
    assert_true(come_events(&s, OUT_DONE, events, 4));
    assert_int_equal(s.state, STATE_RETURNED);
}

// A bank may repeat its message about one payment. Even after a return, the payment has gone out only once.
static void test_NO_DOUBLE_net__settlement_told_twice__is_one(void **state) {
    (void)state;
    const str refs[] = {STR("pay_1"), STR("")};
    for (size_t i = 0; i < 2; i++) {
        const saga_event settlement = under(refs[i], moved(EVENT_SETTLED, AMOUNT));
        const saga_event late[] = {settlement, under(refs[i], moved(EVENT_RETURNED, AMOUNT)),
                                   settlement};
        saga s = settled();
        assert_int_equal(claim_events(&s, late, 2), STEP_RETURN);
        assert_true(come_events(&s, OUT_DONE, late, 2));
        assert_int_equal(s.state, STATE_RETURNED);
        assert_int_equal(claim_events(&s, late, 3), STEP_NONE); // the merchant does not pay again
        assert_int_equal(s.state, STATE_RETURNED);
        assert_int_equal(s.hold[0], '\0');
        // Told twice before the return: the return still counts.
        const saga_event early[] = {settlement, settlement, late[1]};
        saga t = settled();
        assert_int_equal(claim_events(&t, early, 2), STEP_NONE);
        assert_int_equal(t.hold[0], '\0');
        assert_int_equal(claim_events(&t, early, 3), STEP_RETURN);
        assert_int_equal(t.moving, AMOUNT);
        saga u = sent(); // all of it at once
        assert_int_equal(claim_events(&u, early, 3), STEP_CONFIRM);
        assert_true(come_events(&u, OUT_DONE, early, 3));
        assert_int_equal(claim_events(&u, early, 3), STEP_RETURN);
    }
}

static void test_net__what_does_not_add_up__held(void **state) {
    (void)state;
    const saga_event paid_twice[] = {under(STR("pay_1"), moved(EVENT_SETTLED, AMOUNT)),
                                     under(STR("pay_2"), moved(EVENT_SETTLED, AMOUNT))};
    const saga_event too_much_back[] = {moved(EVENT_SETTLED, AMOUNT), moved(EVENT_RETURNED, AMOUNT),
                                        moved(EVENT_RETURNED, 1)};
    const saga_event less[] = {moved(EVENT_SETTLED, AMOUNT - 1)};
    const struct {
        const saga_event *events;
        size_t n;
    } RUNS[] = {{paid_twice, 2}, {too_much_back, 3}, {less, 1}};
    for (size_t i = 0; i < 3; i++) {
        saga waits = sent(), ended = settled();
        assert_int_equal(claim_events(&waits, RUNS[i].events, RUNS[i].n), STEP_NONE);
        assert_held(&waits, STEP_AWAIT, "RAIL_CONTRADICTION");
        assert_int_equal(claim_events(&ended, RUNS[i].events, RUNS[i].n), STEP_NONE);
        assert_held(&ended, STEP_DONE, "RAIL_CONTRADICTION");
        assert_int_equal(ended.state, STATE_SETTLED); // beside the hold
    }
    saga s = sent();
    saga_event foreign = moved(EVENT_SETTLED, AMOUNT);
    foreign.foreign = true; // of another currency
    assert_int_equal(claim_one(&s, foreign), STEP_NONE);
    assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
    saga_event most = moved(EVENT_SETTLED, INT64_MAX);
    const saga_event huge[] = {most, most, most}; // no overflow
    saga t = sent();
    assert_int_equal(claim_events(&t, huge, 3), STEP_NONE);
    assert_held(&t, STEP_AWAIT, "RAIL_CONTRADICTION");
}

// The second half makes the settlement whole: all is clear, and the hold ends by itself.
static void test_net__in_two_parts__held_until_it_adds_up(void **state) {
    (void)state;
    saga s = sent();
    const saga_event events[] = {under(STR("pay_1"), moved(EVENT_SETTLED, 400)),
                                 under(STR("pay_2"), moved(EVENT_SETTLED, 600))};
    assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
    assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(note.outcome, OUT_RELEASED);
    assert_int_equal(s.step, STEP_CONFIRM);
    assert_int_equal(claim_events(&s, events, 2), STEP_CONFIRM);
    assert_int_equal(s.moving, 0); // the whole reservation
}

static void test_net__part_came_back_before_the_settlement__waits_for_it(void **state) {
    (void)state;
    saga s = sent();
    const saga_event events[] = {moved(EVENT_RETURNED, 300), moved(EVENT_SETTLED, AMOUNT)};
    assert_int_equal(claim_events(&s, events, 1), STEP_RESOLVE); // asks, as after any wait
    assert_true(come_events(&s, OUT_ACCEPTED, events, 1));
    assert_int_equal(claim_events(&s, events, 2), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_DONE, events, 2));
    assert_int_equal(claim_events(&s, events, 2), STEP_RETURN);
    assert_int_equal(s.moving, 300);
}

static void test_net__attempt_before__that_came_back_whole__means_nothing(void **state) {
    (void)state;
    saga s = sent();
    s.attempt = 2;
    const saga_event events[] = {moved(EVENT_SETTLED, AMOUNT), moved(EVENT_RETURNED, AMOUNT)};
    assert_int_equal(hear(&s, events, 2).word, WORD_NONE);
    assert_int_equal(hear(&s, events, 1).word, WORD_CONTRADICTION);
    assert_int_equal(hear(&s, events + 1, 1).word, WORD_NONE);
}

// --- A refusal of a repeat -------------------------------------------------------------------------------------------

static saga unknown_and_sent_again(void) {
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_UNKNOWN);
    act(&s, STEP_RESOLVE, OUT_RETRY); // the bank's read model does not have it yet
    assert_int_equal(claim(&s), STEP_EXECUTE);
    assert_int_equal(s.attempt, 1);
    return s;
}

static void test_refusal__after_unknown__counts_only_from_a_query(void **state) {
    (void)state;
    const saga_outcome refusals[] = {OUT_REFUSED, OUT_AGAIN};
    for (size_t i = 0; i < 2; i++) {
        saga s = unknown_and_sent_again();
        assert_true(come(&s, refusals[i], WORD_NONE));
        assert_int_equal(s.step, STEP_RESOLVE); // neither voided nor sent under a new key
        saga paid = s, refused = s;
        assert_int_equal(claim(&paid), STEP_RESOLVE);
        assert_true(come(&paid, OUT_SETTLED, WORD_NONE));
        assert_int_equal(paid.step, STEP_CONFIRM);
        assert_int_equal(claim(&refused), STEP_RESOLVE);
        assert_true(come(&refused, OUT_REFUSED, WORD_NONE));
        assert_int_equal(refused.step, STEP_VOID);
        // Neither is found: a person must decide.
        assert_int_equal(claim(&s), STEP_RESOLVE);
        assert_true(come(&s, OUT_RETRY, WORD_NONE));
        assert_held(&s, STEP_RESOLVE, "REFUSED_AFTER_UNKNOWN");
    }
}

static void test_refusal__of_a_worker_that_died__counts_only_from_a_query(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    assert_int_equal(claim(&s), STEP_EXECUTE);
    act(&s, STEP_RESOLVE, OUT_RETRY);
    act(&s, STEP_EXECUTE, OUT_REFUSED);
    assert_int_equal(s.step, STEP_RESOLVE);
}

static void test_refusal__of_a_new_attempt__is_one(void **state) {
    (void)state;
    saga s = unknown_and_sent_again();
    assert_true(come(&s, OUT_AGAIN, WORD_NONE));
    assert_int_equal(claim(&s), STEP_RESOLVE);
    assert_true(come(&s, OUT_AGAIN, WORD_NONE)); // the query says so
    assert_int_equal(claim(&s), STEP_EXECUTE);
    assert_int_equal(s.attempt, 2);
    assert_true(come(&s, OUT_REFUSED, WORD_NONE));
    assert_int_equal(s.step, STEP_VOID);
}

// --- Ids that have failed for ever -----------------------------------------------------------------------------------

static void test_burned__the_next_number_is_tried(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_BURNED);
    assert_int_equal(s.leg, 2);
    act(&s, STEP_RESERVE, OUT_DONE);
    assert_int_equal(s.reserve_leg, 2); // CONFIRM and VOID release this one
    act(&s, STEP_EXECUTE, OUT_SETTLED);
    act(&s, STEP_CONFIRM, OUT_BURNED);
    assert_int_equal(s.leg, 3);
    assert_int_equal(s.reserve_leg, 2);
    act(&s, STEP_CONFIRM, OUT_DONE);
    assert_int_equal(s.state, STATE_SETTLED);
}

static void test_burned__again_and_again__held(void **state) {
    (void)state;
    saga s = sent();
    s.step = STEP_CONFIRM;
    for (int i = 0; s.hold[0] == '\0'; i++) {
        assert_true(i < 1000);
        act(&s, STEP_CONFIRM, OUT_BURNED);
    }
    assert_held(&s, STEP_CONFIRM, "LEDGER_IDS");
}

// --- Orders ----------------------------------------------------------------------------------------------------------

static void give(saga *s, saga_event_kind kind) {
    const saga_event order = ordered(kind, s->orders + 1);
    assert_int_equal(claim_events(s, &order, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(s->hold[0], '\0');
}

static void refuse(saga *s, saga_event_kind kind) {
    const saga before = *s;
    const saga_event order = ordered(kind, s->orders + 1);
    assert_int_equal(claim_events(s, &order, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_NOT_ORDERED);
    assert_int_equal(s->step, before.step);
    assert_int_equal(s->state, before.state);
}

// The account was closed while the payout was SENT: CONFIRM was refused, and its id burned. Once the account is open again, the bank's
// payment is posted under the next number.
static void test_release__after_a_burned_confirm__posts_what_the_bank_has_paid(void **state) {
    (void)state;
    saga s = sent();
    const saga_event paid = event(1, EVENT_SETTLED);
    assert_int_equal(claim_events(&s, &paid, 1), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_BROKEN, &paid, 1));
    assert_held(&s, STEP_CONFIRM, "AM04");
    assert_int_equal(s.state, STATE_SENT);
    give(&s, EVENT_RELEASE);
    act(&s, STEP_CONFIRM, OUT_BURNED);
    assert_int_equal(s.leg, 2);
    act(&s, STEP_CONFIRM, OUT_DONE);
    assert_int_equal(s.state, STATE_SETTLED);
}

static void test_held__before_it_was_sent__the_banks_word_counts(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    assert_int_equal(claim(&s), STEP_EXECUTE);
    assert_true(come(&s, OUT_RETRY, WORD_NONE)); // its entry is in an unsent file
    saga_hold(&s, STR("RECIPIENT_UNREADABLE"), STR("the bank details cannot be read"));
    assert_held(&s, STEP_EXECUTE, "RECIPIENT_UNREADABLE");
    assert_int_equal(s.attempt, 1);
    // The file goes out with its other entries, and the bank pays it.
    assert_int_equal(claim_one(&s, moved(EVENT_SETTLED, AMOUNT)), STEP_NONE);
    assert_int_equal(note.outcome, OUT_RELEASED);
    assert_int_equal(claim_one(&s, moved(EVENT_SETTLED, AMOUNT)), STEP_CONFIRM);
}

static void test_retry__makes_a_new_attempt(void **state) {
    (void)state;
    saga s = sent();
    assert_int_equal(claim(&s), STEP_RESOLVE);
    assert_true(come(&s, OUT_RETRY, WORD_NONE));
    assert_held(&s, STEP_RESOLVE, "RAIL_LOST_PAYMENT");
    refuse(&s, EVENT_RETRY); // the bank had it, and no query proves its absence
    saga_event again = ordered(EVENT_RETRY, s.orders + 1);
    again.code = STR(SAGA_SEND_AGAIN);
    assert_int_equal(claim_events(&s, &again, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(claim(&s), STEP_EXECUTE);
    assert_int_equal(s.attempt, 2);
    saga h = handed_over();
    refuse(&h, EVENT_RETRY); // its submission would send it all the same
    saga f = failed();
    refuse(&f, EVENT_RETRY);
}

// A new key is a new payment: made only when the previous attempt is provably no payment.
static void test_NO_DOUBLE_retry__attempt_that_the_bank_may_have__refused(void **state) {
    (void)state;
    saga waits = sent();
    refuse(&waits, EVENT_RETRY);
    saga unknown = fresh();
    act(&unknown, STEP_RESERVE, OUT_DONE);
    act(&unknown, STEP_EXECUTE, OUT_UNKNOWN);
    refuse(&unknown, EVENT_RETRY);
    act(&unknown, STEP_RESOLVE, OUT_RETRY); // one query without a result proves nothing
    saga_hold(&unknown, STR("RECIPIENT_UNREADABLE"), STR("the bank details cannot be read"));
    refuse(&unknown, EVENT_RETRY);
    saga never = fresh();
    act(&never, STEP_RESERVE, OUT_DONE);
    saga_hold(&never, STR("RECIPIENT_UNREADABLE"), STR("the bank details cannot be read"));
    give(&never, EVENT_RETRY);
    assert_int_equal(claim(&never), STEP_EXECUTE);
    assert_int_equal(never.attempt, 1);
    saga dead = sent();
    saga_hold(&dead, STR("HELD"), STR("a person must look"));
    const saga_event events[] = {event(1, EVENT_NOT_TAKEN), ordered(EVENT_RETRY, 1)};
    assert_int_equal(claim_events(&dead, events, 2), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(claim_events(&dead, events, 2), STEP_EXECUTE);
    assert_int_equal(dead.attempt, 2);
}

static void test_release__of_what_does_not_add_up__is_not_possible_before_the_end(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_AGAIN); // attempt 2 would be next, but attempt 1 was paid
    const saga_event events[] = {event(1, EVENT_SETTLED), ordered(EVENT_RELEASE, 1),
                                 ordered(EVENT_RETRY, 2), ordered(EVENT_MARK_PAID, 3)};
    assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
    assert_held(&s, STEP_EXECUTE, "RAIL_CONTRADICTION");
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(note.outcome, OUT_NOT_ORDERED);
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
    assert_int_equal(note.outcome, OUT_NOT_ORDERED);
    assert_int_equal(claim_events(&s, events, 4), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(claim_events(&s, events, 4), STEP_CONFIRM);
    assert_true(come_events(&s, OUT_DONE, events, 4));
    assert_int_equal(s.state, STATE_SETTLED);
    assert_int_equal(claim_events(&s, events, 4), STEP_NONE);
    assert_int_equal(s.hold[0], '\0'); // a person has judged it
    const saga_event more[] = {events[0], events[1], events[2], events[3],
                               event(1, EVENT_RETURNED)};
    assert_int_equal(claim_events(&s, more, 5), STEP_RETURN); // new words are judged anew
}

// An entry that was taken out of its file is in no file, whatever else is said or judged: released, it is sent anew.
static void test_NO_LOSS_held_and_taken_out__released__goes_out_in_another_file(void **state) {
    (void)state;
    saga s = handed_over();
    const saga_event events[] = {event(2, EVENT_ACCEPTED), event(1, EVENT_NOT_TAKEN)};
    assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
    assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_held(&s, STEP_AWAIT, "RAIL_CONTRADICTION");
    s.hold[0] = '\0';
    s.judged = 2;
    saga_said said = hear(&s, events, 2);
    assert_true(said.never_taken);
    assert_int_equal(said.word, WORD_NOT_TAKEN);
    assert_int_equal(claim_with(&s, said), STEP_NONE);
    assert_int_equal(s.step, STEP_EXECUTE);
    assert_int_equal(s.attempt, 1);
}

// A person gives the money back while messages contradict each other: the file that it was in does not prevent this.
static void test_held_and_taken_out__may_be_given_back(void **state) {
    (void)state;
    saga s = handed_over();
    const char *why = NULL;
    const saga_event events[] = {event(2, EVENT_ACCEPTED), event(1, EVENT_NOT_TAKEN)};
    assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
    saga_said said = hear(&s, events, 1);
    assert_false(saga_takes_order(&s, &said, EVENT_GIVE_BACK, &why));
    said = hear(&s, events, 2);
    assert_true(saga_takes_order(&s, &said, EVENT_GIVE_BACK, &why));
}

static void test_mark_paid__waiting__posts_the_reservation(void **state) {
    (void)state;
    saga s = sent();
    give(&s, EVENT_MARK_PAID);
    act(&s, STEP_CONFIRM, OUT_DONE);
    assert_int_equal(s.state, STATE_SETTLED);
    // Later the bank also tells the payment, and then its return.
    const saga_event events[] = {ordered(EVENT_MARK_PAID, 1), moved(EVENT_SETTLED, AMOUNT),
                                 moved(EVENT_RETURNED, AMOUNT)};
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(s.state, STATE_SETTLED);
    assert_int_equal(claim_events(&s, events, 3), STEP_RETURN);
}

static void test_mark_paid__after_the_money_was_given_back__takes_it_again(void **state) {
    (void)state;
    saga s = failed();
    const saga_event events[] = {event(1, EVENT_SETTLED), ordered(EVENT_MARK_PAID, 1)};
    assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
    assert_int_equal(s.state, STATE_FAILED);
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 2), STEP_CONFIRM);
    assert_int_equal(s.moving, AMOUNT); // the reservation is gone
    saga poor = s;
    assert_true(come_events(&s, OUT_DONE, events, 2));
    assert_int_equal(s.state, STATE_SETTLED);
    assert_int_equal(s.returned, 0);
    assert_true(come_events(&poor, OUT_BROKEN, events, 2)); // the merchant has spent the money
    assert_held(&poor, STEP_CONFIRM, "AM04");
    assert_int_equal(poor.state, STATE_FAILED);
    const saga_event all[] = {events[0], events[1], ordered(EVENT_GIVE_BACK, 2)};
    assert_int_equal(claim_events(&poor, all, 3), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    // it stays given back, and the bank's payment stays open
    assert_int_equal(poor.step, STEP_DONE);
    assert_int_equal(poor.state, STATE_FAILED);
    assert_int_equal(claim_events(&poor, all, 3), STEP_NONE);
    assert_held(&poor, STEP_DONE, "RAIL_CONTRADICTION");
}

static void test_give_back__waiting__frees_the_reservation(void **state) {
    (void)state;
    saga s = sent();
    give(&s, EVENT_GIVE_BACK);
    act(&s, STEP_VOID, OUT_DONE);
    assert_int_equal(s.state, STATE_FAILED);
    assert_string_equal(s.reason, "GIVEN_BACK");
    assert_string_equal(s.reason_text, "case 7");
    saga paid = sent();
    const saga_event events[] = {event(1, EVENT_SETTLED), ordered(EVENT_GIVE_BACK, 1)};
    assert_int_equal(claim_events(&paid, events, 2), STEP_NONE);
    assert_int_equal(note.outcome, OUT_NOT_ORDERED); // the bank says that it was paid
}

static void test_give_back__settled_and_then_refused__moves_it_back(void **state) {
    (void)state;
    saga s = settled();
    const saga_event events[] = {event(1, EVENT_SETTLED), event(1, EVENT_REFUSED),
                                 ordered(EVENT_GIVE_BACK, 1)};
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 3), STEP_RETURN);
    assert_int_equal(s.moving, AMOUNT);
    assert_true(come_events(&s, OUT_DONE, events, 3));
    assert_int_equal(s.state, STATE_RETURNED);
    assert_true(s.due_at_us == SAGA_NEVER);
}

static void test_write_off__the_difference_goes_to_suspense__the_state_stays(void **state) {
    (void)state;
    saga s = failed();
    const saga_event events[] = {moved(EVENT_SETTLED, AMOUNT), ordered(EVENT_WRITE_OFF, 1),
                                 moved(EVENT_RETURNED, AMOUNT)};
    assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(claim_events(&s, events, 2), STEP_CONFIRM);
    assert_true(saga_writes_off(&s));
    assert_int_equal(s.moving, AMOUNT);
    assert_true(come_events(&s, OUT_DONE, events, 2));
    assert_int_equal(s.state, STATE_FAILED);
    assert_int_equal(s.written_off, AMOUNT);
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(s.hold[0], '\0');
    // It comes back after all: suspense must be cleared, again by a person.
    assert_int_equal(claim_events(&s, events, 3), STEP_NONE);
    assert_held(&s, STEP_DONE, "RAIL_CONTRADICTION");
    saga t = sent();
    refuse(&t, EVENT_WRITE_OFF); // only for an ended payout
}

static void test_cancel__until_it_is_at_the_bank(void **state) {
    (void)state;
    saga early = fresh();
    give(&early, EVENT_CANCEL);
    assert_int_equal(early.step, STEP_DONE); // nothing was reserved
    assert_int_equal(early.state, STATE_CANCELED);
    assert_string_equal(early.reason, "CANCELED");

    saga gate = at(STEP_GATE, PHASE_READY, STATE_PENDING, 0);
    give(&gate, EVENT_CANCEL);
    assert_int_equal(gate.state, STATE_CANCELED);

    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    give(&s, EVENT_CANCEL);
    act(&s, STEP_CANCEL, OUT_DONE);
    assert_int_equal(s.state, STATE_CANCELED);
    assert_int_equal(s.attempt, 0);
    refuse(&s, EVENT_CANCEL);

    saga late = sent();
    refuse(&late, EVENT_CANCEL);
    saga orphan = fresh();
    act(&orphan, STEP_RESERVE, OUT_DONE);
    assert_int_equal(claim(&orphan), STEP_EXECUTE);
    const saga_event order = ordered(EVENT_CANCEL, 1);
    saga paid = orphan;
    assert_int_equal(claim_events(&orphan, &order, 1), STEP_RESOLVE); // the bank is asked first
    assert_true(come_events(&orphan, OUT_UNKNOWN, &order, 1));
    assert_int_equal(claim_events(&orphan, &order, 1), STEP_RESOLVE); // still unknown
    assert_true(come_events(&orphan, OUT_RETRY, &order, 1));
    test_clock_advance(&CLOCK, POLICY.cancel_wait_ms * 1000);
    assert_int_equal(claim_events(&orphan, &order, 1), STEP_RESOLVE); // its worker may have woken
    assert_true(come_events(&orphan, OUT_RETRY, &order, 1));
    assert_int_equal(claim_events(&orphan, &order, 1), STEP_NONE); // the bank does not have it
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(orphan.step, STEP_CANCEL);

    assert_int_equal(claim_events(&paid, &order, 1), STEP_RESOLVE);
    assert_true(come_events(&paid, OUT_ACCEPTED, &order, 1));
    assert_int_equal(claim_events(&paid, &order, 1), STEP_NONE); // the bank has it
    assert_int_equal(note.outcome, OUT_NOT_ORDERED);
    assert_int_equal(paid.step, STEP_AWAIT);
}

// A worker that was presumed dead may still have the submission under way when the rail says that it does not have it.
static saga doubtful(void) {
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_UNKNOWN);
    act(&s, STEP_RESOLVE, OUT_RETRY);
    assert_int_equal(s.step, STEP_EXECUTE);
    return s;
}

static void test_NO_DOUBLE_cancel__doubtful__asks_once_more_after_a_time(void **state) {
    (void)state;
    const saga_event order = ordered(EVENT_CANCEL, 1);
    saga s = doubtful();
    const int64_t asked_us = CLOCK.now_us;
    assert_int_equal(claim_events(&s, &order, 1), STEP_RESOLVE);
    assert_true(come_events(&s, OUT_RETRY, &order, 1));
    assert_int_equal(s.step, STEP_RESOLVE);
    assert_true(s.due_at_us <= asked_us + POLICY.cancel_wait_ms * 1000);
    test_clock_advance(&CLOCK, POLICY.cancel_wait_ms * 1000 - 1);
    assert_int_equal(claim_events(&s, &order, 1), STEP_RESOLVE);
    saga paid = s;
    assert_true(come_events(&s, OUT_RETRY, &order, 1)); // a moment too early
    assert_int_equal(s.step, STEP_RESOLVE);
    test_clock_advance(&CLOCK, 1);
    assert_int_equal(claim_events(&s, &order, 1), STEP_RESOLVE);
    assert_true(come_events(&s, OUT_RETRY, &order, 1));
    assert_int_equal(s.due_at_us, CLOCK.now_us);
    assert_int_equal(claim_events(&s, &order, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(s.step, STEP_CANCEL);
    assert_int_equal(s.attempt, 1);

    assert_true(come_events(&paid, OUT_SETTLED, &order, 1)); // the worker had woken
    assert_int_equal(paid.step, STEP_CONFIRM);

    saga held = doubtful(); // while held, nobody asks
    saga_hold(&held, STR("HELD"), STR("a person looks"));
    refuse(&held, EVENT_CANCEL);
}

static void test_cancel__that_the_bank_has_accepted__refused(void **state) {
    (void)state;
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_RETRY);
    const saga_event events[] = {event(1, EVENT_ACCEPTED), ordered(EVENT_CANCEL, 1)};
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(note.outcome, OUT_NOT_ORDERED);
    assert_int_equal(s.step, STEP_EXECUTE);
}

// The database was restored: it knows of no submission, which proves nothing.
static void test_NO_DOUBLE_cancel__after_a_restore__asks_by_key_first(void **state) {
    (void)state;
    saga_event order = ordered(EVENT_CANCEL, 1);
    order.code = STR(SAGA_CANCEL_ASKED);
    const saga starts[] = {fresh(), at(STEP_GATE, PHASE_READY, STATE_PENDING, 0)};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        saga s = starts[i];
        assert_int_equal(claim_events(&s, &order, 1), STEP_RESERVE);
        assert_true(come_events(&s, OUT_DONE, &order, 1));
        assert_int_equal(claim_events(&s, &order, 1), STEP_RESOLVE);
        assert_int_equal(s.attempt, 1); // under its own key
        saga paid = s;
        assert_true(come_events(&s, OUT_RETRY, &order, 1));
        test_clock_advance(&CLOCK, POLICY.cancel_wait_ms * 1000);
        assert_int_equal(claim_events(&s, &order, 1), STEP_RESOLVE);
        assert_true(come_events(&s, OUT_RETRY, &order, 1));
        assert_int_equal(claim_events(&s, &order, 1), STEP_NONE);
        assert_int_equal(s.step, STEP_CANCEL);
        assert_true(come_events(&paid, OUT_SETTLED, &order, 1));
        assert_int_equal(paid.step, STEP_CONFIRM);
    }
    saga tried = fresh(); // a client repeated a forgotten request while the bank was down
    act(&tried, STEP_RESERVE, OUT_DONE);
    act(&tried, STEP_EXECUTE, OUT_RETRY);
    assert_int_equal(claim_events(&tried, &order, 1), STEP_RESOLVE);
    assert_int_equal(tried.attempt, 1);
    saga held = fresh();
    saga_hold(&held, STR("HELD"), STR("a person looks"));
    assert_int_equal(claim_events(&held, &order, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_NOT_ORDERED);
}

static void test_cancel__in_a_submission__once_it_was_taken_out(void **state) {
    (void)state;
    saga s = handed_over();
    saga t = s;
    refuse(&t, EVENT_CANCEL);
    const saga_event events[] = {event(1, EVENT_NOT_TAKEN), ordered(EVENT_CANCEL, 1)};
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(claim_events(&s, events, 2), STEP_CANCEL);
    assert_true(come_events(&s, OUT_DONE, events, 2));
    assert_int_equal(s.state, STATE_CANCELED);
    assert_true(s.due_at_us == SAGA_NEVER);
}

// A payout whose submission lost another item waits a while, so that more items can be taken out meanwhile.
static void test_not_taken__waits_before_it_is_handed_over_again(void **state) {
    (void)state;
    saga s = handed_over();
    const saga_event out = event(1, EVENT_NOT_TAKEN);
    const saga_said said = hear(&s, &out, 1);
    saga_policy patient = FILES;
    patient.rebuild_ms = 7000;
    assert_int_equal(saga_on_claim(&s, &said, &patient, &CLOCK.source, &note), STEP_NONE);
    assert_int_equal(s.step, STEP_EXECUTE);
    assert_int_equal(s.due_at_us, CLOCK.now_us + INT64_C(7000000));
    // Meanwhile an order cancels it at once: it is in no submission.
    const saga_event events[] = {out, ordered(EVENT_CANCEL, 1)};
    assert_int_equal(claim_events(&s, events, 2), STEP_NONE);
    assert_int_equal(s.step, STEP_CANCEL);
}

static void test_cancel__while_it_is_reserved__waits_for_the_reservation(void **state) {
    (void)state;
    saga s = fresh();
    const saga_event order = ordered(EVENT_CANCEL, 1);
    assert_int_equal(claim(&s), STEP_RESERVE);
    assert_true(come(&s, OUT_RETRY, WORD_NONE)); // the reservation may have been made
    assert_int_equal(claim_events(&s, &order, 1), STEP_RESERVE);
    assert_true(come_events(&s, OUT_DONE, &order, 1));
    assert_int_equal(claim_events(&s, &order, 1), STEP_NONE);
    assert_int_equal(note.outcome, OUT_ORDERED);
    assert_int_equal(claim_events(&s, &order, 1), STEP_CANCEL);
}

// A possible reservation is released, whichever order gives the payout up.
static void test_held_at_reserve__given_up__the_reservation_is_released(void **state) {
    (void)state;
    const saga_event_kind orders[] = {EVENT_CANCEL, EVENT_GIVE_BACK};
    const saga_step to[] = {STEP_CANCEL, STEP_VOID};
    const saga_state ends[] = {STATE_CANCELED, STATE_FAILED};
    for (size_t i = 0; i < 2; i++) {
        saga s = fresh();
        act(&s, STEP_RESERVE, OUT_BURNED);
        assert_int_equal(claim(&s), STEP_RESERVE);
        assert_true(come(&s, OUT_BROKEN, WORD_NONE));
        give(&s, orders[i]);
        assert_int_equal(s.step, to[i]);
        assert_int_equal(s.reserve_leg, 2);
        act(&s, to[i], OUT_DONE);
        assert_int_equal(s.state, ends[i]);

        saga orphan = fresh(); // its worker is gone, with unknown results
        saga_hold(&orphan, STR("LEASE_WITHOUT_INTENT"), STR("its worker is gone"));
        give(&orphan, orders[i]);
        assert_int_equal(orphan.step, to[i]);
    }
    saga released = fresh();
    saga_hold(&released, STR("LEASE_WITHOUT_INTENT"), STR("its worker is gone"));
    give(&released, EVENT_RELEASE);
    const saga_event order = ordered(EVENT_CANCEL, 2);
    assert_int_equal(claim_events(&released, &order, 1), STEP_RESERVE); // the order waits
}

static void test_gate__no_control_is_configured__passes_at_once(void **state) {
    (void)state;
    saga s = at(STEP_GATE, PHASE_READY, STATE_PENDING, 0);
    assert_int_equal(claim(&s), STEP_RESERVE);
    assert_int_equal(s.state, STATE_PROCESSING);
}

static void test_hold__a_second_reason__stands_beside_the_first(void **state) {
    (void)state;
    saga s = sent();
    saga_hold(&s, STR("FIRST"), STR("the first reason"));
    assert_int_equal(claim_one(&s, moved(EVENT_SETTLED, 1)), STEP_NONE);
    assert_held(&s, STEP_AWAIT, "FIRST");
    assert_non_null(strstr(s.hold_text, "the first reason"));
    assert_non_null(strstr(s.hold_text, "settled 1 "));
    assert_int_equal(note.outcome, OUT_BROKEN); // told once
    assert_int_equal(claim_one(&s, moved(EVENT_SETTLED, 1)), STEP_NONE);
    assert_int_equal(note.outcome, OUT_NONE);
}

// --- What a database has forgotten ------------------------------------------------------------------------------------

// The next attempt was made before the restore: the bank's word about it moves the payout, and counts as its own.
static saga refused_for_now(void) {
    saga s = fresh();
    act(&s, STEP_RESERVE, OUT_DONE);
    act(&s, STEP_EXECUTE, OUT_AGAIN);
    assert_int_equal(s.attempt, 1);
    return s;
}

static void test_forgotten_attempt__settled__is_the_present_one(void **state) {
    (void)state;
    const saga_event events[] = {event(2, EVENT_SETTLED), event(2, EVENT_RETURNED)};
    for (int held = 0; held <= 1; held++) {
        saga s = refused_for_now();
        if (held != 0) {
            saga_hold(&s, STR("HELD"), STR("a person looks"));
            assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
            assert_int_equal(note.outcome, OUT_RELEASED);
        }
        assert_int_equal(claim_events(&s, events, 1), STEP_CONFIRM);
        assert_int_equal(s.attempt, 2);
        assert_true(come_events(&s, OUT_DONE, events, 1));
        assert_int_equal(claim_events(&s, events, 1), STEP_NONE);
        assert_int_equal(s.hold[0], '\0');
        assert_int_equal(claim_events(&s, events, 2), STEP_RETURN); // the money is the merchant's
        assert_true(come_events(&s, OUT_DONE, events, 2));
        assert_int_equal(s.state, STATE_RETURNED);
    }
}

static void test_forgotten_attempt__refused_or_accepted__is_the_present_one(void **state) {
    (void)state;
    const saga_event_kind kinds[] = {EVENT_REFUSED, EVENT_ACCEPTED};
    for (int i = 0; i < 4; i++) {
        const saga_event said = event(2, kinds[i % 2]);
        saga s = refused_for_now();
        if (i >= 2) {
            saga_hold(&s, STR("HELD"), STR("a person looks"));
        }
        (void)claim_events(&s, &said, 1);
        assert_int_equal(s.step, i % 2 == 0 ? STEP_VOID : STEP_AWAIT);
        assert_int_equal(s.attempt, 2);
        const saga_said again = hear(&s, &said, 1);
        assert_int_equal(again.word, i % 2 == 0 ? WORD_REFUSED : WORD_ACCEPTED);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forgotten_attempt__settled__is_the_present_one),
        cmocka_unit_test(test_forgotten_attempt__refused_or_accepted__is_the_present_one),
        cmocka_unit_test(test_net__partial_return_then_the_rest),
        cmocka_unit_test(test_net__paid_again_after_a_return__leaves_the_merchant_again),
        cmocka_unit_test(test_NO_DOUBLE_net__settlement_told_twice__is_one),
        cmocka_unit_test(test_net__what_does_not_add_up__held),
        cmocka_unit_test(test_net__in_two_parts__held_until_it_adds_up),
        cmocka_unit_test(test_net__part_came_back_before_the_settlement__waits_for_it),
        cmocka_unit_test(test_net__attempt_before__that_came_back_whole__means_nothing),
        cmocka_unit_test(test_NO_LOSS_held_and_taken_out__released__goes_out_in_another_file),
        cmocka_unit_test(test_held_and_taken_out__may_be_given_back),
        cmocka_unit_test(test_refusal__after_unknown__counts_only_from_a_query),
        cmocka_unit_test(test_refusal__of_a_worker_that_died__counts_only_from_a_query),
        cmocka_unit_test(test_refusal__of_a_new_attempt__is_one),
        cmocka_unit_test(test_burned__the_next_number_is_tried),
        cmocka_unit_test(test_burned__again_and_again__held),
        cmocka_unit_test(test_release__after_a_burned_confirm__posts_what_the_bank_has_paid),
        cmocka_unit_test(test_held__before_it_was_sent__the_banks_word_counts),
        cmocka_unit_test(test_retry__makes_a_new_attempt),
        cmocka_unit_test(test_NO_DOUBLE_retry__attempt_that_the_bank_may_have__refused),
        cmocka_unit_test(test_release__of_what_does_not_add_up__is_not_possible_before_the_end),
        cmocka_unit_test(test_mark_paid__waiting__posts_the_reservation),
        cmocka_unit_test(test_mark_paid__after_the_money_was_given_back__takes_it_again),
        cmocka_unit_test(test_give_back__waiting__frees_the_reservation),
        cmocka_unit_test(test_give_back__settled_and_then_refused__moves_it_back),
        cmocka_unit_test(test_write_off__the_difference_goes_to_suspense__the_state_stays),
        cmocka_unit_test(test_cancel__until_it_is_at_the_bank),
        cmocka_unit_test(test_NO_DOUBLE_cancel__doubtful__asks_once_more_after_a_time),
        cmocka_unit_test(test_cancel__that_the_bank_has_accepted__refused),
        cmocka_unit_test(test_NO_DOUBLE_cancel__after_a_restore__asks_by_key_first),
        cmocka_unit_test(test_cancel__in_a_submission__once_it_was_taken_out),
        cmocka_unit_test(test_not_taken__waits_before_it_is_handed_over_again),
        cmocka_unit_test(test_cancel__while_it_is_reserved__waits_for_the_reservation),
        cmocka_unit_test(test_held_at_reserve__given_up__the_reservation_is_released),
        cmocka_unit_test(test_gate__no_control_is_configured__passes_at_once),
        cmocka_unit_test(test_hold__a_second_reason__stands_beside_the_first),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
