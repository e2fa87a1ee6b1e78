#include "saga/recovery.h"

#include "saga/engine.h"
#include "saga/saga_internal.h"
#include "saga/saga_sql.h"

enum { BOOKS_TIMEOUT_MS = 10000 };

// (books, rails that send by themselves). What is handed over belongs to its submission, which asks the bank.
static bool params_of(const saga_recovery *r, arena *a, db_params **p, err *e) {
    int64_t *books = ARENA_ARRAY(a, int64_t, SAGA_BOOKS_MAX);
    int16_t rails[SAGA_RAILS_MAX];
    size_t n_books = 0, n_rails = 0;
    if (books == NULL) {
        return err_set(e, ERR_RESOURCE_EXHAUSTED, "REQUEST_MEMORY", "too many books");
    }
    if (!saga_store_books(r->pool, books, SAGA_BOOKS_MAX, &n_books,
                          clock_mono_ms(clock_system()) + BOOKS_TIMEOUT_MS, a, e)) {
        return false;
    }
    for (size_t i = 0; i < r->n_rails; i++) {
        if (!r->rails[i]->hands_over) {
            rails[n_rails++] = (int16_t)r->rails[i]->id;
        }
    }
    *p = db_params_create(a);
    db_i64_array(*p, books, n_books);
    db_i16_array(*p, rails, n_rails);
    return true;
}

static bool begin(void *arg, db_conn *c, arena *a, err *e) {
    db_params *p = NULL;
    if (!params_of(arg, a, &p, e)) {
        return false;
    }
    db_time(p, clock_wall_us(clock_system()));
    int64_t n = 0;
    if (!saga_plan_each_time(c, a, e) ||
        !db_exec(c, saga_sql(SAGA_SQL_RECOVER), p, a, NULL, &n, e)) {
        return false;
    }
    log_warn("saga.recovering", F_INT("n", n));
    return true;
}

// A lease that was over meanwhile has left orphans before EXECUTE, which is not claimed now: they are asked for, too.
static bool left(void *arg, db_conn *c, arena *a, int64_t *n, err *e) {
    db_params *p = NULL, *count = NULL;
    if (!params_of(arg, a, &p, e) || !params_of(arg, a, &count, e)) {
        return false;
    }
    db_time(p, clock_wall_us(clock_system()));
    db_rows *rows = NULL;
    if (!saga_plan_each_time(c, a, e) ||
        !db_exec(c, saga_sql(SAGA_SQL_RECOVER_ORPHANS), p, a, NULL, NULL, e) ||
        !db_exec(c, saga_sql(SAGA_SQL_RECOVER_LEFT), count, a, &rows, NULL, e)) {
        return false;
    }
    *n = db_get_i64(rows, 0, 0);
    return true;
}

guard_part saga_recovery_part(saga_recovery *r) {
    return (guard_part){"sagas", r, begin, left};
}
