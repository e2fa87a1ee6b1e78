// Statements, parameters, rows and pipelines against a real database.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "db_internal.h"
#include "testing/fixture.h"

static db_pool *pool;
static db_conn *conn;
static arena *mem;

static int setup(void **state) {
    (void)state;
    pool = fixture_pool(fixture_conninfo(), 4, 5000);
    mem = arena_create(8 << 20);
    err e = {0};
    conn = db_pool_checkout(pool, fixture_deadline(5000), &e);
    assert_non_null(conn);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    db_pool_checkin(pool, conn);
    arena_destroy(mem);
    db_pool_destroy(pool);
    return 0;
}

static db_rows *must_exec(const db_stmt *s, const db_params *p) {
    err e = {0};
    db_rows *rows = NULL;
    if (!db_exec(conn, s, p, mem, &rows, NULL, &e)) {
        fail_msg("%s: %s %s", s->name, e.message, e.detail);
    }
    return rows;
}

static void test_scalars__round_trip__same_values(void **state) {
    (void)state;
    static const db_stmt S = {"scalars", "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10"};
    uuid id = uuid_v7(clock_system());
    const uint8_t raw[] = {0, 1, 2, 255, 0};
    db_params *p = db_params_create(mem);
    db_i64(p, INT64_MIN);
    db_i32(p, INT32_MIN);
    db_i16(p, INT16_MIN);
    db_bool(p, true);
    db_text(p, STR("h\xc3\xa9llo"));
    db_bytes(p, raw, sizeof raw);
    db_uuid(p, id);
    db_time(p, INT64_C(1795254120123456));
    db_null(p, 20);
    db_text(p, (str){NULL, 0});
    db_rows *r = must_exec(&S, p);
    assert_int_equal(db_count(r), 1);
    assert_true(db_get_i64(r, 0, 0) == INT64_MIN);
    assert_true(db_get_i32(r, 0, 1) == INT32_MIN);
    assert_true(db_get_i16(r, 0, 2) == INT16_MIN);
    assert_true(db_get_bool(r, 0, 3));
    assert_true(str_eq_c(db_get_str(r, 0, 4), "h\xc3\xa9llo"));
    assert_int_equal(db_get_str(r, 0, 5).len, sizeof raw);
    assert_memory_equal(db_get_str(r, 0, 5).ptr, raw, sizeof raw);
    assert_true(uuid_eq(db_get_uuid(r, 0, 6), id));
    assert_true(uuid_eq(db_get_uuid_or_nil(r, 0, 6), id));
    assert_true(uuid_is_nil(db_get_uuid_or_nil(r, 0, 8)));
    assert_true(db_get_time(r, 0, 7) == INT64_C(1795254120123456));
    assert_true(db_is_null(r, 0, 8));
    assert_false(db_is_null(r, 0, 9)); // an empty text is not NULL
    assert_int_equal(db_get_str(r, 0, 9).len, 0);
}

static void test_values__server_reads_them__as_we_meant(void **state) {
    (void)state;
    static const db_stmt S = {"as_text",
                              "SELECT $1::text, $2::text, $3::text, $4::text, $5::text, $6::text"};
    uuid id;
    assert_true(uuid_parse(STR("01890a5d-ac96-774b-bcce-b302099a8057"), &id));
    db_params *p = db_params_create(mem);
    db_i64(p, -42);
    db_bool(p, false);
    db_uuid(p, id);
    db_time(p, 1);
    db_bytes(p, "\x01\xff", 2);
    db_time(p, INT64_MAX);
    db_rows *r = must_exec(&S, p);
    assert_true(str_eq_c(db_get_str(r, 0, 0), "-42"));
    assert_true(str_eq_c(db_get_str(r, 0, 1), "false"));
    assert_true(str_eq_c(db_get_str(r, 0, 2), "01890a5d-ac96-774b-bcce-b302099a8057"));
    assert_true(str_eq_c(db_get_str(r, 0, 3), "1970-01-01 00:00:00.000001+00"));
    assert_true(str_eq_c(db_get_str(r, 0, 4), "\\x01ff"));
    assert_true(str_eq_c(db_get_str(r, 0, 5), "infinity"));
}

