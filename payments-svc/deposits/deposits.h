// Money in. A deposit is a row (intent) before it is a transfer of the ledger, and the row tells its state.
//
// The row is written with the request's key in one transaction. Then the ledger is told, under an id derived from the key. Then the row is
// updated. If a call stops in between, a repeat of the request, or the sweep of any instance, finishes the deposit.
#ifndef DEPOSITS_DEPOSITS_H
#define DEPOSITS_DEPOSITS_H

#include "authz/actor.h"
#include "base/arena.h"
#include "base/config.h"
#include "base/err.h"
#include "base/uuid.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "jobs/jobs.h"
#include "ledger/accounts.h"
#include "parties/merchants.h"

typedef enum deposit_state {
    DEPOSIT_PENDING = 1,  // the ledger may have it or not
    DEPOSIT_CREDITED = 2, // the ledger has it
    DEPOSIT_REFUSED = 3,  // the ledger refused it for good
    // Its bank took it back: begun, and done.
    DEPOSIT_TAKING_BACK = 4,
    DEPOSIT_TAKEN_BACK = 5
} deposit_state;

typedef struct deposit {
    uuid id; // of its row and of its ledger transfer
    str merchant_id, key;
    int64_t amount; // minor units
    str currency;
    str reference;
    int state;  // deposit_state, or a later version's state
    str reason; // of a refusal, or of its bank's recall
    int64_t created_us;
    int64_t decided_us;  // time at which the ledger committed or refused it; 0 while PENDING
    int32_t back_number; // number of the last try to take it back, from 1
    int64_t back_us;     // time at which it was TAKEN_BACK; 0 before
} deposit;

typedef struct deposits_settings {
    int64_t amount_max;  // minor units of one deposit
    int64_t balance_max; // limit of a merchant's balance after a deposit, minor units
} deposits_settings;
extern const config_part DEPOSITS_SETTINGS;

typedef struct deposits_options {
    db_pool *pool;
    const crypto_keyring *keys;
    rpc_client *ledger;
    ledger_accounts *accounts;
    int64_t ledger_timeout_ms;
    deposits_settings settings;
} deposits_options;

typedef struct deposits deposits;
// @borrows everything in the options until destroy.
deposits *deposits_create(const deposits_options *o);
void deposits_destroy(deposits *d); // accepts NULL
// Ends deposits whose call ended before it knew, of whichever instance. To be stopped before destroy.
job deposits_sweep(deposits *d);

// The caller's request. Only the merchant and the presence of a key are checked.
typedef struct deposit_request {
    const actor_info *by; // who credits it
    str key;
    str content; // the request's bytes: equal requests have equal bytes
    int64_t amount;
    str currency;
    str reference;
    const err *fault; // its reader's fault: refuses it, unless its key is known; NULL: none
} deposit_request;

typedef struct deposit_answer {
    deposit made; // CREDITED, whatever has happened since
    // .ptr not NULL: the first version's answer, and the only filled field
    str kept_answer;
} deposit_answer;

// Credits it, or finds it credited. A definite error means that it was not credited and never will be under this key. @arena
bool deposits_credit(deposits *d, const merchant *m, const deposit_request *r,
                     int64_t deadline_mono_ms, arena *a, deposit_answer *out, err *e) WARN_UNUSED;
// NOT_FOUND when the merchant has no such deposit. @arena
bool deposits_get(deposits *d, const merchant *m, uuid id, int64_t deadline_mono_ms, arena *a,
                  deposit *out, err *e) WARN_UNUSED;

// Records its bank's recall, or finds it recorded. FAILED_PRECONDITION when it was never credited, or the ledger refuses: then nothing has
// changed. NOT_FOUND as above. @arena
bool deposits_take_back(deposits *d, const merchant *m, uuid id, str reason, const actor_info *by,
                        int64_t deadline_mono_ms, arena *a, deposit *out, err *e) WARN_UNUSED;

typedef struct deposits_query {
    int state;         // deposit_state; 0: all
    int64_t before_us; // the page continues before this time and
    uuid before_id;    // this id: newest first
    int64_t limit;
} deposits_query;
// @arena
bool deposits_list(deposits *d, const merchant *m, const deposits_query *q,
                   int64_t deadline_mono_ms, arena *a, deposit **out, size_t *n,
                   err *e) WARN_UNUSED;

#endif
