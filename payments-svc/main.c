// payments-svc: puts the rooms together and stands in the frame of shared/daemon.
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/service.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "connected.h"
#include "control/control.h"
#include "crypto/crypto.h"
#include "daemon/daemon.h"
#include "domain/ids.h"
#include "guard/guard.h"
#include "jobs/deadlines.h"
#include "jobs/sums.h"
#include "maintain/maintain.h"
#include "maintain/partitions.h"
#include "payout_file/payout_file.h"
#include "pools.h"
#include "rails/rails_settings.h"
#include "receivables/receivables.h"
#include "recon/recon.h"
#include "saga/engine.h"
#include "saga/recovery.h"
#include "submissions/forgotten.h"
#include "submissions/recovery.h"
#include "submissions/settle.h"

enum {
    NAMED_MAX = SAGA_RAILS_MAX - 2, // further connections
    LEDGER_RETRIES_MAX = 3,
    LEDGER_MESSAGE_MAX = 16 << 20,
    INTAKE_THREADS = 2
};

// [connection.NAME]: one of its members counts, that of its scheme.
typedef struct named_connection {
    const char *name, *scheme;
    ach_settings ach;
    instant_settings instant;
} named_connection;

typedef struct settings {
    daemon_common common;
    const char *ledger_target, *ledger_server_name;
    int64_t ledger_timeout_ms;
    const char *keys_file;
    int64_t books_count;
    int64_t deposits_amount_max, deposits_balance_max;
    const char *state_file, *recovery_force_end;
    int64_t intake_pool_size, stream_pool_size, inbound_pool_size;
    int64_t saga_workers, saga_batch_max, saga_lease_ms, saga_poll_ms, saga_idle_poll_ms;
    int64_t recon_window, recon_reader_wait_ms;
    int64_t saga_attempts_max, saga_backoff_base_ms, saga_backoff_cap_ms, saga_resolve_after_ms;
    ach_settings ach;
    instant_settings instant;
    const char *of_ach, *of_instant; // names of the connections of payouts that name only the rail
    named_connection named[NAMED_MAX];
    size_t n_named;
    deadlines_settings deadlines;
    int64_t sums_every_ms;
    int64_t await_max, await_client_max;
    payments_import_settings imports;
    maintain_settings retention;
} settings;

#define ROW(n, type, field, def, lo, hi, help)                                                     \
    { n, type, offsetof(settings, field), def, lo, hi, help }

