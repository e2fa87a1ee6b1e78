// A bank's files, from the outbox to events, exceptions and cases: a real database and a real sshd.
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "testing/ach_inbound_test_world.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"

// --- Settlement reports ----------------------------------------------------------------------------------------------

static void test_settlement__as_banks_have_it__events_once(void **state) {
    (void)state;
    static const char *const FORMS[] = {
        "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
        "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01.5Z\n"
        "D,121042880000003,3000,SETTLED,2026-11-22T14:30:01+05:30\nT,2,4000\n",
        "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\r\n"
        "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01.5Z\r\n"
        "D,121042880000003,3000,SETTLED,2026-11-22T14:30:01+05:30\r\nT,2,4000\r\n",
        "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
        "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01.5Z\n"
        "D,121042880000003,3000,SETTLED,2026-11-22T14:30:01+05:30\nT,2,4000",
        "\xef\xbb\xbfH,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n\n"
        "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01.5Z  \n"
        "D,121042880000003,3000,SETTLED,2026-11-22T14:30:01+05:30\nT,2,4000\n\n  \n",
    };
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        rail_fixture_clear();
        send_entries(3, 3);
        put_text("whatever the bank likes.txt", FORMS[i]); // the name does not matter
        look();
        assert_count("rail_event WHERE kind = 3 AND book_id = 3 AND currency = 'USD'"
                     " AND inbox_id IS NOT NULL AND inbox_line > 1",
                     2);
        assert_count("rail_event WHERE rail_reference = '121042880000001' AND amount = 1000"
                     " AND at = '2026-11-22T09:00:01.5Z'",
                     1);
        assert_count("inbox WHERE state = 2 AND about = 'settlement report' AND lines = 2"
                     " AND events = 2 AND exceptions = 0",
                     1);
        assert_count("payment_case", 0);
        assert_true(is_there("outbox/done", "whatever the bank likes.txt"));
        unlink(sftp_server_path(server, "root/outbox/done/whatever the bank likes.txt"));
    }
    assert_true(atomic_load(&woken) >= 4);
}

static void put_report(const char *name, int number) {
    char report[300];
    snprintf(report, sizeof report,
             "H,1900000003-20261121-A.ach,%d,2026-11-22T09:00:01Z\n"
             "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,1,1000\n",
             number);
    put_text(name, report);
    look();
}

// An entry settles once, in whichever reports and however often.
static void test_NO_DOUBLE_settlement__told_again_by_another_report__counts_once(void **state) {
    (void)state;
    send_entries(3, 1);
    put_report("one", 1);
    put_report("two", 2);
    assert_count("rail_event WHERE kind = 3", 1);
    assert_odd("DOUBLED", 1);
    assert_count("payment_case", 0);
    bank_entry e = return_of(1, "R03");
    e.own_trace = "231380100000009";
    put_returns("r1", "1800000003", &e, 1);
    put_report("three", 3); // it may have gone out again: a person asks the bank
    assert_count("rail_event", 2);
    assert_odd("SETTLED_AGAIN", 1);
    assert_count("payment_case WHERE code = 'SETTLED_AGAIN' AND book_id = 3 AND amount = 1000", 1);
    e.own_trace = "231380100000077"; // the bank resends the return under a new number
    put_returns("r2", "1800000003", &e, 1);
    look();
    assert_count("rail_event", 2);
    assert_odd("RETURNED_AGAIN", 1);
    assert_count("payment_case WHERE code = 'RETURNED_AGAIN' AND amount = 1000", 1);
}

// Another instance records the same settlement between the look and the write.
static void test_NO_DOUBLE_settlement__said_at_the_same_moment__counts_once(void **state) {
    (void)state;
    send_entries(3, 1);
    atomic_store(&rail_fixture_events_race, true);
    put_report("one", 1);
    assert_false(atomic_load(&rail_fixture_events_race));
    assert_count("rail_event WHERE kind = 3", 1);
    assert_count("inbox WHERE state = 2 AND tries = 0 AND exceptions = 0", 1);
    assert_count("payment_case", 0);
}

