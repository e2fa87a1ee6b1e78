#include "maintain/partitions.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "maintain/maintain_internal.h"

enum {
    MONTHS_AHEAD = 4, // how many later months have partitions
    SQL_MAX = 1200,
    TRIES_MAX = 60, // for a lock, each for up to LOCK_TIMEOUT
    PAUSE_MS = 250,
    MEMORY = 4 << 20,
    PAST_MAX = 200, // partitions per run
    NAME_LEN = 64,
    S_PER_DAY = 86400
};

static const int64_t US_PER_S = 1000000;

#define LOCK_TIMEOUT "1s"

typedef struct partitioned {
    const char *name, *key;
} partitioned;

static const partitioned TABLES[] = {{"step_log", "book_id, payout_id, seq"},
                                     {"rail_event", "book_id, payout_id, event_id"}};

typedef struct keeper {
    db_pool *pool;
    arena *a;
    const partitioned *t;
    int year, month; // of the first partition to make, month from 0; set by the caller
    char from[UUID_TEXT_LEN + 1], to[UUID_TEXT_LEN + 1];
    int64_t days;     // drop_empty: the least age of a partition
    db_rows *past;    // the partitions of this age
    const char *name; // the current one
    bool dropped, beyond;
    err *e;
} keeper;

// --- Statements ------------------------------------------------------------------------------------------------------