static void test_arrays__round_trip__with_nulls(void **state) {
    (void)state;
    static const db_stmt S = {"arrays", "SELECT a, b, c, d, e, f, g FROM unnest($1, $2, $3, $4, "
                                        "$5, $6, $7) AS t(a, b, c, d, e, f, g)"};
    const int64_t a[] = {1, INT64_MAX, -1};
    const int32_t b[] = {1, INT32_MAX, -1};
    const int16_t c[] = {1, INT16_MAX, -1};
    const uuid d[] = {{{1}}, {{2}}, {{3}}};
    const str t[] = {STR("one"), {NULL, 0}, STR("")};
    const str bytes[] = {{NULL, 0}, STR("\x01\x02"), STR("")};
    const int64_t times[] = {0, INT64_MIN, INT64_C(1795254120000001)};
    db_params *p = db_params_create(mem);
    db_i64_array(p, a, 3);
    db_i32_array(p, b, 3);
    db_i16_array(p, c, 3);
    db_uuid_array(p, d, 3);
    db_text_array(p, t, 3);
    db_bytes_array(p, bytes, 3);
    db_time_array(p, times, 3);
    db_rows *r = must_exec(&S, p);
    assert_int_equal(db_count(r), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(db_get_i64(r, i, 0) == a[i]);
        assert_true(db_get_i32(r, i, 1) == b[i]);
        assert_true(db_get_i16(r, i, 2) == c[i]);
        assert_true(uuid_eq(db_get_uuid(r, i, 3), d[i]));
        assert_int_equal(db_is_null(r, i, 4), t[i].ptr == NULL);
        assert_int_equal(db_is_null(r, i, 5), bytes[i].ptr == NULL);
        assert_int_equal(db_is_null(r, i, 6), times[i] == INT64_MIN);
        assert_true(str_eq(db_get_str(r, i, 4), t[i]));
        assert_true(str_eq(db_get_str(r, i, 5), bytes[i]));
        assert_true(db_is_null(r, i, 6) || db_get_time(r, i, 6) == times[i]);
    }
}

static void test_arrays__empty__are_empty_not_null(void **state) {
    (void)state;
    static const db_stmt S = {
        "empty_arrays", "SELECT coalesce(cardinality($1), -1), coalesce(cardinality($2), -1)"};
    db_params *p = db_params_create(mem);
    db_i64_array(p, NULL, 0);
    db_text_array(p, NULL, 0);
    db_rows *r = must_exec(&S, p);
    assert_int_equal(db_get_i32(r, 0, 0), 0);
    assert_int_equal(db_get_i32(r, 0, 1), 0);
}

static void test_jsonb__read_as_str__without_version_byte(void **state) {
    (void)state;
    static const db_stmt S = {"json", "SELECT '{\"a\": 1}'::jsonb, NULL::text"};
    db_rows *r = must_exec(&S, NULL);
    assert_true(str_eq_c(db_get_str(r, 0, 0), "{\"a\": 1}"));
    assert_null(db_get_str(r, 0, 1).ptr);
}

static void test_text__not_utf8__refused_before_sending(void **state) {
    (void)state;
    static const db_stmt S = {"bad_text", "SELECT $1"};
    err e = {0};
    db_params *p = db_params_create(mem);
    db_text(p, (str){"a\0b", 3});
    assert_false(db_exec(conn, &S, p, mem, NULL, NULL, &e));
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(e.reason, "INVALID_TEXT");
    static const db_stmt OK = {"after_bad_text", "SELECT 1"};
    must_exec(&OK, NULL);
}

static void test_memory__arena_full__resource_exhausted(void **state) {
    (void)state;
    static const db_stmt S = {"large", "SELECT $1"};
    arena *tiny = arena_create(16 << 10);
    static const char block[64 << 10];
    err e = {0};
    db_params *p = db_params_create(tiny);
    db_bytes(p, block, sizeof block);
    assert_false(db_exec(conn, &S, p, tiny, NULL, NULL, &e));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    arena_destroy(tiny);
}

