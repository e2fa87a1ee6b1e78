// Pipelines: several statements, one round trip, one outcome.
#include "db_internal.h"

#include <stdio.h>

typedef struct pipe_item {
    const db_stmt *stmt;
    const db_params *params;
    db_prepared *prepared;
    db_rows *rows;
    int64_t n_affected;
} pipe_item;

struct db_pipe {
    db_conn *c;
    arena *a;
    size_t n;
    size_t failed; // n: no particular statement
    bool begins, commits;
    int64_t deadline_ms; // of the beginning transaction
    // The caller's statements are 1 … n. Statement 0 sets the limit of a read that ends before its session's own limit.
    size_t first;
    pipe_item items[1 + DB_PIPE_MAX];
    db_rows limit_rows;
    db_params limit_params;
    char limit_text[24];
};

// The expected answers, in order: at most a Parse and an Execute per statement.
typedef struct expected {
    size_t item;
    bool is_prepare;
} expected;

db_pipe *db_pipe_begin(db_conn *c, arena *a) {
    db_pipe *p = ARENA_NEW(a, db_pipe);
    p->c = c;
    p->a = a;
    p->first = 1;
    return p;
}

void db_pipe_add(db_pipe *p, const db_stmt *s, const db_params *params) {
    ASSERT(p->n < DB_PIPE_MAX);
    p->n++;
    p->items[p->n].stmt = s;
    p->items[p->n].params = params;
}

static const db_stmt BEGIN_STMT = {"pipe_begin", "BEGIN ISOLATION LEVEL READ COMMITTED"};
static const db_stmt COMMIT_STMT = {"pipe_commit", "COMMIT"};

void db_pipe_add_begin(db_pipe *p, int64_t deadline_mono_ms) {
    ASSERT(p->n == 0 && !p->c->in_tx);
    p->begins = true;
    p->deadline_ms = deadline_mono_ms;
    db_pipe_add(p, &BEGIN_STMT, NULL);
}

void db_pipe_add_commit(db_pipe *p) {
    ASSERT(p->c->in_tx || p->begins);
    ASSERT(p->c->last == NULL); // db_commit writes that first
    p->commits = true;
    db_pipe_add(p, &COMMIT_STMT, NULL);
}

// Not SET LOCAL: it warns without a BEGIN, and takes no parameter. Local to the transaction of the segment.
static const db_stmt LIMIT_STMT = {"pipe_limit",
                                   "SELECT set_config('statement_timeout', $1, true)"};

// A limit close to the session's own is not worth a statement.
bool db_read_is_limited(const db_conn *c) {
    return c->read_only && !c->in_tx && c->deadline_ms != INT64_MAX &&
           c->deadline_ms - db_now_ms() < c->statement_timeout_ms / 10 * 9;
}

static void add_limit(db_pipe *p) {
    const int64_t left_ms = p->c->deadline_ms - db_now_ms();
    const int len = snprintf(p->limit_text, sizeof p->limit_text, "%lld",
                             left_ms < 1 ? 1LL : (long long)left_ms);
    p->limit_params.n = 1;
    p->limit_params.types[0] = OID_TEXT;
    p->limit_params.values[0] = p->limit_text;
    p->limit_params.lengths[0] = len;
    p->limit_params.formats[0] = 1;
    p->items[0].stmt = &LIMIT_STMT;
    p->items[0].params = &p->limit_params;
    p->items[0].rows = &p->limit_rows;
    p->first = 0;
}

// Does all that can fail without the server, before anything is sent.
static bool prepare_run(db_pipe *p, err *e) {
    if (db_read_is_limited(p->c)) {
        add_limit(p);
    }
    for (size_t i = p->first; i <= p->n; i++) {
        pipe_item *it = &p->items[i];
        p->failed = i - 1;
        if (it->params != NULL && it->params->failed != ERR_OK) {
            return db_err_from_params(e, it->params, it->stmt->name);
        }
        if (it->rows == NULL && (it->rows = db_rows_create(p->a, e)) == NULL) {
            return false;
        }
        it->prepared = db_prepared_find(p->c, it->stmt, it->params);
    }
    p->failed = p->n;
    return true;
}

