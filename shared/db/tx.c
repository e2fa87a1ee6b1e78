// Transactions: begin, commit, roll back, and the loop that tries again.
#include "db_internal.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

bool db_begin(db_conn *c, int64_t deadline_mono_ms, err *e) {
    ASSERT(!c->in_tx);
    c->last = NULL;
    c->deadline_ms = deadline_mono_ms;
    if (!db_wire_ready(c, e)) {
        return false;
    }
    int64_t left_ms = deadline_mono_ms - db_now_ms();
    left_ms = left_ms < 1 ? 1 : left_ms;
    char sql[128];
    const char *tag = "BEGIN";
    if (left_ms < c->statement_timeout_ms) {
        (void)snprintf(sql, sizeof sql,
                       "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = %lld",
                       (long long)left_ms);
        tag = "SET"; // answer to the second statement
    } else {
        (void)snprintf(sql, sizeof sql, "BEGIN ISOLATION LEVEL READ COMMITTED");
    }
    c->in_tx = true;
    if (!db_wire_command(c, sql, tag, db_wire_until(c), e)) {
        c->in_tx = false;
        c->broken = c->broken || PQtransactionStatus(c->pg) != PQTRANS_IDLE;
        return false;
    }
    return true;
}

// A refused COMMIT did nothing, unless the server or the network was lost.
static bool commit_outcome_unknown(const err *e) {
    return (e->flags & ERR_CONNECTION_LOST) != 0 || strcmp(e->sqlstate, "40003") == 0;
}

void db_at_commit(db_conn *c, const db_last *last, void *arg, arena *a) {
    ASSERT(c->in_tx && c->last == NULL);
    c->last = last;
    c->last_arg = arg;
    c->last_arena = a;
}

void *db_last_arg(const db_conn *c, const db_last *last) {
    ASSERT(c->last == NULL || c->last == last);
    return c->in_tx && c->last != NULL ? c->last_arg : NULL;
}

static bool commit_with_last(db_conn *c, err *e) {
    const db_last *last = c->last;
    db_pipe *p = db_pipe_begin(c, c->last_arena);
    c->last = NULL;
    if (!last->add(c->last_arg, p, e)) {
        db_rollback(c);
        return false;
    }
    db_pipe_add_commit(p);
    if (!db_pipe_run(p, e)) {
        if (c->in_tx) {
            db_rollback(c);
        }
        return false;
    }
    last->done(c->last_arg, p);
    return true;
}

bool db_commit(db_conn *c, err *e) {
    err local = {0};
    e = e == NULL ? &local : e;
    ASSERT(c->in_tx);
    if (c->last != NULL) {
        return commit_with_last(c, e);
    }
    // Nothing was sent yet, so these failures are definite: the transaction never happened.
    if (!db_wire_ready(c, e)) {
        db_rollback(c);
        return false;
    }
    PGresult *r = NULL;
    int64_t until_ms = db_wire_until(c);
    if (PQsendQuery(c->pg, "COMMIT")) {
        r = db_wire_result(c, until_ms, "COMMIT", e);
    } else {
        (void)db_wire_lost(c, e, "COMMIT");
    }
    c->in_tx = false;
    c->deadline_ms = INT64_MAX;
    if (r == NULL) {
        if (commit_outcome_unknown(e)) {
            e->flags |= ERR_COMMIT_UNKNOWN | ERR_CONNECTION_LOST;
            c->broken = true;
            metric_add(c->pool->commit_unknown, 1);
        }
        return false;
    }
    // A transaction in which a statement failed answers COMMIT with ROLLBACK, and no error.
    bool committed = strcmp(PQcmdStatus(r), "COMMIT") == 0;
    PQclear(r);
    if (!committed) {
        (void)err_set(e, ERR_INTERNAL, "DATABASE_ERROR", "the transaction had failed before");
        return err_detail(
            e,
            "the server answered COMMIT with a rollback: an error of a statement was passed over");
    }
    return true;
}

