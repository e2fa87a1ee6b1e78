// The saga engine: worker threads that lease due sagas in bulk, act on them, and write what came of it. Several engines, in
// several processes, may share one database.
#ifndef SAGA_ENGINE_H
#define SAGA_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "awaits/awaits.h"
#include "base/err.h"
#include "control/control.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "domain/machine.h"
#include "guard/guard.h"
#include "ledger/accounts.h"
#include "rails/rail.h"
#include "rpc/rpc.h"

typedef struct saga_engine saga_engine;

enum { SAGA_WORKERS_MAX = 64, SAGA_BATCH_MAX = 8000, SAGA_RAILS_MAX = 16, SAGA_BOOKS_MAX = 1024 };

enum { SAGA_ANY_RAIL = 0 }; // connections are numbered from 1

typedef struct saga_engine_options {
    db_pool *pool; // of the workers: one connection each
    // Of the keeper of leases (one connection), and of the looks at what is due and what is over (two), so that no worker and no reader
    // of the API can starve them. NULL: pool, which needs two more then. The sessions of the looks have SAGA_LOOK_SESSION.
    db_pool *keeper_pool, *look_pool;
    awaits *awaits; // told what was written; NULL: nobody waits
    guard *guard;   // asked before each claim; NULL: all may be claimed
    rpc_client *ledger;
    ledger_accounts *accounts; // made on first use; NULL: all are there
    crypto_keyring *keys;
    rail *const *rails;
    size_t n_rails;
    int workers;
    int batch_max;    // sagas of one batch, at most SAGA_BATCH_MAX
    int64_t lease_ms; // a worker that is silent for so long has lost its batch
    // How often the database is asked what is due, when nobody calls saga_engine_wake: from poll_ms while there is work, to
    // idle_poll_ms when there was none for long. What is known to become due is asked for in time.
    int64_t poll_ms, idle_poll_ms;
    // resolve_after_ms is for rails that answer one by one; a rail of files is never asked. absence_ms and
    // cancel_wait_ms are each rail's own
    saga_policy policy;
    controls controls; // asked at the gate
    int64_t ledger_timeout_ms;
} saga_engine_options;

// Session settings (db_pool_options.session_options) of the look_pool: its few statements are planned once, by index.
#define SAGA_LOOK_SESSION                                                                          \
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off "        \
    "-c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"

// Whether the settings among the options fit each other and the rails: what the start refuses of them. pool, ledger and keys do not
// count.
bool saga_engine_check(const saga_engine_options *o, err *e) WARN_UNUSED;
// Starts the worker threads. Books are found from merchant_book. @borrows everything in the options until stop.
// NULL and *e on bad options.
saga_engine *saga_engine_start(const saga_engine_options *o, err *e);
// New payouts of a book are due, all of this connection; SAGA_ANY_RAIL: of whichever. Cheap; any thread; between start and stop.
void saga_engine_wake(saga_engine *g, int64_t book_id, int rail_id);
// A bank has spoken of payouts of a book, nearly all of this connection. The same.
void saga_engine_heard(saga_engine *g, int64_t book_id, int rail_id);
// Something may have become due in any book, as when a pause was lifted. The same.
void saga_engine_look(saga_engine *g);
// Since when the bank of a connection does not answer and is left alone; 0: it answers, as far as is known. The same.
int64_t saga_engine_down_since_us(saga_engine *g, int rail_id);
// The rail of that number, if it is switched on; otherwise NULL. Any thread.
rail *saga_engine_rail(const saga_engine *g, int id);
// Takes no more batches, finishes those under way and so gives their leases back, joins the threads, and frees. Accepts NULL.
void saga_engine_stop(saga_engine *g);

#endif
