// Senders against a real database and an obedient bank.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "events/events.h"
#include "submissions/decide.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"
#include "testing/sender_test_world.h"

// --- Sending -------------------------------------------------------------------------------------------------------------

static void test_send__prepared__at_the_bank_once_and_items_told(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
    assert_int_equal(submission_sender_run(sender), 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(the_bank.n_taken, 1);
    assert_int_equal(the_bank.n_temporary, 0);
    assert_int_equal(count_evidence(id, EVIDENCE_BEGUN), 1);
    assert_int_equal(count_evidence(id, EVIDENCE_FINISHED), 1);
    assert_int_equal(count_events(RAIL_EVENT_ACCEPTED), 3);
    run(sender, 2);
    assert_int_equal(the_bank.n_taken, 1);
}

// A submission that was prepared before the pause is not begun either. A begun one is still asked for.
static void test_pause__prepared__not_begun_until_it_is_lifted(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
    fixture_sql("INSERT INTO pause VALUES (0, 1, '', 'the bank is moving', 'ada', now())", NULL, 0);
    assert_int_equal(submission_sender_run(sender), 0);
    assert_int_equal(state_of(id), SUBMISSION_PREPARED);
    assert_int_equal(the_bank.n_taken, 0);
    fixture_sql("UPDATE pause SET connection = 2", NULL, 0); // another connection
    assert_int_equal(submission_sender_run(sender), 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    fixture_sql("DELETE FROM pause", NULL, 0);
}

// Two processes hold different entries of one prepared file. The file is sent as a unit, so it goes out once.
static void test_NO_DOUBLE_two_senders__one_upload(void **state) {
    (void)state;
    uuid ids[8];
    char names[8][16];
    for (uint32_t i = 0; i < 8; i++) {
        snprintf(names[i], sizeof names[i], "two%u", i);
        ids[i] = prepare_one(i, 2, names[i], tomorrow(), 1 + (int)i);
    }
    run(sender, 1);
    run(other, 1);
    assert_int_equal(the_bank.n_taken, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(state_of(ids[i]), SUBMISSION_SENT);
        assert_int_equal(count_evidence(ids[i], EVIDENCE_BEGUN), 1);
    }
}

static void other_runs(bank *b) {
    (void)b;
    end_leases();
    run(other, 2);
}

// The sender stalls between its write and its second look at the lease. By then another sender has the file.
static void test_FENCED_stopped_before_the_fence__renames_nothing(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    the_bank.on_written = other_runs;
    (void)submission_sender_run(sender);
    assert_int_equal(the_bank.n_taken, 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(count_evidence(id, EVIDENCE_TAKEN_BACK), 1);
    assert_int_equal(count_events(RAIL_EVENT_ACCEPTED), 2);
}

// The sender stalls after that look: only the removal of its temporary file stops its rename.
static void test_FENCED_stopped_before_the_rename__finds_its_file_gone(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    the_bank.on_fenced = other_runs;
    (void)submission_sender_run(sender);
    assert_int_equal(the_bank.n_taken, 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(count_events(RAIL_EVENT_ACCEPTED), 2);
}

// --- Nobody knows --------------------------------------------------------------------------------------------------------

static void test_UNKNOWN_IS_A_STATE_bank_without_archive__never_sent_again(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    the_bank.no_archive = the_bank.loses_answer = true;
    run(sender, 8);
    assert_int_equal(the_bank.n_taken, 1);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN);
    assert_int_equal(count_events(RAIL_EVENT_ACCEPTED) + count_events(RAIL_EVENT_NOT_TAKEN), 0);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case"
                                     " WHERE kind = 'SUBMISSION_UNKNOWN' AND state = 1"),
                     1);
    assert_int_equal(count_evidence(id, EVIDENCE_NOT_SEEN), 1);
    // The acknowledgement in the inbox is evidence enough.
    assert_int_equal(ack(id, (submission_ack_text){.accepted = true}), WORD_ACCEPT);
    assert_int_equal(state_of(id), SUBMISSION_ACKED);
    assert_int_equal(count_events(RAIL_EVENT_ACCEPTED), 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE state = 1"), 0);
    run(sender, 2);
    assert_int_equal(the_bank.n_taken, 1);
}

static void test_unknown__settled_item__is_evidence(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    the_bank.no_archive = the_bank.loses_answer = true;
    run(sender, 2);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN);
    fixture_sql("INSERT INTO rail_event (book_id, payout_id, event_id, attempt, kind, code, detail,"
                " rail_reference, at) SELECT book_id, payout_id, 'bank', attempt, 3, '', '', '',"
                " now() FROM submission_item LIMIT 1",
                NULL, 0);
    run(sender, 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(the_bank.n_taken, 1);
}

static void pass_lag(void) {
    fixture_sql("UPDATE submission_upload SET at = at - interval '1 minute'", NULL, 0);
}

// A changed file of the same name does not count as "not shown": the bank may be taking ours at this moment, and lists late.
static void test_NO_DOUBLE_another_file_of_its_name__begins_no_wait(void **state) {
    (void)state;
    submission_sender *s = make_sender(LEASE_MS, true);
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    leave_as_killed(id, "(1, 1), (2, 9)");
    the_bank.taken[the_bank.n_taken++] = bank_file_of("f1", "with other line ends");
    run(s, 2);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN);
    pass_lag();
    the_bank.no_archive = true; // the bank took it, and does not list it yet
    run(s, 1);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN);
    the_bank.no_archive = false; // the same in the middle of a wait
    run(s, 1);
    pass_lag();
    the_bank.no_archive = true;
    run(s, 1);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN);
    pass_lag();
    run(s, 1); // two looks in a row without a file of its name
    assert_int_equal(count_evidence(id, EVIDENCE_NOT_THERE), 1);
    submission_sender_destroy(s);
}