// A row of the previous version has another id, and is the same settlement.
static void test_settlement__known_from_the_version_before__counts_once(void **state) {
    (void)state;
    send_entries(3, 1);
    put_report("one", 1);
    fixture_sql("UPDATE rail_event SET event_id = 'S1:121042880000001'", NULL, 0);
    put_report("two", 2);
    assert_count("rail_event", 1);
    assert_odd("DOUBLED", 1);
}

static void test_settlement__odd_lines__the_others_count(void **state) {
    (void)state;
    send_entries(3, 6);
    put_text("1900000003-20261121-A.ach.settle.1",
             "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
             "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\n"
             "D,121042880000002,2001,SETTLED,2026-11-22T09:00:01Z\n" // another amount
             "D,121042880000099,1,SETTLED,2026-11-22T09:00:01Z\n"    // never used
             "D,999999990000003,3000,SETTLED,2026-11-22T09:00:01Z\n" // of another bank
             "D,121042880000004,4000,PAID,2026-11-22T09:00:01Z\n"    // an unknown word
             "D,121042880000005,5000,SETTLED,today\n"                // a bad time: it settled
             "D,1210428x0000000,1,SETTLED,2026-11-22T09:00:01Z\n"    // no trace
             "D,121042880000006,6000,SETTLED,2026-11-22T09:00:01Z\n"
             "D,121042880000006,6000,SETTLED,2026-11-22T09:00:01Z\n" // twice
             "T,9,27003\n");
    look();
    assert_count("rail_event", 3);
    assert_odd("OTHER_AMOUNT", 1);
    assert_odd("UNKNOWN_ENTRY", 2);
    assert_odd("UNKNOWN_STATUS", 1);
    assert_odd("UNREADABLE_LINE", 1);
    assert_odd("DOUBLED", 1);
    assert_count("inbox_exception WHERE line = 3 AND reason = 'OTHER_AMOUNT' AND amount = 2001"
                 " AND compared LIKE '%amount 2001, ours 2000%' AND payout_id IS NOT NULL"
                 " AND about_book_id = 3 AND state = 1",
                 1);
    assert_count("payment_case WHERE kind = 'INBOX_LINE' AND state = 1", 6);
    assert_count("inbox WHERE state = 2 AND lines = 9 AND events = 3 AND exceptions = 6", 1);
}

static void test_settlement__of_another_file__exception(void **state) {
    (void)state;
    send_entries(3, 1);
    fixture_sql(
        "INSERT INTO submission (book_id, submission_id, connection, kind, name, origin,"
        " cycle, number_first, number_last, items, total, currency, size, sha256,"
        " content_sealed, seal, generation, window_at, stale_at, created_at, state,"
        " changed_at) SELECT book_id, '01930000-0000-7000-9000-0000000000ff', 1, 1,"
        " '1900000003-20261121-B.ach', '', 0, 9, 9, 1, 1, 'USD', 0, sha256, '', seal, 1,"
        " window_at, stale_at, created_at, 3, changed_at FROM submission;"
        "INSERT INTO submission_directory SELECT 0, submission_id, 1, book_id, name, 0, 9, 9"
        " FROM submission WHERE name LIKE '%-B.ach'",
        NULL, 0);
    put_text("x", "H,1900000003-20261121-B.ach,1,2026-11-22T09:00:01Z\n"
                  "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,1,1000\n");
    look();
    assert_odd("OTHER_FILE", 1);
    assert_count("rail_event", 0);
}

// --- Returns ---------------------------------------------------------------------------------------------------------

