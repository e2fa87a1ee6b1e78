// Messages about payouts, against a real PostgreSQL: recorded once, counted, and heard by the saga.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "events/events.h"
#include "testing/saga_test_worker.h"

static void test_event__once_only_and_due_at_once(void **state) {
    (void)state;
    const uuid id = sent_payout();
    assert_int_equal(run(STEP_AWAIT).n_found, 0);
    world_event(id, 1, RAIL_EVENT_ACCEPTED, "a");
    assert_int_equal(world_count("SELECT events FROM saga"), 0); // moves nothing
    assert_int_equal(run(STEP_AWAIT).n_found, 0);
    world_event(id, 1, RAIL_EVENT_SETTLED, "b");
    world_event(id, 1, RAIL_EVENT_SETTLED, "b");
    assert_int_equal(world_count("SELECT events FROM saga"), 1);
    assert_int_equal(world_count("SELECT count(*) FROM rail_event"), 2);
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE due_at IS NULL AND events_seen = 1"), 1);
    assert_int_equal(world_paid_out(), 100);
    world_event(id, 1, RAIL_EVENT_SETTLED, "c"); // the rail says it twice
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(run(STEP_DONE).n_found, 0);
    assert_int_equal(world_paid_out(), 100);
    world_event(id, 1, RAIL_EVENT_RETURNED, "d");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_RETURNED), 1);
    assert_int_equal(world_paid_out(), 0);
    assert_int_equal(world_available(), 1000000);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE reason = 'R03'"), 1);
    // The sums of payouts may have counted it as settled; no other payout has left a final state.
    assert_int_equal(world_count("SELECT count(*) FROM payout_apart WHERE counted_as = 6"), 1);
    assert_int_equal(world_count("SELECT count(*) FROM payout_apart"), 1);
}

// The answer to the submission was lost; the settlement's message has the reference.
static void test_event__reference_only_in_the_message__is_taken(void **state) {
    (void)state;
    uuid id;
    world_payouts(RAIL_INSTANT, 1, 100, &id);
    world.submit_verdict = RAIL_UNKNOWN;
    world.no_reference = true;
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE rail_reference = ''"), 1);
    world_event(id, 1, RAIL_EVENT_SETTLED, "a");
    assert_int_equal(run_soon(STEP_RESOLVE).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE rail_reference = 'said-1'"), 1);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE step = 5 AND "
                                 "rail_reference = 'said-1'"),
                     2);
}

static void test_event__of_no_payout__is_refused_whole(void **state) {
    (void)state;
    const uuid id = sent_payout();
    const rail_event events[] = {{.payout_id = id,
                                  .attempt = 1,
                                  .kind = RAIL_EVENT_SETTLED,
                                  .event_id = STR("a"),
                                  .at_us = 1},
                                 {.payout_id = {{9}},
                                  .attempt = 1,
                                  .kind = RAIL_EVENT_SETTLED,
                                  .event_id = STR("a"),
                                  .at_us = 1}};
    err e = {0};
    assert_false(world_events(events, 2, &e));
    assert_int_equal(e.code, ERR_INTERNAL);
    assert_int_equal(world_count("SELECT count(*) FROM rail_event"), 0);
    assert_int_equal(world_count("SELECT events FROM saga"), 0);
    assert_true(world_events(events, 1, &e));
    assert_int_equal(world_count("SELECT events FROM saga"), 1);
}

static void test_event__while_leased__heard_after_the_outcome(void **state) {
    (void)state;
    uuid id;
    world_payouts(RAIL_INSTANT, 1, 100, &id);
    (void)run(STEP_RESERVE);
    saga_batch b = batch(STEP_EXECUTE, 1, 5000);
    assert_int_equal(claim(&b), 1);
    world_event(id, 1, RAIL_EVENT_SETTLED, "a"); // before the answer
    assert_int_equal(
        world_count(
            "SELECT count(*) FROM saga WHERE due_at <= now() AND events = 1 AND events_seen = 0"),
        1);
    saga_batch other = batch(STEP_EXECUTE, 2, 5000);
    assert_int_equal(claim(&other), 0);
    finish_all(&b, OUT_ACCEPTED);
    assert_int_equal(written(&b), 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 4 AND due_at <= now()"),
                     1);
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
}