// A bank that lists late: the first look does not show the taken file.
static void test_NO_DOUBLE_killed__archive_shows_it_late__not_sent_again(void **state) {
    (void)state;
    submission_sender *s = make_sender(LEASE_MS, true);
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    leave_as_killed(id, "(1, 1), (2, 9)");
    the_bank.taken[the_bank.n_taken++] = bank_file_of("f1", CONTENT);
    the_bank.no_archive = true;
    run(s, 3);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN);
    assert_int_equal(count_evidence(id, EVIDENCE_NOT_SEEN), 1);
    assert_int_equal(the_bank.n_taken, 1);
    the_bank.no_archive = false;
    pass_lag();
    run(s, 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(the_bank.n_taken, 1);
    // A last step that begins after a look restarts the wait.
    const uuid again = prepare_one(2, 2, "f2", tomorrow(), 2);
    leave_as_killed(again, "(1, 1), (2, 9), (3, 5)");
    pass_lag();
    leave_as_killed(again, "(4, 1), (5, 9)");
    run(s, 1);
    assert_int_equal(state_of(again), SUBMISSION_UNKNOWN);
    assert_int_equal(the_bank.n_taken, 1);
    submission_sender_destroy(s);
}

static void test_killed__archive_is_complete__sent_again_once(void **state) {
    (void)state;
    submission_sender *s = make_sender(LEASE_MS, true);
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    leave_as_killed(id, "(1, 1), (2, 9)");
    run(s, 2);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN); // a bank may list late
    pass_lag();
    run(s, 2);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(the_bank.n_taken, 1);
    submission_sender_destroy(s);
    // The bank may have rejected the second copy, and paid the first.
    assert_int_equal(ack(id, (submission_ack_text){.sure = true, .reason = STR("no")}),
                     WORD_DISPUTE);
}

static void test_killed__before_the_last_step__sent_again_once(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    leave_as_killed(id, "(1, 1)");
    the_bank.no_archive = true;
    run(sender, 2);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(the_bank.n_taken, 1);
    assert_int_equal(count_evidence(id, EVIDENCE_TAKEN_BACK), 1);
}

// A bank that takes every file it sees may have taken a file that was never renamed. Only a file that is still there, or a complete
// archive, proves that it has not.
static void test_NO_DOUBLE_killed__bank_takes_temporary_files__not_sent_again(void **state) {
    (void)state;
    expose_uploads = true;
    submission_sender *s = make_sender(LEASE_MS, false), *complete = make_sender(LEASE_MS, true);
    expose_uploads = false;
    the_bank.no_archive = true;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    leave_as_killed(id, "(1, 1)");
    run(s, 4);
    assert_int_equal(state_of(id), SUBMISSION_UNKNOWN);
    assert_int_equal(the_bank.n_taken, 0);
    assert_int_equal(count_evidence(id, EVIDENCE_NOT_SEEN), 1);
    pass_lag();
    run(complete, 2);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(count_evidence(id, EVIDENCE_NOT_THERE), 1);
    // So there may be two files, and the bank may reject the copy.
    assert_int_equal(ack(id, (submission_ack_text){.sure = true, .reason = STR("no")}),
                     WORD_DISPUTE);
    submission_sender_destroy(s);
    submission_sender_destroy(complete);
}

