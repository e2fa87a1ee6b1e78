// Shared by the tests against a real database. Run through with_postgres.sh. For tests only.
#ifndef TESTING_FIXTURE_H
#define TESTING_FIXTURE_H

#include "db/db.h"

const char *fixture_conninfo(void);   // of the private cluster
const char *fixture_server_dir(void); // folder of its socket
db_pool *fixture_pool(const char *conninfo, int size, int64_t statement_timeout_ms);
// Makes a database for payments-svc from a folder of migrations, and a pool with only the service's rights, so that a missing grant shows.
// Aborts on failure. Once a process.
db_pool *fixture_payments_pool(const char *migrations, int size, int64_t statement_timeout_ms);
// Opens n idle connections; at most 16, and as many as the pool has.
void fixture_open_idle(db_pool *p, int n);
int64_t fixture_deadline(int64_t ms); // monotonic, from now
// Runs SQL on its own connection; aborts on failure. out: the last statement's first cell, or "".
void fixture_sql(const char *sql, char *out, size_t out_len);
int64_t fixture_sql_i64(const char *sql);

#endif