static void test_event__contradiction__held_and_logged(void **state) {
    (void)state;
    const uuid id = sent_payout();
    world_event(id, 1, RAIL_EVENT_REFUSED, "a");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_FAILED), 1);
    assert_int_equal(world_available(), 1000000);
    world_event(id, 1, RAIL_EVENT_SETTLED, "b");
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_HELD), 1);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE held_state = 7 AND reason = 'R03' "
                    "AND hold = 'RAIL_CONTRADICTION' AND due_at IS NULL"),
        1);
    assert_int_equal(world_count("SELECT count(*) FROM payment_case WHERE kind = "
                                 "'PAYOUT_CONTRADICTION' AND amount = 100 AND currency = 'USD'"),
                     1);
    assert_int_equal(
        world_count(
            "SELECT count(*) FROM step_log WHERE outcome = 9 AND reason = 'RAIL_CONTRADICTION'"),
        1);
    assert_int_equal(run(STEP_DONE).n_found, 0);
}

static void test_event__says_amount_source_actor_and_where_its_bytes_are(void **state) {
    (void)state;
    const uuid id = sent_payout();
    const rail_event event = {.payout_id = id,
                              .attempt = 1,
                              .kind = RAIL_EVENT_SETTLED,
                              .event_id = STR("a"),
                              .at_us = 1,
                              .amount = 100,
                              .currency = "USD",
                              .inbox_id = {{1, 2, 3}},
                              .inbox_line = 17,
                              .source = RAIL_SOURCE_SUBMISSION,
                              .actor = STR("operator")};
    err e = {0};
    assert_true(world_events(&event, 1, &e));
    assert_int_equal(
        world_count("SELECT count(*) FROM rail_event WHERE amount = 100 AND currency = "
                    "'USD' AND inbox_line = 17 AND source = 4 AND actor = 'operator' "
                    "AND inbox_id = '01020300-0000-0000-0000-000000000000'"),
        1);
    world_event(id, 1, RAIL_EVENT_SETTLED, "b");
    assert_int_equal(
        world_count("SELECT count(*) FROM rail_event WHERE event_id = 'b' AND amount = 0"
                    " AND currency = '' AND inbox_id IS NULL AND inbox_line = 0 AND "
                    "source = 1 AND actor = ''"),
        1);
}

static void test_event__that_cannot_be__is_refused(void **state) {
    (void)state;
    rail_event event = {.payout_id = sent_payout(), .attempt = 1, .event_id = STR("a"), .at_us = 1};
    err e = {0};
    for (int kind = -1; kind < 40; kind++) {
        if (strcmp(saga_event_name(kind), "?") == 0) {
            event.kind = (rail_event_kind)kind;
            assert_false(world_events(&event, 1, &e));
            assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
        }
    }
    event.kind = RAIL_EVENT_SETTLED;
    event.amount = -1;
    assert_false(world_events(&event, 1, &e));
    event.amount = 0;
    event.attempt = 0;
    assert_false(world_events(&event, 1, &e));
    assert_int_equal(world_count("SELECT count(*) FROM rail_event"), 0);
}

// As a later version, running beside this one, would write it.
static void test_event__of_an_unknown_kind__holds_the_payout(void **state) {
    (void)state;
    (void)sent_payout();
    fixture_sql(
        "INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail, "
        "rail_reference, at) SELECT book_id, payout_id, 'x', 1, 77, '', '', '', now() "
        "FROM saga; UPDATE saga SET events = events + 1, due_at = now()",
        NULL, 0);
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE state = 10"), 1);
}

// --- Rails that hand over --------------------------------------------------------------------------------------------

static uuid handed_over(void) {
    world.hands_over = true;
    uuid id;
    world_payouts(RAIL_INSTANT, 1, 100, &id);
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_PROCESSING), 1);
    return id;
}

