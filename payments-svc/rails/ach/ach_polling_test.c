// Looking into a bank's folder: whatever the bank refuses, its files are heard, and a look that failed is not taken for one.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rails/ach/ach_inbound_test_world.h"
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

// Its time is another than the one that was seen.
static void make_older(const char *name) {
    char path[64];
    (void)snprintf(path, sizeof path, "root/outbox/%s", name);
    const struct timespec times[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    assert_int_equal(utimensat(AT_FDCWD, sftp_server_path(server, path), times, 0), 0);
}

// Many banks let their customers read and no more: what was heard stays in the folder, and is not fetched again and again.
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
        put_settlement("s1", 3); // another content under a name that was heard
        make_older("s1");
        look();
        assert_count("rail_event WHERE kind = 3", 3);
        sftp_server_refuse(server, "");
    }
}

// A folder of which only a part was listed was not looked through: newer files may be in the rest.
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
    assert_count("rail_event WHERE kind = 3", 2); // what was listed is heard
    look();                                       // it was put away, so the rest comes
    assert_count("rail_event WHERE kind = 3", 3);
}

// When the folder was last looked through is in the database, so that a case can tell that it was not.
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
        TEST(test_SEEN__each_look_is_noted__and_a_failure_is_not),
    };
    return cmocka_run_group_tests(tests, ach_world_begin, ach_world_end);
}
