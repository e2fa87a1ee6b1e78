// Private to the saga room: a claimed batch from claim to outcome.
#ifndef SAGA_SAGA_INTERNAL_H
#define SAGA_SAGA_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "awaits/awaits.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/uuid.h"
#include "control/control.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "domain/machine.h"
#include "guard/guard.h"
#include "ledger/accounts.h"
#include "rails/rail.h"
#include "rpc/rpc.h"
#include "saga/breaker.h"

enum {
    SAGA_ARENA_MAX = 128 * 1024 * 1024, // per worker; a full batch takes about a quarter
    SAGA_LEDGER_PAIRS_MAX = 4095, // payouts with two transfers per step, in one CreateTransfers
    SAGA_DB_TIMEOUT_MS = 15000,
    SAGA_COMPLAIN_EVERY_MS = 1000,
    SAGA_LEASES_MAX = 64 // running batches of one engine: one per worker
};

// One saga of a batch.
typedef struct saga_item {
    uuid payout_id;
    uuid intent_id; // of an acting item: the payout's id at the bank and in the ledger
    int64_t epoch;  // of this claim
    int32_t log_seq;
    int32_t events; // counted at the claim: the decision's basis
    // messages that the row does not count yet: of a list (heard.c)
    int32_t uncounted;
    saga was; // as found
    saga now;
    saga_said said;
    saga_step acting; // STEP_NONE: it only moved, and the claim itself gives it back
    // EXECUTE was done inside the claim: the rail hands over, and answer has the verdict
    bool handed;
    bool quiet;     // a repeated fruitless try: the log tells it only if it brings progress
    saga_note note; // the claim's entry for the log: a hold, a release, an order
    saga_answer answer;
    // minor units that the ledger has booked beyond the merchant's balance; 0: none
    int64_t owed;
    uuid merchant_account; // merchant.available, for the steps of the ledger
    uuid transfer;         // of an item that acts on the ledger: its first leg; else nil
    bool has_recipient;
    uuid recipient_id;
    str merchant_id, description, reference;
    int64_t amount;
    int64_t fee; // the merchant's fee; 0: none
    bool no_fee; // the ledger has no fee reserved: the step's chain omits it
    char currency[4];
    rail_item *rail; // EXECUTE and RESOLVE
} saga_item;

// The source of a batch. All batches of an engine share it, except for book, rail and step.
typedef struct saga_claim {
    db_pool *pool;
    guard *guard;   // NULL: the database's identity is not checked
    awaits *awaits; // hears of written states; NULL: no call waits
    crypto_keyring *keys;
    const clock_source *clock;
    saga_policy policy;
    controls controls;
    rail *rail;
    int64_t book_id;
    saga_step step;
    size_t limit;
    int n_lanes; // lanes with items last time; 0: not known
    uuid owner;
    int64_t lease_ms;
} saga_claim;

typedef struct saga_batch {
    saga_claim from;
    saga_item *items; // sorted by payout_id
    size_t n;
    size_t n_found;        // rows that the claim saw; like n, but n is 0 after a failed claim
    int n_lanes;           // lanes with items
    bool more;             // more than the batch can take is known to be due
    rail_item *rail_items; // EXECUTE first, then RESOLVE
    size_t n_execute, n_resolve;
    str *paused; // merchants whose payouts stay at their step (saga_brake)
    size_t n_paused;
    uuid lease_id; // of the acting items
    // the lease's end (clock_boot_ms); no action at a rail after it
    _Atomic int64_t until_boot_ms;
    bool lost;      // another owner has it, now or soon: nothing may be written
    bool written;   // the outcomes are written
    arena *a;       // everything of the batch
    arena *secrets; // decrypted bank details, and a rail's data made from them
} saga_batch;

// --- claim and outcome (claim.c, outcome.c) --------------------------------------------------------------------------

// The number of SAGA_COLUMNS in saga_sql.c; a statement's further columns follow.
enum { SAGA_N_COLUMNS = 29 };
// Reads a row of SAGA_COLUMNS into item->was and item->now; all else is zero. (rows.c)
void saga_row_read(const db_rows *rows, size_t row, saga_item *item);
// Writes each item->now; its row must be as it was claimed. Sorted by payout_id. (rows.c)
bool saga_rows_write(db_conn *c, int64_t book_id, const saga_item *const *items, size_t n,
                     int64_t now_us, arena *a, err *e) WARN_UNUSED;
