// From payouts to files at the bank: prepare, the sender, and a real sshd and database.
#include <pthread.h>
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

enum { BOOK = 3, DAY_S = 86400 };
#define US_PER_S INT64_C(1000000)
#define ORIGIN "1900000003"

static sftp_server *server;
static db_pool *pool;
static crypto_keyring *keys;
static arena *mem;
static test_clock wall; // 2026-11-20 15:00 UTC, a Friday, 10:00 in New York
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
        .retry_base_ms = 1,
        .retry_cap_ms = 1,
        .case_after = 3,
    };
}

static ach_rail *self_of(rail *r) {
    return r->self;
}

// Files are dated by the database's clock: it shows the test's day, too.
static void set_database_clock(rail *r) {
    self_of(r)->database_shift_us = wall.now_us - clock_wall_us(clock_system());
}

static rail *open_rail(const ach_settings *s) {
    err e = {0};
    rail *r = ach_rail_create(RAIL_ACH, "ach", s, pool, keys, &clock_of_test, &e);
    if (r == NULL) {
        fail_msg("%s %s", e.message, e.detail);
    }
    set_database_clock(r);
    self_of(r)->traces_at_once = 1; // exactly as many as needed
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

static bool prepare(rail *r, rail_item *items, size_t n, err *e) {
    return rail_fixture_prepare(pool, r, BOOK, items, n, mem, e);
}

static void prepare_ok(rail *r, rail_item *items, size_t n) {
    err e = {0};
    if (!prepare(r, items, n, &e)) {
        fail_msg("%s %s", e.message, e.detail);
    }
}

static const char *item_file(const rail_item *item) {
    char sql[512], id[UUID_TEXT_LEN + 1];
    char *name = arena_alloc(mem, 160);
    uuid_format(item->payout_id, id);
    snprintf(sql, sizeof sql,
             "SELECT s.name FROM submission s JOIN submission_item i USING (book_id, submission_id)"
             " WHERE i.payout_id = '%s' AND i.attempt = %d",
             id, item->attempt);
    fixture_sql(sql, name, 160);
    return name;
}

static int item_state(const rail_item *item) {
    char sql[512], id[UUID_TEXT_LEN + 1];
    uuid_format(item->payout_id, id);
    snprintf(
        sql, sizeof sql,
        "SELECT s.state FROM submission s JOIN submission_item i USING (book_id, submission_id)"
        " WHERE i.payout_id = '%s' AND i.attempt = %d",
        id, item->attempt);
    return (int)fixture_sql_i64(sql);
}

// "1900000003-20261120-A-": the name without the id.
static bool is_named(const char *name, const char *begin) {
    return strncmp(name, begin, strlen(begin)) == 0 && strlen(name) == strlen(begin) + 16;
}

static nacha_file *file_of(const rail_item *item) {
    char path[256];
    nacha_fault fault;
    snprintf(path, sizeof path, "root/inbox/%s", item_file(item));
    char *bytes = arena_alloc(mem, 4 << 20);
    assert_non_null(bytes);
    const str content = {bytes, sftp_server_get(server, path, bytes, 4 << 20)};
    nacha_file *f = nacha_read(content, mem, &fault);
    assert_non_null(f);
    return f;
}

static void assert_all(const rail_item *items, size_t n, rail_verdict verdict) {
    for (size_t i = 0; i < n; i++) {
        if (items[i].verdict != verdict) {
            fail_msg("item %zu has verdict %d, not %d: %.*s", i, items[i].verdict, verdict,
                     (int)items[i].text.len, items[i].text.ptr);
        }
    }
}

static size_t send_due(rail *r) {
    fixture_sql("UPDATE submission SET due_at = now() WHERE due_at IS NOT NULL", NULL, 0);
    return submission_sender_run(self_of(r)->sender);
}

// --- Prepare and send ------------------------------------------------------------------------------------------------

static void test_prepare__items__handed_over_in_one_valid_file(void **state) {
    (void)state;
    enum { N = 50 };
    rail_item *items = make_items(1, N);
    prepare_ok(ach, items, N);
    assert_all(items, N, RAIL_HANDED_OVER);
    assert_true(is_named(item_file(&items[0]), ORIGIN "-20261120-A-"));
    assert_false(sftp_server_has(server, "inbox", item_file(&items[0])));
    assert_int_equal(send_due(ach), 1);
    assert_true(sftp_server_has(server, "inbox", item_file(&items[0])));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 1"), N);

    nacha_file *f = file_of(&items[0]);
    assert_int_equal(f->n_entries, N);
    assert_int_equal(f->n_batches, 2);
    assert_string_equal(f->batches[0].company_id, "1800000003");
    assert_string_equal(f->batches[0].company_name, "DISBURSE INC");
    assert_int_equal(f->batches[0].effective.day, 23); // Friday's file settles on Monday
    assert_string_equal(f->entries[0].name, "JORG MULLER");
    for (size_t i = 0; i < N; i++) { // the file has every reference once, with the item's amount
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
    assert_int_equal(fixture_sql_i64("SELECT next_number FROM submission_number"), N + 1);
    // Sealed: no account number is readable.
    assert_int_equal(
        fixture_sql_i64("SELECT count(*) FROM submission"
                        " WHERE position('000123456789'::bytea IN content_sealed) > 0"),
        0);
}

static void test_prepare__again__keeps_numbers_and_adds_only_the_new(void **state) {
    (void)state;
    rail_item *items = make_items(1, 5), *again = make_items(1, 8);
    prepare_ok(ach, items, 5);
    again[4].attempt = 2;
    prepare_ok(ach, again, 8);
    assert_all(again, 8, RAIL_HANDED_OVER);
    for (size_t i = 0; i < 4; i++) {
        assert_true(str_eq(items[i].reference, again[i].reference));
    }
    assert_false(str_eq(items[4].reference, again[4].reference));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission"), 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission_item"), 9);
    assert_int_equal(send_due(ach), 2);
    assert_true(sftp_server_has(server, "inbox", item_file(&again[0])) &&
                sftp_server_has(server, "inbox", item_file(&again[7])));
}

