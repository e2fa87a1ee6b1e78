// The RPCs of ledger.v1.LedgerService. A handler checks the envelope. Then it reads (on the worker thread), or hands the work to the
// journal, which answers from its commit thread.
#ifndef API_API_H
#define API_API_H

#include "audit/head.h"
#include "base/clock.h"
#include "db/db.h"
#include "journal/journal.h"
#include "rpc/rpc.h"

typedef struct ledger_api {
    db_pool *pool;               // @borrowed: for reads
    journal *journal;            // @borrowed
    const clock_source *clock;   // @borrowed
    const head_keys *audit_keys; // @borrowed: tree heads may be signed with these; may be empty
} ledger_api;

// permissions.c: the permission that each method needs, for the server.
extern const authz_permission LEDGER_PERMISSIONS[];
extern const size_t N_LEDGER_PERMISSIONS;

// The service's table of methods; api must live as long as the server.
rpc_service ledger_api_service(ledger_api *api);

#endif
