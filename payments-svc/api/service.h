// The public services of payments-svc: MerchantService, RecipientService, PayoutService, CaseService,
// ReconciliationService, ConnectionService, SubmissionService, InboxService,
// IdentityService, ImportService, AuditService, KeyService.
#ifndef API_SERVICE_H
#define API_SERVICE_H

#include "awaits/awaits.h"
#include "books/books.h"
#include "connections/registry.h"
#include "control/control.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "deposits/deposits.h"
#include "domain/rules.h"
#include "guard/guard.h"
#include "imports/imports.h"
#include "jobs/jobs.h"
#include "ledger/accounts.h"
#include "rails/inbox.h"
#include "recon/recon.h"
#include "rpc/rpc.h"
#include "saga/engine.h"

enum { PAYMENTS_SERVICES = 13, PAYMENTS_SERVICE_JOBS = 2 };

// permissions.c: what each method takes, for the server.
extern const authz_permission PAYMENTS_PERMISSIONS[];
extern const size_t N_PAYMENTS_PERMISSIONS;

typedef struct payments_service payments_service;

typedef struct payments_service_options {
    db_pool *pool;        // reads, and writes of all but payouts
    db_pool *intake_pool; // payouts that come in
    db_pool *stream_pool; // WatchPayouts, FeedService, ProveBook
    db_pool *look_pool;   // AwaitPayout, and who looks how far feeds reach: a connection each
    rpc_client *ledger;
    ledger_accounts *accounts; // made on first use
    crypto_keyring *keys;
    struct keys *data_keys; // for KeyService
    saga_engine *engine;    // woken when payouts arrive
    awaits *awaits;         // AwaitPayout; started here, and closed by payments_service_quiesce
    inbox *inbox;           // what banks say
    guard *guard;           // how a recovery stands
    const rule_rail *rails;
    size_t n_rails;
    connections *connections; // all that are known, also those that are switched off
    books_settings books;
    int64_t ledger_timeout_ms;
    recon_settings recon;
    deposits_settings deposits;
    int intake_threads;
    controls controls; // asked about each new payout
    imports_settings imports;
    authz_current *policy; // of whoever started an import
} payments_service_options;

// @borrows everything in the options until destroy.
payments_service *payments_service_create(const payments_service_options *o, err *e);
void payments_service_describe(payments_service *s, rpc_service out[PAYMENTS_SERVICES]);
// Its periodic work: the sweep of deposits, and letting go of what was begun and not finished. To be stopped before
// destroy. Returns how many.
size_t payments_service_jobs(payments_service *s, job out[PAYMENTS_SERVICE_JOBS]);
// Before the server drains: calls that only wait are answered.
void payments_service_quiesce(payments_service *s);
// After the server has drained: no call is in flight.
void payments_service_destroy(payments_service *s);

#endif
