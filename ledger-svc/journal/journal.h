// The commit path. Requests for a book are gathered while the book's last commit is under way, and then committed together
// in one transaction. Different books commit in parallel, one book never does.
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "base/clock.h"
#include "db/db.h"
#include "domain/apply.h"

typedef struct journal journal;

typedef struct journal_options {
    db_pool *pool; // @borrowed; at least commit_threads + 1 connections that nothing else waits for
    const clock_source *clock; // @borrowed
    int commit_threads;        // 1 … 64: how many books can commit at once
    size_t queue_requests_max; // requests that wait for a commit, all books together
    size_t queue_events_max;   // the same, counted in accounts and transfers
    size_t books_max;          // books in memory
    size_t cache_accounts_max; // accounts in memory, all books together
    int64_t commit_timeout_ms; // bound of one try to commit
    int64_t expiry_poll_ms;    // how often to look for pending transfers whose time is up
    // A checkpoint is due after so many journal rows (up to 262,144), or when the oldest unsaved row has this age.
    int64_t checkpoint_rows, checkpoint_ms;
} journal_options;

// A request: accounts or transfers of one book. The submitter owns it and everything it points to. Both must live until `done` is called.
typedef struct journal_request journal_request;
struct journal_request {
    int64_t book_id;
    int64_t deadline_mono_ms; // passed before its transaction starts: left out, DEADLINE_EXCEEDED
    size_t n;                 // events, 1 … LEDGER_BATCH_MAX
    const ledger_account_event *accounts; // exactly one of these two …
    const ledger_transfer_event *transfers;
    ledger_account_result *account_results;   // … and n results of its kind
    ledger_transfer_result *transfer_results; // rows in it are valid until `done` returns
    // Called once, on a commit thread, when the outcome is durable or definitely none. failure NULL: the results stand. Must not block.
    void (*done)(journal_request *r, const err *failure);
    void *owner;
    // For the journal only.
    journal_request *next;
    bool left_out;
};

// Starts the threads. NULL and *e on bad options.
journal *journal_create(const journal_options *o, err *e);
// Answers every request that was taken in, then returns. No submit may run meanwhile or follow.
void journal_destroy(journal *j);
// Ends all readers' waits for good, and the search for expiries.
void journal_quiesce(journal *j);

// Takes a request in; `done` will be called. False when the queue is full (RESOURCE_EXHAUSTED with RetryInfo): `done`
// will not be called. Any thread.
bool journal_submit(journal *j, journal_request *r, err *e) WARN_UNUSED;

// For a reader that follows a book: take the mark, read, and if there was nothing, wait until the mark is old, ms have passed, or the
// journal is quiesced. The mark counts commits of this instance only: for commits of others, ms is the polling interval.
uint64_t journal_mark(journal *j, int64_t book_id);
void journal_wait(journal *j, int64_t book_id, uint64_t mark, int64_t ms);

#endif