// Each form of a return file in real banks' use is applied, without an exception.
static void test_returns__as_banks_have_it__booked_by_amount(void **state) {
    (void)state;
    const bank_file FORMS[] = {
        {.line_end = "\n"},   {.line_end = "\r\n"},          {.line_end = ""},
        {.cut_blanks = true}, {.extra_blanks = 2},           {.no_final_line_end = true},
        {.unpadded = true},   {.destination = "0190000000"},
    };
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        rail_fixture_clear();
        send_entries(3, 5);
        bank_entry first[] = {return_of(3, "R03"), return_of(1, "R02")};
        bank_entry second[] = {return_of(5, "R16")};
        first[0].own_trace = "231380100000009"; // traces of the returning bank descend
        first[1].own_trace = "231380100000004";
        second[0].name = "";
        second[0].transaction_code = 22;
        const bank_batch batches[] = {
            {.company_id = "1800000003", .entries = first, .n = 2, .number = 7, .effective = ""},
            {.company_id = "1800000003",
             .sec = "WEB",
             .entries = second,
             .n = 1,
             .number = 3,
             .status = '2',
             .description = "",
             .effective = "000000"},
        };
        bank_file f = FORMS[i];
        f.batches = batches;
        f.n = 2;
        put_file("RTN.1130.0007", &f);
        look();
        assert_count("rail_event WHERE kind = 4 AND book_id = 3 AND attempt = 1", 3);
        assert_count("rail_event WHERE rail_reference = '121042880000003' AND code = 'R03'"
                     " AND amount = 3000 AND currency = 'USD'"
                     " AND detail = 'no account, or unable to locate it'",
                     1);
        assert_count("inbox_exception", 0);
        assert_count("payment_case", 0);
        assert_count("inbox WHERE state = 2 AND about = 'returns' AND events = 3", 1);
        unlink(sftp_server_path(server, "root/outbox/done/RTN.1130.0007"));
    }
}

// A trace alone identifies nothing.
static void test_returns__one_field_of_another_entry__exception_and_case(void **state) {
    (void)state;
    send_entries(3, 9);
    send_entries(4, 9);
    bank_entry e[] = {return_of(1, "R03"), return_of(2, "R03"), return_of(3, "R03"),
                      return_of(4, "R03"), return_of(5, "R03"), return_of(6, "R03"),
                      return_of(7, "R03"), return_of(8, "R03")};
    e[0].amount = 1001;             // more than the sent amount
    e[1].rdfi = "02100002";         // another bank
    e[2].individual_id = ids[4];    // another recipient
    e[3].account = "99999999";      // another account
    e[4].trace = "999999990000005"; // another ODFI
    e[5].amount = 0;
    e[6].account = "";                      // not given: nothing to compare
    e[7].account = e[7].individual_id = ""; // a trace is easy to guess
    put_returns("r", "1800000003", e, 8);
    look();
    assert_count("rail_event", 1);
    assert_count("rail_event WHERE rail_reference = '121042880000007' AND book_id = 3", 1);
    assert_odd("OTHER_AMOUNT", 2);
    assert_odd("OTHER_BANK", 1);
    assert_odd("NOT_NAMED", 1);
    assert_odd("OTHER_RECIPIENT", 1);
    assert_odd("OTHER_ACCOUNT", 1);
    assert_odd("UNKNOWN_ENTRY", 1);
    assert_count("payment_case WHERE kind = 'INBOX_LINE' AND book_id = 3", 7);
    assert_count("payment_case WHERE code = 'OTHER_AMOUNT' AND amount = 1001", 1);
}

// One file for several companies of a customer: each line goes to its company's book, whatever the traces.
static void test_returns__several_companies__each_to_its_book(void **state) {
    (void)state;
    send_entries(3, 2);
    send_entries(4, 2);
    const bank_entry one = return_of(1, "R03");
    const bank_batch batches[] = {
        {.company_id = "1800000004", .entries = &one, .n = 1},
        {.company_id = "1800000003", .entries = &one, .n = 1},
        {.company_id = "1800000009", .entries = &one, .n = 1}, // it has sent nothing
        {.company_id = "9999999999", .entries = &one, .n = 1}, // not ours
    };
    const bank_file f = {.batches = batches, .n = 4};
    put_file("r", &f);
    look();
    assert_count("rail_event WHERE kind = 4 AND book_id = 3", 1);
    assert_count("rail_event WHERE kind = 4 AND book_id = 4", 1);
    assert_odd("UNKNOWN_ENTRY", 1);
    assert_odd("UNKNOWN_COMPANY", 1);
    assert_count("payment_case WHERE book_id = 0 AND code = 'UNKNOWN_COMPANY' AND amount = 1000",
                 1);
    assert_int_equal(atomic_load(&woken), 2);
}

