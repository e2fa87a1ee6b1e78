#include "control/recipient/rules.h"

static void other_currency(control_verdict *out) {
    control_say(out, CONTROL_REFUSE, RECIPIENT_CURRENCY,
                "the recipient's account is not in this currency");
    out->field = "currency";
}

void recipient_rule(const control_payout *p, const void *facts, control_verdict *out) {
    const recipient_facts *f = facts;
    if (p->recipient_currency != NULL) { // it has no row: only the currency can be compared
        if (!str_eq_c(str_of(p->recipient_currency), p->currency)) {
            other_currency(out);
        }
    } else if (!f->found || !str_eq(f->merchant_id, p->merchant_id)) {
        control_say(out, CONTROL_REFUSE, RECIPIENT_NOT_FOUND, "the merchant has no such recipient");
        out->code = ERR_NOT_FOUND;
        out->field = "recipient_id";
    } else if (!str_eq_c(f->currency, p->currency)) {
        other_currency(out);
    }
}
