// Impossible or ambiguous words of a bank: they become an exception for a person, never a movement.
#include <stdio.h>

#include "domain/machine.h"
#include "testing/ach_inbound_test_world.h"
#include "testing/fixture.h"

static void put_ack(const char *name, const char *status, const char *counts, const char *at) {
    char ack[512];
    snprintf(ack, sizeof ack,
             "{\"file\":\"" FILE_3 "\",\"status\":\"%s\",\"reason\":\"because\"%s,\"at\":\"%s\"}",
             status, counts, at);
    put_text(name, ack);
    look();
}

// --- Returns ---------------------------------------------------------------------------------------------------------

// An amount may come back in parts. Each part is weighed with its payout every time, so their number is limited, and nothing is lost.
static void test_returns__cent_by_cent__some_are_taken_in_and_the_rest_is_one_case(void **state) {
    (void)state;
    enum { PARTS = 1000 };
    static bank_entry e[PARTS];
    static char traces[PARTS][24];
    send_entries(3, 2);
    for (int i = 0; i < PARTS; i++) {
        snprintf(traces[i], sizeof traces[i], "23138010%07d", i + 1);
        e[i] = return_of(2, "R03");
        e[i].amount = i == 0 ? 2 : 1;
        e[i].own_trace = traces[i];
    }
    put_returns("r1", "1800000003", e, PARTS);
    look();
    assert_count("rail_event WHERE kind = 4", SAGA_MOVEMENTS_MAX);
    assert_odd("TOO_MANY_MOVEMENTS", PARTS - SAGA_MOVEMENTS_MAX);
    assert_count("inbox_exception WHERE amount = 1 AND state = 1 AND payout_id IS NOT NULL"
                 " AND about_book_id = 3",
                 PARTS - SAGA_MOVEMENTS_MAX);
    assert_count("payment_case", 1);
    // And in later files.
    e[0].amount = 3;
    e[0].own_trace = "231380109999999";
    e[1] = return_of(1, "R03"); // another payout is not affected
    put_returns("r2", "1800000003", e, 2);
    look();
    assert_count("rail_event WHERE kind = 4", SAGA_MOVEMENTS_MAX + 1);
    assert_odd("TOO_MANY_MOVEMENTS", PARTS - SAGA_MOVEMENTS_MAX + 1);
    assert_count("payment_case WHERE book_id = 3 AND kind = 'INBOX_LINE' AND state = 1"
                 " AND code = 'TOO_MANY_MOVEMENTS' AND seen = 2",
                 1);
    assert_count("payment_case", 1);
}

// Traces repeat. If a bank leaves the distinguishing fields blank, nobody can tell which entry came back.
static void test_returns__more_than_one_entry_agrees__exception_and_case(void **state) {
    (void)state;
    send_entries(3, 2);
    send_entries(4, 2); // moves to a later file of the same book
    fixture_sql("UPDATE submission SET book_id = 3, cycle = 1, sender_company = '1800000003'"
                " WHERE book_id = 4;"
                "UPDATE submission_directory SET home_book = 3, cycle = 1 WHERE home_book = 4;"
                "UPDATE submission_item SET book_id = 3 WHERE book_id = 4;"
                "UPDATE payout SET book_id = 3 WHERE book_id = 4;"
                "UPDATE recipient SET book_id = 3 WHERE book_id = 4;"
                "UPDATE payout SET intent_id = (left(intent_id::text, 24) || 'f' ||"
                " right(intent_id::text, 11))::uuid WHERE payout_id::text LIKE '01930004-%'",
                NULL, 0);
    bank_entry e[] = {return_of(1, "R03"), return_of(2, "R03")};
    e[0].individual_id = "";
    put_returns("r", "1800000003", e, 2);
    look();
    assert_count("rail_event WHERE kind = 4", 1); // its individual id tells
    assert_count("rail_event WHERE amount = 2000 AND payout_id::text LIKE '01930003-%'", 1);
    assert_odd("AMBIGUOUS", 1);
    assert_count("payment_case WHERE kind = 'INBOX_LINE' AND code = 'AMBIGUOUS' AND book_id = 3"
                 " AND amount = 1000",
                 1);
}

static void test_returns__of_a_file_that_has_not_left__exception_and_case(void **state) {
    (void)state;
    const bank_entry e[] = {return_of(1, "R03"), return_of(2, "C01")};
    const char *const report = "H," FILE_3 ",1,2026-11-22T09:00:01Z\n"
                               "D,121042880000002,2000,SETTLED,2026-11-22T09:00:01Z\nT,1,2000\n";
    for (int s = SUBMISSION_PREPARED; s < SUBMISSION_STATES_END; s++) {
        char sql[80];
        ach_world_teardown(state);
        ach_world_setup(state);
        send_entries(3, 2);
        snprintf(sql, sizeof sql, "UPDATE submission SET state = %d", s);
        fixture_sql(sql, NULL, 0);
        put_returns("r", "1800000003", e, 1);
        put_text("s", report);
        look();
        const bool left = s != SUBMISSION_PREPARED;
        assert_count("rail_event WHERE kind = 4", left ? 1 : 0);
        assert_count("rail_event WHERE kind = 3", left ? 1 : 0);
        assert_odd("NOT_SENT", left ? 0 : 2);
        assert_count("payment_case WHERE kind = 'INBOX_LINE' AND code = 'NOT_SENT' AND book_id = 3"
                     " AND amount IN (1000, 2000)",
                     left ? 0 : 2);
    }
}

