// One connection: connecting, waiting with a limit, reading answers, and mapping errors.
#include "db_internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

int64_t db_now_ms(void) {
    return clock_mono_ms(clock_system());
}

// Waits for events on the socket until the time. 1 ready, 0 time is over, -1 failed.
static int poll_until(int fd, short events, int64_t until_ms) {
    for (;;) {
        int64_t left_ms = until_ms - db_now_ms();
        if (left_ms < 0) {
            left_ms = 0;
        }
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
        if (n >= 0) {
            return n;
        }
        if (errno != EINTR) {
            return -1;
        }
    }
}

// --- Errors ----------------------------------------------------------------------------------------------------------

typedef struct sqlstate_rule {
    const char *prefix;
    err_code code;
    uint32_t flags;
    const char *reason;
    const char *message;
} sqlstate_rule;

// First match wins. Any other state is a fault of ours: INTERNAL.
static const sqlstate_rule RULES[] = {
    {"40001", ERR_ABORTED, ERR_RETRIABLE, "SERIALIZATION_FAILURE",
     "a concurrent change got in the way"},
    {"40P01", ERR_ABORTED, ERR_RETRIABLE, "DEADLOCK", "a concurrent change got in the way"},
    {"55P03", ERR_DEADLINE_EXCEEDED, ERR_RETRIABLE, "LOCK_TIMEOUT",
     "the database was busy for too long"},
    {"57014", ERR_DEADLINE_EXCEEDED, ERR_RETRIABLE, "STATEMENT_TIMEOUT",
     "the database took too long"},
    {"23505", ERR_ALREADY_EXISTS, 0, "ALREADY_EXISTS", "already exists"},
    {"08", ERR_UNAVAILABLE, ERR_RETRIABLE | ERR_CONNECTION_LOST, "DATABASE_UNAVAILABLE",
     "the database is not available"},
    {"57P", ERR_UNAVAILABLE, ERR_RETRIABLE | ERR_CONNECTION_LOST, "DATABASE_UNAVAILABLE",
     "the database is not available"},
    // Idle in transaction for too long: the session is gone.
    {"25P03", ERR_UNAVAILABLE, ERR_RETRIABLE | ERR_CONNECTION_LOST, "DATABASE_UNAVAILABLE",
     "the database is not available"},
    // A primary that became a standby: another connection finds the new primary.
    {"25006", ERR_UNAVAILABLE, ERR_RETRIABLE | ERR_CONNECTION_LOST, "DATABASE_READ_ONLY",
     "the database is not available"},
    {"53", ERR_RESOURCE_EXHAUSTED, ERR_RETRIABLE, "DATABASE_EXHAUSTED",
     "the database is out of resources"},
};

bool db_result_is_stale_plan(const PGresult *r) {
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    if (state == NULL) {
        return false;
    }
    if (strcmp(state, "26000") == 0) {
        return true;
    }
    // 0A000 has many causes; only this function raises it for a plan whose result type changed.
    const char *function = PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION);
    return strcmp(state, "0A000") == 0 && function != NULL &&
           strcmp(function, "RevalidateCachedQuery") == 0;
}

bool db_err_is_stale_plan(const err *e) {
    return e->code == ERR_ABORTED && strcmp(e->reason, "STALE_PLAN") == 0;
}

