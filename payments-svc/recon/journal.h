// The journal's figures for the payouts of one window, and for deposits. Private to this room.
#ifndef RECON_JOURNAL_H
#define RECON_JOURNAL_H

#include "base/map.h"
#include "ledger/ledger_journal.h"
#include "recon/recon.h"

typedef struct recon_merchant {
    char id[65];
    char currency[4];
    uuid account; // available
    uuid receivable;
} recon_merchant;

// The accounts of one rail and currency.
typedef struct recon_pair {
    int rail;
    char currency[4];
    uuid transit, fees;
} recon_pair;

// A payout of the window, and the accounts between which it moves money.
typedef struct recon_row {
    recon_payout payout;
    uint32_t merchant, pair; // indexes into the window's tables
} recon_row;

typedef struct recon_window {
    int64_t book_id;
    recon_row *rows; // in the order of their ids
    size_t n_rows;
    map *by_intent; // intent id → place + 1
    recon_merchant *merchants;
    size_t n_merchants, merchants_cap;
    map *by_account; // a merchant's account → place in merchants + 1
    recon_pair pairs[RECON_ACCOUNTS_MAX];
    size_t n_pairs;
    // All bank accounts of the book in the ledger, under any label: earlier settings may have had other labels.
    ledger_account *banks;
    size_t n_banks;
    int64_t read_to;          // the last sequence that was added
    recon_progress *progress; // its sums include rows up to its sequence
    bool first;               // first window of the proof: it includes the deposits
    bool overflow;            // a sum passed an int64
} recon_window;

// Adds a row of the journal to its payout's figures, and to the sums.
void recon_add_row(recon_window *w, const ledger_row *row);
// The sum of a rail (or RECON_BANK with the account, RECON_RECEIVABLE) and currency. Makes a missing sum; NULL when there are too many.
struct recon_sum *recon_sum_of(recon_progress *p, int rail, const char *currency_code,
                               uuid account);
// Adds archived payouts: accounts at banks bear at_bank for them, their transit account nothing. The amount goes to the main account, and
// is marked there, since the true accounts are not known. False: too large.
bool recon_add_archived(recon_progress *p, int rail, const char *currency_code, uuid main_account,
                        int64_t at_bank) WARN_UNUSED;

#endif