// clang-format off
static const config_setting SETTINGS[] = {
    DAEMON_COMMON_SETTINGS(settings),
    ROW("db.intake_pool_size", CONFIG_INT, intake_pool_size, "4", 2, 256, "further connections, for payouts that come in"),
    ROW("db.stream_pool_size", CONFIG_INT, stream_pool_size, "4", 1, 256, "further connections, for WatchPayouts"),
    ROW("db.inbound_pool_size", CONFIG_INT, inbound_pool_size, "6", 2, 256, "further connections, for what banks say"),
    ROW("recovery.state_file", CONFIG_PATH, state_file, "", 0, 0, "remembers how far the database was, so that a restore without a new timeline is noticed; one for each process; empty: none"),
    ROW("recovery.force_end", CONFIG_STRING, recovery_force_end, "", 0, 0, "the id of a recovery (payctl recovery), a blank, and the reason of a person who ends it although payouts were not compared with their bank; ends no other recovery"),
    ROW("ledger.target", CONFIG_STRING, ledger_target, NULL, 0, 0, "address of ledger-svc, host:port"),
    ROW("ledger.server_name", CONFIG_STRING, ledger_server_name, "localhost", 0, 0, "name to expect in the ledger's certificate"),
    ROW("ledger.timeout_ms", CONFIG_INT, ledger_timeout_ms, "10000", 10, 600000, "how long one call of the ledger may take"),
    ROW("keys.file", CONFIG_SECRET_FILE, keys_file, NULL, 0, 0, "data keys: lines of key id and 64 hex digits; the last one encrypts"),
    ROW("books.count", CONFIG_INT, books_count, "4", 1, 1000, "ledger books that new merchants are spread over"),
    ROW("recon.window", CONFIG_INT, recon_window, "200000", RECON_WINDOW_MIN, RECON_WINDOW_MAX, "payouts that a proof of a book compares in one reading of the ledger's journal"),
    ROW("recon.reader_wait_ms", CONFIG_INT, recon_reader_wait_ms, "60000", 1000, 3600000, "how long a proof of a book waits for its reader, all in all, before it is ended: few are made at a time"),
    ROW("deposits.amount_max", CONFIG_INT, deposits_amount_max, "1000000000000", 1, INT64_C(1000000000000000), "minor units that one deposit may have"),
    ROW("deposits.balance_max", CONFIG_INT, deposits_balance_max, "1000000000000000", 1, INT64_C(100000000000000000), "minor units that a merchant's balance may reach by a deposit"),
    ROW("saga.workers", CONFIG_INT, saga_workers, "4", 1, SAGA_WORKERS_MAX, "threads that carry payouts out; half of them, while they wait for a bank"),
    ROW("saga.batch_max", CONFIG_INT, saga_batch_max, "8000", 1, SAGA_BATCH_MAX, "payouts of one batch"),
    ROW("saga.lease_ms", CONFIG_INT, saga_lease_ms, "10000", 200, 600000, "a worker that is silent for so long has lost its batch"),
    ROW("saga.poll_ms", CONFIG_INT, saga_poll_ms, "200", 5, 60000, "how often the database is asked what is due, while there is work"),
    ROW("saga.idle_poll_ms", CONFIG_INT, saga_idle_poll_ms, "2000", 5, 60000, "and when there was none for a while: how late this process may see what another one left behind"),
    ROW("saga.attempts_max", CONFIG_INT, saga_attempts_max, "5", 1, 100, "submissions of one payout to its rail"),
    ROW("saga.backoff_base_ms", CONFIG_INT, saga_backoff_base_ms, "200", 1, 3600000, "first pause before a step is tried again; doubles, with full jitter"),
    ROW("saga.backoff_cap_ms", CONFIG_INT, saga_backoff_cap_ms, "60000", 1, 86400000, "longest pause before a step is tried again"),
    ROW("saga.resolve_after_ms", CONFIG_INT, saga_resolve_after_ms, "5000", 1, 86400000, "how long to wait for a rail's word before asking it"),
    ROW("deadlines.every_ms", CONFIG_INT, deadlines.every_ms, "15000", 50, 3600000, "how often to look for what waits too long, and to read the gauges"),
    ROW("deadlines.reserve_s", CONFIG_INT, deadlines.reserve_s, "300", 1, 31536000, "how long a payout may wait for its reservation before it is a case"),
    ROW("deadlines.execute_s", CONFIG_INT, deadlines.execute_s, "3600", 1, 31536000, "how long it may be tried to send it; a planned window ahead does not count"),
    ROW("deadlines.resolve_s", CONFIG_INT, deadlines.resolve_s, "1800", 1, 31536000, "how long its outcome may be unknown"),
    ROW("deadlines.await_ach_s", CONFIG_INT, deadlines.await_files_s, "432000", 1, 31536000, "how long it may wait for its settlement by ACH"),
    ROW("deadlines.await_instant_s", CONFIG_INT, deadlines.await_s, "1800", 1, 31536000, "how long it may wait for its settlement by the instant bank"),
    ROW("deadlines.confirm_s", CONFIG_INT, deadlines.confirm_s, "300", 1, 31536000, "how long it may wait to be booked, voided or given back in the ledger"),
    ROW("deadlines.switched_off_s", CONFIG_INT, deadlines.switched_off_s, "60", 1, 31536000, "how long payouts may wait for a connection that is switched off before it is a case"),
    ROW("deadlines.unheard_s", CONFIG_INT, deadlines.unheard_s, "900", 1, 31536000, "how long a bank's folder may not have been looked through, or a bank not have answered when it was asked again, before it is a case; more than eight times ach.poll_ms, and than two minutes"),
    ROW("deadlines.deposit_s", CONFIG_INT, deadlines.deposit_s, "600", 1, 31536000, "how long a deposit may wait for the ledger before it is a case"),
    ROW("deadlines.inbox_s", CONFIG_INT, deadlines.inbox_s, "600", 1, 31536000, "how long a file or message of a bank may wait to be applied"),
    ROW("sums.every_ms", CONFIG_INT, sums_every_ms, "600000", 50, 86400000, "how often payouts that came two days ago are added to the kept sums of their merchants"),
    ROW("await.max", CONFIG_INT, await_max, "1000", 1, 10000, "calls of AwaitPayout that may wait at once; never more than half of server.in_flight_max"),
    ROW("await.client_max", CONFIG_INT, await_client_max, "250", 1, 10000, "how many of them may be of one client"),
    ROW("import.bytes_max", CONFIG_INT, imports.bytes_max, "33554432", 1024, PAYOUT_FILE_BYTES_MAX, "bytes that the file of an import may have"),
    ROW("import.rows_max", CONFIG_INT, imports.rows_max, "100000", 1, PAYOUT_FILE_ROWS_MAX, "rows that it may have"),
    ROW("import.open_max", CONFIG_INT, imports.open_max, "10", 1, 1000, "imports of a merchant that are not at their end"),
    ROW("import.lease_ms", CONFIG_INT, imports.lease_ms, "60000", 500, 3600000, "an instance that is silent for so long about an import has lost it; more than a batch of rows may take"),
    ROW("import.poll_ms", CONFIG_INT, imports.poll_ms, "1000", 20, 60000, "how often to look for imports that another instance has left; five times as rarely while there are none"),
    ROW("import.idle_s", CONFIG_INT, imports.idle_s, "86400", 1, 31536000, "after which an import is canceled that nobody uploads to, finishes or starts"),
    ROW("rail.ach", CONFIG_STRING, of_ach, "ach", 0, 0, "name of the connection of payouts that name the rail ACH and no connection"),
    ROW("rail.instant", CONFIG_STRING, of_instant, "instant", 0, 0, "the same for the instant rail"),
    ROW("retention.dir", CONFIG_PATH, retention.dir, "", 0, 0, "folder for the archives of `payments-svc maintain`; on a disk of its own, and backed up"),
    ROW("retention.payouts_days", CONFIG_INT, retention.payouts_days, "2557", 180, 36500, "how long payouts are kept that are at their end, with their step logs and events, and the keys of their requests; then maintain archives them"),
    ROW("retention.step_log_days", CONFIG_INT, retention.step_log_days, "2557", 180, 36500, "how long the step logs of payouts that are at their end are kept, if that is shorter"),
    ROW("retention.deposits_days", CONFIG_INT, retention.deposits_days, "2557", 180, 36500, "how long deposits are kept that are credited or refused"),
    ROW("retention.submissions_days", CONFIG_INT, retention.submissions_days, "2557", 180, 36500, "how long files to banks are kept, and at least as long as a payout that is in them"),
    ROW("retention.inbox_days", CONFIG_INT, retention.inbox_days, "2557", 180, 36500, "how long files and messages of banks are kept that are applied or dismissed, with their exceptions"),
    ROW("retention.imports_days", CONFIG_INT, retention.imports_days, "2557", 180, 36500, "how long imports are kept that are at their end, with the results of their rows; their files are gone at once"),
    ROW("retention.feed_days", CONFIG_INT, retention.feed_days, "90", 7, 180, "how long the changes in the feeds of books are kept: a reader that was away for longer begins anew"),
    ROW("retention.cases_days", CONFIG_INT, retention.cases_days, "2557", 180, 36500, "how long cases are kept after they are resolved, and the history of pauses"),
    ROW("ach.enabled", CONFIG_BOOL, ach.enabled, "false", 0, 0, "switches the ACH rail on"),
    ROW("ach.bank_account", CONFIG_STRING, ach.bank_account, BANK_ACCOUNT_MAIN, 0, 0, "label of the account at the bank that payouts are paid from, which the ledger keeps an account for; 1 to 32 of a-z, 0-9, - and _"),
    ROW("ach.fees", CONFIG_STRING, ach.fees, "", 0, 0, "what a payout costs its merchant beside its amount, one sum for each currency, and others for single merchants, such as USD 0.25, some-merchant USD 0.10; empty: nothing. Counts for payouts that are accepted from then on"),
    ROW("ach.host", CONFIG_STRING, ach.host, "127.0.0.1", 0, 0, "SFTP server of the bank"),
    ROW("ach.port", CONFIG_INT, ach.port, "22", 1, 65535, "its port"),
    ROW("ach.user", CONFIG_STRING, ach.user, "", 0, 0, "our user there"),
    ROW("ach.key_file", CONFIG_SECRET_FILE, ach.key_file, "", 0, 0, "our private key, OpenSSH format, without a passphrase"),
    ROW("ach.host_key_file", CONFIG_PATH, ach.host_key_file, "", 0, 0, "the bank's public host key: the only one that is accepted"),
    ROW("ach.upload_dir", CONFIG_STRING, ach.upload_dir, "", 0, 0, "folder in which an upload lies, as *.tmp, until it is whole and is renamed into inbox_dir, for a bank that takes whatever it sees there; empty: inbox_dir itself; changed only when nothing is SENDING or UNKNOWN"),
    ROW("ach.inbox_dir", CONFIG_STRING, ach.inbox_dir, "inbox", 0, 0, "folder that we upload to"),
    ROW("ach.outbox_dir", CONFIG_STRING, ach.outbox_dir, "outbox", 0, 0, "folder that the bank writes to"),
    ROW("ach.archive_dir", CONFIG_STRING, ach.archive_dir, "archive", 0, 0, "folder that the bank moves our files to"),
    ROW("ach.immediate_destination", CONFIG_STRING, ach.immediate_destination, "", 0, 0, "the bank's routing number, 9 digits"),
    ROW("ach.odfi_routing", CONFIG_STRING, ach.odfi_routing, "", 0, 0, "ODFI identification, 8 digits: begins every trace number"),
    ROW("ach.immediate_origin_base", CONFIG_STRING, ach.immediate_origin_base, "", 0, 0, "9 digits; the origin of book b is 1 and the digits of base + b"),
    ROW("ach.company_name", CONFIG_STRING, ach.company_name, "DISBURSE", 0, 0, "company name in batch headers, to 16 characters"),
    ROW("ach.company_id_base", CONFIG_STRING, ach.company_id_base, "", 0, 0, "9 digits; the company id of book b is 1 and the digits of base + b"),
    ROW("ach.gather_ms", CONFIG_INT, ach.gather_ms, "2000", 0, 86400000, "how long to gather payouts for one file"),
    ROW("ach.windows", CONFIG_STRING, ach.windows, "", 0, 0, "times of day in New York at which files are cut on banking days, such as 08:15,10:15,14:30; empty: whenever payouts have gathered"),
    ROW("ach.file_name", CONFIG_STRING, ach.file_name, "{origin}-{date}-{modifier}-{id}.ach", 0, 0, "names of files at the bank; {id} is of the submission, {hash} of the content; with neither it needs {origin}, {date} and {modifier}, and a name may come again after a restore"),
    ROW("ach.entries_max", CONFIG_INT, ach.entries_max, "8000", 1, SAGA_BATCH_MAX, "entries of one file"),
    ROW("ach.lines_max", CONFIG_INT, ach.lines_max, "10000", 10, 1000000, "lines of one file, with its padding"),
    ROW("ach.direct_upload", CONFIG_BOOL, ach.direct_upload, "false", 0, 0, "files are written under their own name, for a bank whose server renames nothing: an upload that breaks off then waits for the bank's word, or a person's"),
    ROW("ach.archive_complete", CONFIG_BOOL, ach.archive_complete, "false", 0, 0, "the bank shows in archive_dir for ever what it took, so that what it does not show was not sent; counts once the archive shows a file that the bank certainly has"),
    ROW("ach.rebuild_ms", CONFIG_INT, ach.rebuild_ms, "10000", 0, 3600000, "how long payouts wait for the next file when one was taken out of theirs: several that are canceled meanwhile cost one file id"),
    ROW("ach.list_lag_ms", CONFIG_INT, ach.list_lag_ms, "60000", 0, 86400000, "for how long the bank may not list yet what it has taken: only what two looks, so far apart, do not show is not there"),
    ROW("ach.lease_ms", CONFIG_INT, ach.lease_ms, "60000", 1000, 3600000, "a sender that is silent for so long has lost its file"),
    ROW("ach.retry_base_ms", CONFIG_INT, ach.retry_base_ms, "1000", 1, 3600000, "first pause before a file is sent, or asked for, again; doubles, with jitter"),
    ROW("ach.retry_cap_ms", CONFIG_INT, ach.retry_cap_ms, "60000", 1, 86400000, "longest pause before a file is sent, or asked for, again"),
    ROW("ach.send_poll_ms", CONFIG_INT, ach.sender_poll_ms, "1000", 10, 60000, "how often the database is asked for files to send"),
    ROW("ach.case_after", CONFIG_INT, ach.case_after, "8", 1, 1000, "fruitless tries to send or find a file after which a person is told"),
    ROW("ach.poll_ms", CONFIG_INT, ach.poll_ms, "1000", 10, 3600000, "how often to look for the bank's files; eight times as rarely after a while without one"),
    ROW("ach.quiet_ms", CONFIG_INT, ach.quiet_ms, "60000", 0, 86400000, "a file of the bank that does not add up must not change for so long before it is judged"),
    ROW("ach.refusal_reasons", CONFIG_STRING, ach.refusal_reasons, "", 0, 0, "comma-separated codes or reasons for which the bank refuses single entries in its acknowledgement and certainly does not pay them, whole, or the beginning and *: those payouts fail; after any other a person must say whether the bank pays"),
    ROW("ach.rebuild_reasons", CONFIG_STRING, ach.rebuild_reasons, "", 0, 0, "comma-separated reasons for which the bank rejects a file that it has certainly not taken, whole, or the beginning and *: its payouts are sent again by themselves; after any other rejection a person must say whether the bank has the file"),
    ROW("ach.returns_days", CONFIG_INT, ach.returns_days, "60", 1, 3650, "days in which an entry may come back; a later return is booked, and a case"),
    ROW("ach.settlement", CONFIG_STRING, ach.settlement, "report", 0, 0, "how settlement is known: report, the bank's file of what has settled; or timetable, the effective date and ach.settlement_days, where the bank sends none; for files that are made from then on"),
    ROW("ach.settlement_days", CONFIG_INT, ach.settlement_days, "2", 0, 60, "by the timetable: banking days after the effective date at which an entry that did not come back has settled; one that comes back later is a return"),
    ROW("instant.enabled", CONFIG_BOOL, instant.enabled, "false", 0, 0, "switches the instant rail on"),
    ROW("instant.bank_account", CONFIG_STRING, instant.bank_account, BANK_ACCOUNT_MAIN, 0, 0, "label of the account at the bank that payouts are paid from, as ach.bank_account"),
    ROW("instant.fees", CONFIG_STRING, instant.fees, "", 0, 0, "what a payout costs its merchant, as ach.fees, such as USD 0.25, INR 3.00"),
    ROW("instant.url", CONFIG_STRING, instant.url, "", 0, 0, "the bank's address, https://host:port"),
    ROW("instant.ca_file", CONFIG_PATH, instant.ca_file, "", 0, 0, "PEM of the authority that signed the bank's certificate"),
    ROW("instant.api_key_file", CONFIG_SECRET_FILE, instant.api_key_file, "", 0, 0, "our API key at the bank"),
    ROW("instant.webhook_secret_file", CONFIG_SECRET_FILE, instant.webhook_secret_file, "", 0, 0, "secret that signs the bank's webhooks, whsec_…"),
    ROW("instant.webhook_port", CONFIG_INT, instant.webhook_port, "0", 0, 65535, "loopback port of the webhook listener; 0 takes a free one"),
    ROW("instant.connections", CONFIG_INT, instant.connections, "64", 1, 1024, "connections to the bank at once"),
    ROW("instant.timeout_ms", CONFIG_INT, instant.timeout_ms, "5000", 10, 600000, "how long one request to the bank may take; at most half of saga.lease_ms"),
    ROW("instant.query_lag_ms", CONFIG_INT, instant.query_lag_ms, "10000", 0, 86400000, "for how long the bank may not find what it has accepted: only after that, what it does not find was not sent; 0: it finds it at once"),
    ROW("instant.sweep_ms", CONFIG_INT, instant.sweep_ms, "10000", 10, 86400000, "how often to look for messages that were not applied, and for returns that were not told"),
    ROW("instant.ask_again_ms", CONFIG_INT, instant.ask_again_ms, "600000", 100, 86400000, "age at which a settled payout is asked for again; then at a day, and at returns_days"),
    ROW("instant.returns_days", CONFIG_INT, instant.returns_days, "10", 1, 3650, "days in which a payout may come back; a later return is booked, and a case"),
};
// clang-format on

