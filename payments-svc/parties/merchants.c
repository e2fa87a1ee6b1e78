#include "parties/merchants.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/map.h"
#include "command/written_by.h"
#include "parties/parties_sql.h"

enum { MERCHANTS_KEPT_MAX = 1000000, DEFAULTS_READ_MS = 1000 };
static const int64_t DAY_US = (int64_t)24 * 3600 * 1000000;

// A kept m never changes. The store's lock guards defaults and read_ms.
typedef struct kept_merchant {
    merchant m;
    merchant_defaults defaults;
    int64_t read_ms; // monotonic: defaults are at least this new
} kept_merchant;

struct merchant_store {
    db_pool *pool, *intake;
    pthread_mutex_t lock; // guards known, and its values' changing fields
    map *known;           // derived id of the merchant id → kept_merchant; never removed
};

static uuid key_of(str merchant_id) {
    return uuid_derive(&merchant_id, 1);
}

merchant_store *merchant_store_create(db_pool *pool, db_pool *intake) {
    merchant_store *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    s->pool = pool;
    s->intake = intake;
    s->known = map_create(1024, MERCHANTS_KEPT_MAX);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void merchant_store_destroy(merchant_store *s) {
    if (s == NULL) {
        return;
    }
    map_iter it = map_begin(s->known);
    while (map_next(&it)) {
        free(it.value);
    }
    map_destroy(s->known);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void copy_text(char *out, size_t out_len, str s) {
    ASSERT(s.len < out_len); // the table's CHECKs are stricter than these fields
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
}

// Reads "1:3,2:5". Skips anything that a later version may have written.
static void read_defaults(str text, merchant_defaults *out) {
    *out = (merchant_defaults){0};
    for (str left = text; left.len > 0;) {
        const char *comma = memchr(left.ptr, ',', left.len);
        const size_t len = comma == NULL ? left.len : (size_t)(comma - left.ptr);
        const char *colon = memchr(left.ptr, ':', len);
        int64_t rail = 0, connection = 0;
        if (colon != NULL && out->n < MERCHANT_DEFAULTS_MAX &&
            str_to_i64((str){left.ptr, (size_t)(colon - left.ptr)}, 1, INT16_MAX, &rail) &&
            str_to_i64((str){colon + 1, len - (size_t)(colon + 1 - left.ptr)}, 1, INT16_MAX,
                       &connection)) {
            out->of[out->n].rail = (int)rail;
            out->of[out->n++].connection = (int)connection;
        }
        left = comma == NULL ? (str){0} : (str){comma + 1, left.len - len - 1};
    }
}

static void from_row(const db_rows *rows, size_t i, merchant *m, merchant_defaults *d) {
    copy_text(m->id, sizeof m->id, db_get_str(rows, i, 0));
    copy_text(m->name, sizeof m->name, db_get_str(rows, i, 1));
    m->book_id = db_get_i64(rows, i, 2);
    copy_text(m->currencies, sizeof m->currencies, db_get_str(rows, i, 3));
    m->created_us = db_get_time(rows, i, 4);
    *d = (merchant_defaults){0};
    if (!db_is_null(rows, i, 5)) {
        read_defaults(db_get_str(rows, i, 5), d);
    }
}

typedef struct find_args {
    str id;
    bool found;
    kept_merchant read;
} find_args;

static bool find_in_db(db_conn *c, arena *a, void *arg, err *e) {
    find_args *args = arg;
    db_params *p = db_params_create(a);
    db_text(p, args->id);
    db_rows *rows = NULL;
    if (!db_exec(c, parties_sql(PARTIES_SQL_MERCHANT_GET), p, a, &rows, NULL, e)) {
        return false;
    }
    args->found = db_count(rows) == 1;
    if (args->found) {
        from_row(rows, 0, &args->read.m, &args->read.defaults);
    }
    return true;
}

// Keeps the merchant at least as new as it was read. NULL when no more merchants fit.
static const merchant *keep(merchant_store *s, uuid key, const kept_merchant *read) {
    pthread_mutex_lock(&s->lock);
    kept_merchant *kept = map_get(s->known, key);
    if (kept == NULL) {
        kept_merchant *added = calloc(1, sizeof *added);
        ASSERT(added != NULL);
        *added = *read;
        if (map_put(s->known, key, added)) {
            kept = added;
        } else {
            free(added);
        }
    } else if (read->read_ms > kept->read_ms) {
        kept->defaults = read->defaults;
        kept->read_ms = read->read_ms;
    }
    pthread_mutex_unlock(&s->lock);
    return kept == NULL ? NULL : &kept->m;
}

// NULL with NOT_FOUND or another error.
static const merchant *read_one(merchant_store *s, db_pool *pool, str merchant_id,
                                int64_t deadline_mono_ms, merchant_defaults *defaults, err *e) {
    arena *a = arena_create((size_t)64 * 1024);
    find_args args = {.id = merchant_id, .read = {.read_ms = clock_mono_ms(clock_system())}};
    const bool ok = db_read(pool, deadline_mono_ms, a, find_in_db, &args, e);
    arena_destroy(a);
    if (!ok) {
        return NULL;
    }
    if (!args.found) {
        err_set_field(e, ERR_NOT_FOUND, "MERCHANT_NOT_FOUND", "merchant_id", "no such merchant");
        return NULL;
    }
    if (defaults != NULL) {
        *defaults = args.read.defaults;
    }
    const merchant *known = keep(s, key_of(merchant_id), &args.read);
    if (known == NULL) {
        err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_MERCHANTS",
                "this instance keeps no more than %d merchants", MERCHANTS_KEPT_MAX);
    }
    return known;
}

const merchant *merchant_find(merchant_store *s, str merchant_id, int64_t deadline_mono_ms,
                              err *e) {
    pthread_mutex_lock(&s->lock);
    const kept_merchant *known = map_get(s->known, key_of(merchant_id));
    pthread_mutex_unlock(&s->lock);
    return known != NULL ? &known->m
                         : read_one(s, s->intake, merchant_id, deadline_mono_ms, NULL, e);
}

// --- default connections ---------------------------------------------------------------------------------------------

int merchant_default_of(const merchant_defaults *d, int rail) {
    for (size_t i = 0; i < d->n; i++) {
        if (d->of[i].rail == rail) {
            return d->of[i].connection;
        }
    }
    return 0;
}

bool merchant_defaults_find(merchant_store *s, const merchant *m, int64_t deadline_mono_ms,
                            merchant_defaults *out, err *e) {
    return read_one(s, s->pool, str_of(m->id), deadline_mono_ms, out, e) != NULL;
}

void merchant_defaults_known(merchant_store *s, const merchant *m, int64_t deadline_mono_ms,
                             merchant_defaults *out) {
    const int64_t now = clock_mono_ms(clock_system()), soon = now + DEFAULTS_READ_MS;
    err e = {0};
    pthread_mutex_lock(&s->lock);
    const kept_merchant *known = map_get(s->known, key_of(str_of(m->id)));
    ASSERT(known != NULL); // m belongs to this store
    const bool fresh = now - known->read_ms < MERCHANT_DEFAULTS_FRESH_MS;
    *out = known->defaults;
    pthread_mutex_unlock(&s->lock);
    merchant_defaults read;
    if (fresh) {
        return;
    }
    if (read_one(s, s->intake, str_of(m->id), soon < deadline_mono_ms ? soon : deadline_mono_ms,
                 &read, &e) != NULL) {
        *out = read;
        return;
    }
    static log_gate gate;
    if (log_gate_pass(&gate, "merchant.defaults.not_read", now)) {
        log_err(LOG_WARN, "merchant.defaults.not_read", &e);
    }
}

typedef struct first_args {
    const merchant *m;
    merchant_defaults *out;
} first_args;

static bool first_in_db(db_conn *c, arena *a, void *arg, err *e) {
    const first_args *args = arg;
    db_params *p = db_params_create(a);
    db_i64(p, args->m->book_id);
    db_text(p, str_of(args->m->id));
    db_rows *rows = NULL;
    if (!db_exec(c, parties_sql(PARTIES_SQL_MERCHANT_CONNECTION_FIRST), p, a, &rows, NULL, e)) {
        return false;
    }
    *args->out = (merchant_defaults){0};
    if (db_count(rows) == 1 && !db_is_null(rows, 0, 0)) {
        read_defaults(db_get_str(rows, 0, 0), args->out);
    }
    return true;
}

bool merchant_defaults_first(merchant_store *s, const merchant *m, int64_t deadline_mono_ms,
                             merchant_defaults *out, err *e) {
    arena *a = arena_create((size_t)64 * 1024);
    first_args args = {m, out};
    const bool ok = db_read(s->pool, deadline_mono_ms, a, first_in_db, &args, e);
    arena_destroy(a);
    return ok;
}

typedef struct write_args {
    const merchant *m;
    const merchant_defaults *defaults;
    const actor_info *by;
    merchant_written also;
    int64_t at_us;
} write_args;

static void name_defaults(db_params *p, const write_args *w) {
    int16_t rails[MERCHANT_DEFAULTS_MAX], connections[MERCHANT_DEFAULTS_MAX];
    for (size_t i = 0; i < w->defaults->n; i++) {
        rails[i] = (int16_t)w->defaults->of[i].rail;
        connections[i] = (int16_t)w->defaults->of[i].connection;
    }
    db_i64(p, w->m->book_id);
    db_text(p, str_of(w->m->id));
    db_i16_array(p, rails, w->defaults->n);
    db_i16_array(p, connections, w->defaults->n);
}

// *n: how many rails have another one now.
static bool write_defaults(db_conn *c, arena *a, parties_sql_id which, const write_args *w,
                           int64_t *n, err *e) {
    const char *actor = actor_text(w->by, a);
    db_params *p = db_params_create(a);
    *n = 0;
    if (actor == NULL) {
        return err_no_memory(e, "the merchant");
    }
    name_defaults(p, w);
    db_text(p, str_of(actor));
    db_time(p, w->at_us);
    return w->defaults->n == 0 || db_exec(c, parties_sql(which), p, a, NULL, n, e);
}

static bool write_also(db_conn *c, const write_args *w, arena *a, err *e) {
    return w->also == NULL || w->also(c, w->m, w->by, w->at_us, a, e);
}

static bool change_in_db(db_conn *c, arena *a, void *arg, err *e) {
    const write_args *w = arg;
    db_params *p = db_params_create(a);
    db_rows *many = NULL;
    name_defaults(p, w);
    db_i64(p, MERCHANT_CHANGES_MAX);
    db_time(p, w->at_us - DAY_US);
    if (!db_exec(c, parties_sql(PARTIES_SQL_MERCHANT_CONNECTION_MANY), p, a, &many, NULL, e)) {
        return false;
    }
    if (db_count(many) > 0) {
        const int64_t wait_us = db_get_time(many, 0, 0) + DAY_US - w->at_us;
        (void)err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_CHANGES",
                      "a rail's default connection has been changed %d times within a day, and "
                      "each change is kept: change it later",
                      MERCHANT_CHANGES_MAX);
        e->retry_after_ms = (int32_t)(wait_us < DAY_US ? wait_us / 1000 + 1 : DAY_US / 1000);
        return false;
    }
    int64_t n = 0;
    return write_defaults(c, a, PARTIES_SQL_MERCHANT_CONNECTION_CHANGE, arg, &n, e) &&
           (n == 0 || write_also(c, w, a, e));
}

