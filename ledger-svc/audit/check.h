// The check of a whole book: recomputes every balance, every leaf hash, the whole tree and every signed head from the
// journal, as all of it is at one moment, and compares. Reads everything; holds one connection and one snapshot meanwhile,
// and a bounded number of accounts in memory: a book with more of them is read more than once.
#ifndef AUDIT_CHECK_H
#define AUDIT_CHECK_H

#include "audit/head.h"
#include "base/clock.h"
#include "db/db.h"
#include "domain/model.h"

enum { CHECK_FINDINGS_MAX = 100 };

// Something that is wrong.
typedef struct check_finding {
    const char *reason; // static, UPPER_SNAKE
    int64_t sequence;   // row, or tree size; 0 for none
    char message[160];
} check_finding;

// An account whose kept balances are not those of its entries.
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

// Told from time to time; false stops the check (CANCELLED).
typedef bool (*check_progress)(void *arg, const check_result *so_far);

typedef struct check_options {
    db_pool *pool;             // @borrowed
    const clock_source *clock; // @borrowed
    const head_keys *keys;     // @borrowed: that heads may be signed with
    int64_t book_id;
    int64_t deadline_mono_ms;
    size_t accounts_max; // in memory at a time
    check_progress progress;
    void *arg;
} check_options;

// False when it could not be done (NOT_FOUND, the database, the deadline); what is wrong with the book is no error.
// @thread any; blocks.
bool check_book(const check_options *o, check_result *result, err *e) WARN_UNUSED;

#endif
