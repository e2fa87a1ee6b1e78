// Kept sums of payouts, so that a summary of a merchant does not count its whole history.
#ifndef JOBS_SUMS_H
#define JOBS_SUMS_H

#include "base/config.h"
#include "jobs/jobs.h"

typedef struct sums_settings {
    int64_t every_ms; // how often payouts that are old enough are added
} sums_settings;
extern const config_part SUMS_SETTINGS;

// Younger payouts are not added yet: each question counts them.
enum { SUMS_YOUNG_S = 2 * 86400 };

// The job: adds payouts that are old enough, in pieces, and takes in finished ones that were kept apart.
job sums_job(int64_t every_ms);

#endif
