#include "base/arena.h"

#include "base/test_support.h"

enum { CAP = 1024 * 1024 };

static void test_arena_alloc__many_sizes__aligned_zeroed_and_apart(void **state) {
    (void)state;
    arena *a = arena_create(CAP);
    unsigned char *last = NULL;
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 1200; size += 7) {
            unsigned char *p = arena_alloc(a, size);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            assert_ptr_not_equal(p, last);
            for (size_t i = 0; i < size; i++) {
                assert_int_equal(p[i], 0);
                p[i] = 0xaa;
            }
            last = p;
        }
        assert_true(arena_used(a) > 0);
        arena_reset(a);
        assert_int_equal(arena_used(a), 0);
    }
    arena_destroy(a);
}

static void test_arena_alloc__past_the_cap__null_and_still_usable(void **state) {
    (void)state;
    arena *a = arena_create(4096);
    assert_null(arena_alloc(a, 4097));
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_alloc(a, SIZE_MAX - 8));
    assert_non_null(arena_alloc(a, 4000));
    assert_null(arena_alloc(a, 97));
    assert_non_null(arena_alloc(a, 96));
    assert_null(arena_alloc(a, 0));
    assert_int_equal(arena_used(a), 4096);
    arena_reset(a);
    assert_non_null(arena_alloc(a, 4096));
    arena_destroy(a);
}

static void test_arena_alloc__large_before_and_between_small__both_work(void **state) {
    (void)state;
    arena *a = arena_create(CAP);
    for (int round = 0; round < 2; round++) {
        char *large = arena_must(a, 100000);
        for (size_t i = 0; i < 100000; i++) {
            assert_int_equal(large[i], 0);
        }
        memset(large, 1, 100000);
        for (int i = 0; i < 100; i++) {
            memset(arena_must(a, 3000), 2, 3000);
            memset(arena_must(a, 5), 3, 5);
        }
        arena_reset(a);
    }
    arena_destroy(a);
}

static void test_arena_calloc__overflow__null(void **state) {
    (void)state;
    arena *a = arena_create(CAP);
    assert_null(arena_calloc(a, SIZE_MAX / 2, 3));
    assert_non_null(arena_calloc(a, 10, 10));
    assert_non_null(ARENA_ARRAY(a, int, 4));
    assert_non_null(ARENA_NEW(a, int));
    arena_destroy(a);
}

static void must_pass_cap(void *arg) {
    (void)arg;
    arena *a = arena_create(64);
    (void)arena_must(a, 65);
}

static void test_arena_must__past_the_cap__aborts(void **state) {
    (void)state;
    assert_aborts(must_pass_cap, NULL);
}

static void test_arena_strings__copies__are_terminated(void **state) {
    (void)state;
    arena *a = arena_create(4096);
    assert_string_equal(arena_strdup(a, "abc"), "abc");
    assert_string_equal(arena_strndup(a, "abcdef", 2), "ab");
    assert_string_equal(arena_strndup(a, NULL, 0), "");
    assert_string_equal(arena_printf(a, "%d-%s", 7, "x"), "7-x");
    assert_null(arena_printf(a, "%5000d", 1));
    assert_null(arena_strndup(a, "", SIZE_MAX));
    arena_destroy(a);
}

static char order[8];
static void note(void *arg) {
    strncat(order, arg, 1);
}

static void test_arena_defer__reset_and_destroy__newest_first_and_once(void **state) {
    (void)state;
    arena *a = arena_create(CAP);
    order[0] = '\0';
    assert_true(arena_defer(a, note, (void *)"a"));
    assert_true(arena_defer(a, note, (void *)"b"));
    arena_reset(a);
    assert_string_equal(order, "ba");
    assert_true(arena_defer(a, note, (void *)"c"));
    arena_destroy(a);
    assert_string_equal(order, "bac");
    a = arena_create(16);
    assert_false(arena_defer(a, note, (void *)"d"));
    arena_destroy(a);
    assert_string_equal(order, "bac");
    arena_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_alloc__many_sizes__aligned_zeroed_and_apart),
        cmocka_unit_test(test_arena_alloc__past_the_cap__null_and_still_usable),
        cmocka_unit_test(test_arena_alloc__large_before_and_between_small__both_work),
        cmocka_unit_test(test_arena_calloc__overflow__null),
        cmocka_unit_test(test_arena_must__past_the_cap__aborts),
        cmocka_unit_test(test_arena_strings__copies__are_terminated),
        cmocka_unit_test(test_arena_defer__reset_and_destroy__newest_first_and_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
