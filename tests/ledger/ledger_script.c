// Prints random cases as JSON lines, for tests that play them to a real service (tests/ledger/test_ledger_model.py).
// ledger_script SEED EVENTS
#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "script.h"

enum { EVENTS_OF_A_LIFE = 320, LIVES_MAX = 10000 };

int main(int argc, char **argv) {
    int64_t given = 0;
    int64_t wanted = 0;
    if (argc != 3 || !str_to_i64(str_of(argv[1]), 0, INT64_MAX, &given) ||
        !str_to_i64(str_of(argv[2]), 1, INT64_MAX, &wanted)) {
        (void)fprintf(stderr, "usage: ledger_script SEED EVENTS\n");
        return EXIT_FAILURE;
    }
    uint64_t seed = (uint64_t)given;
    ledger_case *c = malloc(sizeof *c);
    ASSERT(c != NULL);
    // Each life lies before the previous one, so nothing runs out anymore in a finished book.
    int64_t start_us = GENERATE_START_US + LIVES_MAX * GENERATE_LIFE_US;
    for (int64_t events = 0; events < wanted && start_us > GENERATE_START_US;) {
        start_us -= 2 * GENERATE_LIFE_US;
        generate_case(generate_next(&seed), EVENTS_OF_A_LIFE, TIME_COARSE, start_us, c);
        events += (int64_t)case_count_events(c);
        script_print_json(c, stdout);
    }
    free(c);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
