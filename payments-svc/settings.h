// The settings of payments-svc. Those of a scheme are its own (rails/scheme.h): this file names none.
#ifndef PAYMENTS_SETTINGS_H
#define PAYMENTS_SETTINGS_H

#include <stddef.h>

#include "api/service.h"
#include "base/config.h"
#include "daemon/daemon.h"
#include "jobs/deadlines.h"
#include "maintain/maintain.h"
#include "rails/registry.h"

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
    const char *ledger_target, *ledger_server_name, *ledger_server_identity;
    int64_t ledger_timeout_ms;
    const char *keys_file, *keys_lost;
    int64_t keys_pause_ms, keys_alive_ms, keys_settle_ms;
    int64_t books_count;
    int64_t deposits_amount_max, deposits_balance_max;
    const char *state_file, *recovery_force_end;
    int64_t intake_pool_size, stream_pool_size, inbound_pool_size;
    int64_t saga_workers, saga_batch_max, saga_lease_ms, saga_poll_ms, saga_idle_poll_ms;
    int64_t recon_window, recon_reader_wait_ms;
    int64_t saga_attempts_max, saga_backoff_base_ms, saga_backoff_cap_ms, saga_resolve_after_ms;
    deadlines_settings deadlines;
    int64_t sums_every_ms;
    int64_t await_max, await_client_max;
    payments_import_settings imports;
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