static void test_affected__update__counts_rows(void **state) {
    (void)state;
    static const db_stmt INSERT = {"aff_insert",
                                   "INSERT INTO exec_t (id) SELECT generate_series(1, 7)"};
    fixture_sql("DROP TABLE IF EXISTS exec_t; CREATE TABLE exec_t (id int8 CONSTRAINT exec_t_pk "
                "PRIMARY KEY)",
                NULL, 0);
    err e = {0};
    int64_t n = -1;
    assert_true(db_exec(conn, &INSERT, NULL, mem, NULL, &n, &e));
    assert_int_equal(n, 7);
    // The second time the statement is prepared already, and the key is taken.
    assert_false(db_exec(conn, &INSERT, NULL, mem, NULL, &n, &e));
    assert_int_equal(e.code, ERR_ALREADY_EXISTS);
    assert_string_equal(e.sqlstate, "23505");
    assert_string_equal(e.constraint, "exec_t_pk");
    assert_null(strstr(e.detail, "(id)=")); // the DETAIL line quotes the key
    assert_null(strstr(e.message, "INSERT"));
}

static void test_error__ours__internal_without_sql(void **state) {
    (void)state;
    static const db_stmt S = {"broken", "SELECT nonsense FROM nowhere"};
    err e = {0};
    assert_false(db_exec(conn, &S, NULL, mem, NULL, NULL, &e));
    assert_int_equal(e.code, ERR_INTERNAL);
    assert_null(strstr(e.message, "nonsense"));
    assert_int_equal(e.flags, 0);
}

static void test_timeout__server_side__deadline_exceeded(void **state) {
    (void)state;
    static const db_stmt S = {"sleep", "SELECT pg_sleep(10)"};
    db_pool *quick = fixture_pool(fixture_conninfo(), 1, 100);
    err e = {0};
    db_conn *c = db_pool_checkout(quick, fixture_deadline(5000), &e);
    int64_t start = fixture_deadline(0);
    assert_false(db_exec(c, &S, NULL, mem, NULL, NULL, &e));
    assert_int_equal(e.code, ERR_DEADLINE_EXCEEDED);
    assert_string_equal(e.sqlstate, "57014");
    assert_true(fixture_deadline(0) - start < 1000);
    static const db_stmt OK = {"after_sleep", "SELECT 1"};
    assert_true(db_exec(c, &OK, NULL, mem, NULL, NULL, &e)); // the connection is still good
    db_pool_checkin(quick, c);
    db_pool_destroy(quick);
}

static void test_stale_plan__result_type_changed__prepared_again(void **state) {
    (void)state;
    static const db_stmt S = {"stale", "SELECT * FROM stale_t"};
    fixture_sql("DROP TABLE IF EXISTS stale_t; CREATE TABLE stale_t (a int8)", NULL, 0);
    must_exec(&S, NULL);
    fixture_sql("ALTER TABLE stale_t ADD b int8", NULL, 0);
    must_exec(&S, NULL);
    // Inside of a transaction the try is lost, and the next succeeds.
    fixture_sql("ALTER TABLE stale_t ADD c int8", NULL, 0);
    err e = {0};
    assert_true(db_begin(conn, fixture_deadline(5000), &e));
    assert_false(db_exec(conn, &S, NULL, mem, NULL, NULL, &e));
    assert_int_equal(e.code, ERR_ABORTED);
    assert_true(e.flags & ERR_RETRIABLE);
    db_rollback(conn);
    assert_true(db_begin(conn, fixture_deadline(5000), &e));
    must_exec(&S, NULL);
    assert_true(db_commit(conn, &e));
}

static void test_forgotten_plan__deallocated__prepared_again(void **state) {
    (void)state;
    static const db_stmt S = {"forgotten", "SELECT 5::int8"};
    static const db_stmt DROP = {"drop_all", "DEALLOCATE ALL"};
    must_exec(&S, NULL);
    must_exec(&DROP, NULL);
    assert_true(db_get_i64(must_exec(&S, NULL), 0, 0) == 5);
}

// --- Pipelines -------------------------------------------------------------------------------------------------------

static const db_stmt PIPE_INSERT = {"pipe_insert", "INSERT INTO pipe_t (id) VALUES ($1)"};
static const db_stmt PIPE_COUNT = {"pipe_count", "SELECT count(*) FROM pipe_t"};
static const db_stmt PIPE_SYNTAX = {"pipe_syntax", "SELECT 1 FROM pipe_nowhere"};

