// The ACH rail against a real database and a real sshd.
#include <dirent.h>
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
#include "rails/ach/ach_internal.h"
#include "rails/ach/nacha_read.h"
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
        .entries_max = 8000,
        .poll_ms = 20,
        .returns_days = 60,
    };
}

static rail *open_rail(const ach_settings *s) {
    err e = {0};
    rail *r = ach_rail_create(s, pool, keys, &clock_of_test, &e);
    if (r == NULL) {
        fail_msg("%s %s", e.message, e.detail);
    }
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

static const char *item_file(const rail_item *item) {
    char sql[512], id[UUID_TEXT_LEN + 1];
    char *name = arena_alloc(mem, 128);
    uuid_format(item->payout_id, id);
    snprintf(sql, sizeof sql,
             "SELECT f.name FROM ach_file f JOIN ach_entry e USING (book_id, file_id)"
             " WHERE e.payout_id = '%s' AND e.attempt = %d",
             id, item->attempt);
    fixture_sql(sql, name, 128);
    return name;
}

static str read_local(const char *name) {
    FILE *in = fopen(sftp_server_path(server, name), "rb");
    char *bytes = arena_alloc(mem, 2 << 20);
    assert_non_null(in);
    size_t n = fread(bytes, 1, 2 << 20, in);
    fclose(in);
    return (str){bytes, n};
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

static void assert_all(const rail_item *items, size_t n, rail_verdict verdict) {
    for (size_t i = 0; i < n; i++) {
        if (items[i].verdict != verdict) {
            fail_msg("item %zu has verdict %d, not %d: %.*s", i, items[i].verdict, verdict,
                     (int)items[i].text.len, items[i].text.ptr);
        }
    }
}

// --- Prepare and submit ----------------------------------------------------------------------------------------------

static void test_submit__prepared_items__one_valid_file_at_the_bank(void **state) {
    (void)state;
    enum { N = 50 };
    rail_item *items = make_items(1, N);
    prepare_ok(ach, items, N);
    ach->submit(ach, BOOK, items, N, mem);
    assert_all(items, N, RAIL_ACCEPTED);
    assert_string_equal(item_file(&items[0]), "1900000003-20261121-A.ach");
    assert_true(is_there("inbox", "1900000003-20261121-A.ach"));

    nacha_fault fault;
    nacha_file *f = nacha_read(read_local("root/inbox/1900000003-20261121-A.ach"), mem, &fault);
    assert_non_null(f);
    assert_int_equal(f->n_entries, N);
    assert_int_equal(f->n_batches, 2);
    assert_string_equal(f->batches[0].company_id, "1800000003");
    assert_string_equal(f->batches[0].company_name, "DISBURSE INC");
    assert_int_equal(f->batches[0].effective.day, 23); // Saturday's file settles on Monday
    assert_string_equal(f->entries[0].name, "JORG MULLER");
    for (size_t i = 0; i < N; i++) { // every reference is in the file, once, with the item's amount
        size_t found = 0;
        for (size_t k = 0; k < N; k++) {
            if (str_eq_c(items[i].reference, f->entries[k].trace)) {
                found++;
                assert_int_equal(f->entries[k].amount_cents, items[i].amount);
                assert_int_equal(f->entries[k].transaction_code,
                                 items[i].account_type == 2 ? 32 : 22);
            }
        }
        assert_int_equal(found, 1);
    }
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM ach_entry"), N);
    assert_int_equal(fixture_sql_i64("SELECT next_trace FROM ach_counter"), N + 1);
    // Sealed: no account number in the clear.
    assert_int_equal(
        fixture_sql_i64("SELECT count(*) FROM ach_file"
                        " WHERE position('000123456789'::bytea IN content_sealed) > 0"),
        0);
}

static void test_prepare__again__keeps_numbers_and_adds_only_the_new(void **state) {
    (void)state;
    rail_item *items = make_items(1, 5), *again = make_items(1, 8);
    prepare_ok(ach, items, 5);
    again[4].attempt = 2;
    prepare_ok(ach, again, 8);
    for (size_t i = 0; i < 4; i++) {
        assert_true(str_eq(items[i].reference, again[i].reference));
    }
    assert_false(str_eq(items[4].reference, again[4].reference));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM ach_file"), 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM ach_entry"), 9);
    ach->submit(ach, BOOK, again, 8, mem);
    assert_all(again, 8, RAIL_ACCEPTED);
    assert_true(is_there("inbox", "1900000003-20261121-A.ach") &&
                is_there("inbox", "1900000003-20261121-B.ach"));
}

