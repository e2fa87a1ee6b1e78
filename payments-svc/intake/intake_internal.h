// Private to the intake room: an item on its way from the request to the row.
#ifndef INTAKE_INTAKE_INTERNAL_H
#define INTAKE_INTAKE_INTERNAL_H

#include "command/idempotency.h"
#include "intake/intake.h"

enum { INTAKE_ITEMS_MAX = 20000 }; // payouts of one transaction

typedef struct intake_item {
    const payout_request *wanted;
    idem_entry idem;
    int rail;          // number of the connection; 0 when the item is invalid
    int64_t fee;       // minor units; 0: none
    uuid recipient_id; // nil when the request's is no UUID, and then the item is invalid
    // An earlier item of this gathering with the same key: if the key is new, its answer is this one's.
    struct intake_item *same_key;
    bool unreadable; // has no key that could be looked up: invalid, whatever else holds
    // the fault of a new request, found before the transaction; a known key's does not count
    const err *invalid;
    // Decided in the transaction, each time anew:
    const err *refused;
    bool to_gate;          // it begins at the gate, where controls are asked once more
    int64_t wait_until_us; // not before; 0: at once
    uuid payout_id;
    int64_t created_us;
    payout_accepted before; // of a known key
} intake_item;

// One transaction of one book.
typedef struct intake_batch {
    const intake_options *o;
    int64_t book_id;
    intake_item **items; // those that are looked up
    size_t n;
    intake_item **fresh; // of them: new, and not refused
    size_t n_fresh;
} intake_batch;

// --- checking (intake_check.c) ---------------------------------------------------------------------------------------

// Everything that can be said without the database: fills what the transaction needs, or why a new request is refused. *ok is false
// when the arena is full.
bool intake_item_prepare(const intake_options *o, const merchant *m, const payout_request *wanted,
                         intake_item *it, arena *a, err *e) WARN_UNUSED;
// The lookups and checks that need the database, in their order: known keys first, and of the new ones those that were found
// invalid are refused, then the controls. Leaves in fresh what may be written.
bool intake_look(intake_batch *b, db_conn *c, arena *a, err *e) WARN_UNUSED;
// What became of an item.
void intake_item_outcome(const intake_item *it, payout_outcome *out, arena *a);
bool intake_item_is_replay(const intake_item *it);

// --- writing (intake_write.c) ----------------------------------------------------------------------------------------

// The rows of fresh, and that they are new in the feed.
bool intake_write(intake_batch *b, db_conn *c, arena *a, err *e) WARN_UNUSED;

#endif
