// Ends sessions whose client stands still in the middle of a statement, before they block all others.
#include "db_internal.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/ticker.h"

enum {
    LOOK_EACH_MS = 2000,
    LOOK_EACH_MAX_MS = 6000, // while no session stands still
    LOOK_TIMEOUT_MS = 10000, // all connections of the pool may wait for the very sessions to end
    FOUND_BYTES_MAX = 256 * 1024
};

// Finds sessions that have read from or written to their client inside of a statement for as long as a session may be idle in a transaction
// (0: for ever). Their work is rolled back, and the client learns that the connection is lost. The planner orders the conditions, so the
// ending stands in the result list: there it applies only to sessions that meet all conditions.
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

// On a failure others report that the database is away. True: ended some session.
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
