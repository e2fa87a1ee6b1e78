// The sender's own thread looks when it is told to, not only after its pause.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "testing/fixture.h"
#include "testing/sender_test_world.h"

static bool is_sent_within(uuid id, int64_t ms) {
    const int64_t until_ms = fixture_deadline(ms);
    while (state_of(id) != SUBMISSION_SENT && fixture_deadline(0) < until_ms) {
        clock_pause_ms(10);
    }
    return state_of(id) == SUBMISSION_SENT;
}

static void test_look__committed_in_a_long_pause__sent_now(void **state) {
    (void)state;
    err e = {0};
    poll_ms = 60000;
    submission_sender *s = make_sender(LEASE_MS, true);
    poll_ms = 10;
    const uuid first = prepare_one(1, 3, "f1", tomorrow(), 1);
    assert_true(submission_sender_start(s, &e));
    assert_true(is_sent_within(first, 20000)); // sent by the first look; then the thread pauses
    const uuid second = prepare_one(2, 3, "f2", tomorrow(), 2);
    submission_sender_look(s);
    assert_true(is_sent_within(second, 20000));
    submission_sender_destroy(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_look__committed_in_a_long_pause__sent_now,
                                        world_set_up, world_tear_down),
    };
    return cmocka_run_group_tests(tests, world_create, world_destroy);
}
