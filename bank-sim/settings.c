#include "settings.h"

#include <stddef.h>

// One row per setting.
// clang-format off
#define ROW(name, type, field, def, lo, hi, help) {name, type, offsetof(settings, field), def, lo, hi, help}
#define HABIT(name, kind, least, most, help) ROW("habits." #name, CONFIG_INT, habits.name, #kind, least, most, help),
#define PCT(field, help) ROW("faults." #field, CONFIG_INT, faults.field, "0", 0, 100, help)

static const config_setting ROWS[] = {
    ROW("bank.dir", CONFIG_PATH, dir, NULL, 0, 0, "state of the bank: its books and the sftp folder"),
    ROW("bank.ready_file", CONFIG_PATH, ready_file, "", 0, 0, "JSON with pid and ports, written when all of it works; empty: none"),
    ROW("log.level", CONFIG_STRING, log_level, "info", 0, 0, "debug, info, warn or error"),

    ROW("https.port", CONFIG_INT, https_port, "0", 0, 65535, "port of the instant interface on loopback; 0: a free one"),
    ROW("https.threads", CONFIG_INT, https_threads, "64", 1, 256, "threads that answer requests"),
    ROW("https.cert_file", CONFIG_PATH, cert_file, NULL, 0, 0, "PEM certificate of the bank"),
    ROW("https.key_file", CONFIG_PATH, key_file, NULL, 0, 0, "PEM private key of the certificate"),
    ROW("https.ca_file", CONFIG_PATH, ca_file, NULL, 0, 0, "PEM of the authority that the webhook receiver's certificate must come from"),
    ROW("https.api_key_file", CONFIG_SECRET_FILE, api_key_file, NULL, 0, 0, "file with the bearer key that customers must show"),
    ROW("https.webhook_url", CONFIG_STRING, webhook_url, "", 0, 0, "where webhooks go; empty: they wait until POST /admin/webhook"),
    ROW("https.webhook_secret_file", CONFIG_SECRET_FILE, webhook_secret_file, NULL, 0, 0, "file with the whsec_ secret that signs the webhooks"),

    ROW("sftp.port", CONFIG_INT, sftp_port, "0", 0, 65535, "port of sshd on loopback; 0: a free one"),
    ROW("sftp.sshd", CONFIG_STRING, sshd, "/usr/sbin/sshd", 0, 0, "absolute path of the OpenSSH server"),
    ROW("sftp.host_key_file", CONFIG_PATH, host_key_file, "", 0, 0, "private host key; empty: one is made in bank.dir/sshd"),
    ROW("sftp.authorized_key_file", CONFIG_PATH, authorized_key_file, NULL, 0, 0, "public key of the customer who may log in"),
    ROW("sftp.user", CONFIG_STRING, sftp_user, "", 0, 0, "system user of the sessions; empty: the one that runs the bank"),

    ROW("sftp.relay", CONFIG_BOOL, sftp_relay, "false", 0, 0, "a process of ours stands between sshd and its clients, so that habits.sftp_* work"),
    ROW("sftp.server", CONFIG_STRING, sftp_server, "/usr/lib/openssh/sftp-server", 0, 0, "OpenSSH's sftp-server, for the relay"),

    ROW("admin.port", CONFIG_INT, admin_port, "0", 0, 65535, "port of the admin interface on loopback; 0: a free one"),

    ROW("ach.routing", CONFIG_STRING, routing, NULL, 0, 0, "routing number of the bank, nine digits"),
    ROW("ach.origins_prefix", CONFIG_STRING, origins_prefix, "", 0, 0, "digits that an immediate origin must begin with; empty: any"),
    ROW("ach.poll_ms", CONFIG_INT, ach_poll_ms, "50", 1, 60000, "how often the inbox is looked at; eight times as rarely after a while without a file"),
    ROW("ach.settle_delay_ms", CONFIG_INT, ach_settle_delay_ms, "0", 0, 86400000, "from taking a file to its settlement; 0: at once"),
    ROW("ach.return_delay_ms", CONFIG_INT, ach_return_delay_ms, "500", 0, 86400000, "from settlement to a return after settlement"),

    ROW("instant.sync_settle", CONFIG_BOOL, sync_settle, "false", 0, 0, "the first answer already says settled"),
    ROW("instant.settle_delay_ms", CONFIG_INT, instant_settle_delay_ms, "0", 0, 86400000, "from accepted to settled; 0: at once"),
    ROW("instant.return_delay_ms", CONFIG_INT, instant_return_delay_ms, "500", 0, 86400000, "from settled to returned, for those that come back"),
    ROW("instant.amount_max", CONFIG_INT, instant_amount_max, "100000000000", 1, INT64_MAX, "largest payment, minor units"),
    ROW("instant.webhook_on_refusal", CONFIG_BOOL, webhook_on_refusal, "false", 0, 0, "a refusal in the answer is also told by webhook"),

    ROW("faults.by_amount", CONFIG_BOOL, faults.by_amount, "true", 0, 0, "the last three digits of an amount ask for an outcome"),
    ROW("faults.odd_amounts", CONFIG_BOOL, faults.odd_amounts, "false", 0, 0, "more last digits ask for what a kind bank never does"),
    ROW("faults.seed", CONFIG_INT, faults.seed, "1", 0, INT64_MAX, "the same seed gives the same faults to the same items"),
    PCT(slow_pct, "instant: percent of answers that are late by slow_ms"),
    PCT(http_500_pct, "instant: percent of requests answered 500 with nothing taken"),
    PCT(refuse_pct, "instant: percent of payments refused, half of them retriable"),
    PCT(drop_answer_pct, "instant: percent of payments taken without an answer"),
    PCT(answer_twice_pct, "instant: percent of payments whose webhook comes twice"),
    PCT(webhook_late_pct, "instant: percent of payments whose webhook comes webhook_late_ms later"),
    PCT(webhook_missing_pct, "instant: percent of payments without a webhook"),
    PCT(return_after_settlement_pct, "both rails: percent that is settled and comes back later"),
    PCT(ach_return_pct, "ach: percent of entries returned before settlement"),
    ROW("faults.slow_ms", CONFIG_INT, faults.slow_ms, "2000", 0, 600000, "how late a slow answer is"),
    ROW("faults.webhook_late_ms", CONFIG_INT, faults.webhook_late_ms, "2000", 0, 600000, "how late a late webhook is"),

    HABITS(HABIT)
    HABITS_SFTP(HABIT)
};

const config_table SETTINGS_TABLE = {.env_prefix = "BANK", .settings = ROWS, .n_settings = sizeof(ROWS) / sizeof(ROWS[0])};