// Puts the payout of this number into another file in this state.
static void put_in_next(int number, submission_state state) {
    char sql[900];
    snprintf(sql, sizeof sql,
             "INSERT INTO submission (book_id, submission_id, connection, kind, name, origin, "
             "cycle, number_first, number_last, items, total, currency, size, sha256, "
             "content_sealed, seal, generation, window_at, stale_at, created_at, state, changed_at)"
             " SELECT book_id, ('01930000-0000-7000-9000-0000000000f' || %d)::uuid, connection, "
             "kind, 'next' || %d, '', 0, 11, 11, 1, total, currency, 0, sha256, '', seal, 2, "
             "now(), now(), created_at, %d, now() FROM submission WHERE generation = 1;"
             "INSERT INTO submission_item (book_id, number, payout_id, attempt, amount, "
             "submission_id) SELECT book_id, 11, payout_id, 2, amount, "
             "('01930000-0000-7000-9000-0000000000f' || %d)::uuid FROM submission_item "
             "WHERE number = %d AND attempt = 1",
             number, number, (int)state, number, number);
    fixture_sql(sql, NULL, 0);
}

// The bank processed a file that it had rejected. Payouts that wait for the next file must not go into it. Payouts in a file that has not
// left, or may not have, must not go into a third. Payouts in a file that was sent may be paid twice.
static void test_NO_DOUBLE_moved_after_it_was_rejected__all_are_told(void **state) {
    (void)state;
    send_entries(3, 4);
    put_ack("a", "rejected", "", "2026-11-21T09:00:01Z");
    assert_count("rail_event WHERE kind = 5", 4);
    put_in_next(1, SUBMISSION_SENT);
    put_in_next(2, SUBMISSION_PREPARED);
    put_in_next(3, SUBMISSION_UNKNOWN);
    const bank_entry e = return_of(4, "R03");
    put_returns("r", "1800000003", &e, 1);
    look();
    assert_count("payment_case WHERE code = 'MOVED_AFTER_ALL'", 1);
    assert_count("rail_event v JOIN submission_item i USING (book_id, payout_id, attempt)"
                 " WHERE v.kind = 1 AND v.code = 'TAKEN_AFTER_ALL' AND v.source = 4"
                 " AND i.attempt = 1",
                 4);
    assert_count("rail_event WHERE kind = 1", 4);
    assert_count("submission WHERE state = 8 AND reason = 'EARLIER_ONE_TAKEN'", 1);
}

// --- Settings that have changed ----------------------------------------------------------------------------------------

// Entries that were sent under earlier numbers come back under them, for weeks.
static void test_NO_LOSS_returns__after_our_numbers_have_changed__matched_as_sent(void **state) {
    (void)state;
    send_entries(3, 3);
    fixture_sql("UPDATE submission SET sender_bank = '02100002', sender_company = '1700000003'",
                NULL, 0);
    bank_entry e = return_of(1, "R03");
    e.trace = "021000020000001";
    put_returns("r1", "1700000003", &e, 1);
    look();
    assert_count("rail_event WHERE kind = 4 AND book_id = 3 AND amount = 1000", 1);
    assert_count("payment_case", 0);
    put_text("s", "H," FILE_3 ",1,2026-11-22T09:00:01Z\n"
                  "D,021000020000002,2000,SETTLED,2026-11-22T09:00:01Z\nT,1,2000\n");
    look();
    assert_count("rail_event WHERE kind = 3 AND amount = 2000", 1);
    // Today's numbers do not match this file.
    const bank_entry other = return_of(3, "R03");
    put_returns("r2", "1800000003", &other, 1);
    look();
    assert_count("rail_event", 2);
    assert_odd("UNKNOWN_ENTRY", 1);
}

// --- Acknowledgements ------------------------------------------------------------------------------------------------

static void test_ack__rejected_with_other_counts__exception_and_nothing_moves(void **state) {
    (void)state;
    static const char *const COUNTS[] = {",\"entries\":4,\"total\":6000",
                                         ",\"entries\":3,\"total\":6001", ",\"entries\":4",
                                         ",\"total\":1"};
    send_entries(3, 3);
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        char name[24];
        snprintf(name, sizeof name, "a%zu", i);
        put_ack(name, "rejected", COUNTS[i], "2026-11-21T09:00:01Z");
        assert_odd("OTHER_COUNT", (int64_t)i + 1);
    }
    assert_count("submission WHERE state = 3", 1);
    assert_count("rail_event", 0);
    assert_count("payment_case WHERE kind = 'INBOX_LINE' AND code = 'OTHER_COUNT'", 4);
    put_ack("b", "rejected", ",\"entries\":3,\"total\":6000", "2026-11-21T09:00:01Z");
    assert_count("submission WHERE state = 5", 1);
}

