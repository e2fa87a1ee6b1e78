// Banks with unusual habits: how they list, write and time their files, and which other words their reports have.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "testing/ach_inbound_test_world.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"

static const char *path_of(const char *name) {
    char path[400];
    (void)snprintf(path, sizeof path, "root/%s", name);
    return sftp_server_path(server, path);
}

// --- Listing ---------------------------------------------------------------------------------------------------------

// Promise HEARD: a bank may deliver links to a separate store.
static void test_HEARD_outbox__link_to_a_file__taken(void **state) {
    (void)state;
    send_entries(3, 3);
    const bank_entry e = return_of(1, "R03");
    put_returns("stored", "1800000003", &e, 1);
    assert_int_equal(rename(path_of("outbox/stored"), path_of("stored")), 0);
    (void)unlink(path_of("outbox/returns.ach"));
    assert_int_equal(symlink("../stored", path_of("outbox/returns.ach")), 0);
    (void)unlink(path_of("outbox/broken"));
    assert_int_equal(symlink("../nowhere", path_of("outbox/broken")), 0);
    (void)unlink(path_of("outbox/folder"));
    assert_int_equal(symlink("../inbox", path_of("outbox/folder")), 0);
    look();
    assert_count("rail_event WHERE kind = 4", 1);
    (void)unlink(path_of("outbox/broken"));
    (void)unlink(path_of("outbox/folder"));
    (void)unlink(path_of("outbox/done/returns.ach"));
}

// A name in capitals may also be unfinished.
static void test_outbox__unfinished_in_capitals__waits(void **state) {
    (void)state;
    put_text("RETURNS.ACH.TMP", "");
    put_text("RETURNS.PART", "");
    look();
    assert_count("inbox", 0);
    assert_true(is_there("outbox", "RETURNS.ACH.TMP") && is_there("outbox", "RETURNS.PART"));
}

// --- Writing ---------------------------------------------------------------------------------------------------------

// The name comes first, and the content later. A file is never read again after it was put away, so an empty file is not put away.
static void test_NO_LOSS_outbox__empty_and_then_written__taken(void **state) {
    (void)state;
    send_entries(3, 3);
    put_text("r", "");
    look();
    assert_true(is_there("outbox", "r"));
    assert_count("inbox", 0);
    assert_count("payment_case", 0);
    const bank_entry e = return_of(1, "R03");
    put_returns("r", "1800000003", &e, 1);
    look();
    assert_count("rail_event WHERE kind = 4", 1);
    assert_true(is_there("outbox/done", "r"));
}

// --- Settlement reports ------------------------------------------------------------------------------------------------

// A correction takes an earlier line back. A person must look at it; the other lines are settled.
static void test_settlement__negative_line__the_others_count(void **state) {
    (void)state;
    send_entries(3, 3);
    put_text("s", "H,1900000003-20261121-A.ach,1,2026-11-22T09:00:01Z\n"
                  "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\n"
                  "D,121042880000002,-2000,SETTLED,2026-11-22T09:00:01Z\n"
                  "D,121042880000003,3000,REVERSED,2026-11-22T09:00:01Z\n"
                  "T,3,2000\n");
    look();
    assert_count("inbox WHERE state = 2", 1);
    assert_count("rail_event WHERE kind = 3 AND amount = 1000", 1);
    assert_count("rail_event", 1);
    assert_odd("NEGATIVE_AMOUNT", 1);
    assert_odd("UNKNOWN_STATUS", 1);
    // Both name their payout, in its book.
    assert_count("inbox_exception WHERE payout_id IS NOT NULL AND about_book_id = 3", 2);
    assert_count("payment_case WHERE kind = 'INBOX_LINE' AND book_id = 3", 2);
}

// --- Acknowledgements --------------------------------------------------------------------------------------------------

static void put_ack_at(const char *name, const char *at, const char *more) {
    char ack[512];
    (void)snprintf(ack, sizeof ack,
                   "{\"file\":\"" FILE_3 "\",\"status\":\"accepted\",\"entries\":3,\"total\":6000,"
                   "\"at\":\"%s\"%s}",
                   at, more);
    put_text(name, ack);
}

