// A worker for the tests of the saga room: claims a batch, sets its outcomes, or runs it whole. Tests only; one thread.
#ifndef SAGA_TESTING_SAGA_TEST_WORKER_H
#define SAGA_TESTING_SAGA_TEST_WORKER_H

#include "testing/saga_test_world.h"

extern arena *memory, *memory_2; // for the batches
extern saga_keeper *keeper;

// Fixtures of cmocka: the world once, a funded and empty one for each test.
int setup(void **state);
int teardown(void **state);
int fresh(void **state);

// Of the instant rail, for the worker of this number.
saga_batch batch(saga_step step, uint8_t owner, int64_t lease_ms);
size_t claim(saga_batch *b);
void finish_all(saga_batch *b, saga_outcome outcome); // in memory: sets every acting item's outcome
size_t written(saga_batch *b);                        // writes it; returns the number of sagas
void take_over(void);                 // as the engine does before it looks for due work
saga_result run(saga_step step);      // one batch, from claim to outcome
saga_result run_soon(saga_step step); // waits out a backoff of a few milliseconds
void end_leases(void);                // as if their time was over
int64_t in_state(saga_step step, saga_state state); // counts sagas
uuid sent_payout(void);                             // one of 100, in AWAIT, accepted by the rail

#endif
