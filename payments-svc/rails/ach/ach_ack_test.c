// A bank's words about whole files: acknowledgements, and rejections in its own words.
#include <stdio.h>
#include <string.h>

#include "testing/ach_inbound_test_world.h"
#include "testing/fixture.h"

static void put_reason(const char *name, const char *file, const char *status, const char *reason,
                       int entries, int total) {
    char ack[512];
    snprintf(ack, sizeof ack,
             "{\"file\":\"%s\",\"status\":\"%s\",\"reason\":\"%s\",\"entries\":%d,"
             "\"total\":%d,\"at\":\"2026-11-21T09:00:01Z\"}",
             file, status, reason, entries, total);
    put_text(name, ack);
}

static void put_ack(const char *name, const char *file, const char *status, int entries,
                    int total) {
    put_reason(name, file, status, "because", entries, total);
}

static void test_ack__accepted_rejected_or_odd__each_its_own(void **state) {
    (void)state;
    send_entries(3, 3);
    put_ack("1900000003-20261121-A.ach.ack", FILE_3, "accepted", 3, 6000);
    look();
    assert_count("inbox WHERE state = 2 AND about = 'acknowledgement' AND exceptions = 0", 1);
    assert_count("rail_event WHERE kind = 1", 0); // its payouts know this since it was sent
    assert_count("submission WHERE state = 4", 1);
    put_ack("a1", FILE_3, "accepted", 3, 6001);
    put_ack("a2", "1900000003-20261121-A.ach.duplicate-1", "rejected", 0, 0);
    look();
    assert_odd("OTHER_COUNT", 1);
    assert_odd("UNKNOWN_FILE", 1);
    assert_count("payment_case WHERE kind = 'INBOX_LINE'", 2);
    // The bank cannot take an accepted file back as a whole: a person must look, and nothing moves.
    put_ack("a3", FILE_3, "rejected", 0, 0);
    look();
    assert_count("rail_event WHERE kind <> 1", 0);
    assert_count("payment_case WHERE code = 'BANK_CONTRADICTS'", 1);
    send_entries(4, 2);
    put_ack("a4", "1900000004-20261121-A.ach", "rejected", 0, 0);
    look();
    assert_count("rail_event WHERE kind = 5 AND code = 'FILE_REJECTED' AND detail = 'because'", 2);
    assert_count("submission WHERE state = 5", 1);
}

// What it says of one batch is not the file's: nothing is sent anew, and a person asks the bank.
static void test_NO_DOUBLE_ack__of_one_batch__a_case_and_nothing_moves(void **state) {
    (void)state;
    static const char *const MEMBERS[] = {"\"batch\":2", "\"batchNumber\":\"0000002\"",
                                          "\"Batches\":[2]"};
    send_entries(3, 3);
    for (size_t i = 0; i < sizeof MEMBERS / sizeof MEMBERS[0]; i++) {
        char ack[400], name[8];
        snprintf(ack, sizeof ack,
                 "{\"file\":\"%s\",%s,\"status\":\"rejected\",\"reason\":\"because\"}", FILE_3,
                 MEMBERS[i]);
        snprintf(name, sizeof name, "b%zu", i);
        put_text(name, ack);
    }
    look();
    assert_odd("ONE_BATCH", 3);
    assert_count("rail_event WHERE kind = 5", 0);
    assert_count("submission WHERE state = 3", 1);
}

// The bank takes a file after all that it has rejected: what was made in its place stops, whatever the bank counts.
static void
test_NO_DOUBLE_ack__accepts_what_it_rejected__other_counts_stop_the_new_file_too(void **state) {
    (void)state;
    send_entries(3, 3);
    put_ack("c1", FILE_3, "rejected", 0, 0);
    look();
    assert_count("submission WHERE state = 5", 1);
    put_ack("c2", FILE_3, "accepted", 2, 4000);
    look();
    assert_count("payment_case WHERE kind = 'SUBMISSION_UNKNOWN' AND code = 'BANK_CONTRADICTS'", 1);
    assert_count("inbox_exception WHERE reason = 'OTHER_COUNT'", 0);
}

