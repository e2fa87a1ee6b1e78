// Pages of a journal that was damaged behind our back, with a private PostgreSQL.
#include <stdio.h>

#include "testing/bench_journal.h"

#include "query/query.h"
#include "testing/fixture.h"

static bench_instance instance;

static bool read_transfers(db_conn *c, arena *a, void *arg, err *e) {
    return query_transfers_read(instance.j, c, a, arg, e);
}

// A book of n rows that name account 1, with one row removed.
static int64_t make_damaged_book(int64_t n, int64_t removed) {
    char sql[128];
    const int64_t book = bench_new_book();
    bench_make_accounts(&instance, book, 2, 0);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(
            bench_commit_one(&instance, book, bench_event(book, 100 + (uint64_t)i, 1, 2, 1)),
            LEDGER_TRANSFER_CREATED);
    }
    (void)snprintf(sql, sizeof sql, "DELETE FROM transfer WHERE book_id = %lld AND sequence = %lld",
                   (long long)book, (long long)removed);
    fixture_sql(sql, NULL, 0);
    return book;
}

static query_transfers page_of(int64_t book, size_t page_size, bool newest_first) {
    return (query_transfers){.book_id = book,
                             .page_size = page_size,
                             .newest_first = newest_first,
                             .filter = {.has_account = true, .account_id = bench_uuid(book, 1)}};
}

static void expect_missing(db_pool *pool, int64_t book, size_t page_size) {
    arena *a = arena_create(1 << 20);
    for (int newest_first = 0; newest_first < 2; newest_first++) {
        err e = {0};
        query_transfers q = page_of(book, page_size, newest_first != 0);
        assert_false(db_read(pool, fixture_deadline(60000), a, read_transfers, &q, &e));
        assert_int_equal(e.code, ERR_INTERNAL);
        assert_string_equal(e.reason, "JOURNAL_ROW_MISSING");
    }
    arena_destroy(a);
}

static void test_transfers__a_row_was_removed__refused_and_not_left_out(void **state) {
    (void)state;
    const int64_t book = make_damaged_book(5, 3);
    arena *a = arena_create(1 << 20);
    err e = {0};
    expect_missing(instance.pool, book, 2); // the third row tells whether there are more
    query_transfers q = page_of(book, 1, true);
    assert_true(db_read(instance.pool, fixture_deadline(5000), a, read_transfers, &q, &e));
    assert_int_equal(q.n, 1);
    assert_int_equal(q.rows[0].sequence, 5);
    arena_destroy(a);
}

// Pages that are read in two halves, with a spare connection for one half and without.
static void test_transfers__a_row_of_either_half_was_removed__refused(void **state) {
    (void)state;
    enum { ROWS = 70 };
    db_pool *pools[] = {fixture_pool(bench_service_conninfo(), 1, 5000),
                        fixture_pool(bench_service_conninfo(), 2, 5000)};
    fixture_open_idle(pools[1], 2);
    for (int64_t removed = 1; removed <= ROWS; removed += ROWS - 1) {
        const int64_t book = make_damaged_book(ROWS, removed);
        for (size_t i = 0; i < 2; i++) {
            expect_missing(pools[i], book, ROWS);
        }
    }
    db_pool_destroy(pools[0]);
    db_pool_destroy(pools[1]);
}

static int start(void **state) {
    (void)state;
    bench_database();
    instance = bench_start(NULL, NULL);
    return 0;
}

static int stop(void **state) {
    (void)state;
    bench_stop(&instance);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfers__a_row_was_removed__refused_and_not_left_out),
        cmocka_unit_test(test_transfers__a_row_of_either_half_was_removed__refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
