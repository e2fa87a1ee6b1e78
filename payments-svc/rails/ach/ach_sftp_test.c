// The SFTP session against a real sshd.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "rails/ach/ach_sftp.h"
#include "testing/sftp_server.h"

static sftp_server *server;
static arena *mem;

static ach_sftp *open_with(const char *key, const char *host_key, int64_t timeout_ms) {
    const ach_sftp_options o = {
        .host = "127.0.0.1",
        .port = sftp_server_port(server),
        .user = sftp_server_user(server),
        .key_file = sftp_server_path(server, key),
        .host_key_file = sftp_server_path(server, host_key),
        .timeout_ms = timeout_ms,
    };
    err e = {0};
    ach_sftp *s = ach_sftp_create(&o, &e);
    assert_non_null(s);
    return s;
}

static ach_sftp *open_good(void) {
    return open_with("client_key", "host_key.pub", 10000);
}

static void test_write__then_list_read_rename_remove__as_told(void **state) {
    (void)state;
    enum { SIZE = 900000 };
    ach_sftp *s = open_good();
    err e = {0};
    bool exists = true;
    char *content = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        content[i] = (char)(i * 7 + i / 251);
    }
    assert_true(ach_sftp_exists(s, "inbox/a", &exists, &e) && !exists);
    bool begun = false;
    assert_true(ach_sftp_write(s, "inbox/a", (str){content, SIZE}, NULL, NULL, &begun, &e));
    assert_true(begun);
    assert_true(ach_sftp_exists(s, "inbox/a", &exists, &e) && exists);
    // never over an existing file
    assert_false(ach_sftp_write(s, "inbox/a", (str){content, 5}, NULL, NULL, &begun, &e));
    assert_false(begun);
    assert_int_equal(e.code, ERR_FAILED_PRECONDITION);

    str back;
    assert_true(ach_sftp_read(s, "inbox/a", SIZE, mem, &back, &e));
    assert_int_equal(back.len, SIZE);
    assert_memory_equal(back.ptr, content, SIZE);
    assert_false(ach_sftp_read(s, "inbox/a", SIZE - 1, mem, &back, &e));
    assert_int_equal(e.code, ERR_OUT_OF_RANGE);

    ach_sftp_file *files;
    size_t n;
    assert_true(ach_sftp_list(s, "inbox", 10, mem, &files, &n, &e));
    assert_int_equal(n, 1);
    assert_string_equal(files[0].name, "a");
    assert_int_equal(files[0].size, SIZE);

    assert_true(ach_sftp_rename(s, "inbox/a", "inbox/b", &e));
    assert_false(ach_sftp_rename(s, "inbox/a", "inbox/c", &e));
    assert_true(ach_sftp_mkdir(s, "outbox/done", &e)); // it exists
    assert_true(ach_sftp_mkdir(s, "outbox/bad", &e));
    assert_true(ach_sftp_exists(s, "outbox/bad", &exists, &e) && exists);
    assert_true(ach_sftp_remove(s, "inbox/b", &e));
    assert_false(ach_sftp_remove(s, "inbox/b", &e));
    assert_true(ach_sftp_list(s, "inbox", 10, mem, &files, &n, &e));
    assert_int_equal(n, 0);
    free(content);
    ach_sftp_destroy(s);
}

static void test_connect__other_host_key__refused(void **state) {
    (void)state;
    ach_sftp *s = open_with("client_key", "other_key.pub", 10000);
    err e = {0};
    bool exists;
    assert_false(ach_sftp_exists(s, "inbox", &exists, &e));
    assert_int_equal(e.code, ERR_PERMISSION_DENIED);
    assert_string_equal(e.reason, "HOST_KEY_MISMATCH");
    ach_sftp_destroy(s);
}

static void test_connect__other_client_key__refused(void **state) {
    (void)state;
    ach_sftp *s = open_with("other_key", "host_key.pub", 10000);
    err e = {0};
    bool exists;
    assert_false(ach_sftp_exists(s, "inbox", &exists, &e));
    assert_string_equal(e.reason, "SFTP_KEY_REFUSED");
    ach_sftp_destroy(s);
}

