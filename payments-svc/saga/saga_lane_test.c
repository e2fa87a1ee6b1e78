// Fair shares of a claim, and the cost of a look, against a real PostgreSQL.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "domain/ids.h"
#include "saga/engine.h"
#include "testing/fixture.h"
#include "testing/saga_test_worker.h"

// Moves the n oldest payouts of lane 0 to another lane.
static void move_oldest(int n, int lane) {
    char sql[300];
    (void)snprintf(sql, sizeof sql,
                   "UPDATE saga SET lane = %d WHERE payout_id IN (SELECT payout_id FROM saga "
                   "WHERE lane = 0 ORDER BY due_at, payout_id LIMIT %d)",
                   lane, n);
    fixture_sql(sql, NULL, 0);
}

static int64_t claimed_of(const saga_batch *b, int lane) {
    int64_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        char id[UUID_TEXT_LEN + 1];
        uuid_format(b->items[i].payout_id, id);
        n +=
            world_count("SELECT count(*) FROM saga WHERE payout_id = '%s' AND lane = %d", id, lane);
    }
    return n;
}

static void test_lanes__many_of_one_before_the_first_of_another__both_are_claimed(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 300, 1, NULL);
    move_oldest(300, 3);
    world_payouts(RAIL_INSTANT, 2, 1, NULL);
    move_oldest(2, 5); // due after all others
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    b.from.limit = 20;
    assert_int_equal(claim(&b), 20);
    assert_int_equal(claimed_of(&b, 5), 2);
    assert_int_equal(claimed_of(&b, 3), 18); // the other lane's rest
    finish_all(&b, OUT_DONE);
    assert_int_equal(written(&b), 20);
    saga_batch execute = batch(STEP_EXECUTE, 1, 5000);
    execute.from.limit = 4;
    assert_int_equal(claim(&execute), 4);
    assert_int_equal(claimed_of(&execute, 5), 2);
}

static void test_lanes__all_full__each_has_its_share_and_no_more_than_the_limit(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 160, 1, NULL);
    for (int lane = 1; lane < MERCHANT_LANES; lane++) {
        move_oldest(10, lane);
    }
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    b.from.limit = 50; // three of each, and two more
    assert_int_equal(claim(&b), 50);
    for (int lane = 0; lane < MERCHANT_LANES; lane++) {
        assert_in_range(claimed_of(&b, lane), 3, 4);
    }
}

static void test_lanes__after_the_banks_word__one_for_all(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 20, 1, NULL);
    move_oldest(20, 7);
    world_payouts(RAIL_INSTANT, 10, 1, NULL);
    fixture_sql("UPDATE saga SET step = 5, state = 5, attempt = 1, log_seq = 0", NULL, 0);
    saga_batch b = batch(STEP_CONFIRM, 1, 5000);
    b.from.limit = 25;
    assert_int_equal(claim(&b), 25);
    assert_int_equal(claimed_of(&b, 7), 20); // the oldest
}

static void test_lane__of_a_merchant__the_same_everywhere_and_spread(void **state) {
    (void)state;
    int seen[MERCHANT_LANES] = {0};
    assert_int_equal(merchant_lane(STR("shop")), merchant_lane(STR("shop")));
    for (int i = 0; i < 1600; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "m%d", i);
        const int16_t lane = merchant_lane(str_of(id));
        assert_in_range(lane, 0, MERCHANT_LANES - 1);
        seen[lane]++;
    }
    for (int i = 0; i < MERCHANT_LANES; i++) {
        assert_in_range(seen[i], 50, 150);
    }
}

// --- Looks -----------------------------------------------------------------------------------------------------------

// Sessions like those of the engine's looks.
static db_pool *look_pool(void) {
    static db_pool *pool;
    char conninfo[512];
    (void)snprintf(conninfo, sizeof conninfo,
                   "host=%s user=payments_service dbname=postgres options='" SAGA_LOOK_SESSION "'",
                   fixture_server_dir());
    return pool != NULL ? pool : (pool = fixture_pool(conninfo, 2, 5000));
}

