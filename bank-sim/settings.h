// The bank's settings, in one table.
#ifndef BANK_SETTINGS_H
#define BANK_SETTINGS_H

#include "base/config.h"
#include "faults/faults.h"
#include "habits/habits.h"

typedef struct settings {
    const char *dir, *ready_file, *log_level;
    int64_t https_port, https_threads;
    const char *cert_file, *key_file, *ca_file, *api_key_file, *webhook_url, *webhook_secret_file;
    int64_t sftp_port;
    const char *sshd, *host_key_file, *authorized_key_file, *sftp_user, *sftp_server;
    bool sftp_relay;
    int64_t admin_port;
    const char *routing, *origins_prefix;
    int64_t ach_poll_ms, ach_settle_delay_ms, ach_return_delay_ms;
    bool sync_settle, webhook_on_refusal;
    int64_t instant_settle_delay_ms, instant_return_delay_ms, instant_amount_max;
    faults_config faults;
    habits_config habits;
} settings;

extern const config_table SETTINGS_TABLE;

#endif
