#include "store/merchant_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crash.h"
#include "base/map.h"
#include "store/payments_sql.h"

enum { MERCHANTS_KEPT_MAX = 1000000 };

struct merchant_store {
    db_pool *pool;
    pthread_mutex_t lock; // guards known
    map *known;           // derived id of the merchant id → merchant, never removed
};

static uuid key_of(str merchant_id) {
    return uuid_derive(&merchant_id, 1);
}

merchant_store *merchant_store_create(db_pool *pool) {
    merchant_store *s = calloc(1, sizeof *s);
    ASSERT(s != NULL);
    s->pool = pool;
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
    ASSERT(s.len < out_len); // the table's CHECKs are narrower than these fields
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
}

static void from_row(const db_rows *rows, size_t i, merchant *m) {
    copy_text(m->id, sizeof m->id, db_get_str(rows, i, 0));
    copy_text(m->name, sizeof m->name, db_get_str(rows, i, 1));
    m->book_id = db_get_i64(rows, i, 2);
    copy_text(m->currencies, sizeof m->currencies, db_get_str(rows, i, 3));
    m->created_us = db_get_time(rows, i, 4);
}

typedef struct find_args {
    str id;
    merchant *found; // NULL: there is none
} find_args;

static bool find_in_db(db_conn *c, arena *a, void *arg, err *e) {
    find_args *args = arg;
    db_params *p = db_params_create(a);
    db_text(p, args->id);
    db_rows *rows = NULL;
    if (!db_exec(c, payments_stmt(SQL_MERCHANT_GET), p, a, &rows, NULL, e)) {
        return false;
    }
    if (db_count(rows) == 1) {
        args->found = calloc(1, sizeof *args->found);
        ASSERT(args->found != NULL);
        from_row(rows, 0, args->found);
    }
    return true;
}

// Keeps m unless another thread was faster; answers with the one that is kept.
static const merchant *keep(merchant_store *s, uuid key, merchant *m) {
    pthread_mutex_lock(&s->lock);
    const merchant *kept = map_get(s->known, key);
    if (kept == NULL && map_put(s->known, key, m)) {
        kept = m;
        m = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    free(m);
    return kept;
}

const merchant *merchant_find(merchant_store *s, str merchant_id, int64_t deadline_mono_ms,
                              err *e) {
    const uuid key = key_of(merchant_id);
    pthread_mutex_lock(&s->lock);
    const merchant *known = map_get(s->known, key);
    pthread_mutex_unlock(&s->lock);
    if (known != NULL) {
        return known;
    }
    arena *a = arena_create((size_t)64 * 1024);
    find_args args = {.id = merchant_id};
    const bool ok = db_read(s->pool, deadline_mono_ms, a, find_in_db, &args, e);
    arena_destroy(a);
    if (!ok) {
        return NULL;
    }
    if (args.found == NULL) {
        err_set_field(e, ERR_NOT_FOUND, "MERCHANT_NOT_FOUND", "merchant_id", "no such merchant");
        return NULL;
    }
    known = keep(s, key, args.found);
    if (known == NULL) {
        err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_MERCHANTS",
                "this instance keeps no more than %d merchants", MERCHANTS_KEPT_MAX);
    }
    return known;
}

static bool insert_in_db(db_conn *c, arena *a, void *arg, err *e) {
    const merchant *m = arg;
    db_params *book = db_params_create(a);
    db_text(book, str_of(m->id));
    db_i64(book, m->book_id);
    db_params *row = db_params_create(a);
    db_i64(row, m->book_id);
    db_text(row, str_of(m->id));
    db_text(row, str_of(m->name));
    db_text(row, str_of(m->currencies));
    db_time(row, m->created_us);
    return db_exec(c, payments_stmt(SQL_MERCHANT_BOOK_INSERT), book, a, NULL, NULL, e) &&
           db_exec(c, payments_stmt(SQL_MERCHANT_INSERT), row, a, NULL, NULL, e);
}

bool merchant_insert(merchant_store *s, const merchant *m, int64_t deadline_mono_ms, arena *a,
                     err *e) {
    merchant copy = *m;
    const bool ok = db_transact(s->pool, deadline_mono_ms, a, insert_in_db, &copy, e);
    CRASH_POINT("merchant.kept");
    return ok;
}

typedef struct list_args {
    str after;
    int64_t limit;
    merchant *out;
    size_t n;
} list_args;

static bool list_in_db(db_conn *c, arena *a, void *arg, err *e) {
    list_args *args = arg;
    db_params *p = db_params_create(a);
    db_text(p, args->after);
    db_i64(p, args->limit);
    db_rows *rows = NULL;
    if (!db_exec(c, payments_stmt(SQL_MERCHANT_LIST), p, a, &rows, NULL, e)) {
        return false;
    }
    args->n = db_count(rows);
    args->out = ARENA_ARRAY(a, merchant, args->n);
    if (args->out == NULL && args->n > 0) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "REQUEST_TOO_COMPLEX",
                       "the answer takes too much memory");
    }
    for (size_t i = 0; i < args->n; i++) {
        from_row(rows, i, &args->out[i]);
    }
    return true;
}

bool merchant_list(merchant_store *s, str after, int64_t limit, int64_t deadline_mono_ms, arena *a,
                   merchant **out, size_t *n, err *e) {
    list_args args = {.after = after, .limit = limit};
    const bool ok = db_read(s->pool, deadline_mono_ms, a, list_in_db, &args, e);
    *out = args.out;
    *n = args.n;
    return ok;
}
