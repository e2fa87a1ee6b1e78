#include "base/cond.h"

#include "base/clock.h"
#include "base/test_support.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved;
static bool done;

static void *finish(void *arg) {
    (void)arg;
    pthread_mutex_lock(&lock);
    done = true;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static int64_t now_ms(void) {
    return clock_mono_ms(clock_system());
}

// True after a signal, false when the time was over.
static bool await(const struct timespec *until) {
    pthread_mutex_lock(&lock);
    while (!done && cond_wait_until(&moved, &lock, until)) {
    }
    const bool told = done;
    pthread_mutex_unlock(&lock);
    return told;
}

static void test_cond__nothing_comes__waits_out_its_time(void **state) {
    (void)state;
    done = false;
    cond_init(&moved);
    const int64_t start_ms = now_ms();
    const struct timespec after = cond_after_ms(30), at = cond_at_ms(start_ms + 60);
    assert_false(await(&after));
    assert_true(now_ms() - start_ms >= 30);
    assert_false(await(&at));
    assert_true(now_ms() - start_ms >= 60);
    pthread_cond_destroy(&moved);
}

static void test_cond__the_time_is_over__does_not_wait(void **state) {
    (void)state;
    done = false;
    cond_init(&moved);
    const struct timespec now = cond_after_ms(0), negative = cond_after_ms(-5000),
                          past = cond_at_ms(1);
    assert_false(await(&now));
    assert_false(await(&negative));
    assert_false(await(&past));
    pthread_cond_destroy(&moved);
}

static void test_cond__signalled__does_not_wait_for_the_end(void **state) {
    (void)state;
    const struct timespec ends[] = {cond_after_ms(60000), cond_at_ms(INT64_MAX),
                                    cond_after_ms(INT32_MAX)};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        pthread_t thread;
        done = false;
        cond_init(&moved);
        const int64_t start_ms = now_ms();
        assert_int_equal(pthread_create(&thread, NULL, finish, NULL), 0);
        assert_true(await(&ends[i]));
        assert_true(now_ms() - start_ms < 60000);
        assert_int_equal(pthread_join(thread, NULL), 0);
        pthread_cond_destroy(&moved);
    }
}

// Parts of a second carry over into seconds.
static void test_cond__parts_of_a_second__are_carried(void **state) {
    (void)state;
    for (int64_t ms = 0; ms < 2500; ms += 7) {
        const struct timespec a = cond_after_ms(ms), b = cond_at_ms(1000000 + ms);
        assert_true(a.tv_nsec >= 0 && a.tv_nsec < 1000000000);
        assert_int_equal(b.tv_sec, 1000 + ms / 1000);
        assert_int_equal(b.tv_nsec, ms % 1000 * 1000000);
    }
}

static void test_pause__as_long_as_asked(void **state) {
    (void)state;
    const int64_t start_ms = now_ms();
    clock_pause_ms(20);
    assert_true(now_ms() - start_ms >= 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cond__nothing_comes__waits_out_its_time),
        cmocka_unit_test(test_cond__the_time_is_over__does_not_wait),
        cmocka_unit_test(test_cond__signalled__does_not_wait_for_the_end),
        cmocka_unit_test(test_cond__parts_of_a_second__are_carried),
        cmocka_unit_test(test_pause__as_long_as_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
