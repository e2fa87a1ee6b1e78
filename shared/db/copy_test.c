// COPY against a real database.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "db_internal.h"
#include "testing/fixture.h"
#include "testing/lossy_proxy.h"

static db_pool *pool;
static db_conn *conn;
static arena *mem;

static int setup(void **state) {
    (void)state;
    err e = {0};
    fixture_sql("DROP TABLE IF EXISTS copy_t; CREATE TABLE copy_t (id int8 CONSTRAINT copy_pk "
                "PRIMARY KEY, a int4, b int2,"
                " c bool, d text, e bytea, f uuid, g timestamptz)",
                NULL, 0);
    pool = fixture_pool(fixture_conninfo(), 2, 20000);
    mem = arena_create(8 << 20);
    conn = db_pool_checkout(pool, fixture_deadline(5000), &e);
    assert_non_null(conn);
    assert_true(db_begin(conn, fixture_deadline(30000), &e));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    db_pool_checkin(pool, conn);
    arena_destroy(mem);
    db_pool_destroy(pool);
    return 0;
}

static db_copy *begin_all(void) {
    err e = {0};
    db_copy *w = db_copy_begin(conn, "copy_t", "id, a, b, c, d, e, f, g", 8, &e);
    assert_non_null(w);
    return w;
}

static void put_row(db_copy *w, int64_t id) {
    db_copy_row(w);
    db_copy_i64(w, id);
    db_copy_i32(w, -7);
    db_copy_i16(w, 3);
    db_copy_bool(w, true);
    db_copy_text(w, STR("text"));
    db_copy_bytes(w, "\x00\xff", 2);
    db_copy_uuid(w, (uuid){{1, 2, 3}});
    db_copy_time(w, INT64_C(1795254120123456));
}

static void test_copy__100000_rows__all_there(void **state) {
    (void)state;
    err e = {0};
    int64_t n = 0;
    db_copy *w = begin_all();
    for (int64_t i = 0; i < 100000; i++) {
        put_row(w, i);
    }
    assert_true(db_copy_end(w, &n, &e));
    assert_int_equal(n, 100000);
    assert_true(db_commit(conn, &e));
    assert_int_equal(
        fixture_sql_i64(
            "SELECT count(*) FROM copy_t WHERE a = -7 AND b = 3 AND c AND d = 'text' AND"
            " e = '\\x00ff' AND f = '01020300-0000-0000-0000-000000000000' AND"
            " g = to_timestamp(1795254120) + interval '123456 us'"),
        100000);
}

static void test_copy__nulls__are_null(void **state) {
    (void)state;
    err e = {0};
    db_copy *w = begin_all();
    db_copy_row(w);
    db_copy_i64(w, 1);
    for (int i = 0; i < 7; i++) {
        db_copy_null(w);
    }
    assert_true(db_copy_end(w, NULL, &e));
    assert_true(db_commit(conn, &e));
    assert_int_equal(fixture_sql_i64("SELECT num_nulls(a, b, c, d, e, f, g) FROM copy_t"), 7);
}

static void test_copy__values_around_the_buffer__written_whole(void **state) {
    (void)state;
    err e = {0};
    const size_t sizes[] = {
        0, 1, DB_COPY_BUFFER_LEN - 1, DB_COPY_BUFFER_LEN, DB_COPY_BUFFER_LEN + 1, 5 << 20};
    uint8_t *block = malloc(5 << 20);
    memset(block, 'x', 5 << 20);
    db_copy *w = db_copy_begin(conn, "copy_t", "id, e", 2, &e);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        db_copy_row(w);
        db_copy_i64(w, (int64_t)sizes[i]);
        db_copy_bytes(w, block, sizes[i]);
    }
    assert_true(db_copy_end(w, NULL, &e));
    assert_true(db_commit(conn, &e));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM copy_t WHERE length(e) = id"), 6);
    free(block);
}

