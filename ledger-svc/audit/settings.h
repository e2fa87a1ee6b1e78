// The settings of the sealer: see sealer_options.
#ifndef AUDIT_SETTINGS_H
#define AUDIT_SETTINGS_H

#include "base/config.h"

typedef struct sealer_settings {
    const char *conninfo; // of the sealer's role; "": this process does not seal
    const char *key_file, *public_keys_file, *heads_file;
    int64_t seal_interval_ms, seal_rows_max, books_max;
} sealer_settings;
extern const config_part SEALER_SETTINGS;

#endif