static saga_scan look(int64_t limit) {
    static const int64_t BOOKS[] = {WORLD_BOOK - 1, WORLD_BOOK};
    static const int16_t RAILS[] = {RAIL_ACH, RAIL_INSTANT};
    saga_scan s;
    err e = {0};
    if (!saga_store_scan(look_pool(), BOOKS, 2, RAILS, 2, clock_wall_us(clock_system()), limit, &s,
                         fixture_deadline(5000), memory, &e)) {
        fail_msg("%s: %s / %s", e.reason, e.message, e.detail);
    }
    return s;
}

static void test_scan__counts_over_lanes_without_what_is_leased(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 30, 1, NULL);
    move_oldest(10, 9);
    saga_scan s = look(100);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.due[0].book_id, WORLD_BOOK);
    assert_int_equal(s.due[0].rail, RAIL_INSTANT);
    assert_int_equal(s.due[0].step, STEP_RESERVE);
    assert_int_equal(s.due[0].count, 30);
    assert_true(s.next_us == INT64_MAX);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    b.from.limit = 12;
    assert_int_equal(claim(&b), 12);
    assert_int_equal(look(100).due[0].count, 18);
    saga_batch rest = batch(STEP_RESERVE, 2, 5000);
    assert_int_equal(claim(&rest), 18);
    assert_int_equal(look(100).n, 0); // all have owners
}

// In any join order: one line per book, rail and step, and leased payouts are subtracted once.
static void test_scan__two_rails__each_step_is_told_once(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 30, 1, NULL);
    move_oldest(10, 9);
    world_payouts(RAIL_ACH, 30, 1, NULL);
    move_oldest(20, 5);
    saga_batch b = batch(STEP_RESERVE, 1, 5000);
    b.from.limit = 12;
    assert_int_equal(claim(&b), 12);
    const saga_scan s = look(100);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.due[0].count + s.due[1].count, 48);
    assert_int_equal(s.due[0].rail == RAIL_INSTANT ? s.due[0].count : s.due[1].count, 18);
}

static void test_scan__nothing_is_due__says_when_something_will_be(void **state) {
    (void)state;
    world_payouts(RAIL_INSTANT, 3, 1, NULL);
    fixture_sql("UPDATE saga SET due_at = now() + interval '1 h'; UPDATE saga SET due_at = now() + "
                "interval '10 min' WHERE payout_id = (SELECT max(payout_id::text)::uuid FROM saga)",
                NULL, 0);
    const saga_scan s = look(100);
    assert_int_equal(s.n, 0);
    const int64_t in_us = s.next_us - clock_wall_us(clock_system());
    assert_in_range(in_us, INT64_C(590) * 1000000, INT64_C(600) * 1000000);
}

static void test_books__some_known__the_others_are_found(void **state) {
    (void)state;
    fixture_sql("INSERT INTO merchant_book SELECT 'm' || i, 1 + i % 40 * 3 FROM "
                "generate_series(1, 400) AS i",
                NULL, 0);
    int64_t books[100] = {10, WORLD_BOOK};
    size_t n = 2;
    err e = {0};
    assert_true(saga_store_books(world_pool(), books, 100, &n, fixture_deadline(5000), memory, &e));
    assert_int_equal(n, 40); // 1, 4, 7 (WORLD_BOOK), 10 … 118
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(books[i], 1 + 3 * (int64_t)i);
    }
    n = 0;
    assert_true(saga_store_books(world_pool(), books, 5, &n, fixture_deadline(5000), memory, &e));
    assert_int_equal(n, 5);
}

static int end(void **state) {
    db_pool_destroy(look_pool());
    return teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            test_lanes__many_of_one_before_the_first_of_another__both_are_claimed, fresh),
        cmocka_unit_test_setup(test_lanes__all_full__each_has_its_share_and_no_more_than_the_limit,
                               fresh),
        cmocka_unit_test_setup(test_lanes__after_the_banks_word__one_for_all, fresh),
        cmocka_unit_test(test_lane__of_a_merchant__the_same_everywhere_and_spread),
        cmocka_unit_test_setup(test_scan__counts_over_lanes_without_what_is_leased, fresh),
        cmocka_unit_test_setup(test_scan__two_rails__each_step_is_told_once, fresh),
        cmocka_unit_test_setup(test_scan__nothing_is_due__says_when_something_will_be, fresh),
        cmocka_unit_test_setup(test_books__some_known__the_others_are_found, fresh),
    };
    return cmocka_run_group_tests(tests, setup, end);
}
