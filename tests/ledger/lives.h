// Random lives of random books, each compared with the model by a subject. DISBURSE_TEST_SEED repeats a run, DISBURSE_TEST_EVENTS sets the
// events of a run. A failed life is made as short as possible, and printed.
#ifndef LEDGER_LIVES_H
#define LEDGER_LIVES_H

#include "generate.h"

typedef struct lives {
    const char *name;      // of the subject
    size_t together;       // so many lives run one after another in one child process
    size_t replays_max;    // to make a bad life short
    uint64_t coarse_every; // each so-manieth life is one of TIME_COARSE; 0 for none
    // All run in the child process. begin and end may be NULL.
    void (*begin)(void);
    void (*live)(const ledger_case *c);
    void (*end)(void);
} lives;

// A cmocka test: 100,000 events by default, in which every status must have been met.
void lives_run(const lives *l);

// For `live`. True when found is not NULL: then the life is over, and found says why.
bool lives_says(size_t step, const char *found);
void lives_count(const model_step *step, const model_result *results);
// A number that no other life of the run has used.
int64_t lives_unique(void);
// Where what begins at event `first` ends when each chain, and each event outside of one, is a request of its own. The whole
// step, where its events depend on being in one request.
size_t lives_alone(const model_step *step, size_t first);

#endif