static void test_handed_over__by_the_claim__without_a_lease_or_a_submit(void **state) {
    (void)state;
    (void)handed_over();
    assert_int_equal(world_look().submits, 0);
    assert_int_equal(world_count("SELECT count(*) FROM saga_lease"), 0);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE due_at IS NULL AND attempt = 1 "
                                 "AND rail_reference = 'ref-1' AND log_seq = 3"),
                     1);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE step = 2"), 1);
    assert_int_equal(world_count("SELECT count(*) FROM step_log WHERE step = 2 AND kind = 2 AND "
                                 "outcome = 10 AND seq = 3 AND rail_reference = 'ref-1'"),
                     1);
    assert_int_equal(run(STEP_AWAIT).n_found, 0);
}

// A submission's message about all its items.
static void reached(uuid payout, int32_t attempt) {
    const rail_event event = {.payout_id = payout,
                              .attempt = attempt,
                              .kind = RAIL_EVENT_ACCEPTED,
                              .event_id = STR("reached"),
                              .source = RAIL_SOURCE_SUBMISSION,
                              .at_us = clock_wall_us(clock_system())};
    err e = {0};
    assert_true(world_events(&event, 1, &e));
}

static void test_handed_over__accepted__sent_and_settled(void **state) {
    (void)state;
    const uuid id = handed_over();
    reached(id, 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 1); // without a claim
    // the submission's row says it
    assert_int_equal(world_count("SELECT count(*) FROM rail_event"), 0);
    assert_int_equal(run(STEP_AWAIT).n_found, 0);
    assert_int_equal(world_look().queries, 0); // the submission asks, not the payout
    world_event(id, 1, RAIL_EVENT_SETTLED, "b");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_SETTLED), 1);
    assert_int_equal(world_paid_out(), 100);
}

// The statement makes the same of a plain saga as the machine.
static void test_handed_over__accepted__as_the_machine_has_it(void **state) {
    (void)state;
    static const char ROW[] = "SELECT (to_jsonb(s) - 'epoch' - 'updated_at' - 'events' - "
                              "'events_seen' - 'judged')::text FROM saga AS s";
    char by_statement[4000], by_machine[4000];
    const uuid id = handed_over();
    reached(id, 1);
    fixture_sql(ROW, by_statement, sizeof by_statement);
    assert_non_null(strstr(by_statement, "\"state\": 5"));
    // judged 0 means the same as NULL, but not to the statement
    fixture_sql("UPDATE saga SET state = 4, judged = 0", NULL, 0);
    reached(id, 1);
    assert_int_equal(world_count("SELECT count(*) FROM rail_event"), 1);
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    fixture_sql(ROW, by_machine, sizeof by_machine);
    assert_string_equal(by_statement, by_machine);
}

// A saga that is not plain becomes due, and the machine weighs it: with an unheard message, or a word about another attempt.
static void test_handed_over__accepted_and_more__the_machine_hears_it(void **state) {
    (void)state;
    const uuid id = handed_over();
    world_event(id, 1, RAIL_EVENT_REFUSED, "a");
    reached(id, 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_PROCESSING), 1);
    assert_int_equal(world_count("SELECT count(*) FROM rail_event"), 2);
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_FAILED), 1);
}

static void test_handed_over__an_earlier_attempt_accepted__not_sent(void **state) {
    (void)state;
    const uuid id = handed_over();
    fixture_sql("UPDATE saga SET attempt = 2", NULL, 0);
    reached(id, 1);
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_PROCESSING), 1);
}

// The bank's word about one payout is a message for the machine.
static void test_handed_over__accepted_by_the_bank__heard(void **state) {
    (void)state;
    const uuid id = handed_over();
    world_event(id, 1, RAIL_EVENT_ACCEPTED, "a");
    assert_int_equal(world_count("SELECT count(*) FROM rail_event"), 1);
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 1);
}

// About two attempts at once, as no submission does: the word about the other one is not lost.
static void test_handed_over__two_attempts_accepted__both_are_kept(void **state) {
    (void)state;
    const uuid id = handed_over();
    fixture_sql("UPDATE saga SET attempt = 2", NULL, 0);
    const rail_event of_first = {.payout_id = id,
                                 .attempt = 1,
                                 .kind = RAIL_EVENT_ACCEPTED,
                                 .event_id = STR("a"),
                                 .source = RAIL_SOURCE_SUBMISSION,
                                 .at_us = 1};
    rail_event two[] = {of_first, of_first};
    two[1].attempt = 2;
    two[1].event_id = STR("b");
    err e = {0};
    assert_true(world_events(two, 2, &e));
    assert_int_equal(world_count("SELECT count(*) FROM rail_event WHERE attempt = 1"), 1);
    assert_int_equal(world_count("SELECT count(*) FROM rail_event"), 1);
}

