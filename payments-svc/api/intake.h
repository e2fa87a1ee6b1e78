// The way in: payouts are gathered while the previous transaction is under way, and committed together, one transaction a book.
//
// Calls are spread over a few threads by book, so that a book has one writer here and different books do not wait for each
// other. Nothing waits for a timer: a single call is committed at once.
#ifndef API_INTAKE_H
#define API_INTAKE_H

#include "api/service.h"
#include "payments/v1/payout_service.pb-c.h"
#include "store/merchant_store.h"

typedef struct intake intake;

intake *intake_create(const payments_service_options *o, err *e);
// Every submitted call has been answered when this returns.
void intake_destroy(intake *i);

// Takes the call over: it will be answered. request lives in the call's arena. single: answer CreatePayoutResponse, or the
// error of the one item; else BulkCreatePayoutsResponse. False (and the call is not taken) when the queue is full.
bool intake_submit(intake *i, rpc_call *call, const merchant *m,
                   Payments__V1__NewPayout *const *payouts, size_t n, bool single,
                   err *e) WARN_UNUSED;

#endif
