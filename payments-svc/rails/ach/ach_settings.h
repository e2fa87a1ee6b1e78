// Settings of a connection of ACH: [ach], and each [connection.NAME] of this scheme. Strings live as long as the process.
#ifndef ACH_ACH_SETTINGS_H
#define ACH_ACH_SETTINGS_H

#include "base/config.h"

typedef struct ach_settings {
    bool enabled;
    const char *bank_account; // label of its account at the bank; NULL: the main account
    const char *fees;         // what payouts cost merchants (rule_fees); NULL or "": nothing
    const char *host;
    int64_t port;
    const char *user;
    const char *key_file; // our private key, without a passphrase
    // the bank's public key, OpenSSH format: no other host key is accepted
    const char *host_key_file;
    const char *inbox_dir;  // we upload here
    const char *upload_dir; // where a file lies until it is whole; NULL or "": inbox_dir
    const char *outbox_dir; // the bank writes here; done/ and bad/ in it are ours
    // the bank moves files from inbox_dir here; NULL or "": "archive"
    const char *archive_dir;
    const char *immediate_destination; // 9 digits, the bank's routing number
    const char *odfi_routing;          // 8 digits
    // 9 digits; the origin of book b is "1" and the 9 digits of base + b
    const char *immediate_origin_base;
    const char *company_name; // 1 … 16 characters
    // 9 digits; the company id of book b is "1" and the 9 digits of base + b
    const char *company_id_base;
    int64_t gather_ms; // how long the saga engine waits for more entries of one file
    // "08:15,14:30": times in New York for cutting files; "": when gathered
    const char *windows;
    const char *file_name; // pattern of {origin} {date} {modifier} {id} {hash}; NULL: the default
    int64_t entries_max;   // per file; also per claim
    int64_t lines_max;     // per file, its padding included; 0: the default
    bool direct_upload;    // no renames at the bank: an upload has its final name at once
    bool archive_complete; // the bank shows each taken file for ever, in archive_dir
    int64_t list_lag_ms;   // the bank may list a taken file this late
    int64_t lease_ms, retry_base_ms, retry_cap_ms, sender_poll_ms,
        case_after;     // for the sender; 0: the defaults
    int64_t rebuild_ms; // how long payouts of a file that was taken apart wait for the next one
    int64_t poll_ms;    // pause between two looks into outbox_dir
    // a file that does not add up must stand still for so long before it is judged
    int64_t quiet_ms;
    int64_t returns_days; // a later return is a case as well
    // "a,b*": the bank's reasons for rejecting files that it has not taken; NULL or "": nothing is rebuilt by itself
    const char *rebuild_reasons;
    // the same for single entries that the bank refuses and certainly does not pay
    const char *refusal_reasons;
    const char *settlement;  // how it is known: "report" or "timetable"; NULL or "": "report"
    int64_t settlement_days; // by the timetable: banking days after the effective date
} ach_settings;

enum { ACH_SETTINGS_ROWS = 38 };
extern const config_setting ACH_SETTINGS[ACH_SETTINGS_ROWS];

#endif
