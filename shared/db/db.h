// PostgreSQL: a pool of connections, transactions with retry, statements with binary parameters, COPY.
// A connection (db_conn) belongs to one thread at a time. All waiting is bounded by a deadline in monotonic milliseconds.
#ifndef DB_DB_H
#define DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

typedef struct db_pool db_pool;
typedef struct db_conn db_conn;
typedef struct db_rows db_rows;

typedef struct db_pool_options {
    // libpq keywords; the pool adds keepalives, time-outs and application_name
    const char *conninfo;
    const char *application_name;
    int size;                     // 1 … 256 connections
    int64_t statement_timeout_ms; // upper bound for any statement
    const char *metrics_prefix;   // label value pool="…"
    // "-c name=value …" for every session; NULL: none. The conninfo's options win
    const char *session_options;
} db_pool_options;

// Connects lazily: a database that is down fails a checkout with UNAVAILABLE, not the creation. NULL and *e on bad options.
db_pool *db_pool_create(const db_pool_options *o, err *e);
void db_pool_destroy(db_pool *p); // all connections must be back
// First come, first served. UNAVAILABLE when the database cannot be reached, RESOURCE_EXHAUSTED when no connection came free in time.
db_conn *db_pool_checkout(db_pool *p, int64_t deadline_mono_ms, err *e);
// Discards the connection unless it is idle and healthy. Accepts NULL.
void db_pool_checkin(db_pool *p, db_conn *c);
bool db_pool_ping(db_pool *p, int64_t deadline_mono_ms, err *e) WARN_UNUSED; // for health

// --- Statements. SQL text lives in a registry table of the service, so that a test can read every string. -----------
typedef struct db_stmt {
    const char *name; // unique in the service; also the name of the prepared statement
    const char *sql;  // one statement, $1 … $n
} db_stmt;

// pg_type.oid of the types that we send and read; PostgreSQL never changes them.
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_CHAR = 18,
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_BYTEA_ARRAY = 1001,
    OID_INT2_ARRAY = 1005,
    OID_INT4_ARRAY = 1007,
    OID_TEXT_ARRAY = 1009,
    OID_INT8_ARRAY = 1016,
    OID_BPCHAR = 1042,
    OID_VARCHAR = 1043,
    OID_TIMESTAMPTZ = 1184,
    OID_TIMESTAMPTZ_ARRAY = 1185,
    OID_UUID = 2950,
    OID_UUID_ARRAY = 2951,
    OID_JSONB = 3802,
    OID_XID8 = 5069,
    OID_FIRST_USER = 16384 // enums and domains of our own migrations
};

// Parameters: a builder with a fixed maximum (64). Values are copied and sent in binary, so nothing is ever escaped. A value that cannot be
// sent (text that is not UTF-8, no memory) fails its statement. A statement must get the same types each time: this is asserted.
typedef struct db_params db_params;
db_params *db_params_create(arena *a); // @arena
void db_i64(db_params *p, int64_t v);  // int8
void db_i32(db_params *p, int32_t v);  // int4
void db_i16(db_params *p, int16_t v);  // int2
void db_bool(db_params *p, bool v);
void db_text(db_params *p, str v);                      // text; must be valid UTF-8 without NUL
void db_bytes(db_params *p, const void *v, size_t len); // bytea
void db_uuid(db_params *p, uuid v);
void db_time(db_params *p, int64_t wall_us); // timestamptz
void db_null(db_params *p, unsigned oid);    // OID_…: the parameter's usual type
// Arrays for unnest() and ANY(). The values are copied into the arena.
void db_i64_array(db_params *p, const int64_t *v, size_t n);
void db_i32_array(db_params *p, const int32_t *v, size_t n);
void db_i16_array(db_params *p, const int16_t *v, size_t n);
void db_uuid_array(db_params *p, const uuid *v, size_t n);
void db_text_array(db_params *p, const str *v, size_t n);           // v[i].ptr == NULL is SQL NULL
void db_bytes_array(db_params *p, const str *v, size_t n);          // bytea[]; NULL as above
void db_time_array(db_params *p, const int64_t *wall_us, size_t n); // INT64_MIN is SQL NULL