// The bank's clock shows New York's time and calls it Greenwich's. Only this file has the name, so the time is no objection.
static void test_ack__time_of_another_zone__counts(void **state) {
    (void)state;
    send_entries(3, 3); // made at 09:00
    put_ack_at("a", "2026-11-21T04:00:30Z", "");
    look();
    assert_odd("OLDER_THAN_FILE", 1); // another file may have had this name
    static const char *const OWN[] = {"substr(submission_id::text, 25, 12)",
                                      "substr(encode(sha256, 'hex'), 1, 16)"};
    for (size_t i = 0; i < sizeof OWN / sizeof OWN[0]; i++) {
        char sql[512], name[80], ack[300], as[8];
        (void)snprintf(sql, sizeof sql,
                       "UPDATE submission SET state = 3, name = 'x-' || %s || '.ach'; UPDATE "
                       "submission_directory d SET name = s.name FROM submission s WHERE "
                       "s.submission_id = d.submission_id",
                       OWN[i]);
        fixture_sql(sql, NULL, 0);
        fixture_sql("SELECT name FROM submission", name, sizeof name);
        (void)snprintf(ack, sizeof ack,
                       "{\"file\":\"%s\",\"status\":\"accepted\",\"entries\":3,\"total\":6000,"
                       "\"at\":\"2026-11-21T04:00:30Z\"}",
                       name);
        (void)snprintf(as, sizeof as, "own%zu", i);
        put_text(as, ack);
        look();
        assert_count("submission WHERE state = 4", 1);
    }
    assert_count("inbox_exception", 1);
}

static void test_ack__trace_as_a_number__as_the_text(void **state) {
    (void)state;
    send_entries(3, 3);
    put_ack_at("a", "2026-11-21T09:00:30Z",
               ",\"refused\":[{\"trace\":121042880000002,\"code\":\"R03\"}]");
    look();
    assert_count("submission WHERE state = 4", 1);
    assert_count("rail_event WHERE kind = 2 AND code = 'R03'", 1);
}

// An entry that is named twice is refused once, and the rest of the file counts it once.
static void test_ack__entry_named_twice__refused_once(void **state) {
    (void)state;
    static const char TWICE[] = "\"refused\":[{\"trace\":\"121042880000002\",\"code\":\"R03\"},"
                                "{\"trace\":\"121042880000002\",\"code\":\"R04\"}]";
    char ack[512];
    send_entries(3, 3);
    (void)snprintf(ack, sizeof ack,
                   "{\"file\":\"" FILE_3 "\",\"status\":\"accepted\",\"entries\":2,\"total\":4000,"
                   "\"at\":\"2026-11-21T09:00:30Z\",%s}",
                   TWICE);
    put_text("a", ack);
    look();
    assert_count("submission WHERE state = 4", 1);
    assert_count("rail_event WHERE kind = 2", 1);
    assert_count("inbox_exception", 0);
}

// Promise NO-LOSS: with two reasons for one entry, one of them unlisted, the entry may be paid. Its money is not given back.
static void test_NO_LOSS_ack__entry_refused_for_two_reasons__one_not_listed__waits(void **state) {
    (void)state;
    send_entries(3, 3);
    put_ack_at("a", "2026-11-21T09:00:30Z",
               ",\"refused\":[{\"trace\":\"121042880000002\",\"code\":\"R03\"},"
               "{\"trace\":\"121042880000002\",\"code\":\"DUP\"},"
               "{\"trace\":\"121042880000003\",\"code\":\"R03\"}]");
    look();
    assert_count("submission WHERE state = 4", 1);
    assert_count("rail_event WHERE kind = 2", 1); // of the third entry
    assert_odd("REFUSED_ENTRY", 1);
    assert_count("rail_event AS v JOIN submission_item AS i USING (book_id, payout_id) WHERE "
                 "v.code = 'REFUSED_UNSURE' AND v.detail = 'DUP' AND i.number = 2",
                 1); // which holds it
}

