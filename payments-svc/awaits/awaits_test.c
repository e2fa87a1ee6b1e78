// Waits for payouts, with the test's own table instead of a database.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "awaits/awaits.h"
#include "base/assert.h"
#include "base/clock.h"

enum { PAYOUTS = 8, MAX = 6, CLIENT_MAX = 4, LONG_MS = 20000, SOON_MS = 50 };

// The database: the payouts that have reached the awaited state.
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool there[PAYOUTS];
    bool away; // no look succeeds
    size_t n_looks, n_looked;
    void (*in_look)(void); // called after the read, before the look ends
} world = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

typedef struct caller {
    payout_await wait;
    atomic_bool gone;
    bool answered, over;
    err_code code; // the answer's
} caller;

static awaits *w;
static caller callers[MAX + 2];

static uuid payout(int i) {
    return (uuid){.b = {[0] = 1, [15] = (uint8_t)i}};
}

static bool look(void *arg, int64_t book_id, payout_await *const *waits, size_t n,
                 int64_t deadline_mono_ms, arena *a, err *e) {
    (void)arg, (void)deadline_mono_ms;
    pthread_mutex_lock(&world.mutex);
    world.n_looks++;
    world.n_looked += n;
    const bool away = world.away;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(waits[i]->book_id, book_id);
        waits[i]->over = world.there[waits[i]->payout_id.b[15]];
        waits[i]->answer = arena_must(a, 1);
    }
    void (*in_look)(void) = world.in_look;
    world.in_look = NULL;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.mutex);
    if (in_look != NULL) {
        in_look();
    }
    return !away || err_set(e, ERR_UNAVAILABLE, "AWAY", "the database is away");
}

static void done(payout_await *wait, const err *failed) {
    caller *c = wait->owner;
    pthread_mutex_lock(&world.mutex);
    assert_false(c->answered);
    c->over = wait->over;
    c->code = failed == NULL ? ERR_OK : failed->code;
    c->answered = true;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.mutex);
}

static bool gone(void *owner) {
    return atomic_load(&((caller *)owner)->gone);
}

static int setup(void **state) {
    (void)state;
    const awaits_calls calls = {look, NULL, done, gone};
    memset(callers, 0, sizeof callers);
    memset(world.there, 0, sizeof world.there);
    world.away = false;
    world.n_looks = world.n_looked = 0;
    world.in_look = NULL;
    w = awaits_create(MAX, CLIENT_MAX);
    awaits_start(w, &calls);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    awaits_close(w);
    awaits_destroy(w);
    return 0;
}

static bool add(int i, const char *client, int of_payout, int64_t ms, err *e) {
    caller *c = &callers[i];
    c->wait = (payout_await){.book_id = 1,
                             .payout_id = payout(of_payout),
                             .client = client,
                             .end_mono_ms = clock_mono_ms(clock_system()) + ms,
                             .owner = c};
    return awaits_add(w, &c->wait, e);
}

static void must_add(int i, int of_payout, int64_t ms) {
    err e = {0};
    assert_true(add(i, i < CLIENT_MAX ? "a" : "b", of_payout, ms, &e));
}

// Waits until the caller's condition holds; only the test's own time limit ends it.
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        pthread_mutex_lock(&world.mutex);                                                          \
        while (!(condition)) {                                                                     \
            pthread_cond_wait(&world.changed, &world.mutex);                                       \
        }                                                                                          \
        pthread_mutex_unlock(&world.mutex);                                                        \
    } while (0)

static void move_to(int i) {
    pthread_mutex_lock(&world.mutex);
    world.there[i] = true;
    pthread_mutex_unlock(&world.mutex);
}

static void tell(int i) {
    const uuid id = payout(i);
    awaits_tell(w, 1, &id, 1);
}

static void test_await__there_before__answered_by_the_first_look(void **state) {
    (void)state;
    move_to(3);
    must_add(0, 3, LONG_MS);
    WAIT_FOR(callers[0].answered);
    assert_true(callers[0].over);
    assert_int_equal(callers[0].code, ERR_OK);
    assert_int_equal(world.n_looks, 1);
    assert_false(awaits_any(w));
}

static void test_await__told__answered_long_before_the_end(void **state) {
    (void)state;
    const int64_t from_ms = clock_mono_ms(clock_system());
    must_add(0, 3, LONG_MS);
    assert_true(awaits_any(w));
    WAIT_FOR(world.n_looks > 0);
    move_to(3);
    tell(3);
    WAIT_FOR(callers[0].answered);
    assert_true(callers[0].over);
    assert_true(clock_mono_ms(clock_system()) - from_ms < LONG_MS);
}

// A payout that moves and is told after the look's read, but before its end, is looked at again.
static void move_and_tell_in_look(void) {
    move_to(3);
    tell(3);
}

static void test_await__told_while_it_is_looked_at__not_lost(void **state) {
    (void)state;
    world.in_look = move_and_tell_in_look;
    must_add(0, 3, LONG_MS);
    WAIT_FOR(callers[0].answered);
    assert_true(callers[0].over);
    assert_int_equal(world.n_looks, 2);
}

static void test_await__nobody_tells__found_by_a_look(void **state) {
    (void)state;
    must_add(0, 3, LONG_MS);
    WAIT_FOR(world.n_looks > 0);
    move_to(3);
    WAIT_FOR(callers[0].answered);
    assert_true(callers[0].over);
}

