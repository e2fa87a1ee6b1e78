// Sessions whose client stands still, against a real database.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "db_internal.h"
#include "testing/fixture.h"

enum { IDLE_MS = 300 };

static db_pool *others; // of the process that stands still
static db_pool *pool;
static arena *mem;

static int setup(void **state) {
    (void)state;
    char conninfo[512];
    fixture_sql("DROP TABLE IF EXISTS stalled_t; CREATE TABLE stalled_t (id int8 PRIMARY KEY)",
                NULL, 0);
    (void)snprintf(conninfo, sizeof conninfo,
                   "%s options='-c idle_in_transaction_session_timeout=%d'", fixture_conninfo(),
                   IDLE_MS);
    others = fixture_pool(fixture_conninfo(), 3, 20000);
    pool = fixture_pool(conninfo, 3, 20000);
    mem = arena_create(1 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    db_pool_destroy(pool);
    db_pool_destroy(others);
    return 0;
}

static db_conn *begin(db_pool *p) {
    err e = {0};
    db_conn *c = db_pool_checkout(p, fixture_deadline(5000), &e);
    assert_non_null(c);
    assert_true(db_begin(c, fixture_deadline(20000), &e));
    return c;
}

static int64_t end_stalled_now(void) {
    err e = {0};
    int64_t n = -1;
    assert_true(db_end_stalled(pool, fixture_deadline(5000), mem, &n, &e));
    arena_reset(mem);
    return n;
}

// Fails when nothing ends within 20 s.
static void await_ended(void) {
    const int64_t until_ms = fixture_deadline(20000);
    while (end_stalled_now() == 0) {
        assert_true(db_now_ms() < until_ms);
    }
}

static void
test_stalled__in_the_middle_of_copy__ended_after_the_time_and_its_lock_is_free(void **s) {
    (void)s;
    err e = {0};
    db_conn *c = begin(others);
    const int64_t start_ms = db_now_ms();
    db_copy *w = db_copy_begin(c, "stalled_t", "id", 1, &e);
    assert_non_null(w);
    db_copy_row(w);
    db_copy_i64(w, 1);
    await_ended();
    assert_true(db_now_ms() - start_ms >= IDLE_MS);
    assert_false(db_copy_end(w, NULL, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_true(e.flags & ERR_CONNECTION_LOST);
    db_rollback(c);
    db_pool_checkin(others, c);
    fixture_sql("SET lock_timeout = '5s'; LOCK TABLE stalled_t IN ACCESS EXCLUSIVE MODE; RESET "
                "lock_timeout",
                NULL, 0);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM stalled_t"), 0);
    assert_int_equal(end_stalled_now(), 0);
}

// A pipeline without its end.
static void test_stalled__in_the_middle_of_a_pipeline__ended(void **s) {
    (void)s;
    db_conn *c = begin(others);
    assert_int_equal(PQenterPipelineMode(c->pg), 1);
    assert_int_equal(PQsendQueryParams(c->pg, "LOCK TABLE stalled_t", 0, NULL, NULL, NULL, NULL, 0),
                     1);
    assert_int_equal(PQsendFlushRequest(c->pg), 1);
    assert_int_equal(PQflush(c->pg), 0);
    await_ended();
    c->broken = true;
    db_pool_checkin(others, c);
}

// Sessions that work, or are idle between statements, may hold a lock for long: PostgreSQL's own time-outs handle them.
static void test_stalled__works_or_is_idle__left_alone(void **s) {
    (void)s;
    err e = {0};
    static const db_stmt LOOK = {"stalled_look", "SELECT id FROM stalled_t"};
    static const db_stmt SLEEP = {"stalled_sleep", "SELECT pg_sleep(0.6)::text"};
    db_conn *idle = begin(others), *waiting = begin(others), *working = begin(others);
    assert_true(db_exec(idle, &LOOK, NULL, mem, NULL, NULL, &e));
    // waits for the idle session
    assert_int_equal(PQsendQuery(waiting->pg, "LOCK TABLE stalled_t"), 1);
    assert_int_equal(PQflush(waiting->pg), 0);
    assert_true(db_exec(working, &SLEEP, NULL, mem, NULL, NULL, &e));
    assert_int_equal(
        fixture_sql_i64(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = "
            "'Lock' AND state_change < clock_timestamp() - interval '300 ms'"),
        1);
    assert_int_equal(end_stalled_now(), 0);
    assert_true(db_commit(idle, &e));
    assert_true(db_commit(working, &e));
    waiting->broken = true;
    db_pool_checkin(others, idle);
    db_pool_checkin(others, waiting);
    db_pool_checkin(others, working);
}

static void test_stalled__no_limit_is_set__left_alone(void **s) {
    (void)s;
    err e = {0};
    char conninfo[512];
    (void)snprintf(conninfo, sizeof conninfo,
                   "%s options='-c idle_in_transaction_session_timeout=0'", fixture_conninfo());
    db_pool *unlimited = fixture_pool(conninfo, 1, 20000);
    db_conn *c = begin(others);
    db_copy *w = db_copy_begin(c, "stalled_t", "id", 1, &e);
    assert_non_null(w);
    int64_t n = -1;
    assert_true(db_end_stalled(unlimited, fixture_deadline(5000), mem, &n, &e));
    assert_int_equal(n, 0);
    assert_true(db_copy_end(w, NULL, &e));
    assert_true(db_commit(c, &e));
    db_pool_checkin(others, c);
    db_pool_destroy(unlimited);
}

static void test_watch__somebody_stands_still__ended(void **s) {
    (void)s;
    err e = {0};
    db_watch *watch = db_watch_start(pool);
    db_conn *c = begin(others);
    db_copy *w = db_copy_begin(c, "stalled_t", "id", 1, &e);
    assert_non_null(w);
    const int64_t until_ms = fixture_deadline(20000);
    while (fixture_sql_i64(
               "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY stalled_t%'") > 0) {
        assert_true(db_now_ms() < until_ms);
    }
    assert_false(db_copy_end(w, NULL, &e));
    db_rollback(c);
    db_pool_checkin(others, c);
    db_watch_stop(watch);
    db_watch_stop(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_stalled__in_the_middle_of_copy__ended_after_the_time_and_its_lock_is_free, setup,
            teardown),
        cmocka_unit_test_setup_teardown(test_stalled__in_the_middle_of_a_pipeline__ended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_stalled__works_or_is_idle__left_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_stalled__no_limit_is_set__left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch__somebody_stands_still__ended, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
