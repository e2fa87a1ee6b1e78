// The brake, and the payouts at a connection, against a real PostgreSQL.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "connections/connections.h"
#include "connections/pause.h"
#include "testing/fixture.h"

static db_pool *pool;
static arena *memory;

static int setup(void **state) {
    (void)state;
    log_init("connections-test", LOG_ERROR);
    pool = fixture_payments_pool(CONNECTIONS_TEST_MIGRATIONS, 2, 5000);
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
    fixture_sql("TRUNCATE pause, pause_log, saga, merchant_book", NULL, 0);
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
    err e = {0};
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
    err e = {0};
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
    assert_int_equal(pause_merchants(&s, 4, 1, merchants, 0), 2); // returns their full number
    assert_true(changed(0, 0, "", false));                        // pauses everything
    s = now();
    assert_true(pause_stops(&s, 1, 1));
}

static void test_EXPLAINED__who_paused_and_resumed_what(void **state) {
    (void)state;
    assert_true(changed(0, 1, "", false));
    assert_false(changed(0, 1, "", false)); // already so: no change
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

// A set that is cut off would let paused payouts go.
static void test_pause__is_refused_before_there_are_too_many(void **state) {
    (void)state;
    fixture_sql("INSERT INTO pause SELECT 0, 1, 'm' || n, 'r', 'a', now() "
                "FROM generate_series(1, 998) AS n",
                NULL, 0);
    assert_true(changed(0, 2, "", false));
    acting x = {.row = {.scope = {0, 3, STR("")}, .reason = STR("r"), .actor = STR("a")}};
    err e = {0};
    assert_false(db_transact(pool, fixture_deadline(5000), memory, act, &x, &e));
    assert_string_equal(e.reason, "TOO_MANY_PAUSES");
    const pause_set s = now();
    assert_true(pause_stops(&s, 7, 2));
}

typedef struct queue_read {
    const connection_info *list;
    connection_queue *out;
    size_t n;
} queue_read;

static bool read_queue(db_conn *c, arena *a, void *arg, err *e) {
    queue_read *q = arg;
    return connections_queue(c, q->list, 2, a, &q->out, &q->n, e);
}

static void test_queue__counts_by_step_over_all_books(void **state) {
    (void)state;
    fixture_sql(
        "INSERT INTO merchant_book VALUES ('shop', 7), ('stall', 8); "
        "INSERT INTO saga (book_id, payout_id, rail, step, phase, state, attempt, tries, log_seq, "
        "events, events_seen, epoch, reason, reason_text, rail_reference, updated_at, step_since, "
        "hold) SELECT 7 + n % 2, md5(n::text)::uuid, 1 + n / 6, CASE WHEN n < 4 THEN 2 WHEN n = 4 "
        "THEN 8 ELSE 4 END, 0, 4, 1, 0, 0, 0, 0, 0, '', '', '', now(), "
        "'2026-01-01Z'::timestamptz + n * interval '1 h', CASE n WHEN 3 THEN 'HELD' ELSE '' END "
        "FROM generate_series(0, 7) AS n",
        NULL, 0);
    const connection_info list[] = {{.id = 1, .name = "ach"}, {.id = 2, .name = "instant"}};
    queue_read q = {.list = list};
    err e = {0};
    assert_true(db_read(pool, fixture_deadline(5000), memory, read_queue, &q, &e));
    assert_int_equal(q.n, 3);
    assert_int_equal(q.out[0].connection, 1);
    assert_int_equal(q.out[0].step, 2);
    assert_int_equal(q.out[0].count, 3); // of two books; the held one is not counted
    assert_int_equal(q.out[0].oldest_us, 1767225600000000);
    assert_int_equal(q.out[1].count, 1);
    assert_int_equal(q.out[2].connection, 2);
    assert_int_equal(q.out[2].step, 4);
    assert_int_equal(q.out[2].count, 2);
    assert_ptr_equal(connection_named(list, 2, STR("instant")), &list[1]);
    assert_null(connection_named(list, 2, STR("wire")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_pause__covers_what_agrees_with_all_of_it, fresh),
        cmocka_unit_test_setup(test_EXPLAINED__who_paused_and_resumed_what, fresh),
        cmocka_unit_test_setup(test_pause__is_refused_before_there_are_too_many, fresh),
        cmocka_unit_test_setup(test_queue__counts_by_step_over_all_books, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
