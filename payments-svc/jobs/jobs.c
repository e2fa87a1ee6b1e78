#include "jobs/jobs.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/ticker.h"
#include "jobs/jobs_sql.h"

enum { PAUSE_MIN_MS = 20, PAUSE_MAX_MS = 5000, ARENA_BYTES = 64 << 20, NO_BOOK = 0 };

typedef struct one_job {
    job what;
    int64_t next_mono_ms; // not read earlier
    metric *runs, *failures;
    ticker *thread; // for a job that is alone
} one_job;

struct jobs {
    db_pool *pool;
    const clock_source *clock;
    one_job table[JOBS_MAX];
    size_t n;
    arena *a; // for one run
    ticker *thread;
};

typedef struct job_run {
    const job *what;
    int64_t now_us;
    bool missing; // its row does not exist yet
    bool mine;    // it is due, and no other instance runs it
} job_run;

// Takes the job's row if it is due and free.
static bool take_row(db_conn *c, arena *a, job_run *r, err *e) {
    db_params *p = db_params_create(a);
    db_text(p, str_of(r->what->name));
    db_time(p, r->now_us);
    db_i64(p, NO_BOOK);
    db_rows *rows = NULL;
    if (!db_exec(c, jobs_sql(JOBS_SQL_TAKE), p, a, &rows, NULL, e)) {
        return false;
    }
    r->mine = db_count(rows) == 1;
    if (!r->mine) {
        p = db_params_create(a);
        db_text(p, str_of(r->what->name));
        db_i64(p, NO_BOOK);
        const bool ok = db_exec(c, jobs_sql(JOBS_SQL_HAS), p, a, &rows, NULL, e);
        r->missing = ok && db_count(rows) == 0;
        return ok;
    }
    p = db_params_create(a);
    db_text(p, str_of(r->what->name));
    db_time(p, r->now_us + r->what->every_ms * 1000);
    db_time(p, r->now_us);
    db_i64(p, NO_BOOK);
    return db_exec(c, jobs_sql(JOBS_SQL_TAKEN), p, a, NULL, NULL, e);
}

static bool fenced_tx(db_conn *c, arena *a, void *arg, err *e) {
    job_run *r = arg;
    if (!take_row(c, a, r, e)) {
        return false;
    }
    if (!r->mine) {
        return true;
    }
    CRASH_POINT("jobs.taken");
    return r->what->run(c, r->now_us, a, r->what->arg, e);
}

static bool reading(db_conn *c, arena *a, void *arg, err *e) {
    job_run *r = arg;
    r->mine = true;
    return r->what->run(c, r->now_us, a, r->what->arg, e);
}

static bool make_row(db_conn *c, arena *a, void *arg, err *e) {
    const job_run *r = arg;
    db_params *p = db_params_create(a);
    db_text(p, str_of(r->what->name));
    db_time(p, r->now_us);
    db_i64(p, NO_BOOK);
    return db_exec(c, jobs_sql(JOBS_SQL_MAKE), p, a, NULL, NULL, e);
}

bool jobs_run_one(db_pool *pool, const clock_source *clock, const job *which, arena *a, bool *ran,
                  err *e) {
    const int64_t deadline = clock_mono_ms(clock) + JOB_TIME_MS;
    job_run r = {.what = which, .now_us = clock_wall_us(clock)};
    bool ok = false;
    if (which->each_instance) {
        ok = db_read(pool, deadline, a, reading, &r, e);
    } else {
        // The instance that finds no row makes it. An INSERT would wait for an instance that runs the job, so it is not tried first.
        ok = db_transact(pool, deadline, a, fenced_tx, &r, e);
        if (ok && r.missing) {
            ok = db_transact(pool, deadline, a, make_row, &r, e) &&
                 db_transact(pool, deadline, a, fenced_tx, &r, e);
        }
    }
    *ran = ok && r.mine;
    return ok;
}

static void run_due(void *arg) {
    jobs *j = arg;
    for (size_t i = 0; i < j->n; i++) {
        one_job *one = &j->table[i];
        if (one->what.alone != NULL || clock_mono_ms(j->clock) < one->next_mono_ms) {
            continue;
        }
        err e = {0};
        bool ran = false;
        if (!jobs_run_one(j->pool, j->clock, &one->what, j->a, &ran, &e)) {
            metric_add(one->failures, 1);
            log_err(LOG_WARN, "jobs.failed", &e);
        }
        metric_add(one->runs, ran ? 1 : 0);
        one->next_mono_ms = clock_mono_ms(j->clock) + one->what.every_ms;
        arena_reset(j->a);
    }
}

static void run_alone(void *arg) {
    const one_job *one = arg;
    metric_add(one->what.alone(one->what.arg) ? one->runs : one->failures, 1);
}

static void add_job(jobs *j, const job *what) {
    ASSERT(what->every_ms > 0 && (what->run == NULL) != (what->alone == NULL));
    one_job *one = &j->table[j->n++];
    strbuf label;
    char text[96];
    strbuf_init_fixed(&label, text, sizeof text);
    strbuf_printf(&label, "job=\"%s\"", what->name);
    ASSERT(strbuf_ok(&label));
    one->what = *what;
    one->runs = metric_counter("payments_job_runs_total", text, "periodic work that was done");
    one->failures =
        metric_counter("payments_job_failures_total", text, "periodic work that has failed");
}

// False: a thread could not be made.
static bool start_threads(jobs *j) {
    int64_t pause = PAUSE_MAX_MS;
    bool ok = true;
    for (size_t i = 0; ok && i < j->n; i++) {
        one_job *one = &j->table[i];
        if (one->what.alone != NULL) {
            one->thread = ticker_start(one->what.every_ms, run_alone, one);
            ok = one->thread != NULL;
        } else {
            pause = one->what.every_ms / 4 < pause ? one->what.every_ms / 4 : pause;
        }
    }
    j->thread = ok ? ticker_start(pause < PAUSE_MIN_MS ? PAUSE_MIN_MS : pause, run_due, j) : NULL;
    return j->thread != NULL;
}

jobs *jobs_start(db_pool *pool, const clock_source *clock, const job *table, size_t n, err *e) {
    ASSERT(n <= JOBS_MAX);
    jobs *j = calloc(1, sizeof *j);
    ASSERT(j != NULL);
    j->pool = pool;
    j->clock = clock;
    j->a = arena_create(ARENA_BYTES);
    for (size_t i = 0; i < n; i++) {
        add_job(j, &table[i]);
    }
    if (!start_threads(j)) {
        jobs_stop(j);
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "NO_THREAD", "there is no thread for the jobs");
        return NULL;
    }
    return j;
}

void jobs_stop(jobs *j) {
    if (j == NULL) {
        return;
    }
    ticker_stop(j->thread);
    for (size_t i = 0; i < j->n; i++) {
        ticker_stop(j->table[i].thread);
    }
    arena_destroy(j->a);
    free(j);
}
