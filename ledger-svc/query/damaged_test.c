// Pages of a journal that somebody has damaged behind our back, with a private PostgreSQL.
#include <stdio.h>

#include "testing/bench_journal.h"

#include "query/query.h"
#include "testing/fixture.h"

static bench_instance instance;

static bool read_transfers(db_conn *c, arena *a, void *arg, err *e) {
    return query_transfers_read(instance.j, c, a, arg, e);
}

// A book of five rows that name account 1, less the third.
static int64_t make_damaged_book(void) {
    char sql[128];
    const int64_t book = bench_new_book();
    bench_make_accounts(&instance, book, 2, 0);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(bench_commit_one(&instance, book, bench_event(book, 100 + i, 1, 2, 1)),
                         LEDGER_TRANSFER_CREATED);
    }
    (void)snprintf(sql, sizeof sql, "DELETE FROM transfer WHERE book_id = %lld AND sequence = 3",
                   (long long)book);
    fixture_sql(sql, NULL, 0);
    return book;
}

static void transfers__a_row_was_removed__refused_and_not_left_out(void **state) {
    (void)state;
    const int64_t book = make_damaged_book();
    arena *a = arena_create(1 << 20);
    err e;
    query_transfers q = {.book_id = book,
                         .page_size = 2,
                         .filter = {.has_account = true, .account_id = bench_uuid(book, 1)}};
    for (int newest_first = 0; newest_first < 2;
         newest_first++) { // the third is looked at to know whether there is more
        q.newest_first = newest_first != 0;
        assert_false(db_read(instance.pool, fixture_deadline(5000), a, read_transfers, &q, &e));
        assert_int_equal(e.code, ERR_INTERNAL);
        assert_string_equal(e.reason, "JOURNAL_ROW_MISSING");
    }
    q.page_size = 1;
    assert_true(db_read(instance.pool, fixture_deadline(5000), a, read_transfers, &q, &e));
    assert_int_equal(q.n, 1);
    assert_int_equal(q.rows[0].sequence, 5);
    arena_destroy(a);
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
        cmocka_unit_test(transfers__a_row_was_removed__refused_and_not_left_out),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