typedef struct racer {
    rail *r;
    size_t sent;
} racer;

static void *race(void *arg) {
    racer *c = arg;
    for (int i = 0; i < 3; i++) {
        c->sent += submission_sender_run(self_of(c->r)->sender);
    }
    return NULL;
}

// Two instances hold different entries of one prepared file, while the bank takes files out of its inbox at once.
static void test_NO_DOUBLE_two_instances__each_file_is_uploaded_once(void **state) {
    (void)state;
    enum { FILES = 12 };
    ach_settings s = settings_good();
    racer racers[2] = {{.r = open_rail(&s)}, {.r = open_rail(&s)}};
    rail_item *items = make_items(1, 2 * FILES);
    for (size_t i = 0; i < FILES; i++) {
        prepare_ok(racers[0].r, &items[2 * i], 2);
        prepare_ok(racers[1].r, &items[2 * i + 1], 1); // it has the second entry
    }
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(racers[0].sent + racers[1].sent, FILES);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission WHERE state = 3"), FILES);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission_upload WHERE kind = 1"),
                     FILES);
    for (size_t i = 0; i < 2; i++) {
        ach_rail_destroy(racers[i].r);
    }
}

static void test_send__same_file_is_at_the_bank__sent_without_upload(void **state) {
    (void)state;
    rail_item *items = make_items(1, 3);
    prepare_ok(ach, items, 3);
    send_due(ach);
    // As if the database had forgotten the upload.
    fixture_sql("TRUNCATE submission_upload, rail_event; UPDATE submission SET state = 1,"
                " due_at = now(), epoch = 0",
                NULL, 0);
    assert_int_equal(send_due(ach), 1);
    assert_int_equal(item_state(&items[0]), SUBMISSION_SENT);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission_upload WHERE kind = 1"), 0);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 1"), 3);
}

