// The settings of the engine.
#ifndef SAGA_SETTINGS_H
#define SAGA_SETTINGS_H

#include "base/config.h"
#include "saga/engine.h"

// See saga_engine_options.
typedef struct saga_settings {
    int64_t workers, batch_max, lease_ms, poll_ms, idle_poll_ms;
    int64_t attempts_max, backoff_base_ms, backoff_cap_ms, resolve_after_ms;
} saga_settings;
extern const config_part SAGA_SETTINGS;

#endif