static void test_await__time_is_up__answered_as_it_stands(void **state) {
    (void)state;
    must_add(0, 3, SOON_MS);
    WAIT_FOR(callers[0].answered);
    assert_false(callers[0].over);
    assert_int_equal(callers[0].code, ERR_OK);
    assert_non_null(callers[0].wait.answer);
}

static void test_await__many__one_look_of_all(void **state) {
    (void)state;
    pthread_mutex_lock(&world.mutex); // the first look waits for this, so the others gather
    for (int i = 0; i < MAX; i++) {
        must_add(i, i, LONG_MS);
    }
    pthread_mutex_unlock(&world.mutex);
    WAIT_FOR(world.n_looked >= MAX);
    assert_true(world.n_looks <= 2);
}

static void test_await__same_payout__all_answered(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        must_add(i, 3, LONG_MS);
    }
    must_add(3, 4, LONG_MS);
    WAIT_FOR(world.n_looked >= 4);
    move_to(3);
    tell(3);
    WAIT_FOR(callers[0].answered && callers[1].answered && callers[2].answered);
    assert_false(callers[3].answered);
}

static void test_await__too_many__refused_with_a_time(void **state) {
    (void)state;
    err e = {0};
    for (int i = 0; i < CLIENT_MAX; i++) {
        assert_true(add(i, "a", 1, LONG_MS, &e));
    }
    assert_false(add(MAX, "a", 1, LONG_MS, &e));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(e.reason, "TOO_MANY_AWAITS");
    assert_true(e.retry_after_ms > 0);
    for (int i = CLIENT_MAX; i < MAX; i++) {
        assert_true(add(i, "b", 1, LONG_MS, &e)); // another client has its own limit
    }
    assert_false(add(MAX, "c", 1, LONG_MS, &e));
    assert_int_equal(e.code, ERR_RESOURCE_EXHAUSTED);
    move_to(1);
    tell(1);
    for (int i = 0; i < MAX; i++) {
        WAIT_FOR(callers[i].answered);
    }
    assert_true(add(MAX, "a", 1, LONG_MS, &e)); // and there is room again
    WAIT_FOR(callers[MAX].answered);
}

static void test_await__caller_gone__its_place_is_free(void **state) {
    (void)state;
    err e = {0};
    for (int i = 0; i < CLIENT_MAX; i++) {
        assert_true(add(i, "a", 1, LONG_MS, &e));
    }
    atomic_store(&callers[2].gone, true);
    WAIT_FOR(callers[2].answered);
    assert_false(callers[1].answered);
    assert_true(add(MAX, "a", 1, LONG_MS, &e));
}

static void test_await__database_away__the_error_at_the_end(void **state) {
    (void)state;
    world.away = true;
    must_add(0, 3, SOON_MS);
    WAIT_FOR(callers[0].answered);
    assert_int_equal(callers[0].code, ERR_UNAVAILABLE);
}

static void test_await__database_away_for_a_moment__waits_on(void **state) {
    (void)state;
    world.away = true;
    must_add(0, 3, LONG_MS);
    WAIT_FOR(world.n_looks > 1);
    pthread_mutex_lock(&world.mutex);
    world.away = false;
    world.there[3] = true;
    pthread_mutex_unlock(&world.mutex);
    WAIT_FOR(callers[0].answered);
    assert_int_equal(callers[0].code, ERR_OK);
    assert_true(callers[0].over);
}

static void test_await__closed__all_answered_and_none_taken(void **state) {
    (void)state;
    err e = {0};
    must_add(0, 3, LONG_MS);
    must_add(1, 4, LONG_MS);
    awaits_close(w);
    assert_true(callers[0].answered && callers[1].answered);
    assert_int_equal(callers[0].code, ERR_UNAVAILABLE);
    assert_false(add(2, "a", 5, LONG_MS, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    awaits_close(w);
}

static void test_await__another_book__not_told(void **state) {
    (void)state;
    must_add(0, 3, LONG_MS);
    const uuid id = payout(3);
    awaits_tell(w, 2, &id, 1);
    awaits_tell(w, 1, &id, 0);
    WAIT_FOR(world.n_looks > 0);
    assert_false(callers[0].answered);
}

static void test_await__not_started__refused(void **state) {
    (void)state;
    err e = {0};
    awaits *idle = awaits_create(1, 1);
    payout_await one = {.book_id = 1, .client = "a"};
    assert_false(awaits_add(idle, &one, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_false(awaits_any(idle));
    assert_false(awaits_any(NULL));
    awaits_heard(NULL, 1);
    awaits_close(idle);
    awaits_destroy(idle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_await__there_before__answered_by_the_first_look, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_await__told__answered_long_before_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_await__told_while_it_is_looked_at__not_lost, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_await__nobody_tells__found_by_a_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_await__time_is_up__answered_as_it_stands, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_await__many__one_look_of_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_await__same_payout__all_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_await__too_many__refused_with_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_await__caller_gone__its_place_is_free, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_await__database_away__the_error_at_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_await__database_away_for_a_moment__waits_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_await__closed__all_answered_and_none_taken, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_await__another_book__not_told, setup, teardown),
        cmocka_unit_test(test_await__not_started__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
