// payments-svc's view of ledger-svc: plain C values over rpc_client. Blocking, thread-safe. Every write is idempotent by its ids, so a
// retriable error may be repeated unchanged.
#ifndef LEDGER_LEDGER_CLIENT_H
#define LEDGER_LEDGER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"
#include "ledger/v1/ledger.pb-c.h"
#include "rpc/rpc.h"

enum { LEDGER_BATCH_MAX = 8190 };

typedef struct ledger_transfer {
    uuid id, debit, credit, pending_id, user_data_128;
    int64_t amount;
    uint32_t flags, code, timeout_s; // flags: Ledger__V1__TransferFlag bits
    char currency[4];
} ledger_transfer;

typedef struct ledger_result {
    Ledger__V1__CreateTransferStatus status;
    int64_t sequence, timestamp_us;
} ledger_result;

typedef struct ledger_account {
    uuid id;
    uint32_t code, flags;
    char currency[4];
    int64_t debits_pending, debits_posted, credits_pending, credits_posted; // lookups only
    bool checked, equal; // lookups with prove only
    int64_t entries;
} ledger_account;

bool ledger_create_book(rpc_client *c, int64_t book_id, const char *name, int64_t deadline_mono_ms,
                        arena *a, err *e) WARN_UNUSED;
// CREATED and EXISTS are success; anything else is an error that names the account and the status.
bool ledger_create_accounts(rpc_client *c, int64_t book_id, const ledger_account *accounts,
                            size_t n, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// One result each. n ≤ LEDGER_BATCH_MAX.
bool ledger_create_transfers(rpc_client *c, int64_t book_id, const ledger_transfer *transfers,
                             size_t n, ledger_result *results, int64_t deadline_mono_ms, arena *a,
                             err *e) WARN_UNUSED;
// Fills the balances of accounts[i].id; an id that the ledger does not know is an INTERNAL error (our own accounts exist).
bool ledger_lookup_accounts(rpc_client *c, int64_t book_id, ledger_account *accounts, size_t n,
                            bool prove, int64_t *sequence, int64_t deadline_mono_ms, arena *a,
                            err *e) WARN_UNUSED;
// The same, if some of the accounts may not exist yet: these keep the caller's balances.
bool ledger_lookup_accounts_if_any(rpc_client *c, int64_t book_id, ledger_account *accounts,
                                   size_t n, bool prove, int64_t *sequence,
                                   int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// "EXCEEDS_CREDITS" … without the enum's prefix.
const char *ledger_status_name(Ledger__V1__CreateTransferStatus s);

#endif
