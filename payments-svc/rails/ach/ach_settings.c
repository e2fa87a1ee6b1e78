#include "rails/ach/ach_settings.h"

#include <stddef.h>

#include "domain/ids.h"

enum { ENTRIES_MAX = 8000 }; // as many as a batch of sagas may have

#define ROW(n, type, field, def, lo, hi, help)                                                     \
    { n, type, offsetof(ach_settings, field), def, lo, hi, help }

// clang-format off
const config_setting ACH_SETTINGS[ACH_SETTINGS_ROWS] = {
    ROW("ach.enabled", CONFIG_BOOL, enabled, "false", 0, 0, "switches the ACH rail on"),
    ROW("ach.bank_account", CONFIG_STRING, bank_account, BANK_ACCOUNT_MAIN, 0, 0, "label of the account at the bank that payouts are paid from, which the ledger keeps an account for; 1 to 32 of a-z, 0-9, - and _"),
    ROW("ach.fees", CONFIG_STRING, fees, "", 0, 0, "what a payout costs its merchant beside its amount, one sum for each currency, and others for single merchants, such as USD 0.25, some-merchant USD 0.10; empty: nothing. Counts for payouts that are accepted from then on"),
    ROW("ach.host", CONFIG_STRING, host, "127.0.0.1", 0, 0, "SFTP server of the bank"),
    ROW("ach.port", CONFIG_INT, port, "22", 1, 65535, "its port"),
    ROW("ach.user", CONFIG_STRING, user, "", 0, 0, "our user there"),
    ROW("ach.key_file", CONFIG_SECRET_FILE, key_file, "", 0, 0, "our private key, OpenSSH format, without a passphrase"),
    ROW("ach.host_key_file", CONFIG_PATH, host_key_file, "", 0, 0, "the bank's public host key: the only one that is accepted"),
    ROW("ach.upload_dir", CONFIG_STRING, upload_dir, "", 0, 0, "folder in which an upload lies, as *.tmp, until it is whole and is renamed into inbox_dir, for a bank that takes whatever it sees there; empty: inbox_dir itself; changed only when nothing is SENDING or UNKNOWN"),
    ROW("ach.inbox_dir", CONFIG_STRING, inbox_dir, "inbox", 0, 0, "folder that we upload to"),
    ROW("ach.outbox_dir", CONFIG_STRING, outbox_dir, "outbox", 0, 0, "folder that the bank writes to"),
    ROW("ach.archive_dir", CONFIG_STRING, archive_dir, "archive", 0, 0, "folder that the bank moves our files to"),
    ROW("ach.immediate_destination", CONFIG_STRING, immediate_destination, "", 0, 0, "the bank's routing number, 9 digits"),
    ROW("ach.odfi_routing", CONFIG_STRING, odfi_routing, "", 0, 0, "ODFI identification, 8 digits: begins every trace number"),
    ROW("ach.immediate_origin_base", CONFIG_STRING, immediate_origin_base, "", 0, 0, "9 digits; the origin of book b is 1 and the digits of base + b"),
    ROW("ach.company_name", CONFIG_STRING, company_name, "DISBURSE", 0, 0, "company name in batch headers, to 16 characters"),
    ROW("ach.company_id_base", CONFIG_STRING, company_id_base, "", 0, 0, "9 digits; the company id of book b is 1 and the digits of base + b"),
    ROW("ach.gather_ms", CONFIG_INT, gather_ms, "2000", 0, 86400000, "how long to gather payouts for one file"),
    ROW("ach.windows", CONFIG_STRING, windows, "", 0, 0, "times of day in New York at which files are cut on banking days, such as 08:15,10:15,14:30; empty: whenever payouts have gathered"),
    ROW("ach.file_name", CONFIG_STRING, file_name, "{origin}-{date}-{modifier}-{id}.ach", 0, 0, "names of files at the bank; {id} is of the submission, {hash} of the content; with neither it needs {origin}, {date} and {modifier}, and a name may come again after a restore"),
    ROW("ach.entries_max", CONFIG_INT, entries_max, "8000", 1, ENTRIES_MAX, "entries of one file"),
    ROW("ach.lines_max", CONFIG_INT, lines_max, "10000", 10, 1000000, "lines of one file, with its padding"),
    ROW("ach.direct_upload", CONFIG_BOOL, direct_upload, "false", 0, 0, "files are written under their own name, for a bank whose server renames nothing: an upload that breaks off then waits for the bank's word, or a person's"),
    ROW("ach.archive_complete", CONFIG_BOOL, archive_complete, "false", 0, 0, "the bank shows in archive_dir for ever what it took, so that what it does not show was not sent; counts once the archive shows a file that the bank certainly has"),
    ROW("ach.rebuild_ms", CONFIG_INT, rebuild_ms, "10000", 0, 3600000, "how long payouts wait for the next file when one was taken out of theirs: several that are canceled meanwhile cost one file id"),
    ROW("ach.list_lag_ms", CONFIG_INT, list_lag_ms, "60000", 0, 86400000, "for how long the bank may not list yet what it has taken: only what two looks, so far apart, do not show is not there"),
    ROW("ach.lease_ms", CONFIG_INT, lease_ms, "60000", 1000, 3600000, "a sender that is silent for so long has lost its file"),
    ROW("ach.retry_base_ms", CONFIG_INT, retry_base_ms, "1000", 1, 3600000, "first pause before a file is sent, or asked for, again; doubles, with jitter"),
    ROW("ach.retry_cap_ms", CONFIG_INT, retry_cap_ms, "60000", 1, 86400000, "longest pause before a file is sent, or asked for, again"),
    ROW("ach.send_poll_ms", CONFIG_INT, sender_poll_ms, "1000", 10, 60000, "how often the database is asked for files to send"),
    ROW("ach.case_after", CONFIG_INT, case_after, "8", 1, 1000, "fruitless tries to send or find a file after which a person is told"),
    ROW("ach.poll_ms", CONFIG_INT, poll_ms, "1000", 10, 3600000, "how often to look for the bank's files; eight times as rarely after a while without one"),
    ROW("ach.quiet_ms", CONFIG_INT, quiet_ms, "60000", 0, 86400000, "a file of the bank that does not add up must not change for so long before it is judged"),
    ROW("ach.refusal_reasons", CONFIG_STRING, refusal_reasons, "", 0, 0, "comma-separated codes or reasons for which the bank refuses single entries in its acknowledgement and certainly does not pay them, whole, or the beginning and *: those payouts fail; after any other a person must say whether the bank pays"),
    ROW("ach.rebuild_reasons", CONFIG_STRING, rebuild_reasons, "", 0, 0, "comma-separated reasons for which the bank rejects a file that it has certainly not taken, whole, or the beginning and *: its payouts are sent again by themselves; after any other rejection a person must say whether the bank has the file"),
    ROW("ach.returns_days", CONFIG_INT, returns_days, "60", 1, 3650, "days in which an entry may come back; a later return is booked, and a case"),
    ROW("ach.settlement", CONFIG_STRING, settlement, "report", 0, 0, "how settlement is known: report, the bank's file of what has settled; or timetable, the effective date and ach.settlement_days, where the bank sends none; for files that are made from then on"),
    ROW("ach.settlement_days", CONFIG_INT, settlement_days, "2", 0, 60, "by the timetable: banking days after the effective date at which an entry that did not come back has settled; one that comes back later is a return"),
};
// clang-format on
