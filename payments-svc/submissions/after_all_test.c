// The bank takes what it had rejected, after its payouts were made anew.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "submissions/decide.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"
#include "testing/sender_test_world.h"

static bool moved_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    return submission_moved(c, BOOK, *(const uuid *)arg, STR("it was settled"), a, e);
}

static void moved(uuid id) {
    err e = {0};
    assert_true(db_transact(pool, fixture_deadline(30000), mem, moved_in_tx, &id, &e));
}

static uuid sent_one(void) {
    const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
    run(sender, 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    return id;
}

typedef struct deciding {
    uuid id;
    bool bank_has_it;
    bool contradicted; // the case is about a contradiction
} deciding;

static bool decide_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const deciding *k = arg;
    const submission_decision d = {.bank_has_it = k->bank_has_it,
                                   .contradicted = k->contradicted,
                                   .actor = STR("ada"),
                                   .evidence = STR("their letter of today"),
                                   .now_us = clock_wall_us(clock_system())};
    return submission_decide(c, BOOK, k->id, &d, a, e);
}

static const char *decide_of(uuid id, bool bank_has_it, bool contradicted) {
    static err e;
    deciding k = {id, bank_has_it, contradicted};
    err_clear(&e);
    return db_transact(pool, fixture_deadline(30000), mem, decide_in_tx, &k, &e) ? "" : e.reason;
}

static const char *decide(uuid id, bool bank_has_it) {
    return decide_of(id, bank_has_it, bank_has_it);
}

// Promise NO-DOUBLE: the bank rejected a file, and its payouts are in a new one. Then the bank accepts the first file, or speaks of its
// entries.
static void rebuilt_and_then(bool accepts) {
    const uuid id = sent_one();
    assert_int_equal(ack(id, (submission_ack_text){.sure = true, .reason = STR("no")}),
                     WORD_REJECT);
    const uuid anew = prepare_one(2, 3, "f2", tomorrow(), 2);
    if (accepts) {
        assert_int_equal(ack(id, (submission_ack_text){.accepted = true}), WORD_CONTRARY);
    } else {
        moved(id);
        moved(id);
    }
    assert_int_equal(state_of(anew), SUBMISSION_DISPUTED);
    assert_int_equal(state_of(id), SUBMISSION_REJECTED);
    run(sender, 0);
    assert_int_equal(the_bank.n_taken, 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE state = 1 AND kind = "
                                     "'SUBMISSION_UNKNOWN'"),
                     2);
    // The payouts in the new file are held: they do not go out a third time, whatever is true of the new file.
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 1 AND attempt = "
                                     "1 AND code = 'TAKEN_AFTER_ALL' AND source = 4"),
                     3);
    assert_string_equal(decide(anew, false), "EARLIER_UNDECIDED");
    assert_int_equal(state_of(anew), SUBMISSION_DISPUTED);
    assert_string_equal(decide(id, true), "");
    assert_string_equal(decide(anew, false), "");
    assert_int_equal(state_of(anew), SUBMISSION_REJECTED);
}

static void test_NO_DOUBLE_rejected_and_then_accepted__the_new_one_is_not_sent(void **state) {
    (void)state;
    rebuilt_and_then(true);
}

static void test_NO_DOUBLE_rejected_and_then_moved__the_new_one_is_not_sent(void **state) {
    (void)state;
    rebuilt_and_then(false);
}

static void assert_told(int64_t taken, int64_t not_taken) {
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 1 AND attempt = "
                                     "1 AND code = 'TAKEN_AFTER_ALL' AND source = 4"),
                     taken);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 5 AND attempt = "
                                     "1 AND code = 'NOT_TAKEN_AFTER_ALL' AND source = 4"),
                     not_taken);
}

// The next file has left, so both may be paid. Each payout is told, until a person says that the bank does not have the first file.
static void test_NO_DOUBLE_rejected_and_then_accepted__the_new_one_was_sent__told(void **state) {
    (void)state;
    const uuid id = sent_one();
    assert_int_equal(ack(id, (submission_ack_text){.sure = true, .reason = STR("no")}),
                     WORD_REJECT);
    const uuid anew = prepare_one(2, 3, "f2", tomorrow(), 2);
    run(sender, 1);
    assert_int_equal(state_of(anew), SUBMISSION_SENT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ack(id, (submission_ack_text){.accepted = true}), WORD_CONTRARY);
        assert_told(3, 0);
    }
    assert_int_equal(state_of(anew), SUBMISSION_SENT);
    assert_string_equal(decide_of(id, false, false), ""); // the case is about something else
    assert_told(3, 0);
    assert_string_equal(decide_of(id, false, true), "");
    assert_int_equal(state_of(id), SUBMISSION_REJECTED);
    assert_told(3, 3);
    assert_string_equal(decide_of(id, false, true), "");
    assert_told(3, 3);
    assert_int_equal(ack(id, (submission_ack_text){.accepted = true}), WORD_CONTRARY);
    assert_told(6, 3); // the bank insists
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_NO_DOUBLE_rejected_and_then_accepted__the_new_one_is_not_sent),
        TEST(test_NO_DOUBLE_rejected_and_then_moved__the_new_one_is_not_sent),
        TEST(test_NO_DOUBLE_rejected_and_then_accepted__the_new_one_was_sent__told),
    };
    return cmocka_run_group_tests(tests, world_create, world_destroy);
}