// Other lines among the returns delay none of them.
static void test_returns__beside_changes_disputes_and_strangers__booked(void **state) {
    (void)state;
    send_entries(3, 9);
    bank_entry e[] = {return_of(1, "R03"), return_of(2, "C01"), return_of(3, "R61"),
                      return_of(4, "R71"), return_of(5, "RXX"), {.amount = 7},
                      return_of(6, "R02"), return_of(7, "R01"), return_of(8, "C07")};
    e[1].amount = 0;
    e[1].info = "1918171614";
    e[5].transaction_code = 22;
    e[7].transaction_code = 26;
    e[8].amount = 0;
    e[8].info = "0210000211234567890123456732";
    put_returns("r", "1800000003", e, 9);
    look();
    assert_count("rail_event WHERE kind = 4", 2);
    assert_odd("CHANGE", 2);
    assert_count("inbox_exception WHERE reason = 'CHANGE' AND line = 5 AND payout_id IS NOT NULL"
                 " AND reason_text LIKE '%account number ending in 1614%'",
                 1);
    assert_count("inbox_exception WHERE reason_text LIKE '%routing number 021000021%' AND"
                 " reason_text LIKE '%ending in 4567%' AND reason_text LIKE '%code 32%'",
                 1);
    assert_count("inbox_exception WHERE reason_text LIKE '%1918171614%'", 0);
    assert_odd("DISPUTE", 2);
    assert_odd("UNREADABLE_LINE", 1);
    assert_odd("NOT_ABOUT_OURS", 1);
    assert_odd("RETURN_OF_DEBIT", 1);
    assert_count("payment_case WHERE kind = 'INBOX_NOTICE'", 2);
    assert_count("payment_case WHERE kind = 'INBOX_LINE'", 5);
}

static void test_returns__the_same_twice__counts_once(void **state) {
    (void)state;
    send_entries(3, 3);
    bank_entry e[] = {return_of(1, "R03"), return_of(1, "R03"), return_of(2, "R02"),
                      return_of(3, "R02"), return_of(3, "R02"), return_of(3, "R02")};
    e[3].amount = 1000; // parts of one amount, and one part too many
    e[4].amount = 2000;
    e[5].amount = 500;
    put_returns("r1", "1800000003", e, 6);
    look();
    assert_count("rail_event WHERE kind = 4", 4);
    assert_count("rail_event WHERE rail_reference = '121042880000003' AND amount IN (1000, 2000)",
                 2);
    assert_odd("DOUBLED", 2);
    assert_count("payment_case WHERE code = 'DOUBLED'", 2);
    // The same words in another file, which has other line ends.
    const bank_batch b = {.company_id = "1800000003", .entries = e, .n = 1};
    const bank_file f = {.batches = &b, .n = 1, .line_end = "\r\n"};
    put_file("r2", &f);
    look();
    assert_count("rail_event WHERE kind = 4", 4);
    assert_odd("DOUBLED", 3);
    // The same file again.
    put_file("r3", &f);
    look();
    assert_count("inbox", 2);
    assert_count("inbox WHERE seen = 2", 1);
    assert_odd("DOUBLED", 3);
}