static void test_submit__file_is_at_the_bank__accepted_without_upload(void **state) {
    (void)state;
    rail_item *items = make_items(1, 3);
    prepare_ok(ach, items, 3);
    write_local("root/archive/1900000003-20261121-A.ach", "taken");
    ach->submit(ach, BOOK, items, 3, mem);
    assert_all(items, 3, RAIL_ACCEPTED);
    assert_false(is_there("inbox", "1900000003-20261121-A.ach"));
    ach->query(ach, BOOK, items, 3, mem);
    assert_all(items, 3, RAIL_ACCEPTED);
    assert_int_equal(items[0].reference.len, 15);
}

static void test_query__not_uploaded_or_not_prepared__not_sent(void **state) {
    (void)state;
    rail_item *items = make_items(1, 3);
    ach->query(ach, BOOK, items, 3, mem);
    assert_all(items, 3, RAIL_NOT_SENT);
    prepare_ok(ach, items, 3);
    ach->query(ach, BOOK, items, 3, mem);
    assert_all(items, 3, RAIL_NOT_SENT);
    write_local("root/outbox/1900000003-20261121-A.ach.ack", "{}");
    ach->query(ach, BOOK, items, 3, mem);
    assert_all(items, 3, RAIL_ACCEPTED);
}

static void test_prepare__36_files_made__the_rest_waits_for_tomorrow(void **state) {
    (void)state;
    rail_item *items = make_items(1, 40);
    for (size_t i = 0; i < 36; i++) {
        prepare_ok(ach, &items[i], 1);
    }
    assert_string_equal(item_file(&items[35]), "1900000003-20261121-9.ach");
    prepare_ok(ach, &items[36], 2);
    assert_all(&items[36], 2, RAIL_NOT_SENT);
    assert_int_equal(items[36].reference.len, 0);
    ach->submit(ach, BOOK, &items[35], 3, mem);
    assert_int_equal(items[35].verdict, RAIL_ACCEPTED);
    assert_all(&items[36], 2, RAIL_NOT_SENT);
    test_clock_advance(&wall, INT64_C(24) * 3600 * 1000000);
    prepare_ok(ach, &items[36], 2);
    assert_string_equal(item_file(&items[37]), "1900000003-20261122-A.ach");
    test_clock_advance(&wall, 0);
}

static void test_prepare__entries_max__several_files(void **state) {
    (void)state;
    ach_settings s = settings_good();
    s.entries_max = 4;
    rail *r = open_rail(&s);
    rail_item *items = make_items(1, 10);
    prepare_ok(r, items, 10);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM ach_file"), 3);
    r->submit(r, BOOK, items, 10, mem);
    assert_all(items, 10, RAIL_ACCEPTED);
    ach_rail_destroy(r);
}

static void test_prepare__total_over_12_digits__several_files(void **state) {
    (void)state;
    rail_item *items = make_items(1, 150);
    for (size_t i = 0; i < 150; i++) {
        items[i].amount = NACHA_ENTRY_CENTS_MAX;
    }
    prepare_ok(ach, items, 150);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM ach_file WHERE total <= 999999999999"),
                     2);
}

static void test_submit__item_that_no_file_can_carry__refused_alone(void **state) {
    (void)state;
    rail_item *items = make_items(1, 6);
    items[0].routing_code = STR("231380105");
    items[1].currency[0] = 'I';
    items[2].recipient_name = STR(" ");
    items[3].account_number = STR("12\n34");
    items[4].amount = NACHA_ENTRY_CENTS_MAX + 1;
    prepare_ok(ach, items, 6);
    ach->submit(ach, BOOK, items, 6, mem);
    assert_all(items, 5, RAIL_REFUSED);
    assert_true(str_eq_c(items[0].code, "INVALID_ENTRY"));
    assert_int_equal(items[5].verdict, RAIL_ACCEPTED);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM ach_entry"), 1);
}

// One batch for each SEC and description, whatever the order in which the payouts came; each entry under its own.
static void test_submit__descriptions__a_batch_for_each(void **state) {
    (void)state;
    enum { N = 60 };
    static const char *const GIVEN[] = {"Rent May", "", "invoice 12", "RENT MAY", "reversal"};
    static const char *const WRITTEN[] = {"RENT MAY", "PAYOUT", "INVOICE 12", "RENT MAY", "PAYOUT"};
    static const char *const BATCHES[] = {"INVOICE 12", "PAYOUT", "RENT MAY"};
    rail_item *items = make_items(1, N);
    for (size_t i = 0; i < N; i++) {
        items[i].description = str_of(GIVEN[i % 5]);
    }
    prepare_ok(ach, items, N);
    ach->submit(ach, BOOK, items, N, mem);
    assert_all(items, N, RAIL_ACCEPTED);
    nacha_fault fault;
    nacha_file *f = nacha_read(read_local("root/inbox/1900000003-20261121-A.ach"), mem, &fault);
    assert_non_null(f);
    assert_int_equal(f->n_entries, N);
    assert_int_equal(f->n_batches, 6);
    for (size_t i = 0; i < f->n_batches; i++) {
        const nacha_batch *b = &f->batches[i];
        assert_int_equal(b->sec, i < 3 ? NACHA_PPD : NACHA_CCD);
        assert_string_equal(b->entry_description, BATCHES[i % 3]);
        for (size_t k = b->first_entry; k < b->first_entry + b->n_entries; k++) {
            const size_t item = (size_t)(f->entries[k].amount_cents - 100);
            assert_string_equal(b->entry_description, WRITTEN[item % 5]);
            assert_true(str_eq_c(items[item].reference, f->entries[k].trace));
        }
    }
}

