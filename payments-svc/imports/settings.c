#include "imports/imports.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(imports_settings, "import.bytes_max", CONFIG_INT, bytes_max, "33554432", 1024, PAYOUT_FILE_BYTES_MAX, "bytes that the file of an import may have"),
    CONFIG_ROW(imports_settings, "import.rows_max", CONFIG_INT, rows_max, "100000", 1, PAYOUT_FILE_ROWS_MAX, "rows that it may have"),
    CONFIG_ROW(imports_settings, "import.open_max", CONFIG_INT, open_max, "10", 1, 1000, "imports of a merchant that are not at their end"),
    CONFIG_ROW(imports_settings, "import.lease_ms", CONFIG_INT, lease_ms, "60000", 500, 3600000, "an instance that is silent for so long about an import has lost it; more than a batch of rows may take"),
    CONFIG_ROW(imports_settings, "import.poll_ms", CONFIG_INT, poll_ms, "1000", 20, 60000, "how often to look for imports that another instance has left; five times as rarely while there are none"),
    CONFIG_ROW(imports_settings, "import.idle_s", CONFIG_INT, idle_s, "86400", 1, 31536000, "after which an import is canceled that nobody uploads to, finishes or starts"),
};
// clang-format on

const config_part IMPORTS_SETTINGS = CONFIG_PART(ROWS);