typedef struct program {
    settings settings;
    db_pool *pool; // reads of the API, and its smaller writes
    pools pools;   // all else
    guard *guard;
    saga_recovery sagas; // what they compare in a recovery
    submission_recovery submissions;
    crypto_keyring *keys;
    rpc_client *ledger;
    ledger_accounts *accounts;
    connected connected;
    rail_wanted wanted[NAMED_MAX + 2];
    size_t n_wanted;
    inbox *inbox;
    pthread_rwlock_t engine_lock; // guards engine against the rails' listeners, which outlive it
    awaits *awaits;               // outlives the engine and the service
    saga_engine *engine;
    payments_service *service;
    receivables *receivables;
    deadlines *deadlines;
    jobs *jobs;
} program;

static void on_events(void *arg, int64_t book_id, int connection) {
    program *p = arg;
    pthread_rwlock_rdlock(&p->engine_lock);
    if (p->engine != NULL) {
        saga_engine_heard(p->engine, book_id, connection);
    }
    pthread_rwlock_unlock(&p->engine_lock);
}

static int64_t down_since_us(void *arg, int id) {
    program *p = arg;
    pthread_rwlock_rdlock(&p->engine_lock);
    const int64_t since_us = p->engine != NULL ? saga_engine_down_since_us(p->engine, id) : 0;
    pthread_rwlock_unlock(&p->engine_lock);
    return since_us;
}