// Runs one statement (prepared on first use of the connection). Outside of a transaction it commits itself, so a lost answer is
// ERR_COMMIT_UNKNOWN (but not in db_read). *rows, if wanted, lives in the arena. n_affected may be NULL.
bool db_exec(db_conn *c, const db_stmt *s, const db_params *p, arena *a, db_rows **rows,
             int64_t *n_affected, err *e) WARN_UNUSED;

// Runs half of a read on a second connection, while the caller runs the other half on c. Only for rows that do not change, since each half
// sees its own moment. NULL when no connection is open and idle, when others use the pool (then no processor is spare either), in a
// transaction, or near the deadline: then the caller runs it on c afterwards.
typedef struct db_aside db_aside;
db_aside *db_aside_start(db_conn *c, const db_stmt *s, const db_params *p, arena *a);
// Waits for the result; call it for each start. NULL when x is NULL or has failed for any reason: run the statement on c.
db_rows *db_aside_finish(db_aside *x);

// --- Pipelines: several statements in one round trip. ----------------------------------------------------------------
// db_pipe_begin; db_pipe_add … (n ≤ 64); db_pipe_run. Results are by index, in the order added. After the first failure no later statement
// runs; *e names the failed one. No COPY inside. Outside of a transaction (and of db_read) a pipeline is a transaction without BEGIN and
// COMMIT: PostgreSQL commits all of it at its end, or nothing. A lost answer, or a refusal at the very end, is ERR_COMMIT_UNKNOWN.
typedef struct db_pipe db_pipe;
db_pipe *db_pipe_begin(db_conn *c, arena *a);
void db_pipe_add(db_pipe *p, const db_stmt *s, const db_params *params);
// BEGIN as the first statement, COMMIT as the last: like db_begin and db_commit, without their round trips. The pool's statement_timeout_ms
// bounds the statements, not the transaction's deadline. After a failed run without ERR_COMMIT_UNKNOWN the caller rolls back. A condition
// for the COMMIT must make a statement fail.
void db_pipe_add_begin(db_pipe *p, int64_t deadline_mono_ms);
void db_pipe_add_commit(db_pipe *p);
bool db_pipe_run(db_pipe *p, err *e) WARN_UNUSED;
db_rows *db_pipe_rows(db_pipe *p, size_t index);
int64_t db_pipe_affected(db_pipe *p, size_t index);
// After a failed run: index of the failed statement; the count if no statement failed.
size_t db_pipe_failed(const db_pipe *p);

// --- Rows (binary results). Asserts on a wrong type width: that is a bug in our SQL. ---------------------------------
size_t db_count(const db_rows *r);
bool db_is_null(const db_rows *r, size_t row, int col);
int64_t db_get_i64(const db_rows *r, size_t row, int col);
int32_t db_get_i32(const db_rows *r, size_t row, int col);
int16_t db_get_i16(const db_rows *r, size_t row, int col);
bool db_get_bool(const db_rows *r, size_t row, int col);
// text, bytea, json, jsonb or our enums; borrowed from the rows. NULL gives {NULL, 0}; every other getter asserts on NULL.
str db_get_str(const db_rows *r, size_t row, int col);
uuid db_get_uuid(const db_rows *r, size_t row, int col);
uuid db_get_uuid_or_nil(const db_rows *r, size_t row, int col); // nil for NULL
int64_t db_get_time(const db_rows *r, size_t row, int col);     // timestamptz → wall_us

// --- Transactions. ---------------------------------------------------------------------------------------------------
// READ COMMITTED. SET LOCAL statement_timeout follows the deadline, in the same round trip.
bool db_begin(db_conn *c, int64_t deadline_mono_ms, err *e) WARN_UNUSED;
// If the answer to COMMIT is lost, the error has ERR_COMMIT_UNKNOWN: the caller looks its ids up.
bool db_commit(db_conn *c, err *e) WARN_UNUSED;
// Never fails: a connection that cannot roll back is discarded at checkin.
void db_rollback(db_conn *c);
// Statements that run last, in the round trip of the COMMIT: for locks that many transactions want, to hold them as briefly as possible.
typedef struct db_last {
    // Adds at most DB_LAST_MAX statements. False: the transaction is rolled back. @thread the committing one.
    bool (*add)(void *arg, db_pipe *p, err *e);
    // Called after the answer to COMMIT, with the statements' results: the first is number 0.
    void (*done)(void *arg, db_pipe *p);
} db_last;
enum { DB_LAST_MAX = 60 };
// Once per transaction: until its end, db_last_arg returns arg. An earlier one must have ended with its transaction. The arena holds the
// statements. @borrows last: static; arg and a until the transaction's end.
void db_at_commit(db_conn *c, const db_last *last, void *arg, arena *a);
// NULL: not set in this transaction.
void *db_last_arg(const db_conn *c, const db_last *last);
// Begins, runs fn, commits. Retries the whole after 40001, 40P01, and a connection lost before COMMIT, with jitter, until the deadline. fn
// must leave no effects outside of the database. The arena is not reset between tries.
typedef bool (*db_tx_fn)(db_conn *c, arena *a, void *arg, err *e);
bool db_transact(db_pool *p, int64_t deadline_mono_ms, arena *a, db_tx_fn fn, void *arg,
                 err *e) WARN_UNUSED;
