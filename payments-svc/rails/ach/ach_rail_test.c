// The ACH rail against a real database and a real sshd.
#include <fcntl.h>
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
#include "formats/nacha/nacha_read.h"
#include "rails/ach/ach_internal.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"
#include "testing/sftp_server.h"

enum { BOOK = 3 };

static sftp_server *server;
static db_pool *pool;
static crypto_keyring *keys;
static arena *mem;
static test_clock wall; // time stands still: 2026-11-21 09:00 UTC, a Saturday
static clock_source clock_of_test;
static rail *ach;

static int64_t real_mono(void *self) {
    (void)self;
    return clock_mono_us(clock_system());
}

static ach_settings settings_good(void) {
    return (ach_settings){
        .enabled = true,
        .host = "127.0.0.1",
        .port = sftp_server_port(server),
        .user = sftp_server_user(server),
        .key_file = sftp_server_path(server, "client_key"),
        .host_key_file = sftp_server_path(server, "host_key.pub"),
        .inbox_dir = "inbox",
        .outbox_dir = "outbox",
        .immediate_destination = "121042882",
        .odfi_routing = "12104288",
        .immediate_origin_base = "900000000",
        .company_name = "Disburse Inc",
        .company_id_base = "800000000",
        .file_name = "{origin}-{date}-{modifier}.ach",
        .entries_max = 8000,
        .poll_ms = 20,
        .returns_days = 60,
    };
}

static rail *open_rail(const ach_settings *s) {
    err e = {0};
    rail *r = ach_rail_create(RAIL_ACH, "ach", s, pool, keys, &clock_of_test, &e);
    if (r == NULL) {
        fail_msg("%s %s", e.message, e.detail);
    }
    // Files are dated by the database's clock: it shows the test's day, too.
    ((ach_rail *)r->self)->database_shift_us = wall.now_us - clock_wall_us(clock_system());
    return r;
}

static uuid payout_number(uint32_t n) {
    uuid id = {{0x01, 0x93, 0, 0, 0, 0, 0x70, 0, 0x80}};
    for (size_t i = 0; i < 4; i++) {
        id.b[12 + i] = (uint8_t)(n >> (24 - 8 * i));
    }
    return id;
}

static rail_item *make_items(uint32_t first, size_t n) {
    rail_item *items = arena_calloc(mem, n, sizeof *items);
    assert_non_null(items);
    for (size_t i = 0; i < n; i++) {
        items[i] = (rail_item){
            .payout_id = payout_number(first + (uint32_t)i),
            .intent_id = payout_number(first + (uint32_t)i),
            .attempt = 1,
            .amount = 100 + (int64_t)i,
            .currency = "USD",
            .merchant_id = STR("acme"),
            .merchant_name = STR("Acme"),
            .recipient_name = STR("Jörg Müller"),
            .routing_code = STR("231380104"),
            .account_number = STR("000123456789"),
            .account_type = 1 + (int)(i % 2),
            .holder_type = 1 + (int)(i % 3 == 0),
        };
    }
    return items;
}