bool merchant_defaults_change(merchant_store *s, const merchant *m,
                              const merchant_defaults *changes, const actor_info *by,
                              merchant_written also, int64_t now_us, int64_t deadline_mono_ms,
                              err *e) {
    arena *a = arena_create((size_t)64 * 1024);
    write_args args = {m, changes, by, also, now_us};
    bool ok = db_transact(s->pool, deadline_mono_ms, a, change_in_db, &args, e);
    CRASH_POINT("merchant.changed");
    if (!ok && e->code == ERR_ALREADY_EXISTS) {
        err_clear(e);
        ok = err_set(e, ERR_ABORTED, "MERCHANT_CHANGED",
                     "the merchant was changed at the same moment: ask again");
    }
    arena_destroy(a);
    return ok;
}

// --- new merchants, and lists ----------------------------------------------------------------------------------------

static bool insert_in_db(db_conn *c, arena *a, void *arg, err *e) {
    const write_args *w = arg;
    const merchant *m = w->m;
    db_params *book = db_params_create(a);
    db_text(book, str_of(m->id));
    db_i64(book, m->book_id);
    db_params *row = db_params_create(a);
    db_i64(row, m->book_id);
    db_text(row, str_of(m->id));
    db_text(row, str_of(m->name));
    db_text(row, str_of(m->currencies));
    db_time(row, m->created_us);
    written_by_params(row, w->by, a);
    int64_t n = 0;
    return db_exec(c, parties_sql(PARTIES_SQL_MERCHANT_BOOK_INSERT), book, a, NULL, NULL, e) &&
           db_exec(c, parties_sql(PARTIES_SQL_MERCHANT_INSERT), row, a, NULL, NULL, e) &&
           write_defaults(c, a, PARTIES_SQL_MERCHANT_CONNECTION_INSERT, w, &n, e) &&
           write_also(c, w, a, e);
}

