// The ledger's tables as typed C: loads and writes of the commit path, and the reads of the calls. No rules here, only rows. Functions that
// take a db_conn run on the caller's thread and block. Results live in the arena. Errors are those of shared/db, plus RESOURCE_EXHAUSTED
// when the arena is full.
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "db/db.h"
#include "domain/apply.h"

// Session settings (libpq's "options") for connections of the commit path. All its statements go by a key, and their plans are made once.
// These settings make the planner choose the plan by key, even while the tables are empty.
#define STORE_KEYED_OPTIONS                                                                        \
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off "        \
    "-c enable_hashjoin=off -c enable_mergejoin=off -c enable_material=off -c cpu_tuple_cost=10 "  \
    "-c random_page_cost=0.1 -c jit=off"

// The same for connections of the calls. A page is a walk along one index with a LIMIT. A planner that sees empty tables would rather
// collect and sort, and keep that plan.
#define STORE_READER_OPTIONS "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off"

// --- The commit path -------------------------------------------------------------------------------------------------

// The end of a book's journal.
typedef struct store_head {
    bool exists;
    int64_t sequence, timestamp_us, next_expires_us;
    int64_t checkpoint_sequence; // account rows and postings are as of this row
    int64_t burned_ids;          // rows in burned_transfer
} store_head;

typedef struct store_ids {
    const uuid *ids;
    size_t n;
} store_ids;

// Objects to look for. An empty list costs nothing.
typedef struct store_wanted {
    // first begins a transaction and reads the head row under its lock
    bool lock_head;
    int64_t deadline_mono_ms; // the transaction's deadline
    store_ids accounts;
    store_ids transfers;   // by id: repeats and pendings
    store_ids resolutions; // of these pending transfers
    store_ids reversals;   // of these transfers
    const str *references; // external references of accounts
    size_t n_references;
    store_ids burned;
} store_wanted;

typedef struct store_resolution {
    uuid pending_id;
    ledger_kind kind;
} store_resolution;

typedef struct store_found {
    store_head head; // with lock_head
    ledger_account *accounts;
    size_t n_accounts;
    ledger_row *transfers;
    size_t n_transfers;
    store_resolution *resolutions;
    size_t n_resolutions;
    ledger_row *reversals;
    size_t n_reversals;
    str *references; // the references that are taken
    size_t n_references;
    uuid *burned;
    size_t n_burned;
} store_found;

// Loads all in one round trip. With lock_head the caller ends the transaction, also after a failure. For a book that does not exist the
// head has exists == false, without error.
bool store_load(db_conn *c, arena *a, int64_t book_id, const store_wanted *w, store_found *f,
                err *e) WARN_UNUSED;

// The open pending transfers that expire in [from_us, to_us], in order of time, at most max; and the earliest
// expires_us after to_us (LEDGER_NEVER_US when there is none).
bool store_load_due(db_conn *c, arena *a, int64_t book_id, int64_t from_us, int64_t to_us,
                    size_t max, ledger_row **rows, size_t *n_rows, int64_t *next_us,
                    err *e) WARN_UNUSED;

// Writes the transaction's new accounts, journal rows and burned ids, by COPY. Leaves a small number of journal rows to store_commit.
// Inside a transaction that holds the head's lock.
bool store_write(db_conn *c, int64_t book_id, const ledger_tx *tx, err *e) WARN_UNUSED;

// An account that changed since the last checkpoint: its balances then and now, and the sequences of its entries since.
typedef struct store_changed {
    uuid account_id;
    ledger_balances before, after;
    uint32_t state;
    const int64_t *sequences; // ascending
    size_t n_sequences;
} store_changed;

enum { STORE_POSTING_ENTRIES_MAX = 480 };

// Brings account rows and postings up to date. Aborts the process when the database contradicts `before` (a violated invariant). Inside a
// transaction that holds the head's lock.
bool store_write_checkpoint(db_conn *c, arena *a, int64_t book_id, const store_changed *changed,
                            size_t n, err *e) WARN_UNUSED;

// Inserts the rows that store_write has left, moves the head, and commits, in one round trip. The head must be as it was when it was
// locked. Errors as db_commit. A moved head is an integrity error (class 23): nothing is committed.
bool store_commit(db_conn *c, arena *a, int64_t book_id, const ledger_tx *tx,
                  const store_head *before, const store_head *after, err *e) WARN_UNUSED;

// A transaction of a few journal rows and nothing else takes one round trip, without locking the head first.
enum { STORE_FEW_ROWS = 16 };
bool store_is_one_trip(const ledger_tx *tx);
// As store_commit, outside of a transaction. An integrity error tells that the head was not as the caller believed.
bool store_commit_at_once(db_conn *c, arena *a, int64_t book_id, const ledger_tx *tx,
                          const store_head *before, const store_head *after, err *e) WARN_UNUSED;
