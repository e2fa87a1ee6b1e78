#include "maintain/maintain.h"

// clang-format off
static const config_setting ROWS[] = {
    CONFIG_ROW(maintain_settings, "retention.dir", CONFIG_PATH, dir, "", 0, 0, "folder for the archives of `payments-svc maintain`; on a disk of its own, and backed up"),
    CONFIG_ROW(maintain_settings, "retention.payouts_days", CONFIG_INT, payouts_days, "2557", 180, 36500, "how long payouts are kept that are at their end, with their step logs and events, and the keys of their requests; then maintain archives them"),
    CONFIG_ROW(maintain_settings, "retention.step_log_days", CONFIG_INT, step_log_days, "2557", 180, 36500, "how long the step logs of payouts that are at their end are kept, if that is shorter"),
    CONFIG_ROW(maintain_settings, "retention.deposits_days", CONFIG_INT, deposits_days, "2557", 180, 36500, "how long deposits are kept that are credited or refused"),
    CONFIG_ROW(maintain_settings, "retention.submissions_days", CONFIG_INT, submissions_days, "2557", 180, 36500, "how long files to banks are kept, and at least as long as a payout that is in them"),
    CONFIG_ROW(maintain_settings, "retention.inbox_days", CONFIG_INT, inbox_days, "2557", 180, 36500, "how long files and messages of banks are kept that are applied or dismissed, with their exceptions"),
    CONFIG_ROW(maintain_settings, "retention.imports_days", CONFIG_INT, imports_days, "2557", 180, 36500, "how long imports are kept that are at their end, with the results of their rows; their files are gone at once"),
    CONFIG_ROW(maintain_settings, "retention.feed_days", CONFIG_INT, feed_days, "90", 7, 180, "how long the changes in the feeds of books are kept: a reader that was away for longer begins anew"),
    CONFIG_ROW(maintain_settings, "retention.audit_days", CONFIG_INT, audit_days, "2557", 180, 36500, "how long the audit of who wrote what is kept"),
    CONFIG_ROW(maintain_settings, "retention.cases_days", CONFIG_INT, cases_days, "2557", 180, 36500, "how long cases are kept after they are resolved, and the history of pauses"),
};
// clang-format on

const config_part MAINTAIN_SETTINGS = CONFIG_PART(ROWS);
