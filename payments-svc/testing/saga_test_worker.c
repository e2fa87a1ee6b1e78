#include "testing/saga_test_worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"

arena *memory, *memory_2;
saga_keeper *keeper;

int setup(void **state) {
    log_init("saga-test", LOG_ERROR);
    memory = arena_create(SAGA_ARENA_MAX);
    memory_2 = arena_create(SAGA_ARENA_MAX);
    if (world_setup(state) != 0) {
        return -1;
    }
    saga_batch_metrics_init();
    keeper = saga_keeper_start(world_pool(), clock_system(), 600);
    return 0;
}

int teardown(void **state) {
    (void)state;
    saga_keeper_stop(keeper);
    world_teardown();
    arena_destroy(memory);
    arena_destroy(memory_2);
    return 0;
}

int fresh(void **state) {
    (void)state;
    arena_reset(memory);
    arena_reset(memory_2);
    world_reset();
    world_fund(1000000);
    return 0;
}

saga_batch batch(saga_step step, uint8_t owner, int64_t lease_ms) {
    return (saga_batch){.from = {.pool = world_pool(),
                                 .keys = world_keys(),
                                 .clock = clock_system(),
                                 .policy = {.attempts_max = 3,
                                            .backoff_base_ms = 1,
                                            .backoff_cap_ms = 4,
                                            .resolve_after_ms = 60000},
                                 .rail = world_rail(RAIL_INSTANT, 0),
                                 .book_id = WORLD_BOOK,
                                 .step = step,
                                 .limit = 100,
                                 .owner = {{owner}},
                                 .lease_ms = lease_ms},
                        .a = memory,
                        .secrets = memory_2};
}

size_t claim(saga_batch *b) {
    err e = {0};
    if (!saga_store_claim(b, &e)) {
        fail_msg("%s: %s / %s", e.reason, e.message, e.detail);
    }
    return b->n;
}

void finish_all(saga_batch *b, saga_outcome outcome) {
    for (size_t i = 0; i < b->n; i++) {
        saga_item *item = &b->items[i];
        if (item->acting != STEP_NONE) {
            item->answer = (saga_answer){outcome, {"", 0}, {"", 0}, 0};
            assert_true(saga_on_outcome(&item->now, &item->answer, &item->said, &b->from.policy,
                                        b->from.clock));
            item->log_seq++;
        }
    }
}

size_t written(saga_batch *b) {
    err e = {0};
    if (!saga_store_outcome(b, fixture_deadline(5000), &e)) {
        fail_msg("%s: %s / %s", e.reason, e.message, e.detail);
    }
    size_t n = 0;
    for (size_t i = 0; b->written && i < b->n; i++) {
        n += b->items[i].acting != STEP_NONE ? 1 : 0;
    }
    return n;
}

// As the engine does before it looks for due work.
void take_over(void) {
    static const int64_t BOOKS[] = {WORLD_BOOK};
    err e = {0};
    int64_t n = 0;
    static saga_stuck stuck;
    if (!saga_store_take_over(world_pool(), BOOKS, 1, &stuck, &n, fixture_deadline(5000), memory,
                              &e)) {
        fail_msg("%s: %s / %s", e.reason, e.message, e.detail);
    }
}

saga_result run(saga_step step) {
    const saga_tools tools = {NULL, NULL, 1000};
    saga_batch b = batch(step, 9, 600);
    if (world.hands_over) {
        b.from.policy.resolve_after_ms = 0; // as the engine sets it for such rails
    }
    take_over();
    const saga_result r = saga_batch_run(&b, &tools, keeper);
    assert_false(r.failed);
    arena_reset(memory);
    arena_reset(memory_2);
    return r;
}

// Waits out a backoff of a few milliseconds.
saga_result run_soon(saga_step step) {
    for (int i = 0;; i++) {
        const saga_result r = run(step);
        if (r.n_found > 0 || i > 200) {
            return r;
        }
        const struct timespec t = {.tv_nsec = 5000000};
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    }
}

// As if their time was over.
void end_leases(void) {
    fixture_sql("UPDATE saga_lease SET ends_at = now() - interval '1 s'", NULL, 0);
}

int64_t in_state(saga_step step, saga_state state) {
    return world_count("SELECT count(*) FROM saga WHERE step = %d AND state = %d", (int)step,
                       (int)state);
}

uuid sent_payout(void) {
    uuid id;
    world_payouts(RAIL_INSTANT, 1, 100, &id);
    assert_int_equal(run(STEP_RESERVE).n_moved, 1);
    assert_int_equal(run(STEP_EXECUTE).n_moved, 1);
    assert_int_equal(in_state(STEP_AWAIT, STATE_SENT), 1);
    assert_int_equal(world_count("SELECT count(*) FROM saga WHERE rail_reference = 'ref-1'"), 1);
    return id;
}
