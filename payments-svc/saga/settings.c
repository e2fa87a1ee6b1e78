#include "saga/settings.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(saga_settings, "saga.workers", CONFIG_INT, workers, "4", 1, SAGA_WORKERS_MAX, "threads that carry payouts out; half of them, while they wait for a bank"),
    CONFIG_ROW(saga_settings, "saga.batch_max", CONFIG_INT, batch_max, "8000", 1, SAGA_BATCH_MAX, "payouts of one batch"),
    CONFIG_ROW(saga_settings, "saga.lease_ms", CONFIG_INT, lease_ms, "10000", 200, 600000, "a worker that is silent for so long has lost its batch"),
    CONFIG_ROW(saga_settings, "saga.poll_ms", CONFIG_INT, poll_ms, "200", 5, 60000, "how often the database is asked what is due, while there is work"),
    CONFIG_ROW(saga_settings, "saga.idle_poll_ms", CONFIG_INT, idle_poll_ms, "2000", 5, 60000, "and when there was none for a while: how late this process may see what another one left behind"),
    CONFIG_ROW(saga_settings, "saga.attempts_max", CONFIG_INT, attempts_max, "5", 1, 100, "submissions of one payout to its rail"),
    CONFIG_ROW(saga_settings, "saga.backoff_base_ms", CONFIG_INT, backoff_base_ms, "200", 1, 3600000, "first pause before a step is tried again; doubles, with full jitter"),
    CONFIG_ROW(saga_settings, "saga.backoff_cap_ms", CONFIG_INT, backoff_cap_ms, "60000", 1, 86400000, "longest pause before a step is tried again"),
    CONFIG_ROW(saga_settings, "saga.resolve_after_ms", CONFIG_INT, resolve_after_ms, "5000", 1, 86400000, "how long to wait for a rail's word before asking it"),
};
// clang-format on

const config_part SAGA_SETTINGS = CONFIG_PART(ROWS);
