// Migrations: files in order, each in its own transaction, recorded with their hash. Any number of programs may run at once. Each
// transaction first locks the latest version's row and inserts its own row. So a second program waits, sees that it was overtaken, and
// looks again.
#include "db_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    MIGRATION_FILES_MAX = 9999,
    MIGRATION_FILE_LEN_MAX = 4 * 1024 * 1024,
    MIGRATION_NAME_LEN = 128
};

static const char TABLE_SQL[] =
    "CREATE TABLE IF NOT EXISTS schema_migration ("
    "version int PRIMARY KEY, name text NOT NULL, sha256 bytea NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT now())";
static const char LATEST_SQL[] =
    "SELECT version FROM schema_migration ORDER BY version DESC LIMIT 1";
static const char LOCK_LATEST_SQL[] =
    "SELECT version FROM schema_migration ORDER BY version DESC LIMIT 1 FOR UPDATE";

typedef struct migration {
    int version;
    char name[MIGRATION_NAME_LEN];
} migration;

typedef struct migrator {
    PGconn *pg;
    const char *dir;
    migration *files;
    size_t n_files;
} migrator;

// --- Files -----------------------------------------------------------------------------------------------------------

// "0001_name.sql" gives 1; 0 for any other name.
static int version_of(const char *name) {
    size_t len = strlen(name);
    int version = 0;
    if (len < sizeof "0000_x.sql" - 1 || len >= MIGRATION_NAME_LEN || name[4] != '_') {
        return 0;
    }
    for (size_t i = 0; i < 4; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return 0;
        }
        version = version * 10 + (name[i] - '0');
    }
    return version;
}

static int by_version(const void *a, const void *b) {
    return ((const migration *)a)->version - ((const migration *)b)->version;
}

static bool bad_file(err *e, const char *name, const char *why) {
    return err_set(e, ERR_FAILED_PRECONDITION, "BAD_MIGRATIONS", "migration %s %s", name, why);
}

static bool list_files(migrator *m, err *e) {
    DIR *d = opendir(m->dir);
    if (d == NULL) {
        return err_set(e, ERR_FAILED_PRECONDITION, "BAD_MIGRATIONS",
                       "cannot read the folder of migrations: %s", strerrordesc_np(errno));
    }
    bool ok = true;
    const struct dirent *entry;
    while (ok && m->n_files < MIGRATION_FILES_MAX && (entry = readdir(d)) != NULL) {
        size_t len = strlen(entry->d_name);
        // schema.sql shows people the result of all migrations.
        if (len < 4 || strcmp(entry->d_name + len - 4, ".sql") != 0 ||
            strcmp(entry->d_name, "schema.sql") == 0) {
            continue;
        }
        int version = version_of(entry->d_name);
        if (version == 0) {
            ok = bad_file(e, entry->d_name, "is not named NNNN_name.sql");
            break;
        }
        m->files[m->n_files].version = version;
        memcpy(m->files[m->n_files].name, entry->d_name, len + 1);
        m->n_files++;
    }
    (void)closedir(d);
    if (ok && m->n_files > 1) {
        qsort(m->files, m->n_files, sizeof *m->files, by_version);
    }
    for (size_t i = 1; ok && i < m->n_files; i++) {
        if (m->files[i].version == m->files[i - 1].version) {
            ok = bad_file(e, m->files[i].name, "has the number of another");
        }
    }
    return ok;
}

// @owned, NUL-terminated. NULL and *e.
static char *read_migration(const migrator *m, const migration *f, size_t *len, err *e) {
    char path[4096];
    char *text = NULL;
    FILE *in = NULL;
    int n = snprintf(path, sizeof path, "%s/%s", m->dir, f->name);
    if (n < 0 || (size_t)n >= sizeof path || (in = fopen(path, "rbe")) == NULL) {
        (void)bad_file(e, f->name, "cannot be read");
        return NULL;
    }
    text = malloc(MIGRATION_FILE_LEN_MAX + 1);
    ASSERT(text != NULL);
    *len = fread(text, 1, MIGRATION_FILE_LEN_MAX + 1, in);
    bool ok = ferror(in) == 0 && *len <= MIGRATION_FILE_LEN_MAX;
    (void)fclose(in);
    if (ok) {
        text[*len] = '\0';
        ok = strlen(text) == *len;
    }
    if (!ok) {
        (void)bad_file(e, f->name, "cannot be read, is too large or holds a NUL");
        free(text);
        return NULL;
    }
    return text;
}

// --- Database --------------------------------------------------------------------------------------------------------

// Checks a result; NULL and *e on an error.
static PGresult *checked(migrator *m, PGresult *r, const char *what, err *e) {
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        return r;
    }
    if (r == NULL || PQresultErrorField(r, PG_DIAG_SQLSTATE) == NULL) {
        (void)err_set(e, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is not available");
        (void)err_detail(e, "%s: %s", what, PQerrorMessage(m->pg));
    } else {
        (void)db_err_from_result(e, r, what);
    }
    PQclear(r);
    return NULL;
}

