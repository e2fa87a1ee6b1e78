#include "base/map.h"

#include "base/test_support.h"

static uuid key_of(uint32_t n) {
    uuid id = {{0}};
    memcpy(id.b, &n, sizeof(n));
    return id;
}

static void *value_of(uint32_t n) {
    static char values[1000]; // only their addresses matter
    return &values[n];
}

static void test_map__against_a_plain_array__same_answers(void **state) {
    (void)state;
    enum { KEYS = 700, MAX = 500, STEPS = 60000 };
    static bool present[KEYS];
    size_t n_present = 0;
    map *m = map_create(0, MAX);
    test_clock t;
    test_clock_init(&t, 0, 11);
    for (int step = 0; step < STEPS; step++) {
        uint32_t k = (uint32_t)clock_random_below(&t.source, KEYS);
        // Grows and shrinks in turn, so that both ends are reached.
        bool growing = step / 5000 % 2 == 0;
        bool put = clock_random_below(&t.source, 10) < (growing ? 8 : 2);
        if (put) {
            bool fits = present[k] || n_present < MAX;
            assert_int_equal(map_put(m, key_of(k), value_of(k)), fits);
            n_present += fits && !present[k] ? 1 : 0;
            present[k] = fits;
        } else {
            assert_ptr_equal(map_remove(m, key_of(k)), present[k] ? value_of(k) : NULL);
            n_present -= present[k] ? 1 : 0;
            present[k] = false;
        }
        assert_int_equal(map_count(m), n_present);
        uint32_t other = (uint32_t)clock_random_below(&t.source, KEYS);
        assert_ptr_equal(map_get(m, key_of(other)), present[other] ? value_of(other) : NULL);
    }
    for (uint32_t k = 0; k < KEYS; k++) {
        assert_ptr_equal(map_get(m, key_of(k)), present[k] ? value_of(k) : NULL);
    }
    map_destroy(m);
    map_destroy(NULL);
}

static void test_map_put__full__refuses_new_but_replaces_old(void **state) {
    (void)state;
    map *m = map_create(10, 3);
    for (uint32_t k = 0; k < 3; k++) {
        assert_true(map_put(m, key_of(k), value_of(k)));
    }
    assert_false(map_put(m, key_of(3), value_of(3)));
    assert_null(map_get(m, key_of(3)));
    assert_true(map_put(m, key_of(1), value_of(99)));
    assert_ptr_equal(map_get(m, key_of(1)), value_of(99));
    assert_int_equal(map_count(m), 3);
    map_clear(m);
    assert_int_equal(map_count(m), 0);
    assert_null(map_get(m, key_of(1)));
    assert_true(map_put(m, key_of(3), value_of(3)));
    map_destroy(m);
}

static void test_map_next__all_entries__each_once(void **state) {
    (void)state;
    enum { N = 1000 };
    static int seen[N];
    map *m = map_create(4, N);
    for (uint32_t k = 0; k < N; k++) {
        assert_true(map_put(m, key_of(k), value_of(k)));
    }
    map_iter it = map_begin(m);
    while (map_next(&it)) {
        uint32_t k = 0;
        memcpy(&k, it.key.b, sizeof(k));
        assert_ptr_equal(it.value, value_of(k));
        seen[k]++;
    }
    for (int k = 0; k < N; k++) {
        assert_int_equal(seen[k], 1);
    }
    map_clear(m);
    it = map_begin(m);
    assert_false(map_next(&it));
    map_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map__against_a_plain_array__same_answers),
        cmocka_unit_test(test_map_put__full__refuses_new_but_replaces_old),
        cmocka_unit_test(test_map_next__all_entries__each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
