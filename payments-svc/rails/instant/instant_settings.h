// Settings of a connection of instant payments: [instant], and each [connection.NAME] of this scheme. Strings live as long as the process.
#ifndef INSTANT_INSTANT_SETTINGS_H
#define INSTANT_INSTANT_SETTINGS_H

#include "base/config.h"

typedef struct instant_settings {
    bool enabled;
    const char *bank_account; // as in [ach]
    const char *fees;         // the same
    const char *url;          // "https://localhost:8443", without a slash at the end
    const char *ca_file;
    const char *api_key_file;
    const char *webhook_secret_file;
    int64_t webhook_port; // 0: a free one
    int64_t connections;
    int64_t timeout_ms;
    // pause between two looks for what was recorded and not applied, and for lost returns
    int64_t sweep_ms;
    int64_t ask_again_ms; // a payout that has settled is asked for again so long after it was made
    int64_t returns_days; // … and so many days after; a return that comes later is a case as well
    int64_t query_lag_ms; // the bank may for so long not find what it has accepted
} instant_settings;

enum { INSTANT_SETTINGS_ROWS = 14 };
extern const config_setting INSTANT_SETTINGS[INSTANT_SETTINGS_ROWS];

#endif
