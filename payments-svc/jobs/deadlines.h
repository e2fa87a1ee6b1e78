// Every waiting object has a deadline, after which it becomes a case (promise SEEN). Gauges show the oldest.
#ifndef JOBS_DEADLINES_H
#define JOBS_DEADLINES_H

#include "base/config.h"
#include "connections/registry.h"
#include "jobs/jobs.h"

// The allowed time at each step, in seconds.
typedef struct deadlines_settings {
    int64_t every_ms; // how often to look
    int64_t reserve_s, execute_s, resolve_s, await_files_s, await_s, confirm_s;
    int64_t switched_off_s; // payouts of a connection that is switched off
    int64_t unheard_s;      // since a bank's folder was last looked through
    int64_t deposit_s;      // a deposit that the ledger has not decided
    int64_t inbox_s;        // a file or message that was recorded and not applied
} deadlines_settings;
extern const config_part DEADLINES_SETTINGS;

typedef struct deadlines deadlines;

// known must outlive it.
deadlines *deadlines_create(const deadlines_settings *settings, connections *known);
void deadlines_destroy(deadlines *d); // accepts NULL; after jobs_stop
// The jobs of this file and of gauges.c; at most DEADLINES_JOBS.
enum { DEADLINES_JOBS = 2 };
size_t deadlines_jobs(deadlines *d, job out[DEADLINES_JOBS]);

#endif
