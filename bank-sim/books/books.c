#include "books/books.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/queue.h"
#include "books/books_internal.h"

enum { JOBS_MAX = 4096, GROUP_MAX = 512, BUSY_TIMEOUT_MS = 5000 };

typedef struct job {
    books_job fn;
    void *arg;
    err *error;
    bool ok;
    // lock guards done; the owner waits on it.
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} job;

struct books {
    books_tx writer;
    books_tx readers[BOOKS_LANES];
    pthread_mutex_t reader_locks[BOOKS_LANES]; // each guards its reader
    queue *jobs;
    pthread_t thread;
    bool thread_runs;
};

bool books_failed(books_tx *tx, err *e, const char *what) {
    int code = tx->db == NULL ? SQLITE_NOMEM : sqlite3_errcode(tx->db);
    if (code == SQLITE_CONSTRAINT) {
        (void)err_set(e, ERR_ALREADY_EXISTS, "ALREADY_EXISTS", "it is in the books already");
    } else {
        (void)err_set(e, ERR_UNAVAILABLE, "BOOKS", "the bank's books could not be used");
    }
    return err_detail(e, "%s: %s", what, tx->db == NULL ? "no connection" : sqlite3_errmsg(tx->db));
}

sqlite3_stmt *books_stmt(books_tx *tx, books_statement s, err *e) {
    if (tx->prepared[s] == NULL) {
        int rc = sqlite3_prepare_v3(tx->db, BOOKS_SQL[s], -1, SQLITE_PREPARE_PERSISTENT,
                                    &tx->prepared[s], NULL);
        if (rc != SQLITE_OK) {
            (void)books_failed(tx, e, BOOKS_SQL[s]);
            return NULL;
        }
    }
    (void)sqlite3_reset(tx->prepared[s]);
    (void)sqlite3_clear_bindings(tx->prepared[s]);
    return tx->prepared[s];
}

bool books_exec(books_tx *tx, sqlite3_stmt *s, err *e) {
    bool ok = sqlite3_step(s) == SQLITE_DONE || books_failed(tx, e, sqlite3_sql(s));
    (void)sqlite3_reset(s);
    return ok;
}

bool books_step(books_tx *tx, sqlite3_stmt *s, bool *row, err *e) {
    int rc = sqlite3_step(s);
    *row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW) {
        return true;
    }
    bool ok = rc == SQLITE_DONE || books_failed(tx, e, sqlite3_sql(s));
    (void)sqlite3_reset(s);
    return ok;
}

bool books_simple(books_tx *tx, books_statement s, err *e) {
    sqlite3_stmt *stmt = books_stmt(tx, s, e);
    return stmt != NULL && books_exec(tx, stmt, e);
}

// A bind fails only without memory or on a wrong index: both are beyond repair for a request.
void bind_i64(sqlite3_stmt *s, int at, int64_t value) {
    MUST(sqlite3_bind_int64(s, at, value) == SQLITE_OK);
}

void bind_str(sqlite3_stmt *s, int at, str value) {
    MUST(sqlite3_bind_text64(s, at, value.len == 0 ? "" : value.ptr, value.len, SQLITE_STATIC,
                             SQLITE_UTF8) == SQLITE_OK);
}

void bind_c(sqlite3_stmt *s, int at, const char *value) {
    bind_str(s, at, str_of(value));
}

void bind_blob(sqlite3_stmt *s, int at, const void *bytes, size_t len) {
    MUST(sqlite3_bind_blob64(s, at, len == 0 ? "" : bytes, len, SQLITE_STATIC) == SQLITE_OK);
}

str column_str(sqlite3_stmt *s, int column) {
    const char *text = (const char *)sqlite3_column_text(s, column);
    return text == NULL ? (str){"", 0} : (str){text, (size_t)sqlite3_column_bytes(s, column)};
}

void column_copy(sqlite3_stmt *s, int column, char *out, size_t out_len) {
    str text = column_str(s, column);
    size_t len = text.len < out_len ? text.len : out_len - 1;
    memcpy(out, text.ptr, len);
    out[len] = '\0';
}

static bool run_sql(books_tx *tx, const char *sql, err *e) {
    return sqlite3_exec(tx->db, sql, NULL, NULL, NULL) == SQLITE_OK || books_failed(tx, e, sql);
}

