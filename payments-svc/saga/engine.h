// The saga engine: worker threads that lease due sagas in bulk, act on them, and write the outcomes. Several engines, in several processes,
// may share one database.
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
    db_pool *pool; // for the workers: one connection each
    // Pools for the keeper of leases (one connection), and for looks at due sagas and ended leases (two), so that no worker and no reader
    // of the API can starve them. NULL: pool, which then needs two more. The looks' sessions have SAGA_LOOK_SESSION.
    db_pool *keeper_pool, *look_pool;
    awaits *awaits; // hears of written states; NULL: no call waits
    guard *guard;   // asked before each claim; NULL: every claim is allowed
    rpc_client *ledger;
    ledger_accounts *accounts; // made on first use; NULL: all exist
    crypto_keyring *keys;
    rail *const *rails;
    size_t n_rails;
    int workers;
    int batch_max;    // sagas per batch, at most SAGA_BATCH_MAX
    int64_t lease_ms; // a worker that is silent for so long loses its batch
    // Interval of asking the database for due sagas, without saga_engine_wake: poll_ms while there is work, growing to idle_poll_ms
    // without. A known due time is asked for in time.
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

// Checks that the settings in the options fit each other and the rails, as the start does. Ignores pool, ledger and keys.
bool saga_engine_check(const saga_engine_options *o, err *e) WARN_UNUSED;
// Starts the worker threads. Finds books in merchant_book. @borrows everything in the options until stop. NULL and *e
// on bad options.
saga_engine *saga_engine_start(const saga_engine_options *o, err *e);
// New payouts of a book are due, all of this connection; SAGA_ANY_RAIL: of any. Cheap; any thread; between start and stop.
void saga_engine_wake(saga_engine *g, int64_t book_id, int rail_id);
// A bank has spoken of payouts of a book, nearly all of this connection. Otherwise the same.
void saga_engine_heard(saga_engine *g, int64_t book_id, int rail_id);
// Payouts may have become due in any book, as after a pause. Otherwise the same.
void saga_engine_look(saga_engine *g);
// Since when the bank of a connection does not answer and is left alone; 0: it answers, as far as is known. Otherwise the same.
int64_t saga_engine_down_since_us(saga_engine *g, int rail_id);
// The rail of this number if it is switched on, else NULL. Any thread.
rail *saga_engine_rail(const saga_engine *g, int id);
// Takes no more batches, finishes the running ones and so gives their leases back, joins the threads, and frees. Accepts NULL.
void saga_engine_stop(saga_engine *g);

#endif