static const char *of_rail(void *arg, int scheme) {
    const program *p = arg;
    return scheme == RAIL_ACH ? p->settings.of_ach : p->settings.of_instant;
}

static void want(program *p, const char *name, const char *scheme, const ach_settings *ach,
                 const instant_settings *instant) {
    const rail_scheme *s = rail_scheme_named(scheme);
    ASSERT(s != NULL); // a kind of the table below
    const bool is_ach = s->id == RAIL_ACH;
    p->wanted[p->n_wanted++] = (rail_wanted){.scheme = s,
                                             .name = name,
                                             .enabled = is_ach ? ach->enabled : instant->enabled,
                                             .settings = is_ach ? (const void *)ach : instant};
}

// p->keys are there; the pools and the guard only when it is started. Makes the inbox, which outlives the connections.
static connected_options connections_wanted(program *p) {
    const settings *s = &p->settings;
    const daemon_common *c = &s->common;
    p->inbox = inbox_create(p->pools.inbound, p->keys, clock_system());
    inbox_set_wake(p->inbox, on_events, p);
    want(p, "ach", "ach", &s->ach, NULL);
    want(p, "instant", "instant", NULL, &s->instant);
    for (size_t i = 0; i < s->n_named; i++) {
        const named_connection *n = &s->named[i];
        want(p, n->name, n->scheme, &n->ach, &n->instant);
    }
    return (connected_options){
        .pool = p->pool,
        .wanted = p->wanted,
        .n = p->n_wanted,
        .of_rail = of_rail,
        .down_since_us = down_since_us,
        .arg = p,
        .host = {.pool = p->pools.inbound,
                 .keys = p->keys,
                 .clock = clock_system(),
                 .box = p->inbox,
                 .guard = p->guard,
                 .cert_file = c->insecure ? NULL : c->cert_file,
                 .key_file = c->insecure ? NULL : c->key_file},
    };
}

