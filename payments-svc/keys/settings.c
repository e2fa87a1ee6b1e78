#include "keys/keys.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(keys_settings, "keys.file", CONFIG_SECRET_FILE, file, NULL, 0, 0, "data keys (docs/operating/keys.md); read again when it changes"),
    CONFIG_ROW(keys_settings, "keys.lost", CONFIG_STRING, lost, "", 0, 0, "ids of keys, separated by commas, that are lost for ever: the start does not ask for them, and payouts that need what they have sealed are held"),
    CONFIG_ROW(keys_settings, "keys.alive_ms", CONFIG_INT, alive_ms, "30000", 500, 600000, "an instance that was not seen for so long does not run: no new key waits for it"),
    CONFIG_ROW(keys_settings, "keys.settle_ms", CONFIG_INT, settle_ms, "60000", 0, 600000, "what was sealed is committed, or lost, after so long: a rotation waits for it, and for keys.alive_ms"),
    CONFIG_ROW(keys_settings, "keys.pause_ms", CONFIG_INT, pause_ms, "100", 1, 60000, "pause between two batches of rows that are sealed anew"),
};
// clang-format on

const config_part KEYS_SETTINGS = CONFIG_PART(ROWS);