// Fault of the first version: "at the bank" went by name alone, so a payout in no file became SENT.
static void test_NO_LOSS_old_file_of_the_same_name__not_taken_for_ours(void **state) {
    (void)state;
    static const char *const FOLDERS[] = {"inbox", "archive"};
    ach_settings s = settings_good();
    s.file_name = "{origin}-{date}-{modifier}.ach"; // as a bank may prescribe
    rail *r = open_rail(&s);
    for (uint32_t i = 0; i < 2; i++) {
        char path[256];
        rail_item *items = make_items(1 + 10 * i, 3);
        prepare_ok(r, items, 3);
        snprintf(path, sizeof path, "root/%s/%s", FOLDERS[i], item_file(&items[0]));
        sftp_server_put(server, path, "an older file of this name");
        send_due(r);
        assert_int_equal(item_state(&items[0]), SUBMISSION_WITHDRAWN);
    }
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 1"), 0);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 5"), 6);
    // Built anew, it has the next file id.
    rail_item *again = make_items(1, 3);
    for (size_t i = 0; i < 3; i++) {
        again[i].attempt = 2;
    }
    prepare_ok(r, again, 3);
    send_due(r);
    assert_string_equal(item_file(&again[0]), ORIGIN "-20261120-C.ach");
    assert_int_equal(item_state(&again[0]), SUBMISSION_SENT);
    ach_rail_destroy(r);
}

// A stand-in for the real guard.
struct guard {
    bool may_send;
};

bool guard_may_send(const guard *g) {
    return g->may_send;
}

bool guard_same_timeline(guard *g, str timeline) {
    (void)g;
    return timeline.len == 8;
}

// The bank may have forgotten files with these very payouts: no file is made until they are compared.
static void test_NO_DOUBLE_recovery__no_file_is_cut(void **state) {
    (void)state;
    guard g = {false};
    rail_item *items = make_items(1, 3);
    ach_rail_use_guard(ach, &g);
    prepare_ok(ach, items, 3);
    assert_all(items, 3, RAIL_NOT_SENT);
    assert_true(items[0].retry_at_us > wall.now_us);
    g.may_send = true;
    prepare_ok(ach, items, 3);
    assert_all(items, 3, RAIL_HANDED_OVER);
}

static void test_query__attempts_of_the_first_version__by_their_submission(void **state) {
    (void)state;
    rail_item *items = make_items(1, 3);
    ach->query(ach, BOOK, items, 3, mem);
    assert_all(items, 3, RAIL_NOT_SENT);
    prepare_ok(ach, items, 3);
    ach->query(ach, BOOK, items, 3, mem);
    assert_all(items, 3, RAIL_HANDED_OVER);
    send_due(ach);
    ach->query(ach, BOOK, items, 3, mem);
    assert_all(items, 3, RAIL_ACCEPTED);
    assert_int_equal(items[0].reference.len, 15);
}

static void test_prepare__item_that_no_file_can_carry__refused_alone(void **state) {
    (void)state;
    rail_item *items = make_items(1, 6);
    items[0].routing_code = STR("231380105");
    items[1].currency[0] = 'I';
    items[2].recipient_name = STR(" ");
    items[3].account_number = STR("12\n34");
    items[4].amount = NACHA_ENTRY_CENTS_MAX + 1;
    prepare_ok(ach, items, 6);
    assert_all(items, 5, RAIL_REFUSED);
    assert_true(str_eq_c(items[0].code, "INVALID_ENTRY"));
    assert_int_equal(items[5].verdict, RAIL_HANDED_OVER);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission_item"), 1);
}

// One batch for each SEC and description, in whatever order the payouts came; each entry in its own batch.
static void test_prepare__descriptions__a_batch_for_each(void **state) {
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
    send_due(ach);
    nacha_file *f = file_of(&items[0]);
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

// --- Limits ------------------------------------------------------------------------------------------------------------

static void test_prepare__entries_max__several_files(void **state) {
    (void)state;
    ach_settings s = settings_good();
    s.entries_max = 4;
    rail *r = open_rail(&s);
    rail_item *items = make_items(1, 10);
    prepare_ok(r, items, 10);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission"), 3);
    assert_int_equal(send_due(r), 3);
    ach_rail_destroy(r);
}

static void test_prepare__total_over_12_digits__several_files(void **state) {
    (void)state;
    rail_item *items = make_items(1, 150);
    for (size_t i = 0; i < 150; i++) {
        items[i].amount = NACHA_ENTRY_CENTS_MAX;
    }
    prepare_ok(ach, items, 150);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission WHERE total <= 999999999999"),
                     2);
}