static bool start_rails(program *p, err *e) {
    const connected_options o = connections_wanted(p);
    return connected_open(&p->connected, &o, e);
}

static saga_engine_options engine_options(program *p, rail **rails, size_t n) {
    const settings *s = &p->settings;
    return (saga_engine_options){
        .pool = p->pools.engine,
        .keeper_pool = p->pools.keeper,
        .look_pool = p->pools.look,
        .guard = p->guard,
        .awaits = p->awaits,
        .ledger = p->ledger,
        .accounts = p->accounts,
        .keys = p->keys,
        .rails = rails,
        .n_rails = n,
        .workers = (int)s->saga_workers,
        .batch_max = (int)s->saga_batch_max,
        .lease_ms = s->saga_lease_ms,
        .poll_ms = s->saga_poll_ms,
        .idle_poll_ms =
            s->saga_idle_poll_ms > s->saga_poll_ms ? s->saga_idle_poll_ms : s->saga_poll_ms,
        .policy = {.attempts_max = (int32_t)s->saga_attempts_max,
                   .backoff_base_ms = s->saga_backoff_base_ms,
                   .backoff_cap_ms = s->saga_backoff_cap_ms,
                   .resolve_after_ms = s->saga_resolve_after_ms},
        .controls = controls_table(),
        .ledger_timeout_ms = s->ledger_timeout_ms,
    };
}

