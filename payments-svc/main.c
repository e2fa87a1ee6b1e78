// payments-svc: puts the rooms together and stands in the frame of shared/daemon.
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/service.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "connected.h"
#include "control/control.h"
#include "crypto/crypto.h"
#include "daemon/daemon.h"
#include "domain/ids.h"
#include "guard/guard.h"
#include "jobs/deadlines.h"
#include "jobs/sums.h"
#include "keys/keys.h"
#include "maintain/maintain.h"
#include "maintain/partitions.h"
#include "pools.h"
#include "receivables/receivables.h"
#include "recon/recon.h"
#include "saga/engine.h"
#include "saga/recovery.h"
#include "settings.h"
#include "submissions/forgotten.h"
#include "submissions/recovery.h"
#include "submissions/settle.h"

enum { LEDGER_RETRIES_MAX = 3, LEDGER_MESSAGE_MAX = 16 << 20, INTAKE_THREADS = 2 };

typedef struct program {
    payments_settings settings;
    db_pool *pool; // reads of the API, and its smaller writes
    pools pools;   // all else
    guard *guard;
    saga_recovery sagas; // what they compare in a recovery
    submission_recovery submissions;
    crypto_keyring *keys;
    struct keys *data_keys; // whether keys has what is in use
    authz_current *policy;  // of the daemon
    rpc_client *ledger;
    ledger_accounts *accounts;
    connected connected;
    rail_wanted wanted[PAYMENTS_NAMED_MAX + PAYMENTS_SCHEMES_MAX];
    size_t n_wanted;
    inbox *inbox;
    pthread_rwlock_t engine_lock; // guards engine against the rails' listeners, which outlive it
    awaits *awaits;               // outlives the engine and the service
    saga_engine *engine;
    payments_service *service;
    receivables *receivables;
    deadlines *deadlines;
    jobs *jobs;
} program;

static void on_events(void *arg, int64_t book_id, int connection) {
    program *p = arg;
    pthread_rwlock_rdlock(&p->engine_lock);
    if (p->engine != NULL) {
        saga_engine_heard(p->engine, book_id, connection);
    }
    pthread_rwlock_unlock(&p->engine_lock);
}

static int64_t down_since_us(void *arg, int id) {
    program *p = arg;
    pthread_rwlock_rdlock(&p->engine_lock);
    const int64_t since_us = p->engine != NULL ? saga_engine_down_since_us(p->engine, id) : 0;
    pthread_rwlock_unlock(&p->engine_lock);
    return since_us;
}

static const char *of_rail(void *arg, int scheme) {
    const program *p = arg;
    size_t n = 0;
    const rail_scheme *const *schemes = rail_schemes(&n);
    for (size_t i = 0; i < n; i++) {
        if (schemes[i]->id == scheme) {
            return p->settings.of_rail[i];
        }
    }
    return NULL;
}

static void want(program *p, const char *name, const rail_scheme *s, const rail_settings *of) {
    ASSERT(p->n_wanted < sizeof p->wanted / sizeof p->wanted[0]);
    p->wanted[p->n_wanted++] = (rail_wanted){s, name, of->enabled, of};
}

static void want_all(program *p) {
    const payments_settings *s = &p->settings;
    size_t n = 0;
    const rail_scheme *const *schemes = rail_schemes(&n);
    for (size_t i = 0; i < n; i++) {
        want(p, schemes[i]->name, schemes[i], &s->rails[i]);
    }
    for (size_t i = 0; i < s->n_named; i++) {
        const rail_scheme *scheme = rail_scheme_named(s->named[i].scheme);
        ASSERT(scheme != NULL); // a kind of the table
        want(p, s->named[i].name, scheme, &s->named[i].of);
    }
}