static db_params *id_param(int64_t id) {
    db_params *p = db_params_create(mem);
    db_i64(p, id);
    return p;
}

static int pipe_setup(void **state) {
    fixture_sql("DROP TABLE IF EXISTS pipe_t; CREATE TABLE pipe_t (id int8 PRIMARY KEY)", NULL, 0);
    return setup(state);
}

static void test_pipe__all_good__results_in_order(void **state) {
    (void)state;
    err e = {0};
    for (int64_t round = 0; round < 3; round++) { // unprepared first, prepared after
        db_pipe *p = db_pipe_begin(conn, mem);
        db_pipe_add(p, &PIPE_INSERT, id_param(round * 10 + 1));
        db_pipe_add(p, &PIPE_INSERT, id_param(round * 10 + 2));
        db_pipe_add(p, &PIPE_COUNT, NULL);
        assert_true(db_pipe_run(p, &e));
        assert_int_equal(db_pipe_affected(p, 0), 1);
        assert_int_equal(db_get_i64(db_pipe_rows(p, 2), 0, 0), (round + 1) * 2);
    }
}

static void
test_pipe__one_fails_in_transaction__rest_do_not_run_and_connection_lives(void **state) {
    (void)state;
    err e = {0};
    assert_true(db_begin(conn, fixture_deadline(5000), &e));
    db_pipe *p = db_pipe_begin(conn, mem);
    db_pipe_add(p, &PIPE_INSERT, id_param(1));
    db_pipe_add(p, &PIPE_INSERT, id_param(1));
    db_pipe_add(p, &PIPE_INSERT, id_param(2));
    db_pipe_add(p, &PIPE_COUNT, NULL);
    assert_false(db_pipe_run(p, &e));
    assert_int_equal(e.code, ERR_ALREADY_EXISTS);
    assert_int_equal(db_pipe_failed(p), 1);
    db_rollback(conn);
    assert_int_equal(db_get_i64(must_exec(&PIPE_COUNT, NULL), 0, 0), 0);
    p = db_pipe_begin(conn, mem);
    db_pipe_add(p, &PIPE_INSERT, id_param(5));
    db_pipe_add(p, &PIPE_COUNT, NULL);
    assert_true(db_pipe_run(p, &e));
    assert_int_equal(db_get_i64(db_pipe_rows(p, 1), 0, 0), 1);
}

static void test_pipe__one_fails_outside__nothing_is_kept(void **state) {
    (void)state;
    err e = {0};
    db_pipe *p = db_pipe_begin(conn, mem);
    db_pipe_add(p, &PIPE_INSERT, id_param(1));
    db_pipe_add(p, &PIPE_SYNTAX, NULL); // its Parse fails
    db_pipe_add(p, &PIPE_INSERT, id_param(2));
    assert_false(db_pipe_run(p, &e));
    assert_int_equal(e.code, ERR_INTERNAL);
    assert_int_equal(db_pipe_failed(p), 1);
    assert_int_equal(db_get_i64(must_exec(&PIPE_COUNT, NULL), 0, 0), 0);
}

static void test_pipe__commit_of_failed_transaction__is_an_error(void **state) {
    (void)state;
    err e = {0};
    assert_true(db_begin(conn, fixture_deadline(5000), &e));
    assert_false(db_exec(conn, &PIPE_SYNTAX, NULL, mem, NULL, NULL, &e));
    assert_false(db_commit(conn, &e)); // the error was ignored
    assert_int_equal(e.code, ERR_INTERNAL);
    assert_int_equal(e.flags & ERR_COMMIT_UNKNOWN, 0);
}

static void test_pipe__large_both_ways__does_not_deadlock(void **state) {
    (void)state;
    static const db_stmt ECHO = {"pipe_echo", "SELECT $1"};
    static uint8_t block[100 << 10];
    err e = {0};
    db_pipe *p = db_pipe_begin(conn, mem);
    memset(block, 7, sizeof block);
    for (int i = 0; i < DB_PIPE_MAX; i++) {
        db_params *q = db_params_create(mem);
        db_bytes(q, block, sizeof block);
        db_pipe_add(p, &ECHO, q);
    }
    assert_true(db_pipe_run(p, &e));
    assert_int_equal(db_get_str(db_pipe_rows(p, DB_PIPE_MAX - 1), 0, 0).len, sizeof block);
}

