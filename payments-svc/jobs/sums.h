// Kept sums of payouts, so that a summary of a merchant does not count its whole history.
#ifndef JOBS_SUMS_H
#define JOBS_SUMS_H

#include "jobs/jobs.h"

// Payouts that are younger than this are not added yet: they are counted when somebody asks.
enum { SUMS_YOUNG_S = 2 * 86400 };

// The job: adds what has become old enough, in pieces, and takes in what was kept apart and is at its end again.
job sums_job(int64_t every_ms);

#endif
