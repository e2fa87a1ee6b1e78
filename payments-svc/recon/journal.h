// What the journal has of the payouts of one window, and of deposits. Private to this room.
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

// A payout of the window: what goes out, and which accounts it moves money between.
typedef struct recon_row {
    recon_payout payout;
    uint32_t merchant, pair; // places in the window's tables
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
    // All of the book that there are in the ledger, under whatever label: settings may have had others before.
    ledger_account *banks;
    size_t n_banks;
    int64_t read_to;          // the journal's last sequence that was added up
    recon_progress *progress; // its sums take what is up to its sequence
    bool first;               // of the proof: takes the deposits, too
    bool overflow;            // a sum passed an int64
} recon_window;

// Adds a row of the journal to the figures of its payout, and to the sums.
void recon_add_row(recon_window *w, const ledger_row *row);
// The sum of a rail (or RECON_BANK with the account, RECON_RECEIVABLE) and currency; made when it is not there, NULL
// when there are too many.
struct recon_sum *recon_sum_of(recon_progress *p, int rail, const char *currency_code,
                               uuid account);
// Payouts that are archived: accounts at banks bear so much for them, and their transit account nothing. It is added to the main account,
// and marked there, since it is not known which accounts they were. False: too large.
bool recon_add_archived(recon_progress *p, int rail, const char *currency_code, uuid main_account,
                        int64_t at_bank) WARN_UNUSED;

#endif
