// Orders of a person about a payout, checked before they are given. Blocking; any thread.
#ifndef SAGA_ORDERS_H
#define SAGA_ORDERS_H

#include "db/db.h"
#include "events/events.h"
#include "saga/engine.h"

typedef struct saga_cancellation {
    int64_t book_id;
    uuid payout_id;
    str actor;  // program and person
    str reason; // for people; may be empty
    int64_t now_us;
    // The database was restored, and may not know that the payout was sent: its bank is asked first. recovering: the banks' state is not
    // known yet.
    bool may_be_forgotten, recovering;
    // Set to whether an order was given now, and not only found to be given before. NULL: nobody asks.
    bool *given;
} saga_cancellation;

// Fills may_be_forgotten and recovering, in the order's transaction.
bool saga_cancel_look(guard *g, db_conn *c, saga_cancellation *x, arena *a, err *e) WARN_UNUSED;

// Cancels a payout that has not left, in the caller's transaction: no worker takes it for sending between the look and the commit. A payout
// in a submission is taken out. The engine carries the order out: wake it after the commit (saga_engine_heard). A payout that is canceled
// or being canceled is success. So is one with an earlier accepted cancel, whatever its result: the payout's state tells it. Errors:
// NOT_FOUND. FAILED_PRECONDITION, PAYOUT_NOT_CANCELABLE: it is at the bank, may be, or has ended. UNAVAILABLE, RECOVERING: its bank's state
// is being compared. g may be NULL if no rail hands over.
bool saga_cancel(saga_engine *g, db_conn *c, const saga_cancellation *x, arena *a,
                 err *e) WARN_UNUSED;

// The code for a CANCEL from elsewhere, as from a case: if the database may have forgotten the payout, the code that asks its bank first.
// g, known and the errors as for saga_cancel and saga_cancel_look. *code is static. Reads only.
bool saga_cancel_code(saga_engine *g, guard *known, db_conn *c, int64_t book_id, uuid payout_id,
                      str *code, arena *a, err *e) WARN_UNUSED;

// The steps of a payout's connection whose slots the transaction has locked: no worker claims at them until its end.
typedef struct saga_slots {
    bool has[STEP_COUNT];
} saga_slots;

// Takes an order's locks, in its transaction and before all others: the slots in *held, then the submission that the payout waits in, then
// the sagas of its payouts, ascending. Writers of cases lock these first, so an order locks its case after this. Errors: NOT_FOUND. g may
// be NULL.
bool saga_orders_lock(const saga_engine *g, db_conn *c, int64_t book_id, uuid payout_id,
                      rail_event_kind kind, saga_slots *held, arena *a, err *e) WARN_UNUSED;

// Checks with the machine that an order, other than CancelPayout's, can be carried out now, in the transaction that has called
// saga_orders_lock. An order that is taken up later counts as possible: behind another order, or after a worker's or the rail's answer.
// Errors: NOT_FOUND; FAILED_PRECONDITION, ORDER_NOT_POSSIBLE, with the reason.
bool saga_order_check(db_conn *c, int64_t book_id, uuid payout_id, rail_event_kind kind, str code,
                      arena *a, err *e) WARN_UNUSED;

// The present answer of saga_order_check. Reads only, and locks nothing: the answer may change before the order. gone: the attempt that the
// order would first record as never taken; 0: none.
bool saga_order_look(db_conn *c, int64_t book_id, uuid payout_id, int32_t gone,
                     rail_event_kind kind, str code, arena *a, err *e) WARN_UNUSED;

// Takes the order up in the transaction that has checked and recorded it, if workers may not claim the payout for long: in a pause, while
// its bank does not answer, or when its connection is off. Left to the workers: an order that waits for a worker or for the bank's answer,
// and an order of a payout at a step whose slot is not in *held. Errors: FAILED_PRECONDITION, ORDER_NOT_POSSIBLE: the last order has come
// to nothing; roll the transaction back. g may be NULL.
bool saga_orders_take(const saga_engine *g, db_conn *c, int64_t book_id, uuid payout_id,
                      const saga_slots *held, arena *a, err *e) WARN_UNUSED;

#endif