static void test_prepare__8000_items__fast(void **state) {
    (void)state;
    rail_item *items = make_items(1, 8000);
    for (size_t i = 0; i < 8000; i++) { // the longest file: a batch for each
        items[i].description = str_of(arena_printf(mem, "inv %zu", i));
    }
    int64_t begin = clock_mono_ms(clock_system());
    prepare_ok(ach, items, 8000);
    int64_t prepared = clock_mono_ms(clock_system());
    ach->submit(ach, BOOK, items, 8000, mem);
    int64_t sent = clock_mono_ms(clock_system());
    assert_all(items, 8000, RAIL_ACCEPTED);
    print_message("prepare %d ms, submit %d ms\n", (int)(prepared - begin), (int)(sent - prepared));
    assert_true(sent - begin <
                10000); // seconds, not minutes: with the sanitizers, on a busy machine
}

// The line is cut after each of many numbers of bytes. Whatever happens, the verdict must not contradict the bank.
static void test_submit__line_cut_anywhere__verdict_is_true(void **state) {
    (void)state;
    ach_settings s = settings_good();
    rail *r = open_rail(&s);
    rail_item *items = make_items(1, 40);
    int64_t counts[RAIL_RETURNED + 1] = {0};
    // How much does a whole upload on an open session send?
    prepare_ok(r, items, 1);
    r->query(r, BOOK, items, 1, mem);
    sftp_server_cut_after(server, -1);
    r->submit(r, BOOK, items, 1, mem);
    long whole = sftp_server_sent(server);
    assert_true(whole > 1500);
    for (uint32_t i = 1; i < 36; i++) {
        prepare_ok(r, &items[i], 1);
        r->query(r, BOOK, &items[i], 1, mem); // connects
        assert_int_equal(items[i].verdict, RAIL_NOT_SENT);
        sftp_server_cut_after(server, whole * (long)i / 35);
        r->submit(r, BOOK, &items[i], 1, mem);
        bool there = is_there("inbox", item_file(&items[i]));
        rail_verdict verdict = items[i].verdict;
        counts[verdict]++;
        if (verdict == RAIL_ACCEPTED) {
            assert_true(there);
        } else if (verdict == RAIL_NOT_SENT) {
            assert_false(there);
        } else {
            assert_int_equal(verdict, RAIL_UNKNOWN);
        }
        if (verdict == RAIL_UNKNOWN) { // the line stays dead: not even a query helps
            sftp_server_cut_after(server, 0);
            r->query(r, BOOK, &items[i], 1, mem);
            assert_int_equal(items[i].verdict, RAIL_UNKNOWN);
        }
        sftp_server_cut_after(server, -1);
        r->query(r, BOOK, &items[i], 1, mem);
        assert_int_equal(items[i].verdict, there ? RAIL_ACCEPTED : RAIL_NOT_SENT);
        r->submit(r, BOOK, &items[i], 1, mem); // and at last it arrives, once
        assert_int_equal(items[i].verdict, RAIL_ACCEPTED);
        assert_true(is_there("inbox", item_file(&items[i])));
    }
    print_message("%d bytes; accepted %d, not sent %d, unknown %d\n", (int)whole,
                  (int)counts[RAIL_ACCEPTED], (int)counts[RAIL_NOT_SENT],
                  (int)counts[RAIL_UNKNOWN]);
    assert_true(counts[RAIL_NOT_SENT] > 10 && counts[RAIL_ACCEPTED] >= 1 &&
                counts[RAIL_UNKNOWN] >= 1);
    ach_rail_destroy(r);
}

