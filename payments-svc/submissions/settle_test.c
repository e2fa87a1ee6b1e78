// Settling by the timetable, against a real database: only items at the bank, only items without a word, and once. Also the events of items
// that the bank refuses.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "events/events.h"
#include "submissions/settle.h"
#include "testing/fixture.h"
#include "testing/sender_test_world.h"

static bool settle_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    return submission_settle_due(c, 1, a, arg, e);
}

static void settle(void) {
    err e = {0};
    if (!db_transact(pool, fixture_deadline(30000), mem, settle_in_tx, &the_guard, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
}

static void bring_day(const char *when) {
    char sql[128];
    snprintf(sql, sizeof sql, "UPDATE submission SET settles_at = now() + interval '%s'", when);
    fixture_sql(sql, NULL, 0);
}

static void test_settle__when_the_time_has_come__each_item_once(void **state) {
    (void)state;
    (void)prepare_one(1, 3, "f1", tomorrow(), 1);
    run(sender, 1);
    bring_day("1 hour");
    settle();
    assert_int_equal(count_events(RAIL_EVENT_SETTLED), 0);
    bring_day("0 s");
    settle();
    settle();
    assert_int_equal(count_events(RAIL_EVENT_SETTLED), 3);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 3 AND source = 3"
                                     " AND amount = 0"),
                     3);
    assert_int_equal(
        fixture_sql_i64("SELECT count(*) FROM submission WHERE settles_at IS NOT NULL"), 0);
}

static void test_settle__only_the_bank_can_tell__never_by_the_time(void **state) {
    (void)state;
    (void)prepare_one(1, 2, "f1", tomorrow(), 1);
    run(sender, 1);
    settle();
    assert_int_equal(count_events(RAIL_EVENT_SETTLED), 0);
}

static void test_UNKNOWN_IS_A_STATE_settle__what_may_not_be_there__waits(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    the_bank.loses_answer = the_bank.no_archive = true;
    run(sender, CASE_AFTER + 2);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN);
    bring_day("-1 day");
    settle();
    assert_int_equal(count_events(RAIL_EVENT_SETTLED), 0);
    (void)ack(id, (submission_ack_text){.accepted = true});
    settle();
    assert_int_equal(count_events(RAIL_EVENT_SETTLED), 2);
}

static void test_settle__items_that_were_spoken_of__are_left_out(void **state) {
    (void)state;
    (void)prepare_one(1, 5, "f1", tomorrow(), 1);
    run(sender, 1);
    // Items that were refused, settled, returned whole, and returned in part. The last item has no event.
    fixture_sql("INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail,"
                " rail_reference, at, amount) SELECT i.book_id, i.payout_id, 'bank', i.attempt,"
                " (ARRAY[2, 3, 4, 4])[n], '', '', '', now(), (ARRAY[0, 100, 100, 40])[n] FROM"
                " (SELECT *, row_number() OVER (ORDER BY number) AS n FROM submission_item) AS i"
                " WHERE n <= 4",
                NULL, 0);
    bring_day("0 s");
    settle();
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE source = 3"), 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event AS t JOIN rail_event AS r"
                                     " USING (payout_id) WHERE t.source = 3 AND r.kind = 4"
                                     " AND r.amount = 40"),
                     1);
}

// The time does not know whether the bank pays an item that it refuses for an unlisted reason.
static void test_settle__refused_for_a_reason_that_is_not_listed__left_out(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
    run(sender, 1);
    const submission_refusal unsure[] = {{1002, STR(""), STR("D09 duplicate")}};
    (void)ack(id, (submission_ack_text){.accepted = true, .unsure = unsure, .n_unsure = 1});
    bring_day("0 s");
    settle();
    assert_int_equal(count_events(RAIL_EVENT_SETTLED), 2);
}

static int64_t count_unsure(void) {
    return fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 1 AND code = "
                           "'REFUSED_UNSURE' AND detail = 'D09 duplicate'");
}

// The bank's word about an entry holds, whatever becomes of the file: the entry is certainly not paid, or a person must say whether it is.
static void test_HEARD_items_refused__whatever_the_file_becomes__told(void **state) {
    const submission_refusal refused[] = {{1001, STR("R03"), STR("no account")}};
    const submission_refusal unsure[] = {{1002, STR(""), STR("D09 duplicate")}};
    submission_ack_text said = {
        .refused = refused, .n_refused = 1, .unsure = unsure, .n_unsure = 1};
    const struct {
        bool accepted, sure;
        int state;
        submission_word word;
        int64_t told, anew;
    } CASES[] = {{true, false, SUBMISSION_SENT, WORD_ACCEPT, 1, 0},
                 {true, false, SUBMISSION_ACKED, WORD_REPEAT, 1, 0},
                 {true, false, SUBMISSION_DISPUTED, WORD_CONTRARY, 1, 0},
                 {false, false, SUBMISSION_SENT, WORD_DISPUTE, 1, 0},
                 {false, false, SUBMISSION_DISPUTED, WORD_REPEAT, 1, 0},
                 {false, true, SUBMISSION_SENT, WORD_REJECT, 0, 2}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        if (i > 0) {
            world_tear_down(state);
            world_set_up(state);
        }
        const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
        run(sender, 1);
        fixture_sql(CASES[i].state == SUBMISSION_ACKED      ? "UPDATE submission SET state = 4"
                    : CASES[i].state == SUBMISSION_DISPUTED ? "UPDATE submission SET state = 8"
                                                            : "UPDATE submission SET state = 3",
                    NULL, 0);
        said.accepted = CASES[i].accepted;
        said.sure = CASES[i].sure;
        assert_int_equal(ack(id, said), CASES[i].word);
        assert_int_equal(count_events(RAIL_EVENT_REFUSED), 1);
        assert_int_equal(count_unsure(), CASES[i].told);
        assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), CASES[i].anew);
    }
}

static void test_settle__in_a_recovery__nothing(void **state) {
    (void)state;
    (void)prepare_one(1, 2, "f1", tomorrow(), 1);
    run(sender, 1);
    bring_day("0 s");
    the_guard.may_send = false; // events of returns may have been forgotten
    settle();
    assert_int_equal(count_events(RAIL_EVENT_SETTLED), 0);
    the_guard.may_send = true;
    settle();
    assert_int_equal(count_events(RAIL_EVENT_SETTLED), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_settle__when_the_time_has_come__each_item_once),
        TEST(test_settle__only_the_bank_can_tell__never_by_the_time),
        TEST(test_UNKNOWN_IS_A_STATE_settle__what_may_not_be_there__waits),
        TEST(test_settle__items_that_were_spoken_of__are_left_out),
        TEST(test_settle__refused_for_a_reason_that_is_not_listed__left_out),
        TEST(test_HEARD_items_refused__whatever_the_file_becomes__told),
        TEST(test_settle__in_a_recovery__nothing),
    };
    return cmocka_run_group_tests(tests, world_create, world_destroy);
}
