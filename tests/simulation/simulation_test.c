// Thousands of lives; one of them again, step by step: simulation_test --seed N
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

enum { SEEDS = 10000 };

static void test_simulation__ten_thousand_lives__NO_DOUBLE_and_NO_LOSS(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const char *why = NULL;
        if (!sim_run(seed, false, &why)) {
            fail_msg("%s; replay it with: simulation_test --seed %" PRIu64, why, seed);
        }
    }
}

static int replay(const char *text) {
    int64_t seed = 0;
    const char *why = NULL;
    if (!str_to_i64(str_of(text), 0, INT64_MAX, &seed)) {
        (void)fprintf(stderr, "simulation_test: --seed takes a number\n");
        return 2;
    }
    if (sim_run((uint64_t)seed, true, &why)) {
        return 0;
    }
    (void)printf("%s\n", why);
    return 1;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
        return replay(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simulation__ten_thousand_lives__NO_DOUBLE_and_NO_LOSS),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
