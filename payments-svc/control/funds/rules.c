#include "control/funds/rules.h"

void funds_rule(const control_payout *p, const void *facts, control_verdict *out) {
    const funds_facts *f = facts;
    (void)p; // the ledger has judged its amount
    switch (f->state) {
    case FUNDS_THERE: return;
    case FUNDS_TOO_LOW:
        control_say(out, CONTROL_REFUSE, FUNDS_INSUFFICIENT,
                    f->with_fee ? "the merchant's available balance is too low for the amount and "
                                  "its fee"
                                : "the merchant's available balance is too low");
        return;
    case FUNDS_CLOSED:
        control_say(out, CONTROL_REFUSE, FUNDS_ACCOUNT_CLOSED,
                    "the merchant's account is closed in the ledger");
        return;
    }
}