// A routing number is closed: very many entries of one file are refused at once, each by its trace.
static void test_ack__refuses_a_thousand__each_fails(void **state) {
    (void)state;
    enum { N = 1000 };
    send_entries(3, N);
    strbuf_clear(&text);
    strbuf_add_c(&text, "{\"file\":\"" FILE_3 "\",\"status\":\"accepted\",\"entries\":1000,"
                        "\"total\":500500000,\"at\":\"2026-11-21T09:00:30Z\",\"refused\":[");
    for (int i = 1; i <= N; i++) {
        strbuf_printf(&text,
                      "%s{\"trace\":\"12104288%07d\",\"code\":\"R03\",\"reason\":\"no such %s\"}",
                      i > 1 ? "," : "", i, "account at this bank, or none that takes entries");
    }
    strbuf_add_c(&text, "]}");
    assert_true(text.len > 64 * 1024);
    put_bytes("a", strbuf_str(&text));
    look();
    assert_count("submission WHERE state = 4", 1);
    assert_count("rail_event WHERE kind = 2 AND code = 'R03'", N);
}

// --- Names and times -----------------------------------------------------------------------------------------------------

// The name that prepare makes by the default pattern.
static void name_by_pattern(char name[80]) {
    fixture_sql("UPDATE submission SET state = 3, name = '1900000003-20261121-A-' ||"
                " substr(submission_id::text, 25, 12) || '.ach'; UPDATE submission_directory d"
                " SET name = s.name FROM submission s WHERE s.submission_id = d.submission_id",
                NULL, 0);
    fixture_sql("SELECT name FROM submission", name, 80);
}

// A mainframe writes only capitals, and some banks name the folder too.
static void test_HEARD_names__in_capitals_or_with_a_folder__are_ours(void **state) {
    (void)state;
    static const char *const BEFORE[] = {"", "/inbox/", "INBOX\\\\", " "};
    char name[80], as[100], file[400];
    for (size_t i = 0; i < sizeof BEFORE / sizeof BEFORE[0]; i++) {
        rail_fixture_clear();
        send_entries(3, 3);
        fixture_sql("UPDATE submission SET submission_id = '01930000-0000-7000-9000-0000abcdef03';"
                    "UPDATE submission_directory SET submission_id ="
                    " '01930000-0000-7000-9000-0000abcdef03'; UPDATE submission_item SET"
                    " submission_id = '01930000-0000-7000-9000-0000abcdef03'",
                    NULL, 0);
        name_by_pattern(name);
        for (char *c = name; *c != '\0'; c++) {
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
        }
        (void)snprintf(as, sizeof as, "%s%s%s", BEFORE[i], name, i == 3 ? " " : "");
        (void)snprintf(file, sizeof file,
                       "{\"file\":\"%s\",\"status\":\"ACCEPTED\",\"entries\":3,\"total\":6000,"
                       "\"at\":\"2026-11-21T09:00:30Z\"}",
                       as);
        put_text("a", file);
        look();
        assert_count("submission WHERE state = 4", 1);
        (void)snprintf(file, sizeof file,
                       "H,%s,1,2026-11-22T09:00:01Z\n"
                       "D,121042880000001,1000,SETTLED,2026-11-22T09:00:01Z\nT,1,1000\n",
                       name);
        put_text("s", file);
        look();
        assert_count("rail_event WHERE kind = 3 AND amount = 1000", 1);
        assert_count("inbox_exception", 0);
    }
    // A name that only looks similar is not ours.
    put_ack_at("other", "2026-11-21T09:00:30Z", "");
    look();
    assert_odd("UNKNOWN_FILE", 1);
}

// A bank that keeps traces as numbers drops their leading zero.
static void test_HEARD_settlement__trace_without_its_zero__counts(void **state) {
    (void)state;
    ach_rail *r = ach->self;
    send_entries(3, 3);
    r->settings.odfi_routing = "02104288";
    put_text("s", "H," FILE_3 ",1,2026-11-22T09:00:01Z\n"
                  "D,21042880000001,1000,Settled,2026-11-22T09:00:01Z\n"
                  "D,021042880000002,2000,SETTLED,2026-11-22T09:00:01Z\n"
                  "D,99104288000003,3000,SETTLED,2026-11-22T09:00:01Z\n" // an account, perhaps
                  "D,0,0,SETTLED,2026-11-22T09:00:01Z\nT,4,6000\n");
    look();
    assert_count("rail_event WHERE kind = 3", 2);
    assert_count("rail_event WHERE rail_reference = '021042880000001' AND amount = 1000", 1);
    assert_odd("UNREADABLE_LINE", 2);
    assert_count("inbox_exception WHERE compared LIKE '%99104288%'", 0);
    r->settings.odfi_routing = "12104288";
}