static void
test_killed__bank_takes_temporary_files__what_is_still_there_is_sent_again(void **state) {
    (void)state;
    expose_uploads = true;
    submission_sender *s = make_sender(LEASE_MS, false);
    expose_uploads = false;
    the_bank.no_archive = true;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    leave_as_killed(id, "(1, 1)");
    char name[160];
    temporary_name("f1", 1, name);
    the_bank.temporary[the_bank.n_temporary++] = bank_file_of(name, CONTENT);
    run(s, 2);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(count_evidence(id, EVIDENCE_TAKEN_BACK), 1);
    // A sender that was killed before it began to write has left nothing.
    const uuid other_one = prepare_one(2, 2, "f2", tomorrow(), 2);
    fixture_sql("UPDATE submission SET state = 2, epoch = 1 WHERE name = 'f2'", NULL, 0);
    run(s, 2);
    assert_int_equal(state_of(other_one), SUBMISSION_SENT);
    submission_sender_destroy(s);
}

// Ten files, and a bank that is down: it is not asked about each file again and again.
static void test_send__bank_is_away__the_connection_is_left_alone(void **state) {
    (void)state;
    enum { N = 10 };
    for (uint32_t i = 0; i < N; i++) {
        (void)prepare_one(1 + i, 1, arena_printf(mem, "f%u", i), tomorrow(), 1 + (int)i);
    }
    retry_ms = 3600000; // so that each file is tried once only
    submission_sender *s = make_sender(LEASE_MS, false);
    retry_ms = 1;
    the_bank.down = true;
    assert_int_equal(submission_sender_down_since_us(s), 0);
    run(s, 5);
    assert_true(submission_sender_down_since_us(s) != 0);
    assert_int_equal(the_bank.looks, 3);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission WHERE tries > 0"), 3);
    submission_sender_destroy(s);
    // After the pause one file finds out. When the bank is back, all go.
    s = make_sender(LEASE_MS, false); // pauses of a millisecond
    the_bank.looks = 0;
    run(s, 1);
    assert_int_equal(the_bank.looks, 3);
    the_bank.down = false;
    const int64_t until_ms = fixture_deadline(20000);
    while (the_bank.n_taken < N && fixture_deadline(0) < until_ms) {
        run(s, 1);
    }
    assert_int_equal(the_bank.n_taken, N);
    assert_int_equal(submission_sender_down_since_us(s), 0);
    submission_sender_destroy(s);
}

// The file that would find out was withdrawn: the bank is asked all the same, or nobody would notice its return.
static void test_send__bank_is_away_and_nothing_is_left__is_found_to_be_back(void **state) {
    (void)state;
    (void)prepare_one(1, 1, "f1", tomorrow(), 1);
    the_bank.down = true;
    run(sender, 4);
    assert_true(submission_sender_down_since_us(sender) != 0);
    fixture_sql("UPDATE submission SET state = 7, due_at = NULL", NULL, 0);
    run(sender, 2);
    assert_true(submission_sender_down_since_us(sender) != 0);
    the_bank.down = false;
    const int64_t until_ms = fixture_deadline(20000);
    while (submission_sender_down_since_us(sender) != 0 && fixture_deadline(0) < until_ms) {
        run(sender, 1);
    }
    assert_int_equal(submission_sender_down_since_us(sender), 0);
}

