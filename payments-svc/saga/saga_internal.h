// Private to the saga room: a claimed batch on its way from claim to outcome.
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
    SAGA_ARENA_MAX = 128 * 1024 * 1024, // of one worker; a full batch takes about a quarter of it
    SAGA_LEDGER_PAIRS_MAX = 4095, // payouts whose step takes two transfers, in one CreateTransfers
    SAGA_EVENTS_CHUNK = 5000,     // rail events of one statement
    SAGA_DB_TIMEOUT_MS = 15000,
    SAGA_COMPLAIN_EVERY_MS = 1000,
    SAGA_LEASES_MAX = 64 // batches under way in one engine: one for each worker
};

// One saga of a batch.
typedef struct saga_item {
    uuid payout_id;
    uuid intent_id; // of an item that acts: what the bank and the ledger know the payout by
    int64_t epoch;  // of this claim
    int32_t log_seq;
    int32_t events; // counted when claimed: what the decision was made upon
    saga was;       // as found
    saga now;
    saga_said said;
    saga_step acting; // STEP_NONE: it only moved, and is given back by the claim itself
    bool handed; // EXECUTE has come out inside the claim: the rail hands over, and answer says how
    bool quiet;  // a try in vain more: the log tells it only when it brings the saga on
    saga_note note; // what the claim has to tell the log: held, released, an order
    saga_answer answer;
    // minor units that the ledger has booked, and the merchant could not pay all of; 0: none
    int64_t owed;
    uuid merchant_account; // merchant.available, for the steps of the ledger
    uuid transfer; // of an item that acts on the ledger: the first of its legs; nil otherwise
    bool has_recipient;
    uuid recipient_id;
    str merchant_id, description, reference;
    int64_t amount;
    int64_t fee; // that the merchant pays beside; 0: none
    bool no_fee; // the ledger has reserved none of it: the step's chain goes without
    char currency[4];
    rail_item *rail; // EXECUTE and RESOLVE
} saga_item;

// What a batch is claimed from. The same for all batches of an engine, but for book, rail and step.
typedef struct saga_claim {
    db_pool *pool;
    guard *guard;   // NULL: the database is not asked which one it is
    awaits *awaits; // told what is written; NULL: nobody waits
    crypto_keyring *keys;
    const clock_source *clock;
    saga_policy policy;
    controls controls;
    rail *rail;
    int64_t book_id;
    saga_step step;
    size_t limit;
    int n_lanes; // that gave something last time; 0: not known
    uuid owner;
    int64_t lease_ms;
} saga_claim;

typedef struct saga_batch {
    saga_claim from;
    saga_item *items; // sorted by payout_id
    size_t n;
    size_t n_found;        // rows that the claim saw; n is that too, but is 0 when the claim failed
    int n_lanes;           // that gave something
    rail_item *rail_items; // EXECUTE first, then RESOLVE
    size_t n_execute, n_resolve;
    str *paused; // merchants whose payouts stay where they stand (saga_brake)
    size_t n_paused;
    uuid lease_id; // of the items that act
    // the lease's end (clock_boot_ms); acting on a rail after it is forbidden
    _Atomic int64_t until_boot_ms;
    bool lost;      // somebody else has it now, or will: nothing may be written
    bool written;   // the outcomes are
    arena *a;       // everything of the batch
    arena *secrets; // decrypted bank details and what a rail makes of them
} saga_batch;

// --- claim and outcome (claim.c, outcome.c) --------------------------------------------------------------------------

// Of SAGA_COLUMNS in saga_sql.c; what a statement adds comes behind them.
enum { SAGA_N_COLUMNS = 29 };
// A row of SAGA_COLUMNS becomes item->was and item->now; all else is zero. (rows.c)
void saga_row_read(const db_rows *rows, size_t row, saga_item *item);
// Writes item->now of each, whose row must be as it was claimed. Sorted by payout_id. (rows.c)
bool saga_rows_write(db_conn *c, int64_t book_id, const saga_item *const *items, size_t n,
                     int64_t now_us, arena *a, err *e) WARN_UNUSED;