static void test_pipe__stale_plan_outside__run_again(void **state) {
    (void)state;
    static const db_stmt STALE = {"pipe_stale", "SELECT * FROM pipe_t"};
    err e = {0};
    for (int i = 0; i < 2; i++) {
        db_pipe *p = db_pipe_begin(conn, mem);
        db_pipe_add(p, &PIPE_INSERT, id_param(i));
        db_pipe_add(p, &STALE, NULL);
        assert_true(db_pipe_run(p, &e));
        assert_int_equal(db_count(db_pipe_rows(p, 1)), i + 1);
        fixture_sql("ALTER TABLE pipe_t ADD IF NOT EXISTS b int8", NULL, 0);
    }
}

static void test_pipe__backend_killed__unknown_and_broken(void **state) {
    (void)state;
    static const db_stmt KILL = {"pipe_kill", "SELECT pg_terminate_backend(pg_backend_pid())"};
    err e = {0};
    const int64_t unknown = metric_value(pool->commit_unknown);
    db_pipe *p = db_pipe_begin(conn, mem);
    db_pipe_add(p, &PIPE_INSERT, id_param(1));
    db_pipe_add(p, &KILL, NULL);
    db_pipe_add(p, &PIPE_INSERT, id_param(2));
    assert_false(db_pipe_run(p, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_true(e.flags & ERR_CONNECTION_LOST);
    assert_true(e.flags & ERR_COMMIT_UNKNOWN);
    assert_int_equal(metric_value(pool->commit_unknown) - unknown, 1);
    assert_false(db_exec(conn, &PIPE_COUNT, NULL, mem, NULL, NULL, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
}

// Every statement was answered; then the commit at the pipeline's end fails.
static void test_pipe__refused_at_its_end__unknown_and_nothing_is_kept(void **state) {
    (void)state;
    static const db_stmt INSERT = {"pipe_late", "INSERT INTO pipe_late VALUES ($1)"};
    err e = {0};
    fixture_sql("DROP TABLE IF EXISTS pipe_late; CREATE TABLE pipe_late "
                "(id int8 UNIQUE DEFERRABLE INITIALLY DEFERRED)",
                NULL, 0);
    db_pipe *p = db_pipe_begin(conn, mem);
    db_pipe_add(p, &INSERT, id_param(1));
    db_pipe_add(p, &INSERT, id_param(1));
    assert_false(db_pipe_run(p, &e));
    // the caller must look it up, as after a lost answer
    assert_true(e.flags & ERR_COMMIT_UNKNOWN);
    assert_true(conn->broken);
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM pipe_late"), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TP(f) cmocka_unit_test_setup_teardown(f, pipe_setup, teardown)

int main(void) {
    log_init("db-test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        T(test_scalars__round_trip__same_values),
        T(test_values__server_reads_them__as_we_meant),
        T(test_arrays__round_trip__with_nulls),
        T(test_arrays__empty__are_empty_not_null),
        T(test_jsonb__read_as_str__without_version_byte),
        T(test_text__not_utf8__refused_before_sending),
        T(test_memory__arena_full__resource_exhausted),
        T(test_affected__update__counts_rows),
        T(test_error__ours__internal_without_sql),
        T(test_timeout__server_side__deadline_exceeded),
        T(test_stale_plan__result_type_changed__prepared_again),
        T(test_forgotten_plan__deallocated__prepared_again),
        TP(test_pipe__all_good__results_in_order),
        TP(test_pipe__one_fails_in_transaction__rest_do_not_run_and_connection_lives),
        TP(test_pipe__one_fails_outside__nothing_is_kept),
        TP(test_pipe__commit_of_failed_transaction__is_an_error),
        TP(test_pipe__large_both_ways__does_not_deadlock),
        TP(test_pipe__stale_plan_outside__run_again),
        TP(test_pipe__backend_killed__unknown_and_broken),
        TP(test_pipe__refused_at_its_end__unknown_and_nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
