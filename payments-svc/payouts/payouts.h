// Payouts as their readers see them: rows as structs. All functions run in a transaction of the caller's, and answer in its arena.
#ifndef PAYOUTS_PAYOUTS_H
#define PAYOUTS_PAYOUTS_H

#include "db/db.h"

typedef struct payout_view {
    uuid payout_id, recipient_id, intent_id;
    str merchant_id;
    int64_t amount; // minor units
    str currency;
    int connection; // its number
    int state;      // payments.v1.PayoutState
    str reason, reason_text;
    str external_reference, description;
    int32_t attempts;
    str rail_reference; // of the present attempt
    int64_t created_us, updated_us;
    int64_t fee;      // minor units beside the amount; 0: none
    int64_t returned; // minor units that came back
    // Who created it: filled by payout_find. actor: .ptr NULL when it is not known.
    str actor, request_id;
    uuid trace; // nil: none
} payout_view;

// A row of a statement that begins with the columns of a payout (payouts_sql.c); what it adds comes behind them.
enum { PAYOUT_VIEW_COLUMNS = 18 };
payout_view payout_view_read(const db_rows *rows, size_t i);

// *found is false when the merchant has no such payout.
bool payout_find(db_conn *c, int64_t book_id, uuid payout_id, str merchant_id, payout_view *out,
                 bool *found, arena *a, err *e) WARN_UNUSED;

// Where it stands. *found is false when there is no such payout.
typedef struct payout_place {
    int step; // saga_step
    int32_t attempt;
} payout_place;
bool payout_place_of(db_conn *c, int64_t book_id, uuid payout_id, payout_place *out, bool *found,
                     arena *a, err *e) WARN_UNUSED;

// A merchant's payouts by id, each id once, in any order. Ids without a payout of the merchant are left out.
bool payouts_of_ids(db_conn *c, int64_t book_id, str merchant_id, const uuid *ids, size_t n,
                    payout_view **out, size_t *n_out, arena *a, err *e) WARN_UNUSED;
// A merchant's payouts, and the position of the book's feed at the same moment. ids NULL: up to n payouts that have not ended. *position is
// 0 when no payout is found.
bool payouts_at_feed(db_conn *c, int64_t book_id, str merchant_id, const uuid *ids, size_t n,
                     payout_view **out, size_t *n_out, int64_t *position, arena *a,
                     err *e) WARN_UNUSED;

// How far a payout has come.
typedef struct payout_standing {
    payout_view view;
    int step;    // saga_step
    int state;   // saga_state; of a held payout the one before
    int outlook; // saga_state
    bool held;
} payout_standing;
// Where payouts of a book stand, of whatever merchant, in any order. Ids without a payout are left out.
bool payouts_standing(db_conn *c, int64_t book_id, const uuid *ids, size_t n, payout_standing **out,
                      size_t *n_out, arena *a, err *e) WARN_UNUSED;

typedef struct payout_owner {
    uuid payout_id;
    str merchant_id;
} payout_owner;
// The merchants of payouts, in any order. Ids without a payout are left out.
bool payouts_owners(db_conn *c, int64_t book_id, const uuid *ids, size_t n, payout_owner **out,
                    size_t *n_out, arena *a, err *e) WARN_UNUSED;

// A row of the step log, or a message of the rail.
typedef enum payout_entry_kind {
    PAYOUT_ENTRY_INTENT = 1,
    PAYOUT_ENTRY_OUTCOME = 2,
    PAYOUT_ENTRY_EVENT = 3
} payout_entry_kind;
typedef struct payout_entry {
    int64_t at_us;
    int32_t sequence; // 0 of a message
    int step;         // saga_step
    int kind;         // payout_entry_kind; a later version may have written others
    int outcome;      // saga_outcome; of a message its saga_event_kind
    int32_t attempt;
    str reason, detail, rail_reference, actor;
    uuid transfer, worker; // nil: none
    int64_t epoch;
    int64_t amount; // of a message; 0: not said
} payout_entry;
// In order of time, at most max.
bool payout_timeline(db_conn *c, int64_t book_id, uuid payout_id, int64_t max, payout_entry **out,
                     size_t *n, arena *a, err *e) WARN_UNUSED;

// A filter for a merchant's payouts, newest first. A field that is NULL, empty or zero filters nothing, except before, from and limit.
typedef struct payout_filter {
    int64_t book_id;
    str merchant_id;
    uuid before, from; // ids below before, and not below from
    const int16_t *states;
    size_t n_states;
    const int16_t *connections;
    size_t n_connections;
    str currency, external_reference;
    bool of_recipient;
    uuid recipient;
    bool has_from, has_to;
    int64_t from_us, to_us; // created in [from, to)
    int64_t limit;
} payout_filter;
bool payouts_list(db_conn *c, const payout_filter *f, payout_view **out, size_t *n, arena *a,
                  err *e) WARN_UNUSED;

typedef struct payout_sum {
    int state, connection;
    str currency;
    int64_t count;
    str sum; // minor units, decimal: it may be more than 64 bits hold
} payout_sum;
bool payouts_sums(db_conn *c, int64_t book_id, str merchant_id, payout_sum **out, size_t *n,
                  arena *a, err *e) WARN_UNUSED;

#endif
