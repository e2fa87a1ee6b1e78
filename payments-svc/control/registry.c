// The controls of payments-svc, in the order in which they are asked. A new control is a folder and a line here.
#include "control/funds/funds.h"
#include "control/recipient/recipient.h"

static const control *const TABLE[] = {
    &CONTROL_RECIPIENT,
    &CONTROL_FUNDS,
};

controls controls_table(void) {
    return (controls){TABLE, sizeof TABLE / sizeof TABLE[0]};
}
