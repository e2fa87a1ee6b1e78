// The proof of a book: each payout against its rows of the ledger's journal, and the accounts between us and the bank against the sum of
// the payouts.
#ifndef RECON_RECON_H
#define RECON_RECON_H

#include "db/db.h"
#include "recon/rules.h"
#include "rpc/rpc.h"

// Stand in the place of a rail: an account at a bank, and what all merchants of the book owe.
enum { RECON_BANK = 0, RECON_RECEIVABLE = -1 };
enum { RECON_ACCOUNTS_MAX = 64, RECON_WINDOW_MIN = 100, RECON_WINDOW_MAX = 1000000 };

// A payout as it was looked at.
typedef struct recon_payout {
    uuid payout_id, intent_id;
    const char *merchant_id; // @borrowed from the proof
    char currency[4];
    int rail;
    saga_state state; // as the world sees it: HELD while it is held
    recon_saga saga;
    // a worker has it: the step that it acts on stands in the log, and not yet in the saga's row
    bool acts;
    recon_saga acting; // the same with that step
    int64_t updated_us;
    recon_figures found;
} recon_payout;

typedef struct recon_difference {
    const recon_payout *payout;
    recon_deviation what;
} recon_difference;

// rail RECON_BANK: an account at a bank; RECON_RECEIVABLE: what merchants owe, taken together, without an id; else the
// transit account of rail and currency.
typedef struct recon_account {
    int rail;
    char currency[4];
    uuid account_id;
    int64_t expected_posted, found_posted, expected_reserved, found_reserved;
} recon_account;

// Where a proof stands: enough to go on in another call. Plain bytes; what comes from outside goes through recon_progress_check.
typedef struct recon_progress {
    int64_t sequence; // 0: not begun
    uuid after;       // the last payout that was looked at
    int64_t n_sums;
    struct recon_sum {
        int32_t rail;
        char currency[4];
        uuid account; // RECON_BANK: which one; else nil
        // 1: what archived payouts have moved on any of the currency's banks is in it
        int32_t archived;
        int64_t posted, reserved;
    } sums[RECON_ACCOUNTS_MAX];
} recon_progress;

// A part of the proof, borrowed for the time of the callback. accounts: only in the last part.
typedef struct recon_part {
    const recon_payout *payouts;
    size_t n_payouts;
    const recon_difference *differences;
    size_t n_differences;
    const recon_account *accounts;
    size_t n_accounts;
    const recon_progress *progress;
    bool last;
} recon_part;

// False ends the proof, without an error of its own.
typedef bool (*recon_on_part)(void *arg, const recon_part *part);

typedef struct recon_job {
    db_pool *pool;
    rpc_client *ledger;
    int64_t book_id;
    str merchant_id;          // empty: all of them, and the accounts
    int64_t deadline_mono_ms; // of the whole
    int64_t read_timeout_ms;  // of one statement or small call
    size_t window;            // payouts that are compared in one reading of the journal
} recon_job;

// What came back from outside as a progress is one.
bool recon_progress_check(const recon_progress *p, err *e) WARN_UNUSED;
bool recon_progress_refuse(err *e); // RESUME_TOKEN_INVALID; returns false
// Goes on from *progress, which is zero for a new proof, and keeps it up to date. Blocks. UNAVAILABLE and the like may be repeated from
// the progress of the last part.
bool recon_prove(const recon_job *job, recon_progress *progress, recon_on_part on_part, void *arg,
                 err *e) WARN_UNUSED;

#endif
