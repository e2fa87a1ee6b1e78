// Kept sums of payouts against a real PostgreSQL: at every moment they equal a full count.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "jobs/sums.h"
#include "payouts/payouts_sql.h"
#include "testing/fixture.h"

static db_pool *pool;
static arena *memory;

static int setup(void **state) {
    (void)state;
    log_init("sums-test", LOG_ERROR);
    pool = fixture_payments_pool(JOBS_TEST_MIGRATIONS, 4, 20000);
    memory = arena_create((size_t)64 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    db_pool_destroy(pool);
    arena_destroy(memory);
    return 0;
}

static int fresh(void **state) {
    (void)state;
    arena_reset(memory);
    fixture_sql("TRUNCATE payout, saga, merchant_book, job, payout_sum, payout_sum_upto, "
                "payout_apart; INSERT INTO merchant_book VALUES ('one', 7), ('two', 7), ('far', 9)",
                NULL, 0);
    return 0;
}

// n payouts of a merchant, one per minute, the last so many minutes ago, in a state.
static void payouts(int book, const char *merchant, int n, int minutes_ago, int state) {
    char sql[1400];
    (void)snprintf(
        sql, sizeof sql,
        "WITH new AS (SELECT (lpad(to_hex((extract(epoch FROM now() - (%d + n) * interval '1 min') "
        "* 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8' || "
        "substr(md5(random()::text), 4, 15))::uuid AS id, n FROM generate_series(0, %d - 1) AS n), "
        "p AS (INSERT INTO payout (book_id, payout_id, merchant_id, recipient_id, amount, "
        "currency, "
        "rail, external_reference, description, created_at, intent_id) SELECT %d, id, '%s', id, "
        "100 + n, CASE n %% 3 WHEN 0 THEN 'EUR' ELSE 'USD' END, 1 + n %% 2, '', '', now(), id "
        "FROM new) INSERT INTO saga (book_id, payout_id, rail, step, phase, state, attempt, tries, "
        "log_seq, events, events_seen, due_at, epoch, reason, reason_text, rail_reference, "
        "updated_at, step_since) SELECT %d, id, 1 + n %% 2, 8, 0, %d, 1, 3, 2, 0, 0, NULL, 1, '', "
        "'', '', now(), now() FROM new",
        minutes_ago, n, book, merchant, book, state);
    fixture_sql(sql, NULL, 0);
}

static bool read_summary(db_conn *c, arena *a, void *arg, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, 7);
    db_text(p, STR("one"));
    return db_exec(c, payouts_sql(PAYOUTS_SQL_SUMMARY), p, a, arg, NULL, e);
}

static void assert_exact(void) {
    char counted[2000];
    fixture_sql("SELECT coalesce(string_agg(concat_ws(' ', state, rail, currency, n, total), '; ' "
                "ORDER BY state, rail, currency), '') FROM (SELECT s.state, p.rail, p.currency, "
                "count(*) AS n, sum(p.amount) AS total FROM payout p JOIN saga s USING (book_id, "
                "payout_id) WHERE book_id = 7 AND merchant_id = 'one' GROUP BY 1, 2, 3) AS t",
                counted, sizeof counted);
    db_rows *rows = NULL;
    err e = {0};
    assert_true(db_read(pool, fixture_deadline(20000), memory, read_summary, &rows, &e));
    strbuf text;
    char kept[2000];
    strbuf_init_fixed(&text, kept, sizeof kept);
    for (size_t i = 0; i < db_count(rows); i++) {
        const str currency = db_get_str(rows, i, 2), total = db_get_str(rows, i, 4);
        strbuf_printf(&text, "%s%d %d %.*s %lld %.*s", i == 0 ? "" : "; ", db_get_i16(rows, i, 0),
                      db_get_i16(rows, i, 1), (int)currency.len, currency.ptr,
                      (long long)db_get_i64(rows, i, 3), (int)total.len, total.ptr);
    }
    assert_true(strbuf_ok(&text));
    assert_string_equal(kept, counted);
}

