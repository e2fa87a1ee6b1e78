#include "connections/registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "connections/connections_sql.h"

enum { TIMEOUT_MS = 10000, TRIES_MAX = 2 * CONNECTIONS_MAX, NAME_MAX_LEN = 64 };

// --- Numbers ---------------------------------------------------------------------------------------------------------

typedef struct numbering {
    const connection_wanted *wanted; // the current one
    int number;                      // 0: the table does not know it
    int next;                        // the first free number
} numbering;

static bool look(db_conn *c, arena *a, void *arg, err *e) {
    numbering *x = arg;
    db_rows *rows = NULL;
    if (!db_exec(c, connections_sql(CONNECTIONS_SQL_NAMES), db_params_create(a), a, &rows, NULL,
                 e)) {
        return false;
    }
    x->number = 0;
    x->next = 1;
    for (size_t i = 0; i < db_count(rows); i++) {
        const int number = db_get_i16(rows, i, 0);
        x->next = number >= x->next ? number + 1 : x->next;
        if (!str_eq_c(db_get_str(rows, i, 1), x->wanted->name)) {
            continue;
        }
        if (db_get_i16(rows, i, 2) != x->wanted->scheme->id) {
            return err_set(e, ERR_FAILED_PRECONDITION, "CONNECTION_SCHEME",
                           "connection %s is of another scheme since it was made: %s needs another "
                           "name",
                           x->wanted->name, x->wanted->scheme->name);
        }
        x->number = number;
    }
    return true;
}

// Adds nothing if another instance has taken the number or the name meanwhile.
static bool add(db_conn *c, arena *a, void *arg, err *e) {
    const numbering *x = arg;
    db_params *p = db_params_create(a);
    db_i16(p, (int16_t)x->next);
    db_text(p, str_of(x->wanted->name));
    db_i16(p, (int16_t)x->wanted->scheme->id);
    db_time(p, clock_wall_us(clock_system()));
    return db_exec(c, connections_sql(CONNECTIONS_SQL_MAKE), p, a, NULL, NULL, e);
}

static bool number_one(db_pool *pool, numbering *x, arena *a, err *e) {
    const int64_t deadline = clock_mono_ms(clock_system()) + TIMEOUT_MS;
    for (int try = 0; try < TRIES_MAX; try++) {
        if (!db_read(pool, deadline, a, look, x, e)) {
            return false;
        }
        if (x->number != 0) {
            return true;
        }
        if (x->next > CONNECTIONS_MAX) {
            return err_set(e, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_CONNECTIONS",
                           "connection %s cannot be made: all %d numbers were given",
                           x->wanted->name, (int)CONNECTIONS_MAX);
        }
        if (!db_transact(pool, deadline, a, add, x, e) && (e->flags & ERR_COMMIT_UNKNOWN) == 0) {
            return false;
        }
        err_clear(e);
    }
    return err_set(e, ERR_UNAVAILABLE, "CONNECTION_NUMBER", "connection %s got no number",
                   x->wanted->name);
}

bool connections_number(db_pool *pool, const connection_wanted *wanted, size_t n, int *numbers,
                        err *e) {
    arena *a = arena_create((size_t)1 << 20);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        numbering x = {.wanted = &wanted[i]};
        ok = number_one(pool, &x, a, e);
        numbers[i] = x.number;
        arena_reset(a);
    }
    arena_destroy(a);
    return ok;
}

// --- Known connections -----------------------------------------------------------------------------------------------

struct connections {
    const connection_scheme *schemes;
    size_t n_schemes;
    pthread_mutex_t adding; // one thread adds at a time
    connection_info list[CONNECTIONS_MAX];
    char names[CONNECTIONS_MAX][NAME_MAX_LEN]; // of connections that are switched off
    atomic_size_t n;                           // entries below n are complete and never change
};

connections *connections_create(const connection_scheme *schemes, size_t n) {
    connections *k = calloc(1, sizeof *k);
    ASSERT(k != NULL);
    k->schemes = schemes;
    k->n_schemes = n;
    MUST(pthread_mutex_init(&k->adding, NULL) == 0);
    return k;
}

void connections_destroy(connections *k) {
    if (k != NULL) {
        pthread_mutex_destroy(&k->adding);
        free(k);
    }
}

const connection_info *connections_all(const connections *k, size_t *n) {
    *n = atomic_load_explicit(&k->n, memory_order_acquire);
    return k->list;
}

const connection_info *connections_of(const connections *k, int number) {
    size_t n = 0;
    const connection_info *list = connections_all(k, &n);
    for (size_t i = 0; i < n; i++) {
        if (list[i].id == number) {
            return &list[i];
        }
    }
    return NULL;
}

void connections_add(connections *k, const connection_info *info) {
    const size_t n = atomic_load_explicit(&k->n, memory_order_relaxed);
    ASSERT(n < CONNECTIONS_MAX && info->id >= 1 && info->id <= CONNECTIONS_MAX);
    k->list[n] = *info;
    atomic_store_explicit(&k->n, n + 1, memory_order_release);
}

// A scheme of a later version has no name here.
static connection_info switched_off(const connections *k, int number, const char *name,
                                    int scheme) {
    connection_info off = {.id = number,
                           .name = name,
                           .scheme = "",
                           .scheme_id = scheme,
                           .currencies = "",
                           .instruments = "",
                           .finality = "",
                           .settlement = ""};
    for (size_t i = 0; i < k->n_schemes; i++) {
        if (k->schemes[i].id == scheme) {
            off.scheme = k->schemes[i].name;
            off.in_files = k->schemes[i].in_files;
        }
    }
    return off;
}

bool connections_refresh(connections *k, db_conn *c, arena *a, err *e) {
    db_rows *rows = NULL;
    if (!db_exec(c, connections_sql(CONNECTIONS_SQL_NAMES), db_params_create(a), a, &rows, NULL,
                 e)) {
        return false;
    }
    MUST(pthread_mutex_lock(&k->adding) == 0);
    for (size_t i = 0; i < db_count(rows); i++) {
        const int number = db_get_i16(rows, i, 0);
        const str name = db_get_str(rows, i, 1);
        if (connections_of(k, number) != NULL || number < 1 || number > CONNECTIONS_MAX ||
            name.len >= NAME_MAX_LEN) {
            continue;
        }
        const size_t at = atomic_load_explicit(&k->n, memory_order_relaxed);
        memcpy(k->names[at], name.ptr, name.len);
        const connection_info off = switched_off(k, number, k->names[at], db_get_i16(rows, i, 2));
        connections_add(k, &off);
    }
    MUST(pthread_mutex_unlock(&k->adding) == 0);
    return true;
}

static bool load(db_conn *c, arena *a, void *arg, err *e) {
    return connections_refresh(arg, c, a, e);
}

bool connections_load(connections *k, db_pool *pool, err *e) {
    arena *a = arena_create((size_t)1 << 20);
    const bool ok = db_read(pool, clock_mono_ms(clock_system()) + TIMEOUT_MS, a, load, k, e);
    arena_destroy(a);
    return ok;
}