static void test_create__no_key_file__names_the_setting(void **state) {
    (void)state;
    ach_sftp_options o = {.host = "127.0.0.1",
                          .port = 1,
                          .user = "x",
                          .timeout_ms = 100,
                          .key_file = "/nonexistent",
                          .host_key_file = "/nonexistent"};
    err e = {0};
    assert_null(ach_sftp_create(&o, &e));
    assert_non_null(strstr(e.message, "ach.key_file"));
    o.key_file = sftp_server_path(server, "client_key");
    assert_null(ach_sftp_create(&o, &e));
    assert_non_null(strstr(e.message, "ach.host_key_file"));
}

static void test_connection_lost__next_operation__connects_again(void **state) {
    (void)state;
    ach_sftp *s = open_good();
    err e = {0};
    bool exists;
    assert_true(ach_sftp_exists(s, "inbox", &exists, &e) && exists);
    // An answer "no such file" comes before the loss: it must not count as the answer to the next question.
    assert_true(ach_sftp_exists(s, "inbox/none", &exists, &e) && !exists);
    sftp_server_cut_after(server, 0);
    assert_false(ach_sftp_exists(s, "inbox", &exists, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    sftp_server_cut_after(server, -1);
    assert_true(ach_sftp_exists(s, "inbox", &exists, &e) && exists);
    ach_sftp_destroy(s);
}

static void test_server_silent__operation__ends_at_its_limit(void **state) {
    (void)state;
    ach_sftp *s = open_with("client_key", "host_key.pub", 700);
    err e = {0};
    bool exists;
    assert_true(ach_sftp_exists(s, "inbox", &exists, &e) && exists);
    sftp_server_stall(server, true);
    int64_t begin = clock_mono_ms(clock_system());
    assert_false(ach_sftp_exists(s, "inbox", &exists, &e));
    int64_t took = clock_mono_ms(clock_system()) - begin;
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_true(took >= 600 && took < 5000);
    assert_false(ach_sftp_exists(s, "inbox", &exists, &e)); // nor does connecting hang
    sftp_server_stall(server, false);
    sftp_server_hang_up(server);
    bool again = false;
    for (int i = 0; !again && i < 20; i++) {
        again = ach_sftp_exists(s, "inbox", &exists, &e);
    }
    assert_true(again && exists);
    ach_sftp_destroy(s);
}

// On a long line each request takes its time, and a large file needs many requests.
static void test_read__many_slow_requests__each_has_its_own_time(void **state) {
    (void)state;
    enum { SIZE = 60 * 32 * 1024, LIMIT_MS = 1000, SLOW_MS = 30 };
    ach_sftp *s = open_with("client_key", "host_key.pub", LIMIT_MS);
    err e = {0};
    str back;
    char *content = calloc(SIZE, 1);
    assert_non_null(content);
    FILE *out = fopen(sftp_server_path(server, "root/inbox/far"), "w");
    assert_non_null(out);
    assert_int_equal(fwrite(content, 1, SIZE, out), SIZE);
    assert_int_equal(fclose(out), 0);
    bool exists = false;
    assert_true(ach_sftp_exists(s, "inbox/far", &exists, &e) && exists);
    sftp_server_slow(server, SLOW_MS);
    const bool read = ach_sftp_read(s, "inbox/far", SIZE, mem, &back, &e);
    sftp_server_slow(server, 0);
    assert_true(read);
    assert_int_equal(back.len, SIZE);
    assert_true(ach_sftp_remove(s, "inbox/far", &e));
    free(content);
    ach_sftp_destroy(s);
}

static int group_setup(void **state) {
    (void)state;
    log_init("ach-sftp-test", LOG_ERROR);
    server = sftp_server_start();
    return 0;
}
static int group_teardown(void **state) {
    (void)state;
    sftp_server_stop(server);
    return 0;
}
static int setup(void **state) {
    (void)state;
    mem = arena_create(64 << 20);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write__then_list_read_rename_remove__as_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_connect__other_host_key__refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connect__other_client_key__refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create__no_key_file__names_the_setting, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_connection_lost__next_operation__connects_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_server_silent__operation__ends_at_its_limit, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_read__many_slow_requests__each_has_its_own_time, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
