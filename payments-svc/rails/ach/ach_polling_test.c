// Looks into a bank's folder: the files are heard, whatever the bank refuses, and a failed look does not count as one.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "testing/ach_inbound_test_world.h"
#include "testing/fixture.h"

static int64_t downloaded(void) {
    return metric_value(metric_counter("ach_inbound_files_total",
                                       "connection=\"ach\",result=\"taken\"", "")) +
           metric_value(metric_counter("ach_inbound_files_total",
                                       "connection=\"ach\",result=\"repeated\"", ""));
}

static void poll_fails(const char *reason) {
    err e = {0};
    assert_false(ach_inbound_poll(ach->self, &e));
    assert_string_equal(e.reason, reason);
}

// A report that settles entry n of FILE_3.
static void put_settlement(const char *name, int n) {
    char report[256];
    (void)snprintf(report, sizeof report,
                   "H,%s,%d,2026-11-22T09:00:01Z\n"
                   "D,12104288000000%d,%d000,SETTLED,2026-11-22T09:00:01Z\nT,1,%d000\n",
                   FILE_3, n, n, n, n);
    put_text(name, report);
}

// Gives it a different time from the one that was seen.
static void make_older(const char *name) {
    char path[64];
    (void)snprintf(path, sizeof path, "root/outbox/%s", name);
    const struct timespec times[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    assert_int_equal(utimensat(AT_FDCWD, sftp_server_path(server, path), times, 0), 0);
}

// Many banks let customers only read: heard files stay in the folder, and are not fetched again and again.
static void test_HEARD__nothing_can_be_put_away__each_file_once(void **state) {
    (void)state;
    static const char *const REFUSED[] = {"mkdir", "rename", "mkdir,rename"};
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        (void)ach_world_teardown(state);
        (void)ach_world_setup(state);
        send_entries(3, 3);
        (void)rmdir(sftp_server_path(server, "root/outbox/bad"));
        sftp_server_refuse(server, REFUSED[i]);
        const int64_t before = downloaded();
        put_settlement("s1", 1);
        look();
        look();
        assert_count("rail_event WHERE kind = 3", 1);
        assert_int_equal(downloaded() - before, 1);
        put_settlement("s2", 2);
        look();
        look();
        assert_count("rail_event WHERE kind = 3", 2);
        assert_int_equal(downloaded() - before, 2);
        put_settlement("s1", 3); // new content under a known name
        make_older("s1");
        look();
        assert_count("rail_event WHERE kind = 3", 3);
        sftp_server_refuse(server, "");
    }
}

// A partial listing is no look: newer files may be in the rest.
static void test_HEARD__more_files_than_are_listed__is_no_look(void **state) {
    (void)state;
    ach_rail *r = ach->self;
    send_entries(3, 3);
    put_settlement("s1", 1);
    put_settlement("s2", 2);
    put_settlement("s3", 3);
    r->list_max = 2;
    poll_fails("TOO_MANY_FILES");
    poll_fails("TOO_MANY_FILES");
    assert_count("rail_event WHERE kind = 3", 2); // the listed files are heard
    look();                                       // they were put away, so the rest comes
    assert_count("rail_event WHERE kind = 3", 3);
}

// One look takes a limited amount, which is applied before the next look.
static void test_HEARD__thousands_of_files__some_at_each_look(void **state) {
    (void)state;
    enum { MANY = 2300 };
    ach_rail *r = ach->self;
    send_entries(3, 3);
    for (int i = 0; i < MANY; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "many-%04d", i);
        put_text(name, "H,nothing,1,2026-11-22T09:00:01Z\nT,0,0\n");
    }
    put_settlement("settled", 1);
    r->look_ms = INT64_MAX / 2; // the machine may be busy
    const int64_t before = downloaded();
    look_once();
    assert_int_equal(downloaded() - before, 0); // new files must first stand still
    for (int64_t taken = 0; taken < MANY + 1; taken = downloaded() - before) {
        look_once();
        assert_in_range(downloaded() - before - taken, 1, ACH_LOOK_FILES_MAX);
        assert_count("inbox WHERE state = 1", 0);
        assert_true(r->inbound_found); // so the next look comes at once
    }
    assert_count("rail_event WHERE kind = 3", 1);
}

static int64_t taken_by_one_look(void) {
    const int64_t before = downloaded();
    look_once();
    return downloaded() - before;
}

static void test_HEARD__a_look_ends_by_files_bytes_and_time(void **state) {
    (void)state;
    ach_rail *r = ach->self;
    send_entries(3, 3);
    put_settlement("s1", 1);
    put_settlement("s2", 2);
    put_settlement("s3", 3);
    look_once();
    assert_true(r->looked_to_the_end);
    r->look_ms = -1;
    assert_int_equal(taken_by_one_look(), 0);
    assert_false(r->looked_to_the_end); // so it is not noted as a look
    r->look_ms = ACH_LOOK_MS;
    r->look_bytes_max = 1;
    assert_int_equal(taken_by_one_look(), 1);
    assert_false(r->looked_to_the_end);
    r->look_bytes_max = ACH_LOOK_BYTES_MAX;
    r->look_files_max = 1;
    assert_int_equal(taken_by_one_look(), 1);
    assert_int_equal(taken_by_one_look(), 1);
    assert_true(r->looked_to_the_end);
    assert_count("rail_event WHERE kind = 3", 3);
}

// New files before it, however many, do not keep a file from its turn.
static void test_HEARD__new_files_before_an_old_one__it_has_its_turn(void **state) {
    (void)state;
    ach_rail *r = ach->self;
    send_entries(3, 1);
    r->look_files_max = 2;
    put_settlement("z", 1);
    for (int i = 0; i < 3; i++) {
        char name[2][16];
        for (int k = 0; k < 2; k++) {
            (void)snprintf(name[k], sizeof name[k], "%c%d", 'd' - i, k);
            put_text(name[k], "H,nothing,1,2026-11-22T09:00:01Z\nT,0,0\n");
        }
        look_once();
    }
    look_once();
    assert_count("rail_event WHERE kind = 3", 1);
}

// The database has the time of the last complete look, so that a case can tell when there was none.
static void test_SEEN__each_look_is_noted__and_a_failure_is_not(void **state) {
    (void)state;
    ach_rail *r = ach->self;
    fixture_sql("UPDATE connection SET looked_at = NULL", NULL, 0);
    sftp_server_refuse(server, "opendir");
    ach_inbound_look(r);
    assert_count("connection WHERE looked_at IS NOT NULL", 0);
    sftp_server_refuse(server, "");
    for (int i = 0; i < 100 && r->noted_ms == 0; i++) { // until the server has hung up, and is back
        ach_inbound_look(r);
    }
    assert_count("connection WHERE number = 1 AND looked_at = '2026-11-24T09:00:00Z'", 1);
    // An idle folder costs no transaction at each look.
    fixture_sql("UPDATE connection SET looked_at = NULL", NULL, 0);
    ach_inbound_look(r);
    assert_count("connection WHERE looked_at IS NOT NULL", 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_HEARD__nothing_can_be_put_away__each_file_once),
        TEST(test_HEARD__more_files_than_are_listed__is_no_look),
        TEST(test_HEARD__thousands_of_files__some_at_each_look),
        TEST(test_HEARD__a_look_ends_by_files_bytes_and_time),
        TEST(test_HEARD__new_files_before_an_old_one__it_has_its_turn),
        TEST(test_SEEN__each_look_is_noted__and_a_failure_is_not),
    };
    return cmocka_run_group_tests(tests, ach_world_begin, ach_world_end);
}