static bool command(migrator *m, const char *sql, err *e) {
    PGresult *r = checked(m, PQexec(m->pg, sql), sql, e);
    PQclear(r);
    return r != NULL;
}

static int line_of(const char *text, const PGresult *r) {
    const char *position = PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION);
    int64_t at = 0;
    int line = 1;
    if (position == NULL || !str_to_i64(str_of(position), 1, INT32_MAX, &at)) {
        return 0;
    }
    // The position counts characters, not bytes.
    for (; *text != '\0' && at > 1; text++) {
        line += *text == '\n' ? 1 : 0;
        at -= (text[1] & 0xc0) != 0x80 ? 1 : 0;
    }
    return line;
}

static bool run_file(migrator *m, const migration *f, const char *text, err *e) {
    PGresult *r = PQexec(m->pg, text);
    ExecStatusType status = PQresultStatus(r);
    bool ok =
        status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
    if (!ok) {
        char what[MIGRATION_NAME_LEN + 32];
        (void)snprintf(what, sizeof what, "%s line %d", f->name, line_of(text, r));
        err why = {0};
        r = checked(m, r, what, &why);
        ASSERT(r == NULL);
        (void)err_set(e, why.code == ERR_UNAVAILABLE ? ERR_UNAVAILABLE : ERR_FAILED_PRECONDITION,
                      "MIGRATION_FAILED", "migration %s failed, nothing of it was kept", f->name);
        if (e != NULL) {
            memcpy(e->sqlstate, why.sqlstate, sizeof e->sqlstate);
        }
        return err_detail(e, "%s", why.detail);
    }
    PQclear(r);
    if (PQtransactionStatus(m->pg) != PQTRANS_INTRANS) {
        return bad_file(e, f->name, "ends the transaction that it runs in");
    }
    return true;
}

// The first step of a migration's transaction: from here on no other program applies one, until this one is committed or gone. *overtaken:
// another program has applied one after `last`. The new look after the lock is needed because a waiter gets the locked row, and not a row
// that was added meanwhile.
static bool lock_versions(migrator *m, int last, bool *overtaken, err *e) {
    int64_t latest = 0;
    if (!command(m, LOCK_LATEST_SQL, e)) {
        return false;
    }
    PGresult *r = checked(m, PQexec(m->pg, LATEST_SQL), "schema_migration", e);
    if (r == NULL) {
        return false;
    }
    MUST(PQntuples(r) == 0 ||
         str_to_i64(str_of(PQgetvalue(r, 0, 0)), 1, MIGRATION_FILES_MAX, &latest));
    PQclear(r);
    *overtaken = latest != last;
    return true;
}

// Before the first version there is no row to lock: the key of the first one makes a second program wait.
static bool record(migrator *m, const migration *f, const char *text, size_t len, bool *overtaken,
                   err *e) {
    char version[16];
    (void)snprintf(version, sizeof version, "%d", f->version);
    const char *const values[] = {version, f->name, text};
    const int lengths[] = {0, 0, (int)len};
    const int formats[] = {0, 0, 1};
    const Oid types[] = {OID_INT4, OID_TEXT, OID_BYTEA};
    PGresult *r = checked(m,
                          PQexecParams(m->pg,
                                       "INSERT INTO schema_migration (version, name, sha256)"
                                       " VALUES ($1, $2, sha256($3)) ON CONFLICT DO NOTHING",
                                       3, types, values, lengths, formats, 0),
                          f->name, e);
    if (r == NULL) {
        return false;
    }
    *overtaken = strcmp(PQcmdTuples(r), "1") != 0;
    PQclear(r);
    return true;
}

static bool run_in_transaction(migrator *m, const migration *f, int last, const char *text,
                               size_t len, bool *overtaken, err *e) {
    return command(m, "BEGIN", e) && lock_versions(m, last, overtaken, e) &&
           (*overtaken || record(m, f, text, len, overtaken, e)) &&
           (*overtaken || run_file(m, f, text, e));
}

// last: the version before. *overtaken: nothing was done, since another program was faster.
static bool apply(migrator *m, const migration *f, int last, bool *overtaken, err *e) {
    int64_t start_ms = db_now_ms();
    size_t len = 0;
    *overtaken = false;
    char *text = read_migration(m, f, &len, e);
    if (text == NULL) {
        return false;
    }
    bool ok = run_in_transaction(m, f, last, text, len, overtaken, e);
    if (ok && !*overtaken) {
        PGresult *r = checked(m, PQexec(m->pg, "COMMIT"), f->name, e);
        ok = r != NULL && strcmp(PQcmdStatus(r), "COMMIT") == 0;
        if (r != NULL && !ok) {
            (void)bad_file(e, f->name, "was rolled back");
        }
        PQclear(r);
    } else {
        PQclear(PQexec(m->pg, "ROLLBACK"));
    }
    free(text);
    if (ok && !*overtaken) {
        (void)fprintf(stdout, "%s  applied in %lld ms\n", f->name,
                      (long long)(db_now_ms() - start_ms));
        (void)fflush(stdout);
    }
    return ok;
}

