// The pool: a fixed number of connections, made when first needed, given out first come, first served,
// the oldest first.
#include "db_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/cond.h"
#include "base/log.h"

static char *copy_string(const char *s) {
    char *copy = strdup(s);
    ASSERT(copy != NULL);
    return copy;
}

// The session settings of each connection. The conninfo's own `options` come last and win.
static char *build_options(const db_pool_options *o, const char *given) {
    int64_t idle_ms = o->statement_timeout_ms > 30000 ? o->statement_timeout_ms : 30000;
    strbuf b;
    strbuf_init(&b, 8192);
    strbuf_printf(&b,
                  "-c statement_timeout=%lld -c idle_in_transaction_session_timeout=%lld"
                  " -c client_connection_check_interval=2000 -c "
                  "default_transaction_isolation=read\\ committed"
                  " -c synchronous_commit=on -c timezone=UTC -c datestyle=ISO",
                  (long long)o->statement_timeout_ms, (long long)idle_ms);
    if (o->session_options != NULL) {
        strbuf_add_c(&b, " ");
        strbuf_add_c(&b, o->session_options);
    }
    if (given != NULL) {
        strbuf_add_c(&b, " ");
        strbuf_add_c(&b, given);
    }
    char *options = strbuf_ok(&b) ? copy_string(b.ptr) : NULL;
    strbuf_deinit(&b);
    return options;
}

// True when session options weaken a COMMIT's promise: "off" and "local" confirm data that a crash or failover may lose.
static bool weakens_commits(const char *options) {
    static const char NAME[] = "synchronous_commit";
    for (const char *at = strstr(options, NAME); at != NULL; at = strstr(at, NAME)) {
        at += sizeof NAME - 1;
        const size_t blank = strspn(at, " =");
        const char *value = at + blank;
        if (strncasecmp(value, "on", 2) != 0 && strncasecmp(value, "remote_apply", 12) != 0) {
            return true;
        }
    }
    return false;
}

static bool parse_options(const db_pool_options *o, char **options, err *e) {
    char *why = NULL;
    PQconninfoOption *parsed = PQconninfoParse(o->conninfo, &why);
    PQfreemem(why); // it may quote the conninfo
    if (parsed == NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_CONNINFO",
                       "the database connection string is not valid");
    }
    const char *given = NULL;
    for (const PQconninfoOption *i = parsed; i->keyword != NULL; i++) {
        if (strcmp(i->keyword, "options") == 0) {
            given = i->val;
        }
    }
    if (given != NULL && weakens_commits(given)) {
        PQconninfoFree(parsed);
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_CONNINFO",
                       "the database connection string must not weaken synchronous_commit");
    }
    *options = build_options(o, given);
    PQconninfoFree(parsed);
    if (*options == NULL) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_CONNINFO",
                       "the database options are too long");
    }
    return true;
}

static void create_metrics(db_pool *p, const char *name) {
    char labels[128];
    (void)snprintf(labels, sizeof labels, "pool=\"%s\"", name == NULL ? "main" : name);
    p->in_use = metric_gauge("db_pool_in_use", labels, "database connections that are checked out");
    p->open = metric_gauge("db_pool_size", labels, "database connections that are open");
    p->wait = metric_histogram("db_pool_wait_seconds", labels,
                               "time from asking for a connection to having it");
    p->discarded = metric_counter("db_pool_discarded_total", labels,
                                  "connections that were closed instead of reused");
    p->retries =
        metric_counter("db_tx_retries_total", labels, "transactions and reads that were run again");
    p->commit_unknown =
        metric_counter("db_commit_unknown_total", labels, "commits whose answer was lost");
    p->stalled_ended = metric_counter("db_stalled_ended_total", labels,
                                      "sessions ended because their client stood still");
}

