// The brake against a real PostgreSQL.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "connections/pause.h"
#include "testing/fixture.h"

static db_pool *pool;
static arena *memory;

static int setup(void **state) {
    (void)state;
    static char conninfo[256];
    log_init("connections-test", LOG_ERROR);
    fixture_sql("CREATE ROLE payments_service LOGIN", NULL, 0);
    err e;
    if (!db_migrate(fixture_conninfo(), CONNECTIONS_TEST_MIGRATIONS, &e)) {
        fprintf(stderr, "%s: %s %s\n", e.reason, e.message, e.detail);
        return -1;
    }
    (void)snprintf(conninfo, sizeof conninfo, "host=%s user=payments_service dbname=postgres",
                   fixture_server_dir());
    pool = fixture_pool(conninfo, 2, 5000);
    memory = arena_create((size_t)16 << 20);
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
    fixture_sql("TRUNCATE pause, pause_log", NULL, 0);
    return 0;
}

typedef struct acting {
    pause_row row;
    bool lift, changed;
    pause_set seen;
} acting;

static bool act(db_conn *c, arena *a, void *arg, err *e) {
    acting *x = arg;
    return x->lift ? pause_lift(c, &x->row.scope, x->row.reason, x->row.actor, 2000000, a,
                                &x->changed, e)
                   : pause_set_one(c, &x->row, a, &x->changed, e);
}

static bool changed(int64_t book, int connection, const char *merchant, bool lift) {
    acting x = {.row = {.scope = {book, connection, str_of(merchant)},
                        .reason = STR("the bank asks for it"),
                        .actor = STR("spiffe://test for ada"),
                        .since_us = 1000000},
                .lift = lift};
    err e;
    if (!db_transact(pool, fixture_deadline(5000), memory, act, &x, &e)) {
        fail_msg("%s: %s / %s", e.reason, e.message, e.detail);
    }
    return x.changed;
}

static bool read_all(db_conn *c, arena *a, void *arg, err *e) {
    return pause_read(c, arg, a, e);
}

static pause_set now(void) {
    pause_set s;
    err e;
    assert_true(db_read(pool, fixture_deadline(5000), memory, read_all, &s, &e));
    return s;
}

static void test_pause__covers_what_agrees_with_all_of_it(void **state) {
    (void)state;
    pause_set s = now();
    assert_false(pause_stops(&s, 1, 1));
    assert_true(changed(0, 2, "", false));      // a connection
    assert_true(changed(3, 0, "", false));      // a book
    assert_true(changed(0, 0, "shop", false));  // a merchant
    assert_true(changed(4, 1, "stall", false)); // a merchant at one connection
    s = now();
    assert_true(pause_stops(&s, 1, 2));
    assert_false(pause_stops(&s, 1, 1));
    assert_true(pause_stops(&s, 3, 1));
    assert_true(str_eq_c(pause_of(&s, 3, 1)->reason, "the bank asks for it"));
    str merchants[2];
    assert_int_equal(pause_merchants(&s, 1, 1, merchants, 2), 1);
    assert_true(str_eq_c(merchants[0], "shop"));
    assert_int_equal(pause_merchants(&s, 4, 1, merchants, 2), 2);
    assert_int_equal(pause_merchants(&s, 4, 2, merchants, 2), 1);
    assert_int_equal(pause_merchants(&s, 4, 1, merchants, 0), 2); // says how many there are
    assert_true(changed(0, 0, "", false));                        // everything
    s = now();
    assert_true(pause_stops(&s, 1, 1));
}

static void test_EXPLAINED__who_paused_and_resumed_what(void **state) {
    (void)state;
    assert_true(changed(0, 1, "", false));
    assert_false(changed(0, 1, "", false)); // stays as it is
    assert_true(changed(0, 1, "", true));
    assert_false(changed(0, 1, "", true));
    assert_true(changed(0, 1, "", false));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM pause"), 1);
    char log[64];
    fixture_sql("SELECT string_agg(kind::text, ' ' ORDER BY entry_id) FROM pause_log WHERE "
                "actor = 'spiffe://test for ada' AND reason <> ''",
                log, sizeof log);
    assert_string_equal(log, "1 2 1");
}

// A set that is cut off would let payouts go that are paused.
static void test_pause__is_refused_before_there_are_too_many(void **state) {
    (void)state;
    fixture_sql("INSERT INTO pause SELECT 0, 1, 'm' || n, 'r', 'a', now() "
                "FROM generate_series(1, 998) AS n",
                NULL, 0);
    assert_true(changed(0, 2, "", false));
    acting x = {.row = {.scope = {0, 3, STR("")}, .reason = STR("r"), .actor = STR("a")}};
    err e;
    assert_false(db_transact(pool, fixture_deadline(5000), memory, act, &x, &e));
    assert_string_equal(e.reason, "TOO_MANY_PAUSES");
    const pause_set s = now();
    assert_true(pause_stops(&s, 7, 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_pause__covers_what_agrees_with_all_of_it, fresh),
        cmocka_unit_test_setup(test_EXPLAINED__who_paused_and_resumed_what, fresh),
        cmocka_unit_test_setup(test_pause__is_refused_before_there_are_too_many, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
