#include "settings.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "payout_file/payout_file.h"
#include "recon/recon.h"

#define ROW(n, type, field, def, lo, hi, help)                                                     \
    { n, type, offsetof(payments_settings, field), def, lo, hi, help }

// clang-format off
static const config_setting OWN[] = {
    DAEMON_COMMON_SETTINGS(payments_settings),
    ROW("db.intake_pool_size", CONFIG_INT, intake_pool_size, "4", 2, 256, "further connections, for payouts that come in"),
    ROW("db.stream_pool_size", CONFIG_INT, stream_pool_size, "4", 1, 256, "further connections, for WatchPayouts"),
    ROW("db.inbound_pool_size", CONFIG_INT, inbound_pool_size, "6", 2, 256, "further connections, for what banks say"),
    ROW("recovery.state_file", CONFIG_PATH, state_file, "", 0, 0, "remembers how far the database was, so that a restore without a new timeline is noticed; one for each process; empty: none"),
    ROW("recovery.force_end", CONFIG_STRING, recovery_force_end, "", 0, 0, "the id of a recovery (payctl recovery), a blank, and the reason of a person who ends it although payouts were not compared with their bank; ends no other recovery"),
    ROW("ledger.target", CONFIG_STRING, ledger_target, NULL, 0, 0, "address of ledger-svc, host:port"),
    ROW("ledger.server_name", CONFIG_STRING, ledger_server_name, "localhost", 0, 0, "name to expect in the ledger's certificate"),
    ROW("ledger.server_identity", CONFIG_STRING, ledger_server_identity, "", 0, 0, "the one URI that the ledger's certificate must have, spiffe://...; empty: any certificate of the authority for that name will do"),
    ROW("ledger.timeout_ms", CONFIG_INT, ledger_timeout_ms, "10000", 10, 600000, "how long one call of the ledger may take"),
    ROW("keys.file", CONFIG_SECRET_FILE, keys_file, NULL, 0, 0, "data keys (docs/operating/keys.md); read again when it changes"),
    ROW("keys.lost", CONFIG_STRING, keys_lost, "", 0, 0, "ids of keys, separated by commas, that are lost for ever: the start does not ask for them, and payouts that need what they have sealed are held"),
    ROW("keys.alive_ms", CONFIG_INT, keys_alive_ms, "30000", 500, 600000, "an instance that was not seen for so long does not run: no new key waits for it"),
    ROW("keys.settle_ms", CONFIG_INT, keys_settle_ms, "60000", 0, 600000, "what was sealed is committed, or lost, after so long: a rotation waits for it, and for keys.alive_ms"),
    ROW("keys.pause_ms", CONFIG_INT, keys_pause_ms, "100", 1, 60000, "pause between two batches of rows that are sealed anew"),
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
    ROW("retention.dir", CONFIG_PATH, retention.dir, "", 0, 0, "folder for the archives of `payments-svc maintain`; on a disk of its own, and backed up"),
    ROW("retention.payouts_days", CONFIG_INT, retention.payouts_days, "2557", 180, 36500, "how long payouts are kept that are at their end, with their step logs and events, and the keys of their requests; then maintain archives them"),
    ROW("retention.step_log_days", CONFIG_INT, retention.step_log_days, "2557", 180, 36500, "how long the step logs of payouts that are at their end are kept, if that is shorter"),
    ROW("retention.deposits_days", CONFIG_INT, retention.deposits_days, "2557", 180, 36500, "how long deposits are kept that are credited or refused"),
    ROW("retention.submissions_days", CONFIG_INT, retention.submissions_days, "2557", 180, 36500, "how long files to banks are kept, and at least as long as a payout that is in them"),
    ROW("retention.inbox_days", CONFIG_INT, retention.inbox_days, "2557", 180, 36500, "how long files and messages of banks are kept that are applied or dismissed, with their exceptions"),
    ROW("retention.imports_days", CONFIG_INT, retention.imports_days, "2557", 180, 36500, "how long imports are kept that are at their end, with the results of their rows; their files are gone at once"),
    ROW("retention.feed_days", CONFIG_INT, retention.feed_days, "90", 7, 180, "how long the changes in the feeds of books are kept: a reader that was away for longer begins anew"),
    ROW("retention.audit_days", CONFIG_INT, retention.audit_days, "2557", 180, 36500, "how long the audit of who wrote what is kept"),
    ROW("retention.cases_days", CONFIG_INT, retention.cases_days, "2557", 180, 36500, "how long cases are kept after they are resolved, and the history of pauses"),
};
// clang-format on

// --- Of the schemes --------------------------------------------------------------------------------------------------

enum {
    N_OWN = sizeof OWN / sizeof OWN[0],
    ROWS_MAX = N_OWN + PAYMENTS_SCHEMES_MAX * 64,
    NAME_MAX_LEN = 32
};

static config_setting rows[ROWS_MAX];
static size_t n_rows;
static config_kind kinds[PAYMENTS_SCHEMES_MAX];
static struct { char setting[NAME_MAX_LEN], help[128]; } of_rail[PAYMENTS_SCHEMES_MAX];

static void add_row(const config_setting *row) {
    ASSERT(n_rows < ROWS_MAX);
    rows[n_rows++] = *row;
}

// Which connection payouts of the scheme use that name none.
static void add_default(const rail_scheme *s, size_t i) {
    const int len = snprintf(of_rail[i].setting, sizeof of_rail[i].setting, "rail.%s", s->name);
    ASSERT(len > 0 && (size_t)len < sizeof of_rail[i].setting);
    (void)snprintf(of_rail[i].help, sizeof of_rail[i].help,
                   "name of the connection of payouts that name the rail %s and no connection",
                   s->name);
    add_row(&(config_setting){.name = of_rail[i].setting,
                              .type = CONFIG_STRING,
                              .offset = offsetof(payments_settings, of_rail) + i * sizeof(char *),
                              .default_value = s->name,
                              .help = of_rail[i].help});
}

static void add_scheme(const rail_scheme *s, size_t i) {
    const size_t at = offsetof(payments_settings, rails) + i * sizeof(rail_settings);
    ASSERT(i < PAYMENTS_SCHEMES_MAX && s->settings_size <= sizeof(rail_settings));
    kinds[i] = (config_kind){s->name, at, offsetof(named_connection, of)};
    for (size_t k = 0; k < s->n_settings; k++) {
        config_setting row = s->settings[k];
        row.offset += at;
        add_row(&row);
    }
}

const config_table *payments_settings_table(void) {
    static config_named named = {
        .section = "connection",
        .kind_key = "scheme",
        .on_key = "enabled",
        .help =
            "a section [connection.NAME] is a further connection, with the keys and defaults of "
            "its scheme's section; enabled is true there by default",
        .kinds = kinds,
        .offset = offsetof(payments_settings, named),
        .element_size = sizeof(named_connection),
        .max = PAYMENTS_NAMED_MAX,
        .count_offset = offsetof(payments_settings, n_named),
        .name_offset = offsetof(named_connection, name),
        .kind_offset = offsetof(named_connection, scheme),
    };
    static config_table table = {.env_prefix = "PAYMENTS", .settings = rows, .named = &named};
    size_t n = 0;
    const rail_scheme *const *schemes = rail_schemes(&n);
    n_rows = 0;
    for (size_t i = 0; i < N_OWN; i++) {
        add_row(&OWN[i]);
    }
    for (size_t i = 0; i < n; i++) {
        add_default(schemes[i], i);
    }
    for (size_t i = 0; i < n; i++) {
        add_scheme(schemes[i], i);
    }
    named.n_kinds = n;
    table.n_settings = n_rows;
    return &table;
}
