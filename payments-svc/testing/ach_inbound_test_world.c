// The world for tests of a bank's files: a real database and a real sshd.
#include "testing/ach_inbound_test_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "testing/fixture.h"
#include "testing/rail_fixture.h"

sftp_server *server;
db_pool *pool;
crypto_keyring *keys;
test_clock wall;
static clock_source clock_of_test;
inbox *box;
rail *ach;
strbuf text;
atomic_int woken;
char ids[16][16];

static int64_t real_mono(void *self) {
    (void)self;
    return clock_mono_us(clock_system());
}

rail *open_rail(int64_t quiet_ms) {
    const ach_settings s = {
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
        .quiet_ms = quiet_ms,
        .returns_days = 60,
        .rebuild_reasons = "bad header, Because,wrong*",
        .refusal_reasons = "R03,R04,no such *",
    };
    err e = {0};
    rail *r = ach_rail_create(RAIL_ACH, "ach", &s, pool, keys, &clock_of_test, &e);
    if (r == NULL) {
        fail_msg("%s %s", e.message, e.detail);
    }
    ach_rail_use_inbox(r, box);
    return r;
}

// A file that was sent for a book three days ago: n entries of 1000, 2000, … cents with the traces 1 … n.
void send_entries(int book, int n) {
    char sql[4096];
    snprintf(
        sql, sizeof sql,
        "INSERT INTO submission (book_id, submission_id, connection, kind, name, origin, cycle,"
        " number_first, number_last, items, total, currency, size, sha256, content_sealed, seal,"
        " generation, window_at, stale_at, created_at, state, changed_at) VALUES (%d,"
        " ('01930000-0000-7000-9000-00000000000%d')::uuid, 1, 1, '19%08d-20261121-A.ach', '', 0, 1,"
        " %d, %d, %d, 'USD', 0, decode(repeat('00', 32), 'hex'), '', 'submission', 1, now(), now(),"
        " '2026-11-21T09:00:00Z', 3, now());"
        "INSERT INTO submission_directory SELECT 0, submission_id, 1, book_id, name, 0, 1, items"
        " FROM submission WHERE book_id = %d;"
        "INSERT INTO submission_item (book_id, number, payout_id, attempt, amount, submission_id)"
        " SELECT %d, i, ('0193000%d-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 1, i * "
        "1000,"
        " ('01930000-0000-7000-9000-00000000000%d')::uuid FROM generate_series(1, %d) i;"
        "INSERT INTO payout (book_id, payout_id, merchant_id, recipient_id, amount, currency, rail,"
        " external_reference, description, created_at, intent_id) SELECT book_id, payout_id, 'm',"
        " payout_id, amount, 'USD', 1, '', '', '2026-11-21T09:00:00Z', payout_id FROM"
        " submission_item WHERE book_id = %d;"
        "INSERT INTO recipient (book_id, recipient_id, merchant_id, holder_type, account_type,"
        " currency, routing_code, account_last4, name_sealed, account_sealed, created_at)"
        " SELECT book_id, payout_id, 'm', 1, 1, 'USD', '231380104', '5678', '', '',"
        " '2026-11-21T09:00:00Z' FROM submission_item WHERE book_id = %d",
        book, book, book, n, n, n * (n + 1) / 2 * 1000, book, book, book, book, n, book, book);
    fixture_sql(sql, NULL, 0);
}

// A return of the entry of this number, as its bank would write it.
bank_entry return_of(int n, const char *code) {
    static const char *const TRACES[] = {"121042880000000", "121042880000001", "121042880000002",
                                         "121042880000003", "121042880000004", "121042880000005",
                                         "121042880000006", "121042880000007", "121042880000008",
                                         "121042880000009"};
    snprintf(ids[n], sizeof ids[n], "%015X", n);
    return (bank_entry){
        .code = code, .trace = TRACES[n], .amount = n * 1000, .individual_id = ids[n]};
}

void put_bytes(const char *name, str bytes) {
    char path[400];
    snprintf(path, sizeof path, "root/outbox/%s", name);
    FILE *out = fopen(sftp_server_path(server, path), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, out), bytes.len);
    assert_int_equal(fclose(out), 0);
}

void put_text(const char *name, const char *content) {
    put_bytes(name, str_of(content));
}

void put_file(const char *name, const bank_file *f) {
    strbuf_clear(&text);
    bank_file_write(f, &text);
    assert_true(strbuf_ok(&text));
    put_bytes(name, strbuf_str(&text));
}

void put_returns(const char *name, const char *company, const bank_entry *entries, size_t n) {
    const bank_batch b = {.company_id = company, .entries = entries, .n = n};
    const bank_file f = {.batches = &b, .n = 1};
    put_file(name, &f);
}

bool is_there(const char *folder, const char *name) {
    char path[400];
    snprintf(path, sizeof path, "root/%s/%s", folder, name);
    return access(sftp_server_path(server, path), F_OK) == 0;
}

void look_once(void) {
    err e = {0};
    if (!ach_inbound_poll(ach->self, &e)) {
        fail_msg("%s: %s %s", e.reason, e.message, e.detail);
    }
}

// Two looks: a file must stand still between them.
void look(void) {
    look_once();
    look_once();
}

void assert_count(const char *table_and_condition, int64_t n) {
    char sql[1024];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table_and_condition);
    const int64_t got = fixture_sql_i64(sql);
    if (got != n) {
        fail_msg("%" PRId64 " rows, not %" PRId64 ": %s", got, n, sql);
    }
}

void assert_odd(const char *reason, int64_t n) {
    char condition[256];
    snprintf(condition, sizeof condition, "inbox_exception WHERE reason = '%s'", reason);
    assert_count(condition, n);
}

// --- Life ------------------------------------------------------------------------------------------------------------

int ach_world_begin(void **state) {
    (void)state;
    log_init("ach-inbound-test", LOG_ERROR + 1);
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

int ach_world_end(void **state) {
    (void)state;
    crypto_keyring_destroy(keys);
    db_pool_destroy(pool);
    sftp_server_stop(server);
    return 0;
}

int ach_world_setup(void **state) {
    (void)state;
    static const char *const FOLDERS[] = {"root/outbox", "root/outbox/done", "root/outbox/bad"};
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++) {
        sftp_server_empty(server, FOLDERS[i]);
    }
    rail_fixture_clear();
    strbuf_init(&text, 1 << 20);
    atomic_store(&woken, 0);
    test_clock_init(&wall,
                    time_from_civil((civil_date){2026, 11, 24}) + INT64_C(9) * 3600 * 1000000, 1);
    clock_of_test = wall.source;
    clock_of_test.mono_us = real_mono;
    box = inbox_create(pool, keys, &clock_of_test);
    inbox_set_wake(box, rail_fixture_wake, &woken);
    ach = open_rail(0);
    return 0;
}

int ach_world_teardown(void **state) {
    (void)state;
    ach_rail_destroy(ach);
    inbox_destroy(box);
    strbuf_deinit(&text);
    return 0;
}
