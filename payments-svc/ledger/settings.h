// How payments-svc reaches ledger-svc.
#ifndef LEDGER_SETTINGS_H
#define LEDGER_SETTINGS_H

#include "base/config.h"

typedef struct ledger_settings {
    const char *target;                        // host:port
    const char *server_name, *server_identity; // of the ledger's certificate; identity "": any
    int64_t timeout_ms;                        // of one call
} ledger_settings;
extern const config_part LEDGER_SETTINGS;

#endif
