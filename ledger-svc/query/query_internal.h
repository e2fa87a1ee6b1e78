// Shared between the files of the queries only.
#ifndef QUERY_INTERNAL_H
#define QUERY_INTERNAL_H

#include "query/query.h"

// The context of every step of a query.
typedef struct query_at {
    journal *j;
    db_conn *c;
    arena *a;
    int64_t book_id;
} query_at;

// --- time.c ----------------------------------------------------------------------------------------------------------

// The last sequence, up to head, that was committed at or before the time; 0 for none. Times grow with sequences, so this is a search by
// key: a few round trips.
bool query_sequence_at(const query_at *at, int64_t head, int64_t time_us, int64_t *sequence,
                       err *e) WARN_UNUSED;

// --- balances.c ------------------------------------------------------------------------------------------------------

// A moment in the journal: rows up to `known`. Rows behind `effective` count only if they took effect at or before
// effective_at_us. Without an effective time both sequences are the same.
typedef struct query_moment {
    int64_t known, effective, effective_at_us;
} query_moment;

// effective_at_us 0: not given; negative: before everything.
bool query_moment_find(const query_at *at, int64_t known, int64_t effective_at_us,
                       query_moment *out, err *e) WARN_UNUSED;
bool query_balances_of(const query_at *at, uuid account_id, const query_moment *moment,
                       ledger_balances *out, err *e) WARN_UNUSED;

// One account as of *head; *account is NULL when it does not exist.
bool query_account_now(const query_at *at, uuid account_id, bool *book_exists, int64_t *head,
                       ledger_account **account, err *e) WARN_UNUSED;

static inline int64_t query_lower(int64_t x, int64_t y) {
    return x < y ? x : y;
}
static inline int64_t query_higher(int64_t x, int64_t y) {
    return x > y ? x : y;
}

#endif