void db_rollback(db_conn *c) {
    c->in_tx = false;
    c->last = NULL;
    c->deadline_ms = INT64_MAX;
    if (c->broken || PQstatus(c->pg) != CONNECTION_OK ||
        PQpipelineStatus(c->pg) != PQ_PIPELINE_OFF || (c->copy != NULL && c->copy->active)) {
        c->broken = true; // closing it rolls back
        return;
    }
    if (PQtransactionStatus(c->pg) == PQTRANS_IDLE) {
        return;
    }
    err e = {0};
    if (!db_wire_command(c, "ROLLBACK", "ROLLBACK", db_now_ms() + DB_ROLLBACK_TIMEOUT_MS, &e)) {
        c->broken = true;
        log_err(LOG_WARN, "db.rollback_failed", &e);
    }
}

// Only failures that the database itself undid or never saw: an error of fn's own is not retried.
static bool may_try_again(const err *e) {
    if ((e->flags & ERR_COMMIT_UNKNOWN) != 0 || (e->flags & ERR_RETRIABLE) == 0) {
        return false;
    }
    return (e->flags & ERR_CONNECTION_LOST) != 0 ||
           (e->code == ERR_ABORTED &&
            (strcmp(e->sqlstate, "40001") == 0 || strcmp(e->sqlstate, "40P01") == 0)) ||
           db_err_is_stale_plan(e);
}

// fn gave no error, or had not run yet.
static void require_error(err *e) {
    if (!err_is_set(e)) {
        (void)err_set(e, ERR_INTERNAL, "INTERNAL", "a database operation failed");
        (void)err_detail(e, "the transaction's function gave no error");
    }
}

typedef bool (*attempt_fn)(db_conn *c, int64_t deadline_ms, arena *a, db_tx_fn fn, void *arg,
                           err *e);

static bool attempt_transact(db_conn *c, int64_t deadline_ms, arena *a, db_tx_fn fn, void *arg,
                             err *e) {
    if (!db_begin(c, deadline_ms, e)) {
        return false;
    }
    if (!fn(c, a, arg, e)) {
        require_error(e);
        db_rollback(c);
        return false;
    }
    return db_commit(c, e);
}

static bool attempt_read(db_conn *c, int64_t deadline_ms, arena *a, db_tx_fn fn, void *arg,
                         err *e) {
    c->deadline_ms = deadline_ms;
    c->read_only = true;
    if (!fn(c, a, arg, e)) {
        require_error(e);
        return false;
    }
    return true;
}

static bool run_with_retry(db_pool *p, int64_t deadline_ms, arena *a, attempt_fn attempt,
                           db_tx_fn fn, void *arg, err *e) {
    err last = {0};
    for (int try_number = 0;; try_number++) {
        err_clear(&last);
        db_conn *c = db_pool_checkout(p, deadline_ms, &last);
        bool ok = c != NULL && attempt(c, deadline_ms, a, fn, arg, &last);
        db_pool_checkin(p, c);
        if (ok) {
            return true;
        }
        int64_t wait_ms =
            1 + clock_backoff_ms(clock_system(), DB_RETRY_BASE_MS, DB_RETRY_CAP_MS, try_number);
        wait_ms = last.retry_after_ms > wait_ms ? last.retry_after_ms : wait_ms;
        if (!may_try_again(&last) || db_now_ms() + wait_ms >= deadline_ms) {
            break;
        }
        metric_add(p->retries, 1);
        clock_pause_ms(wait_ms);
    }
    if (e != NULL) {
        *e = last;
    }
    return false;
}

bool db_transact(db_pool *p, int64_t deadline_mono_ms, arena *a, db_tx_fn fn, void *arg, err *e) {
    return run_with_retry(p, deadline_mono_ms, a, attempt_transact, fn, arg, e);
}

bool db_read(db_pool *p, int64_t deadline_mono_ms, arena *a, db_tx_fn fn, void *arg, err *e) {
    return run_with_retry(p, deadline_mono_ms, a, attempt_read, fn, arg, e);
}
