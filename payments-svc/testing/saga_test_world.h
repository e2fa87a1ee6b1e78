// A small world for the tests of the saga room: payouts in a real database, a ledger and a rail made of arrays.
#ifndef SAGA_TESTING_SAGA_TEST_WORLD_H
#define SAGA_TESTING_SAGA_TEST_WORLD_H

#include "events/events.h"
#include "saga/saga_internal.h"
#include "testing/fixture.h"

enum { WORLD_BOOK = 7 };

// The fakes' next behaviour, and their record. Guarded by the fakes' own mutex; set between runs.
typedef struct world_plan {
    // so many calls fail with UNAVAILABLE, after the work if ledger_lost_answer
    int ledger_failures;
    bool ledger_lost_answer;
    int ledger_takes_ms;         // each call
    bool no_accounts;            // the ledger makes none
    bool ledger_closed;          // the merchant's account is closed
    rail_verdict submit_verdict; // of every item
    rail_verdict query_verdict;
    int64_t submit_takes_ms;
    bool no_reference;            // the rail names a payment only in its messages
    bool lets_out;                // a handed-over item can still be taken out
    bool hands_over;              // prepare hands the items over, as a rail of files does
    rail_verdict prepare_verdict; // of every item of such a rail
    int64_t retry_at_us;          // with RAIL_NOT_SENT
    int refuse_first; // the first submissions of each payout, so many, are REFUSED_RETRY
} world_plan;
extern world_plan world;

typedef struct world_seen {
    int ledger_calls, ledger_at_once, ledger_transfers, accounts_asked, accounts_made, submits,
        submitted, queries;
    int twice; // attempts taken a second time under one key
} world_seen;
world_seen world_look(void);

void world_reset(void);        // empties tables and fakes
int world_setup(void **state); // migrates once
void world_teardown(void);
db_pool *world_pool(void); // as payments_service, the role with the least privilege
rail *world_rail(int id, int64_t gather_ms); // static, one each id
crypto_keyring *world_keys(void);
// n payouts of one merchant, due now. ids may be NULL.
void world_payouts(int rail_id, size_t n, int64_t amount, uuid *ids);
// The rail's word, through rail_events_record in its own transaction; its reference is "said-<attempt>".
void world_event(uuid payout, int32_t attempt, rail_event_kind kind, const char *event_id);
bool world_events(const rail_event *events, size_t n, err *e) WARN_UNUSED;
// settles every payout that the rail may have, as by one file
void world_settle_all(int rail_id);
int64_t world_count(const char *format, ...) PRINTF_LIKE(1, 2); // SQL of one number
// In the fake ledger: the transfers' posted balances must match the payouts.
int64_t world_available(void); // credits posted − debits posted − debits pending of the merchant
int64_t world_paid_out(void);  // bank: credited by payouts − debited by returns
void world_fund(int64_t amount);

#endif
