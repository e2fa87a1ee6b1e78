// Shared by the files of this room only.
#ifndef DB_DB_INTERNAL_H
#define DB_DB_INTERNAL_H

#include <endian.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/metrics.h"
#include "db/db.h"

enum {
    DB_POOL_SIZE_MAX = 256,
    DB_PARAMS_MAX = 64,               // parameters of one statement
    DB_PIPE_MAX = 64,                 // statements of one pipeline
    DB_VALUE_MAX = 256 * 1024 * 1024, // bytes of one parameter
    DB_PREPARED_SLOTS = 512,          // per connection, a power of two
    DB_PREPARED_MAX = 384,
    DB_NAME_LEN = 64, // NAMEDATALEN: the server cuts longer names
    DB_COPY_BUFFER_LEN = 64 * 1024,
    DB_CONNECT_TIMEOUT_MS = 5000,
    DB_NETWORK_GRACE_MS = 1000, // time for the server's own time-out to reach us
    DB_ROLLBACK_TIMEOUT_MS = 2000,
    DB_LIFETIME_MS = 30 * 60 * 1000, // a connection is replaced after this, plus up to a quarter
    DB_RECONNECT_BASE_MS = 50,
    DB_RECONNECT_CAP_MS = 5000,
    DB_RETRY_BASE_MS = 4,
    DB_RETRY_CAP_MS = 500
};

// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
#define DB_EPOCH_US INT64_C(946684800000000)

struct db_params {
    arena *a;
    int n;
    Oid types[DB_PARAMS_MAX];
    const char *values[DB_PARAMS_MAX];
    int lengths[DB_PARAMS_MAX];
    int formats[DB_PARAMS_MAX];
    uint8_t small[DB_PARAMS_MAX][16]; // values of fixed width
    err_code failed;                  // sticky: reported when the statement runs
    const char *failed_why;
};

struct db_rows {
    PGresult *result; // NULL until the statement has run
};

// A statement that the server side of a connection knows.
typedef struct db_prepared {
    char name[DB_NAME_LEN]; // "" is a free slot
    uint64_t fingerprint;   // of the SQL text and the parameter types: one name, one meaning
    uint32_t generation;    // 0 first; counts up when the server's plan went stale
    bool ready;             // the server has it
} db_prepared;

struct db_copy {
    db_conn *c;
    int n_columns;
    int column; // values given of the current row
    int64_t n_rows;
    size_t len;
    bool active;
    bool failed;
    err error;
    uint8_t buffer[DB_COPY_BUFFER_LEN];
};

struct db_conn {
    PGconn *pg;
    db_pool *pool;
    db_conn *next;       // in the pool's idle list
    uint64_t number;     // in the order of connecting
    bool broken;         // must not return to the pool
    bool in_tx;          // between db_begin and its end
    bool read_only;      // inside db_read: a lost answer loses nothing
    int64_t deadline_ms; // of the transaction or the read; INT64_MAX: none
    int64_t statement_timeout_ms;
    int64_t expires_ms;
    db_prepared *prepared; // DB_PREPARED_SLOTS
    size_t n_prepared;
    db_copy *copy;       // made at the first COPY, kept
    const db_last *last; // of the transaction; NULL: none
    void *last_arg;
    arena *last_arena;
};

typedef struct db_waiter {
    pthread_cond_t wake;
    bool granted;
    db_conn *c; // NULL with granted: a slot to connect in
    struct db_waiter *next;
} db_waiter;

struct db_pool {
    char *conninfo;
    char *application_name;
    char *options;
    int size;
    int64_t statement_timeout_ms;
    pthread_mutex_t lock; // guards all below
    db_conn *idle;        // the oldest first
    int n_idle;
    int n_open; // idle, out, or being connected
    db_waiter *first, *last;
    int connect_failures; // in a row
    bool probing;         // one thread tries, while the others hear that the database is down
    int64_t connect_not_before_ms;
    char connect_error[160];
    uint64_t n_connected; // so far
    metric *in_use, *open, *wait, *discarded, *retries, *commit_unknown, *stalled_ended;
};