// 8,000 descriptions make 8,000 batches of three lines: no file exceeds the banks' limit of 10,000 lines.
static void test_prepare__8000_descriptions__no_file_beyond_10000_lines(void **state) {
    (void)state;
    rail_item *items = make_items(1, 8000);
    for (size_t i = 0; i < 8000; i++) {
        items[i].description = str_of(arena_printf(mem, "inv %zu", i));
    }
    int64_t begin = clock_mono_ms(clock_system());
    prepare_ok(ach, items, 8000);
    int64_t prepared = clock_mono_ms(clock_system());
    assert_all(items, 8000, RAIL_HANDED_OVER);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission"), 3);
    assert_true(fixture_sql_i64("SELECT max(size) FROM submission") <= 10000 * 95);
    assert_true(fixture_sql_i64("SELECT max(size) FROM submission") > 9900 * 95);
    assert_int_equal(send_due(ach), 3);
    int64_t sent = clock_mono_ms(clock_system());
    print_message("prepare %d ms, send %d ms\n", (int)(prepared - begin), (int)(sent - prepared));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 1"), 8000);
}

static void test_prepare__36_files_a_day__the_rest_waits_without_a_storm(void **state) {
    (void)state;
    rail_item *items = make_items(1, 60);
    size_t cut = 0;
    for (size_t i = 0; i < 60; i++) {
        prepare_ok(ach, &items[i], 1);
        if (items[i].verdict == RAIL_HANDED_OVER) {
            cut++;
            continue;
        }
        assert_int_equal(items[i].verdict, RAIL_NOT_SENT);
        assert_true(str_eq_c(items[i].code, "WAITS_FOR_FILE"));
        // Not a moment later, but at the time of the next file: 14 hours of the day, 9 files.
        assert_true(items[i].retry_at_us > wall.now_us + 60 * 60 * US_PER_S);
        assert_true(items[i].retry_at_us < wall.now_us + 2 * 60 * 60 * US_PER_S);
    }
    assert_int_equal(cut, NACHA_MODIFIERS - ACH_IDS_LOW);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case"
                                     " WHERE kind = 'CONNECTION_NUMBERS' AND state = 1"),
                     1);
    // An item that comes back on time gets a file; the day's ids last until its end.
    rail_item *next = &items[59];
    while (ach_day_of(next->retry_at_us) == 20261120) {
        test_clock_advance(&wall, next->retry_at_us - wall.now_us);
        set_database_clock(ach);
        prepare_ok(ach, next, 1);
        assert_int_equal(next->verdict, RAIL_HANDED_OVER);
        next--;
        prepare_ok(ach, next, 1);
        assert_int_equal(next->verdict, RAIL_NOT_SENT);
        cut++;
    }
    assert_int_equal(cut, NACHA_MODIFIERS);
    test_clock_advance(&wall, next->retry_at_us - wall.now_us);
    set_database_clock(ach);
    prepare_ok(ach, next, 1);
    assert_true(is_named(item_file(next), ORIGIN "-20261121-A-"));
}

static void test_prepare__windows__files_are_cut_in_them_only(void **state) {
    (void)state;
    ach_settings s = settings_good();
    s.windows = "08:15,10:15,14:30";
    rail *r = open_rail(&s);
    rail_item *items = make_items(1, 3);
    prepare_ok(r, items, 1); // 10:00
    assert_int_equal(items[0].verdict, RAIL_NOT_SENT);
    assert_true(items[0].retry_at_us - (wall.now_us + 15 * 60 * US_PER_S) < 2 * US_PER_S);
    assert_true(items[0].retry_at_us - (wall.now_us + 15 * 60 * US_PER_S) > 0);
    test_clock_advance(&wall, items[0].retry_at_us - wall.now_us);
    set_database_clock(r);
    prepare_ok(r, items, 2);
    assert_all(items, 2, RAIL_HANDED_OVER);
    test_clock_advance(&wall, 11 * 60 * US_PER_S);
    set_database_clock(r);
    prepare_ok(r, &items[2], 1);
    assert_int_equal(items[2].verdict, RAIL_NOT_SENT);
    assert_int_equal(ach_day_of(items[2].retry_at_us), 20261120);
    ach_rail_destroy(r);
}