static bool check_engine(void *self, rail **rails, size_t n, err *e) {
    const saga_engine_options o = engine_options(self, rails, n);
    return saga_engine_check(&o, e);
}

static bool check(void *self, err *e) {
    program *p = self;
    p->keys = crypto_keyring_load(p->settings.keys_file, e);
    if (p->keys == NULL) {
        return false;
    }
    const connected_options o = connections_wanted(p);
    const bool ok =
        connected_check(&o, check_engine, e) && maintain_check(&p->settings.retention, e);
    inbox_destroy(p->inbox);
    crypto_keyring_destroy(p->keys);
    return ok;
}

static bool start_ledger_client(program *p, err *e) {
    const settings *s = &p->settings;
    const rpc_client_options o = {
        .target = s->ledger_target,
        .tls = {s->common.ca_file, s->common.cert_file, s->common.key_file, s->common.insecure},
        .tls_server_name = s->common.insecure ? NULL : s->ledger_server_name,
        .message_max = LEDGER_MESSAGE_MAX,
        .retries_max = LEDGER_RETRIES_MAX,
    };
    p->ledger = rpc_client_create(&o, e);
    p->accounts = p->ledger == NULL ? NULL : ledger_accounts_create(p->ledger);
    return p->ledger != NULL;
}

// A call that waits must not take the place of one that has something to do.
static awaits *make_awaits(const settings *s) {
    const int64_t half = (s->common.in_flight_max + 1) / 2;
    const int64_t max = s->await_max < half ? s->await_max : half;
    return awaits_create((size_t)max, (size_t)s->await_client_max);
}