static void test_send__bank_is_away__prepared_until_it_is_back(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    the_bank.down = true;
    run(sender, CASE_AFTER + 1);
    assert_int_equal(state_of(id), SUBMISSION_PREPARED);
    assert_int_equal(count_evidence(id, EVIDENCE_BEGUN), 0);
    assert_int_equal(
        fixture_sql_i64("SELECT count(*) FROM payment_case WHERE kind = 'SUBMISSION_OVERDUE'"), 1);
    the_bank.down = false;
    the_bank.refuses_writes = true;
    run(sender, 2);
    assert_int_equal(state_of(id), SUBMISSION_PREPARED);
    assert_int_equal(count_evidence(id, EVIDENCE_TAKEN_BACK), 2);
    the_bank.refuses_writes = false;
    run(sender, 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(the_bank.n_taken, 1);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE state = 1"), 0);
}

static void test_send__bank_refuses_each_rename__pauses_between(void **state) {
    (void)state;
    retry_ms = 3600000;
    submission_sender *s = make_sender(LEASE_MS, false);
    retry_ms = 1;
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    the_bank.refuses_renames = true;
    size_t handled = 0;
    for (int i = 0; i < 6; i++) {
        handled += submission_sender_run(s);
    }
    assert_int_equal(handled, 2); // once more at once, and once later
    assert_int_equal(state_of(id), SUBMISSION_PREPARED);
    run(s, CASE_AFTER - 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE kind ="
                                     " 'SUBMISSION_OVERDUE' AND state = 1"),
                     1);
    submission_sender_destroy(s);
}

// --- A database that forgot ----------------------------------------------------------------------------------------------

// A file from before a restore has the same name and size, but other content: ours is not at the bank.
static void test_NO_LOSS_forgotten_file_of_the_same_name__is_not_ours(void **state) {
    (void)state;
    static const bool UNREADABLE[] = {false, true};
    for (uint32_t i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "old%u", i);
        the_bank.unreadable = UNREADABLE[i];
        the_bank.taken[the_bank.n_taken++] = bank_file_of(name, "A FILE");
        const uuid id = prepare_one(i, 2, name, tomorrow(), 1 + (int)i);
        run(sender, 1);
        assert_int_equal(state_of(id), SUBMISSION_WITHDRAWN);
    }
    assert_int_equal(count_events(RAIL_EVENT_ACCEPTED), 0);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), 4);
    assert_int_equal(the_bank.n_taken, 2);
}

static void test_NO_DOUBLE_forgotten_upload_of_the_same_content__is_ours(void **state) {
    (void)state;
    the_bank.taken[the_bank.n_taken++] = bank_file_of("f1", CONTENT);
    const uuid id = prepare_one(1, 2, "f1", tomorrow(), 1);
    run(sender, 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(the_bank.n_taken, 1);
}

// --- Withdrawn -----------------------------------------------------------------------------------------------------------

static void test_stale__never_begun__withdrawn_and_handed_over_again(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 3, "f1", clock_wall_us(clock_system()) - 1, 1);
    run(sender, 2);
    assert_int_equal(state_of(id), SUBMISSION_WITHDRAWN);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), 3);
    assert_int_equal(the_bank.n_taken, 0);
}

static void test_unreadable__never_begun__withdrawn(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
    fixture_sql("UPDATE submission SET sha256 = decode(repeat('00', 32), 'hex')", NULL, 0);
    run(sender, 1);
    assert_int_equal(state_of(id), SUBMISSION_WITHDRAWN);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), 3);
}

typedef struct taking {
    uuid payout_id;
    submission_removal removal;
} taking;

static bool take_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    taking *t = arg;
    return submission_take_out(c, BOOK, t->payout_id, 1, STR("canceled by ada"), &t->removal, a, e);
}

static submission_removal take_out(uint32_t payout) {
    taking t = {.payout_id = number_id(2, payout)};
    err e = {0};
    if (!db_transact(pool, fixture_deadline(30000), mem, take_in_tx, &t, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
    return t.removal;
}

static void test_take_out__prepared__withdrawn_and_the_others_handed_over_again(void **state) {
    (void)state;
    assert_int_equal(take_out(1), REMOVAL_ABSENT);
    const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
    assert_int_equal(take_out(1), REMOVAL_DONE);
    assert_int_equal(state_of(id), SUBMISSION_WITHDRAWN);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), 2);
    char sql[256], text[UUID_TEXT_LEN + 1];
    uuid_format(number_id(2, 1), text);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM rail_event WHERE payout_id = '%s'", text);
    assert_int_equal(fixture_sql_i64(sql), 0);
    assert_int_equal(take_out(1), REMOVAL_ABSENT);
    run(sender, 1);
    assert_int_equal(the_bank.n_taken, 0);
}

