// What merchants owe, after a bank has paid or taken back more than they had: who is to be looked at, the case that a person sees, and
// the collector that repays it from what comes in.
#ifndef RECEIVABLES_RECEIVABLES_H
#define RECEIVABLES_RECEIVABLES_H

#include "base/arena.h"
#include "base/err.h"
#include "db/db.h"
#include "ledger/ledger_client.h"

// Something that a merchant's balance may not have covered. Strings are borrowed.
typedef struct receivable_note {
    str merchant_id;
    char currency[4];
    int64_t amount; // minor units of what was booked, of which all or a part is owed
    str text;       // what happened, for people
} receivable_note;

// Writes it down, in the caller's transaction: the merchant is looked at until nothing is owed. Costs nothing when n is 0.
bool receivables_note(db_conn *c, int64_t book_id, const receivable_note *notes, size_t n,
                      int64_t now_us, arena *a, err *e) WARN_UNUSED;

// A transfer that repays what a merchant owes, as much as is there: to be sent by itself, or as the last of a chain. amount: at most.
ledger_transfer receivable_repayment(int64_t book_id, str merchant_id, str currency, uuid id,
                                     int64_t amount);

typedef struct receivables_options {
    db_pool *pool;
    rpc_client *ledger;
    int64_t ledger_timeout_ms;
} receivables_options;

typedef struct receivables receivables;
// Starts the collector. @borrows everything in the options until stop. NULL and *e when there is no thread.
receivables *receivables_start(const receivables_options *o, err *e);
void receivables_stop(receivables *r); // accepts NULL

#endif