// The same for the batch's items that act, or for the items that only move.
bool saga_rows_of_batch(saga_batch *b, db_conn *c, bool acting, int64_t now_us, err *e) WARN_UNUSED;
// saga_withdraw_held takes the entries of payouts that this claim holds out of files that have not left, and notes it (withdraw.c).
// saga_cases_open opens a case for each item that the claim or the outcome has held, or that heard a contradiction while held
// (hold_cases.c).
bool saga_withdraw_held(saga_batch *b, db_conn *c, int64_t now_us, err *e) WARN_UNUSED;
bool saga_cases_open(saga_batch *b, db_conn *c, bool acting, int64_t now_us, err *e) WARN_UNUSED;

// Claims, decides, and writes the intents, in one transaction. True with n == 0 when nothing was due. The batch is sorted.
bool saga_store_claim(saga_batch *b, err *e) WARN_UNUSED;
// Takes up the item's next order, in the transaction that holds its slot's lock; the item is as its row. *taken is false, and nothing is
// written, when there is none, or it waits for a worker.
bool saga_store_take_order(saga_batch *b, db_conn *c, bool *taken, err *e) WARN_UNUSED;
// Writes the outcomes of the acting items, all or none, and gives the lease back; b says whether it was written or lost. A repeat is safe.
bool saga_store_outcome(saga_batch *b, int64_t deadline_mono_ms, err *e) WARN_UNUSED;

// Columns of *rows beyond SAGA_COLUMNS: whether the saga is plain, and the number of its messages.
enum { SAGA_HEARD_PLAIN = SAGA_N_COLUMNS, SAGA_HEARD_COUNT };
// Inside a claim of AWAIT, after the slot's lock: takes up such payouts, at most the batch's limit. *rows: NULL for none; sorted.
// *told: some were not plain, and became due. Then nothing else may be claimed in this transaction, and the plain ones wait for the next.
bool saga_heard_take(saga_batch *b, db_conn *c, int64_t now_us, db_rows **rows, bool *told,
                     err *e) WARN_UNUSED;

// Inside the claiming transaction: reads the messages about the batch's items. *rows: NULL when there are none. (hear.c)
bool saga_store_events(saga_batch *b, db_conn *c, db_rows **rows, err *e) WARN_UNUSED;
// Fills item->said from the rows, once the items' payouts are read.
bool saga_store_hear(saga_batch *b, const db_rows *rows, err *e) WARN_UNUSED;
// The same for one payout, with one more message, as if recorded last. NULL: none.
bool saga_store_hear_also(saga_batch *b, const db_rows *rows, const saga_event *also,
                          err *e) WARN_UNUSED;

// --- the step log (step_log.c) ---------------------------------------------------------------------------------------

// Begins a COPY of rows, ended by db_copy_end. NULL with *e.
db_copy *saga_log_begin(db_conn *c, err *e);
// An intent if the answer has no outcome; else an outcome or a note.
void saga_log_row(db_copy *w, const saga_batch *b, const saga_item *item, saga_step step,
                  const saga_answer *answer, int64_t now_us);

// --- due work (scan.c) ------------------------------------------------------------------------------------------------