static bool start_engine(program *p, err *e) {
    p->awaits = make_awaits(&p->settings);
    p->sagas = (saga_recovery){p->pools.look, p->connected.rails, p->connected.n};
    p->submissions = (submission_recovery){p->connected.rails, p->connected.n};
    const guard_part parts[] = {saga_recovery_part(&p->sagas),
                                submission_recovery_part(&p->submissions),
                                submission_listing_part(&p->submissions)};
    guard_watch(p->guard, parts, sizeof parts / sizeof parts[0]);
    const saga_engine_options o =
        engine_options(p, p->connected.rails, p->connected.n + p->connected.n_off);
    p->engine = saga_engine_start(&o, e);
    return p->engine != NULL;
}

static bool start_service(program *p, err *e) {
    const payments_service_options o = {
        .pool = p->pool,
        .intake_pool = p->pools.intake,
        .stream_pool = p->pools.streams,
        .look_pool = p->pools.look,
        .ledger = p->ledger,
        .accounts = p->accounts,
        .keys = p->keys,
        .engine = p->engine,
        .awaits = p->awaits,
        .inbox = p->inbox,
        .guard = p->guard,
        .rails = p->connected.rules,
        .n_rails = p->connected.n,
        .connections = p->connected.known,
        .books_count = p->settings.books_count,
        .ledger_timeout_ms = p->settings.ledger_timeout_ms,
        .recon_window = p->settings.recon_window,
        .recon_reader_wait_ms = p->settings.recon_reader_wait_ms,
        .deposit_amount_max = p->settings.deposits_amount_max,
        .deposit_balance_max = p->settings.deposits_balance_max,
        .intake_threads = INTAKE_THREADS,
        .controls = controls_table(),
        .imports = p->settings.imports,
    };
    p->service = payments_service_create(&o, e);
    return p->service != NULL;
}

// All periodic work but what belongs to a connection or to the engine.
static bool start_jobs(program *p, err *e) {
    job table[DEADLINES_JOBS + PAYMENTS_SERVICE_JOBS + 3];
    p->deadlines = deadlines_create(&p->settings.deadlines, p->connected.known);
    size_t n = deadlines_jobs(p->deadlines, table);
    table[n++] = sums_job(p->settings.sums_every_ms);
    table[n++] = (job){.name = "submission.settle",
                       .every_ms = p->settings.deadlines.every_ms,
                       .run = submission_settle_due,
                       .arg = p->guard};
    n += payments_service_jobs(p->service, table + n);
    const receivables_options owed = {p->pool, p->ledger, p->settings.ledger_timeout_ms};
    p->receivables = receivables_create(&owed);
    table[n++] = receivables_collector(p->receivables);
    p->jobs = jobs_start(p->pool, clock_system(), table, n, e);
    return p->jobs != NULL;
}

// In the reverse order of the start: the engine calls the rails, so it ends before them; their listeners then have nobody
// to wake, and what they record is found by the next start.
static void stop(void *self) {
    program *p = self;
    jobs_stop(p->jobs);
    receivables_destroy(p->receivables);
    deadlines_destroy(p->deadlines);
    payments_service_destroy(p->service);
    pthread_rwlock_wrlock(&p->engine_lock);
    saga_engine *engine = p->engine;
    p->engine = NULL;
    pthread_rwlock_unlock(&p->engine_lock);
    saga_engine_stop(engine);
    awaits_destroy(p->awaits);
    connected_stop(&p->connected);
    guard_unwatch(p->guard);
    connected_close(&p->connected);
    inbox_destroy(p->inbox);
    ledger_accounts_destroy(p->accounts);
    rpc_client_destroy(p->ledger);
    crypto_keyring_destroy(p->keys);
    guard_stop(p->guard);
    pools_close(&p->pools);
}