// Line ends after a conversion from a mainframe's code.
static void test_returns__line_ends_of_a_mainframe__read(void **state) {
    (void)state;
    static const char *const ENDS[] = {"\x85", "\x15", "\xc2\x85"};
    for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++) {
        rail_fixture_clear();
        send_entries(3, 3);
        const bank_entry e = return_of(1, "R03");
        const bank_batch b = {.company_id = "1800000003", .entries = &e, .n = 1};
        const bank_file f = {.batches = &b, .n = 1, .line_end = ENDS[i]};
        put_file("r", &f);
        look();
        assert_count("rail_event WHERE kind = 4 AND amount = 1000", 1);
        assert_count("inbox_exception", 0);
    }
}

// The exact time does not matter: an unreadable time becomes the time of arrival.
static void test_HEARD_times__of_another_form__the_rest_counts(void **state) {
    (void)state;
    static const char *const TIMES[] = {"2026-11-22 09:00:01",  "22.11.2026 09:00", "1795254067",
                                        "20261122T090001+0530", "yesterday",        ""};
    for (size_t i = 0; i < sizeof TIMES / sizeof TIMES[0]; i++) {
        char report[400];
        rail_fixture_clear();
        send_entries(3, 3);
        put_ack_at("a", TIMES[i], "");
        look();
        assert_count("submission WHERE state = 4", 1);
        (void)snprintf(report, sizeof report,
                       "H," FILE_3 ",1,%s\nD,121042880000001,1000,SETTLED,%s\nT,1,1000\n", TIMES[i],
                       TIMES[i]);
        put_text("s", report);
        look();
        assert_count("rail_event WHERE kind = 3 AND amount = 1000 AND at = '2026-11-24T09:00:00Z'",
                     1);
        assert_count("inbox_exception", 0);
    }
}

// --- Showing sent files --------------------------------------------------------------------------------------------------

static bool always_ours(void *arg, bool last_step) {
    (void)arg, (void)last_step;
    return true;
}

static bool never_ours(void *arg, bool last_step) {
    (void)arg, (void)last_step;
    return false;
}

static submission_look look_for(const char *name) {
    static const int64_t epochs[] = {1};
    const submission_channel channel = ach_channel(ach->self);
    arena *a = arena_create(1 << 20);
    const submission_file f = {.name = name, .sha256 = STR(""), .epochs = epochs, .n_epochs = 1};
    const submission_look found = channel.look(channel.self, &f, a);
    arena_destroy(a);
    return found;
}

