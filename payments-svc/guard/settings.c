#include "guard/guard.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(guard_settings, "recovery.state_file", CONFIG_PATH, state_file, "", 0, 0, "remembers how far the database was, so that a restore without a new timeline is noticed; one for each process; empty: none"),
    CONFIG_ROW(guard_settings, "recovery.force_end", CONFIG_STRING, force_end, "", 0, 0, "the id of a recovery (payctl recovery), a blank, and the reason of a person who ends it although payouts were not compared with their bank; ends no other recovery"),
};
// clang-format on

const config_part GUARD_SETTINGS = CONFIG_PART(ROWS);