static void take_one_out(bank *b) {
    (void)b;
    assert_int_equal(take_out(1), REMOVAL_TOO_LATE);
}

static void test_take_out__begun__too_late(void **state) {
    (void)state;
    const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
    the_bank.on_written = take_one_out;
    run(sender, 1);
    assert_null(the_bank.on_written);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    assert_int_equal(take_out(1), REMOVAL_TOO_LATE);
}

// --- The bank's word -----------------------------------------------------------------------------------------------------

static uuid sent_one(void) {
    const uuid id = prepare_one(1, 3, "f1", tomorrow(), 1);
    run(sender, 1);
    assert_int_equal(state_of(id), SUBMISSION_SENT);
    return id;
}

static bool not_there_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    const submission_decision d = {.actor = STR("ann"),
                                   .evidence = STR("the bank says so"),
                                   .now_us = clock_wall_us(clock_system())};
    return submission_decide(c, BOOK, *(const uuid *)arg, &d, a, e);
}

static void decide_not_there(uuid id) {
    err e = {0};
    if (!db_transact(pool, fixture_deadline(30000), mem, not_there_in_tx, &id, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
}

static void test_rejected__reason_of_the_file__payouts_are_built_anew(void **state) {
    (void)state;
    const uuid id = sent_one();
    assert_int_equal(
        ack(id, (submission_ack_text){.sure = true, .reason = STR("wrong destination")}),
        WORD_REJECT);
    assert_int_equal(state_of(id), SUBMISSION_REJECTED);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), 3);
    assert_int_equal(count_events(RAIL_EVENT_REFUSED), 0);
    assert_int_equal(ack(id, (submission_ack_text){.reason = STR("again")}), WORD_REPEAT);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), 3);
}

static void test_rejected__reason_of_an_item__refuses_it_and_rebuilds_the_others(void **state) {
    (void)state;
    const uuid id = sent_one();
    const submission_refusal refused[] = {{1002, STR("R03"), STR("no account")}};
    assert_int_equal(ack(id, (submission_ack_text){.sure = true,
                                                   .reason = STR("entry"),
                                                   .refused = refused,
                                                   .n_refused = 1}),
                     WORD_REJECT);
    assert_int_equal(count_events(RAIL_EVENT_REFUSED), 1);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 2 AND "
                                     "code = 'R03' AND detail = 'no account'"),
                     1);
}

static void test_accepted__single_items_refused__each_with_the_banks_words(void **state) {
    (void)state;
    const uuid id = sent_one();
    const submission_refusal refused[] = {{1001, STR("R03"), STR("no account")},
                                          {1003, STR(""), STR("closed")}};
    const submission_ack_text said = {.accepted = true, .refused = refused, .n_refused = 1};
    assert_int_equal(ack(id, said), WORD_ACCEPT);
    assert_int_equal(state_of(id), SUBMISSION_ACKED);
    assert_int_equal(count_events(RAIL_EVENT_ACCEPTED), 3);
    assert_int_equal(count_events(RAIL_EVENT_REFUSED), 1);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), 0);
    // The bank says more later, and repeats its earlier words.
    assert_int_equal(
        ack(id, (submission_ack_text){.accepted = true, .refused = refused, .n_refused = 2}),
        WORD_REPEAT);
    assert_int_equal(count_events(RAIL_EVENT_REFUSED), 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 2 AND "
                                     "code = 'ITEM_REJECTED' AND detail = 'closed'"),
                     1);
}

static void test_rejected__too_often__a_case_and_no_new_file(void **state) {
    (void)state;
    for (int attempt = 1; attempt <= 3; attempt++) {
        char name[16];
        snprintf(name, sizeof name, "r%d", attempt);
        const uuid id = prepare_one((uint32_t)attempt, 1, name, tomorrow(), attempt);
        run(sender, 1);
        assert_int_equal(
            ack(id, (submission_ack_text){.sure = true, .reason = STR("no"), .rebuilds_max = 2}),
            WORD_REJECT);
        assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), attempt <= 2 ? attempt : 2);
    }
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE state = 1"
                                     " AND code = 'REBUILT_TOO_OFTEN'"),
                     1);
}