// An applied file must be unchanged.
static bool check_unchanged(migrator *m, const migration *f, err *e) {
    size_t len = 0;
    char version[16];
    char *text = read_migration(m, f, &len, e);
    if (text == NULL) {
        return false;
    }
    (void)snprintf(version, sizeof version, "%d", f->version);
    const char *const values[] = {version, f->name, text};
    const int lengths[] = {0, 0, (int)len};
    const int formats[] = {0, 0, 1};
    const Oid types[] = {OID_INT4, OID_TEXT, OID_BYTEA};
    PGresult *r = checked(m,
                          PQexecParams(m->pg,
                                       "SELECT 1 FROM schema_migration"
                                       " WHERE version = $1 AND name = $2 AND sha256 = sha256($3)",
                                       3, types, values, lengths, formats, 0),
                          f->name, e);
    free(text);
    if (r == NULL) {
        return false;
    }
    bool same = PQntuples(r) == 1;
    PQclear(r);
    if (!same) {
        return bad_file(e, f->name, "was changed or renamed after it was applied");
    }
    return true;
}

// Fills *last with the highest applied version, 0 for none. Reports later ones than before as unchanged.
static bool check_applied(migrator *m, int *last, err *e) {
    PGresult *r =
        checked(m, PQexec(m->pg, "SELECT version, name FROM schema_migration ORDER BY version"),
                "schema_migration", e);
    if (r == NULL) {
        return false;
    }
    const int said = *last;
    bool ok = true;
    size_t at = 0;
    *last = 0;
    for (int i = 0; ok && i < PQntuples(r); i++) {
        int64_t version = 0;
        MUST(str_to_i64(str_of(PQgetvalue(r, i, 0)), 1, MIGRATION_FILES_MAX, &version));
        const migration *file = at < m->n_files ? &m->files[at] : NULL;
        if (file != NULL && file->version < version) {
            ok = bad_file(e, file->name, "comes before one that is applied already");
        } else if (file == NULL || file->version > version) {
            ok = bad_file(e, PQgetvalue(r, i, 1), "was applied, and its file is missing");
        } else {
            ok = check_unchanged(m, file, e);
            if (ok && version > said) {
                (void)fprintf(stdout, "%s  unchanged\n", file->name);
            }
        }
        *last = (int)version;
        at++;
    }
    PQclear(r);
    return ok;
}

// If two programs make it at once, the second fails when the first commits, and then finds it.
static bool make_table(migrator *m, err *e) {
    err why = {0};
    return command(m, TABLE_SQL, &why) || command(m, TABLE_SQL, e);
}

// Applies the missing ones, until none is left or another program comes in between.
static bool apply_rest(migrator *m, int *last, bool *overtaken, err *e) {
    for (size_t i = 0; i < m->n_files; i++) {
        if (m->files[i].version <= *last) {
            continue;
        }
        if (!apply(m, &m->files[i], *last, overtaken, e)) {
            return false;
        }
        if (*overtaken) {
            return true;
        }
        *last = m->files[i].version;
    }
    return true;
}

static bool bring_up(migrator *m, err *e) {
    int last = 0;
    bool overtaken = false;
    if (!make_table(m, e)) {
        return false;
    }
    do {
        overtaken = false;
        if (!check_applied(m, &last, e) || !apply_rest(m, &last, &overtaken, e)) {
            return false;
        }
    } while (overtaken);
    return true;
}

static void ignore_notice(void *arg, const PGresult *r) {
    (void)arg;
    (void)r;
}

bool db_migrate(const char *conninfo, const char *dir, err *e) {
    migrator m = {.dir = dir};
    m.files = calloc(MIGRATION_FILES_MAX, sizeof *m.files);
    ASSERT(m.files != NULL);
    const char *const keys[] = {"connect_timeout", "keepalives_idle",  "gssencmode",
                                "dbname",          "application_name", NULL};
    const char *const values[] = {"10", "10", "disable", conninfo, "disburse-migrate", NULL};
    if (!list_files(&m, e)) {
        free(m.files);
        return false;
    }
    m.pg = PQconnectdbParams(keys, values, 1);
    ASSERT(m.pg != NULL);
    (void)PQsetNoticeReceiver(m.pg, ignore_notice, NULL);
    bool ok = PQstatus(m.pg) == CONNECTION_OK;
    if (!ok) {
        (void)err_set(e, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is not available");
        (void)err_detail(e, "connect: %s", PQerrorMessage(m.pg));
    }
    ok = ok && bring_up(&m, e);
    PQfinish(m.pg);
    free(m.files);
    return ok;
}
