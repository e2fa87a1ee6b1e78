#include "control/funds/funds.h"

#include "control/funds/rules.h"

const control CONTROL_FUNDS = {
    .name = "funds",
    .at_reserve = true,
    .reasons = {FUNDS_INSUFFICIENT, FUNDS_ACCOUNT_CLOSED},
    .rule = funds_rule,
};
