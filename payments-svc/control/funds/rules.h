// Whether the merchant's balance covers a payout. Pure: the facts are the ledger's answer to the reservation.
#ifndef CONTROL_FUNDS_RULES_H
#define CONTROL_FUNDS_RULES_H

#include "control/verdict.h"

#define FUNDS_INSUFFICIENT "INSUFFICIENT_FUNDS"
#define FUNDS_ACCOUNT_CLOSED "MERCHANT_ACCOUNT_CLOSED"

typedef enum funds_state { FUNDS_THERE, FUNDS_TOO_LOW, FUNDS_CLOSED } funds_state;

typedef struct funds_facts {
    funds_state state;
    bool with_fee; // the reservation included the fee
} funds_facts;

void funds_rule(const control_payout *p, const void *facts, control_verdict *out);

#endif