static void add(void) {
    bool ran = false;
    err e = {0};
    const job sums = sums_job(1000);
    fixture_sql("UPDATE job SET next_at = now() - interval '1 s'", NULL, 0);
    if (!jobs_run_one(pool, clock_system(), &sums, memory, &ran, &e)) {
        fail_msg("%s %s %s", e.reason, e.message, e.detail);
    }
    assert_true(ran);
}

enum { OLD = 3 * 1440 };

static void test_sums__are_what_counting_all_says(void **state) {
    (void)state;
    assert_exact();
    payouts(7, "one", 500, OLD, 6);
    payouts(7, "one", 40, OLD, 7);
    payouts(7, "one", 30, OLD, 5);
    payouts(7, "one", 20, 10, 6);
    payouts(7, "two", 50, OLD, 6);
    payouts(9, "far", 5, OLD, 6);
    assert_exact();
    add();
    assert_exact();
    assert_int_equal(fixture_sql_i64("SELECT sum(n) FROM payout_sum"), 500 + 40 + 50 + 5);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payout_apart"), 30);
    add(); // no payout is added twice
    assert_exact();
    assert_int_equal(fixture_sql_i64("SELECT sum(n) FROM payout_sum"), 595);
}

static void test_sums__a_history_is_added_in_pieces(void **state) {
    (void)state;
    payouts(7, "one", 50000, OLD, 6);
    add();
    assert_exact();
    assert_int_equal(fixture_sql_i64("SELECT sum(n) FROM payout_sum"), 50000);
}

// Moves payouts as the saga does: kept apart in the same transaction.
static void turn(const char *which, int to) {
    char sql[600];
    (void)snprintf(sql, sizeof sql,
                   "BEGIN; INSERT INTO payout_apart SELECT s.book_id, p.merchant_id, s.payout_id, "
                   "s.state FROM saga s JOIN payout p USING (book_id, payout_id) WHERE %s AND "
                   "s.state IN (6, 7, 8, 9) ON CONFLICT (book_id, merchant_id, payout_id) DO "
                   "UPDATE SET counted_as = payout_apart.counted_as; "
                   "UPDATE saga s SET state = %d WHERE %s; COMMIT",
                   which, to, which);
    fixture_sql(sql, NULL, 0);
}

static void test_sums__what_leaves_its_end_is_counted_as_it_stands(void **state) {
    (void)state;
    payouts(7, "one", 100, OLD, 6);
    payouts(7, "one", 10, OLD, 5);
    payouts(7, "one", 10, 1, 6);
    turn("s.payout_id IN (SELECT payout_id FROM saga WHERE state = 6 ORDER BY payout_id LIMIT 5)",
         8); // before the sums have them
    assert_exact();
    add();
    assert_exact();
    turn("s.payout_id IN (SELECT payout_id FROM saga WHERE state = 6 ORDER BY payout_id LIMIT 7)",
         10);               // held
    turn("s.state = 5", 6); // payouts that were open
    assert_exact();
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payout_apart"), 7 + 10);
    turn("s.state = 8 OR s.payout_id IN (SELECT payout_id FROM saga WHERE state = 10 LIMIT 3)", 7);
    turn("s.state = 7", 8); // again
    assert_exact();
    add(); // takes finished ones in
    assert_exact();
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payout_apart"), 4);
    assert_int_equal(fixture_sql_i64("SELECT sum(n) FROM payout_sum WHERE state = 8"), 8);
    turn("s.state = 10", 6);
    add();
    assert_exact();
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM payout_apart"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sums__are_what_counting_all_says, fresh),
        cmocka_unit_test_setup(test_sums__a_history_is_added_in_pieces, fresh),
        cmocka_unit_test_setup(test_sums__what_leaves_its_end_is_counted_as_it_stands, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
