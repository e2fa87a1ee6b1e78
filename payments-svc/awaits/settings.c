#include "awaits/awaits.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(awaits_settings, "await.max", CONFIG_INT, max, "1000", 1, 10000, "calls of AwaitPayout that may wait at once; never more than half of server.in_flight_max"),
    CONFIG_ROW(awaits_settings, "await.client_max", CONFIG_INT, client_max, "250", 1, 10000, "how many of them may be of one client"),
};
// clang-format on

const config_part AWAITS_SETTINGS = CONFIG_PART(ROWS);