db_pool *db_pool_create(const db_pool_options *o, err *e) {
    char *options = NULL;
    if (o->conninfo == NULL || o->size < 1 || o->size > DB_POOL_SIZE_MAX ||
        o->statement_timeout_ms < 1 || o->statement_timeout_ms > INT32_MAX) {
        (void)err_set(e, ERR_INVALID_ARGUMENT, "BAD_POOL_OPTIONS",
                      "the database pool's options are out of range");
        return NULL;
    }
    if (!parse_options(o, &options, e)) {
        return NULL;
    }
    db_pool *p = calloc(1, sizeof *p);
    ASSERT(p != NULL);
    p->options = options;
    p->conninfo = copy_string(o->conninfo);
    p->application_name =
        copy_string(o->application_name == NULL ? "disburse" : o->application_name);
    p->size = o->size;
    p->statement_timeout_ms = o->statement_timeout_ms;
    MUST(pthread_mutex_init(&p->lock, NULL) == 0);
    create_metrics(p, o->metrics_prefix);
    return p;
}

void db_pool_destroy(db_pool *p) {
    if (p == NULL) {
        return;
    }
    ASSERT(p->n_open == p->n_idle && p->first == NULL);
    while (p->idle != NULL) {
        db_conn *c = p->idle;
        p->idle = c->next;
        db_wire_close(c);
    }
    metric_add(p->open, -p->n_idle);
    (void)pthread_mutex_destroy(&p->lock);
    explicit_bzero(p->conninfo, strlen(p->conninfo));
    free(p->conninfo);
    free(p->application_name);
    free(p->options);
    free(p);
}

// @locks held. The oldest goes out first, not the last returned. An old session has its plans and has mapped the pages that are read here.
// A session that is used now and then must do both again in the middle of a call.
static void put_idle(db_pool *p, db_conn *c) {
    db_conn **at = &p->idle;
    while (*at != NULL && (*at)->number < c->number) {
        at = &(*at)->next;
    }
    c->next = *at;
    *at = c;
    p->n_idle++;
}

// @locks held. Gives the slot, with its connection or empty (c NULL), to the first waiter, else to nobody.
static void release_slot(db_pool *p, db_conn *c) {
    db_waiter *w = p->first;
    if (w != NULL) {
        p->first = w->next;
        p->last = p->first == NULL ? NULL : p->last;
        w->granted = true;
        w->c = c;
        (void)pthread_cond_signal(&w->wake);
    } else if (c != NULL) {
        put_idle(p, c);
    } else {
        p->n_open--;
    }
}

// @locks held. Waits in line until granted or the deadline.
static bool wait_in_line(db_pool *p, int64_t deadline_ms, db_conn **c) {
    db_waiter w = {.granted = false};
    cond_init(&w.wake);
    if (p->last == NULL) {
        p->first = &w;
    } else {
        p->last->next = &w;
    }
    p->last = &w;
    const struct timespec until = cond_at_ms(deadline_ms);
    while (!w.granted && cond_wait_until(&w.wake, &p->lock, &until)) {
    }
    if (!w.granted) {
        db_waiter **at = &p->first;
        db_waiter *before = NULL;
        while (*at != &w) {
            before = *at;
            at = &(*at)->next;
        }
        *at = w.next;
        p->last = p->last == &w ? before : p->last;
    }
    (void)pthread_cond_destroy(&w.wake);
    *c = w.c;
    return w.granted;
}

