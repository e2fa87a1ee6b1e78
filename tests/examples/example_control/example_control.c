// A control that refuses one amount, and holds another until a person has looked.
#include "control/control.h"

// Declared by the list of controls.
extern const control CONTROL_EXAMPLE;

enum { UNWANTED = 66600, ODD = 1300 };

static void rule(const control_payout *p, const void *facts, control_verdict *out) {
    (void)facts;
    if (p->amount == UNWANTED) {
        control_say(out, CONTROL_REFUSE, "EXAMPLE_REFUSED", "this amount is not paid");
        out->field = "amount_minor";
    } else if (p->amount == ODD) {
        control_say(out, CONTROL_HOLD, "EXAMPLE_HELD", "this amount is looked at first");
    }
}

const control CONTROL_EXAMPLE = {
    .name = "example",
    .at_gate = true,
    .reasons = {"EXAMPLE_REFUSED", "EXAMPLE_HELD"},
    .case_kind = "PAYOUT_HELD",
    .rule = rule,
};