static void prepare_ok(rail *r, rail_item *items, size_t n) {
    err e = {0};
    if (!rail_fixture_prepare(pool, r, BOOK, items, n, mem, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
}

static void write_local(const char *name, const char *content) {
    FILE *out = fopen(sftp_server_path(server, name), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(content, 1, strlen(content), out), strlen(content));
    assert_int_equal(fclose(out), 0);
}

static bool is_there(const char *folder, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "root/%s/%s", folder, name);
    return access(sftp_server_path(server, path), F_OK) == 0;
}

static void test_create__bad_setting__named(void **state) {
    (void)state;
    static const struct {
        size_t offset;
        const char *value, *field;
    } CASES[] = {
        {offsetof(ach_settings, immediate_destination), "121042883", "ach.immediate_destination"},
        {offsetof(ach_settings, odfi_routing), "1210428", "ach.odfi_routing"},
        {offsetof(ach_settings, immediate_origin_base), "9", "ach.immediate_origin_base"},
        {offsetof(ach_settings, company_id_base), "", "ach.company_id_base"},
        {offsetof(ach_settings, company_name), "more than sixteen", "ach.company_name"},
        {offsetof(ach_settings, company_name), "   ", "ach.company_name"},
        {offsetof(ach_settings, file_name), "{id}-{what}.ach", "ach.file_name"},
        {offsetof(ach_settings, file_name), "{date}-{modifier}.ach", "ach.file_name"},
        {offsetof(ach_settings, file_name), "payouts.ach", "ach.file_name"},
        {offsetof(ach_settings, windows), "8:15", "ach.windows"},
        {offsetof(ach_settings, windows), "10:15,08:15", "ach.windows"},
        {offsetof(ach_settings, inbox_dir), "", "ach.inbox_dir"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        ach_settings s = settings_good();
        *(const char **)((char *)&s + CASES[i].offset) = CASES[i].value;
        err e = {0};
        assert_null(ach_rail_create(RAIL_ACH, "ach", &s, pool, keys, &clock_of_test, &e));
        assert_string_equal(e.field, CASES[i].field);
    }
}

static void test_create__direct_upload__proves_nothing_by_absence(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        ach_settings s = settings_good();
        err e = {0};
        s.direct_upload = true;
        s.archive_complete = i == 0;
        s.upload_dir = i == 0 ? "" : "staging";
        assert_null(ach_rail_create(RAIL_ACH, "ach", &s, pool, keys, &clock_of_test, &e));
        assert_string_equal(e.field, "ach.direct_upload");
    }
}

// --- Inbound ---------------------------------------------------------------------------------------------------------

// Puts old and new files into this folder of the bank, and lets r sweep.
static void sweep_in(rail *r, const char *folder) {
    static const struct {
        const char *name;
        int64_t age_s;
        bool stays;
    } CASES[] = {
        {"1900000003-20261121-A.ach.0123abcd.tmp", ACH_UPLOAD_OLD_S + 2, false},
        {"1900000003-20261121-A.ach.1123abcd.tmp", ACH_UPLOAD_OLD_S - 2,
         true},                                                             // may still be written
        {"1900000003-20261121-A.ach", INT64_C(2) * ACH_UPLOAD_OLD_S, true}, // already the bank's
        {"1900000003-20261121-A.ach.0123abcX.tmp", INT64_C(2) * ACH_UPLOAD_OLD_S, true},
        {"1900000003-20261121-B.ach.0123abcd.tmp", INT64_C(2) * ACH_UPLOAD_OLD_S,
         true}, // somebody else's
        {"something.else.tmp", INT64_C(2) * ACH_UPLOAD_OLD_S, true},
    };
    enum { CASES_N = sizeof CASES / sizeof CASES[0] };
    for (size_t i = 0; i < CASES_N; i++) {
        char name[128];
        snprintf(name, sizeof name, "root/%s/%s", folder, CASES[i].name);
        write_local(name, "half");
        const time_t at = (time_t)(clock_wall_us(&clock_of_test) / 1000000 - CASES[i].age_s);
        const struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
        assert_int_equal(utimensat(AT_FDCWD, sftp_server_path(server, name), times, 0), 0);
    }
    err e = {0};
    assert_true(ach_inbound_sweep(r->self, &e));
    for (size_t i = 0; i < CASES_N; i++) {
        if (is_there(folder, CASES[i].name) != CASES[i].stays) {
            fail_msg("%s", CASES[i].name);
        }
    }
    assert_true(ach_inbound_sweep(r->self, &e));
}

static void test_sweep__old_uploads_of_ours__and_nothing_else(void **state) {
    (void)state;
    prepare_ok(ach, make_items(1, 1), 1);
    sweep_in(ach, "inbox");
}

static rail *open_with_upload_folder(void) {
    ach_settings s = settings_good();
    s.upload_dir = "staging";
    (void)mkdir(sftp_server_path(server, "root/staging"), 0700);
    sftp_server_empty(server, "root/staging");
    return open_rail(&s);
}

// The folder was set while uploads lay in the inbox.
static void test_sweep__upload_folder__both_are_swept(void **state) {
    (void)state;
    rail *r = open_with_upload_folder();
    assert_string_equal(ach_channel(r->self).folders, "in staging, then in inbox");
    prepare_ok(r, make_items(1, 1), 1);
    sweep_in(r, "staging");
    sweep_in(r, "inbox");
    ach_rail_destroy(r);
}

static bool take_back(rail *r, const char *name, int64_t epoch) {
    const submission_channel channel = ach_channel(r->self);
    submission_file f = {.name = name, .n_epochs = 1};
    bool was_there = false;
    f.epochs = &epoch;
    assert_true(channel.take_back(channel.self, &f, &was_there));
    return was_there;
}

// A sender with other settings was stopped before its rename: its file lies in the inbox, and it would rename it when it wakes.
static void test_NO_DOUBLE_take_back__upload_of_older_settings__found_in_the_inbox(void **state) {
    (void)state;
    rail *r = open_with_upload_folder();
    write_local("root/inbox/a.ach.00000001.tmp", "whole");
    write_local("root/inbox/b.ach.80000002.tmp", "taken back by a process of older settings");
    write_local("root/staging/c.ach.00000003.tmp", "whole");
    for (int i = 0; i < 2; i++) { // the next one to ask finds the proof
        assert_true(take_back(r, "a.ach", 1));
        assert_true(take_back(r, "b.ach", 2));
        assert_true(take_back(r, "c.ach", 3));
        assert_false(take_back(r, "a.ach", 2));
    }
    assert_false(is_there("inbox", "a.ach.00000001.tmp"));
    assert_false(is_there("inbox", "a.ach.80000001.tmp")); // the bank may take every file in it
    assert_false(is_there("inbox", "b.ach.80000002.tmp"));
    assert_false(is_there("staging", "c.ach.00000003.tmp"));
    ach_rail_destroy(r);
}

// --- Main ------------------------------------------------------------------------------------------------------------

static int group_setup(void **state) {
    (void)state;
    log_init("ach-rail-test", LOG_ERROR + 1);
    server = sftp_server_start();
    rail_fixture_migrate();
    pool = fixture_pool(fixture_conninfo(), 4, 30000);
    FILE *out = fopen(sftp_server_path(server, "ring"), "w");
    assert_non_null(out);
    fprintf(out, "k1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
    fclose(out);
    chmod(sftp_server_path(server, "ring"), 0600);
    err e = {0};
    keys = crypto_keyring_load(sftp_server_path(server, "ring"), &e);
    assert_non_null(keys);
    return 0;
}

static int group_teardown(void **state) {
    (void)state;
    crypto_keyring_destroy(keys);
    db_pool_destroy(pool);
    sftp_server_stop(server);
    return 0;
}

static int setup(void **state) {
    (void)state;
    static const char *const FOLDERS[] = {"root/inbox", "root/archive", "root/outbox",
                                          "root/outbox/done", "root/outbox/bad"};
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++) {
        sftp_server_empty(server, FOLDERS[i]);
    }
    sftp_server_cut_after(server, -1);
    sftp_server_lose_answer_after(server, -1);
    rail_fixture_clear();
    mem = arena_create(256 << 20);
    test_clock_init(&wall,
                    time_from_civil((civil_date){2026, 11, 21}) + INT64_C(9) * 3600 * 1000000, 1);
    clock_of_test = wall.source;
    clock_of_test.mono_us = real_mono;
    ach_settings s = settings_good();
    ach = open_rail(&s);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    ach_rail_destroy(ach);
    arena_destroy(mem);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_create__bad_setting__named),
        TEST(test_create__direct_upload__proves_nothing_by_absence),
        TEST(test_sweep__old_uploads_of_ours__and_nothing_else),
        TEST(test_sweep__upload_folder__both_are_swept),
        TEST(test_NO_DOUBLE_take_back__upload_of_older_settings__found_in_the_inbox),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