static void test_copy__duplicate_key__already_exists_and_connection_lives(void **state) {
    (void)state;
    err e = {0};
    int64_t n = 0;
    db_copy *w = begin_all();
    put_row(w, 5);
    put_row(w, 5);
    for (int64_t i = 100; i < 60000; i++) { // far more than any buffer holds, after the error
        put_row(w, i);
    }
    assert_false(db_copy_end(w, &n, &e));
    assert_int_equal(e.code, ERR_ALREADY_EXISTS);
    assert_string_equal(e.constraint, "copy_pk");
    db_rollback(conn);
    assert_false(conn->broken);
    assert_true(db_begin(conn, fixture_deadline(5000), &e));
    w = begin_all();
    put_row(w, 1);
    assert_true(db_copy_end(w, &n, &e));
    assert_true(db_commit(conn, &e));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM copy_t"), 1);
}

static void test_copy__bad_text__given_up_and_connection_lives(void **state) {
    (void)state;
    err e = {0};
    db_copy *w = db_copy_begin(conn, "copy_t", "id, d", 2, &e);
    db_copy_row(w);
    db_copy_i64(w, 1);
    db_copy_text(w, (str){"\xff", 1});
    assert_false(db_copy_end(w, NULL, &e));
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    db_rollback(conn);
    assert_false(conn->broken);
}

static void test_copy__no_such_table__an_error(void **state) {
    (void)state;
    err e = {0};
    assert_null(db_copy_begin(conn, "copy_nowhere", "id", 1, &e));
    assert_int_equal(e.code, ERR_INTERNAL);
    assert_string_equal(e.sqlstate, "42P01");
    db_rollback(conn);
}

static void test_copy__backend_killed__unavailable(void **state) {
    (void)state;
    err e = {0};
    db_copy *w = begin_all();
    put_row(w, 1);
    fixture_sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE "
                "application_name = 'db-test'",
                NULL, 0);
    for (int64_t i = 2; i < 20000; i++) {
        put_row(w, i);
    }
    assert_false(db_copy_end(w, NULL, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_true(e.flags & ERR_CONNECTION_LOST);
    assert_true(conn->broken);
    db_rollback(conn);
}

static void test_copy__network_is_stuck__fails_while_writing(void **state) {
    (void)state;
    err e = {0};
    char conninfo[128];
    static uint8_t block[1 << 20];
    lossy_proxy *x = lossy_proxy_start(fixture_server_dir());
    (void)snprintf(conninfo, sizeof conninfo, "host=%s user=postgres dbname=postgres",
                   lossy_proxy_dir(x));
    db_pool *p = fixture_pool(conninfo, 1, 200);
    db_conn *c = db_pool_checkout(p, fixture_deadline(5000), &e);
    assert_non_null(c);
    assert_true(db_begin(c, fixture_deadline(5000), &e));
    db_copy *w = db_copy_begin(c, "copy_t", "id, e", 2, &e);
    assert_non_null(w);
    lossy_proxy_set(x, LOSSY_STALL);
    for (int64_t i = 0; i < 16; i++) {
        db_copy_row(w);
        db_copy_i64(w, i);
        db_copy_bytes(w, block, sizeof block);
    }
    assert_true(w->failed); // and did not pile up in memory until the end
    assert_false(db_copy_end(w, NULL, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    db_rollback(c);
    db_pool_checkin(p, c);
    db_pool_destroy(p);
    lossy_proxy_stop(x);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    log_init("db-test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        T(test_copy__100000_rows__all_there),
        T(test_copy__nulls__are_null),
        T(test_copy__values_around_the_buffer__written_whole),
        T(test_copy__duplicate_key__already_exists_and_connection_lives),
        T(test_copy__bad_text__given_up_and_connection_lives),
        T(test_copy__no_such_table__an_error),
        T(test_copy__backend_killed__unavailable),
        T(test_copy__network_is_stuck__fails_while_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
