// ledger-svc: puts the rooms together.

#include "api/api.h"
#include "audit/sealer.h"
#include "base/log.h"
#include "settings.h"
#include "store/store.h"

enum { SEALER_STATEMENT_TIMEOUT_MS = 5000 };

typedef struct ledger_svc {
    ledger_settings settings;
    db_pool *journal_pool;
    journal *journal;
    db_pool *sealer_pool; // NULL: this process does not seal
    db_watch *sealer_watch;
    sealer *sealer;
    head_keys audit_keys;
    ledger_api api;
} ledger_svc;

// --- The sealer: it has its own role, so its own connections -----------------------------------------------------------

static void sealer_stop(ledger_svc *svc) {
    sealer_destroy(svc->sealer);
    db_watch_stop(svc->sealer_watch);
    if (svc->sealer_pool != NULL) {
        db_pool_destroy(svc->sealer_pool);
    }
    svc->sealer = NULL;
    svc->sealer_pool = NULL;
    svc->sealer_watch = NULL;
}

static bool sealer_start(ledger_svc *svc, err *e) {
    const sealer_settings *s = &svc->settings.sealer;
    if (s->conninfo[0] == '\0') {
        log_warn("audit.off",
                 F_STR("why", "audit.conninfo is not set: tree heads are signed elsewhere"));
        return s->public_keys_file[0] == '\0' ||
               head_keys_load(&svc->audit_keys, s->public_keys_file, e);
    }
    const db_pool_options pool_options = {
        .conninfo = s->conninfo,
        .application_name = "ledger-svc sealer",
        .size = 2, // for the sealer and for the watch
        .statement_timeout_ms = SEALER_STATEMENT_TIMEOUT_MS,
        .metrics_prefix = "sealer",
        .session_options = STORE_KEYED_OPTIONS,
    };
    svc->sealer_pool = db_pool_create(&pool_options, e);
    if (svc->sealer_pool == NULL) {
        return false;
    }
    svc->sealer_watch = db_watch_start(svc->sealer_pool);
    const sealer_options options = {
        .pool = svc->sealer_pool,
        .clock = clock_system(),
        .key_file = s->key_file,
        .public_keys_file = s->public_keys_file,
        .heads_file = s->heads_file,
        .interval_ms = s->seal_interval_ms,
        .rows_max = s->seal_rows_max,
        .books_max = s->books_max,
    };
    svc->sealer = sealer_create(&options, e);
    if (svc->sealer == NULL) {
        sealer_stop(svc);
        return false;
    }
    svc->audit_keys = *sealer_keys(svc->sealer);
    return true;
}

// --- The journal -------------------------------------------------------------------------------------------------------

// The commit path has its own connections, so that no read makes a commit wait.
static bool journal_start(ledger_svc *svc, err *e) {
    const journal_settings *s = &svc->settings.journal;
    const db_pool_options pool_options = {
        .conninfo = svc->settings.common.db_conninfo,
        .application_name = "ledger-svc journal",
        .size = (int)s->commit_threads + 1,
        // Less than the time left to a commit when it begins, so that BEGIN need not set it again.
        .statement_timeout_ms = s->commit_timeout_ms / 2,
        .metrics_prefix = "journal",
        .session_options = STORE_KEYED_OPTIONS,
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
        .checkpoint_rows = s->checkpoint_rows,
        .checkpoint_ms = s->checkpoint_ms,
    };
    svc->journal = journal_create(&options, e);
    if (svc->journal == NULL) {
        db_pool_destroy(svc->journal_pool);
        svc->journal_pool = NULL;
        return false;
    }
    return true;
}

static void journal_stop(ledger_svc *svc) {
    journal_destroy(svc->journal);
    db_pool_destroy(svc->journal_pool);
}

// --- Start and stop ----------------------------------------------------------------------------------------------------

static bool start(void *self, db_pool *pool, rpc_service *services, size_t services_max,
                  size_t *n_services, err *e) {
    ledger_svc *svc = self;
    if (services_max < 1 || !journal_start(svc, e)) {
        return false;
    }
    if (!sealer_start(svc, e)) {
        journal_quiesce(svc->journal);
        journal_stop(svc);
        return false;
    }
    svc->api = (ledger_api){
        .pool = pool,
        .journal = svc->journal,
        .clock = clock_system(),
        .audit_keys = &svc->audit_keys,
    };
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
    journal_stop(svc);
    sealer_stop(svc); // last: it seals the journal's last rows
}

// Checks the sealer's keys, if there are any.
static bool check(void *self, err *e) {
    const ledger_svc *svc = self;
    const sealer_settings *s = &svc->settings.sealer;
    head_keys keys = {0};
    if (s->public_keys_file[0] != '\0' && !head_keys_load(&keys, s->public_keys_file, e)) {
        return false;
    }
    head_signer *signer = s->conninfo[0] == '\0' ? NULL : head_signer_load(s->key_file, e);
    const bool ok = s->conninfo[0] == '\0' || signer != NULL;
    head_signer_destroy(signer);
    return ok;
}

int main(int argc, char **argv) {
    static ledger_svc svc;
    const daemon_program program = {
        .name = "ledger-svc",
        .summary = "A double-entry ledger in PostgreSQL, over gRPC (ledger.v1.LedgerService)",
        .config = ledger_settings_table(),
        .settings = &svc.settings,
        .common = &svc.settings.common,
        .start = start,
        .check = check,
        .quiesce = quiesce,
        .stop = stop,
        .error_domain = "ledger.disburse",
        .permissions = LEDGER_PERMISSIONS,
        .n_permissions = N_LEDGER_PERMISSIONS,
        .db_session_options = STORE_READER_OPTIONS,
        .self = &svc,
    };
    return daemon_main(&program, argc, argv);
}
