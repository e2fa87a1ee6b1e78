#include "rails/instant/instant_settings.h"

#include <stddef.h>

#include "domain/ids.h"

#define ROW(n, type, field, def, lo, hi, help)                                                     \
    { n, type, offsetof(instant_settings, field), def, lo, hi, help }

// clang-format off
const config_setting INSTANT_SETTINGS[INSTANT_SETTINGS_ROWS] = {
    ROW("instant.enabled", CONFIG_BOOL, enabled, "false", 0, 0, "switches the instant rail on"),
    ROW("instant.bank_account", CONFIG_STRING, bank_account, BANK_ACCOUNT_MAIN, 0, 0, "label of the account at the bank that payouts are paid from, as ach.bank_account"),
    ROW("instant.fees", CONFIG_STRING, fees, "", 0, 0, "what a payout costs its merchant, as ach.fees, such as USD 0.25, INR 3.00"),
    ROW("instant.url", CONFIG_STRING, url, "", 0, 0, "the bank's address, https://host:port"),
    ROW("instant.ca_file", CONFIG_PATH, ca_file, "", 0, 0, "PEM of the authority that signed the bank's certificate"),
    ROW("instant.api_key_file", CONFIG_SECRET_FILE, api_key_file, "", 0, 0, "our API key at the bank"),
    ROW("instant.webhook_secret_file", CONFIG_SECRET_FILE, webhook_secret_file, "", 0, 0, "secret that signs the bank's webhooks, whsec_…"),
    ROW("instant.webhook_port", CONFIG_INT, webhook_port, "0", 0, 65535, "loopback port of the webhook listener; 0 takes a free one"),
    ROW("instant.connections", CONFIG_INT, connections, "64", 1, 1024, "connections to the bank at once"),
    ROW("instant.timeout_ms", CONFIG_INT, timeout_ms, "5000", 10, 600000, "how long one request to the bank may take; at most half of saga.lease_ms"),
    ROW("instant.query_lag_ms", CONFIG_INT, query_lag_ms, "10000", 0, 86400000, "for how long the bank may not find what it has accepted: only after that, what it does not find was not sent; 0: it finds it at once"),
    ROW("instant.sweep_ms", CONFIG_INT, sweep_ms, "10000", 10, 86400000, "how often to look for messages that were not applied, and for returns that were not told"),
    ROW("instant.ask_again_ms", CONFIG_INT, ask_again_ms, "600000", 100, 86400000, "age at which a settled payout is asked for again; then at a day, and at returns_days"),
    ROW("instant.returns_days", CONFIG_INT, returns_days, "10", 1, 3650, "days in which a payout may come back; a later return is booked, and a case"),
};
// clang-format on