// A bank that names another entry each time must not cause endless tries. The entry fails, and the others wait for a person.
static void test_rejected__too_often_with_an_item_named__a_case_and_no_new_file(void **state) {
    (void)state;
    uuid id = {{0}};
    for (int attempt = 1; attempt <= 3; attempt++) {
        char name[16];
        snprintf(name, sizeof name, "r%d", attempt);
        id = prepare_one((uint32_t)attempt, 2, name, tomorrow(), attempt);
        run(sender, 1);
        const submission_refusal refused[] = {{attempt * 1000 + 2, STR("R03"), STR("none")}};
        assert_int_equal(ack(id, (submission_ack_text){.sure = true,
                                                       .reason = STR("no"),
                                                       .refused = refused,
                                                       .n_refused = 1,
                                                       .rebuilds_max = 2}),
                         WORD_REJECT);
        assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), attempt <= 2 ? attempt : 2);
        assert_int_equal(count_events(RAIL_EVENT_REFUSED), attempt);
    }
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE state = 1"
                                     " AND code = 'REBUILT_TOO_OFTEN'"),
                     1);
    // After the answer "the bank does not have it", only the waiting payouts are sent anew.
    decide_not_there(id);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), 3);
}

// A named entry does not make an unsure rejection sure.
static void test_NO_DOUBLE_rejected_not_for_sure__item_named__disputed(void **state) {
    (void)state;
    const uuid id = sent_one();
    const submission_refusal refused[] = {{1002, STR("R03"), STR("no account")}};
    assert_int_equal(ack(id, (submission_ack_text){.reason = STR("duplicate file"),
                                                   .refused = refused,
                                                   .n_refused = 1}),
                     WORD_DISPUTE);
    assert_int_equal(state_of(id), SUBMISSION_DISPUTED);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN), 0);
    assert_int_equal(count_events(RAIL_EVENT_REFUSED), 1);
}

// The rejection of a copy never voids the payments of the original: only a sure word rejects.
static void test_NO_DOUBLE_rejection_of_a_copy__voids_nothing(void **state) {
    (void)state;
    const uuid id = sent_one();
    assert_int_equal(ack(id, (submission_ack_text){.reason = STR("received before")}),
                     WORD_DISPUTE);
    assert_int_equal(state_of(id), SUBMISSION_DISPUTED);
    run(sender, 0);
    assert_int_equal(ack(id, (submission_ack_text){.accepted = true}), WORD_CONTRARY);
    assert_int_equal(state_of(id), SUBMISSION_DISPUTED);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN) + count_events(RAIL_EVENT_REFUSED), 0);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE state = 1 AND kind = "
                                     "'SUBMISSION_REJECTED' AND code = 'REASON_NOT_LISTED'"),
                     1);
}

static void test_NO_DOUBLE_rejection_after_an_acknowledgement__disputed(void **state) {
    (void)state;
    const uuid id = sent_one();
    assert_int_equal(ack(id, (submission_ack_text){.accepted = true}), WORD_ACCEPT);
    assert_int_equal(
        ack(id, (submission_ack_text){.sure = true, .reason = STR("changed its mind")}),
        WORD_DISPUTE);
    assert_int_equal(state_of(id), SUBMISSION_DISPUTED);
    assert_int_equal(count_events(RAIL_EVENT_NOT_TAKEN) + count_events(RAIL_EVENT_REFUSED), 0);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case WHERE state = 1"
                                     " AND code = 'BANK_CONTRADICTS'"),
                     1);
}

static uuid under_way;
static void bank_acknowledges(bank *b) {
    (void)b;
    assert_int_equal(ack(under_way, (submission_ack_text){.accepted = true}), WORD_ACCEPT);
}

// The bank's word comes before our own note that the file was sent.
static void test_ack__before_the_sender_has_written__acked_and_told_once(void **state) {
    (void)state;
    under_way = prepare_one(1, 3, "f1", tomorrow(), 1);
    the_bank.on_fenced = bank_acknowledges;
    run(sender, 2);
    assert_int_equal(state_of(under_way), SUBMISSION_ACKED);
    assert_int_equal(count_events(RAIL_EVENT_ACCEPTED), 3);
    assert_int_equal(the_bank.n_taken, 1);
}

// --- Finding -------------------------------------------------------------------------------------------------------------

