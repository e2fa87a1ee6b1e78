// Transactions against a real database, with faults around COMMIT.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "db_internal.h"
#include "testing/fixture.h"
#include "testing/lossy_proxy.h"

static const db_stmt INSERT = {"tx_insert", "INSERT INTO tx_t (id) VALUES ($1)"};
static const db_stmt KILL = {"tx_kill", "SELECT pg_terminate_backend(pg_backend_pid())"};
static const db_stmt SLEEP = {"tx_sleep", "SELECT pg_sleep(10)"};
static const db_stmt CLASH = {
    "tx_clash", "DO $$ BEGIN RAISE EXCEPTION 'clash' USING ERRCODE = '40001'; END $$"};
static const db_stmt LOCK = {"tx_lock", "UPDATE tx_t SET n = n + 1 WHERE id = $1"};

static db_pool *pool;
static arena *mem;

static int setup(void **state) {
    (void)state;
    fixture_sql("DROP TABLE IF EXISTS tx_t; CREATE TABLE tx_t (id int8 PRIMARY KEY, n int8 NOT "
                "NULL DEFAULT 0)",
                NULL, 0);
    pool = fixture_pool(fixture_conninfo(), 4, 5000);
    mem = arena_create(1 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_destroy(mem);
    db_pool_destroy(pool);
    return 0;
}

static int64_t rows_in_table(void) {
    return fixture_sql_i64("SELECT count(*) FROM tx_t");
}

static bool exec_id(db_conn *c, const db_stmt *s, arena *a, int64_t id, err *e) {
    db_params *p = db_params_create(a);
    db_i64(p, id);
    return db_exec(c, s, p, a, NULL, NULL, e);
}

// Faults of the first tries, and the number of runs of fn.
typedef struct plan {
    const db_stmt *trouble;
    int n_troubles;
    int tries;
    bool refuse;
} plan;

static bool insert_with_trouble(db_conn *c, arena *a, void *arg, err *e) {
    plan *pl = arg;
    pl->tries++;
    if (!exec_id(c, &INSERT, a, 1, e)) {
        return false;
    }
    if (pl->tries <= pl->n_troubles && !db_exec(c, pl->trouble, NULL, a, NULL, NULL, e)) {
        return false;
    }
    if (pl->refuse) {
        return err_set(e, ERR_FAILED_PRECONDITION, "NOT_NOW", "not now");
    }
    return true;
}

static void test_transact__succeeds__committed(void **state) {
    (void)state;
    err e = {0};
    plan pl = {0};
    assert_true(db_transact(pool, fixture_deadline(5000), mem, insert_with_trouble, &pl, &e));
    assert_int_equal(pl.tries, 1);
    assert_int_equal(rows_in_table(), 1);
    assert_int_equal(pool->n_idle, 1);
}

static void test_transact__fn_refuses__rolled_back_and_not_tried_again(void **state) {
    (void)state;
    err e = {0};
    plan pl = {.refuse = true};
    assert_false(db_transact(pool, fixture_deadline(5000), mem, insert_with_trouble, &pl, &e));
    assert_string_equal(e.reason, "NOT_NOW");
    assert_int_equal(pl.tries, 1);
    assert_int_equal(rows_in_table(), 0);
    assert_int_equal(pool->n_idle, 1); // the connection went back
}

static void test_transact__backend_killed_midway__tried_again(void **state) {
    (void)state;
    err e = {0};
    plan pl = {.trouble = &KILL, .n_troubles = 2};
    int64_t before = metric_value(pool->retries);
    assert_true(db_transact(pool, fixture_deadline(5000), mem, insert_with_trouble, &pl, &e));
    assert_int_equal(pl.tries, 3);
    assert_int_equal(rows_in_table(), 1);
    assert_int_equal(metric_value(pool->retries) - before, 2);
}

static void test_transact__serialization_failure__tried_again_until_the_deadline(void **state) {
    (void)state;
    err e = {0};
    plan pl = {.trouble = &CLASH, .n_troubles = 3};
    assert_true(db_transact(pool, fixture_deadline(5000), mem, insert_with_trouble, &pl, &e));
    assert_int_equal(pl.tries, 4);
    pl = (plan){.trouble = &CLASH, .n_troubles = 1000000};
    fixture_sql("TRUNCATE tx_t", NULL, 0);
    int64_t start = fixture_deadline(0);
    assert_false(db_transact(pool, fixture_deadline(300), mem, insert_with_trouble, &pl, &e));
    // Either came last: the clash, or the deadline during one more try.
    assert_true(e.code == ERR_ABORTED || e.code == ERR_DEADLINE_EXCEEDED);
    assert_true(fixture_deadline(0) - start < 1000);
    assert_true(pl.tries > 2);
}

static void test_transact__statement_too_slow__ends_at_the_deadline(void **state) {
    (void)state;
    err e = {0};
    plan pl = {.trouble = &SLEEP, .n_troubles = 1};
    int64_t start = fixture_deadline(0);
    assert_false(db_transact(pool, fixture_deadline(200), mem, insert_with_trouble, &pl, &e));
    assert_int_equal(e.code, ERR_DEADLINE_EXCEEDED);
    assert_string_equal(e.sqlstate, "57014");
    assert_in_range(fixture_deadline(0) - start, 150, 1000);
    assert_int_equal(rows_in_table(), 0);
    assert_int_equal(pool->n_idle, 1); // the server answered, so the connection is good
    // The short limit applied to this transaction only.
    static const db_stmt NAP = {"tx_nap", "SELECT pg_sleep(0.4)"};
    db_conn *c = db_pool_checkout(pool, fixture_deadline(5000), &e);
    assert_true(db_exec(c, &NAP, NULL, mem, NULL, NULL, &e));
    db_pool_checkin(pool, c);
}

static void test_commit__deadline_passed__definite_and_rolled_back(void **state) {
    (void)state;
    err e = {0};
    db_conn *c = db_pool_checkout(pool, fixture_deadline(5000), &e);
    assert_true(db_begin(c, fixture_deadline(50), &e));
    assert_true(exec_id(c, &INSERT, mem, 1, &e));
    struct timespec t = {.tv_nsec = 80000000};
    (void)nanosleep(&t, NULL);
    assert_false(db_commit(c, &e));
    assert_int_equal(e.code, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(e.flags & ERR_COMMIT_UNKNOWN, 0);
    db_pool_checkin(pool, c);
    assert_int_equal(rows_in_table(), 0);
}

static void test_read__backend_killed__tried_again(void **state) {
    (void)state;
    err e = {0};
    plan pl = {.trouble = &KILL, .n_troubles = 1};
    // A read that writes, so that the first try leaves a row, and the second try finds it.
    assert_false(db_read(pool, fixture_deadline(5000), mem, insert_with_trouble, &pl, &e));
    assert_int_equal(pl.tries, 2);
    assert_int_equal(e.code, ERR_ALREADY_EXISTS);
}

static bool read_slowly(db_conn *c, arena *a, void *arg, err *e) {
    (void)arg;
    db_rows *rows = NULL;
    return db_exec(c, &SLEEP, NULL, a, &rows, NULL, e);
}

static bool read_slowly_in_a_pipe(db_conn *c, arena *a, void *arg, err *e) {
    static const db_stmt ONE = {"tx_one", "SELECT 1::int8"};
    size_t *failed = arg;
    db_pipe *p = db_pipe_begin(c, a);
    db_pipe_add(p, &ONE, NULL);
    db_pipe_add(p, &SLEEP, NULL);
    const bool ok = db_pipe_run(p, e);
    *failed = db_pipe_failed(p);
    return ok;
}

static bool read_locked_row(db_conn *c, arena *a, void *arg, err *e) {
    (void)arg;
    static const db_stmt LOOK = {"tx_look", "SELECT n FROM tx_t WHERE id = $1 FOR SHARE"};
    return exec_id(c, &LOOK, a, 1, e);
}

static int64_t statements_under_way(void) {
    return fixture_sql_i64("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
                           "pid <> pg_backend_pid() AND backend_type = 'client backend'");
}

// The read ends in time, says so, and the server has ended the statement, too: else it would run on unnoticed.
static void expect_read_ends(db_tx_fn fn, void *arg) {
    err e = {0};
    const int64_t start = fixture_deadline(0);
    assert_false(db_read(pool, fixture_deadline(300), mem, fn, arg, &e));
    const int64_t took_ms = fixture_deadline(0) - start;
    assert_int_equal(e.code, ERR_DEADLINE_EXCEEDED);
    assert_string_equal(e.sqlstate, "57014");
    assert_in_range(took_ms, 250, 1000);
    assert_int_equal(statements_under_way(), 0);
    assert_int_equal(pool->n_idle, 1); // the connection is as good as before
}

static void test_read__too_slow__the_server_ends_it_at_the_deadline(void **state) {
    (void)state;
    expect_read_ends(read_slowly, NULL);
    expect_read_ends(read_slowly, NULL); // its limit is prepared now
    size_t failed = 99;
    expect_read_ends(read_slowly_in_a_pipe, &failed);
    assert_int_equal(failed, 1); // counted as the caller counts
    // The limit applied to these statements only.
    static const db_stmt NAP = {"tx_nap", "SELECT pg_sleep(0.4)"};
    err e = {0};
    db_conn *c = db_pool_checkout(pool, fixture_deadline(5000), &e);
    assert_true(db_exec(c, &NAP, NULL, mem, NULL, NULL, &e));
    db_pool_checkin(pool, c);
}

static void test_read__waits_for_a_locked_row__ends_at_the_deadline(void **state) {
    (void)state;
    err e = {0};
    db_pool *other = fixture_pool(fixture_conninfo(), 1, 5000);
    fixture_sql("INSERT INTO tx_t (id) VALUES (1)", NULL, 0);
    db_conn *c = db_pool_checkout(other, fixture_deadline(5000), &e);
    assert_true(db_begin(c, fixture_deadline(5000), &e));
    assert_true(exec_id(c, &LOCK, mem, 1, &e));
    expect_read_ends(read_locked_row, NULL);
    db_rollback(c);
    db_pool_checkin(other, c);
    db_pool_destroy(other);
    assert_true(db_read(pool, fixture_deadline(300), mem, read_locked_row, NULL, &e));
}

// --- Last statements of a transaction --------------------------------------------------------------------------------

static const db_stmt LAST_INSERT = {"tx_last", "INSERT INTO tx_t (id) SELECT $1 + count(*) FROM "
                                               "tx_t RETURNING id"};

typedef struct ending {
    bool refuse, clash;
    int adds, dones, tries;
    int64_t got;
} ending;

static bool add_last(void *arg, db_pipe *p, err *e) {
    ending *x = arg;
    x->adds++;
    db_params *params = db_params_create(mem);
    db_i64(params, x->clash ? 0 : 100);
    db_pipe_add(p, &LAST_INSERT, params);
    return !x->refuse || err_set(e, ERR_FAILED_PRECONDITION, "NOT_NOW", "not now");
}

static void done_last(void *arg, db_pipe *p) {
    ending *x = arg;
    x->dones++;
    x->got = db_get_i64(db_pipe_rows(p, 0), 0, 0);
}

static const db_last LAST = {add_last, done_last};

static bool insert_with_last(db_conn *c, arena *a, void *arg, err *e) {
    ending *x = arg;
    x->tries++;
    assert_null(db_last_arg(c, &LAST)); // the earlier try's is gone
    db_at_commit(c, &LAST, x, a);
    assert_ptr_equal(db_last_arg(c, &LAST), x);
    return exec_id(c, &INSERT, a, 1, e) &&
           (x->tries > 1 || db_exec(c, &KILL, NULL, a, NULL, NULL, e));
}

static void test_last__tried_again__runs_once_and_behind_all_else(void **state) {
    (void)state;
    err e = {0};
    ending x = {0};
    assert_true(db_transact(pool, fixture_deadline(5000), mem, insert_with_last, &x, &e));
    assert_int_equal(x.tries, 2); // the first try committed nothing
    assert_int_equal(x.adds, 1);
    assert_int_equal(x.dones, 1);
    assert_int_equal(x.got, 101);
    assert_int_equal(rows_in_table(), 2);
    plan pl = {0}; // the next transaction does not have it
    fixture_sql("TRUNCATE tx_t", NULL, 0);
    assert_true(db_transact(pool, fixture_deadline(5000), mem, insert_with_trouble, &pl, &e));
    assert_int_equal(x.adds, 1);
}

static void test_last__refused_or_failed__nothing_is_committed(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        err e = {0};
        ending x = {.refuse = i == 0, .clash = i == 1, .tries = 1};
        assert_false(db_transact(pool, fixture_deadline(5000), mem, insert_with_last, &x, &e));
        assert_string_equal(e.reason, i == 0 ? "NOT_NOW" : "ALREADY_EXISTS");
        assert_int_equal(e.flags & ERR_COMMIT_UNKNOWN, 0);
        assert_int_equal(x.tries, 2);
        assert_int_equal(x.dones, 0);
        assert_int_equal(rows_in_table(), 0);
        assert_int_equal(pool->n_idle, 1);
    }
}

// --- A lost answer to COMMIT -----------------------------------------------------------------------------------------

static void lose_commit(lossy_mode mode, int64_t rows_expected) {
    err e = {0};
    char conninfo[128];
    plan pl = {0};
    lossy_proxy *x = lossy_proxy_start(fixture_server_dir());
    (void)snprintf(conninfo, sizeof conninfo, "host=%s user=postgres dbname=postgres",
                   lossy_proxy_dir(x));
    db_pool *p = fixture_pool(conninfo, 2, 5000);
    int64_t before = metric_value(p->commit_unknown);
    lossy_proxy_set(x, mode);
    assert_false(db_transact(p, fixture_deadline(5000), mem, insert_with_trouble, &pl, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_true(e.flags & ERR_COMMIT_UNKNOWN);
    assert_true(e.flags & ERR_CONNECTION_LOST);
    assert_int_equal(pl.tries, 1); // never guessed
    assert_int_equal(metric_value(p->commit_unknown) - before, 1);
    assert_int_equal(p->n_open, 0);
    assert_int_equal(rows_in_table(), rows_expected);
    db_pool_destroy(p);
    lossy_proxy_stop(x);
}

static void test_commit__answer_lost_after_it_happened__unknown(void **state) {
    (void)state;
    lose_commit(LOSSY_DROP_AFTER_COMMIT, 1);
}

static void test_commit__lost_before_it_happened__unknown_too(void **state) {
    (void)state;
    lose_commit(LOSSY_DROP_BEFORE_COMMIT, 0);
}

static lossy_proxy *stalling;

static bool stall_then_insert(db_conn *c, arena *a, void *arg, err *e) {
    (*(int *)arg)++;
    lossy_proxy_set(stalling, LOSSY_STALL);
    return exec_id(c, &INSERT, a, 1, e);
}

static void test_deadline__network_is_stuck__holds_without_the_server(void **state) {
    (void)state;
    char conninfo[128];
    for (int reading = 0; reading < 2; reading++) {
        err e = {0};
        int tries = 0;
        stalling = lossy_proxy_start(fixture_server_dir());
        (void)snprintf(conninfo, sizeof conninfo, "host=%s user=postgres dbname=postgres",
                       lossy_proxy_dir(stalling));
        db_pool *p = fixture_pool(conninfo, 2, 60000);
        int64_t start = fixture_deadline(0);
        int64_t deadline = start + 300;
        bool ok = reading ? db_read(p, deadline, mem, stall_then_insert, &tries, &e)
                          : db_transact(p, deadline, mem, stall_then_insert, &tries, &e);
        assert_false(ok);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_int_equal(e.flags & ERR_COMMIT_UNKNOWN, 0); // no COMMIT was sent
        assert_int_equal(tries, 1);
        assert_in_range(fixture_deadline(0) - start, 290, 300 + DB_NETWORK_GRACE_MS + 500);
        db_pool_destroy(p);
        lossy_proxy_stop(stalling);
    }
}

static void test_commit__refused_by_a_deferred_constraint__definite(void **state) {
    (void)state;
    err e = {0};
    fixture_sql("ALTER TABLE tx_t ADD CONSTRAINT tx_later UNIQUE (n) DEFERRABLE INITIALLY DEFERRED",
                NULL, 0);
    db_conn *c = db_pool_checkout(pool, fixture_deadline(5000), &e);
    assert_true(db_begin(c, fixture_deadline(5000), &e));
    assert_true(exec_id(c, &INSERT, mem, 1, &e));
    assert_true(exec_id(c, &INSERT, mem, 2, &e));
    assert_false(db_commit(c, &e));
    assert_int_equal(e.code, ERR_ALREADY_EXISTS);
    assert_string_equal(e.constraint, "tx_later");
    assert_int_equal(e.flags & ERR_COMMIT_UNKNOWN, 0);
    db_pool_checkin(pool, c);
    assert_int_equal(pool->n_idle, 1);
}

// --- A real deadlock -------------------------------------------------------------------------------------------------

typedef struct crossing {
    int64_t first, second;
    atomic_int *arrived;
    int tries;
    bool ok;
    pthread_t thread;
} crossing;

static bool lock_both(db_conn *c, arena *a, void *arg, err *e) {
    crossing *x = arg;
    x->tries++;
    if (!exec_id(c, &LOCK, a, x->first, e)) {
        return false;
    }
    atomic_fetch_add(x->arrived, 1);
    while (x->tries == 1 && atomic_load(x->arrived) < 2) {
    }
    return exec_id(c, &LOCK, a, x->second, e);
}

static void *cross(void *arg) {
    crossing *x = arg;
    err e = {0};
    arena *a = arena_create(1 << 20);
    x->ok = db_transact(pool, fixture_deadline(10000), a, lock_both, x, &e);
    arena_destroy(a);
    return NULL;
}

static void test_transact__deadlock__both_succeed_in_the_end(void **state) {
    (void)state;
    atomic_int arrived = 0;
    fixture_sql("INSERT INTO tx_t (id) VALUES (1), (2)", NULL, 0);
    crossing x[2] = {{.first = 1, .second = 2, .arrived = &arrived},
                     {.first = 2, .second = 1, .arrived = &arrived}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&x[i].thread, NULL, cross, &x[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(x[i].thread, NULL);
    }
    assert_true(x[0].ok && x[1].ok);
    // One was the victim, perhaps twice: it can be back before the other has moved on.
    assert_true(x[0].tries + x[1].tries >= 3);
    assert_int_equal(fixture_sql_i64("SELECT sum(n)::int8 FROM tx_t"), 4);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    log_init("db-test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        T(test_transact__succeeds__committed),
        T(test_transact__fn_refuses__rolled_back_and_not_tried_again),
        T(test_transact__backend_killed_midway__tried_again),
        T(test_transact__serialization_failure__tried_again_until_the_deadline),
        T(test_transact__statement_too_slow__ends_at_the_deadline),
        T(test_commit__deadline_passed__definite_and_rolled_back),
        T(test_read__backend_killed__tried_again),
        T(test_read__too_slow__the_server_ends_it_at_the_deadline),
        T(test_read__waits_for_a_locked_row__ends_at_the_deadline),
        T(test_last__tried_again__runs_once_and_behind_all_else),
        T(test_last__refused_or_failed__nothing_is_committed),
        T(test_commit__answer_lost_after_it_happened__unknown),
        T(test_commit__lost_before_it_happened__unknown_too),
        T(test_deadline__network_is_stuck__holds_without_the_server),
        T(test_commit__refused_by_a_deferred_constraint__definite),
        T(test_transact__deadlock__both_succeed_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