// Its file is at the bank, whatever a person still has to decide.
static void test_handed_over__accepted_while_held__sent_when_released(void **state) {
    (void)state;
    const uuid id = handed_over();
    fixture_sql("UPDATE saga SET hold = 'A_REASON', held_state = state, state = 10", NULL, 0);
    reached(id, 1);
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE held_state = 5 AND hold <> '' "
                                 "AND step = 4"),
                     1);
}

// A contradictory word holds the payout; the file with its entry goes without it.
static void test_handed_over__held_before_it_left__taken_out(void **state) {
    (void)state;
    const uuid id = handed_over();
    world.lets_out = true;
    world_event(id, 9, RAIL_EVENT_SETTLED, "a"); // of an attempt that was never made
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE hold = 'RAIL_CONTRADICTION'"), 1);
    assert_int_equal(world_count("SELECT count(*) FROM rail_event WHERE kind = 5 AND attempt = 1 "
                                 "AND source = 4"),
                     1);
    (void)run(STEP_AWAIT); // hears it, and stays held
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE hold = 'RAIL_CONTRADICTION'"), 1);
    assert_int_equal(world_count("SELECT count(*) FROM rail_event WHERE kind = 5"), 1);
}

static void test_handed_over__held_when_it_may_have_left__nothing_is_said(void **state) {
    (void)state;
    const uuid id = handed_over();
    world.lets_out = false;
    world_event(id, 9, RAIL_EVENT_SETTLED, "a");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE hold = 'RAIL_CONTRADICTION'"), 1);
    assert_int_equal(world_count("SELECT count(*) FROM rail_event WHERE kind = 5"), 0);
}

static void test_handed_over__accepted_at_execute__counts_of_a_submission(void **state) {
    (void)state;
    const uuid id = handed_over();
    fixture_sql("UPDATE saga SET step = 2, tries = 1", NULL, 0);
    world_event(id, 1, RAIL_EVENT_ACCEPTED, "a"); // a bank's own word, like an answer
    assert_int_equal(world_count("SELECT events FROM saga"), 0);
    reached(id, 1);
    assert_int_equal(world_count("SELECT events FROM saga"), 1);
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 1);
}

// Its first file was rejected and then taken after all: this is heard at any step.
static void test_NO_DOUBLE_first_file_taken_after_all__heard_at_any_step(void **state) {
    (void)state;
    const uuid id = handed_over();
    world_event(id, 1, RAIL_EVENT_NOT_TAKEN, "a");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    reached(id, 2);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 1);
    rail_event after_all = {.payout_id = id,
                            .attempt = 1,
                            .kind = RAIL_EVENT_ACCEPTED,
                            .event_id = STR("after-all"),
                            .code = STR(SAGA_TAKEN_AFTER_ALL),
                            .source = RAIL_SOURCE_SUBMISSION,
                            .at_us = clock_wall_us(clock_system())};
    err e = {0};
    assert_true(world_events(&after_all, 1, &e));
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_HELD), 1);
    assert_int_equal(world_count("SELECT count(*) FROM payment_case WHERE kind = "
                                 "'PAYOUT_CONTRADICTION' AND strpos(text, 'earlier attempt') > 0"),
                     1);
    world_event(id, 2, RAIL_EVENT_SETTLED, "b"); // it is not booked as usual
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_HELD), 1);
    assert_int_equal(world_paid_out(), 0);
    fixture_sql("UPDATE saga SET step = 8, state = 6, hold = '', held_state = NULL, due_at = NULL,"
                " events_seen = events",
                NULL, 0);
    after_all.event_id = STR("after-all/2");
    assert_true(world_events(&after_all, 1, &e));
    assert_int_equal(run(STEP_DONE).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_HELD), 1);
}