// The bank renames, and its answer is lost: never taken for a failure.
static void test_submit__answer_to_rename_lost__unknown_then_found(void **state) {
    (void)state;
    rail_item *items = make_items(1, 2);
    prepare_ok(ach, items, 1);
    prepare_ok(ach, &items[1], 1);
    ach->query(ach, BOOK, items, 2, mem);
    sftp_server_cut_after(server, -1);
    ach->submit(ach, BOOK, items, 1, mem);
    long whole = sftp_server_sent(server); // its last bytes are the request to rename
    sftp_server_lose_answer_after(server, whole - 8);
    ach->submit(ach, BOOK, &items[1], 1, mem);
    assert_int_equal(items[1].verdict, RAIL_UNKNOWN);
    for (int i = 0; i < 250 && !is_there("inbox", item_file(&items[1])); i++) {
        rail_fixture_nap_ms(20);
    }
    assert_true(is_there("inbox", item_file(&items[1])));
    sftp_server_lose_answer_after(server, -1);
    ach->query(ach, BOOK, &items[1], 1, mem);
    assert_int_equal(items[1].verdict, RAIL_ACCEPTED);
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
        {offsetof(ach_settings, inbox_dir), "", "ach.inbox_dir"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        ach_settings s = settings_good();
        *(const char **)((char *)&s + CASES[i].offset) = CASES[i].value;
        err e = {0};
        assert_null(ach_rail_create(&s, pool, keys, &clock_of_test, &e));
        assert_string_equal(e.field, CASES[i].field);
    }
}

// --- Inbound ---------------------------------------------------------------------------------------------------------

static void test_sweep__old_uploads_of_ours__and_nothing_else(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t age_s;
        bool stays;
    } CASES[] = {
        {"1900000003-20261121-A.ach.0123abcd.tmp", ACH_UPLOAD_OLD_S + 2, false},
        {"1900000003-20261121-B.ach.0123abcd.tmp", ACH_UPLOAD_OLD_S - 2,
         true},                                                             // may be written yet
        {"1900000003-20261121-C.ach", INT64_C(2) * ACH_UPLOAD_OLD_S, true}, // the bank's by now
        {"1900000003-20261121-D.ach.0123abcX.tmp", INT64_C(2) * ACH_UPLOAD_OLD_S, true},
        {"1800000003-20261121-E.ach.0123abcd.tmp", INT64_C(2) * ACH_UPLOAD_OLD_S,
         true}, // of somebody else
        {"something.else.tmp", INT64_C(2) * ACH_UPLOAD_OLD_S, true},
    };
    enum { CASES_N = sizeof CASES / sizeof CASES[0] };
    for (size_t i = 0; i < CASES_N; i++) {
        char name[128];
        snprintf(name, sizeof name, "root/inbox/%s", CASES[i].name);
        write_local(name, "half");
        const time_t at = (time_t)(clock_wall_us(&clock_of_test) / 1000000 - CASES[i].age_s);
        const struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
        assert_int_equal(utimensat(AT_FDCWD, sftp_server_path(server, name), times, 0), 0);
    }
    err e = {0};
    assert_true(ach_inbound_sweep(ach->self, &e));
    for (size_t i = 0; i < CASES_N; i++) {
        if (is_there("inbox", CASES[i].name) != CASES[i].stays) {
            fail_msg("%s", CASES[i].name);
        }
    }
    assert_true(ach_inbound_sweep(ach->self, &e));
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

static void empty_folder(const char *name) {
    const char *path = sftp_server_path(server, name);
    DIR *d = opendir(path);
    for (struct dirent *entry = d == NULL ? NULL : readdir(d); entry != NULL; entry = readdir(d)) {
        char file[1024];
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_REG) {
            (void)unlink(file);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

static int setup(void **state) {
    (void)state;
    static const char *const FOLDERS[] = {"root/inbox", "root/archive", "root/outbox",
                                          "root/outbox/done", "root/outbox/bad"};
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++) {
        empty_folder(FOLDERS[i]);
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
        TEST(test_submit__prepared_items__one_valid_file_at_the_bank),
        TEST(test_prepare__again__keeps_numbers_and_adds_only_the_new),
        TEST(test_submit__file_is_at_the_bank__accepted_without_upload),
        TEST(test_query__not_uploaded_or_not_prepared__not_sent),
        TEST(test_prepare__36_files_made__the_rest_waits_for_tomorrow),
        TEST(test_prepare__entries_max__several_files),
        TEST(test_prepare__total_over_12_digits__several_files),
        TEST(test_submit__item_that_no_file_can_carry__refused_alone),
        TEST(test_submit__descriptions__a_batch_for_each),
        TEST(test_prepare__8000_items__fast),
        TEST(test_submit__line_cut_anywhere__verdict_is_true),
        TEST(test_submit__answer_to_rename_lost__unknown_then_found),
        TEST(test_create__bad_setting__named),
        TEST(test_sweep__old_uploads_of_ours__and_nothing_else),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
