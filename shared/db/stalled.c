// Sessions whose client stands still in the middle of a statement, ended before they hold up everybody else.
#include "db_internal.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/ticker.h"

enum {
    LOOK_EACH_MS = 2000,
    LOOK_EACH_MAX_MS = 6000, // as long as nobody stands still
    LOOK_TIMEOUT_MS = 10000, // the pool's connections may all wait for what is to be ended here
    FOUND_BYTES_MAX = 256 * 1024
};

// A session reads or writes inside of a statement and waits for its client, since as long as a session may be idle in a transaction
// (0: for ever). What it was about to do is rolled back, and its client is told that the connection is lost. The order of conditions
// is the planner's: what ends a session stands in the list of the result, where it is done to those alone that meet all of them.
static const db_stmt END_STALLED = {
    "db_end_stalled",
    "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() "
    "AND state = 'active' AND wait_event_type = 'Client' "
    "AND wait_event IN ('ClientRead', 'ClientWrite') "
    "AND current_setting('idle_in_transaction_session_timeout') <> '0' "
    "AND state_change < clock_timestamp() - "
    "current_setting('idle_in_transaction_session_timeout')::interval LIMIT 1000"};

static bool end_stalled(db_conn *c, arena *a, void *arg, err *e) {
    db_rows **rows = arg;
    return db_exec(c, &END_STALLED, NULL, a, rows, NULL, e);
}

bool db_end_stalled(db_pool *p, int64_t deadline_mono_ms, arena *a, int64_t *n, err *e) {
    db_rows *rows = NULL;
    *n = 0;
    if (!db_read(p, deadline_mono_ms, a, end_stalled, &rows, e)) {
        return false;
    }
    *n = (int64_t)db_count(rows);
    for (size_t i = 0; i < db_count(rows); i++) {
        log_warn("db.stalled_ended", F_INT("backend", db_get_i32(rows, i, 0)));
    }
    metric_add(p->stalled_ended, *n);
    return true;
}

// --- The watch -------------------------------------------------------------------------------------------------------

struct db_watch {
    db_pool *pool;
    arena *a;
    ticker *ticker;
};

// When it fails, there are others to say that the database is not there. True: it has ended some.
static bool look(void *arg) {
    db_watch *w = arg;
    int64_t n = 0;
    err e = {0};
    if (!db_end_stalled(w->pool, db_now_ms() + LOOK_TIMEOUT_MS, w->a, &n, &e)) {
        log_err(LOG_DEBUG, "db.watch_failed", &e);
    }
    arena_reset(w->a);
    return n > 0;
}

db_watch *db_watch_start(db_pool *p) {
    db_watch *w = calloc(1, sizeof *w);
    ASSERT(w != NULL);
    w->pool = p;
    w->a = arena_create(FOUND_BYTES_MAX);
    w->ticker = ticker_start_lazy(LOOK_EACH_MS, LOOK_EACH_MAX_MS, look, w);
    ASSERT(w->ticker != NULL);
    return w;
}

void db_watch_stop(db_watch *w) {
    if (w == NULL) {
        return;
    }
    ticker_stop(w->ticker);
    arena_destroy(w->a);
    free(w);
}