static void test_returns__unknown_code_or_late__booked_with_a_case(void **state) {
    (void)state;
    send_entries(3, 2);
    fixture_sql("UPDATE submission SET created_at = '2026-09-01T00:00:00Z'", NULL, 0);
    const bank_entry e[] = {return_of(1, "R93"), return_of(2, "R02")};
    put_returns("r", "1800000003", e, 2);
    look();
    assert_count("rail_event WHERE kind = 4", 2);
    assert_count(
        "rail_event WHERE code = 'R93' AND detail = 'return, for a reason that is not known here'",
        1);
    assert_count("payment_case WHERE code = 'LATE_RETURN' AND book_id = 3 AND amount = 2000", 1);
    assert_count("payment_case WHERE code = 'UNKNOWN_CODE' AND text LIKE '%late%'", 1);
    assert_count("inbox_exception", 0);
}

// --- Files as a whole ------------------------------------------------------------------------------------------------

static void test_file__totals_do_not_fit__refused_with_a_case(void **state) {
    (void)state;
    static const struct {
        const char *content, *why;
    } CASES[] = {
        {"x", "no form"},
        {"{\"file\":\"a\",\"file\":\"b\"}", "not JSON"},
        {"{\"file\":\"1900000003-20261121-A.ach\"}", "status"},
        {"H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
         "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\n",
         "trailer is missing"},
        {"H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
         "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,2,1000\n",
         "count or sum"},
        {"H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
         "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,1,1001\n",
         "count or sum"},
        {"H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
         "D,121042880000001,x,SETTLED,2026-11-22T09:00:01Z\nT,1,1000\n",
         "line 2"},
        {"H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\nT,0,0\nmore\n", "nothing may follow"},
        {"101 1900000001", "too early"},
    };
    send_entries(3, 1);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char name[32], condition[256];
        snprintf(name, sizeof name, "f%zu", i);
        put_text(name, CASES[i].content);
        look();
        assert_true(is_there("outbox/done", name));
        snprintf(condition, sizeof condition,
                 "inbox WHERE name = '%s' AND state = 3 AND reason_text LIKE '%%%s%%'", name,
                 CASES[i].why);
        assert_count(condition, 1);
    }
    const int64_t n = sizeof CASES / sizeof CASES[0];
    assert_count("inbox_exception WHERE line = 0 AND state = 1", n);
    assert_count("payment_case WHERE kind = 'INBOX_FILE' AND book_id = 0", n);
    assert_count("rail_event", 0);
}

static void test_file__empty_or_without_batches__nothing_to_complain_of(void **state) {
    (void)state;
    const bank_file none = {0};
    const ach_rail *r = ach->self;
    put_text("empty", "");
    put_text("blank", "\r\n  \n");
    put_file("none", &none);
    put_text("settled.nothing", "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\nT,0,0\n");
    look();
    assert_count("inbox WHERE state = 2 AND exceptions = 0 AND events = 0", 2);
    // the writer may not have finished
    assert_true(is_there("outbox", "empty") && is_there("outbox", "blank"));
    for (size_t i = 0; i < r->n_seen; i++) {
        r->seen[i].since_ms -= ACH_EMPTY_STAYS_MS;
    }
    look_once();
    assert_count("inbox WHERE state = 2 AND exceptions = 0 AND events = 0", 4);
    assert_count("payment_case", 0);
    assert_true(is_there("outbox/done", "empty") && is_there("outbox/done", "none"));
}

// A file is judged after two looks with the same size and time.
static void test_file__still_growing__is_left_alone(void **state) {
    (void)state;
    send_entries(3, 2);
    const bank_entry e[] = {return_of(1, "R03"), return_of(2, "R02")};
    put_returns("r", "1800000003", e, 2);
    const str whole = strbuf_str(&text);
    for (size_t part = 1; part < 8; part++) {
        put_bytes("r", (str){whole.ptr, whole.len * part / 8});
        look_once();
        assert_true(is_there("outbox", "r"));
    }
    assert_count("inbox", 0);
    put_bytes("r", whole);
    look_once();
    assert_true(is_there("outbox", "r"));
    look_once();
    assert_false(is_there("outbox", "r"));
    assert_count("rail_event WHERE kind = 4", 2);
    assert_count("inbox_exception", 0);
}