bool merchant_insert(merchant_store *s, const merchant *m, const merchant_defaults *first,
                     const actor_info *by, merchant_written also, int64_t deadline_mono_ms,
                     arena *a, err *e) {
    write_args args = {m, first, by, also, m->created_us};
    const bool ok = db_transact(s->pool, deadline_mono_ms, a, insert_in_db, &args, e);
    CRASH_POINT("merchant.kept");
    return ok;
}

typedef struct list_args {
    str after;
    int64_t limit;
    merchant_listed *out;
    size_t n;
} list_args;

static bool list_in_db(db_conn *c, arena *a, void *arg, err *e) {
    list_args *args = arg;
    db_params *p = db_params_create(a);
    db_text(p, args->after);
    db_i64(p, args->limit);
    db_rows *rows = NULL;
    if (!db_exec(c, parties_sql(PARTIES_SQL_MERCHANT_LIST), p, a, &rows, NULL, e)) {
        return false;
    }
    args->n = db_count(rows);
    args->out = ARENA_ARRAY(a, merchant_listed, args->n);
    if (args->out == NULL && args->n > 0) {
        return err_no_memory(e, "the answer");
    }
    for (size_t i = 0; i < args->n; i++) {
        from_row(rows, i, &args->out[i].m, &args->out[i].defaults);
    }
    return true;
}

bool merchant_list(merchant_store *s, str after, int64_t limit, int64_t deadline_mono_ms, arena *a,
                   merchant_listed **out, size_t *n, err *e) {
    list_args args = {.after = after, .limit = limit};
    const bool ok = db_read(s->pool, deadline_mono_ms, a, list_in_db, &args, e);
    *out = args.out;
    *n = args.n;
    return ok;
}

bool book_has_merchant(db_conn *c, int64_t book_id, bool *has, arena *a, err *e) {
    db_rows *rows = NULL;
    db_params *p = db_params_create(a);
    db_i64(p, book_id);
    if (!db_exec(c, parties_sql(PARTIES_SQL_BOOK_HAS_MERCHANT), p, a, &rows, NULL, e)) {
        return false;
    }
    *has = db_count(rows) > 0;
    return true;
}
