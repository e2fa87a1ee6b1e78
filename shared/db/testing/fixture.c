#include "testing/fixture.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

enum { OPEN_MAX = 16 };

const char *fixture_conninfo(void) {
    const char *s = getenv("DISBURSE_TEST_CONNINFO");
    ASSERT(s != NULL); // run the test through with_postgres.sh
    return s;
}

const char *fixture_server_dir(void) {
    const char *s = getenv("DISBURSE_TEST_PG_DIR");
    ASSERT(s != NULL);
    return s;
}

db_pool *fixture_pool(const char *conninfo, int size, int64_t statement_timeout_ms) {
    err e = {0};
    db_pool_options o = {.conninfo = conninfo,
                         .application_name = "db-test",
                         .size = size,
                         .statement_timeout_ms = statement_timeout_ms,
                         .metrics_prefix = "test"};
    db_pool *p = db_pool_create(&o, &e);
    ASSERT(p != NULL);
    return p;
}

db_pool *fixture_payments_pool(const char *migrations, int size, int64_t statement_timeout_ms) {
    static char conninfo[256]; // the pool borrows it
    err e = {0};
    fixture_sql("CREATE ROLE payments_service LOGIN", NULL, 0);
    if (!db_migrate(fixture_conninfo(), migrations, &e)) {
        (void)fprintf(stderr, "%s: %s %s\n", e.reason, e.message, e.detail);
        ASSERT(!"fixture_payments_pool");
    }
    (void)snprintf(conninfo, sizeof conninfo, "host=%s user=payments_service dbname=postgres",
                   fixture_server_dir());
    return fixture_pool(conninfo, size, statement_timeout_ms);
}

void fixture_open_idle(db_pool *p, int n) {
    db_conn *c[OPEN_MAX];
    ASSERT(n <= OPEN_MAX);
    for (int i = 0; i < n; i++) {
        c[i] = db_pool_checkout(p, fixture_deadline(5000), NULL);
        ASSERT(c[i] != NULL);
    }
    for (int i = 0; i < n; i++) {
        db_pool_checkin(p, c[i]);
    }
}

int64_t fixture_deadline(int64_t ms) {
    return clock_mono_ms(clock_system()) + ms;
}

void fixture_sql(const char *sql, char *out, size_t out_len) {
    PGconn *pg = PQconnectdb(fixture_conninfo());
    PGresult *r = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        (void)fprintf(stderr, "%s", PQerrorMessage(pg));
        ASSERT(!"fixture_sql");
    }
    if (out_len > 0) {
        (void)snprintf(out, out_len, "%s", PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "");
    }
    PQclear(r);
    PQfinish(pg);
}

int64_t fixture_sql_i64(const char *sql) {
    char text[32];
    int64_t v = 0;
    fixture_sql(sql, text, sizeof text);
    MUST(str_to_i64(str_of(text), INT64_MIN, INT64_MAX, &v));
    return v;
}