// A half file that stands still may have a slow writer: it is no file yet, and delays no other.
static void test_file__half_and_quiet_for_a_while__waits(void **state) {
    (void)state;
    ach_rail_destroy(ach);
    ach = open_rail(3600 * 1000);
    send_entries(3, 2);
    const bank_entry e[] = {return_of(1, "R03"), return_of(2, "R02")};
    put_returns("r", "1800000003", e, 2);
    const str whole = strbuf_str(&text);
    put_bytes("r", (str){whole.ptr, 300});
    put_text("s", "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
                  "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,1,1000\n");
    for (int i = 0; i < 5; i++) {
        look();
    }
    assert_true(is_there("outbox", "r"));
    assert_count("inbox", 1);
    assert_count("rail_event WHERE kind = 3", 1);
    put_bytes("r", whole);
    look();
    assert_count("rail_event WHERE kind = 4", 2);
    assert_count("payment_case", 0);
}

static void test_file__temporary_name__is_left_alone(void **state) {
    (void)state;
    static const char *const NAMES[] = {"half.tmp", "r.ach.part", "r.filepart", ".hidden"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        put_text(NAMES[i], "not yet");
    }
    look();
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        assert_true(is_there("outbox", NAMES[i]));
    }
    assert_count("inbox", 0);
}

// The first version kept files by name. A file that it had no time to put away is not applied twice.
static void test_file__applied_by_the_first_version__known(void **state) {
    (void)state;
    send_entries(3, 1);
    static const char REPORT[] = "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
                                 "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,1,1000\n";
    fixture_sql("INSERT INTO inbound_file (book_id, name, sha256, records, content_sealed,"
                " received_at) VALUES (3, '1900000003-20261121-A.ach.settle.1', sha256('"
                "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
                "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,1,1000\n'::bytea), 1, '',"
                " now())",
                NULL, 0);
    put_text("1900000003-20261121-A.ach.settle.1", REPORT);
    look();
    assert_count("rail_event", 0);
    assert_count("inbox WHERE state = 2 AND about = 'applied before'", 1);
    // The same name with other content is a new file.
    put_text("1900000003-20261121-A.ach.settle.1",
             "H,1900000003-20261121-A.ach,2,2026-11-22T09:00:01Z\n"
             "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,1,1000\n");
    look();
    assert_count("rail_event", 1);
}

// --- Recording and applying ------------------------------------------------------------------------------------------

static void test_applying__fails_midway__nothing_then_all(void **state) {
    (void)state;
    send_entries(3, 2);
    const bank_entry e[] = {return_of(1, "R03"), return_of(2, "C01")};
    put_returns("r", "1800000003", e, 2);
    atomic_store(&rail_fixture_events_fail, true);
    err failed = {0};
    look_once();
    assert_true(ach_inbound_poll(ach->self, &failed));
    assert_string_equal(failed.reason, "TEST");
    assert_count("rail_event", 0);
    assert_count("inbox_exception", 0);
    assert_count("payment_case", 0);
    assert_count("inbox WHERE state = 1 AND tries = 1", 1); // recorded, and put away
    assert_true(is_there("outbox/done", "r"));
    atomic_store(&rail_fixture_events_fail, false);
    look_once();
    assert_count("rail_event", 1);
    assert_count("inbox_exception", 1);
    assert_count("inbox WHERE state = 2", 1);
}

// An item that cannot be applied delays no other, and in the end a person sees it.
static void test_applying__fails_again_and_again__a_case(void **state) {
    (void)state;
    send_entries(3, 2);
    const bank_entry e[] = {return_of(1, "R03")};
    put_returns("r", "1800000003", e, 1);
    atomic_store(&rail_fixture_events_fail, true);
    look();
    for (int i = 0; i < INBOX_TRIES_MAX; i++) {
        err failed = {0};
        // the failure of one item is not the bank's
        assert_true(ach_inbound_poll(ach->self, &failed));
    }
    assert_count("inbox WHERE state = 3 AND reason = 'NOT_APPLIED'", 1);
    assert_count("payment_case WHERE kind = 'INBOX_FILE' AND code = 'NOT_APPLIED'", 1);
    atomic_store(&rail_fixture_events_fail, false);
    put_text("s", "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
                  "D,121042880000002,2000,SETTLED,2026-11-22T09:00:01Z\nT,1,2000\n");
    look();
    assert_count("rail_event WHERE kind = 3", 1);
}