// True when the error says that the head had moved: nothing was committed.
bool store_head_moved(const err *e);

// Ids burned after a time, in order of time.
bool store_burned_since(db_conn *c, arena *a, int64_t book_id, int64_t after_us, uuid **ids,
                        int64_t **times_us, size_t *n, err *e) WARN_UNUSED;

// After a COMMIT whose answer was lost: does the database have tx's rows? tx must have made something. The caller holds the head's lock, so
// a commit that was under way has ended.
bool store_was_committed(db_conn *c, arena *a, int64_t book_id, const ledger_tx *tx,
                         const store_head *before, bool *committed, err *e) WARN_UNUSED;

// Books with a pending transfer that may be due, at now_us or at the time of the book's next object. Also books whose last rows came to
// rest before unsaved_before_us without a checkpoint. At most max.
bool store_due_books(db_conn *c, arena *a, int64_t now_us, int64_t unsaved_before_us, size_t max,
                     int64_t **book_ids, size_t *n, err *e) WARN_UNUSED;

// --- The reads of the calls ------------------------------------------------------------------------------------------

typedef struct store_book {
    int64_t book_id;
    str name; // @arena
    int64_t created_us, sequence;
} store_book;

// Makes the book unless this id exists, then reads it. In a transaction.
bool store_book_create(db_conn *c, arena *a, int64_t book_id, str name, int64_t now_us,
                       store_book *out, err *e) WARN_UNUSED;

// For a book that does not exist, all of the following set *exists to false and nothing else.

// In no particular order, as of the head's checkpoint; journal/entries.h reads them as of now.
bool store_lookup_accounts(db_conn *c, arena *a, int64_t book_id, store_ids ids, store_head *head,
                           ledger_account **accounts, size_t *n, err *e) WARN_UNUSED;
bool store_lookup_transfers(db_conn *c, arena *a, int64_t book_id, store_ids ids, bool *exists,
                            ledger_row **rows, size_t *n, err *e) WARN_UNUSED;

// The transfers that were linked with a given one, in journal order. Only the given one if it was not linked; none if it does not exist.
typedef struct store_group {
    uuid *ids;
    size_t n;
} store_group;

// groups[i] is the group of ids.ids[i]. Journal rows never change, so only the answer "none" can change.
bool store_read_groups(db_conn *c, arena *a, int64_t book_id, store_ids ids, bool *exists,
                       store_group **groups, err *e) WARN_UNUSED;

// Totals of one currency as decimal text, since a sum of amounts may pass an int64.
typedef struct store_totals {
    char *currency, *debits_pending, *debits_posted, *credits_pending, *credits_posted;
    int64_t accounts;
} store_totals;

// As of the head's checkpoint; journal/entries.h reads them as of now.
bool store_trial_balance(db_conn *c, arena *a, int64_t book_id, store_head *head,
                         store_totals **lines, size_t *n, err *e) WARN_UNUSED;

// An account's kept balances, and the sums of its journal entries.
typedef struct store_check {
    uuid account_id;
    ledger_balances kept, recomputed;
    int64_t entries;
} store_check;

bool store_check_accounts(db_conn *c, arena *a, int64_t book_id, store_ids ids, bool *exists,
                          int64_t *sequence, store_check **checks, size_t *n, err *e) WARN_UNUSED;

// Up to max rows in order, beginning at a sequence.
bool store_read_journal(db_conn *c, arena *a, int64_t book_id, int64_t from_sequence, size_t max,
                        bool *exists, ledger_row **rows, size_t *n, err *e) WARN_UNUSED;

bool store_read_head(db_conn *c, arena *a, int64_t book_id, store_head *head, err *e) WARN_UNUSED;

// Up to max rows with sequences in [from, to], in order.
bool store_read_rows(db_conn *c, arena *a, int64_t book_id, int64_t from, int64_t to, size_t max,
                     ledger_row **rows, size_t *n, err *e) WARN_UNUSED;

typedef struct store_postings_query {
    uuid account_id;
    int64_t from, to;      // sequences, both inclusive
    bool is_to_checkpoint; // `to` is a checkpoint: no posting has entries on both sides of it
    bool newest_first;
    size_t max;
} store_postings_query;

// Sequences of an account's entries that are in postings, in the order asked for. Fewer than max: there are no more. `head`, or NULL: the
// head before these reads, in the same round trip.
bool store_read_postings(db_conn *c, arena *a, int64_t book_id, const store_postings_query *q,
                         int64_t *sequences, size_t *n, store_head *head, err *e) WARN_UNUSED;

#endif
