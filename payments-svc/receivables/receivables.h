// Merchants' debts, after a bank has paid or taken back more than they had: which merchants to look at, the case for a person, and the
// collector that repays a debt from later income.
#ifndef RECEIVABLES_RECEIVABLES_H
#define RECEIVABLES_RECEIVABLES_H

#include "base/arena.h"
#include "base/err.h"
#include "db/db.h"
#include "jobs/jobs.h"
#include "ledger/ledger_client.h"

// An amount that a merchant's balance may not have covered. Strings are borrowed.
typedef struct receivable_note {
    str merchant_id;
    char currency[4];
    int64_t amount; // minor units that were booked; all or a part is owed
    str text;       // the cause, for people
} receivable_note;

// Writes the notes, in the caller's transaction: the merchant is looked at until the debt is repaid. Costs nothing when n is 0.
bool receivables_note(db_conn *c, int64_t book_id, const receivable_note *notes, size_t n,
                      int64_t now_us, arena *a, err *e) WARN_UNUSED;

// A transfer that repays a merchant's debt as far as the money goes, up to amount. Send it alone, or as the last of a chain.
ledger_transfer receivable_repayment(int64_t book_id, str merchant_id, str currency, uuid id,
                                     int64_t amount);

typedef struct receivables_options {
    db_pool *pool;
    rpc_client *ledger;
    int64_t ledger_timeout_ms;
} receivables_options;

typedef struct receivables receivables;
// @borrows everything in the options until destroy.
receivables *receivables_create(const receivables_options *o);
void receivables_destroy(receivables *r); // accepts NULL
// The collector: repays what merchants owe from what has come in. To be stopped before destroy.
job receivables_collector(receivables *r);

#endif