// Entries that the bank refuses fail with its words; the rest of the file goes on.
static void test_ack__refuses_single_entries__the_rest_goes_on(void **state) {
    (void)state;
    static const char *const COUNTS[] = {"\"entries\":3,\"total\":6000",
                                         "\"entries\":2,\"total\":4000"};
    for (size_t i = 0; i < 2; i++) { // counted with the refused entries, or without
        char ack[640], name[8];
        if (i > 0) {
            fixture_sql("UPDATE submission SET state = 3; DELETE FROM rail_event", NULL, 0);
        } else {
            send_entries(3, 3);
        }
        snprintf(name, sizeof name, "a%zu", i);
        snprintf(ack, sizeof ack,
                 "{\"file\":\"%s\",\"status\":\"accepted\",%s,\"refused\":[{\"trace\":"
                 "\"121042880000002\",\"code\":\"R03\",\"reason\":\"no such account\"}],"
                 "\"at\":\"2026-11-21T09:00:01Z\"}",
                 FILE_3, COUNTS[i]);
        put_text(name, ack);
        look();
        assert_count("rail_event WHERE kind = 5", 0);
        assert_count("rail_event WHERE kind = 2", 1);
        assert_count("rail_event AS v JOIN submission_item AS i USING (book_id, payout_id) WHERE "
                     "v.kind = 2 AND i.number = 2 AND v.code = 'R03' AND v.detail = "
                     "'no such account'",
                     1);
        assert_count("submission WHERE state = 4", 1);
        assert_count("inbox_exception", 0);
    }
}

// An earlier payment may be the original of a "duplicate": a person must look, and its payout is held until then.
static void test_NO_DOUBLE_ack__refuses_for_another_reason__a_case_and_it_is_held(void **state) {
    (void)state;
    send_entries(3, 3);
    put_text("a1", "{\"file\":\"" FILE_3 "\",\"status\":\"accepted\",\"entries\":3,"
                   "\"total\":6000,\"at\":\"2026-11-21T09:00:01Z\",\"refused\":["
                   "{\"trace\":\"121042880000001\",\"reason\":\"duplicate\"},"
                   "{\"trace\":\"121042880009999\",\"code\":\"R03\"}]}");
    look();
    assert_count("rail_event AS v JOIN submission_item AS i USING (book_id, payout_id) WHERE "
                 "v.kind = 1 AND v.code = 'REFUSED_UNSURE' AND v.detail = 'duplicate' "
                 "AND i.number = 1",
                 1);
    assert_count("rail_event WHERE code <> ''", 1);
    assert_odd("REFUSED_ENTRY", 1);
    assert_odd("UNKNOWN_ENTRY", 1);
    assert_count("inbox_exception WHERE payout_id IS NOT NULL", 1);
}

// Promise HEARD: a word about a rejected file's entry proves that the bank processed the file, whether it was paid or came back.
static void test_HEARD__moved_after_it_was_rejected__a_case_of_the_file(void **state) {
    (void)state;
    send_entries(3, 3);
    put_ack("a1", FILE_3, "rejected", 0, 0);
    look();
    assert_count("submission WHERE state = 5", 1);
    put_text("s", "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
                  "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,1,1000\n");
    look();
    assert_count("rail_event WHERE kind = 3", 1);
    assert_count("payment_case WHERE kind = 'SUBMISSION_UNKNOWN' AND code = 'MOVED_AFTER_ALL'", 1);
}

static void test_reason__on_the_list__whole_or_its_beginning(void **state) {
    (void)state;
    static const char LIST[] = "bad header, Because ,wrong *,*,";
    static const char *const LISTED[] = {"bad header", " BECAUSE", "wrong destination"};
    static const char *const OTHERS[] = {"", "bad header too", "because of it", "wrongly", "*",
                                         ","};
    for (size_t i = 0; i < sizeof LISTED / sizeof LISTED[0]; i++) {
        assert_true(ach_is_listed(LIST, str_of(LISTED[i])));
    }
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++) {
        assert_false(ach_is_listed(LIST, str_of(OTHERS[i])));
    }
    assert_false(ach_is_listed(NULL, STR("because")));
    assert_false(ach_is_listed("", STR("")));
}

