// ledger-svc: puts the rooms together.
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "settings.h"
#include "store/store.h"

typedef struct ledger_svc {
    ledger_settings settings;
    char journal_conninfo[2048];
    db_pool *journal_pool;
    journal *journal;
    ledger_api api;
} ledger_svc;

// The commit path has connections of its own, so that no read can make a commit wait.
static bool journal_conninfo_make(ledger_svc *svc, err *e) {
    const int n =
        snprintf(svc->journal_conninfo, sizeof svc->journal_conninfo,
                 "%s options='" STORE_KEYED_OPTIONS "'", svc->settings.common.db_conninfo);
    if (n < 0 || (size_t)n >= sizeof svc->journal_conninfo) {
        return err_set(e, ERR_INVALID_ARGUMENT, "BAD_SETTING", "db.conninfo is too long");
    }
    return true;
}

static bool start(void *self, db_pool *pool, rpc_service *services, size_t services_max,
                  size_t *n_services, err *e) {
    ledger_svc *svc = self;
    const ledger_settings *s = &svc->settings;
    if (services_max < 1 || !journal_conninfo_make(svc, e)) {
        return false;
    }
    const db_pool_options pool_options = {
        .conninfo = svc->journal_conninfo,
        .application_name = "ledger-svc journal",
        .size = (int)s->commit_threads + 1,
        // Below the time that a commit has left when it begins, so that BEGIN need not set it again.
        .statement_timeout_ms = s->commit_timeout_ms / 2,
        .metrics_prefix = "journal",
    };
    svc->journal_pool = db_pool_create(&pool_options, e);
    if (svc->journal_pool == NULL) {
        return false;
    }
    const journal_options options = {
        .pool = svc->journal_pool,
        .clock = clock_system(),
        .commit_threads = (int)s->commit_threads,
        .queue_requests_max = (size_t)s->queue_requests_max,
        .queue_events_max = (size_t)s->queue_events_max,
        .books_max = (size_t)s->books_max,
        .cache_accounts_max = (size_t)s->cache_accounts_max,
        .commit_timeout_ms = s->commit_timeout_ms,
        .expiry_poll_ms = s->expiry_poll_ms,
    };
    svc->journal = journal_create(&options, e);
    if (svc->journal == NULL) {
        db_pool_destroy(svc->journal_pool);
        svc->journal_pool = NULL;
        return false;
    }
    svc->api = (ledger_api){.pool = pool, .journal = svc->journal, .clock = clock_system()};
    services[0] = ledger_api_service(&svc->api);
    *n_services = 1;
    return true;
}

static void quiesce(void *self) {
    ledger_svc *svc = self;
    journal_quiesce(svc->journal);
}

static void stop(void *self) {
    ledger_svc *svc = self;
    journal_destroy(svc->journal);
    db_pool_destroy(svc->journal_pool);
}

int main(int argc, char **argv) {
    static ledger_svc svc;
    const daemon_program program = {
        .name = "ledger-svc",
        .summary = "A double-entry ledger in PostgreSQL, over gRPC (ledger.v1.LedgerService)",
        .config = &LEDGER_CONFIG,
        .settings = &svc.settings,
        .common = &svc.settings.common,
        .start = start,
        .quiesce = quiesce,
        .stop = stop,
        .error_domain = "ledger.disburse",
        .self = &svc,
    };
    return daemon_main(&program, argc, argv);
}
