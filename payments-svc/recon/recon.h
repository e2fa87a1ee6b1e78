// The proof of a book. Compares each payout with its rows in the ledger's journal, and the accounts between us and the bank with the sum of
// the payouts.
#ifndef RECON_RECON_H
#define RECON_RECON_H

#include "base/config.h"
#include "db/db.h"
#include "recon/rules.h"
#include "rpc/rpc.h"

// Used in place of a rail: an account at a bank, and the debts of all merchants of the book.
enum { RECON_BANK = 0, RECON_RECEIVABLE = -1 };
enum { RECON_ACCOUNTS_MAX = 64, RECON_WINDOW_MIN = 100, RECON_WINDOW_MAX = 1000000 };

typedef struct recon_settings {
    int64_t window;         // payouts that a proof compares in one reading of the journal
    int64_t reader_wait_ms; // that a proof waits for its reader, all in all
} recon_settings;
extern const config_part RECON_SETTINGS;

// A payout as the proof saw it.
typedef struct recon_payout {
    uuid payout_id, intent_id;
    const char *merchant_id; // @borrowed from the proof
    char currency[4];
    int rail;
    saga_state state; // as shown outside: HELD during a hold
    recon_saga saga;
    // a worker has it: its present step is in the log, and not yet in the saga's row
    bool acts;
    recon_saga acting; // the saga with that step
    int64_t updated_us;
    recon_figures found;
} recon_payout;

typedef struct recon_difference {
    const recon_payout *payout;
    recon_deviation what;
} recon_difference;

// rail RECON_BANK: an account at a bank. RECON_RECEIVABLE: all merchants' debts together, without an id. Else: the transit account of rail
// and currency.
typedef struct recon_account {
    int rail;
    char currency[4];
    uuid account_id;
    int64_t expected_posted, found_posted, expected_reserved, found_reserved;
} recon_account;

// The place of a proof: enough to continue in another call. Plain bytes; check bytes from outside with recon_progress_check.
typedef struct recon_progress {
    int64_t sequence; // 0: not begun
    uuid after;       // the last payout that was compared
    int64_t n_sums;
    struct recon_sum {
        int32_t rail;
        char currency[4];
        uuid account; // RECON_BANK: its account; else nil
        // 1: includes archived payouts, of any of the currency's bank accounts
        int32_t archived;
        int64_t posted, reserved;
    } sums[RECON_ACCOUNTS_MAX];
} recon_progress;

// A part of the proof, borrowed during the callback. accounts: only in the last part.
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

// Returning false ends the proof, without an error of its own.
typedef bool (*recon_on_part)(void *arg, const recon_part *part);

typedef struct recon_job {
    db_pool *pool;
    rpc_client *ledger;
    int64_t book_id;
    str merchant_id;          // empty: all merchants, and the accounts
    int64_t deadline_mono_ms; // for the whole
    int64_t read_timeout_ms;  // for one statement or small call
    size_t window;            // payouts per reading of the journal
} recon_job;

// Checks a progress that came back from outside.
bool recon_progress_check(const recon_progress *p, err *e) WARN_UNUSED;
bool recon_progress_refuse(err *e); // RESUME_TOKEN_INVALID; returns false
// Continues from *progress, which is zero for a new proof, and updates it. Blocks. After UNAVAILABLE and the like the call may be repeated
// from the progress of the last part.
bool recon_prove(const recon_job *job, recon_progress *progress, recon_on_part on_part, void *arg,
                 err *e) WARN_UNUSED;

#endif
