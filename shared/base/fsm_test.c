#include "base/fsm.h"

#include "base/test_support.h"

enum { OFF, ON, BROKEN, N_STATES };
enum { PRESS, DROP, N_EVENTS };

static void test_fsm_next__every_state_and_event__only_the_rows(void **state) {
    (void)state;
    static const fsm_edge EDGES[] = {{OFF, PRESS, ON}, {ON, PRESS, OFF}, {ON, DROP, BROKEN}};
    static const char *const STATES[] = {"off", "on", "broken"};
    static const char *const EVENTS[] = {"press", "drop"};
    const fsm lamp = {"lamp", EDGES, N_OF(EDGES), STATES, EVENTS};
    static const int WANT[N_STATES][N_EVENTS] = {{ON, -1}, {OFF, BROKEN}, {-1, -1}};
    for (int from = 0; from < N_STATES; from++) {
        for (int event = 0; event < N_EVENTS; event++) {
            int to = -1;
            assert_int_equal(fsm_next(&lamp, from, event, &to), WANT[from][event] >= 0);
            assert_int_equal(to, WANT[from][event]);
        }
    }
    int to = 5;
    assert_false(fsm_next(&lamp, 77, PRESS, &to));
    assert_int_equal(to, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fsm_next__every_state_and_event__only_the_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
