// The posting rules' results must survive the database: each test stops the instance and goes on with a fresh one.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "journal/entries.h"
#include "store/store.h"
#include "testing/bench_journal.h"
#include "testing/fixture.h"

#define EXPECT_STATUS(actual, wanted)                                                              \
    assert_string_equal(ledger_transfer_status_name(actual), #wanted)
#define EXPECT_ACCOUNT(actual, wanted)                                                             \
    assert_string_equal(ledger_account_status_name(actual), #wanted)

enum { DC = LEDGER_ACCOUNT_FLAG_DEBITS_MUST_NOT_EXCEED_CREDITS };

static bench_answer answer;

static void restart(bench_instance *i) {
    bench_stop(i);
    *i = bench_start(NULL, NULL);
}

static ledger_account_event account_event(int64_t book, uint64_t n) {
    return (ledger_account_event){.id = bench_uuid(book, n),
                                  .code = 10,
                                  .flags = DC,
                                  .currency = ledger_currency_pack(STR("USD"))};
}

static ledger_transfer_event reversal(int64_t book, uint64_t id, uint64_t of) {
    return (ledger_transfer_event){.id = bench_uuid(book, id), .reverses_id = bench_uuid(book, of)};
}

static ledger_transfer_event flagged(ledger_transfer_event t, uint32_t flags) {
    t.flags |= flags;
    return t;
}

// sql ends where the book's id goes.
static int64_t in_book(const char *sql, int64_t book) {
    char text[512];
    (void)snprintf(text, sizeof text, "%s%lld", sql, (long long)book);
    return fixture_sql_i64(text);
}

typedef struct lookup {
    journal *j;
    int64_t book;
    uuid id;
    ledger_account account;
    ledger_row row;
} lookup;

static bool read_account(db_conn *c, arena *a, void *arg, err *e) {
    lookup *l = arg;
    const store_ids ids = {&l->id, 1};
    ledger_account *accounts = NULL;
    size_t n = 0;
    bool exists = false;
    int64_t sequence = 0;
    if (!journal_read_accounts(l->j, c, a, l->book, ids, &exists, &sequence, &accounts, &n, e)) {
        return false;
    }
    ASSERT(exists && n == 1);
    l->account = accounts[0];
    return true;
}

static bool read_row(db_conn *c, arena *a, void *arg, err *e) {
    lookup *l = arg;
    const store_ids ids = {&l->id, 1};
    ledger_row *rows = NULL;
    size_t n = 0;
    bool exists = false;
    if (!store_lookup_transfers(c, a, l->book, ids, &exists, &rows, &n, e)) {
        return false;
    }
    ASSERT(exists && n == 1);
    l->row = rows[0];
    return true;
}

// The texts of the rows live as long as the arena.
static lookup look_up(bench_instance *i, arena *a, db_tx_fn fn, int64_t book, uint64_t n) {
    lookup l = {.j = i->j, .book = book, .id = bench_uuid(book, n)};
    err e = {0};
    MUST(db_read(i->pool, fixture_deadline(5000), a, fn, &l, &e));
    return l;
}

static void test_labels_and_credit_line__come_back_from_the_journal(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    ledger_account_event accounts[2] = {account_event(book, 1), account_event(book, 2)};
    accounts[0].lowest_balance = -100;
    accounts[0].external_reference = STR("iban:1");
    accounts[0].metadata = STR("\4tier\0\4gold");
    accounts[0].flags |= LEDGER_ACCOUNT_FLAG_HISTORY;
    ledger_account_result results[2];
    bench_commit_accounts(&i, book, accounts, 2, results);
    EXPECT_ACCOUNT(results[0].status, CREATED);
    restart(&i);
    bench_commit_accounts(&i, book, accounts, 2, results);
    EXPECT_ACCOUNT(results[0].status, EXISTS);
    accounts[0].metadata = STR("");
    accounts[1].id = bench_uuid(book, 3);
    accounts[1].external_reference = STR("iban:1");
    bench_commit_accounts(&i, book, accounts, 2, results);
    EXPECT_ACCOUNT(results[0].status, EXISTS_WITH_DIFFERENT_METADATA);
    EXPECT_ACCOUNT(results[1].status, EXTERNAL_REFERENCE_EXISTS);

    ledger_transfer_event t = bench_event(book, 100, 1, 2, 101);
    EXPECT_STATUS(bench_commit_one(&i, book, t), EXCEEDS_CREDITS);
    t = bench_event(book, 101, 1, 2, 100);
    t.external_reference = STR("invoice 7");
    t.metadata = STR("\1a\0\0\1b\0\1c");
    EXPECT_STATUS(bench_commit_one(&i, book, t), CREATED);
    restart(&i);
    EXPECT_STATUS(bench_commit_one(&i, book, t), EXISTS);
    t.external_reference = STR("invoice 8");
    EXPECT_STATUS(bench_commit_one(&i, book, t), EXISTS_WITH_DIFFERENT_EXTERNAL_REFERENCE);

    arena *a = arena_create(1 << 20);
    const lookup account = look_up(&i, a, read_account, book, 1);
    assert_int_equal(account.account.lowest_balance, -100);
    assert_true(str_eq(account.account.external_reference, STR("iban:1")));
    assert_true(str_eq(account.account.metadata, STR("\4tier\0\4gold")));
    const lookup row = look_up(&i, a, read_row, book, 101);
    assert_true(str_eq(row.row.external_reference, STR("invoice 7")));
    assert_true(str_eq(row.row.metadata, STR("\1a\0\0\1b\0\1c")));
    arena_destroy(a);
    assert_int_equal(in_book("SELECT count(*) FROM account_metadata WHERE key = 'tier' AND "
                             "value = 'gold' AND book_id = ",
                             book),
                     1);
    assert_int_equal(in_book("SELECT count(*) FROM transfer_metadata WHERE sequence = 1 AND "
                             "(key, value) IN (('a', ''), ('b', 'c')) AND book_id = ",
                             book),
                     2);
    bench_check_book(book);
    bench_stop(&i);
}

static void test_case_48_closing__across_restarts_and_the_clock(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 3, 0);
    const uint32_t closing = LEDGER_TRANSFER_FLAG_PENDING | LEDGER_TRANSFER_FLAG_CLOSING_DEBIT;
    EXPECT_STATUS(bench_commit_one(&i, book, flagged(bench_event(book, 100, 1, 2, 0), closing)),
                  CREATED);
    ledger_transfer_event by_clock = flagged(bench_event(book, 101, 3, 2, 0), closing);
    by_clock.timeout_s = 60;
    EXPECT_STATUS(bench_commit_one(&i, book, by_clock), CREATED);
    restart(&i);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 102, 1, 2, 1)),
                  DEBIT_ACCOUNT_ALREADY_CLOSED);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 103, 2, 3, 1)),
                  CREDIT_ACCOUNT_ALREADY_CLOSED);
    const ledger_transfer_event open = {.id = bench_uuid(book, 104),
                                        .pending_id = bench_uuid(book, 100),
                                        .flags = LEDGER_TRANSFER_FLAG_VOID};
    EXPECT_STATUS(bench_commit_one(&i, book, open), CREATED);
    restart(&i);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 105, 1, 2, 1)), CREATED);
    bench_clock_shift(INT64_C(61000000));
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 106, 2, 3, 1)), CREATED);
    bench_clock_shift(0);
    restart(&i);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 107, 3, 2, 1)), CREATED);
    bench_check_book(book);
    bench_stop(&i);
}

