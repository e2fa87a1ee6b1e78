// Orders of a person about a payout, checked before they are given. Blocking; any thread.
#ifndef SAGA_ORDERS_H
#define SAGA_ORDERS_H

#include "db/db.h"
#include "saga/engine.h"

typedef struct saga_cancellation {
    int64_t book_id;
    uuid payout_id;
    str actor;  // program and person
    str reason; // for people; may be empty
    int64_t now_us;
    // The database was restored, and may not know that the payout was sent: its bank is asked first. recovering: it is not known yet what
    // the banks have.
    bool may_be_forgotten, recovering;
} saga_cancellation;

// Fills may_be_forgotten and recovering, in the transaction in which the order is given.
bool saga_cancel_look(guard *g, db_conn *c, saga_cancellation *x, arena *a, err *e) WARN_UNUSED;

// Cancels a payout that has not left, in the caller's transaction: no worker takes it up to be sent between the look and the commit. A
// payout that is in a submission is taken out of it. The order is carried out by the engine: wake it after the commit
// (saga_engine_heard). A payout that is canceled, or is being canceled, is success; so is one whose cancel was accepted before, whatever
// it has led to: the payout's state says that. Errors: NOT_FOUND; FAILED_PRECONDITION, PAYOUT_NOT_CANCELABLE: it is at the bank, may be,
// or has ended;
// UNAVAILABLE, RECOVERING: what its bank has is being compared. g may be NULL where no rail hands over.
bool saga_cancel(saga_engine *g, db_conn *c, const saga_cancellation *x, arena *a,
                 err *e) WARN_UNUSED;

// What a CANCEL is called that comes otherwise, as with a case: where the database may have forgotten the payout, the
// one that asks its bank first. g, known and the errors as of saga_cancel and saga_cancel_look. *code lives as long as
// the program. Reads only.
bool saga_cancel_code(saga_engine *g, guard *known, db_conn *c, int64_t book_id, uuid payout_id,
                      str *code, arena *a, err *e) WARN_UNUSED;

// The steps of a payout's connection whose slots the transaction has locked: no worker claims anything there until its end.
typedef struct saga_slots {
    bool has[STEP_COUNT];
} saga_slots;

// Locks what an order of this kind needs, for the transaction in which it is given and before it locks anything else: the slots in *held,
// then the submission that the payout waits in, then the sagas of its payouts, ascending. Who writes cases has locked these before, so an
// order locks its case after this. Errors: NOT_FOUND. g may be NULL.
bool saga_orders_lock(const saga_engine *g, db_conn *c, int64_t book_id, uuid payout_id,
                      rail_event_kind kind, saga_slots *held, arena *a, err *e) WARN_UNUSED;

// Whether an order of a person other than CancelPayout's can be carried out as the payout stands, judged by the machine, in the
// transaction that has called saga_orders_lock. An order that a payout takes up later counts as possible:
// one behind another order, and one that waits for a worker or for the rail's answer. Errors: NOT_FOUND; FAILED_PRECONDITION,
// ORDER_NOT_POSSIBLE, with the reason.
bool saga_order_check(db_conn *c, int64_t book_id, uuid payout_id, rail_event_kind kind, str code,
                      arena *a, err *e) WARN_UNUSED;

// What saga_order_check would say as the payout stands. Reads only, and locks nothing: what is found may have changed when the order is
// given. gone: the attempt that would be recorded as never taken before the order; 0: none.
bool saga_order_look(db_conn *c, int64_t book_id, uuid payout_id, int32_t gone,
                     rail_event_kind kind, str code, arena *a, err *e) WARN_UNUSED;

// Takes up what was ordered, in the transaction that has checked and recorded the order, where workers may have no
// claim of the payout for long: in a pause, while its bank does not answer, or when its connection is switched off. An
// order that waits for a worker or for the bank's answer is left to the workers, and so is one of a payout at a step
// whose slot is not in *held. Errors: FAILED_PRECONDITION, ORDER_NOT_POSSIBLE: the order that was given last has come
// to nothing; the transaction is to be rolled back. g may be NULL.
bool saga_orders_take(const saga_engine *g, db_conn *c, int64_t book_id, uuid payout_id,
                      const saga_slots *held, arena *a, err *e) WARN_UNUSED;

#endif