// True for books that are older than the version number.
static bool is_first_version(books_tx *tx, bool *old, err *e) {
    sqlite3_stmt *s = NULL;
    static const char SQL[] =
        "SELECT EXISTS(SELECT 1 FROM sqlite_master WHERE name='movements') AND"
        " (SELECT user_version FROM pragma_user_version)=0";
    if (sqlite3_prepare_v2(tx->db, SQL, -1, &s, NULL) != SQLITE_OK) {
        return books_failed(tx, e, SQL);
    }
    bool ok = sqlite3_step(s) == SQLITE_ROW || books_failed(tx, e, SQL);
    *old = ok && sqlite3_column_int(s, 0) == 1;
    (void)sqlite3_finalize(s);
    return ok;
}

static bool open_connection(books_tx *tx, const char *path, bool writer, err *e) {
    int flags = writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READWRITE;
    if (sqlite3_open_v2(path, &tx->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        return books_failed(tx, e, path);
    }
    (void)sqlite3_busy_timeout(tx->db, BUSY_TIMEOUT_MS);
    // Only this process needs the undo data of a savepoint, so memory is enough.
    if (!run_sql(tx,
                 "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-32768;"
                 "PRAGMA temp_store=MEMORY;",
                 e)) {
        return false;
    }
    if (!writer) {
        return run_sql(tx, "PRAGMA query_only=ON", e);
    }
    bool old = false;
    return is_first_version(tx, &old, e) && (!old || run_sql(tx, BOOKS_UPGRADE, e)) &&
           run_sql(tx, BOOKS_SCHEMA, e);
}

static void close_connection(books_tx *tx) {
    for (int i = 0; i < N_STATEMENTS; i++) {
        (void)sqlite3_finalize(tx->prepared[i]);
    }
    (void)sqlite3_close(tx->db);
}

static void run_job(books_tx *tx, job *j) {
    j->ok = books_simple(tx, S_SAVE, j->error) && j->fn(tx, j->arg, j->error);
    if (!j->ok && !sqlite3_get_autocommit(tx->db)) {
        err ignored = {0};
        (void)(books_simple(tx, S_UNDO, &ignored) && books_simple(tx, S_RELEASE, &ignored));
    } else if (j->ok) {
        j->ok = books_simple(tx, S_RELEASE, j->error);
    }
}

static void finish_job(job *j) {
    pthread_mutex_lock(&j->lock);
    j->done = true;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
}

// Runs all waiting jobs in one transaction. If it cannot be committed, nothing happened for any job.
static void run_group(books_tx *tx, job **jobs, size_t n) {
    err e = {0};
    bool begun = books_simple(tx, S_BEGIN, &e);
    // A full disk can end the whole transaction early. Then no later job may run outside of it.
    bool intact = begun;
    for (size_t i = 0; intact && i < n; i++) {
        run_job(tx, jobs[i]);
        intact = sqlite3_get_autocommit(tx->db) == 0;
    }
    if (begun && !intact) {
        (void)err_set(&e, ERR_UNAVAILABLE, "BOOKS", "the bank's books could not be written");
    }
    bool committed = intact && books_simple(tx, S_COMMIT, &e);
    if (!committed) {
        log_err(LOG_ERROR, "books.commit_failed", &e);
        if (begun && !sqlite3_get_autocommit(tx->db)) {
            err ignored = {0};
            if (!books_simple(tx, S_ROLLBACK, &ignored)) {
                log_err(LOG_ERROR, "books.rollback_failed", &ignored);
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!committed) {
            jobs[i]->ok = false;
            *jobs[i]->error = e;
        }
        finish_job(jobs[i]);
    }
}

static void *writer_main(void *arg) {
    books *b = arg;
    job *group[GROUP_MAX];
    size_t n = 0;
    while ((n = queue_pop_many(b->jobs, (void **)group, GROUP_MAX)) > 0) {
        run_group(&b->writer, group, n);
    }
    return NULL;
}

books *books_open(const char *path, err *e) {
    books *b = calloc(1, sizeof(*b));
    ASSERT(b != NULL);
    for (int i = 0; i < BOOKS_LANES; i++) {
        MUST(pthread_mutex_init(&b->reader_locks[i], NULL) == 0);
    }
    b->jobs = queue_create(JOBS_MAX);
    bool ok = open_connection(&b->writer, path, true, e);
    for (int i = 0; ok && i < BOOKS_LANES; i++) {
        ok = open_connection(&b->readers[i], path, false, e);
    }
    if (ok && pthread_create(&b->thread, NULL, writer_main, b) != 0) {
        ok = err_set(e, ERR_RESOURCE_EXHAUSTED, "THREAD", "no thread for the books");
    }
    b->thread_runs = ok;
    if (!ok) {
        books_close(b);
        b = NULL;
    }
    return b;
}

void books_close(books *b) {
    if (b == NULL) {
        return;
    }
    queue_close(b->jobs);
    if (b->thread_runs) {
        (void)pthread_join(b->thread, NULL);
    }
    queue_destroy(b->jobs);
    for (int i = 0; i < BOOKS_LANES; i++) {
        close_connection(&b->readers[i]);
        (void)pthread_mutex_destroy(&b->reader_locks[i]);
    }
    close_connection(&b->writer);
    free(b);
}

bool books_write(books *b, books_job fn, void *arg, err *e) {
    err own = {0};
    job j = {.fn = fn, .arg = arg, .error = &own};
    MUST(pthread_mutex_init(&j.lock, NULL) == 0 && pthread_cond_init(&j.changed, NULL) == 0);
    if (queue_push(b->jobs, &j)) {
        pthread_mutex_lock(&j.lock);
        while (!j.done) {
            pthread_cond_wait(&j.changed, &j.lock);
        }
        pthread_mutex_unlock(&j.lock);
    } else {
        j.ok = err_set(&own, ERR_UNAVAILABLE, "BUSY", "the bank is busy or closing");
    }
    if (!j.ok && e != NULL) {
        *e = own;
    }
    (void)pthread_cond_destroy(&j.changed);
    (void)pthread_mutex_destroy(&j.lock);
    return j.ok;
}

bool books_read(books *b, books_lane lane, books_job fn, void *arg, err *e) {
    err own = {0};
    pthread_mutex_lock(&b->reader_locks[lane]);
    bool ok = fn(&b->readers[lane], arg, &own);
    pthread_mutex_unlock(&b->reader_locks[lane]);
    if (!ok && e != NULL) {
        *e = own;
    }
    return ok;
}

bool books_movement(books_tx *tx, const books_move *m, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_MOVEMENT, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, m->rail);
    bind_i64(s, 2, m->item);
    bind_i64(s, 3, m->kind);
    bind_i64(s, 4, m->part);
    bind_i64(s, 5, m->amount);
    bind_c(s, 6, m->currency);
    bind_i64(s, 7, m->at_us);
    return books_exec(tx, s, e);
}

bool books_creditor(books_tx *tx, const books_creditor_row *c, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_CREDITOR_INSERT, e);
    if (s == NULL) {
        return false;
    }
    bind_i64(s, 1, c->rail);
    bind_i64(s, 2, c->item);
    bind_blob(s, 3, c->who, sizeof(c->who));
    bind_c(s, 4, c->account_type);
    bind_str(s, 5, c->sec);
    bind_str(s, 6, c->company_id);
    bind_str(s, 7, c->company_name);
    bind_str(s, 8, c->effective);
    bind_str(s, 9, c->description);
    return books_exec(tx, s, e);
}

bool books_counter_next(books_tx *tx, const char *name, int64_t *out, err *e) {
    sqlite3_stmt *s = books_stmt(tx, S_COUNTER, e);
    if (s == NULL) {
        return false;
    }
    bind_c(s, 1, name);
    bool row = false;
    if (!books_step(tx, s, &row, e) || !row) {
        return false;
    }
    *out = sqlite3_column_int64(s, 0);
    (void)sqlite3_reset(s);
    return true;
}

bool books_flush(books_tx *tx, err *e) {
    return books_simple(tx, S_FLUSH_FILES, e) && books_simple(tx, S_FLUSH_RETURNS, e) &&
           books_simple(tx, S_FLUSH_SETTLE, e) && books_simple(tx, S_FLUSH_RETURN, e) &&
           books_simple(tx, S_FLUSH_WEBHOOKS, e);
}
