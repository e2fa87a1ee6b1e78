#include "settings.h"

static const config_setting COMMON[] = {DAEMON_COMMON_SETTINGS(ledger_settings)};
static const config_part DAEMON_SETTINGS = CONFIG_PART(COMMON);

enum { ROWS_MAX = 64 };

const config_table *ledger_settings_table(void) {
    static config_setting rows[ROWS_MAX];
    static config_table table = {.env_prefix = "LEDGER", .settings = rows};
    size_t n = config_add(rows, ROWS_MAX, 0, &DAEMON_SETTINGS, 0);
    n = config_add(rows, ROWS_MAX, n, &JOURNAL_SETTINGS, offsetof(ledger_settings, journal));
    n = config_add(rows, ROWS_MAX, n, &SEALER_SETTINGS, offsetof(ledger_settings, sealer));
    table.n_settings = n;
    return &table;
}