// p->keys are there; the pools and the guard only when it is started. Makes the inbox, which outlives the connections.
static connected_options connections_wanted(program *p) {
    const payments_settings *s = &p->settings;
    const daemon_common *c = &s->common;
    p->inbox = inbox_create(p->pools.inbound, p->keys, clock_system());
    inbox_set_wake(p->inbox, on_events, p);
    want_all(p);
    return (connected_options){
        .pool = p->pool,
        .wanted = p->wanted,
        .n = p->n_wanted,
        .of_rail = of_rail,
        .down_since_us = down_since_us,
        .arg = p,
        .host = {.pool = p->pools.inbound,
                 .keys = p->keys,
                 .clock = clock_system(),
                 .box = p->inbox,
                 .guard = p->guard,
                 .cert_file = c->insecure ? NULL : c->cert_file,
                 .key_file = c->insecure ? NULL : c->key_file},
    };
}

static bool start_rails(program *p, err *e) {
    const connected_options o = connections_wanted(p);
    return connected_open(&p->connected, &o, e);
}

static saga_engine_options engine_options(program *p, rail **rails, size_t n) {
    const saga_settings *s = &p->settings.saga;
    return (saga_engine_options){
        .pool = p->pools.engine,
        .keeper_pool = p->pools.keeper,
        .look_pool = p->pools.look,
        .guard = p->guard,
        .awaits = p->awaits,
        .ledger = p->ledger,
        .accounts = p->accounts,
        .keys = p->keys,
        .rails = rails,
        .n_rails = n,
        .workers = (int)s->workers,
        .batch_max = (int)s->batch_max,
        .lease_ms = s->lease_ms,
        .poll_ms = s->poll_ms,
        .idle_poll_ms = s->idle_poll_ms > s->poll_ms ? s->idle_poll_ms : s->poll_ms,
        .policy = {.attempts_max = (int32_t)s->attempts_max,
                   .backoff_base_ms = s->backoff_base_ms,
                   .backoff_cap_ms = s->backoff_cap_ms,
                   .resolve_after_ms = s->resolve_after_ms},
        .controls = controls_table(),
        .ledger_timeout_ms = p->settings.ledger.timeout_ms,
    };
}

static bool check_engine(void *self, rail **rails, size_t n, err *e) {
    const saga_engine_options o = engine_options(self, rails, n);
    return saga_engine_check(&o, e);
}

static bool check(void *self, err *e) {
    program *p = self;
    p->keys = crypto_keyring_load(p->settings.keys.file, e);
    if (p->keys == NULL) {
        return false;
    }
    const connected_options o = connections_wanted(p);
    const bool ok =
        connected_check(&o, check_engine, e) && maintain_check(&p->settings.retention, e);
    inbox_destroy(p->inbox);
    crypto_keyring_destroy(p->keys);
    return ok;
}

static bool start_keys(program *p, err *e) {
    const keys_options o = {p->pool, p->keys, p->settings.keys};
    p->data_keys = keys_start(&o, e);
    return p->data_keys != NULL;
}

static bool start_ledger_client(program *p, err *e) {
    const ledger_settings *s = &p->settings.ledger;
    const daemon_common *c = &p->settings.common;
    const rpc_client_options o = {
        .target = s->target,
        .tls = {c->ca_file, c->cert_file, c->key_file, c->insecure},
        .tls_server_name = c->insecure ? NULL : s->server_name,
        .tls_server_identity = s->server_identity,
        .message_max = LEDGER_MESSAGE_MAX,
        .retries_max = LEDGER_RETRIES_MAX,
    };
    p->ledger = rpc_client_create(&o, e);
    p->accounts = p->ledger == NULL ? NULL : ledger_accounts_create(p->ledger);
    return p->ledger != NULL;
}

// A call that waits must not take the place of one that has something to do.
static awaits *make_awaits(const payments_settings *s) {
    const int64_t half = (s->common.in_flight_max + 1) / 2;
    const int64_t max = s->awaits.max < half ? s->awaits.max : half;
    return awaits_create((size_t)max, (size_t)s->awaits.client_max);
}