static inline void db_put16(uint8_t *out, uint16_t v) {
    v = htobe16(v);
    memcpy(out, &v, sizeof v);
}
static inline void db_put32(uint8_t *out, uint32_t v) {
    v = htobe32(v);
    memcpy(out, &v, sizeof v);
}
static inline void db_put64(uint8_t *out, uint64_t v) {
    v = htobe64(v);
    memcpy(out, &v, sizeof v);
}

// --- wire.c: one connection's socket, its answers and its errors. ----------------------------------------------------
int64_t db_now_ms(void);
// NULL and *e when there is no session by the deadline.
db_conn *db_wire_connect(db_pool *p, int64_t deadline_ms, err *e);
void db_wire_close(db_conn *c); // accepts NULL
// False when the other side of an idle connection has hung up. One system call.
bool db_wire_alive(db_conn *c);
// The time limit of an answer from now; the server's own time-outs come earlier.
int64_t db_wire_until(const db_conn *c);
// False (and *e) when the connection is broken or its deadline has passed; nothing was sent.
bool db_wire_ready(db_conn *c, err *e) WARN_UNUSED;
// Flushes, and waits until PQgetResult would not block. Breaks the connection on overrun.
bool db_wire_wait(db_conn *c, int64_t until_ms, err *e) WARN_UNUSED;
// Sends all buffered bytes.
bool db_wire_flush(db_conn *c, int64_t until_ms, err *e) WARN_UNUSED;
// The one answer to a statement: the first error, else the last result. NULL and *e on an error or a lost connection. what names the
// statement in the log.
PGresult *db_wire_result(db_conn *c, int64_t until_ms, const char *what, err *e);
// Simple protocol; only for this room's own text.
bool db_wire_command(db_conn *c, const char *sql, const char *expect_tag, int64_t until_ms,
                     err *e) WARN_UNUSED;
bool db_wire_lost(db_conn *c, err *e, const char *what); // marks broken; fills *e; false
bool db_err_from_result(err *e, const PGresult *r, const char *what);  // false
bool db_err_from_params(err *e, const db_params *p, const char *what); // false
// The plan was made for tables that changed, or the server forgot it: prepare again.
bool db_result_is_stale_plan(const PGresult *r);
bool db_err_is_stale_plan(const err *e);

// --- pool.c ----------------------------------------------------------------------------------------------------------
// An open and idle connection, if only the caller has one: then a processor is probably free as well. Else NULL.
db_conn *db_pool_spare(db_pool *p);

// --- exec.c ----------------------------------------------------------------------------------------------------------
db_prepared *db_prepared_find(db_conn *c, const db_stmt *s, const db_params *p);
void db_prepared_name(const db_prepared *d, char out[DB_NAME_LEN + 12]);
void db_prepared_forget(db_prepared *d);
// Prepares the statement if the connection does not know it, and sends it. False (and *e): d->ready tells whether it may have left.
bool db_send_statement(db_conn *c, const db_stmt *s, const db_params *p, db_prepared *d,
                       int64_t until_ms, err *e) WARN_UNUSED;
int db_send_prepare(db_conn *c, const db_stmt *s, const db_prepared *d, const db_params *p);
int db_send_prepared(db_conn *c, const db_prepared *d, const db_params *p);
// Made before the statement is sent, so that a lack of memory never hides an effect. NULL and *e.
db_rows *db_rows_create(arena *a, err *e);
int64_t db_result_affected(PGresult *r);
// Runs one statement, and prepares it where this connection has not. rows is the caller's, and empty.
bool db_exec_plain(db_conn *c, const db_stmt *s, const db_params *p, db_rows *rows,
                   int64_t *n_affected, err *e) WARN_UNUSED;

// --- pipe.c ----------------------------------------------------------------------------------------------------------
// True when the server must get a limit for the next statement: a read ends before the session's own limit.
bool db_read_is_limited(const db_conn *c);
// Runs one statement of such a read, after its limit in the same round trip. rows is the caller's, and empty.
bool db_exec_limited(db_conn *c, const db_stmt *s, const db_params *params, db_rows *rows,
                     int64_t *n_affected, err *e) WARN_UNUSED;

// The database's time minus our monotonic time, after a reading sent at sent_us and answered at answered_us. Before, the difference was
// offset_us, or not known.
int64_t db_clock_offset(int64_t offset_us, bool known, int64_t sent_us, int64_t answered_us,
                        int64_t database_us);

#endif
