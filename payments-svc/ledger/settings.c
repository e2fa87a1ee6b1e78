#include "ledger/settings.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(ledger_settings, "ledger.target", CONFIG_STRING, target, NULL, 0, 0, "address of ledger-svc, host:port"),
    CONFIG_ROW(ledger_settings, "ledger.server_name", CONFIG_STRING, server_name, "localhost", 0, 0, "name to expect in the ledger's certificate"),
    CONFIG_ROW(ledger_settings, "ledger.server_identity", CONFIG_STRING, server_identity, "", 0, 0, "the one URI that the ledger's certificate must have, spiffe://...; empty: any certificate of the authority for that name will do"),
    CONFIG_ROW(ledger_settings, "ledger.timeout_ms", CONFIG_INT, timeout_ms, "10000", 10, 600000, "how long one call of the ledger may take"),
};
// clang-format on

const config_part LEDGER_SETTINGS = CONFIG_PART(ROWS);