static void write_in(const char *folder, const char *name, const char *content) {
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path_of(path), "w");
    assert_non_null(out);
    assert_true(fputs(content, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

// Promise NO-DOUBLE: the archive counts as complete, but renames files or is cleared. It does not show a file that the bank certainly has,
// so the absence of another file proves nothing.
static void test_NO_DOUBLE_archive__does_not_show_what_the_bank_has__proves_nothing(void **state) {
    (void)state;
    ach_rail *r = ach->self;
    send_entries(3, 1);
    fixture_sql("UPDATE submission SET state = 4, size = 5, sent_at = '2026-11-21T09:00:00Z'", NULL,
                0);
    assert_int_equal(look_for("lost.ach"), LOOK_ABSENT); // the archive is not declared complete
    r->settings.archive_complete = true;
    assert_int_equal(look_for("lost.ach"), LOOK_UNPROVEN);
    assert_count("payment_case WHERE code = 'ARCHIVE_NOT_COMPLETE' AND subject_id = 'ach/archive'",
                 1);
    write_in("archive", FILE_3 ".done", "bytes");
    assert_int_equal(look_for("lost.ach"), LOOK_UNPROVEN);
    write_in("archive", FILE_3, "other bytes");
    assert_int_equal(look_for("lost.ach"), LOOK_UNPROVEN);
    write_in("archive", FILE_3, "bytes");
    assert_int_equal(look_for("lost.ach"), LOOK_ABSENT);
    // The bank may list a file late, so a fresh file's absence is no argument against its archive.
    fixture_sql("UPDATE submission SET sent_at = '2026-11-24T08:59:59Z'", NULL, 0);
    fixture_sql("DELETE FROM payment_case", NULL, 0);
    r->settings.list_lag_ms = 60000;
    (void)unlink(path_of("archive/" FILE_3));
    (void)unlink(path_of("archive/" FILE_3 ".done"));
    assert_int_equal(look_for("lost.ach"), LOOK_UNPROVEN);
    assert_count("payment_case", 0);
}

// Promise NO-DOUBLE: a file that the bank certainly has shows whether its archive keeps names. Before the archive has one, absence proves
// nothing: a connection's first file may lie there under another name.
static void test_NO_DOUBLE_archive__nothing_in_it_that_the_bank_has__proves_nothing(void **state) {
    (void)state;
    ach_rail *r = ach->self;
    r->settings.archive_complete = true;
    assert_int_equal(look_for("lost.ach"), LOOK_UNPROVEN); // the very first file
    send_entries(3, 1);
    fixture_sql("UPDATE submission SET state = 6, size = 5", NULL, 0);
    assert_int_equal(look_for("lost.ach"), LOOK_UNPROVEN); // the other file's place is unknown, too
    fixture_sql("UPDATE submission SET state = 3, sent_at = '2026-11-21T09:00:00Z'", NULL, 0);
    write_in("inbox", FILE_3, "bytes");
    assert_int_equal(look_for("lost.ach"), LOOK_UNPROVEN); // it says nothing about the archive
    assert_count("payment_case", 0);
    // An older one, which the bank has put into its archive.
    send_entries(2, 1);
    fixture_sql("UPDATE submission SET state = 4, size = 7, sent_at = '2026-11-20T09:00:00Z'"
                " WHERE book_id = 2",
                NULL, 0);
    write_in("archive", "1900000002-20261121-A.ach.done", "earlier");
    assert_int_equal(look_for("lost.ach"), LOOK_UNPROVEN);
    assert_count("payment_case WHERE code = 'ARCHIVE_NOT_COMPLETE'", 1);
    write_in("archive", "1900000002-20261121-A.ach", "earlier");
    assert_int_equal(look_for("lost.ach"), LOOK_ABSENT);
    // A bank that copies the files that it takes.
    (void)unlink(path_of("archive/1900000002-20261121-A.ach"));
    write_in("archive", FILE_3, "bytes");
    assert_int_equal(look_for("lost.ach"), LOOK_ABSENT);
}

// A folder that may only be written to: the bank shows nothing. A name of our own belongs to no other file.
static void test_send__server_tells_nothing_of_files__sent(void **state) {
    (void)state;
    const submission_channel channel = ach_channel(ach->self);
    arena *a = arena_create(1 << 20);
    const submission_file f = {
        .name = "own-name.ach", .content = STR("whole"), .sha256 = STR(""), .epoch = 7};
    sftp_server_refuse(server, "stat,lstat,fstat");
    assert_int_equal(channel.look(channel.self, &f, a), LOOK_ABSENT);
    assert_int_equal(channel.send(channel.self, &f, always_ours, NULL), SENT_DONE);
    assert_true(is_there("inbox", "own-name.ach"));
    ach_rail *r = ach->self;
    r->settings.archive_complete = true; // then silence would prove that the bank has nothing
    assert_int_equal(channel.look(channel.self, &f, a), LOOK_FAILED);
    r->settings.archive_complete = false;
    r->settings.file_name = "{origin}-{date}-{modifier}.ach"; // the name may be another file's
    assert_int_equal(channel.look(channel.self, &f, a), LOOK_FAILED);
    sftp_server_refuse(server, "");
    (void)unlink(path_of("inbox/own-name.ach"));
    arena_destroy(a);
}

// A server without renames. An upload that breaks off is not repeated by itself: the bank may have taken the part, or the upload may go on.
static void test_NO_DOUBLE_send__server_without_rename__directly_and_once(void **state) {
    (void)state;
    enum { SIZE = 300000 };
    ach_rail *r = ach->self;
    const submission_channel channel = ach_channel(r);
    static const int64_t epochs[] = {7};
    static char content[SIZE];
    arena *a = arena_create(1 << 20);
    bool was_there = true;
    memset(content, '9', sizeof content);
    submission_file f = {.name = "direct.ach",
                         .content = {content, SIZE},
                         .size = SIZE,
                         .sha256 = STR(""),
                         .epoch = 7,
                         .epochs = epochs,
                         .n_epochs = 1};
    sftp_server_refuse(server, "rename,posix-rename");
    // the settings still want a rename
    assert_int_equal(channel.send(channel.self, &f, always_ours, NULL), SENT_UNKNOWN);
    r->settings.direct_upload = true;
    f.epoch = 8;
    assert_int_equal(channel.send(channel.self, &f, never_ours, NULL), SENT_FENCED);
    assert_false(is_there("inbox", "direct.ach"));
    assert_int_equal(channel.send(channel.self, &f, always_ours, NULL), SENT_DONE);
    assert_true(is_there("inbox", "direct.ach"));
    assert_true(channel.take_back(channel.self, &f, &was_there) && !was_there);
    (void)unlink(path_of("inbox/direct.ach"));
    (void)unlink(path_of("inbox/direct.ach.00000007.tmp"));
    sftp_server_cut_after(server, SIZE / 2);
    assert_int_equal(channel.send(channel.self, &f, always_ours, NULL), SENT_UNKNOWN);
    sftp_server_cut_after(server, -1);
    assert_true(is_there("inbox", "direct.ach")); // a part, which stays
    assert_int_equal(channel.look(channel.self, &f, a), LOOK_OTHER);
    sftp_server_refuse(server, "");
    (void)unlink(path_of("inbox/direct.ach"));
    arena_destroy(a);
}

// --- Sweeping ----------------------------------------------------------------------------------------------------------

// A server without times: an upload's age is unknown.
static void test_sweep__no_time_of_change__stays(void **state) {
    (void)state;
    send_entries(3, 1);
    char path[300];
    (void)snprintf(path, sizeof path, "%s", path_of("inbox/" FILE_3 ".0000000a.tmp"));
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fclose(out), 0);
    const struct timespec never[2] = {{0}, {0}};
    assert_int_equal(utimensat(AT_FDCWD, path, never, 0), 0);
    err e = {0};
    assert_true(ach_inbound_sweep(ach->self, &e));
    assert_int_equal(access(path, F_OK), 0);
    (void)unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_HEARD_outbox__link_to_a_file__taken),
        TEST(test_outbox__unfinished_in_capitals__waits),
        TEST(test_NO_LOSS_outbox__empty_and_then_written__taken),
        TEST(test_settlement__negative_line__the_others_count),
        TEST(test_ack__time_of_another_zone__counts),
        TEST(test_ack__trace_as_a_number__as_the_text),
        TEST(test_ack__entry_named_twice__refused_once),
        TEST(test_NO_LOSS_ack__entry_refused_for_two_reasons__one_not_listed__waits),
        TEST(test_ack__refuses_a_thousand__each_fails),
        TEST(test_HEARD_names__in_capitals_or_with_a_folder__are_ours),
        TEST(test_HEARD_settlement__trace_without_its_zero__counts),
        TEST(test_returns__line_ends_of_a_mainframe__read),
        TEST(test_HEARD_times__of_another_form__the_rest_counts),
        TEST(test_NO_DOUBLE_archive__does_not_show_what_the_bank_has__proves_nothing),
        TEST(test_NO_DOUBLE_archive__nothing_in_it_that_the_bank_has__proves_nothing),
        TEST(test_send__server_tells_nothing_of_files__sent),
        TEST(test_NO_DOUBLE_send__server_without_rename__directly_and_once),
        TEST(test_sweep__no_time_of_change__stays),
    };
    return cmocka_run_group_tests(tests, ach_world_begin, ach_world_end);
}
