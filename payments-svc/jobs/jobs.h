// Periodic work: one table of jobs (name, every, run), one runner, fenced so that two instances do not do the same twice. Work that
// calls others, and so may wait, has a thread of its own.
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "base/clock.h"
#include "db/db.h"

typedef struct job {
    const char *name; // a dotted constant, 1 … 64 bytes
    // from the begin of one run to the begin of the next; of `alone` from the end of one
    int64_t every_ms;
    // True: every instance does it for itself, such as gauges, which belong to a process. It must only read.
    // False: one instance at a time, within a transaction that holds the job's row: what it writes is written once, or not at all.
    bool each_instance;
    bool (*run)(db_conn *c, int64_t now_us, arena *a, void *arg, err *e);
    void *arg;
    // Instead of run: in every instance, on a thread of its own, with connections that it takes itself. What it does must be safe
    // in several instances at once. False: some of it failed; the function has logged what.
    bool (*alone)(void *arg);
} job;

enum {
    JOBS_MAX = 32,
    JOB_TIME_MS = 20000, // a run that takes longer is rolled back, and tried again
};

typedef struct jobs jobs;

// Starts the runner's thread, and one for each job that is alone. Copies the table; @borrows the pool and what the
// jobs' args point to until stop.
jobs *jobs_start(db_pool *pool, const clock_source *clock, const job *table, size_t n, err *e);
// Waits for the runs under way. Accepts NULL.
void jobs_stop(jobs *j);

// One job of the runner, now, on the caller's thread, if it is due. *ran says whether it was this instance's turn. For
// tests and for jobs_start.
bool jobs_run_one(db_pool *pool, const clock_source *clock, const job *which, arena *a, bool *ran,
                  err *e) WARN_UNUSED;

#endif