// Promise NO-DOUBLE: the bank's picker took the file twice, and the copy is rejected first. Only reasons that the bank is known to give for
// a file that it did not take act by themselves. Any other reason waits for a person.
static void
test_NO_DOUBLE_rejected_for_a_reason_that_is_not_listed__waits_for_a_person(void **state) {
    (void)state;
    static const char *const REASONS[] = {"file already received", "previously processed", "DUP",
                                          "duplicate file", "because of it"};
    send_entries(3, 2);
    for (size_t i = 0; i < sizeof REASONS / sizeof REASONS[0]; i++) {
        char name[16];
        snprintf(name, sizeof name, "a%zu", i);
        fixture_sql("UPDATE submission SET state = 3; DELETE FROM payment_case", NULL, 0);
        put_reason(name, FILE_3, "rejected", REASONS[i], 0, 0);
        look();
        assert_count("rail_event WHERE kind IN (2, 5)", 0);
        assert_count("submission WHERE state = 8", 1);
        assert_count("payment_case WHERE kind = 'SUBMISSION_REJECTED' AND state = 1", 1);
    }
}

static void put_refused(const char *name, const char *status, const char *reason,
                        const char *refused) {
    char ack[4096];
    const int n =
        snprintf(ack, sizeof ack,
                 "{\"file\":\"" FILE_3 "\",\"status\":\"%s\",\"reason\":\"%s\",\"entries\":3,"
                 "\"total\":6000,\"at\":\"2026-11-21T09:00:01Z\",\"refused\":[%s]}",
                 status, reason, refused);
    assert_in_range(n, 1, sizeof ack - 1);
    put_text(name, ack);
}

#define REFUSED(n, reason)                                                                         \
    "{\"trace\":\"12104288000000" n "\",\"code\":\"\",\"reason\":\"" reason "\"}"

// Named entries do not explain the rejection of the whole, unless each has a listed reason and the whole has no other.
static void test_NO_DOUBLE_rejected_with_entries_named__sure_only_when_all_of_it_is(void **state) {
    (void)state;
    static const struct {
        const char *reason, *refused;
        int refusals, unsure, anew;
    } CASES[] = {
        {"", REFUSED("1", "no such account"), 1, 0, 2},
        {"because", REFUSED("1", "no such account") "," REFUSED("3", "R03"), 2, 0, 1},
        {"duplicate file", REFUSED("1", "no such account"), 1, 0, 0},
        {"", REFUSED("1", "no such account") "," REFUSED("2", "duplicate"), 1, 1, 0},
        {"because", REFUSED("2", "duplicate"), 0, 1, 0},
        {"", REFUSED("1", "no such account") "," REFUSED("9", "R03"), 1, 0, 0},
        {"", "", 0, 0, 0},
    };
    send_entries(3, 3);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char name[16];
        snprintf(name, sizeof name, "a%zu", i);
        fixture_sql("UPDATE submission SET state = 3; DELETE FROM rail_event;"
                    "DELETE FROM submission_upload; DELETE FROM payment_case",
                    NULL, 0);
        put_refused(name, "rejected", CASES[i].reason, CASES[i].refused);
        look();
        assert_count("rail_event WHERE kind = 2", CASES[i].refusals);
        assert_count("rail_event WHERE kind = 1 AND code <> ''", CASES[i].unsure);
        assert_count("rail_event WHERE kind = 5", CASES[i].anew);
        assert_count("submission WHERE state = 8", CASES[i].anew == 0);
        assert_count("payment_case WHERE kind = 'SUBMISSION_REJECTED' AND state = 1", 1);
    }
}

// A database refuses half a character, and would refuse the whole acknowledgement with it.
static void test_ack__refusal_longer_than_is_kept__cut_at_a_character(void **state) {
    (void)state;
    char refused[512], long_reason[292];
    memset(long_reason, 'a', sizeof long_reason - 1);
    long_reason[sizeof long_reason - 1] = '\0';
    snprintf(refused, sizeof refused,
             "{\"trace\":\"121042880000001\",\"code\":\"\",\"reason\":\"no such %s\u00fc\"}",
             long_reason);
    send_entries(3, 3);
    put_refused("a1", "accepted", "", refused);
    look();
    assert_count("inbox WHERE state = 2", 1);
    assert_count("submission WHERE state = 4", 1);
    assert_count("rail_event WHERE kind = 2 AND octet_length(detail) = 299", 1);
}