static void test_case_57_imported__keeps_both_times(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    ledger_account_event accounts[2] = {account_event(book, 1), account_event(book, 2)};
    for (int k = 0; k < 2; k++) {
        accounts[k].flags = LEDGER_ACCOUNT_FLAG_IMPORTED;
        accounts[k].timestamp_us = 1000 + k;
    }
    ledger_account_result results[2];
    bench_commit_accounts(&i, book, accounts, 2, results);
    EXPECT_ACCOUNT(results[1].status, CREATED);
    restart(&i);
    bench_commit_accounts(&i, book, accounts, 2, results);
    EXPECT_ACCOUNT(results[0].status, EXISTS);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100, 1, 2, 5)), CREATED);
    ledger_transfer_event old =
        flagged(bench_event(book, 101, 1, 2, 7), LEDGER_TRANSFER_FLAG_IMPORTED);
    old.timestamp_us = 1001;
    EXPECT_STATUS(bench_commit_one(&i, book, old),
                  IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT);
    old.timestamp_us = 1002;
    EXPECT_STATUS(bench_commit_one(&i, book, old), CREATED);
    restart(&i);
    EXPECT_STATUS(bench_commit_one(&i, book, old), EXISTS);
    old.timestamp_us = 1003;
    EXPECT_STATUS(bench_commit_one(&i, book, old), EXISTS_WITH_DIFFERENT_TIMESTAMP);
    arena *a = arena_create(1 << 20);
    const lookup row = look_up(&i, a, read_row, book, 101);
    assert_int_equal(row.row.effective_us, 1002);
    assert_int_equal(row.row.sequence, 2);
    const lookup live = look_up(&i, a, read_row, book, 100);
    assert_true(row.row.timestamp_us > live.row.timestamp_us);
    assert_int_equal(live.row.effective_us, live.row.timestamp_us);
    const lookup account = look_up(&i, a, read_account, book, 2);
    assert_int_equal(account.account.effective_us, 1001);
    assert_true(account.account.timestamp_us > 1001);
    arena_destroy(a);
    bench_check_book(book);
    bench_stop(&i);
}

