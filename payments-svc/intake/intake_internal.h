// Private to the intake room: an item from the request to the row.
#ifndef INTAKE_INTAKE_INTERNAL_H
#define INTAKE_INTAKE_INTERNAL_H

#include "command/idempotency.h"
#include "intake/intake.h"

enum { INTAKE_ITEMS_MAX = 20000 }; // payouts per transaction

// Whose submission an item is of: what its row and the audit say.
typedef struct intake_by {
    const actor_info *who; // NULL where nothing is written
    str actor;             // actor_text of who
} intake_by;

typedef struct intake_item {
    const intake_by *by; // one for all items of a submission
    const payout_request *wanted;
    idem_entry idem;
    int rail;          // number of the connection; 0 for an invalid item
    int64_t fee;       // minor units; 0: none
    uuid recipient_id; // nil if the request's is no UUID; the item is then invalid
    // An earlier item of this gathering with the same key. If the key is new, both get its answer.
    struct intake_item *same_key;
    bool unreadable; // has no readable key: invalid in any case
    // the fault of a new request, found before the transaction; ignored for a known key
    const err *invalid;
    // Decided by the transaction, anew in each run:
    const err *refused;
    bool to_gate;          // it begins at the gate, where controls are asked once more
    int64_t wait_until_us; // not before; 0: at once
    uuid payout_id;
    int64_t created_us;
    payout_accepted before; // for a known key
} intake_item;

// One transaction of one book.
typedef struct intake_batch {
    const intake_options *o;
    int64_t book_id;
    intake_item **items; // items to look up
    size_t n;
    intake_item **fresh; // of these: new and not refused
    size_t n_fresh;
} intake_batch;

// --- checking (intake_check.c) ---------------------------------------------------------------------------------------

// All checks without the database: fills the transaction's data, or the refusal of a new request. *ok is false when the arena is full.
bool intake_item_prepare(const intake_options *o, const merchant *m, const payout_request *wanted,
                         intake_item *it, arena *a, err *e) WARN_UNUSED;
// The lookups and checks in the database, in order: known keys; then refusals of new items that were found invalid; then recipients. fresh
// invalid are refused, then the controls. Leaves in fresh what may be written.
bool intake_look(intake_batch *b, db_conn *c, arena *a, err *e) WARN_UNUSED;
// The outcome of an item.
void intake_item_outcome(const intake_item *it, payout_outcome *out, arena *a);
bool intake_item_is_replay(const intake_item *it);

// --- writing (intake_write.c) ----------------------------------------------------------------------------------------

// Writes the rows of fresh, one row of the audit for each submission that they are of, and their entries in the feed.
bool intake_write(intake_batch *b, db_conn *c, arena *a, err *e) WARN_UNUSED;

#endif
