// Whether a payout may go to its recipient. Pure.
#ifndef CONTROL_RECIPIENT_RULES_H
#define CONTROL_RECIPIENT_RULES_H

#include "control/verdict.h"

#define RECIPIENT_NOT_FOUND "RECIPIENT_NOT_FOUND"
#define RECIPIENT_CURRENCY "CURRENCY_MISMATCH"

typedef struct recipient_facts {
    bool found; // a recipient has this id
    str merchant_id, currency;
} recipient_facts;

void recipient_rule(const control_payout *p, const void *facts, control_verdict *out);

#endif