typedef struct finding {
    const int64_t *numbers;
    size_t n;
    const char *name;
    submission_match *matches;
    submission_ref *refs;
    size_t n_matches, n_refs;
} finding;

static bool find_in_tx(db_conn *c, arena *a, void *arg, err *e) {
    finding *f = arg;
    return submission_find_numbers(c, CONNECTION, f->numbers, f->n, &f->matches, &f->n_matches, a,
                                   e) &&
           submission_find_name(c, CONNECTION, str_of(f->name), &f->refs, &f->n_refs, a, e);
}

static void test_find__numbers_and_names__all_candidates_newest_first(void **state) {
    (void)state;
    (void)prepare_one(1, 3, "same", tomorrow(), 1);
    const uuid newer = prepare_one(2, 2, "same", tomorrow(), 2);
    // The same numbers, in a later cycle.
    char sql[512], text[UUID_TEXT_LEN + 1];
    uuid_format(newer, text);
    snprintf(sql, sizeof sql,
             "UPDATE submission_directory SET cycle = 2, number_first = 1001, number_last = 1002"
             " WHERE submission_id = '%s';"
             "UPDATE submission_item SET number = number - 1000 WHERE submission_id = '%s'",
             text, text);
    fixture_sql(sql, NULL, 0);
    const int64_t numbers[] = {1003, 9, 1001};
    finding f = {.numbers = numbers, .n = 3, .name = "same"};
    err e = {0};
    assert_true(db_read(pool, fixture_deadline(30000), mem, find_in_tx, &f, &e));
    assert_int_equal(f.n_matches, 3);
    assert_int_equal(f.matches[0].at, 0);
    assert_int_equal(f.matches[0].cycle, 1);
    assert_int_equal(f.matches[1].at, 2);
    assert_int_equal(f.matches[1].cycle, 2);
    assert_int_equal(f.matches[2].at, 2);
    assert_int_equal(f.matches[2].cycle, 1);
    assert_int_equal(f.n_refs, 2);
    assert_true(uuid_eq(f.refs[0].id, newer));
    assert_int_equal(f.refs[0].items, 2);
}

// A return file names an old entry and a new one: the submissions between them cost nothing.
static void test_find__low_and_high_numbers__what_lies_between_is_not_read(void **state) {
    (void)state;
    (void)prepare_one(1, 3, "low", tomorrow(), 1);
    (void)prepare_one(9000, 3, "high", tomorrow(), 2);
    fixture_sql("INSERT INTO submission_directory (book_id, submission_id, connection, home_book,"
                " name, cycle, number_first, number_last) SELECT 0, ('ffffffff-0000-7000-8000-' ||"
                " lpad(n::text, 12, '0'))::uuid, 1, 7, 'x', 1, 2000 + n * 20, 2019 + n * 20"
                " FROM generate_series(0, 60000) AS n; ANALYZE submission_directory",
                NULL, 0);
    const int64_t numbers[] = {9000003, 1002, 500000000};
    finding f = {.numbers = numbers, .n = 3, .name = "low"};
    arena *small = arena_create(1 << 20);
    err e = {0};
    if (!db_read(pool, fixture_deadline(30000), small, find_in_tx, &f, &e)) {
        fail_msg("%s", e.reason);
    }
    assert_int_equal(f.n_matches, 2);
    assert_int_equal(f.matches[0].at, 0);
    assert_int_equal(f.matches[1].at, 1);
    arena_destroy(small);
}

static void test_find__more_numbers_than_one_statement_takes__all_are_found(void **state) {
    (void)state;
    (void)prepare_one(1, 2, "many", tomorrow(), 1);
    const size_t n = SUBMISSION_FIND_MAX + 1;
    int64_t *numbers = calloc(n, sizeof *numbers);
    assert_non_null(numbers);
    for (size_t i = 0; i < n; i++) {
        numbers[i] = 5000000 + (int64_t)i; // numbers that were never given
    }
    numbers[0] = 1001;
    numbers[n - 1] = 1002;
    finding f = {.numbers = numbers, .n = n, .name = "many"};
    err e = {0};
    assert_true(db_read(pool, fixture_deadline(30000), mem, find_in_tx, &f, &e));
    assert_int_equal(f.n_matches, 2);
    assert_int_equal(f.matches[0].at, 0);
    assert_int_equal(f.matches[1].at, n - 1);
    free(numbers);
}