// Adds the database's books that are not among the n known ones, and sorts all.
bool saga_store_books(db_pool *pool, int64_t *books, size_t max, size_t *n,
                      int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

typedef struct saga_due {
    int64_t book_id;
    int rail;
    saga_step step;
    int64_t count; // not leased; per lane at most the limit
    int64_t oldest_us;
} saga_due;
typedef struct saga_scan {
    saga_due *due;
    size_t n;
    int64_t next_us; // time of the next saga to become due; INT64_MAX: none known
} saga_scan;
// Due sagas of all the books. The pool's sessions need SAGA_LOOK_SESSION, or it is expensive.
bool saga_store_scan(db_pool *pool, const int64_t *books, size_t n_books, const int16_t *rails,
                     size_t n_rails, int64_t now_us, int64_t limit, saga_scan *s,
                     int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// Inside the claiming transaction, after the slot's lock. *stopped: all of it is paused; else fills b->paused. (brake.c)
bool saga_brake(saga_batch *b, db_conn *c, bool *stopped, err *e) WARN_UNUSED;
// Removes wholly paused work from a scan, so that nobody claims in vain.
bool saga_brake_scan(db_pool *pool, saga_scan *s, int64_t deadline_mono_ms, arena *a,
                     err *e) WARN_UNUSED;
// The number of lanes at a step.
int16_t saga_step_lanes(saga_step step);

// --- plans (plans.c) -------------------------------------------------------------------------------------------------

// For statements whose best plan changes as tables grow. Lasts until the end of the transaction.
bool saga_plan_each_time(db_conn *c, arena *a, err *e) WARN_UNUSED;

// An item's step for the logs: the step that it acts on; EXECUTE after a hand-over; else the step where it stood.
saga_step saga_logged_step(const saga_item *item) WARN_UNUSED;

// --- leases in the database (leases.c) -------------------------------------------------------------------------------

// Inside the claiming transaction: leases the acting items to the batch for lease_ms of the database's clock. Does nothing if none acts.
bool saga_lease_take(saga_batch *b, db_conn *c, err *e) WARN_UNUSED;
// Inside the outcome's transaction: ends the lease; nobody can take it away before the commit. *ours is false when somebody has taken it
// (promise FENCED).
bool saga_lease_give_back(saga_batch *b, db_conn *c, bool *ours, err *e) WARN_UNUSED;

typedef struct saga_renewal {
    db_pool *pool;
    int64_t book_id;
    uuid lease_id, owner;
    int64_t lease_ms; // counted when the database runs the statement
} saga_renewal;
// *kept: the lease is still ours.
bool saga_store_renew(const saga_renewal *r, bool *kept, int64_t deadline_mono_ms, arena *a,
                      err *e) WARN_UNUSED;

// The first parameters of all statements about a lease.
db_params *saga_lease_params(arena *a, int64_t book_id, uuid lease_id);

// --- ended leases (takeover.c) ----------------------------------------------------------------------------------------

enum { SAGA_STUCK_MAX = 64 };
// Leases whose take-over failed, with the time of the next try. Zeroed: none. For one thread.
typedef struct saga_stuck_lease {
    uuid lease_id;
    int failures;
    int64_t not_before_ms; // monotonic
} saga_stuck_lease;
typedef struct saga_stuck {
    saga_stuck_lease leases[SAGA_STUCK_MAX];
    size_t n;
} saga_stuck;

// Takes over leases that have ended by the database's clock: their sagas are brought up to their logs, and become due. Each lease in its
// own transaction, oldest first; several processes may do it at once. A lease whose row is locked waits for the next call. A lease whose
// take-over fails is logged with its payouts and remembered in *stuck; the others go on. *n: number of sagas. False: the database is away.
bool saga_store_take_over(db_pool *pool, const int64_t *books, size_t n_books, saga_stuck *stuck,
                          int64_t *n, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

// --- the gate (gate.c) -----------------------------------------------------------------------------------------------

// Inside the claiming transaction, once the items' payouts are read and what was said of them is heard: fills said.gate.
bool saga_gate_ask(saga_batch *b, db_conn *c, err *e) WARN_UNUSED;

// --- intents (intent.c): inside the claiming transaction -------------------------------------------------------------

// Loads the payouts of all items, before any decision: messages are judged by the payouts' amounts.
bool saga_intent_payouts(saga_batch *b, db_conn *c, err *e) WARN_UNUSED;
// Loads the acting items' data, and lets the rail prepare its submissions. An item with unreadable bank details
// becomes HELD. Items of a rail that hands over are finished here, and do not act.
bool saga_intent_load(saga_batch *b, db_conn *c, err *e) WARN_UNUSED;
void saga_intent_wipe(saga_batch *b); // overwrites the decrypted bank details
// The names of a step's ledger transfers, from which their ids derive; NULL: none.
typedef struct saga_legs {
    const char *first, *second;
} saga_legs;
saga_legs saga_legs_of(const saga *s);

// --- fees (fees.c) ---------------------------------------------------------------------------------------------------

// True when the item's step also moves its fee: then the step's chain has one more leg, the last.
bool saga_fee_moves(const saga_item *item);
// True when a chain with the fee's leg has failed, or exists without it, because the fee was never reserved. results: of its n transfers.
bool saga_fee_is_missing(const saga_item *item, const ledger_result *results, size_t n);
// True when a payout that was held at its reservation is given back: its fee may be reserved under an unknown id.
bool saga_fee_may_be_left(const saga_item *item);
// The fee's leg. fees: the book's account in the item's currency. The previous leg must be linked to it.
ledger_transfer saga_fee_leg(const saga_item *item, uuid fees);

// --- accounts (accounts.c) -------------------------------------------------------------------------------------------

// The bank account from which the batch's connection pays.
str saga_bank_account(const saga_batch *b);

// --- the meaning of answers (judge.c) ---------------------------------------------------------------------------------

// The answer for a rail item's verdict, with texts that the database accepts.
saga_answer saga_answer_of(const rail_item *item);
// A text of the bank, made safe for the database and for people.
str saga_clean_text(str text);
// What a transfer of the ledger that was refused means for the step. @arena
saga_answer saga_judge_ledger(const saga_item *item, Ledger__V1__CreateTransferStatus status,
                              arena *a);

// --- acting (act.c) --------------------------------------------------------------------------------------------------

typedef struct saga_tools {
    rpc_client *ledger;
    ledger_accounts *accounts; // NULL: all exist
    int64_t ledger_timeout_ms;
} saga_tools;
// Acts on every item and fills its answer. Never fails: an action that could not be done is OUT_RETRY or OUT_UNKNOWN.
void saga_steps_act(saga_batch *b, const saga_tools *tools);

// --- debts (owe.c) ----------------------------------------------------------------------------------------------------

// True when the merchant must pay again, and the first transfer has failed for ever under its number: saga_owe is next.
bool saga_owe_may(const saga_item *item, Ledger__V1__CreateTransferStatus first);
// Books these merchants' debts, and fills the answers. A repeat is safe.
void saga_owe(saga_batch *b, const saga_tools *tools, saga_item *const *items, size_t n);
// In the outcome's transaction: notes the merchants with debts.
bool saga_owe_note(saga_batch *b, db_conn *c, int64_t now_us, err *e) WARN_UNUSED;

// --- the keeper of leases (keeper.c) ---------------------------------------------------------------------------------

// one thread that renews the leases of long batches
typedef struct saga_keeper saga_keeper;
saga_keeper *saga_keeper_start(db_pool *pool, const clock_source *clock, int64_t lease_ms);
void saga_keeper_stop(saga_keeper *k); // no batch may be registered
typedef struct saga_lease saga_lease;
saga_lease *saga_lease_begin(saga_keeper *k, saga_batch *b); // b acts
void saga_lease_end(saga_keeper *k, saga_lease *l);          // waits for a running renewal

// --- batch (batch.c) -------------------------------------------------------------------------------------------------

typedef struct saga_result {
    size_t n_found; // due rows
    int n_lanes;    // lanes that they came from
    bool more;      // more is due
    size_t n_moved; // rows with a written outcome, or moved by the claim
    bool failed;    // the claim failed: come back later
    // rows that are before a step now, and are due or may have heard the rail meanwhile
    size_t n_next[STEP_COUNT];
    // payouts for which the rail was tried or asked without any answer
    uuid in_vain[SAGA_BREAKER_TRIES];
    size_t n_in_vain;
    size_t n_answered; // payouts with any answer
} saga_result;
saga_result saga_batch_run(saga_batch *b, const saga_tools *tools, saga_keeper *keeper);
void saga_batch_metrics_init(void);

// --- crash points (crash_points.c) and complaints (complaint.c) ------------------------------------------------------

// The crash points "saga.<step>.<boundary>" of every step that the batch acts on. Their names are built here, so grep for the boundary:
// prepared, sent, acked, recorded, committed.
typedef enum saga_boundary {
    AT_PREPARED,
    AT_SENT,
    AT_ACKED,
    AT_RECORDED,
    AT_COMMITTED,
    AT_COUNT
} saga_boundary;
#ifdef DISBURSE_CRASH_POINTS
void saga_crash_at(const saga_batch *b, saga_boundary boundary, unsigned step_mask);
#else
#define saga_crash_at(b, boundary, step_mask) ((void)0)
#endif
#define SAGA_STEP_BIT(step) (1u << (unsigned)(step))
#define SAGA_ALL_STEPS (~0u)

// Logs an error, at most once a second per place: a database that is down is one line a second, not a million.
typedef struct saga_complaint {
    _Atomic int64_t last_ms, suppressed;
} saga_complaint;
bool saga_may_complain(saga_complaint *c);

#endif
