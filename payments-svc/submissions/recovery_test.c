// Recovery mode against a real database: a submission that may be forgotten is asked for, and never simply sent. Also: a later sender
// builds on what an earlier look has proven.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "submissions/recovery.h"
#include "testing/fixture.h"
#include "testing/sender_test_world.h"

// --- Recovery ------------------------------------------------------------------------------------------------------------

static bool begin_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const guard_part *part = arg;
    return part->begin(part->arg, c, a, e);
}

typedef struct leaving {
    guard_part part;
    int64_t n;
} leaving;

static bool left_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    leaving *l = arg;
    return l->part.left(l->part.arg, c, a, &l->n, e);
}

static rail file_rail = {.id = CONNECTION, .name = "ach", .hands_over = true};
static rail *const RAILS[] = {&file_rail};
static submission_recovery recovery = {RAILS, 1};

static void begin_recovery(void) {
    guard_part part = submission_recovery_part(&recovery);
    err e = {0};
    fixture_sql("INSERT INTO merchant_book (merchant_id, book_id)"
                " VALUES ('m', 7) ON CONFLICT DO NOTHING",
                NULL, 0);
    the_guard.may_send = false;
    if (!db_transact(pool, fixture_deadline(30000), mem, begin_in_tx, &part, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
}

static int64_t recovery_left(void) {
    leaving l = {.part = submission_recovery_part(&recovery)};
    err e = {0};
    if (!db_transact(pool, fixture_deadline(30000), mem, left_in_tx, &l, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
    return l.n;
}

static void test_recovery__nothing_may_be_sent__prepared_is_left_alone(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    the_guard.may_send = false;
    run(sender, 2);
    assert_int_equal(state_of(id), SUBMISSION_PREPARED);
    assert_int_equal(the_bank.looks, 0);
    the_guard = (guard){true, false}; // its session is on another timeline
    run(sender, 2);
    assert_int_equal(the_bank.looks, 0);
    the_guard.same_timeline = true;
    run(sender, 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
}

static void forbid(bank *b) {
    (void)b;
    the_guard.may_send = false;
}

static void change_timeline(bank *b) {
    (void)b;
    the_guard.same_timeline = false;
}

// The database changes during an upload: its last step is not taken.
static void test_NO_DOUBLE_guard_says_no_during_an_upload__no_last_step(void **state) {
    (void)state;
    void (*const CHANGES[])(bank *) = {forbid, change_timeline};
    for (uint32_t i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "g%u", i);
        the_guard = (guard){true, true};
        const uuid id = prepare_one(i, 1, name, tomorrow(), 1 + (int)i);
        the_bank.on_written = CHANGES[i];
        (void)submission_sender_run(sender);
        assert_int_equal(the_bank.n_taken, 0);
        assert_int_equal(count_evidence(id, EVIDENCE_LAST_STEP), 0);
    }
}

// The bank has a file that the database believes to be prepared, and has moved it out of sight.
static void test_NO_DOUBLE_recovery__prepared_is_asked_for_and_never_simply_sent(void **state) {
    (void)state;
    const uuid seen = prepare_one(1, 2, "f1", tomorrow(), 1);
    const uuid hidden = prepare_one(2, 2, "f2", tomorrow(), 2);
    the_bank.taken[the_bank.n_taken++] = bank_file_of("f1", CONTENT);
    begin_recovery();
    assert_int_equal(recovery_left(), 2);
    assert_int_equal(state_of(hidden), SUBMISSION_SENDING);
    assert_int_equal(count_evidence(hidden, EVIDENCE_LAST_STEP), 1);
    the_bank.down = true;
    run(sender, 1);
    assert_int_equal(recovery_left(), 2); // without an answer it does not count as compared
    the_bank.down = false;
    run(sender, 1);
    assert_int_equal(recovery_left(), 0);
    the_guard.may_send = true;
    run(sender, 4);
    assert_int_equal(state_of(seen), SUBMISSION_SENT);
    assert_int_equal(state_of(hidden), SUBMISSION_UNKNOWN);
    assert_int_equal(the_bank.n_taken, 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE kind = 'RECOVERY'"
                                     " AND subject_type = 'connection' AND state = 1"),
                     1);
}

// A known upload's temporary file is still there: a later upload may have been forgotten.
static void test_NO_DOUBLE_recovery__temporary_file_says_nothing_of_the_forgotten(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    leave_as_killed(id, "(1, 1)");
    temporary_name("f1", 1, the_bank.temporary[0].name);
    the_bank.n_temporary = 1;
    begin_recovery();
    the_guard.may_send = true;
    run(sender, 2);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN);
    assert_int_equal(the_bank.n_taken, 0);
}

// A look finds the temporary file and removes it; then the bank does not answer. The proof that the file never arrived stands, and nobody
// asks again.
static void test_killed__look_fails_after_it_was_taken_back__sent_again_once(void **state) {
    (void)state;
    static const char *const LEFT[] = {"(1, 1)", "(1, 1), (2, 9)"};
    expose_uploads = true;
    submission_sender *s = make_sender(LEASE_MS, false);
    expose_uploads = false;
    the_bank.no_archive = true;
    for (uint32_t i = 0; i < 2; i++) {
        char file[16], name[160];
        snprintf(file, sizeof file, "f%u", i);
        const uuid id = prepare_one(i, 1, file, tomorrow(), 1 + (int)i);
        leave_as_killed(id, LEFT[i]);
        temporary_name(file, 1, name);
        the_bank.temporary[the_bank.n_temporary++] = bank_file_of(name, CONTENT);
        the_bank.fails_looks = 1;
        run(s, 1);
        assert_int_equal(state_of(id), SUBMISSION_SENDING);
        run(s, 2);
        assert_int_equal(state_of(id), SUBMISSION_SENT);
        assert_int_equal(the_bank.n_taken, i + 1);
    }
    submission_sender_destroy(s);
}

static submission_sender *heir; // takes over from a sender that has lost its lease

static void heir_runs(bank *b) {
    char name[160];
    // the next sender finds the proof under the file's other name, too
    temporary_name("f1", 1, name);
    b->temporary[b->n_temporary++] = bank_file_of(name, CONTENT);
    end_leases();
    run(heir, 2);
}

// The sender lost its lease after it had removed the file. By now the file is being sent again, and the old proof says nothing about this
// upload.
static void test_FENCED_taken_back_and_lost__proves_nothing_of_the_next_upload(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 1, "f1", tomorrow(), 1);
    leave_as_killed(id, "(1, 1), (2, 9)");
    char name[160];
    temporary_name("f1", 1, name);
    the_bank.temporary[the_bank.n_temporary++] = bank_file_of(name, CONTENT);
    the_bank.no_archive = the_bank.loses_answer = true;
    heir = other;
    the_bank.on_taken_back = heir_runs;
    run(sender, 1);
    assert_int_equal(the_bank.n_taken, 1);
    run(sender, 3);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN);
    assert_int_equal(the_bank.n_taken, 1);
}

