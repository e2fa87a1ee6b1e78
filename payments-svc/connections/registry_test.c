// The registry of connections, against a real PostgreSQL.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "connections/registry.h"
#include "testing/fixture.h"

static const connection_scheme SCHEMES[] = {{1, "ach", true}, {2, "instant", false}};
static const connection_scheme *const ACH = &SCHEMES[0], *const INSTANT = &SCHEMES[1];

static db_pool *pool;

static int setup(void **state) {
    (void)state;
    log_init("registry-test", LOG_ERROR);
    pool = fixture_payments_pool(CONNECTIONS_TEST_MIGRATIONS, 8, 5000);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    db_pool_destroy(pool);
    return 0;
}

static int fresh(void **state) {
    (void)state;
    fixture_sql("DELETE FROM connection WHERE number > 2", NULL, 0);
    return 0;
}

static void number(const connection_wanted *wanted, size_t n, int *numbers) {
    err e = {0};
    if (!connections_number(pool, wanted, n, numbers, &e)) {
        fail_msg("%s: %s / %s", e.reason, e.message, e.detail);
    }
}

static void test_numbers__are_given_once_and_for_ever(void **state) {
    (void)state;
    const connection_wanted all[] = {
        {"ach", ACH}, {"instant", INSTANT}, {"wells", ACH}, {"fast", INSTANT}};
    const connection_wanted later[] = {{"new", ACH}, {"fast", INSTANT}, {"ach", ACH}};
    int numbers[4];
    number(all, 4, numbers);
    assert_int_equal(numbers[0], 1); // as before names existed
    assert_int_equal(numbers[1], 2);
    assert_int_equal(numbers[2], 3);
    assert_int_equal(numbers[3], 4);
    number(later, 3, numbers); // wells is switched off, and keeps its number
    assert_int_equal(numbers[0], 5);
    assert_int_equal(numbers[1], 4);
    assert_int_equal(numbers[2], 1);
}

static void test_numbers__a_name_never_changes_its_scheme(void **state) {
    (void)state;
    const connection_wanted was = {"wells", ACH}, is = {"wells", INSTANT};
    int got;
    err e = {0};
    number(&was, 1, &got);
    assert_false(connections_number(pool, &is, 1, &got, &e));
    assert_string_equal(e.reason, "CONNECTION_SCHEME");
    assert_int_equal(e.code, ERR_FAILED_PRECONDITION);
}

static void test_numbers__end(void **state) {
    (void)state;
    fixture_sql("INSERT INTO connection SELECT 0, n, 'c' || n, 1, now() "
                "FROM generate_series(3, 64) AS n",
                NULL, 0);
    const connection_wanted known = {"c64", ACH}, more = {"one-more", ACH};
    int got;
    err e = {0};
    number(&known, 1, &got);
    assert_int_equal(got, 64);
    assert_false(connections_number(pool, &more, 1, &got, &e));
    assert_string_equal(e.reason, "TOO_MANY_CONNECTIONS");
}

enum { INSTANCES = 6, NAMES = 5 };
static pthread_barrier_t together;

typedef struct instance {
    int first;
    int numbers[NAMES];
    bool ok;
} instance;

// Each instance has the names in another order.
static void *start(void *arg) {
    static const char *const NAME[NAMES] = {"a", "b", "c", "d", "e"};
    instance *x = arg;
    connection_wanted wanted[NAMES];
    int numbers[NAMES];
    err e = {0};
    for (int i = 0; i < NAMES; i++) {
        wanted[i] = (connection_wanted){NAME[(i + x->first) % NAMES], ACH};
    }
    pthread_barrier_wait(&together);
    x->ok = connections_number(pool, wanted, NAMES, numbers, &e);
    for (int i = 0; i < NAMES; i++) {
        x->numbers[(i + x->first) % NAMES] = numbers[i];
    }
    return NULL;
}

static void test_numbers__instances_that_start_together_agree(void **state) {
    (void)state;
    pthread_t threads[INSTANCES];
    instance all[INSTANCES] = {0};
    assert_int_equal(pthread_barrier_init(&together, NULL, INSTANCES), 0);
    for (int i = 0; i < INSTANCES; i++) {
        all[i].first = i;
        assert_int_equal(pthread_create(&threads[i], NULL, start, &all[i]), 0);
    }
    for (int i = 0; i < INSTANCES; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&together);
    for (int i = 0; i < INSTANCES; i++) {
        assert_true(all[i].ok);
        assert_memory_equal(all[i].numbers, all[0].numbers, sizeof all[0].numbers);
    }
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM connection"), 2 + NAMES);
    assert_int_equal(fixture_sql_i64("SELECT max(number) FROM connection"), 2 + NAMES);
}

static void test_registry__knows_what_is_switched_off(void **state) {
    (void)state;
    fixture_sql("INSERT INTO connection VALUES (0, 3, 'wells', 1, now()), "
                "(0, 4, 'fast', 2, now()), (0, 5, 'wire', 7, now())",
                NULL, 0);
    connections *k = connections_create(SCHEMES, 2);
    const connection_info on = {.id = 3,
                                .name = "wells",
                                .scheme = "ach",
                                .scheme_id = 1,
                                .on = true,
                                .in_files = true,
                                .currencies = "USD",
                                .instruments = "us_bank",
                                .finality = "f"};
    err e = {0};
    connections_add(k, &on);
    assert_null(connections_of(k, 4));
    assert_true(connections_load(k, pool, &e));
    size_t n = 0;
    const connection_info *list = connections_all(k, &n);
    assert_int_equal(n, 5);
    assert_ptr_equal(connections_of(k, 3), &list[0]);
    assert_true(connections_of(k, 3)->on);
    assert_string_equal(connections_of(k, 1)->name, "ach");
    assert_true(connections_of(k, 1)->in_files);
    assert_false(connections_of(k, 1)->on);
    assert_string_equal(connections_of(k, 4)->scheme, "instant");
    assert_false(connections_of(k, 4)->in_files);
    assert_string_equal(connections_of(k, 5)->name, "wire"); // a later version's scheme
    assert_string_equal(connections_of(k, 5)->scheme, "");
    fixture_sql("INSERT INTO connection VALUES (0, 6, 'late', 1, now())", NULL, 0);
    assert_true(connections_load(k, pool, &e)); // another instance has a new connection
    assert_string_equal(connections_of(k, 6)->name, "late");
    assert_ptr_equal(connection_named(list, 6, STR("late")), connections_of(k, 6));
    connections_destroy(k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_numbers__are_given_once_and_for_ever, fresh),
        cmocka_unit_test_setup(test_numbers__a_name_never_changes_its_scheme, fresh),
        cmocka_unit_test_setup(test_numbers__end, fresh),
        cmocka_unit_test_setup(test_numbers__instances_that_start_together_agree, fresh),
        cmocka_unit_test_setup(test_registry__knows_what_is_switched_off, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