bool db_err_from_result(err *e, const PGresult *r, const char *what) {
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *constraint = PQresultErrorField(r, PG_DIAG_CONSTRAINT_NAME);
    err local = {0};
    if (e == NULL) {
        e = &local;
    }
    if (state == NULL) { // libpq made this result itself: the server is gone
        state = "";
        (void)err_set(e, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is not available");
        e->flags = ERR_RETRIABLE | ERR_CONNECTION_LOST;
    } else if (db_result_is_stale_plan(r)) {
        (void)err_set(e, ERR_ABORTED, "STALE_PLAN", "the database changed its plans, try again");
        e->flags = ERR_RETRIABLE;
    } else {
        const sqlstate_rule *rule = NULL;
        for (size_t i = 0; i < sizeof RULES / sizeof RULES[0] && rule == NULL; i++) {
            if (strncmp(state, RULES[i].prefix, strlen(RULES[i].prefix)) == 0) {
                rule = &RULES[i];
            }
        }
        if (rule != NULL) {
            (void)err_set(e, rule->code, rule->reason, "%s", rule->message);
            e->flags = rule->flags;
        } else {
            (void)err_set(e, ERR_INTERNAL, "DATABASE_ERROR", "the database refused a statement");
        }
    }
    (void)snprintf(e->sqlstate, sizeof e->sqlstate, "%s", state);
    (void)snprintf(e->constraint, sizeof e->constraint, "%s", constraint == NULL ? "" : constraint);
    // Only the primary text: DETAIL, HINT and CONTEXT quote row values.
    (void)err_detail(e, "%s: %s", what, primary == NULL ? "no message" : primary);
    return false;
}

bool db_err_from_params(err *e, const db_params *p, const char *what) {
    (void)err_set(e, p->failed, p->failed == ERR_INVALID_ARGUMENT ? "INVALID_TEXT" : "", "%s",
                  p->failed_why);
    return err_detail(e, "parameters of %s", what);
}

bool db_wire_lost(db_conn *c, err *e, const char *what) {
    c->broken = true;
    err local = {0};
    if (e == NULL) {
        e = &local;
    }
    (void)err_set(e, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is not available");
    e->flags = ERR_RETRIABLE | ERR_CONNECTION_LOST;
    return err_detail(e, "%s: %s", what, PQerrorMessage(c->pg));
}

// --- Waiting ---------------------------------------------------------------------------------------------------------

int64_t db_wire_until(const db_conn *c) {
    int64_t until_ms = db_now_ms() + c->statement_timeout_ms + DB_NETWORK_GRACE_MS;
    if (c->deadline_ms != INT64_MAX) {
        // The server knows the deadline, so it may answer first: then its statement has ended, too.
        int64_t limit_ms = c->deadline_ms + DB_NETWORK_GRACE_MS;
        until_ms = limit_ms < until_ms ? limit_ms : until_ms;
    }
    return until_ms;
}

bool db_wire_ready(db_conn *c, err *e) {
    if (c->broken || PQstatus(c->pg) != CONNECTION_OK) {
        return db_wire_lost(c, e, "connection was lost before");
    }
    ASSERT(c->copy == NULL || !c->copy->active);
    if (c->deadline_ms != INT64_MAX && db_now_ms() >= c->deadline_ms) {
        return err_set(e, ERR_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline has passed");
    }
    return true;
}

// One round of flush and poll. 1: all is flushed, 0: continue, -1: failed.
static int pump(db_conn *c, bool want_read, int64_t until_ms, err *e) {
    int pending = PQflush(c->pg);
    if (pending < 0) {
        // A server that hung up may have sent its reason: read it.
        (void)PQconsumeInput(c->pg);
        (void)db_wire_lost(c, e, "send");
        return -1;
    }
    if (pending == 0 && !want_read) {
        return 1;
    }
    // Reading while writing, too: a server that cannot send does not read either.
    int n = poll_until(PQsocket(c->pg), (short)(POLLIN | (pending != 0 ? POLLOUT : 0)), until_ms);
    if (n <= 0) {
        (void)db_wire_lost(c, e, n == 0 ? "no answer in time" : "poll");
        return -1;
    }
    if (PQconsumeInput(c->pg) == 0) {
        (void)db_wire_lost(c, e, "receive");
        return -1;
    }
    return 0;
}

bool db_wire_wait(db_conn *c, int64_t until_ms, err *e) {
    while (PQisBusy(c->pg)) {
        if (pump(c, true, until_ms, e) < 0) {
            return false;
        }
    }
    return true;
}

bool db_wire_flush(db_conn *c, int64_t until_ms, err *e) {
    int state = 0;
    while (state == 0) {
        state = pump(c, false, until_ms, e);
    }
    return state > 0;
}

PGresult *db_wire_result(db_conn *c, int64_t until_ms, const char *what, err *e) {
    PGresult *kept = NULL;
    bool failed = false;
    err local = {0};
    e = e == NULL ? &local : e;
    for (;;) {
        err lost = {0};
        if (!db_wire_wait(c, until_ms, &lost)) {
            // If the server gave a reason before it hung up, this is the error to report.
            if (!failed) {
                *e = lost;
            }
            PQclear(kept);
            return NULL;
        }
        PGresult *r = PQgetResult(c->pg);
        if (r == NULL) {
            break;
        }
        ExecStatusType status = PQresultStatus(r);
        if (!failed) {
            PQclear(kept);
            kept = r;
        } else {
            PQclear(r);
        }
        if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
            if (!failed) {
                failed = true;
                (void)db_err_from_result(e, kept, what);
                c->broken = c->broken || (e->flags & ERR_CONNECTION_LOST) != 0;
            }
        } else if (status == PGRES_COPY_IN) {
            return kept; // the caller sends now; there is no NULL to read yet
        }
    }
    if (PQstatus(c->pg) != CONNECTION_OK) {
        c->broken = true;
    }
    if (kept == NULL) {
        (void)db_wire_lost(c, e, what);
        return NULL;
    }
    if (failed) {
        PQclear(kept);
        return NULL;
    }
    return kept;
}

bool db_wire_command(db_conn *c, const char *sql, const char *expect_tag, int64_t until_ms,
                     err *e) {
    if (!PQsendQuery(c->pg, sql)) {
        return db_wire_lost(c, e, expect_tag);
    }
    PGresult *r = db_wire_result(c, until_ms, expect_tag, e);
    if (r == NULL) {
        return false;
    }
    bool ok = strcmp(PQcmdStatus(r), expect_tag) == 0;
    if (!ok) {
        (void)err_set(e, ERR_INTERNAL, "DATABASE_ERROR", "the database refused a statement");
        (void)err_detail(e, "expected %s, the server did %s", expect_tag, PQcmdStatus(r));
    }
    PQclear(r);
    return ok;
}

// --- Connecting ------------------------------------------------------------------------------------------------------

// Warnings of the server go to our log; never a DETAIL, which may quote rows.
static void on_notice(void *arg, const PGresult *r) {
    (void)arg;
    const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    bool warning = severity != NULL && strcmp(severity, "WARNING") == 0;
    log_write(warning ? LOG_WARN : LOG_DEBUG, "db.notice", ERR_SITE,
              (log_field[]){F_STR("severity", severity == NULL ? "" : severity),
                            F_STR("sqlstate", state == NULL ? "" : state),
                            F_STR("message", text == NULL ? "" : text),
                            {NULL, LOG_F_END, {.i = 0}}});
}

static PGconn *connect_start(const db_pool *p) {
    // Later keywords win: our defaults, then the settings' conninfo, then keywords that settings may not change.
    const char *const keys[] = {"keepalives",       "keepalives_idle",  "keepalives_interval",
                                "keepalives_count", "tcp_user_timeout", "connect_timeout",
                                "gssencmode",       "dbname",           "application_name",
                                "client_encoding",  "options",          NULL};
    const char *const values[] = {
        "1",    "10",       "5", "3", "15000", "5", "disable", p->conninfo, p->application_name,
        "UTF8", p->options, NULL};
    return PQconnectStartParams(keys, values, 1);
}

// PQconnectPoll with a limit: connect_timeout has no effect in this mode.
static bool connect_finish(PGconn *pg, int64_t until_ms) {
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
        // The socket may change between two rounds: ask each time.
        short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (PQsocket(pg) < 0 || poll_until(PQsocket(pg), events, until_ms) <= 0) {
            return false;
        }
        state = PQconnectPoll(pg);
    }
    return state == PGRES_POLLING_OK;
}

db_conn *db_wire_connect(db_pool *p, int64_t deadline_ms, err *e) {
    int64_t until_ms = db_now_ms() + DB_CONNECT_TIMEOUT_MS;
    until_ms = deadline_ms < until_ms ? deadline_ms : until_ms;
    db_conn *c = calloc(1, sizeof *c);
    ASSERT(c != NULL);
    c->prepared = calloc(DB_PREPARED_SLOTS, sizeof *c->prepared);
    ASSERT(c->prepared != NULL);
    c->pool = p;
    c->deadline_ms = INT64_MAX;
    c->statement_timeout_ms = p->statement_timeout_ms;
    c->pg = connect_start(p);
    ASSERT(c->pg != NULL);
    if (PQstatus(c->pg) == CONNECTION_BAD || !connect_finish(c->pg, until_ms) ||
        PQsetnonblocking(c->pg, 1) != 0) {
        (void)db_wire_lost(c, e, "connect");
        db_wire_close(c);
        return NULL;
    }
    (void)PQsetNoticeReceiver(c->pg, on_notice, NULL);
    const clock_source *clock = clock_system();
    c->expires_ms =
        db_now_ms() + DB_LIFETIME_MS + (int64_t)clock_random_below(clock, DB_LIFETIME_MS / 4);
    return c;
}

void db_wire_close(db_conn *c) {
    if (c == NULL) {
        return;
    }
    PQfinish(c->pg);
    free(c->prepared);
    free(c->copy);
    free(c);
}

bool db_wire_alive(db_conn *c) {
    struct pollfd p = {.fd = PQsocket(c->pg), .events = POLLIN};
    if (PQstatus(c->pg) != CONNECTION_OK || poll(&p, 1, 0) < 0) {
        return false;
    }
    // An idle connection expects only a notice, or the server's farewell.
    if (p.revents != 0 && PQconsumeInput(c->pg) == 0) {
        return false;
    }
    if (p.revents != 0 && poll(&p, 1, 0) > 0) {
        return false; // the farewell was read, and now the end of the stream shows
    }
    return PQstatus(c->pg) == CONNECTION_OK;
}

void *db_conn_native(db_conn *c) {
    return c->pg;
}
