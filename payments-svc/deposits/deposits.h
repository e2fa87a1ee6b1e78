// Money in. A deposit is a row (intent) before it is a transfer of the ledger, and the row says what became of it.
//
// The row is written with the request's key in one transaction, then the ledger is told under an id that is derived from the key, then
// the row says so. Whoever stops in between is finished by a repeat of the request, or by the sweep of any instance.
#ifndef DEPOSITS_DEPOSITS_H
#define DEPOSITS_DEPOSITS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "jobs/jobs.h"
#include "ledger/accounts.h"
#include "store/merchant_store.h"

typedef enum deposit_state {
    DEPOSIT_PENDING = 1,  // not known yet whether the ledger has it
    DEPOSIT_CREDITED = 2, // the ledger has it
    DEPOSIT_REFUSED = 3,  // the ledger refused it for good
    // Its bank took it back: intended, and done.
    DEPOSIT_TAKING_BACK = 4,
    DEPOSIT_TAKEN_BACK = 5
} deposit_state;

typedef struct deposit {
    uuid id; // of its row and of its ledger transfer
    str merchant_id, key;
    int64_t amount; // minor units
    str currency;
    str reference;
    int state;  // deposit_state, or what a later version wrote
    str reason; // why it is REFUSED, or was taken back
    int64_t created_us;
    int64_t decided_us;  // when the ledger committed or refused it; 0 while PENDING
    int32_t back_number; // of the last try to take it back, from 1
    int64_t back_us;     // when it was TAKEN_BACK; 0 before
} deposit;

typedef struct deposits_options {
    db_pool *pool;
    const crypto_keyring *keys;
    rpc_client *ledger;
    ledger_accounts *accounts;
    int64_t ledger_timeout_ms;
    int64_t amount_max;  // minor units of one deposit
    int64_t balance_max; // minor units that a merchant's balance may reach by a deposit
} deposits_options;

typedef struct deposits deposits;
// @borrows everything in the options until destroy.
deposits *deposits_create(const deposits_options *o);
void deposits_destroy(deposits *d); // accepts NULL
// Ends deposits whose call ended before it knew, of whichever instance. To be stopped before destroy.
job deposits_sweep(deposits *d);

// As its caller wrote it: nothing of it was checked but the merchant and that there is a key.
typedef struct deposit_request {
    str key;
    str content; // the whole request as bytes: the same request is the same bytes
    int64_t amount;
    str currency;
    str reference;
    const err *fault; // of its reader: refuses it, unless its key is known; NULL: none
} deposit_request;

typedef struct deposit_answer {
    deposit made; // CREDITED, whatever has become of it since
    // .ptr not NULL: these bytes were answered first, by the first version, and are all that is filled
    str kept_answer;
} deposit_answer;

// Credits it, or finds that it was. A definite error means that it was not credited and never will be under this key. @arena
bool deposits_credit(deposits *d, const merchant *m, const deposit_request *r,
                     int64_t deadline_mono_ms, arena *a, deposit_answer *out, err *e) WARN_UNUSED;
// NOT_FOUND when the merchant has no such deposit. @arena
bool deposits_get(deposits *d, const merchant *m, uuid id, int64_t deadline_mono_ms, arena *a,
                  deposit *out, err *e) WARN_UNUSED;

// Its bank has taken it back, or finds that this was done. FAILED_PRECONDITION when it was never credited, or when the ledger refuses:
// then nothing has changed. NOT_FOUND as above. @arena
bool deposits_take_back(deposits *d, const merchant *m, uuid id, str reason,
                        int64_t deadline_mono_ms, arena *a, deposit *out, err *e) WARN_UNUSED;

typedef struct deposits_query {
    int state;         // deposit_state; 0 for all
    int64_t before_us; // those created before this and
    uuid before_id;    // this come next: the newest first
    int64_t limit;
} deposits_query;
// @arena
bool deposits_list(deposits *d, const merchant *m, const deposits_query *q,
                   int64_t deadline_mono_ms, arena *a, deposit **out, size_t *n,
                   err *e) WARN_UNUSED;

#endif