// Payouts that wait for one window come back oldest first, all within a moment.
static void test_prepare__waits_for_a_window__the_oldest_first(void **state) {
    (void)state;
    ach_settings s = settings_good();
    s.windows = "08:15,10:15,14:30";
    rail *r = open_rail(&s);
    rail_item *items = make_items(1, 3);
    for (int i = 0; i < 3; i++) { // made 20 days ago, 10 days ago, and now
        const int64_t made_ms = wall.now_us / 1000 - (2 - i) * INT64_C(864000) * 1000;
        for (int k = 0; k < 6; k++) {
            items[i].payout_id.b[k] = (uint8_t)(made_ms >> (40 - 8 * k));
        }
    }
    prepare_ok(r, items, 3); // 10:00
    assert_all(items, 3, RAIL_NOT_SENT);
    assert_true(items[0].retry_at_us < items[1].retry_at_us);
    assert_true(items[1].retry_at_us < items[2].retry_at_us);
    assert_true(items[2].retry_at_us - items[0].retry_at_us < US_PER_S / 50);
    ach_rail_destroy(r);
}

// After 9,999,999 entries the next cycle begins. A number then means two entries, the newer first.
static void test_prepare__traces_are_used_up__next_cycle(void **state) {
    (void)state;
    rail_item *items = make_items(1, 6);
    prepare_ok(ach, items, 2); // 1, 2
    fixture_sql("UPDATE submission_number SET next_number = 9999998", NULL, 0);
    prepare_ok(ach, &items[2], 2); // the last two
    assert_true(str_eq_c(items[3].reference, "121042889999999"));
    prepare_ok(ach, &items[4], 2);
    assert_all(items, 6, RAIL_HANDED_OVER);
    assert_true(str_eq_c(items[4].reference, "121042880000001") ||
                str_eq_c(items[5].reference, "121042880000001"));
    assert_int_equal(fixture_sql_i64("SELECT cycle FROM submission_number"), 2);
    assert_int_equal(send_due(ach), 3);
    assert_int_equal(
        fixture_sql_i64("SELECT count(DISTINCT (cycle, number_first)) FROM submission"), 3);
}

static void test_prepare__two_books__one_sequence_of_traces(void **state) {
    (void)state;
    rail_item *items = make_items(1, 4);
    err e = {0};
    prepare_ok(ach, items, 2);
    assert_true(rail_fixture_prepare(pool, ach, BOOK + 1, &items[2], 2, mem, &e));
    assert_int_equal(fixture_sql_i64("SELECT count(DISTINCT number) FROM submission_item"), 4);
    assert_int_equal(fixture_sql_i64("SELECT count(DISTINCT origin) FROM submission_day"), 2);
}

// A jumping clock does not date files, and its entry in a counter does not stop the days before.
static void test_prepare__clock_jumps__refused_loudly_and_nothing_stays(void **state) {
    (void)state;
    rail_item *items = make_items(1, 3);
    static const int64_t JUMPS_S[] = {INT64_C(200) * DAY_S, INT64_C(-2) * DAY_S};
    err e = {0};
    const int64_t refused_before = metric_value(self_of(ach)->clock_refused);
    for (size_t i = 0; i < 2; i++) {
        set_database_clock(ach);
        self_of(ach)->database_shift_us -= JUMPS_S[i] * US_PER_S;
        assert_false(prepare(ach, items, 1, &e));
        assert_string_equal(e.reason, "CLOCK_JUMP");
    }
    set_database_clock(ach);
    assert_int_equal(metric_value(self_of(ach)->clock_refused), refused_before + 2);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM submission_day"), 0);
    // The first version wrote such a day.
    fixture_sql("INSERT INTO submission_day VALUES (0, 1, '" ORIGIN "', '2027-05-01', 36, now(),"
                " 0, now())",
                NULL, 0);
    prepare_ok(ach, items, 1);
    assert_int_equal(items[0].verdict, RAIL_HANDED_OVER);
    assert_true(is_named(item_file(&items[0]), ORIGIN "-20261120-A-"));
}

// --- Lines that are cut ------------------------------------------------------------------------------------------------

