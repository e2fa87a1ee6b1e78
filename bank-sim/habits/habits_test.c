// The table of habits, and the file that the bank shares with its file sessions.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
// cmocka wants the four above first.
#include <cmocka.h>

#include "habits/habits.h"

#define KIND(name, kind, least, most, help) .name = (kind),
static const habits_config KIND_BANK = {HABITS(KIND) HABITS_SFTP(KIND)};

static void test_habits_config_set__bad_values__are_refused_by_name(void **state) {
    (void)state;
    habits_config c = KIND_BANK;
    err e = {0};
    assert_true(habits_config_set(&c, "archive", 0, &e));
    assert_int_equal(c.archive, 0);
    assert_true(habits_config_set(&c, "settle_days", 2, &e));
    assert_int_equal(c.settle_days, 2);
    assert_false(habits_config_set(&c, "archive", 2, &e));
    assert_string_equal(e.field, "archive");
    assert_false(habits_config_set(&c, "grow_ms", -1, &e));
    assert_false(habits_config_set(&c, "kindness", 1, &e));
    assert_string_equal(e.reason, "UNKNOWN_HABIT");
}

static void test_habits_config_json__kind_bank__each_field_once(void **state) {
    (void)state;
    strbuf out;
    strbuf_init(&out, 4096);
    habits_config_json(&KIND_BANK, &out);
    assert_non_null(strstr(out.ptr, "{\"archive\":1,\"archive_files\":0,"));
    assert_non_null(strstr(out.ptr, ",\"sftp_packet_max\":0}"));
    strbuf_deinit(&out);
}

static void test_habits_replace__file_server_without_relay__is_refused(void **state) {
    (void)state;
    habits *h = habits_create(&KIND_BANK, NULL);
    habits_config c = KIND_BANK;
    err e = {0};
    c.sftp_slow_ms = 5;
    c.acks = 0;
    assert_false(habits_replace(h, &c, &e));
    assert_string_equal(e.reason, "NO_RELAY");
    assert_int_equal(habits_get(h).acks, 1); // nothing was set
    c.sftp_slow_ms = 0;
    err_clear(&e);
    assert_true(habits_replace(h, &c, &e));
    assert_int_equal(habits_get(h).acks, 0);
    habits_destroy(h);
}

static void test_habits_shared__a_session_takes_one__the_bank_sees_what_is_left(void **state) {
    (void)state;
    char path[] = "/tmp/habits-test-XXXXXX";
    err e = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)unlink(path);
    assert_null(habits_shared_map(path, false, &e)); // a session makes no file
    err_clear(&e);
    habits_shared *bank = habits_shared_map(path, true, &e);
    habits_shared *session = habits_shared_map(path, false, &e);
    assert_non_null(bank);
    assert_non_null(session);
    habits *h = habits_create(&KIND_BANK, bank);
    habits_config c = KIND_BANK;
    c.sftp_drop_writes = 2;
    assert_true(habits_replace(h, &c, &e));
    assert_true(habits_take(&session->sftp_drop_writes));
    assert_int_equal(habits_get(h).sftp_drop_writes, 1);
    assert_true(habits_take(&session->sftp_drop_writes));
    assert_false(habits_take(&session->sftp_drop_writes));
    assert_int_equal(habits_get(h).sftp_drop_writes, 0);
    habits_destroy(h);
    (void)unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_habits_config_set__bad_values__are_refused_by_name),
        cmocka_unit_test(test_habits_config_json__kind_bank__each_field_once),
        cmocka_unit_test(test_habits_replace__file_server_without_relay__is_refused),
        cmocka_unit_test(test_habits_shared__a_session_takes_one__the_bank_sees_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