static void test_handed_over__not_taken__handed_over_again_as_a_new_attempt(void **state) {
    (void)state;
    const uuid id = handed_over();
    world_event(id, 1, RAIL_EVENT_NOT_TAKEN, "a");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_EXECUTE, STATE_PROCESSING), 1);
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 4 AND attempt = 2 AND "
                                 "rail_reference = 'ref-2'"),
                     1);
    world_event(id, 2, RAIL_EVENT_REFUSED, "b");
    assert_int_equal(run(STEP_AWAIT).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_FAILED), 1);
    assert_int_equal(world_available(), 1000000);
}

static void test_handed_over__no_room_or_refused_by_the_rail(void **state) {
    (void)state;
    world.hands_over = true;
    world.prepare_verdict = RAIL_NOT_SENT;
    world.retry_at_us = clock_wall_us(clock_system()) + INT64_C(3600) * 1000000;
    world_payouts(RAIL_INSTANT, 1, 100, NULL);
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(in_state(STEP_EXECUTE, STATE_PROCESSING), 1);
    assert_int_equal(
        world_count("SELECT count(*) FROM saga WHERE due_at > now() + interval '59 min'"), 1);
    // It misses this time, too, and is planned again: the first planned time is kept while it stays at the step.
    fixture_sql("UPDATE saga SET due_at = now()", NULL, 0);
    world.retry_at_us += INT64_C(24 * 3600) * 1000000;
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE due_at > now() + interval '23 h' "
                                 "AND planned_at BETWEEN now() + interval '59 min' "
                                 "AND now() + interval '61 min'"),
                     1);
    fixture_sql("UPDATE saga SET due_at = now()", NULL, 0);
    world.prepare_verdict = RAIL_REFUSED;
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE step = 6 AND attempt = 1 "
                                 "AND planned_at IS NULL"),
                     1);
    assert_int_equal(run(STEP_VOID).n_moved, 1);
    assert_int_equal(in_state(STEP_DONE, STATE_FAILED), 1);
    assert_int_equal(world_available(), 1000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_event__once_only_and_due_at_once, fresh),
        cmocka_unit_test_setup(test_event__reference_only_in_the_message__is_taken, fresh),
        cmocka_unit_test_setup(test_event__of_no_payout__is_refused_whole, fresh),
        cmocka_unit_test_setup(test_event__while_leased__heard_after_the_outcome, fresh),
        cmocka_unit_test_setup(test_event__contradiction__held_and_logged, fresh),
        cmocka_unit_test_setup(test_event__says_amount_source_actor_and_where_its_bytes_are, fresh),
        cmocka_unit_test_setup(test_event__that_cannot_be__is_refused, fresh),
        cmocka_unit_test_setup(test_event__of_an_unknown_kind__holds_the_payout, fresh),
        cmocka_unit_test_setup(test_handed_over__by_the_claim__without_a_lease_or_a_submit, fresh),
        cmocka_unit_test_setup(test_handed_over__accepted__sent_and_settled, fresh),
        cmocka_unit_test_setup(test_handed_over__accepted__as_the_machine_has_it, fresh),
        cmocka_unit_test_setup(test_handed_over__accepted_and_more__the_machine_hears_it, fresh),
        cmocka_unit_test_setup(test_handed_over__an_earlier_attempt_accepted__not_sent, fresh),
        cmocka_unit_test_setup(test_handed_over__accepted_by_the_bank__heard, fresh),
        cmocka_unit_test_setup(test_handed_over__two_attempts_accepted__both_are_kept, fresh),
        cmocka_unit_test_setup(test_handed_over__accepted_while_held__sent_when_released, fresh),
        cmocka_unit_test_setup(test_handed_over__held_before_it_left__taken_out, fresh),
        cmocka_unit_test_setup(test_handed_over__held_when_it_may_have_left__nothing_is_said,
                               fresh),
        cmocka_unit_test_setup(test_handed_over__accepted_at_execute__counts_of_a_submission,
                               fresh),
        cmocka_unit_test_setup(test_handed_over__not_taken__handed_over_again_as_a_new_attempt,
                               fresh),
        cmocka_unit_test_setup(test_NO_DOUBLE_first_file_taken_after_all__heard_at_any_step, fresh),
        cmocka_unit_test_setup(test_handed_over__no_room_or_refused_by_the_rail, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
