// The reading calls' queries: pages of transfers and accounts by filter, balances as of a moment, statements. No rpc here.
//
// A query is a struct: the caller fills the first part, the read fills the second. Each read runs inside of db_read, on the caller's
// thread, may be repeated there, and puts its results into the arena. A read takes several statements, and still answers for one state of
// the book: journal rows never change, so a read only has to keep to one sequence.
//
// Pages are by position (keyset): a page begins behind the last position of the page before, whatever was committed in between. A page may
// be short, since its work is bounded: `more` alone says whether a next page exists.
#ifndef QUERY_QUERY_H
#define QUERY_QUERY_H

#include "journal/entries.h"
#include "store/lists.h"

enum {
    QUERY_PAGE_MAX = 1000,
    QUERY_EXAMINE_MAX = 50000, // journal rows or accounts looked at for one page
    // of labels in one page: an answer has to fit into a message
    QUERY_PAGE_BYTES_MAX = 2 * 1024 * 1024,
    QUERY_BALANCES_MAX = 1000,
};

// --- Transfers -------------------------------------------------------------------------------------------------------

typedef struct query_transfers {
    int64_t book_id;
    store_transfer_filter filter;
    // 0: not given. Commit time from … (exclusive) to; sequence from … (inclusive) to.
    int64_t from_us, to_us, from_sequence, to_sequence;
    bool newest_first;
    size_t page_size;   // 1 … QUERY_PAGE_MAX
    int64_t after;      // position of the page before; 0: the first page
    size_t examine_max; // 0: QUERY_EXAMINE_MAX

    bool book_exists;
    bool account_exists; // the filter's account exists; true without one
    int64_t sequence;    // the book's last when the page was read: no row after it is in the page
    ledger_row *rows;    // with resolution and reversal
    size_t n;
    bool more;
    int64_t position;
} query_transfers;

bool query_transfers_read(journal *j, db_conn *c, arena *a, query_transfers *q, err *e) WARN_UNUSED;

// How many of the rows fit into one message: at least 1 when n is at least 1.
size_t query_rows_fitting(const ledger_row *rows, size_t n);

// --- Accounts --------------------------------------------------------------------------------------------------------

// In order of timestamp_us.
typedef struct query_accounts {
    int64_t book_id;
    store_account_filter filter; // LEDGER_ACCOUNT_FLAG_CLOSED: closed now
    int64_t from_us, to_us;      // made from … (exclusive) to; 0: not given
    bool newest_first;
    size_t page_size;
    int64_t after;
    size_t examine_max;

    bool book_exists;
    int64_t sequence; // at which the balances are true
    ledger_account *accounts;
    size_t n;
    bool more;
    int64_t position;
} query_accounts;

bool query_accounts_read(journal *j, db_conn *c, arena *a, query_accounts *q, err *e) WARN_UNUSED;

// --- Balances as of a moment -----------------------------------------------------------------------------------------

typedef struct query_balance {
    uuid account_id;
    ledger_balances balances;
} query_balance;

typedef struct query_balances {
    int64_t book_id;
    store_ids ids; // without repeats, at most QUERY_BALANCES_MAX
    // 0: not given. At most one of the first two is given.
    int64_t known_at_us, known_at_sequence, effective_at_us;

    bool book_exists;
    int64_t sequence;        // the journal counts up to here
    query_balance *balances; // in the order of ids; unknown ones left out
    size_t n;
} query_balances;

bool query_balances_read(journal *j, db_conn *c, arena *a, query_balances *q, err *e) WARN_UNUSED;

// --- Statements ------------------------------------------------------------------------------------------------------

// The end of a page of a statement. It makes the pages of a statement agree, whatever is committed between them.
typedef struct query_place {
    int64_t known_at;               // the sequence that the first page has settled on
    int64_t effective_us, sequence; // by commit time only the sequence counts
    ledger_balances running;        // after the last entry up to here
} query_place;

typedef struct query_statement {
    int64_t book_id;
    uuid account_id;
    bool effective; // entries by effective time, equal times in journal order; else by commit
    int64_t from_us, to_us;    // 0: from the beginning; exclusive, 0: no end
    int64_t known_at_sequence; // 0: all
    size_t page_size;
    size_t examine_max; // 0: QUERY_EXAMINE_MAX
    bool resumed;
    query_place after; // when resumed

    bool book_exists, account_exists;
    ledger_account account;           // now
    ledger_balances opening, closing; // of the whole statement
    ledger_row *rows;
    ledger_balances *balances; // the account's balances after rows[i]
    size_t n;
    int64_t sequence; // the journal counts up to here
    bool more;
    query_place place;
} query_statement;

bool query_statement_read(journal *j, db_conn *c, arena *a, query_statement *q, err *e) WARN_UNUSED;

#endif