// @locks held. False when the database was down a moment ago and it is not our turn to look again.
static bool may_connect(db_pool *p, err *e) {
    if (p->connect_failures == 0) {
        return true;
    }
    int64_t wait_ms = p->connect_not_before_ms - db_now_ms();
    if (wait_ms <= 0 && !p->probing) {
        p->probing = true;
        return true;
    }
    err local = {0};
    e = e == NULL ? &local : e;
    (void)err_set(e, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is not available");
    (void)err_detail(e, "not tried, last: %s", p->connect_error);
    e->flags = ERR_RETRIABLE | ERR_CONNECTION_LOST;
    e->retry_after_ms = wait_ms > 0 ? (int32_t)wait_ms : DB_RECONNECT_BASE_MS;
    return false;
}

// @locks held on entry and return; fills a slot that is already counted. Frees the slot on failure.
static db_conn *connect_slot(db_pool *p, int64_t deadline_ms, err *e) {
    db_conn *c = NULL;
    if (may_connect(p, e)) {
        err why = {0};
        (void)pthread_mutex_unlock(&p->lock);
        c = db_wire_connect(p, deadline_ms, &why);
        (void)pthread_mutex_lock(&p->lock);
        p->probing = false;
        if (c != NULL) {
            c->number = p->n_connected++;
            p->connect_failures = 0;
            metric_add(p->open, 1);
        } else {
            int64_t pause_ms =
                DB_RECONNECT_BASE_MS + clock_backoff_ms(clock_system(), DB_RECONNECT_BASE_MS,
                                                        DB_RECONNECT_CAP_MS, p->connect_failures);
            p->connect_not_before_ms = db_now_ms() + pause_ms;
            p->connect_failures += p->connect_failures < 30 ? 1 : 0;
            (void)snprintf(p->connect_error, sizeof p->connect_error, "%.*s",
                           (int)sizeof p->connect_error - 1, why.detail);
            log_err(LOG_WARN, "db.connect_failed", &why);
            why.retry_after_ms = (int32_t)pause_ms;
            if (e != NULL) {
                *e = why;
            }
        }
    }
    if (c == NULL) {
        release_slot(p, NULL);
    }
    return c;
}

// @locks held. An idle connection with a live server; closes dead ones on the way.
static db_conn *take_idle(db_pool *p) {
    while (p->idle != NULL) {
        db_conn *c = p->idle;
        p->idle = c->next;
        p->n_idle--;
        c->next = NULL;
        if (db_wire_alive(c)) {
            return c;
        }
        p->n_open--;
        metric_add(p->open, -1);
        metric_add(p->discarded, 1);
        db_wire_close(c);
    }
    return NULL;
}

db_conn *db_pool_checkout(db_pool *p, int64_t deadline_mono_ms, err *e) {
    int64_t start_us = clock_mono_us(clock_system());
    db_conn *c = NULL;
    (void)pthread_mutex_lock(&p->lock);
    bool have_slot = true;
    if (p->first == NULL) {
        c = take_idle(p);
    }
    if (c == NULL) {
        if (p->first == NULL && p->n_open < p->size) {
            p->n_open++;
        } else {
            have_slot = wait_in_line(p, deadline_mono_ms, &c);
        }
        if (have_slot && c == NULL) {
            c = connect_slot(p, deadline_mono_ms, e);
        }
    }
    (void)pthread_mutex_unlock(&p->lock);
    metric_observe_us(p->wait, clock_mono_us(clock_system()) - start_us);
    if (!have_slot) {
        err local = {0};
        e = e == NULL ? &local : e;
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "DATABASE_POOL_EXHAUSTED",
                      "no database connection came free in time");
        e->flags = ERR_RETRIABLE;
        return NULL;
    }
    if (c != NULL) {
        metric_add(p->in_use, 1);
    }
    return c;
}

db_conn *db_pool_spare(db_pool *p) {
    (void)pthread_mutex_lock(&p->lock);
    db_conn *c = p->n_open - p->n_idle == 1 ? take_idle(p) : NULL;
    (void)pthread_mutex_unlock(&p->lock);
    if (c != NULL) {
        metric_add(p->in_use, 1);
    }
    return c;
}

void db_pool_checkin(db_pool *p, db_conn *c) {
    if (c == NULL) {
        return;
    }
    ASSERT(c->pool == p);
    bool keep = !c->broken && PQstatus(c->pg) == CONNECTION_OK &&
                PQtransactionStatus(c->pg) == PQTRANS_IDLE &&
                PQpipelineStatus(c->pg) == PQ_PIPELINE_OFF && db_now_ms() < c->expires_ms;
    metric_add(p->in_use, -1);
    if (!keep) {
        metric_add(p->discarded, 1);
        metric_add(p->open, -1);
        db_wire_close(c);
        c = NULL;
    } else {
        c->in_tx = false;
        c->read_only = false;
        c->deadline_ms = INT64_MAX;
    }
    (void)pthread_mutex_lock(&p->lock);
    release_slot(p, c);
    (void)pthread_mutex_unlock(&p->lock);
}

bool db_pool_ping(db_pool *p, int64_t deadline_mono_ms, err *e) {
    db_conn *c = db_pool_checkout(p, deadline_mono_ms, e);
    if (c == NULL) {
        return false;
    }
    c->deadline_ms = deadline_mono_ms;
    bool ok =
        db_wire_ready(c, e) && db_wire_command(c, "SELECT 1", "SELECT 1", db_wire_until(c), e);
    db_pool_checkin(p, c);
    return ok;
}
