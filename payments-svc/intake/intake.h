// The way in: payouts are gathered while the previous transaction is under way, and committed together, one transaction a book.
//
// Requests are spread over a few threads by book and size, so that a book has one writer here for its single payouts and one for its
// many, and different books do not wait for each other. Two writers of one key meet in the database, as two processes do. Nothing
// waits for a timer: a single request is committed at once. Plain C: whoever has a payout to hand in (a call of the
// API, a file, a queue) fills payout_request and hears of it by a callback.
#ifndef INTAKE_INTAKE_H
#define INTAKE_INTAKE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"
#include "control/control.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "domain/rules.h"
#include "store/merchant_store.h"

enum { INTAKE_REQUEST_MAX = 10000 }; // payouts of one submission

// One payout to take in, as its caller wrote it: nothing of it was checked. Strings live until done was called.
typedef struct payout_request {
    str key;     // idempotency key
    str content; // the whole request as bytes, key included: the same request is the same bytes
    str recipient_id; // UUID
    int64_t amount;   // minor units
    const char *currency;
    int rail;       // payments.v1.Rail; 0: the connection's
    str connection; // by name; empty: the rail's
    int preferred;  // number of the connection that the merchant has for this rail; 0: none
    str external_reference, description;
    // where it stands in what the caller sent; begins the names of fields: "payouts[3]."
    const char *path;
    // A fault that its reader found, such as a field that this version does not know. Refuses it, unless its key is known. NULL: none.
    const err *fault;
    // Only for intake_check: the currency of a recipient that is not registered yet and comes beside. NULL: recipient_id counts.
    const char *recipient_currency;
} payout_request;

// A payout as it was accepted, now or before: what the first answer was, and each later one is, made of.
typedef struct payout_accepted {
    uuid payout_id; // nil where it was only checked
    uuid intent_id, recipient_id;
    int64_t amount;
    str currency;
    int rail; // number of the connection
    str external_reference, description;
    int64_t created_us; // 0 where it was only checked
    int64_t fee;        // minor units that the merchant pays beside; 0: none
    bool replayed;      // accepted before, under the same key
    str kept_answer; // .ptr not NULL: these bytes were answered first, and are all that is filled
} payout_accepted;

typedef struct payout_outcome {
    const err *refused; // NULL: accepted
    payout_accepted accepted;
} payout_outcome;

// Called once for each submission, on an intake thread. failed: nothing is known of any of them, see its code; else outcomes has
// one for each request, in order. All of it lives as long as the call.
typedef void (*intake_done)(void *owner, const payout_outcome *outcomes, size_t n,
                            const err *failed, arena *a);

typedef struct intake_options {
    db_pool *pool;      // of the transactions that take payouts in
    db_pool *read_pool; // of intake_check, so that it never holds those up
    const crypto_keyring *keys;
    const rule_rail *rails;
    size_t n_rails;
    controls controls; // asked about each new payout, in order
    int threads;
    // After a commit that took payouts of this connection in.
    void (*accepted)(void *arg, int64_t book_id, int connection);
    void *accepted_arg;
} intake_options;

typedef struct intake intake;
// @borrows everything in the options until destroy.
intake *intake_create(const intake_options *o, err *e);
// Every submission has been answered when this returns.
void intake_destroy(intake *in);

typedef struct intake_submission {
    const merchant *merchant;
    const payout_request *requests; // 1 … INTAKE_REQUEST_MAX
    size_t n;
    int64_t deadline_mono_ms;
    arena *a; // for what is kept of the requests until done; the caller's, alive until then
    intake_done done;
    void *owner;
} intake_submission;

// done will be called. False (and it will not be) when the queue is full or the requests take too much memory.
bool intake_submit(intake *in, const intake_submission *s, err *e) WARN_UNUSED;

// What intake_submit would answer, without writing anything: the same checks in the same order. Blocks. Outcomes live in a.
bool intake_check(intake *in, const merchant *m, const payout_request *requests, size_t n,
                  payout_outcome *outcomes, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

#endif
