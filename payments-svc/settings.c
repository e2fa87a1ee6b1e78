#include "settings.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

// --- Of the daemon and of the rooms --------------------------------------------------------------------------------------

static const config_setting COMMON[] = {DAEMON_COMMON_SETTINGS(payments_settings)};
static const config_part DAEMON_SETTINGS = CONFIG_PART(COMMON);

#define ROOM(part, field)                                                                          \
    { &(part), offsetof(payments_settings, field) }
static const struct {
    const config_part *part;
    size_t at;
} ROOMS[] = {
    {&DAEMON_SETTINGS, 0},           ROOM(POOLS_SETTINGS, pools),
    ROOM(GUARD_SETTINGS, guard),     ROOM(LEDGER_SETTINGS, ledger),
    ROOM(KEYS_SETTINGS, keys),       ROOM(BOOKS_SETTINGS, books),
    ROOM(RECON_SETTINGS, recon),     ROOM(DEPOSITS_SETTINGS, deposits),
    ROOM(SAGA_SETTINGS, saga),       ROOM(DEADLINES_SETTINGS, deadlines),
    ROOM(SUMS_SETTINGS, sums),       ROOM(AWAITS_SETTINGS, awaits),
    ROOM(IMPORTS_SETTINGS, imports), ROOM(MAINTAIN_SETTINGS, retention),
};

// --- Of the schemes --------------------------------------------------------------------------------------------------

enum { ROWS_MAX = 128 + PAYMENTS_SCHEMES_MAX * 64, NAME_MAX_LEN = 32 };

static config_setting rows[ROWS_MAX];
static size_t n_rows;
static config_kind kinds[PAYMENTS_SCHEMES_MAX];
static struct { char setting[NAME_MAX_LEN], help[128]; } of_rail[PAYMENTS_SCHEMES_MAX];

static void add_row(const config_setting *row) {
    ASSERT(n_rows < ROWS_MAX);
    rows[n_rows++] = *row;
}

static void add_part(const config_part *part, size_t at) {
    n_rows = config_add(rows, ROWS_MAX, n_rows, part, at);
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
    add_part(&(config_part){s->settings, s->n_settings}, at);
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
    for (size_t i = 0; i < sizeof ROOMS / sizeof ROOMS[0]; i++) {
        add_part(ROOMS[i].part, ROOMS[i].at);
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