// The line is cut after each of many numbers of bytes. The written state must never contradict the bank.
static void test_send__line_cut_anywhere__state_is_true_and_it_arrives_once(void **state) {
    (void)state;
    enum { CUTS = 25 };
    rail_item *items = make_items(1, CUTS + 1);
    int64_t counts[SUBMISSION_STATES_END] = {0};
    prepare_ok(ach, items, 1);
    sftp_server_cut_after(server, -1);
    send_due(ach);
    long whole = sftp_server_sent(server); // in a session that had to be made first
    assert_true(whole > 1500);
    for (uint32_t i = 1; i <= CUTS; i++) {
        prepare_ok(ach, &items[i], 1);
        sftp_server_cut_after(server, whole * (long)i / CUTS);
        send_due(ach);
        const bool there = sftp_server_has(server, "inbox", item_file(&items[i]));
        const int found = item_state(&items[i]);
        counts[found]++;
        if (found == SUBMISSION_SENT) {
            assert_true(there);
        } else if (found == SUBMISSION_PREPARED) {
            assert_false(there);
        } else {
            assert_true(found == SUBMISSION_SENDING || found == SUBMISSION_UNKNOWN);
        }
        sftp_server_cut_after(server, -1);
        for (int tries = 0; tries < 3 && item_state(&items[i]) != SUBMISSION_SENT; tries++) {
            send_due(ach);
        }
        assert_int_equal(item_state(&items[i]), SUBMISSION_SENT);
        assert_true(sftp_server_has(server, "inbox", item_file(&items[i])));
    }
    assert_true(counts[SUBMISSION_PREPARED] >= 1 && counts[SUBMISSION_SENT] >= 1);
    assert_true(counts[SUBMISSION_PREPARED] + counts[SUBMISSION_SENDING] > 5);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM rail_event WHERE kind = 1"), CUTS + 1);
}

static const char *first_upload(const char *folder, const rail_item *item) {
    return arena_strdup(mem, sftp_server_path(server, arena_printf(mem, "root/%s/%s.00000001.tmp",
                                                                   folder, item_file(item))));
}

// The line breaks during the write. The bank takes every file it sees in the inbox, and shows no archive.
static void test_NO_DOUBLE_taken_while_it_was_written__not_sent_again(void **state) {
    (void)state;
    rail_item *items = make_items(1, 40);
    bool taken = false;
    for (uint32_t i = 0; i < 40 && !taken; i++) {
        prepare_ok(ach, &items[i], 1);
        sftp_server_cut_after(server, 200 + 80L * i);
        send_due(ach);
        const char *const temporary = first_upload("inbox", &items[i]);
        taken = access(temporary, F_OK) == 0 &&
                !sftp_server_has(server, "inbox", item_file(&items[i])) && unlink(temporary) == 0;
        sftp_server_cut_after(server, -1);
        for (int tries = 0; tries < 3; tries++) {
            send_due(ach);
        }
        assert_int_equal(item_state(&items[i]), taken ? SUBMISSION_UNKNOWN : SUBMISSION_SENT);
        assert_int_equal(sftp_server_has(server, "inbox", item_file(&items[i])), !taken);
    }
    assert_true(taken);
}

// The bank renames and takes the file, its answer is lost, and it shows no archive.
static void test_UNKNOWN_IS_A_STATE_answer_to_rename_lost__not_uploaded_again(void **state) {
    (void)state;
    rail_item *items = make_items(1, 2);
    prepare_ok(ach, items, 1);
    send_due(ach); // the session is open now
    prepare_ok(ach, &items[1], 1);
    sftp_server_lose_answer_after(server, 1L << 40);
    send_due(ach);
    long whole = sftp_server_sent(server);
    assert_int_equal(item_state(&items[1]), SUBMISSION_SENT);
    rail_item *third = make_items(10, 1);
    prepare_ok(ach, third, 1);
    sftp_server_lose_answer_after(server, whole - 8); // the last bytes are the rename's request
    (void)submission_sender_run(self_of(ach)->sender);
    for (int i = 0; i < 250 && !sftp_server_has(server, "inbox", item_file(third)); i++) {
        rail_fixture_nap_ms(20);
    }
    assert_true(sftp_server_has(server, "inbox", item_file(third)));
    // the line stayed dead: even asking failed
    assert_int_equal(item_state(third), SUBMISSION_SENDING);
    sftp_server_lose_answer_after(server, -1);
    // The bank takes it, and shows it nowhere.
    char path[256];
    snprintf(path, sizeof path, "root/inbox/%s", item_file(third));
    assert_int_equal(unlink(sftp_server_path(server, path)), 0);
    for (int i = 0; i < 5; i++) {
        send_due(ach);
        assert_int_equal(item_state(third), SUBMISSION_UNKNOWN);
        assert_false(sftp_server_has(server, "inbox", item_file(third)));
    }
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payment_case"
                                     " WHERE kind = 'SUBMISSION_UNKNOWN'"),
                     1);
}

