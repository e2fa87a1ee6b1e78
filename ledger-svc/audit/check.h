// The check of a whole book. From one snapshot of the journal it recomputes every balance, every leaf hash, the whole tree and every signed
// head, and compares. It reads everything. It holds one connection and one snapshot meanwhile, and a bounded number of accounts in memory:
// a book with more accounts is read more than once.
#ifndef AUDIT_CHECK_H
#define AUDIT_CHECK_H

#include "audit/head.h"
#include "base/clock.h"
#include "db/db.h"
#include "domain/model.h"

enum { CHECK_FINDINGS_MAX = 100 };

// One fault in the book.
typedef struct check_finding {
    const char *reason; // static, UPPER_SNAKE
    int64_t sequence;   // row, or tree size; 0 for none
    char message[160];
} check_finding;

// An account whose kept balances differ from the sums of its entries.
typedef struct check_difference {
    uuid account_id;
    ledger_balances kept, recomputed;
    int64_t entries;
} check_difference;

typedef struct check_result {
    bool done, ok;
    int64_t sequence; // of the moment that was checked
    int64_t rows, accounts, heads, unsealed_rows;
    size_t n_findings; // the first CHECK_FINDINGS_MAX are kept
    check_finding findings[CHECK_FINDINGS_MAX];
    size_t n_differences;
    check_difference differences[CHECK_FINDINGS_MAX];
} check_result;

// Called from time to time with the result so far. Returning false stops the check (CANCELLED).
typedef bool (*check_progress)(void *arg, const check_result *so_far);

typedef struct check_options {
    db_pool *pool;             // @borrowed
    const clock_source *clock; // @borrowed
    const head_keys *keys;     // @borrowed: heads may be signed with these
    int64_t book_id;
    int64_t deadline_mono_ms;
    size_t accounts_max; // in memory at a time
    check_progress progress;
    void *arg;
} check_options;

// Fills *result. False when the check could not be done (NOT_FOUND, the database, the deadline). A fault in the book is a finding, not an
// error. @thread any; blocks.
bool check_book(const check_options *o, check_result *result, err *e) WARN_UNUSED;

#endif
