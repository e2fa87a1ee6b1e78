#include "recon/recon.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(recon_settings, "recon.window", CONFIG_INT, window, "200000", RECON_WINDOW_MIN, RECON_WINDOW_MAX, "payouts that a proof of a book compares in one reading of the ledger's journal"),
    CONFIG_ROW(recon_settings, "recon.reader_wait_ms", CONFIG_INT, reader_wait_ms, "60000", 1000, 3600000, "how long a proof of a book waits for its reader, all in all, before it is ended: few are made at a time"),
};
// clang-format on

const config_part RECON_SETTINGS = CONFIG_PART(ROWS);
