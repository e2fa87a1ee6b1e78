// The example command happens once, even when it is repeated.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "example_command.h"
#include "testing/fixture.h"

static db_pool *pool;
static crypto_keyring *keys;

static int setup(void **state) {
    char path[] = "/tmp/disburse-keys.XXXXXX", out[8];
    const char ring[] = "a 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    err e = {0};
    (void)state;
    pool = fixture_payments_pool(EXAMPLE_MIGRATIONS, 8, 10000);
    fixture_sql("CREATE TABLE example_note (book_id bigint NOT NULL, note text NOT NULL);"
                "GRANT SELECT, INSERT ON example_note TO payments_service",
                out, sizeof out);
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, ring, sizeof ring - 1) == (ssize_t)(sizeof ring - 1));
    (void)close(fd);
    keys = crypto_keyring_load(path, &e);
    (void)unlink(path);
    return keys == NULL;
}

static int teardown(void **state) {
    (void)state;
    crypto_keyring_destroy(keys);
    db_pool_destroy(pool);
    return 0;
}

// "" and *e when it is refused.
static str take(const char *key, const char *text, arena *a, err *e) {
    const example_note note = {
        .merchant_id = STR("m"), .key = str_of(key), .text = str_of(text), .book_id = 1};
    str answer = {"", 0};
    return example_note_take(pool, keys, &note, &answer, fixture_deadline(20000), a, e)
               ? answer
               : (str){"", 0};
}

static void test_NO_DOUBLE__a_repeat_gets_the_first_answer(void **state) {
    (void)state;
    arena *a = arena_create(1 << 20);
    err e = {0};
    assert_true(str_eq_c(take("k1", "hello", a, &e), "noted: hello"));
    assert_true(str_eq_c(take("k1", "hello", a, &e), "noted: hello"));
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM example_note"), 1);
    assert_int_equal(take("k1", "other", a, &e).len, 0);
    assert_string_equal(e.reason, "IDEMPOTENCY_KEY_REUSED");
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM example_note"), 1);
    arena_destroy(a);
}

static void *at_once(void *arg) {
    (void)arg;
    arena *a = arena_create(1 << 20);
    err e = {0};
    const bool ok = str_eq_c(take("k2", "many", a, &e), "noted: many");
    arena_destroy(a);
    return ok ? &keys : NULL;
}

static void test_NO_DOUBLE__many_at_once(void **state) {
    (void)state;
    pthread_t threads[6];
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, at_once, NULL), 0);
    }
    for (size_t i = 0; i < 6; i++) {
        void *ok = NULL;
        assert_int_equal(pthread_join(threads[i], &ok), 0);
        assert_non_null(ok);
    }
    assert_int_equal(fixture_sql_i64("SELECT count(*) FROM example_note WHERE note = 'many'"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_NO_DOUBLE__a_repeat_gets_the_first_answer),
        cmocka_unit_test(test_NO_DOUBLE__many_at_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