// The bank takes every file it sees in the inbox: unfinished files lie elsewhere.
static void test_send__upload_folder__only_whole_files_come_into_the_inbox(void **state) {
    (void)state;
    ach_settings s = settings_good();
    s.upload_dir = "staging";
    (void)mkdir(sftp_server_path(server, "root/staging"), 0700);
    rail *r = open_rail(&s);
    rail_item *item = make_items(1, 1);
    prepare_ok(r, item, 1);
    sftp_server_refuse(server, "rename,posix-rename");
    send_due(r);
    assert_int_equal(access(first_upload("inbox", item), F_OK), -1);
    assert_int_equal(access(first_upload("staging", item), F_OK), 0);
    sftp_server_refuse(server, "");
    assert_true(send_due(r) + send_due(r) + send_due(r) + send_due(r) > 0);
    assert_true(sftp_server_has(server, "inbox", item_file(item)));
    ach_rail_destroy(r);
}

// The bank took it before its rename.
static void test_NO_DOUBLE_taken_under_its_temporary_name__sent(void **state) {
    (void)state;
    rail_item *item = make_items(1, 1);
    prepare_ok(ach, item, 1);
    sftp_server_refuse(server, "rename,posix-rename");
    send_due(ach);
    assert_int_equal(rename(first_upload("inbox", item), first_upload("archive", item)), 0);
    sftp_server_refuse(server, "");
    assert_true(send_due(ach) + send_due(ach) + send_due(ach) > 0);
    assert_int_equal(item_state(item), SUBMISSION_SENT);
    assert_false(sftp_server_has(server, "inbox", item_file(item)));
}

// --- Main ------------------------------------------------------------------------------------------------------------

static int group_setup(void **state) {
    (void)state;
    log_init("ach-submission-test", LOG_ERROR + 1);
    server = sftp_server_start();
    rail_fixture_migrate();
    pool = fixture_pool(fixture_conninfo(), 6, 30000);
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
    sftp_server_empty(server, "root/inbox");
    sftp_server_empty(server, "root/archive");
    sftp_server_cut_after(server, -1);
    sftp_server_lose_answer_after(server, -1);
    rail_fixture_clear();
    mem = arena_create(256 << 20);
    test_clock_init(&wall, time_from_civil((civil_date){2026, 11, 20}) + 15 * 3600 * US_PER_S, 1);
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
        TEST(test_prepare__items__handed_over_in_one_valid_file),
        TEST(test_prepare__again__keeps_numbers_and_adds_only_the_new),
        TEST(test_NO_DOUBLE_two_instances__each_file_is_uploaded_once),
        TEST(test_send__same_file_is_at_the_bank__sent_without_upload),
        TEST(test_NO_LOSS_old_file_of_the_same_name__not_taken_for_ours),
        TEST(test_NO_DOUBLE_recovery__no_file_is_cut),
        TEST(test_query__attempts_of_the_first_version__by_their_submission),
        TEST(test_prepare__item_that_no_file_can_carry__refused_alone),
        TEST(test_prepare__descriptions__a_batch_for_each),
        TEST(test_prepare__entries_max__several_files),
        TEST(test_prepare__total_over_12_digits__several_files),
        TEST(test_prepare__8000_descriptions__no_file_beyond_10000_lines),
        TEST(test_prepare__36_files_a_day__the_rest_waits_without_a_storm),
        TEST(test_prepare__windows__files_are_cut_in_them_only),
        TEST(test_prepare__waits_for_a_window__the_oldest_first),
        TEST(test_prepare__traces_are_used_up__next_cycle),
        TEST(test_prepare__two_books__one_sequence_of_traces),
        TEST(test_prepare__clock_jumps__refused_loudly_and_nothing_stays),
        TEST(test_send__line_cut_anywhere__state_is_true_and_it_arrives_once),
        TEST(test_send__upload_folder__only_whole_files_come_into_the_inbox),
        TEST(test_NO_DOUBLE_taken_under_its_temporary_name__sent),
        TEST(test_NO_DOUBLE_taken_while_it_was_written__not_sent_again),
        TEST(test_UNKNOWN_IS_A_STATE_answer_to_rename_lost__not_uploaded_again),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
