#include "jobs/deadlines.h"
#include "jobs/sums.h"

// clang-format off
static const config_setting DEADLINES[] = {
    CONFIG_ROW(deadlines_settings, "deadlines.every_ms", CONFIG_INT, every_ms, "15000", 50, 3600000, "how often to look for what waits too long, and to read the gauges"),
    CONFIG_ROW(deadlines_settings, "deadlines.reserve_s", CONFIG_INT, reserve_s, "300", 1, 31536000, "how long a payout may wait for its reservation before it is a case"),
    CONFIG_ROW(deadlines_settings, "deadlines.execute_s", CONFIG_INT, execute_s, "3600", 1, 31536000, "how long it may be tried to send it; a planned window ahead does not count"),
    CONFIG_ROW(deadlines_settings, "deadlines.resolve_s", CONFIG_INT, resolve_s, "1800", 1, 31536000, "how long its outcome may be unknown"),
    CONFIG_ROW(deadlines_settings, "deadlines.await_ach_s", CONFIG_INT, await_files_s, "432000", 1, 31536000, "how long it may wait for its settlement by ACH"),
    CONFIG_ROW(deadlines_settings, "deadlines.await_instant_s", CONFIG_INT, await_s, "1800", 1, 31536000, "how long it may wait for its settlement by the instant bank"),
    CONFIG_ROW(deadlines_settings, "deadlines.confirm_s", CONFIG_INT, confirm_s, "300", 1, 31536000, "how long it may wait to be booked, voided or given back in the ledger"),
    CONFIG_ROW(deadlines_settings, "deadlines.switched_off_s", CONFIG_INT, switched_off_s, "60", 1, 31536000, "how long payouts may wait for a connection that is switched off before it is a case"),
    CONFIG_ROW(deadlines_settings, "deadlines.unheard_s", CONFIG_INT, unheard_s, "900", 1, 31536000, "how long a bank's folder may not have been looked through, or a bank not have answered when it was asked again, before it is a case; more than eight times ach.poll_ms, and than two minutes"),
    CONFIG_ROW(deadlines_settings, "deadlines.deposit_s", CONFIG_INT, deposit_s, "600", 1, 31536000, "how long a deposit may wait for the ledger before it is a case"),
    CONFIG_ROW(deadlines_settings, "deadlines.inbox_s", CONFIG_INT, inbox_s, "600", 1, 31536000, "how long a file or message of a bank may wait to be applied"),
};

static const config_setting SUMS[] = {
    CONFIG_ROW(sums_settings, "sums.every_ms", CONFIG_INT, every_ms, "600000", 50, 86400000, "how often payouts that came two days ago are added to the kept sums of their merchants"),
};
// clang-format on

const config_part DEADLINES_SETTINGS = CONFIG_PART(DEADLINES);
const config_part SUMS_SETTINGS = CONFIG_PART(SUMS);