static bool start(void *self, db_pool *pool, rpc_service *services, size_t services_max,
                  size_t *n_services, err *e) {
    program *p = self;
    ASSERT(services_max >= PAYMENTS_SERVICES);
    p->pool = pool;
    const pools_sizes sizes = {.engine = p->settings.saga_workers + 2,
                               .intake = p->settings.intake_pool_size,
                               .streams = p->settings.stream_pool_size,
                               .inbound = p->settings.inbound_pool_size};
    if (!pools_open(&p->pools, &p->settings.common, &sizes, e)) {
        return false;
    }
    const guard_options guarded = {p->pools.look, p->settings.state_file,
                                   p->settings.recovery_force_end};
    p->guard = guard_start(&guarded, e); // first: it sets the clock of everything below
    if (p->guard == NULL) {
        pools_close(&p->pools);
        return false;
    }
    p->keys = crypto_keyring_load(p->settings.keys_file, e);
    // The banks are heard only when there is an engine to wake.
    if (p->keys == NULL || !start_ledger_client(p, e) || !start_rails(p, e) ||
        !start_engine(p, e) || !start_service(p, e) || !connected_start(&p->connected, e) ||
        !start_jobs(p, e)) {
        stop(p);
        return false;
    }
    payments_service_describe(p->service, services);
    *n_services = PAYMENTS_SERVICES;
    return true;
}

static void on_guard(void *server, bool serves) {
    rpc_server_set_serving(server, GUARD_HEALTH_NAME, serves);
}

// Before the server goes.
static void quiesce(void *self) {
    const program *p = self;
    guard_tell(p->guard, NULL, NULL);
    payments_service_quiesce(p->service);
}

// Calls of the ledger go on with the new certificate.
static void certificate_changed(void *self) {
    const program *p = self;
    err e = {0};
    if (!rpc_client_tls_changed(p->ledger, &e)) {
        log_err(LOG_ERROR, "ledger.tls.refused", &e);
    }
}

static bool started(void *self, rpc_server *server, strbuf *extra_json, err *e) {
    const program *p = self;
    (void)e;
    guard_tell(p->guard, on_guard, server);
    connected_ports(&p->connected, extra_json);
    return true;
}

static const config_kind KINDS[] = {
    {"ach", offsetof(settings, ach), offsetof(named_connection, ach)},
    {"instant", offsetof(settings, instant), offsetof(named_connection, instant)},
};
static const config_named NAMED = {
    .section = "connection",
    .kind_key = "scheme",
    .on_key = "enabled",
    .help = "a section [connection.NAME] is a further connection, with the keys and defaults of "
            "[ach] or [instant]; enabled is true there by default",
    .kinds = KINDS,
    .n_kinds = sizeof KINDS / sizeof KINDS[0],
    .offset = offsetof(settings, named),
    .element_size = sizeof(named_connection),
    .max = NAMED_MAX,
    .count_offset = offsetof(settings, n_named),
    .name_offset = offsetof(named_connection, name),
    .kind_offset = offsetof(named_connection, scheme),
};

static int run_maintain(void *self, int n_words, char **words) {
    const program *p = self;
    return maintain_main(&p->settings.retention, p->settings.common.migrate_conninfo, n_words,
                         words);
}

static bool migrated(void *self, const char *conninfo, err *e) {
    (void)self;
    return partitions_keep(conninfo, e);
}

int main(int argc, char **argv) {
    static program p = {.engine_lock = PTHREAD_RWLOCK_INITIALIZER};
    const config_table table = {.env_prefix = "PAYMENTS",
                                .settings = SETTINGS,
                                .n_settings = sizeof SETTINGS / sizeof SETTINGS[0],
                                .named = &NAMED};
    const daemon_program d = {
        .name = "payments-svc",
        .summary = "pays money out: every payout is a saga over the ledger and a rail",
        .config = &table,
        .settings = &p.settings,
        .common = &p.settings.common,
        .start = start,
        .check = check,
        .started = started,
        .certificate_changed = certificate_changed,
        .quiesce = quiesce,
        .stop = stop,
        .error_domain = "payments.disburse",
        .permissions = PAYMENTS_PERMISSIONS,
        .n_permissions = N_PAYMENTS_PERMISSIONS,
        .command = {"maintain", "archive what is finished and kept no longer, and remove it",
                    MAINTAIN_HELP, run_maintain},
        .migrated = migrated,
        .self = &p,
    };
    return daemon_main(&d, argc, argv);
}
