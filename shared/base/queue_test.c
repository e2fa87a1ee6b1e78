#include "base/queue.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/test_support.h"

static int items[100];

static void test_queue__one_thread__first_in_first_out_and_bounded(void **state) {
    (void)state;
    queue *q = queue_create(3);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++) {
            assert_true(queue_push(q, &items[i]));
        }
        assert_false(queue_push(q, &items[3]));
        assert_int_equal(queue_count(q), 3);
        assert_ptr_equal(queue_pop(q), &items[0]);
        assert_true(queue_push(q, &items[4]));
        void *out[10];
        assert_int_equal(queue_pop_many(q, out, 2), 2);
        assert_ptr_equal(out[0], &items[1]);
        assert_ptr_equal(out[1], &items[2]);
        assert_int_equal(queue_pop_many(q, out, 10), 1);
        assert_ptr_equal(out[0], &items[4]);
    }
    queue_destroy(q);
    queue_destroy(NULL);
}

static void test_queue_close__items_left__drained_then_null(void **state) {
    (void)state;
    queue *q = queue_create(3);
    assert_true(queue_push(q, &items[0]));
    queue_close(q);
    assert_false(queue_push(q, &items[1]));
    assert_ptr_equal(queue_pop(q), &items[0]);
    assert_null(queue_pop(q));
    void *out[1];
    assert_int_equal(queue_pop_many(q, out, 1), 0);
    queue_destroy(q);
}

static void destroy_with_item(void *arg) {
    (void)arg;
    queue *q = queue_create(1);
    (void)queue_push(q, &items[0]);
    queue_destroy(q);
}

static void test_queue_destroy__not_empty__aborts(void **state) {
    (void)state;
    assert_aborts(destroy_with_item, NULL);
}

static int64_t numbers[20001];
enum { PRODUCERS = 3, CONSUMERS = 3, EACH = 20000 };
static queue *shared;
static _Atomic int64_t sum, n_popped;

static void *produce(void *arg) {
    for (int i = 1; i <= EACH; i++) {
        while (!queue_push(shared, &numbers[i])) {
            sched_yield();
        }
    }
    return arg;
}

static void *consume(void *arg) {
    void *batch[7];
    for (size_t n; (n = queue_pop_many(shared, batch, N_OF(batch))) > 0;) {
        for (size_t i = 0; i < n; i++) {
            sum += *(const int64_t *)batch[i];
        }
        n_popped += (int64_t)n;
    }
    return arg;
}

static void test_queue__many_threads__nothing_lost_nothing_twice(void **state) {
    (void)state;
    for (int i = 1; i <= EACH; i++) {
        numbers[i] = i;
    }
    shared = queue_create(16);
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++) {
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, NULL), 0);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        assert_int_equal(pthread_create(&producers[i], NULL, produce, NULL), 0);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i], NULL);
    }
    queue_close(shared);
    for (int i = 0; i < CONSUMERS; i++) {
        pthread_join(consumers[i], NULL);
    }
    assert_int_equal(n_popped, PRODUCERS * EACH);
    assert_int_equal(sum, (int64_t)PRODUCERS * EACH * (EACH + 1) / 2);
    queue_destroy(shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue__one_thread__first_in_first_out_and_bounded),
        cmocka_unit_test(test_queue_close__items_left__drained_then_null),
        cmocka_unit_test(test_queue_destroy__not_empty__aborts),
        cmocka_unit_test(test_queue__many_threads__nothing_lost_nothing_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
