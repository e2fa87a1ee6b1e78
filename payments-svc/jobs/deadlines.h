// Whatever waits has a deadline, after which it is a case (promise SEEN), and gauges that show the oldest.
#ifndef JOBS_DEADLINES_H
#define JOBS_DEADLINES_H

#include "connections/registry.h"
#include "jobs/jobs.h"

// How long a payout may stand at a step, in seconds.
typedef struct deadlines_settings {
    int64_t every_ms; // how often to look
    int64_t reserve_s, execute_s, resolve_s, await_files_s, await_s, confirm_s;
    int64_t switched_off_s; // payouts of a connection that is switched off
    int64_t unheard_s;      // since a bank's folder was last looked through
    int64_t deposit_s;      // a deposit that the ledger has neither taken nor refused
    int64_t inbox_s;        // a file or message of a bank that was recorded and not applied
} deadlines_settings;

typedef struct deadlines deadlines;

// known must outlive it.
deadlines *deadlines_create(const deadlines_settings *settings, connections *known);
void deadlines_destroy(deadlines *d); // accepts NULL; after jobs_stop
// The jobs of this file and of gauges.c; at most DEADLINES_JOBS.
enum { DEADLINES_JOBS = 2 };
size_t deadlines_jobs(deadlines *d, job out[DEADLINES_JOBS]);

#endif
