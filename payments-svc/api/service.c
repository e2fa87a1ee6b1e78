#include "api/service.h"

#include <stdlib.h>

#include "api/service_internal.h"
#include "base/assert.h"
#include "payments/v1/audit_service.pb-c.h"
#include "payments/v1/feed_service.pb-c.h"
#include "payments/v1/identity_service.pb-c.h"
#include "payments/v1/import_service.pb-c.h"
#include "payments/v1/inbox_service.pb-c.h"
#include "payments/v1/key_service.pb-c.h"
#include "payments/v1/reconciliation_service.pb-c.h"
#include "payments/v1/submission_service.pb-c.h"

static void on_accepted(void *engine, int64_t book_id, int connection) {
    saga_engine_wake(engine, book_id, connection);
}

payments_service *payments_service_create(const payments_service_options *o, err *e) {
    payments_service *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    s->o = *o;
    s->merchants = merchant_store_create(o->pool, o->intake_pool);
    s->accounts = o->accounts;
    const intake_options in = {.pool = o->intake_pool,
                               .read_pool = o->pool,
                               .keys = o->keys,
                               .rails = o->rails,
                               .n_rails = o->n_rails,
                               .controls = o->controls,
                               .threads = o->intake_threads,
                               .accepted = on_accepted,
                               .accepted_arg = o->engine};
    s->repairs = inbox_upload_create(clock_system());
    s->intake = intake_create(&in, e);
    const deposits_options money_in = {.pool = o->pool,
                                       .keys = o->keys,
                                       .ledger = o->ledger,
                                       .accounts = s->accounts,
                                       .ledger_timeout_ms = o->ledger_timeout_ms,
                                       .settings = o->deposits};
    s->deposits = s->intake == NULL ? NULL : deposits_create(&money_in);
    const imports_options files = {.pool = o->pool,
                                   .keys = o->keys,
                                   .intake = s->intake,
                                   .merchants = s->merchants,
                                   .calls = import_calls_of(s),
                                   .settings = o->imports};
    s->imports = s->deposits == NULL ? NULL : imports_start(&files, e);
    s->feed = s->imports == NULL ? NULL : feed_hub_start(o->look_pool, e);
    if (s->feed == NULL) {
        payments_service_destroy(s);
        return NULL;
    }
    await_start(s);
    return s;
}

void payments_service_describe(payments_service *s, rpc_service out[PAYMENTS_SERVICES]) {
    out[0] = (rpc_service){&payments__v1__merchant_service__descriptor, MERCHANT_METHODS,
                           N_MERCHANT_METHODS, s};
    out[1] = (rpc_service){&payments__v1__recipient_service__descriptor, RECIPIENT_METHODS,
                           N_RECIPIENT_METHODS, s};
    out[2] = (rpc_service){&payments__v1__payout_service__descriptor, PAYOUT_METHODS,
                           N_PAYOUT_METHODS, s};
    out[5] = (rpc_service){&payments__v1__connection_service__descriptor, CONNECTION_METHODS,
                           N_CONNECTION_METHODS, s};
    out[3] =
        (rpc_service){&payments__v1__case_service__descriptor, CASE_METHODS, N_CASE_METHODS, s};
    out[4] = (rpc_service){&payments__v1__reconciliation_service__descriptor,
                           RECONCILIATION_METHODS, N_RECONCILIATION_METHODS, s};
    out[6] = (rpc_service){&payments__v1__submission_service__descriptor, SUBMISSION_METHODS,
                           N_SUBMISSION_METHODS, s};
    out[7] =
        (rpc_service){&payments__v1__inbox_service__descriptor, INBOX_METHODS, N_INBOX_METHODS, s};
    out[8] = (rpc_service){&payments__v1__identity_service__descriptor, IDENTITY_METHODS,
                           N_IDENTITY_METHODS, s};
    out[9] = (rpc_service){&payments__v1__import_service__descriptor, IMPORT_METHODS,
                           N_IMPORT_METHODS, s};
    out[10] =
        (rpc_service){&payments__v1__feed_service__descriptor, FEED_METHODS, N_FEED_METHODS, s};
    out[11] =
        (rpc_service){&payments__v1__audit_service__descriptor, AUDIT_METHODS, N_AUDIT_METHODS, s};
    out[12] = (rpc_service){&payments__v1__key_service__descriptor, KEY_METHODS, N_KEY_METHODS, s};
}

static bool tidy(db_conn *c, int64_t now_us, arena *a, void *arg, err *e) {
    (void)c, (void)now_us, (void)a, (void)e;
    (void)inbox_upload_tidy(((payments_service *)arg)->repairs);
    return true;
}

size_t payments_service_jobs(payments_service *s, job out[PAYMENTS_SERVICE_JOBS]) {
    out[0] = deposits_sweep(s->deposits);
    out[1] = (job){
        .name = "service.tidy", .every_ms = 60000, .each_instance = true, .run = tidy, .arg = s};
    return PAYMENTS_SERVICE_JOBS;
}

void payments_service_quiesce(payments_service *s) {
    awaits_close(s->o.awaits);
}

void payments_service_destroy(payments_service *s) {
    if (s == NULL) {
        return;
    }
    awaits_close(s->o.awaits);
    imports_stop(s->imports);
    feed_hub_stop(s->feed);
    inbox_upload_destroy(s->repairs);
    deposits_destroy(s->deposits);
    intake_destroy(s->intake);
    merchant_store_destroy(s->merchants);
    free(s);
}