// A bank's words about an entry are kept in many places, and shown on terminals.
static void test_ack__refusal_names_an_account__hidden_where_it_is_kept(void **state) {
    (void)state;
    send_entries(3, 3);
    put_refused("a1", "accepted", "",
                "{\"trace\":\"121042880000001\",\"code\":\"918273645546 \\u001b[m\","
                "\"reason\":\"no such account 918273645546 \\u001b[m\"},"
                "{\"trace\":\"121042880000002\",\"code\":\"918273645546 \\u001b[m\","
                "\"reason\":\"duplicate of 918273645546 \\u202e\"}");
    look();
    assert_count("rail_event WHERE kind = 2 AND code = '********5546 ?[m'"
                 " AND detail = 'no such account ********5546 ?[m'",
                 1);
    assert_odd("REFUSED_ENTRY", 1);
    assert_count("inbox_exception WHERE compared LIKE 'trace 121042880000002; the bank says "
                 "********5546 _[m duplicate of ********5546 _'",
                 1);
}

// A short element must not become a row larger than the whole text.
static void test_ack__refuses_many__its_bytes_are_kept_once(void **state) {
    (void)state;
    send_entries(3, 3);
    put_refused("a1", "accepted", "",
                REFUSED("1", "x") "," REFUSED("2", "x") "," REFUSED("9", "R03"));
    look();
    assert_odd("REFUSED_ENTRY", 2);
    assert_odd("UNKNOWN_ENTRY", 1);
    assert_count("inbox_exception WHERE octet_length(raw_sealed) > 150", 1);
    assert_count("inbox_exception WHERE octet_length(raw_sealed) > 150 AND line = 1", 1);
}

static void test_ack__refuses_more_than_the_file_has__refused_as_a_whole(void **state) {
    (void)state;
    send_entries(3, 2);
    put_text("a1", "{\"file\":\"" FILE_3 "\",\"status\":\"accepted\",\"entries\":2,"
                   "\"total\":3000,\"at\":\"2026-11-21T09:00:01Z\",\"refused\":[" REFUSED(
                       "1", "R03") "," REFUSED("2", "R03") "," REFUSED("3", "R03") "]}");
    look();
    assert_count("inbox WHERE state = 3 AND reason = 'BAD_FILE'", 1);
    assert_odd("BAD_FILE", 1);
    assert_count("inbox_exception", 1);
    assert_count("rail_event", 0);
    assert_count("submission WHERE state = 3", 1);
    assert_count("payment_case WHERE kind = 'INBOX_FILE' AND code = 'BAD_FILE'", 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_ack__accepted_rejected_or_odd__each_its_own),
        TEST(test_NO_DOUBLE_ack__of_one_batch__a_case_and_nothing_moves),
        TEST(test_NO_DOUBLE_ack__accepts_what_it_rejected__other_counts_stop_the_new_file_too),
        TEST(test_ack__refuses_single_entries__the_rest_goes_on),
        TEST(test_NO_DOUBLE_ack__refuses_for_another_reason__a_case_and_it_is_held),
        TEST(test_HEARD__moved_after_it_was_rejected__a_case_of_the_file),
        TEST(test_reason__on_the_list__whole_or_its_beginning),
        TEST(test_NO_DOUBLE_rejected_for_a_reason_that_is_not_listed__waits_for_a_person),
        TEST(test_NO_DOUBLE_rejected_with_entries_named__sure_only_when_all_of_it_is),
        TEST(test_ack__refusal_longer_than_is_kept__cut_at_a_character),
        TEST(test_ack__refusal_names_an_account__hidden_where_it_is_kept),
        TEST(test_ack__refuses_many__its_bytes_are_kept_once),
        TEST(test_ack__refuses_more_than_the_file_has__refused_as_a_whole),
    };
    return cmocka_run_group_tests(tests, ach_world_begin, ach_world_end);
}