// Runs a change of the schema. Such a statement takes no parameters, so it is put together here, from our own names.
static bool run(db_conn *c, arena *a, err *e, db_rows **rows, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

static bool run(db_conn *c, arena *a, err *e, db_rows **rows, const char *fmt, ...) {
    static int number; // each statement runs once, under its own name
    char sql[SQL_MAX], name[40];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(sql, sizeof sql, fmt, args);
    va_end(args);
    ASSERT(n > 0 && n < SQL_MAX);
    (void)snprintf(name, sizeof name, "partitions_%d", ++number);
    return db_exec(c, &(db_stmt){name, sql}, db_params_create(a), a, rows, NULL, e);
}

// Runs a transaction that gives up a lock after a short wait, and is then repeated: while it waits, others queue behind it.
static bool transact(keeper *k, db_tx_fn fn) {
    for (int i = 0; i < TRIES_MAX; i++) {
        err_clear(k->e);
        if (db_transact(k->pool, clock_mono_ms(clock_system()) + MAINTAIN_TIME_MS, k->a, fn, k,
                        k->e)) {
            return true;
        }
        if (strcmp(k->e->sqlstate, "55P03") != 0) { // lock_not_available
            return false;
        }
        (void)poll(NULL, 0, PAUSE_MS);
        arena_reset(k->a);
    }
    return false;
}

static bool lock_soon(db_conn *c, arena *a, err *e) {
    return run(c, a, e, NULL, "SELECT set_config('lock_timeout', '" LOCK_TIMEOUT "', true)");
}

// --- Months ----------------------------------------------------------------------------------------------------------

// The least id of the month that comes so many months after (year, month).
static void month_id(int year, int month, char out[UUID_TEXT_LEN + 1]) {
    struct tm tm = {.tm_year = year - 1900 + month / 12, .tm_mon = month % 12, .tm_mday = 1};
    const uint64_t start_ms = (uint64_t)timegm(&tm) * 1000;
    uuid id = {{0}};
    uint64_t ms = start_ms;
    for (size_t i = 6; i > 0; i--) {
        id.b[i - 1] = (uint8_t)ms;
        ms >>= 8;
    }
    uuid_format(id, out);
}

static void month_of(uuid id, int *year, int *month) {
    uint64_t ms = 0;
    for (size_t i = 0; i < 6; i++) {
        ms = ms << 8 | id.b[i];
    }
    const time_t s = (time_t)(ms / 1000);
    struct tm tm = {.tm_year = 0};
    (void)gmtime_r(&s, &tm);
    *year = tm.tm_year + 1900;
    *month = tm.tm_mon;
}

static void month_of_time(int64_t since_1970_s, int *year, int *month) {
    const time_t s = (time_t)since_1970_s;
    struct tm tm = {.tm_year = 0};
    (void)gmtime_r(&s, &tm);
    *year = tm.tm_year + 1900;
    *month = tm.tm_mon;
}

static void month_now(int *year, int *month) {
    month_of_time(clock_wall_us(clock_system()) / US_PER_S, year, month);
}

// --- The first time --------------------------------------------------------------------------------------------------

// Repairs leftovers of an interrupted run. Checks new rows from now on; the next step checks existing rows while all others work on.
static bool bound_tx(db_conn *c, arena *a, void *arg, err *e) {
    const keeper *k = arg;
    const char *t = k->t->name;
    return lock_soon(c, a, e) &&
           run(c, a, e, NULL, "ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s_upto", t, t) &&
           run(c, a, e, NULL,
               "ALTER TABLE %s ADD CONSTRAINT %s_upto CHECK (payout_id < '%s') NOT VALID", t, t,
               k->to);
}

// A row whose id has no time, or came from a clock far ahead: such a table stays as it is. Checked first, so that no writer of such a row
// is refused meanwhile.
static bool beyond_tx(db_conn *c, arena *a, void *arg, err *e) {
    keeper *k = arg;
    db_rows *rows = NULL;
    if (!run(c, a, e, &rows, "SELECT 1 FROM %s WHERE payout_id >= '%s' LIMIT 1", k->t->name,
             k->to)) {
        return false;
    }
    k->beyond = db_count(rows) > 0;
    return true;
}

static bool validate_tx(db_conn *c, arena *a, void *arg, err *e) {
    const keeper *k = arg;
    return run(c, a, e, NULL, "ALTER TABLE %s VALIDATE CONSTRAINT %s_upto", k->t->name, k->t->name);
}

static bool unbound_tx(db_conn *c, arena *a, void *arg, err *e) {
    const keeper *k = arg;
    return lock_soon(c, a, e) &&
           run(c, a, e, NULL, "ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s_upto", k->t->name,
               k->t->name);
}

// The check equals the partition's bounds, so PostgreSQL reads no rows.
static bool convert_tx(db_conn *c, arena *a, void *arg, err *e) {
    const keeper *k = arg;
    const char *t = k->t->name;
    return lock_soon(c, a, e) && run(c, a, e, NULL, "ALTER TABLE %s RENAME TO %s_first", t, t) &&
           run(c, a, e, NULL, "ALTER TABLE %s_first RENAME CONSTRAINT %s_pkey TO %s_first_pkey", t,
               t, t) &&
           run(c, a, e, NULL,
               "CREATE TABLE %s (LIKE %s_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS) "
               "PARTITION BY RANGE (payout_id)",
               t, t) &&
           run(c, a, e, NULL, "ALTER TABLE %s DROP CONSTRAINT %s_upto", t, t) &&
           run(c, a, e, NULL, "ALTER TABLE %s ADD CONSTRAINT %s_pkey PRIMARY KEY (%s)", t, t,
               k->t->key) &&
           run(c, a, e, NULL,
               "ALTER TABLE %s ATTACH PARTITION %s_first FOR VALUES FROM (MINVALUE) TO ('%s')", t,
               t, k->to) &&
           run(c, a, e, NULL, "ALTER TABLE %s_first DROP CONSTRAINT %s_upto", t, t) &&
           run(c, a, e, NULL, "CREATE TABLE %s_other PARTITION OF %s DEFAULT", t, t) &&
           run(c, a, e, NULL, "REVOKE ALL ON %s_first FROM payments_service", t) &&
           run(c, a, e, NULL, "GRANT SELECT, INSERT ON %s TO payments_service", t);
}

static bool convert(keeper *k) {
    int year = 0, month = 0;
    month_now(&year, &month);
    month_id(year, month + MONTHS_AHEAD, k->to);
    if (!transact(k, beyond_tx)) {
        return false;
    }
    if (k->beyond) {
        printf("%s has ids of a time to come, and is not partitioned\n", k->t->name);
        return true;
    }
    if (!transact(k, bound_tx)) {
        return false;
    }
    CRASH_POINT("partitions.bound");
    if (!transact(k, validate_tx)) { // a clock far ahead has made rows
        err ignored = *k->e;
        (void)transact(k, unbound_tx);
        *k->e = ignored;
        return false;
    }
    if (!transact(k, convert_tx)) {
        return false;
    }
    CRASH_POINT("partitions.converted");
    printf("%s is partitioned by time now; what was there is its first partition\n", k->t->name);
    return true;
}

// --- The coming months -----------------------------------------------------------------------------------------------

typedef struct bounds {
    keeper *k;
    bool is_partitioned;
    uuid upto; // the greatest existing bound
} bounds;

static bool look_tx(db_conn *c, arena *a, void *arg, err *e) {
    bounds *b = arg;
    db_rows *rows = NULL;
    if (!run(c, a, e, &rows,
             "SELECT CASE WHEN p.relkind = 'p' THEN 1 ELSE 0 END, coalesce(max(substring("
             "pg_get_expr(x.relpartbound, x.oid) FROM 'TO \\(''([0-9a-f-]{36})''\\)')), '') "
             "FROM pg_class p LEFT JOIN pg_inherits i ON i.inhparent = p.oid "
             "LEFT JOIN pg_class x ON x.oid = i.inhrelid "
             "WHERE p.oid = '%s'::regclass GROUP BY p.relkind",
             b->k->t->name)) {
        return false;
    }
    ASSERT(db_count(rows) == 1);
    b->is_partitioned = db_get_i32(rows, 0, 0) == 1;
    const str upto = db_get_str(rows, 0, 1);
    return !b->is_partitioned || uuid_parse(upto, &b->upto) ||
           err_set(e, ERR_FAILED_PRECONDITION, "PARTITIONS", "%s has partitions of another kind",
                   b->k->t->name);
}

// New rows lie in the default partition meanwhile, and move. A new partition is made apart and then attached, so that others can use the
// table.
static bool add_tx(db_conn *c, arena *a, void *arg, err *e) {
    const keeper *k = arg;
    const char *t = k->t->name;
    char x[80];
    (void)snprintf(x, sizeof x, "%s_%04d_%02d", t, k->year, k->month + 1);
    return lock_soon(c, a, e) &&
           run(c, a, e, NULL, "CREATE TABLE %s (LIKE %s INCLUDING ALL)", x, t) &&
           run(c, a, e, NULL,
               "ALTER TABLE %s SET (autovacuum_vacuum_insert_scale_factor = 0.05, "
               "autovacuum_analyze_scale_factor = 0.02)",
               x) &&
           run(c, a, e, NULL,
               "INSERT INTO %s SELECT * FROM %s_other WHERE payout_id >= '%s' AND payout_id < '%s'",
               x, t, k->from, k->to) &&
           run(c, a, e, NULL, "DELETE FROM %s_other WHERE payout_id >= '%s' AND payout_id < '%s'",
               t, k->from, k->to) &&
           run(c, a, e, NULL, "ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')",
               t, x, k->from, k->to);
}

static bool add_months(keeper *k, uuid upto) {
    int year = 0, month = 0;
    char last[UUID_TEXT_LEN + 1];
    month_now(&year, &month);
    month_id(year, month + MONTHS_AHEAD + 1, last);
    month_of(upto, &k->year, &k->month);
    uuid_format(upto, k->from);
    while (strcmp(k->from, last) < 0) {
        month_id(k->year, k->month + 1, k->to);
        if (!transact(k, add_tx)) {
            return false;
        }
        printf("%s has a partition for %04d-%02d\n", k->t->name, k->year, k->month + 1);
        memcpy(k->from, k->to, sizeof k->from);
        k->year += (k->month + 1) / 12;
        k->month = (k->month + 1) % 12;
        arena_reset(k->a);
    }
    return true;
}

// Shrinks an empty default partition on the disk: the gauge looks at its size.
static bool tidy_tx(db_conn *c, arena *a, void *arg, err *e) {
    const keeper *k = arg;
    const char *t = k->t->name;
    db_rows *size = NULL, *rows = NULL;
    if (!run(c, a, e, &size, "SELECT pg_relation_size('%s_other'::regclass)", t)) {
        return false;
    }
    if (db_get_i64(size, 0, 0) == 0) {
        return true;
    }
    return lock_soon(c, a, e) &&
           run(c, a, e, NULL, "LOCK TABLE %s_other IN ACCESS EXCLUSIVE MODE", t) &&
           run(c, a, e, &rows, "SELECT 1 FROM %s_other LIMIT 1", t) &&
           (db_count(rows) > 0 || run(c, a, e, NULL, "TRUNCATE %s_other", t));
}

static bool keep_table(keeper *k) {
    bounds b = {.k = k};
    const int64_t deadline = clock_mono_ms(clock_system()) + MAINTAIN_TIME_MS;
    if (!db_read(k->pool, deadline, k->a, look_tx, &b, k->e) ||
        (!b.is_partitioned &&
         (!convert(k) || !db_read(k->pool, deadline, k->a, look_tx, &b, k->e)))) {
        return false;
    }
    return !b.is_partitioned || (add_months(k, b.upto) && transact(k, tidy_tx));
}

// --- Empty partitions of the past -------------------------------------------------------------------------------------

// Partitions that end before k->to, oldest first.
static bool past_tx(db_conn *c, arena *a, void *arg, err *e) {
    keeper *k = arg;
    return run(
        c, a, e, &k->past,
        "SELECT x.relname::text FROM pg_inherits i JOIN pg_class x ON x.oid = i.inhrelid "
        "WHERE i.inhparent = '%s'::regclass AND substring(pg_get_expr(x.relpartbound, x.oid) "
        "FROM 'TO \\(''([0-9a-f-]{36})''\\)') <= '%s' "
        "ORDER BY pg_get_expr(x.relpartbound, x.oid)",
        k->t->name, k->to);
}

// Takes a lock against writers, since a payout of that time may still move.
static bool drop_tx(db_conn *c, arena *a, void *arg, err *e) {
    keeper *k = arg;
    db_rows *rows = NULL;
    if (!lock_soon(c, a, e) ||
        !run(c, a, e, NULL, "LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", k->name) ||
        !run(c, a, e, &rows, "SELECT 1 FROM %s LIMIT 1", k->name)) {
        return false;
    }
    k->dropped = db_count(rows) == 0;
    return !k->dropped ||
           (run(c, a, e, NULL, "ALTER TABLE %s DETACH PARTITION %s", k->t->name, k->name) &&
            run(c, a, e, NULL, "DROP TABLE %s", k->name));
}

static bool drop_empty(keeper *k) {
    int year = 0, month = 0;
    month_of_time(clock_wall_us(clock_system()) / US_PER_S - k->days * S_PER_DAY, &year, &month);
    month_id(year, month, k->to);
    if (!db_read(k->pool, clock_mono_ms(clock_system()) + MAINTAIN_TIME_MS, k->a, past_tx, k,
                 k->e)) {
        return false;
    }
    char names[PAST_MAX][NAME_LEN];
    const size_t n = db_count(k->past) < PAST_MAX ? db_count(k->past) : PAST_MAX;
    for (size_t i = 0; i < n; i++) {
        const str name = db_get_str(k->past, i, 0);
        (void)snprintf(names[i], sizeof names[i], "%.*s", (int)name.len, name.ptr);
    }
    for (size_t i = 0; i < n; i++) {
        k->name = names[i];
        arena_reset(k->a);
        if (!transact(k, drop_tx)) {
            return false;
        }
        if (k->dropped) {
            printf("%s was empty and is dropped\n", k->name);
        }
    }
    return true;
}

static bool for_each_table(const char *conninfo, int64_t days, bool (*fn)(keeper *k), err *e) {
    const db_pool_options o = {.conninfo = conninfo,
                               .application_name = "payments-svc-partitions",
                               .size = 1,
                               .statement_timeout_ms = MAINTAIN_TIME_MS,
                               .metrics_prefix = "partitions"};
    keeper k = {.pool = db_pool_create(&o, e), .a = arena_create(MEMORY), .e = e, .days = days};
    bool ok = k.pool != NULL;
    for (size_t i = 0; ok && i < sizeof TABLES / sizeof TABLES[0]; i++) {
        k.t = &TABLES[i];
        ok = fn(&k);
        arena_reset(k.a);
    }
    if (k.pool != NULL) {
        db_pool_destroy(k.pool);
    }
    arena_destroy(k.a);
    return ok;
}

bool partitions_keep(const char *conninfo, err *e) {
    return for_each_table(conninfo, 0, keep_table, e);
}

bool partitions_drop_empty(const char *conninfo, int64_t days, err *e) {
    return for_each_table(conninfo, days, drop_empty, e);
}