static bool start_engine(program *p, err *e) {
    p->awaits = make_awaits(&p->settings);
    p->sagas = (saga_recovery){p->pools.look, p->connected.rails, p->connected.n};
    p->submissions = (submission_recovery){p->connected.rails, p->connected.n};
    const guard_part parts[] = {saga_recovery_part(&p->sagas),
                                submission_recovery_part(&p->submissions),
                                submission_listing_part(&p->submissions)};
    guard_watch(p->guard, parts, sizeof parts / sizeof parts[0]);
    const saga_engine_options o =
        engine_options(p, p->connected.rails, p->connected.n + p->connected.n_off);
    p->engine = saga_engine_start(&o, e);
    return p->engine != NULL;
}

static bool start_service(program *p, err *e) {
    const payments_service_options o = {
        .pool = p->pool,
        .intake_pool = p->pools.intake,
        .stream_pool = p->pools.streams,
        .look_pool = p->pools.look,
        .ledger = p->ledger,
        .accounts = p->accounts,
        .keys = p->keys,
        .data_keys = p->data_keys,
        .engine = p->engine,
        .awaits = p->awaits,
        .inbox = p->inbox,
        .guard = p->guard,
        .rails = p->connected.rules,
        .n_rails = p->connected.n,
        .connections = p->connected.known,
        .books = p->settings.books,
        .ledger_timeout_ms = p->settings.ledger.timeout_ms,
        .recon = p->settings.recon,
        .deposits = p->settings.deposits,
        .intake_threads = INTAKE_THREADS,
        .controls = controls_table(),
        .imports = p->settings.imports,
        .policy = p->policy,
    };
    p->service = payments_service_create(&o, e);
    return p->service != NULL;
}

// All periodic work but what belongs to a connection or to the engine.
static bool start_jobs(program *p, err *e) {
    job table[DEADLINES_JOBS + PAYMENTS_SERVICE_JOBS + 3];
    p->deadlines = deadlines_create(&p->settings.deadlines, p->connected.known);
    size_t n = deadlines_jobs(p->deadlines, table);
    table[n++] = sums_job(p->settings.sums.every_ms);
    table[n++] = (job){.name = "submission.settle",
                       .every_ms = p->settings.deadlines.every_ms,
                       .run = submission_settle_due,
                       .arg = p->guard};
    n += payments_service_jobs(p->service, table + n);
    const receivables_options owed = {p->pool, p->ledger, p->settings.ledger.timeout_ms};
    p->receivables = receivables_create(&owed);
    table[n++] = receivables_collector(p->receivables);
    p->jobs = jobs_start(p->pool, clock_system(), table, n, e);
    return p->jobs != NULL;
}

// In the reverse order of the start: the engine calls the rails, so it ends before them; their listeners then have nobody
// to wake, and what they record is found by the next start.
static void stop(void *self) {
    program *p = self;
    jobs_stop(p->jobs);
    receivables_destroy(p->receivables);
    deadlines_destroy(p->deadlines);
    payments_service_destroy(p->service);
    pthread_rwlock_wrlock(&p->engine_lock);
    saga_engine *engine = p->engine;
    p->engine = NULL;
    pthread_rwlock_unlock(&p->engine_lock);
    saga_engine_stop(engine);
    awaits_destroy(p->awaits);
    connected_stop(&p->connected);
    guard_unwatch(p->guard);
    connected_close(&p->connected);
    inbox_destroy(p->inbox);
    ledger_accounts_destroy(p->accounts);
    rpc_client_destroy(p->ledger);
    keys_stop(p->data_keys);
    crypto_keyring_destroy(p->keys);
    guard_stop(p->guard);
    pools_close(&p->pools);
}

