// The settings of payments-svc: each room's own, and those of the schemes (rails/scheme.h). This file names no setting.
#ifndef PAYMENTS_SETTINGS_H
#define PAYMENTS_SETTINGS_H

#include <stddef.h>

#include "awaits/awaits.h"
#include "base/config.h"
#include "books/books.h"
#include "daemon/daemon.h"
#include "deposits/deposits.h"
#include "guard/guard.h"
#include "imports/imports.h"
#include "jobs/deadlines.h"
#include "jobs/sums.h"
#include "keys/keys.h"
#include "ledger/settings.h"
#include "maintain/maintain.h"
#include "pools.h"
#include "rails/registry.h"
#include "recon/recon.h"
#include "saga/settings.h"

enum {
    PAYMENTS_SCHEMES_MAX = 8,
    PAYMENTS_NAMED_MAX = SAGA_RAILS_MAX - 2, // further connections
    PAYMENTS_RAIL_BYTES = 1024
};

// The settings of one connection, as its scheme has them.
typedef union rail_settings {
    bool enabled; // where they begin
    max_align_t aligned;
    char bytes[PAYMENTS_RAIL_BYTES];
} rail_settings;

// [connection.NAME]
typedef struct named_connection {
    const char *name, *scheme;
    rail_settings of;
} named_connection;

typedef struct payments_settings {
    daemon_common common;
    pools_settings pools;
    guard_settings guard;
    ledger_settings ledger;
    keys_settings keys;
    books_settings books;
    recon_settings recon;
    deposits_settings deposits;
    saga_settings saga;
    deadlines_settings deadlines;
    sums_settings sums;
    awaits_settings awaits;
    imports_settings imports;
    maintain_settings retention;
    // By scheme, in the order of rail_schemes: its own section, and the name of its default connection.
    rail_settings rails[PAYMENTS_SCHEMES_MAX];
    const char *of_rail[PAYMENTS_SCHEMES_MAX];
    named_connection named[PAYMENTS_NAMED_MAX];
    size_t n_named;
} payments_settings;

// The table that fills them, made of the rows here and of those of the schemes. Static.
const config_table *payments_settings_table(void);

#endif
