#include "audit/settings.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(sealer_settings, "audit.conninfo", CONFIG_STRING, conninfo, "", 0, 0, "libpq connection string of the sealer's role; empty: this process does not seal"),
    CONFIG_ROW(sealer_settings, "audit.key_file", CONFIG_SECRET_FILE, key_file, "", 0, 0, "PEM of the Ed25519 private key that signs tree heads"),
    CONFIG_ROW(sealer_settings, "audit.public_keys_file", CONFIG_PATH, public_keys_file, "", 0, 0, "PEM of the public keys that have signed before, the oldest first; empty: only this one"),
    CONFIG_ROW(sealer_settings, "audit.heads_file", CONFIG_PATH, heads_file, "", 0, 0, "every signed tree head is added to this file, one JSON line each; of this process alone"),
    CONFIG_ROW(sealer_settings, "audit.seal_interval_ms", CONFIG_INT, seal_interval_ms, "500", 10, 60000, "a journal row is sealed at the latest this long after it was seen"),
    CONFIG_ROW(sealer_settings, "audit.seal_rows_max", CONFIG_INT, seal_rows_max, "10000", 2, 100000, "… and at the latest when so many rows wait"),
    CONFIG_ROW(sealer_settings, "audit.books_max", CONFIG_INT, books_max, "4096", 1, 1048576, "books that this process seals; about 2 KiB each"),
};
// clang-format on

const config_part SEALER_SETTINGS = CONFIG_PART(ROWS);