// An entry comes back settled before any upload has begun: a file like this must not be sent again.
static void test_NO_DOUBLE_prepared_and_heard_of__is_not_sent_again(void **state) {
    (void)state;
    const uuid heard = prepare_one(1, 2, "f1", tomorrow(), 1);
    const uuid acked = prepare_one(2, 2, "f2", tomorrow(), 2);
    fixture_sql("INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail,"
                " rail_reference, at) SELECT book_id, payout_id, 'bank', attempt, 3, '', '', '',"
                " now() FROM submission_item WHERE attempt = 1 LIMIT 1",
                NULL, 0);
    assert_int_equal(ack(acked, (submission_ack_text){.accepted = true}), WORD_ACCEPT);
    run(sender, 2);
    assert_int_equal(state_of(heard), SUBMISSION_SENT);
    assert_int_equal(state_of(acked), SUBMISSION_ACKED);
    assert_int_equal(the_bank.n_taken, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_recovery__nothing_may_be_sent__prepared_is_left_alone),
        TEST(test_NO_DOUBLE_guard_says_no_during_an_upload__no_last_step),
        TEST(test_NO_DOUBLE_recovery__prepared_is_asked_for_and_never_simply_sent),
        TEST(test_NO_DOUBLE_recovery__temporary_file_says_nothing_of_the_forgotten),
        TEST(test_killed__look_fails_after_it_was_taken_back__sent_again_once),
        TEST(test_FENCED_taken_back_and_lost__proves_nothing_of_the_next_upload),
        TEST(test_NO_DOUBLE_prepared_and_heard_of__is_not_sent_again),
    };
    return cmocka_run_group_tests(tests, world_create, world_destroy);
}