static bool already_parsed(const db_pipe *p, size_t item) {
    for (size_t i = p->first; i < item; i++) {
        if (p->items[i].prepared == p->items[item].prepared) {
            return true;
        }
    }
    return false;
}

static bool send_all(db_pipe *p, expected *out, size_t *n_out, err *e) {
    db_conn *c = p->c;
    bool ok = true;
    size_t n = 0;
    for (size_t i = p->first; ok && i <= p->n; i++) {
        const pipe_item *it = &p->items[i];
        if (!it->prepared->ready && !already_parsed(p, i)) {
            ok = db_send_prepare(c, it->stmt, it->prepared, it->params) != 0;
            out[n++] = (expected){i, true};
        }
        ok = ok && db_send_prepared(c, it->prepared, it->params) != 0;
        out[n++] = (expected){i, false};
    }
    *n_out = n;
    if (!ok || PQpipelineSync(c->pg) == 0) {
        return db_wire_lost(c, e, "pipeline");
    }
    return true;
}

// Reads one answer and the NULL after it. False only when the connection is lost; a refused statement sets *refused.
static bool read_answer(db_pipe *p, expected want, int64_t until_ms, bool *refused, err *e) {
    db_conn *c = p->c;
    pipe_item *it = &p->items[want.item];
    err lost = {0};
    if (!db_wire_wait(c, until_ms, &lost)) {
        if (!*refused) { // else the server gave its reason before it hung up
            *e = lost;
        }
        return false;
    }
    PGresult *r = PQgetResult(c->pg);
    if (r == NULL) {
        return *refused ? false : db_wire_lost(c, e, it->stmt->name);
    }
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        if (want.is_prepare) {
            it->prepared->ready = true;
        } else {
            it->n_affected = db_result_affected(r);
            it->rows->result = r;
            r = NULL;
        }
    } else if (status != PGRES_PIPELINE_ABORTED && !*refused) {
        ASSERT(status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE);
        *refused = true;
        p->failed = want.item == 0 ? p->n : want.item - 1;
        (void)db_err_from_result(e, r, it->stmt->name);
        if (db_result_is_stale_plan(r)) {
            db_prepared_forget(it->prepared);
        }
    }
    PQclear(r);
    if (PQstatus(c->pg) != CONNECTION_OK || (*refused && (e->flags & ERR_CONNECTION_LOST) != 0)) {
        c->broken = true;
        return *refused ? false : db_wire_lost(c, e, it->stmt->name);
    }
    r = PQgetResult(c->pg);
    ASSERT(r == NULL);
    return true;
}

// Reads the mark at the end of the segment: after it the connection is usable again, whatever happened before.
static bool read_sync(db_conn *c, int64_t until_ms, bool refused, err *e) {
    err lost = {0};
    if (!db_wire_wait(c, until_ms, &lost)) {
        if (!refused) {
            *e = lost;
        }
        return false;
    }
    PGresult *r = PQgetResult(c->pg);
    if (r == NULL || PQresultStatus(r) != PGRES_PIPELINE_SYNC) {
        PQclear(r);
        c->broken = true;
        return refused ? false : db_wire_lost(c, e, "pipeline sync");
    }
    PQclear(r);
    if (PQexitPipelineMode(c->pg) == 0) {
        return db_wire_lost(c, e, "pipeline end");
    }
    return true;
}

static void drop_rows(db_pipe *p) {
    for (size_t i = p->first; i <= p->n; i++) {
        if (p->items[i].rows != NULL) {
            PQclear(p->items[i].rows->result);
            p->items[i].rows->result = NULL;
        }
    }
}

// Outside of a transaction the segment is a transaction itself, and commits at its end.
static bool may_commit(const db_pipe *p) {
    return p->commits || (!p->c->in_tx && !p->c->read_only);
}