// Over years of cycles, more submissions have had the number than one page holds.
static void test_find__more_submissions_than_a_page__none_is_left_out(void **state) {
    (void)state;
    (void)prepare_one(1, 1, "first", tomorrow(), 1);
    fixture_sql("INSERT INTO submission_directory (book_id, submission_id, connection, home_book,"
                " name, cycle, number_first, number_last) SELECT 0, ('ffffffff-0000-7000-8000-' ||"
                " lpad(n::text, 12, '0'))::uuid, 1, 7, 'x', n, 1000 + n % 2, 1001"
                " FROM generate_series(1, 20001) AS n",
                NULL, 0);
    fixture_sql("INSERT INTO submission_directory SELECT 0, ('00000000-0000-7000-8000-' ||"
                " lpad(n::text, 12, '0'))::uuid, 1, 7, 'x', n, 1000 + n % 2, 1001"
                " FROM generate_series(1, 20001) AS n",
                NULL, 0);
    const int64_t numbers[] = {1001};
    finding f = {.numbers = numbers, .n = 1, .name = "first"};
    err e = {0};
    assert_true(db_read(pool, fixture_deadline(30000), mem, find_in_tx, &f, &e));
    assert_int_equal(f.n_matches, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_send__prepared__at_the_bank_once_and_items_told),
        TEST(test_pause__prepared__not_begun_until_it_is_lifted),
        TEST(test_NO_DOUBLE_two_senders__one_upload),
        TEST(test_FENCED_stopped_before_the_fence__renames_nothing),
        TEST(test_FENCED_stopped_before_the_rename__finds_its_file_gone),
        TEST(test_UNKNOWN_IS_A_STATE_bank_without_archive__never_sent_again),
        TEST(test_unknown__settled_item__is_evidence),
        TEST(test_NO_DOUBLE_another_file_of_its_name__begins_no_wait),
        TEST(test_NO_DOUBLE_killed__archive_shows_it_late__not_sent_again),
        TEST(test_killed__archive_is_complete__sent_again_once),
        TEST(test_killed__before_the_last_step__sent_again_once),
        TEST(test_NO_DOUBLE_killed__bank_takes_temporary_files__not_sent_again),
        TEST(test_killed__bank_takes_temporary_files__what_is_still_there_is_sent_again),
        TEST(test_send__bank_is_away__the_connection_is_left_alone),
        TEST(test_send__bank_is_away_and_nothing_is_left__is_found_to_be_back),
        TEST(test_send__bank_is_away__prepared_until_it_is_back),
        TEST(test_send__bank_refuses_each_rename__pauses_between),
        TEST(test_NO_LOSS_forgotten_file_of_the_same_name__is_not_ours),
        TEST(test_NO_DOUBLE_forgotten_upload_of_the_same_content__is_ours),
        TEST(test_stale__never_begun__withdrawn_and_handed_over_again),
        TEST(test_unreadable__never_begun__withdrawn),
        TEST(test_take_out__prepared__withdrawn_and_the_others_handed_over_again),
        TEST(test_take_out__begun__too_late),
        TEST(test_rejected__reason_of_the_file__payouts_are_built_anew),
        TEST(test_accepted__single_items_refused__each_with_the_banks_words),
        TEST(test_rejected__reason_of_an_item__refuses_it_and_rebuilds_the_others),
        TEST(test_rejected__too_often__a_case_and_no_new_file),
        TEST(test_rejected__too_often_with_an_item_named__a_case_and_no_new_file),
        TEST(test_NO_DOUBLE_rejected_not_for_sure__item_named__disputed),
        TEST(test_NO_DOUBLE_rejection_of_a_copy__voids_nothing),
        TEST(test_NO_DOUBLE_rejection_after_an_acknowledgement__disputed),
        TEST(test_ack__before_the_sender_has_written__acked_and_told_once),
        TEST(test_find__numbers_and_names__all_candidates_newest_first),
        TEST(test_find__more_submissions_than_a_page__none_is_left_out),
        TEST(test_find__low_and_high_numbers__what_lies_between_is_not_read),
        TEST(test_find__more_numbers_than_one_statement_takes__all_are_found),
    };
    return cmocka_run_group_tests(tests, world_create, world_destroy);
}
