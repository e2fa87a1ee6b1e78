// Periodic work: one table of jobs (name, every, run) and one runner, fenced so that two instances never do the same twice. Work that calls
// others, and so may wait, has its own thread.
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "base/clock.h"
#include "db/db.h"

typedef struct job {
    const char *name; // a dotted constant, 1 … 64 bytes
    // from the start of one run to the start of the next; for `alone` from the end of a run
    int64_t every_ms;
    // True: every instance does it for itself, such as gauges, which belong to a process. It must only read. False: one instance at a time,
    // in a transaction that holds the job's row: its writes happen once, or not at all.
    bool each_instance;
    bool (*run)(db_conn *c, int64_t now_us, arena *a, void *arg, err *e);
    void *arg;
    // Used instead of run: in every instance, on its own thread, with its own connections. It must be safe in several instances at once.
    // False: a part failed; the function has logged it.
    bool (*alone)(void *arg);
} job;

enum {
    JOBS_MAX = 32,
    JOB_TIME_MS = 20000, // a longer run is rolled back, and tried again
};

typedef struct jobs jobs;

// Starts the runner's thread, and one for each job that is alone. Copies the table; @borrows the pool and the targets
// of the jobs' args until stop.
jobs *jobs_start(db_pool *pool, const clock_source *clock, const job *table, size_t n, err *e);
// Waits for running jobs. Accepts NULL.
void jobs_stop(jobs *j);

// Runs one job now, on the caller's thread, if it is due. *ran: it was this instance's turn. For tests and for jobs_start.
bool jobs_run_one(db_pool *pool, const clock_source *clock, const job *which, arena *a, bool *ran,
                  err *e) WARN_UNUSED;

#endif