static void test_case_58_reversal__once_for_ever(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 1, 0);
    const ledger_account_event limited[2] = {account_event(book, 2), account_event(book, 3)};
    ledger_account_result results[2];
    bench_commit_accounts(&i, book, limited, 2, results);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 100, 1, 2, 30)), CREATED);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 101, 2, 3, 30)), CREATED);
    restart(&i);
    EXPECT_STATUS(bench_commit_one(&i, book, reversal(book, 200, 100)), EXCEEDS_CREDITS);
    const ledger_transfer_event forced =
        flagged(reversal(book, 201, 100), LEDGER_TRANSFER_FLAG_FORCED);
    EXPECT_STATUS(bench_commit_one(&i, book, forced), CREATED);
    restart(&i);
    EXPECT_STATUS(bench_commit_one(&i, book, forced), EXISTS);
    const ledger_transfer_event again = reversal(book, 202, 100);
    bench_commit(&i, book, &again, 1, 5000, &answer);
    assert_true(answer.ok);
    EXPECT_STATUS(answer.status[0], ALREADY_REVERSED);
    assert_true(answer.has_row[0]);
    assert_true(uuid_eq(answer.rows[0].id, bench_uuid(book, 201)));
    assert_int_equal(answer.rows[0].sequence, 3);
    assert_int_equal(answer.rows[0].amount, 30);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 102, 2, 3, 1)), EXCEEDS_CREDITS);
    EXPECT_STATUS(bench_commit_one(&i, book, bench_event(book, 103, 1, 2, 30)), CREATED);
    bench_await_checkpoint(book);
    assert_int_equal(in_book("SELECT count(*) FROM account WHERE state <> 0 AND book_id = ", book),
                     0);
    EXPECT_STATUS(bench_commit_one(&i, book, reversal(book, 203, 101)), CREATED);
    bench_check_book(book);
    bench_stop(&i);
}

static void test_reversal__two_instances_at_once__one_created(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i[2] = {bench_start(NULL, NULL), bench_start(NULL, NULL)};
    bench_make_accounts(&i[0], book, 2, 0);
    for (uint64_t n = 0; n < 10; n++) {
        EXPECT_STATUS(bench_commit_one(&i[n % 2], book, bench_event(book, 100 + n, 1, 2, 1)),
                      CREATED);
        EXPECT_STATUS(bench_commit_one(&i[0], book, reversal(book, 200 + n, 100 + n)), CREATED);
        EXPECT_STATUS(bench_commit_one(&i[1], book, reversal(book, 300 + n, 100 + n)),
                      ALREADY_REVERSED);
    }
    bench_check_book(book);
    bench_stop(&i[0]);
    bench_stop(&i[1]);
}

static void test_groups__are_found_in_the_journal(void **state) {
    (void)state;
    const int64_t book = bench_new_book();
    bench_instance i = bench_start(NULL, NULL);
    bench_make_accounts(&i, book, 2, 0);
    const uint32_t linked = LEDGER_TRANSFER_FLAG_LINKED;
    const ledger_transfer_event batch[] = {bench_event(book, 100, 1, 2, 1),
                                           bench_event(book, 101, 1, 2, 1),
                                           flagged(bench_event(book, 102, 1, 2, 1), linked),
                                           flagged(bench_event(book, 103, 1, 2, 1), linked),
                                           bench_event(book, 104, 1, 2, 1),
                                           flagged(bench_event(book, 105, 1, 2, 1), linked),
                                           bench_event(book, 106, 1, 2, 1)};
    bench_commit(&i, book, batch, 7, 5000, &answer);
    assert_true(answer.ok);
    const uuid asked[] = {bench_uuid(book, 103), bench_uuid(book, 100), bench_uuid(book, 999),
                          bench_uuid(book, 106), bench_uuid(book, 102)};
    const size_t sizes[] = {3, 1, 0, 2, 3};
    const uint64_t firsts[] = {102, 100, 0, 105, 102};
    arena *a = arena_create(1 << 20);
    db_conn *c = db_pool_checkout(i.pool, fixture_deadline(5000), NULL);
    ASSERT(c != NULL);
    bool exists = false;
    store_group *groups = NULL;
    err e = {0};
    assert_true(store_read_groups(c, a, book, (store_ids){asked, 5}, &exists, &groups, &e));
    assert_true(exists);
    for (size_t k = 0; k < 5; k++) {
        assert_int_equal(groups[k].n, sizes[k]);
        for (size_t m = 0; m < groups[k].n; m++) {
            assert_true(uuid_eq(groups[k].ids[m], bench_uuid(book, firsts[k] + m)));
        }
    }
    db_pool_checkin(i.pool, c);
    arena_destroy(a);
    bench_stop(&i);
}

static int database(void **state) {
    (void)state;
    bench_database();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_and_credit_line__come_back_from_the_journal),
        cmocka_unit_test(test_case_48_closing__across_restarts_and_the_clock),
        cmocka_unit_test(test_case_57_imported__keeps_both_times),
        cmocka_unit_test(test_case_58_reversal__once_for_ever),
        cmocka_unit_test(test_reversal__two_instances_at_once__one_created),
        cmocka_unit_test(test_groups__are_found_in_the_journal),
    };
    return cmocka_run_group_tests(tests, database, NULL);
}
