#include "deposits/deposits.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(deposits_settings, "deposits.amount_max", CONFIG_INT, amount_max, "1000000000000", 1, INT64_C(1000000000000000), "minor units that one deposit may have"),
    CONFIG_ROW(deposits_settings, "deposits.balance_max", CONFIG_INT, balance_max, "1000000000000000", 1, INT64_C(100000000000000000), "minor units that a merchant's balance may reach by a deposit"),
};
// clang-format on

const config_part DEPOSITS_SETTINGS = CONFIG_PART(ROWS);
