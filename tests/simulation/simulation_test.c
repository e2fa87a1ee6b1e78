// Thousands of lives and walks. To repeat one step by step: simulation_test --seed N, simulation_test --walk N
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "sim.h"

enum { SEEDS = 10000, WALKS = 50000 };

static void test_NO_DOUBLE_NO_LOSS_simulation__ten_thousand_lives(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const char *why = NULL;
        if (!sim_run(seed, false, &why)) {
            fail_msg("%s; replay it with: simulation_test --seed %" PRIu64, why, seed);
        }
    }
}

static void test_simulation__fifty_thousand_walks__each_ends_or_can_be_ended(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= WALKS; seed++) {
        const char *why = NULL;
        if (!sim_walk(seed, false, &why)) {
            fail_msg("%s; replay it with: simulation_test --walk %" PRIu64, why, seed);
        }
    }
}

static int replay(const char *text, bool walk) {
    int64_t seed = 0;
    const char *why = NULL;
    if (!str_to_i64(str_of(text), 0, INT64_MAX, &seed)) {
        (void)fprintf(stderr, "simulation_test: --seed and --walk take a number\n");
        return 2;
    }
    if (walk ? sim_walk((uint64_t)seed, true, &why) : sim_run((uint64_t)seed, true, &why)) {
        return 0;
    }
    (void)printf("%s\n", why);
    return 1;
}

int main(int argc, char **argv) {
    const bool walk = argc == 3 && strcmp(argv[1], "--walk") == 0;
    if (walk || (argc == 3 && strcmp(argv[1], "--seed") == 0)) {
        return replay(argv[2], walk);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_NO_DOUBLE_NO_LOSS_simulation__ten_thousand_lives),
        cmocka_unit_test(test_simulation__fifty_thousand_walks__each_ends_or_can_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
