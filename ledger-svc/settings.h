// The settings of ledger-svc: the common ones of shared/daemon, and each room's own.
#ifndef LEDGER_SETTINGS_H
#define LEDGER_SETTINGS_H

#include "audit/settings.h"
#include "daemon/daemon.h"
#include "journal/settings.h"

typedef struct ledger_settings {
    daemon_common common;
    journal_settings journal;
    sealer_settings sealer;
} ledger_settings;

// The table that fills them. Static.
const config_table *ledger_settings_table(void);

#endif