// Like db_transact without BEGIN/COMMIT: a read-only sequence, retried on a lost connection. If less time is left than nine tenths of the
// pool's statement_timeout_ms, each statement brings its limit in the same round trip, and the server itself ends it.
bool db_read(db_pool *p, int64_t deadline_mono_ms, arena *a, db_tx_fn fn, void *arg,
             err *e) WARN_UNUSED;

// --- Sessions whose client stands still. -----------------------------------------------------------------------------
// A stopped process keeps the locks of its open transactions. Between two statements PostgreSQL ends such a session after
// idle_in_transaction_session_timeout (the pool's: 30 s, or statement_timeout_ms if that is more). In the middle of a statement, such as a
// COPY, PostgreSQL waits for ever. This call ends such sessions after the same time: sessions of the pool's role in its database, of any
// process. *n: their number.
bool db_end_stalled(db_pool *p, int64_t deadline_mono_ms, arena *a, int64_t *n, err *e) WARN_UNUSED;
// The same every two to six seconds, in its own thread.
typedef struct db_watch db_watch;
db_watch *db_watch_start(db_pool *p);
void db_watch_stop(db_watch *w); // before the pool is destroyed; accepts NULL

// --- The database's clock. -------------------------------------------------------------------------------------------
// Anchors clock_system() to the database's clock (base/clock.h), and keeps the anchor. From then on all processes on a database share one
// time, and steps of a machine's own clock have no effect. Between two readings the monotonic clock counts.
typedef struct db_clock db_clock;
// Reads the clock at once, and then every every_ms in its own thread. A missing database is no error: until it answers, the process has its
// machine's time. One in a process.
db_clock *db_clock_start(db_pool *p, int64_t every_ms);
// The machine's clock minus the database's, now. 0 while the database was never read. Any thread.
int64_t db_clock_gap_us(const db_clock *c);
void db_clock_stop(db_clock *c); // before the pool is destroyed; accepts NULL. The anchor stays

// --- COPY … FROM STDIN (FORMAT binary), inside the current transaction. ----------------------------------------------
typedef struct db_copy db_copy;
// columns: "a, b, c". Buffers in 64 KiB blocks.
db_copy *db_copy_begin(db_conn *c, const char *table, const char *columns, int n_columns, err *e);
void db_copy_row(db_copy *w); // starts a row; then exactly n_columns values
void db_copy_i64(db_copy *w, int64_t v);
void db_copy_i32(db_copy *w, int32_t v);
void db_copy_i16(db_copy *w, int16_t v);
void db_copy_bool(db_copy *w, bool v);
void db_copy_text(db_copy *w, str v);
void db_copy_bytes(db_copy *w, const void *v, size_t len);
void db_copy_uuid(db_copy *w, uuid v);
void db_copy_time(db_copy *w, int64_t wall_us);
void db_copy_null(db_copy *w);
bool db_copy_end(db_copy *w, int64_t *n_rows, err *e) WARN_UNUSED; // frees w in every case

// --- Migrations. -----------------------------------------------------------------------------------------------------
// Applies dir/NNNN_*.sql in order, each in its own transaction, recorded with its SHA-256 in schema_migration. Refuses when an applied file
// has changed or is missing. conninfo must be the migrator's. Prints one line per file to stdout.
bool db_migrate(const char *conninfo, const char *dir, err *e) WARN_UNUSED;

// The native handle, for tests only.
void *db_conn_native(db_conn *c);

#endif