// Killed between recording and applying: the next start applies it; a repeat does no harm.
static void test_recorded_and_not_applied__applied_at_the_next_look(void **state) {
    (void)state;
    send_entries(3, 2);
    const bank_entry e[] = {return_of(1, "R03"), return_of(2, "R02")};
    const bank_batch b = {.company_id = "1800000003", .entries = e, .n = 2};
    const bank_file f = {.batches = &b, .n = 1};
    strbuf_clear(&text);
    bank_file_write(&f, &text);
    const inbox_raw raw = {
        .connection = RAIL_ACH, .kind = INBOX_FILE, .name = STR("r"), .bytes = strbuf_str(&text)};
    inbox_ref ref, again;
    err failed = {0};
    assert_true(inbox_record(box, &raw, &ref, &failed));
    assert_false(ref.repeated);
    assert_true(inbox_record(box, &raw, &again, &failed));
    assert_true(again.repeated && uuid_eq(again.inbox_id, ref.inbox_id));
    assert_count("rail_event", 0);
    look_once();
    assert_count("rail_event", 2);
    // As after a lost last transaction: the events exist already, and do not count as repeats.
    fixture_sql("UPDATE inbox SET state = 1", NULL, 0);
    look_once();
    assert_count("rail_event", 2);
    assert_count("inbox_exception", 0);
    assert_count("inbox WHERE state = 2 AND events = 2", 1);
    assert_count("inbox WHERE position('12345678'::bytea IN content_sealed) > 0", 0);
}

static void test_thread__file_arrives__applied_and_woken(void **state) {
    (void)state;
    send_entries(3, 1);
    err e = {0};
    assert_true(ach_rail_start_inbound(ach, &e));
    put_text("s", "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
                  "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,1,1000\n");
    for (int i = 0; i < 500 && atomic_load(&woken) == 0; i++) {
        rail_fixture_nap_ms(20);
    }
    assert_int_equal(atomic_load(&woken), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_settlement__as_banks_have_it__events_once),
        TEST(test_NO_DOUBLE_settlement__told_again_by_another_report__counts_once),
        TEST(test_NO_DOUBLE_settlement__said_at_the_same_moment__counts_once),
        TEST(test_settlement__known_from_the_version_before__counts_once),
        TEST(test_settlement__odd_lines__the_others_count),
        TEST(test_settlement__of_another_file__exception),
        TEST(test_returns__as_banks_have_it__booked_by_amount),
        TEST(test_returns__one_field_of_another_entry__exception_and_case),
        TEST(test_returns__several_companies__each_to_its_book),
        TEST(test_returns__beside_changes_disputes_and_strangers__booked),
        TEST(test_returns__the_same_twice__counts_once),
        TEST(test_returns__unknown_code_or_late__booked_with_a_case),
        TEST(test_file__totals_do_not_fit__refused_with_a_case),
        TEST(test_file__empty_or_without_batches__nothing_to_complain_of),
        TEST(test_file__still_growing__is_left_alone),
        TEST(test_file__half_and_quiet_for_a_while__waits),
        TEST(test_file__temporary_name__is_left_alone),
        TEST(test_file__applied_by_the_first_version__known),
        TEST(test_applying__fails_midway__nothing_then_all),
        TEST(test_applying__fails_again_and_again__a_case),
        TEST(test_recorded_and_not_applied__applied_at_the_next_look),
        TEST(test_thread__file_arrives__applied_and_woken),
    };
    return cmocka_run_group_tests(tests, ach_world_begin, ach_world_end);
}