// The same of the batch's items that act, or of those that only move.
bool saga_rows_of_batch(saga_batch *b, db_conn *c, bool acting, int64_t now_us, err *e) WARN_UNUSED;
// Opens a case for each item that the claim or the outcome has held, or that has heard a contradiction while held. (hold_cases.c)
// Takes the entries of those that this claim has come to hold out of files that have not left, and says so (withdraw.c).
bool saga_withdraw_held(saga_batch *b, db_conn *c, int64_t now_us, err *e) WARN_UNUSED;
bool saga_cases_open(saga_batch *b, db_conn *c, bool acting, int64_t now_us, err *e) WARN_UNUSED;

// Claims, decides, and writes the intents, in one transaction. True with n == 0 when nothing was due. The batch is sorted.
bool saga_store_claim(saga_batch *b, err *e) WARN_UNUSED;
// Takes up the next order of the one item, which is as its row stands, under its slot's lock and in that transaction. *taken is false, and
// nothing is written, when there is none, or it waits for what only a worker does.
bool saga_store_take_order(saga_batch *b, db_conn *c, bool *taken, err *e) WARN_UNUSED;
// Writes what came of the items that act, all or none, and gives the lease back; b says whether it was written or lost.
// Repeating it is safe.
bool saga_store_outcome(saga_batch *b, int64_t deadline_mono_ms, err *e) WARN_UNUSED;

// Inside the claiming transaction: reads what was said of the batch's items. *rows: NULL when nothing was. (event_store.c)
bool saga_store_events(saga_batch *b, db_conn *c, db_rows **rows, err *e) WARN_UNUSED;
// Fills item->said with it, once the items' payouts are read.
bool saga_store_hear(saga_batch *b, const db_rows *rows, err *e) WARN_UNUSED;
// The same of one payout, with one message more, as if it had been recorded last. NULL: none.
bool saga_store_hear_also(saga_batch *b, const db_rows *rows, const saga_event *also,
                          err *e) WARN_UNUSED;

// --- the step log (step_log.c) ---------------------------------------------------------------------------------------

// A COPY of rows. NULL with *e; it ends with db_copy_end.
db_copy *saga_log_begin(db_conn *c, err *e);
// An intent where the answer has no outcome; else an outcome or a note.
void saga_log_row(db_copy *w, const saga_batch *b, const saga_item *item, saga_step step,
                  const saga_answer *answer, int64_t now_us);

// --- what there is to do (scan.c) ------------------------------------------------------------------------------------

