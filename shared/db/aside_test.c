// Statements aside, against a real database: when one runs, and how its rows are read when it fails.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "db_internal.h"
#include "testing/fixture.h"

enum { SIZE = 3, STATEMENT_MS = 5000 };

static const db_stmt PID = {"aside_pid", "SELECT pg_backend_pid()"};
static const db_stmt TAKE = {"aside_take", "SELECT pg_advisory_lock(7)"};
static const db_stmt GIVE = {"aside_give", "SELECT pg_advisory_unlock(7)"};
static const db_stmt DIVIDE = {"aside_divide", "SELECT 12 / $1::int8"};
static const db_stmt ALL = {"aside_all", "SELECT * FROM aside_t"};
static const db_stmt KILL = {"aside_kill", "SELECT pg_terminate_backend(pg_backend_pid())"};

static db_pool *pool;
static arena *mem;

// A pool in which n connections are open and idle.
static void open_idle(int n) {
    pool = fixture_pool(fixture_conninfo(), SIZE, STATEMENT_MS);
    mem = arena_create(1 << 20);
    fixture_open_idle(pool, n);
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(metric_value(pool->in_use), 0);
    arena_destroy(mem);
    db_pool_destroy(pool);
    return 0;
}

// Runs fn as a read, with a distant deadline.
static void in_read(db_tx_fn fn) {
    err e = {0};
    assert_true(db_read(pool, fixture_deadline(60000), mem, fn, NULL, &e));
}

static int pid_of(const db_rows *r) {
    assert_int_equal(db_count(r), 1);
    return db_get_i32(r, 0, 0);
}

static db_rows *on(db_conn *c, const db_stmt *s) {
    err e = {0};
    db_rows *r = NULL;
    assert_true(db_exec(c, s, NULL, mem, &r, NULL, &e));
    return r;
}

static void expect_none(db_conn *c) {
    assert_null(db_aside_start(c, &PID, NULL, mem));
    assert_null(db_aside_finish(NULL));
    assert_true(pid_of(on(c, &PID)) != 0);
}

// This statement waits for one that runs on the other connection.
static bool both_at_once(db_conn *c, arena *a, void *arg, err *e) {
    (void)arg;
    (void)e;
    (void)on(c, &TAKE);
    db_aside *x = db_aside_start(c, &TAKE, NULL, a);
    assert_non_null(x);
    assert_int_equal(metric_value(pool->in_use), 2);
    (void)on(c, &GIVE);
    const db_rows *r = db_aside_finish(x);
    assert_non_null(r);
    assert_int_equal(db_count(r), 1);
    assert_int_equal(metric_value(pool->in_use), 1);
    return true;
}

static void test_start__one_is_idle__at_the_same_time(void **state) {
    (void)state;
    open_idle(2);
    in_read(both_at_once);
}

static bool another_session(db_conn *c, arena *a, void *arg, err *e) {
    (void)arg;
    (void)e;
    for (int i = 0; i < 3; i++) { // the first time it has to prepare the statement
        db_aside *x = db_aside_start(c, &PID, NULL, a);
        const int own = pid_of(on(c, &PID));
        const db_rows *r = db_aside_finish(x);
        assert_non_null(r);
        assert_true(pid_of(r) != own);
    }
    return true;
}

static void test_start__again_and_again__in_another_session(void **state) {
    (void)state;
    open_idle(2);
    in_read(another_session);
}

static bool none(db_conn *c, arena *a, void *arg, err *e) {
    (void)a;
    (void)arg;
    (void)e;
    expect_none(c);
    return true;
}

static void test_start__only_one_open__none(void **state) {
    (void)state;
    open_idle(1);
    in_read(none);
    assert_int_equal(pool->n_open, 1); // no connection was made for it
}

static void test_start__others_at_work__none(void **state) {
    (void)state;
    err e = {0};
    open_idle(3);
    db_conn *other = db_pool_checkout(pool, fixture_deadline(5000), &e);
    in_read(none);
    db_pool_checkin(pool, other);
    in_read(another_session);
}

static void test_start__deadline_before_the_sessions_limit__none(void **state) {
    (void)state;
    err e = {0};
    open_idle(2);
    assert_true(db_read(pool, fixture_deadline(STATEMENT_MS / 2), mem, none, NULL, &e));
}

static void test_start__not_in_a_read__none(void **state) {
    (void)state;
    err e = {0};
    open_idle(2);
    db_conn *c = db_pool_checkout(pool, fixture_deadline(5000), &e);
    expect_none(c);
    assert_true(db_begin(c, fixture_deadline(60000), &e));
    expect_none(c);
    db_rollback(c);
    db_pool_checkin(pool, c);
}

static bool by_zero(db_conn *c, arena *a, void *arg, err *e) {
    (void)arg;
    (void)e;
    for (int64_t by = 0; by < 3; by++) {
        db_params *p = db_params_create(a);
        db_i64(p, by);
        db_aside *x = db_aside_start(c, &DIVIDE, p, a);
        assert_non_null(x);
        const db_rows *r = db_aside_finish(x);
        assert_true((r == NULL) == (by == 0));
        assert_true(r == NULL || db_get_i64(r, 0, 0) == 12 / by);
    }
    return true;
}

static void test_finish__statement_refused__null_and_the_session_goes_on(void **state) {
    (void)state;
    open_idle(2);
    in_read(by_zero);
    assert_int_equal(pool->n_open, 2);
}

static bool killed(db_conn *c, arena *a, void *arg, err *e) {
    (void)arg;
    (void)e;
    db_aside *x = db_aside_start(c, &KILL, NULL, a);
    assert_non_null(x);
    assert_null(db_aside_finish(x));
    assert_true(pid_of(on(c, &PID)) != 0);
    return true;
}

static void test_finish__session_lost__null_and_the_session_is_discarded(void **state) {
    (void)state;
    open_idle(2);
    in_read(killed);
    assert_int_equal(pool->n_open, 1);
}

static bool columns(db_conn *c, arena *a, void *arg, err *e) {
    (void)e;
    const int *n = arg;
    const db_rows *r = db_aside_finish(db_aside_start(c, &ALL, NULL, a));
    assert_true((r == NULL) == (*n == 0));
    assert_true(r == NULL || PQnfields(r->result) == *n);
    return true;
}

static void expect_columns(int n) {
    err e = {0};
    assert_true(db_read(pool, fixture_deadline(60000), mem, columns, &n, &e));
}

static void test_finish__stale_plan__null_once(void **state) {
    (void)state;
    open_idle(2);
    fixture_sql("DROP TABLE IF EXISTS aside_t; CREATE TABLE aside_t (a int8)", NULL, 0);
    expect_columns(1);
    fixture_sql("ALTER TABLE aside_t ADD b int8", NULL, 0);
    expect_columns(0);
    expect_columns(2);
    assert_int_equal(pool->n_open, 2);
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_start__one_is_idle__at_the_same_time),
        T(test_start__again_and_again__in_another_session),
        T(test_start__only_one_open__none),
        T(test_start__others_at_work__none),
        T(test_start__deadline_before_the_sessions_limit__none),
        T(test_start__not_in_a_read__none),
        T(test_finish__statement_refused__null_and_the_session_goes_on),
        T(test_finish__session_lost__null_and_the_session_is_discarded),
        T(test_finish__stale_plan__null_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