static bool start(void *self, db_pool *pool, rpc_service *services, size_t services_max,
                  size_t *n_services, err *e) {
    program *p = self;
    ASSERT(services_max >= PAYMENTS_SERVICES);
    p->pool = pool;
    const int64_t engine = p->settings.saga.workers + 2;
    if (!pools_open(&p->pools, &p->settings.common, &p->settings.pools, engine, e)) {
        return false;
    }
    const guard_options guarded = {p->pools.look, p->settings.guard};
    p->guard = guard_start(&guarded, e); // first: it sets the clock of everything below
    if (p->guard == NULL) {
        pools_close(&p->pools);
        return false;
    }
    p->keys = crypto_keyring_load(p->settings.keys.file, e);
    // The banks are heard only when there is an engine to wake.
    if (p->keys == NULL || !start_keys(p, e) || !start_ledger_client(p, e) || !start_rails(p, e) ||
        !start_engine(p, e) || !start_service(p, e) || !connected_start(&p->connected, e) ||
        !start_jobs(p, e)) {
        stop(p);
        return false;
    }
    payments_service_describe(p->service, services);
    *n_services = PAYMENTS_SERVICES;
    return true;
}

static void on_guard(void *server, bool serves) {
    rpc_server_set_serving(server, GUARD_HEALTH_NAME, serves);
}

// Before the server goes.
static void quiesce(void *self) {
    const program *p = self;
    guard_tell(p->guard, NULL, NULL);
    payments_service_quiesce(p->service);
}

// Calls of the ledger go on with the new certificate, and the listeners of webhooks.
static bool certificate_changed(void *self) {
    program *p = self;
    err e = {0};
    const bool calls = rpc_client_tls_changed(p->ledger, &e);
    if (!calls) {
        log_err(LOG_ERROR, "ledger.tls.refused", &e);
        err_clear(&e);
    }
    const bool listens = connected_certificate(&p->connected, &e);
    if (!listens) {
        log_err(LOG_WARN, "webhook.tls.refused", &e);
    }
    return calls && listens;
}

static size_t files(void *self, const char **paths, size_t max) {
    const program *p = self;
    ASSERT(max > 0);
    paths[0] = p->settings.keys.file;
    return 1;
}

static bool files_changed(void *self) {
    program *p = self;
    err e = {0};
    if (!keys_read_again(p->data_keys, &e)) {
        static log_gate gate; // it is tried again and again
        if (log_gate_pass(&gate, "keys.refused", clock_mono_ms(clock_system()))) {
            log_err(LOG_ERROR, "keys.refused", &e);
        }
        return false;
    }
    return true;
}

static bool started(void *self, rpc_server *server, strbuf *extra_json, err *e) {
    const program *p = self;
    (void)e;
    guard_tell(p->guard, on_guard, server);
    connected_ports(&p->connected, extra_json);
    return true;
}

static int run_maintain(void *self, int n_words, char **words) {
    const program *p = self;
    return maintain_main(&p->settings.retention, p->settings.common.migrate_conninfo, n_words,
                         words);
}

static bool migrated(void *self, const char *conninfo, err *e) {
    (void)self;
    return partitions_keep(conninfo, e);
}

int main(int argc, char **argv) {
    static program p = {.engine_lock = PTHREAD_RWLOCK_INITIALIZER};
    const daemon_program d = {
        .name = "payments-svc",
        .summary = "pays money out: every payout is a saga over the ledger and a rail",
        .config = payments_settings_table(),
        .settings = &p.settings,
        .common = &p.settings.common,
        .start = start,
        .check = check,
        .started = started,
        .certificate_changed = certificate_changed,
        .files = files,
        .files_changed = files_changed,
        .quiesce = quiesce,
        .stop = stop,
        .error_domain = "payments.disburse",
        .policy = &p.policy,
        .permissions = PAYMENTS_PERMISSIONS,
        .n_permissions = N_PAYMENTS_PERMISSIONS,
        .command = {"maintain", "archive what is finished and kept no longer, and remove it",
                    MAINTAIN_HELP, run_maintain},
        .migrated = migrated,
        .self = &p,
    };
    return daemon_main(&d, argc, argv);
}
