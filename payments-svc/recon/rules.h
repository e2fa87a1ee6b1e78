// The ledger's figures for a payout, by the state of its saga: pure rules.
#ifndef RECON_RULES_H
#define RECON_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "domain/machine.h"

// Sums of a payout's journal rows, in minor units.
typedef struct recon_figures {
    int64_t reserved; // set aside on the merchant's account: neither posted nor voided
    // posted debits less credits of the merchant's accounts: its balance and its debt
    int64_t from_merchant;
    int64_t transit; // posted credits less debits of the transit account
    int64_t at_bank; // posted credits less debits of the bank account
    int64_t fee_reserved,
        fee; // the same for the fees account; fees are in no other figure
} recon_figures;

enum { RECON_FIGURES = 6 };

// The facts of a saga that decide.
typedef struct recon_saga {
    saga_step step;
    saga_state state; // for a held payout: the state behind the hold
    // CONFIRM, RETURN: not NONE when suspense bears the amount instead of the merchant
    saga_state outlook;
    int64_t amount;      // of the payout
    int64_t fee;         // the merchant's cost; 0: none
    int64_t returned;    // of a settled payout: the amount moved back since
    int64_t moving;      // the amount moved by RETURN, or by CONFIRM without a reservation; 0: all
    int64_t written_off; // borne by suspense; above 0: the bank paid more than the merchant
} recon_saga;

// A wrong figure.
typedef struct recon_deviation {
    // "RESERVED", "FROM_MERCHANT", "TRANSIT", "AT_BANK", "FEE_RESERVED", "FEE": static
    const char *figure;
    int64_t expected, found;
} recon_deviation;

// Fills out with the wrong figures; returns their number. During a ledger step the figures before and after the step are both right. With
// several right answers the nearest one is reported as expected.
size_t recon_judge(const recon_saga *s, const recon_figures *found,
                   recon_deviation out[RECON_FIGURES]);

#endif
