// Compares the search from a time to its last sequence with a plain walk. The test plays the store.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/assert.h"
#include "query/query_internal.h"

enum { ROWS_MAX = 300000 };

static int64_t times[ROWS_MAX + 1]; // by sequence, from 1
static int64_t n_rows;
static int round_trips;
static bool database_is_down;
static arena *mem;

// Stands in for the store at link time. Answers from the last to the first: the store promises no order.
bool store_list_times(db_conn *c, arena *a, int64_t book_id, const int64_t *sequences, size_t n,
                      int64_t **found, int64_t **times_us, size_t *n_found, err *e) {
    (void)c;
    ASSERT(book_id == 7);
    round_trips++;
    if (database_is_down) {
        return err_set(e, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "not now");
    }
    *found = ARENA_ARRAY(a, int64_t, n + 1);
    *times_us = ARENA_ARRAY(a, int64_t, n + 1);
    *n_found = 0;
    for (size_t i = n; i-- > 0;) {
        // never asks for a row that does not exist
        ASSERT(sequences[i] >= 1 && sequences[i] <= n_rows);
        (*found)[*n_found] = sequences[i];
        (*times_us)[(*n_found)++] = times[sequences[i]];
    }
    return true;
}

static int64_t sequence_at(int64_t time_us) {
    const query_at at = {.a = mem, .book_id = 7};
    int64_t sequence = -1;
    err e = {0};
    arena_reset(mem);
    assert_true(query_sequence_at(&at, n_rows, time_us, &sequence, &e));
    return sequence;
}

static int64_t walk(int64_t time_us) {
    int64_t last = 0;
    for (int64_t s = 1; s <= n_rows && times[s] <= time_us; s++) {
        last = s;
    }
    return last;
}

// Times that repeat now and then, like the rows of one commit.
static void fill(int64_t n, unsigned seed) {
    n_rows = n;
    times[0] = 1000;
    for (int64_t s = 1; s <= n; s++) {
        seed = seed * 1103515245u + 12345u;
        times[s] = times[s - 1] + (int64_t)(seed >> 16) % 3;
    }
}

static void test_sequence_at__empty_book__none(void **state) {
    (void)state;
    n_rows = 0;
    round_trips = 0;
    assert_int_equal(sequence_at(INT64_MAX), 0);
    assert_int_equal(round_trips, 0);
}

static void test_sequence_at__every_time__as_the_walk_says(void **state) {
    (void)state;
    const int64_t sizes[] = {1, 2, 3, 62, 63, 64, 65, 127, 128, 129, 500, 4097};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fill(sizes[i], (unsigned)i + 1);
        const int64_t last_us = times[n_rows];
        const int64_t step = (last_us - 999) / 300 + 1;
        for (int64_t t = 999; t <= last_us + 1; t += step) {
            assert_int_equal(sequence_at(t), walk(t));
        }
        assert_int_equal(sequence_at(0), 0);
        assert_int_equal(sequence_at(last_us - 1), walk(last_us - 1));
        assert_int_equal(sequence_at(last_us), n_rows);
        assert_int_equal(sequence_at(INT64_MAX), n_rows);
    }
}

static void test_sequence_at__all_at_one_time(void **state) {
    (void)state;
    n_rows = 1000;
    for (int64_t s = 1; s <= n_rows; s++) {
        times[s] = 5000;
    }
    assert_int_equal(sequence_at(4999), 0);
    assert_int_equal(sequence_at(5000), 1000); // the last row of that time, never one in between
}

static void test_sequence_at__few_round_trips(void **state) {
    (void)state;
    fill(ROWS_MAX, 99);
    for (int64_t t = times[1]; t < times[n_rows]; t += (times[n_rows] - times[1]) / 50) {
        round_trips = 0;
        assert_int_equal(sequence_at(t), walk(t));
        assert_in_range(round_trips, 1, 4); // 64 to the fourth is more than 16 million rows
    }
}

static void test_sequence_at__database_fails__said(void **state) {
    (void)state;
    fill(100, 1);
    database_is_down = true;
    const query_at at = {.a = mem, .book_id = 7};
    int64_t sequence = -1;
    err e = {0};
    assert_false(query_sequence_at(&at, n_rows, 1001, &sequence, &e));
    database_is_down = false;
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_int_equal(sequence, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequence_at__empty_book__none),
        cmocka_unit_test(test_sequence_at__every_time__as_the_walk_says),
        cmocka_unit_test(test_sequence_at__all_at_one_time),
        cmocka_unit_test(test_sequence_at__few_round_trips),
        cmocka_unit_test(test_sequence_at__database_fails__said),
    };
    mem = arena_create((size_t)1024 * 1024);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_destroy(mem);
    return failed;
}
