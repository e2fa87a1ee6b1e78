// What the ledger must have of a payout, by where its saga stands: pure rules.
#ifndef RECON_RULES_H
#define RECON_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "domain/machine.h"

// What the journal's rows of one payout add up to, minor units.
typedef struct recon_figures {
    int64_t reserved; // set aside on the merchant's account, neither posted nor voided
    // debits less credits that are posted to the merchant's accounts: what it had, and what it owes
    int64_t from_merchant;
    int64_t transit; // credits less debits that are posted to the transit account
    int64_t at_bank; // credits less debits that are posted to the bank account
    int64_t fee_reserved,
        fee; // the same of the fees account: neither is in reserved and from_merchant
} recon_figures;

enum { RECON_FIGURES = 6 };

// What of a saga decides.
typedef struct recon_saga {
    saga_step step;
    saga_state state; // also of a held one: the state that it has beside the hold
    // CONFIRM, RETURN: not NONE when suspense bears what moves, and not the merchant
    saga_state outlook;
    int64_t amount;      // of the payout
    int64_t fee;         // that it costs the merchant; 0: none
    int64_t returned;    // of a settled payout: what was moved back since
    int64_t moving;      // what CONFIRM without a reservation, or RETURN, moves; 0: all
    int64_t written_off; // what suspense bears: above 0, the bank has paid more than the merchant
} recon_saga;

// One figure that is not as it should be.
typedef struct recon_deviation {
    // "RESERVED", "FROM_MERCHANT", "TRANSIT", "AT_BANK", "FEE_RESERVED", "FEE": static
    const char *figure;
    int64_t expected, found;
} recon_deviation;

// Fills out with what differs, none when the figures are those that the saga asks for. A saga whose step acts on the ledger may stand
// before that or behind it; where several things are right, the nearest one is what was expected. Returns how many.
size_t recon_judge(const recon_saga *s, const recon_figures *found,
                   recon_deviation out[RECON_FIGURES]);

#endif