// After a failure: notes whether the outcome of the transaction is open.
static void note_outcome(const db_pipe *p, bool alive, err *e) {
    if (may_commit(p) && (!alive || strcmp(e->sqlstate, "40003") == 0)) {
        e->flags |= ERR_COMMIT_UNKNOWN | ERR_CONNECTION_LOST;
        p->c->broken = true;
        metric_add(p->c->pool->commit_unknown, 1);
    }
}

static bool run_once(db_pipe *p, err *e) {
    db_conn *c = p->c;
    expected order[2 * (1 + DB_PIPE_MAX)];
    size_t n = 0;
    bool refused = false;
    int64_t until_ms = db_wire_until(c);
    if (PQenterPipelineMode(c->pg) == 0) {
        return db_wire_lost(c, e, "pipeline begin");
    }
    bool alive = send_all(p, order, &n, e);
    for (size_t i = 0; alive && i < n; i++) {
        alive = read_answer(p, order[i], until_ms, &refused, e);
    }
    alive = alive && read_sync(c, until_ms, refused, e);
    if (!alive) {
        c->broken = true; // it stays in pipeline mode
    }
    if (!alive || refused) {
        drop_rows(p);
        note_outcome(p, alive, e);
    } else if (p->first == 0) {
        PQclear(p->limit_rows.result);
        p->limit_rows.result = NULL;
    }
    return alive && !refused;
}

// A transaction with a failed statement never reaches its COMMIT, so an answered COMMIT means that it committed.
static bool end_transaction(db_pipe *p, bool ok, const err *e) {
    db_conn *c = p->c;
    if (ok) {
        ASSERT(strcmp(PQcmdStatus(p->items[p->n].rows->result), "COMMIT") == 0);
    } else if ((e->flags & ERR_COMMIT_UNKNOWN) == 0) {
        return false; // still to roll back
    }
    c->in_tx = false;
    c->deadline_ms = INT64_MAX;
    return ok;
}

bool db_pipe_run(db_pipe *p, err *e) {
    err local = {0};
    e = e == NULL ? &local : e;
    if (!prepare_run(p, e) || !db_wire_ready(p->c, e)) {
        return false;
    }
    if (p->n == 0) {
        return true;
    }
    ASSERT(!p->commits || p->items[p->n].stmt == &COMMIT_STMT);
    if (p->begins) {
        p->c->in_tx = true;
        p->c->deadline_ms = p->deadline_ms;
    }
    bool ok = run_once(p, e);
    if (p->commits) {
        return end_transaction(p, ok, e);
    }
    if (!ok && db_err_is_stale_plan(e) && !p->c->broken &&
        PQtransactionStatus(p->c->pg) == PQTRANS_IDLE) {
        // Outside of a transaction the segment left no trace; other plans may be stale, too.
        for (size_t i = p->first; i <= p->n; i++) {
            if (p->items[i].prepared->ready) {
                db_prepared_forget(p->items[i].prepared);
            }
        }
        p->failed = p->n;
        ok = run_once(p, e);
    }
    return ok;
}

db_rows *db_pipe_rows(db_pipe *p, size_t index) {
    ASSERT(index < p->n);
    db_rows *rows = p->items[1 + index].rows;
    ASSERT(rows != NULL && rows->result != NULL);
    return rows;
}

int64_t db_pipe_affected(db_pipe *p, size_t index) {
    ASSERT(index < p->n);
    return p->items[1 + index].n_affected;
}

size_t db_pipe_failed(const db_pipe *p) {
    return p->failed;
}

bool db_exec_limited(db_conn *c, const db_stmt *s, const db_params *params, db_rows *rows,
                     int64_t *n_affected, err *e) {
    db_pipe p;
    memset(&p, 0, sizeof p);
    p.c = c;
    p.first = 1;
    db_pipe_add(&p, s, params);
    p.items[1].rows = rows;
    if (!db_pipe_run(&p, e)) {
        return false;
    }
    *n_affected = p.items[1].n_affected;
    return true;
}