static void test_ack__account_number_in_its_reason__hidden_where_it_is_kept(void **state) {
    (void)state;
    send_entries(3, 3);
    put_text("a", "{\"file\":\"" FILE_3 "\",\"status\":\"rejected\",\"reason\":\"wrong account "
                  "918273645546\",\"at\":\"2026-11-21T09:00:01Z\"}");
    look();
    assert_count("submission WHERE state = 5 AND reason_text = 'wrong account ********5546'", 1);
    assert_count("rail_event WHERE kind = 5 AND detail = 'wrong account ********5546'", 3);
    assert_count("payment_case WHERE text LIKE '%918273645546%'", 0);
    assert_count("submission_upload WHERE detail LIKE '%918273645546%'", 0);
}

static void test_report__account_number_instead_of_a_trace__hidden(void **state) {
    (void)state;
    send_entries(3, 3);
    put_text("s", "H," FILE_3 ",1,2026-11-22T09:00:01Z\nD,918273645546,5\n"
                  "D,121042880000001,6\nT,2,11\n");
    look();
    assert_count("inbox_exception WHERE compared LIKE 'trace ********5546; %'", 1);
    assert_count("inbox_exception WHERE compared LIKE 'trace 121042880000001; %'", 1);
}

// The late rejection of yesterday's file of the same name.
static void test_ack__older_than_the_file__exception_and_nothing_moves(void **state) {
    (void)state;
    static const char *const WORDS[] = {"rejected", "accepted"};
    send_entries(3, 3);
    for (size_t i = 0; i < 2; i++) {
        put_ack(WORDS[i], WORDS[i], ",\"entries\":3,\"total\":6000", "2026-11-20T17:00:00Z");
    }
    assert_odd("OLDER_THAN_FILE", 2);
    fixture_sql("UPDATE submission SET created_at = '2026-11-24T09:00:01Z'", NULL, 0);
    put_ack("later", "rejected", "", "2026-11-24T09:30:00Z"); // the bank's clock is ahead
    assert_odd("OLDER_THAN_FILE", 3);
    assert_count("submission WHERE state = 3", 1);
    assert_count("rail_event", 0);
    assert_count("payment_case WHERE kind = 'INBOX_LINE' AND code = 'OLDER_THAN_FILE'", 3);
}

static void test_ack__rejects_what_was_not_sent__exception_and_it_goes_on(void **state) {
    (void)state;
    send_entries(3, 3);
    fixture_sql("UPDATE submission SET state = 1", NULL, 0);
    put_ack("a", "rejected", "", "2026-11-21T09:00:01Z");
    assert_odd("NOT_SENT", 1);
    assert_count("submission WHERE state = 1", 1);
    assert_count("payment_case WHERE kind = 'INBOX_LINE' AND code = 'NOT_SENT'", 1);
}

// A bank's prescribed names may come again after a restore.
static void test_ack__of_a_name_that_two_files_have__exception_and_nothing_moves(void **state) {
    (void)state;
    send_entries(3, 3);
    send_entries(4, 3);
    fixture_sql("UPDATE submission SET name = '" FILE_3 "';"
                "UPDATE submission_directory SET name = '" FILE_3 "'",
                NULL, 0);
    put_ack("a", "rejected", "", "2026-11-21T09:00:01Z");
    put_ack("b", "accepted", ",\"entries\":3,\"total\":6000", "2026-11-21T09:00:01Z");
    assert_odd("AMBIGUOUS_FILE", 2);
    assert_count("submission WHERE state = 3", 2);
    assert_count("rail_event", 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_returns__cent_by_cent__some_are_taken_in_and_the_rest_is_one_case),
        TEST(test_returns__more_than_one_entry_agrees__exception_and_case),
        TEST(test_returns__of_a_file_that_has_not_left__exception_and_case),
        TEST(test_NO_DOUBLE_moved_after_it_was_rejected__all_are_told),
        TEST(test_NO_LOSS_returns__after_our_numbers_have_changed__matched_as_sent),
        TEST(test_ack__rejected_with_other_counts__exception_and_nothing_moves),
        TEST(test_ack__account_number_in_its_reason__hidden_where_it_is_kept),
        TEST(test_report__account_number_instead_of_a_trace__hidden),
        TEST(test_ack__older_than_the_file__exception_and_nothing_moves),
        TEST(test_ack__rejects_what_was_not_sent__exception_and_it_goes_on),
        TEST(test_ack__of_a_name_that_two_files_have__exception_and_nothing_moves),
    };
    return cmocka_run_group_tests(tests, ach_world_begin, ach_world_end);
}
