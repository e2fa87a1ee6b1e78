// Random requests for the property tests: drawn so that they collide, chain, run out, and hit every rule.
#ifndef LEDGER_GENERATE_H
#define LEDGER_GENERATE_H

#include "model.h"

enum { CASE_STEPS_MAX = 64 };
#define GENERATE_START_US (INT64_C(1700000000) * 1000000)
#define GENERATE_LIFE_US (INT64_C(100000) * 1000000)

typedef enum generate_time {
    // deadlines and imported times are met to the microsecond: for a subject whose clock the caller sets
    TIME_EXACT,
    // all times that decide are hundreds of seconds apart: for a subject that runs in real time
    TIME_COARSE
} generate_time;

// One book's life: from empty, step by step.
typedef struct ledger_case {
    generate_time time;
    int64_t start_us;
    size_t n_steps;
    model_step steps[CASE_STEPS_MAX];
} ledger_case;

// splitmix64
uint64_t generate_next(uint64_t *state);
// Fills *out with about n_events events from start_us on; the same arguments give the same case. The outcomes that steer the
// choice are the model's. A life takes less than GENERATE_LIFE_US; times imported in it reach back by as much before start_us.
void generate_case(uint64_t seed, size_t n_events, generate_time time, int64_t start_us,
                   ledger_case *out);
size_t case_count_events(const ledger_case *c);

#endif