// Adds the books of the database that are not among the n known ones, sorts them all.
bool saga_store_books(db_pool *pool, int64_t *books, size_t max, size_t *n,
                      int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

typedef struct saga_due {
    int64_t book_id;
    int rail;
    saga_step step;
    int64_t count; // not leased; of each lane at most the limit asked for
    int64_t oldest_us;
} saga_due;
typedef struct saga_scan {
    saga_due *due;
    size_t n;
    int64_t next_us; // when the next one that is not due yet will be; INT64_MAX: none is known
} saga_scan;
// What is due in any of the books. The pool's sessions have SAGA_LOOK_SESSION, or it is dear.
bool saga_store_scan(db_pool *pool, const int64_t *books, size_t n_books, const int16_t *rails,
                     size_t n_rails, int64_t now_us, int64_t limit, saga_scan *s,
                     int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;
// Inside the claiming transaction, after the slot's lock: *stopped when all of it is paused; else fills b->paused. (brake.c)
bool saga_brake(saga_batch *b, db_conn *c, bool *stopped, err *e) WARN_UNUSED;
// Takes what is paused as a whole out of a scan, so that nobody claims in vain.
bool saga_brake_scan(db_pool *pool, saga_scan *s, int64_t deadline_mono_ms, arena *a,
                     err *e) WARN_UNUSED;
// In how many lanes the sagas before a step stand.
int16_t saga_step_lanes(saga_step step);

// --- plans (plans.c) -------------------------------------------------------------------------------------------------

// For statements whose best plan changes as the tables grow: until the end of the transaction.
bool saga_plan_each_time(db_conn *c, arena *a, err *e) WARN_UNUSED;
// For the statements that join a batch with its rows by key: until the end of the transaction, so it comes right before them.
bool saga_join_by_key(db_conn *c, arena *a, err *e) WARN_UNUSED;

// The step that the log and the logs tell of an item: the one that it acts on, EXECUTE where it was handed over, else where it stood.
saga_step saga_logged_step(const saga_item *item) WARN_UNUSED;

// --- leases in the database (leases.c) -------------------------------------------------------------------------------

// Inside the claiming transaction: the items that act are the batch's for lease_ms of the database's clock. Nothing when none acts.
bool saga_lease_take(saga_batch *b, db_conn *c, err *e) WARN_UNUSED;
// Inside the outcome's transaction: the lease ends, and nobody else can have taken it away before the commit. *ours is false
// when somebody has (promise FENCED).
bool saga_lease_give_back(saga_batch *b, db_conn *c, bool *ours, err *e) WARN_UNUSED;

typedef struct saga_renewal {
    db_pool *pool;
    int64_t book_id;
    uuid lease_id, owner;
    int64_t lease_ms; // from the moment at which the database gets to it
} saga_renewal;
// *kept: whether the lease is still ours.
bool saga_store_renew(const saga_renewal *r, bool *kept, int64_t deadline_mono_ms, arena *a,
                      err *e) WARN_UNUSED;

// The first parameters of all statements about a lease.
db_params *saga_lease_params(arena *a, int64_t book_id, uuid lease_id);

// --- leases that are over (takeover.c) -------------------------------------------------------------------------------

enum { SAGA_STUCK_MAX = 64 };
// Leases that could not be taken away, and when they are tried again. Zeroed: none. Of one thread.
typedef struct saga_stuck_lease {
    uuid lease_id;
    int failures;
    int64_t not_before_ms; // monotonic
} saga_stuck_lease;
typedef struct saga_stuck {
    saga_stuck_lease leases[SAGA_STUCK_MAX];
    size_t n;
} saga_stuck;

// Takes away the leases that are over by the database's clock: their sagas are brought up to their logs, and are due. Each in a
// transaction of its own, the oldest first; several processes may do it at once. One whose row is locked is left for the next time;
// one that cannot be taken away is logged with its payouts, remembered in *stuck, and the others go on. *n: how many sagas.
// False: the database is away.
bool saga_store_take_over(db_pool *pool, const int64_t *books, size_t n_books, saga_stuck *stuck,
                          int64_t *n, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

// --- the gate (gate.c) -----------------------------------------------------------------------------------------------

// Inside the claiming transaction, once the items' payouts are read and what was said of them is heard: fills said.gate.
bool saga_gate_ask(saga_batch *b, db_conn *c, err *e) WARN_UNUSED;

// --- intents (intent.c): inside the claiming transaction -------------------------------------------------------------

// Loads the payouts of all items, before anything is decided: what was said is judged by their amounts.
bool saga_intent_payouts(saga_batch *b, db_conn *c, err *e) WARN_UNUSED;
// Loads what the acting items need, and lets the rail prepare its submissions. An item whose bank
// details cannot be read becomes HELD. Items of a rail that hands over come out here, and do not act.
bool saga_intent_load(saga_batch *b, db_conn *c, err *e) WARN_UNUSED;
void saga_intent_wipe(saga_batch *b); // overwrites the decrypted bank details
// The names of the ledger transfers of the step that a saga acts on, from which their ids are made; NULL: there is none.
typedef struct saga_legs {
    const char *first, *second;
} saga_legs;
saga_legs saga_legs_of(const saga *s);

// --- fees (fees.c) ---------------------------------------------------------------------------------------------------

// Whether the step that the item acts on moves its fee as well: then the chain of the step has one leg more, the last.
bool saga_fee_moves(const saga_item *item);
// Whether a chain with that leg has failed, or is there without it, because the fee was never reserved. results: of its n transfers.
bool saga_fee_is_missing(const saga_item *item, const ledger_result *results, size_t n);
// A payout that was held at its reservation is given back: its fee may be reserved under an id that the payout knows nothing of.
bool saga_fee_may_be_left(const saga_item *item);
// That leg. fees: the book's account in the item's currency. The leg before it must be linked to it.
ledger_transfer saga_fee_leg(const saga_item *item, uuid fees);

// --- accounts (accounts.c) -------------------------------------------------------------------------------------------

// The account at the bank that the batch's connection pays from.
str saga_bank_account(const saga_batch *b);

// --- what answers mean (judge.c) -------------------------------------------------------------------------------------

// What the verdict of a rail's item says, as texts that the database takes.
saga_answer saga_answer_of(const rail_item *item);
// A text of the bank, as the database and people can take it.
str saga_clean_text(str text);
// What a transfer of the ledger that was refused means for the step. @arena
saga_answer saga_judge_ledger(const saga_item *item, Ledger__V1__CreateTransferStatus status,
                              arena *a);

// --- acting (act.c) --------------------------------------------------------------------------------------------------

typedef struct saga_tools {
    rpc_client *ledger;
    ledger_accounts *accounts; // NULL: all are there
    int64_t ledger_timeout_ms;
} saga_tools;
// Acts on every item and fills its answer. Never fails: what could not be done is OUT_RETRY or OUT_UNKNOWN.
void saga_steps_act(saga_batch *b, const saga_tools *tools);

// --- what merchants owe (owe.c) --------------------------------------------------------------------------------------

// The merchant was to pay once more, and the first transfer has failed for ever under its number: saga_owe is next.
bool saga_owe_may(const saga_item *item, Ledger__V1__CreateTransferStatus first);
// Books what these merchants cannot pay as owed, and fills the answers. Repeating it is safe.
void saga_owe(saga_batch *b, const saga_tools *tools, saga_item *const *items, size_t n);
// In the outcome's transaction: writes down whose merchants owe.
bool saga_owe_note(saga_batch *b, db_conn *c, int64_t now_us, err *e) WARN_UNUSED;

// --- the keeper of leases (keeper.c) ---------------------------------------------------------------------------------

// one thread that renews the leases of batches that take long
typedef struct saga_keeper saga_keeper;
saga_keeper *saga_keeper_start(db_pool *pool, const clock_source *clock, int64_t lease_ms);
void saga_keeper_stop(saga_keeper *k); // no batch may be registered
typedef struct saga_lease saga_lease;
saga_lease *saga_lease_begin(saga_keeper *k, saga_batch *b); // of a batch that acts
void saga_lease_end(saga_keeper *k, saga_lease *l);          // waits for a renewal under way

// --- batch (batch.c) -------------------------------------------------------------------------------------------------

typedef struct saga_result {
    size_t n_found; // rows that were due
    int n_lanes;    // that they came from
    size_t n_moved; // rows whose outcome is written, or that were moved by the claim
    bool failed;    // the claim could not be made: come back later
    // rows that stand before a step now, and are due or may have heard of the rail meanwhile
    size_t n_next[STEP_COUNT];
    // payouts that the rail was tried with, or asked about, without any answer
    uuid in_vain[SAGA_BREAKER_TRIES];
    size_t n_in_vain;
    size_t n_answered; // that it answered, whatever it said
} saga_result;
saga_result saga_batch_run(saga_batch *b, const saga_tools *tools, saga_keeper *keeper);
void saga_batch_metrics_init(void);

// --- crash points (crash_points.c) and complaints (complaint.c) ------------------------------------------------------

// The crash points "saga.<step>.<boundary>" of every step that the batch acts on. The names are made here, so grep for the
// boundary: prepared, sent, acked, recorded, committed.
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

// Logs an error, at most once a second for each place: a database that is down is one line a second, not a million.
typedef struct saga_complaint {
    _Atomic int64_t last_ms, suppressed;
} saga_complaint;
bool saga_may_complain(saga_complaint *c);

#endif
