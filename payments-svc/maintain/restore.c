// Loads archived rows into separate tables: they never mix with the rows in the services' tables.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "maintain/maintain_internal.h"

enum { BATCH_MAX = 500, SQL_MAX = 600, BATCH_BYTES = 512 << 20 };

typedef struct restoring {
    db_conn *c;
    arena *a;
    char table[40]; // table of the current batch
    str rows[BATCH_MAX];
    size_t n;
    bool made[64]; // which tables exist, by their place in known_tables
    int64_t n_read, n_new;
} restoring;

// The place of a table among the archived ones, from 0; -1 for any other table.
static int place_of(str table) {
    int place = 0;
    for (size_t k = 0; k < MAINTAIN_N_KINDS; k++) {
        for (const maintain_table *t = MAINTAIN_KINDS[k].tables; t->name != NULL; t++, place++) {
            if (str_eq_c(table, t->name)) {
                return place;
            }
        }
    }
    return -1;
}

// %s in the text becomes the table's name, which is ours.
static bool run(restoring *r, const char *name, const char *text, const db_params *p, int64_t *n,
                err *e) {
    char sql[SQL_MAX], statement[80];
    const char *t = r->table;
    (void)snprintf(statement, sizeof statement, "restore_%s_%s", name, t);
    strbuf b;
    strbuf_init_fixed(&b, sql, sizeof sql);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '@') {
            strbuf_add_c(&b, t);
        } else {
            strbuf_add_char(&b, *at);
        }
    }
    ASSERT(strbuf_ok(&b));
    return db_exec(r->c, &(db_stmt){statement, sql}, p, r->a, NULL, n, e);
}

static bool flush(restoring *r, err *e) {
    if (r->n == 0) {
        return true;
    }
    const int place = place_of(str_of(r->table));
    ASSERT(place >= 0 && place < 64);
    if (!r->made[place] &&
        !run(r, "table", "CREATE TABLE IF NOT EXISTS restored_@ (LIKE @ INCLUDING INDEXES)",
             db_params_create(r->a), NULL, e)) {
        return false;
    }
    r->made[place] = true;
    db_params *p = db_params_create(r->a);
    db_text_array(p, r->rows, r->n);
    int64_t n = 0;
    if (!run(r, "rows",
             "INSERT INTO restored_@ SELECT x.* FROM unnest($1::text[]) AS k(row) "
             "CROSS JOIN LATERAL jsonb_populate_record(NULL::@, k.row::jsonb) AS x "
             "ON CONFLICT DO NOTHING",
             p, &n, e)) {
        return false;
    }
    r->n_new += n;
    r->n = 0;
    arena_reset(r->a);
    return true;
}

static bool on_row(void *arg, str table, str json, err *e) {
    restoring *r = arg;
    if (place_of(table) < 0 || table.len >= sizeof r->table) {
        return err_set(e, ERR_FAILED_PRECONDITION, "ARCHIVE_DAMAGED",
                       "a row of a table that is never archived");
    }
    if ((r->n == BATCH_MAX || !str_eq_c(table, r->table)) && !flush(r, e)) {
        return false;
    }
    memcpy(r->table, table.ptr, table.len);
    r->table[table.len] = '\0';
    r->rows[r->n] = (str){arena_strndup(r->a, json.ptr, json.len), json.len};
    r->n_read++;
    return r->rows[r->n++].ptr != NULL || err_no_memory(e, "the list of rows");
}

bool maintain_restore(db_pool *pool, const char *path, err *e) {
    archive_info info;
    const int64_t deadline = clock_mono_ms(clock_system()) + MAINTAIN_TIME_MS;
    if (!archive_read_manifest(path, &info, e)) {
        return false;
    }
    restoring *r = calloc(1, sizeof *r);
    ASSERT(r != NULL);
    r->a = arena_create(BATCH_BYTES);
    r->c = db_pool_checkout(pool, deadline, e);
    bool ok = r->c != NULL && db_begin(r->c, deadline, e);
    if (ok) {
        ok = archive_read(path, &info, on_row, r, e) && flush(r, e) && db_commit(r->c, e);
        if (!ok) {
            db_rollback(r->c);
        }
    }
    db_pool_checkin(pool, r->c);
    if (ok) {
        printf("%s: %lld rows read, %lld of them new in restored_… tables\n", info.file,
               (long long)r->n_read, (long long)r->n_new);
    }
    arena_destroy(r->a);
    free(r);
    return ok;
}
