// The way in: payouts are gathered during the previous transaction, and committed together, one transaction per book.
//
// Requests are spread over a few threads by book and size. So a book has one writer here for its single payouts and one for large
// submissions, and different books do not wait for each other. Two writers of one key meet in the database, as two processes do. No request
// waits for a timer: a single request is committed at once. Plain C: a caller with a payout (a call of the API, a file, a queue) fills
// payout_request and gets a callback.
#ifndef INTAKE_INTAKE_H
#define INTAKE_INTAKE_H

#include "authz/actor.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/uuid.h"
#include "control/control.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "domain/rules.h"
#include "parties/merchants.h"

enum { INTAKE_REQUEST_MAX = 10000 }; // payouts per submission

// One payout to take in, as its caller wrote it, unchecked. Strings live until done was called.
typedef struct payout_request {
    str key;          // idempotency key
    str content;      // the request's bytes, key included: equal requests have equal bytes
    str recipient_id; // UUID
    int64_t amount;   // minor units
    const char *currency;
    int rail;       // payments.v1.Rail; 0: the connection's
    str connection; // by name; empty: the rail's
    int preferred;  // number of the merchant's connection for this rail; 0: none
    str external_reference, description;
    // its place in the caller's request; begins the names of fields: "payouts[3]."
    const char *path;
    // A fault that its reader found, such as an unknown field. Refuses it, unless its key is known. NULL: none.
    const err *fault;
    // Only for intake_check: the currency of an unregistered recipient that comes with the payout. NULL: use recipient_id.
    const char *recipient_currency;
} payout_request;

// An accepted payout, old or new: every answer about it, first or later, is made of these fields.
typedef struct payout_accepted {
    uuid payout_id; // nil if it was only checked
    uuid intent_id, recipient_id;
    int64_t amount;
    str currency;
    int rail; // number of the connection
    str external_reference, description;
    int64_t created_us; // 0 if it was only checked
    int64_t fee;        // minor units that the merchant pays besides; 0: none
    bool replayed;      // accepted earlier under the same key
    str kept_answer; // .ptr not NULL: the kept bytes of the first answer, and the only filled field
} payout_accepted;

typedef struct payout_outcome {
    const err *refused; // NULL: accepted
    payout_accepted accepted;
} payout_outcome;

// Called once per submission, on an intake thread. failed: no result for any request, see its code. Else outcomes has one per request, in
// order. All arguments live as long as the call.
typedef void (*intake_done)(void *owner, const payout_outcome *outcomes, size_t n,
                            const err *failed, arena *a);

typedef struct intake_options {
    db_pool *pool;      // for transactions that take payouts in
    db_pool *read_pool; // for intake_check, so that it never delays those
    const crypto_keyring *keys;
    const rule_rail *rails;
    size_t n_rails;
    controls controls; // asked about each new payout, in order
    int threads;
    // Called after a commit with payouts of this connection.
    void (*accepted)(void *arg, int64_t book_id, int connection);
    void *accepted_arg;
} intake_options;

typedef struct intake intake;
// @borrows everything in the options until destroy.
intake *intake_create(const intake_options *o, err *e);
// Returns after every submission was answered.
void intake_destroy(intake *in);

typedef struct intake_submission {
    const merchant *merchant;
    const actor_info *by;           // who hands them in; its strings live until done was called
    const payout_request *requests; // 1 … INTAKE_REQUEST_MAX
    size_t n;
    int64_t deadline_mono_ms;
    arena *a; // memory for the requests until done; the caller's, alive until then
    intake_done done;
    void *owner;
} intake_submission;

// Takes a submission in; done will be called. False (done will not be called) when the queue is full or the requests need too much memory.
bool intake_submit(intake *in, const intake_submission *s, err *e) WARN_UNUSED;

// The answer that intake_submit would give, without a write: the same checks in the same order. Blocks. Outcomes live in a.
bool intake_check(intake *in, const merchant *m, const payout_request *requests, size_t n,
                  payout_outcome *outcomes, int64_t deadline_mono_ms, arena *a, err *e) WARN_UNUSED;

#endif
